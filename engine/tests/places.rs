//! More vats than processes or descriptors: everybody is answered, nobody is broken.
//!
//! One test to a process: the second one lowers the descriptors of its own.

use std::path::Path;

use kenvat_engine::api::{Call, Deploy, VatState};
use kenvat_engine::{Answer, Engine, EngineOptions, start};
use rustix::process::{Resource, Rlimit, setrlimit};

const PROGRAM: &str = "let n = 0; export const incr = () => ++n;";
const VATS: usize = 24;
const ROUNDS: usize = 3;

fn host(dir: &Path, awake_max: usize) -> Engine {
    let mut options = EngineOptions::new(dir.join("store"));
    options.awake_max = Some(awake_max);
    start(options).expect("a host starts")
}

fn deploy(engine: &Engine, name: &str) {
    let deploy = Deploy {
        name: name.to_owned(),
        entry: "p.js".to_owned(),
        files: vec![("p.js".to_owned(), PROGRAM.to_owned())],
        give: Vec::new(),
        deny: Vec::new(),
    };
    engine
        .deploy(deploy)
        .wait()
        .expect("answered")
        .expect("deployed");
}

fn incr(engine: &Engine, vat: &str) -> Answer<Result<String, kenvat_engine::api::CallError>> {
    engine.call(Call {
        vat: vat.to_owned(),
        method: "incr".to_owned(),
        args: "[]".to_owned(),
        key: None,
    })
}

/// Every vat is called at once, several times over: all count right.
fn call_all_at_once(engine: &Engine) {
    for round in 1..=ROUNDS {
        let asked: Vec<_> = (0..VATS)
            .map(|at| incr(engine, &format!("v{at}")))
            .collect();
        for (at, answer) in asked.into_iter().enumerate() {
            let answer = answer.wait().expect("answered");
            assert_eq!(answer, Ok(round.to_string()), "vat v{at}, round {round}");
        }
    }
}

fn awake(engine: &Engine) -> usize {
    let vats = engine.list().wait().expect("answered");
    assert!(vats.iter().all(|vat| vat.state != VatState::Broken));
    vats.iter().filter(|vat| vat.worker_pid.is_some()).count()
}

#[test]
fn more_vats_than_places_and_than_descriptors_are_all_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = host(folder.path(), 3);
    (0..VATS).for_each(|at| deploy(&engine, &format!("v{at}")));
    call_all_at_once(&engine);
    assert!(awake(&engine) <= 3, "the bound holds");
    engine.stop().wait().expect("answered").expect("clean");

    // The same store where the machine itself is the bound: a start fails in the middle of things.
    let few = Rlimit {
        current: Some(96),
        maximum: Some(96),
    };
    setrlimit(Resource::Nofile, few).expect("a limit may be lowered");
    let folder = tempfile::tempdir().expect("a folder");
    let engine = host(folder.path(), 1_000);
    (0..VATS).for_each(|at| deploy(&engine, &format!("v{at}")));
    call_all_at_once(&engine);
    let awake = awake(&engine);
    assert!(
        awake > 0 && awake < VATS,
        "{awake} awake: the limit was met"
    );
    engine.stop().wait().expect("answered").expect("clean");
}
