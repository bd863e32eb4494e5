//! More vats than processes or descriptors: everybody is answered, nobody is broken.
//!
//! One test to a process: the second one lowers the descriptors of its own.

use kenvat_engine::Engine;
use kenvat_engine::api::VatState;
use kenvat_testing::engine::{Ask, open};
use rustix::process::{Resource, Rlimit, setrlimit};

const PROGRAM: &str = "let n = 0; export const incr = () => ++n;";
const VATS: usize = 24;
const ROUNDS: usize = 3;

fn deploy_all(engine: &Engine) {
    for at in 0..VATS {
        engine
            .deploy(&format!("v{at}"), PROGRAM)
            .expect("it deploys");
    }
}

/// Every vat is called at once, several times over: all count right.
fn call_all_at_once(engine: &Engine) {
    for round in 1..=ROUNDS {
        let asked: Vec<_> = (0..VATS)
            .map(|at| engine.send(&format!("v{at}"), "incr", "[]"))
            .collect();
        for (at, answer) in asked.into_iter().enumerate() {
            let answer = answer.wait().expect("answered");
            assert_eq!(answer, Ok(round.to_string()), "vat v{at}, round {round}");
        }
    }
}

fn awake(engine: &Engine) -> usize {
    let vats = engine.handle().list().wait().expect("answered");
    assert!(vats.iter().all(|vat| vat.state != VatState::Broken));
    vats.iter().filter(|vat| vat.worker_pid.is_some()).count()
}

#[test]
fn more_vats_than_places_and_than_descriptors_are_all_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), |options| options.awake_max = Some(3));
    deploy_all(&engine);
    call_all_at_once(&engine);
    assert!(awake(&engine) <= 3, "the bound holds");
    engine.stop().expect("clean");

    // The same store where the machine itself is the bound: a start fails in the middle of things.
    let few = Rlimit {
        current: Some(96),
        maximum: Some(96),
    };
    setrlimit(Resource::Nofile, few).expect("a limit may be lowered");
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), |options| options.awake_max = Some(1_000));
    deploy_all(&engine);
    call_all_at_once(&engine);
    let awake = awake(&engine);
    assert!(
        awake > 0 && awake < VATS,
        "{awake} awake: the limit was met"
    );
    engine.stop().expect("clean");
}
