//! A store is verified also while its host is at work.

use kenvat_engine::api::{Call, Deploy};
use kenvat_engine::{EngineOptions, start};

/// So many that frames are under way while some of the questions arrive, and folds as well.
const ROUNDS: usize = 40;
const CALLS_A_ROUND: usize = 200;

#[test]
fn a_busy_host_verifies_its_store_between_two_frames() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(EngineOptions::new(folder.path())).expect("a host starts");
    let source = "export const put = (n) => { console.log('x'.repeat(500)); return n; };";
    let deploy = Deploy {
        name: "v".to_owned(),
        entry: "v.js".to_owned(),
        files: vec![("v.js".to_owned(), source.to_owned())],
        give: Vec::new(),
        deny: Vec::new(),
    };
    let deployed = engine.deploy(deploy).wait().expect("runs");
    deployed.expect("deploys");
    let (mut calls, mut reports) = (Vec::new(), Vec::new());
    for n in 0..ROUNDS * CALLS_A_ROUND {
        calls.push(engine.call(Call {
            vat: "v".to_owned(),
            method: "put".to_owned(),
            args: format!("[{n}]"),
            key: None,
        }));
        if n % CALLS_A_ROUND == 0 {
            reports.push(engine.verify());
            // The answer of one call means that a frame was committed and others follow it.
            let first = calls.swap_remove(0).wait().expect("runs");
            first.expect("answers");
        }
    }
    for report in reports {
        let report = report.wait().expect("runs").expect("is verified");
        assert_eq!(report.damages, vec![]);
    }
    engine.stop().wait().expect("runs").expect("stops");
}
