//! A store is verified also while its host is at work.

use kenvat_engine::Engine;
use kenvat_testing::engine::Ask;

/// So many that frames are under way while some of the questions arrive, and folds as well.
const ROUNDS: usize = 40;
const CALLS_A_ROUND: usize = 200;

#[test]
fn a_busy_host_verifies_its_store_between_two_frames() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = Engine::open(folder.path()).expect("an engine opens");
    let source = "export const put = (n) => { console.log('x'.repeat(500)); return n; };";
    engine.deploy("v", source).expect("it deploys");
    let (mut calls, mut reports) = (Vec::new(), Vec::new());
    for n in 0..ROUNDS * CALLS_A_ROUND {
        calls.push(engine.send("v", "put", &format!("[{n}]")));
        if n % CALLS_A_ROUND == 0 {
            reports.push(engine.handle().verify());
            // The answer of one call means that a frame was committed and others follow it.
            let first = calls.swap_remove(0).wait().expect("runs");
            first.expect("answers");
        }
    }
    for report in reports {
        let report = report.wait().expect("runs").expect("is verified");
        assert_eq!(report.damages, vec![]);
    }
    engine.stop().expect("stops");
}
