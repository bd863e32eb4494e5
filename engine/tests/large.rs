//! Heaps too large to be read on the engine's thread: woken, hashed and ended, beside another vat.

use kenvat_engine::api::{Call, CallError, Deploy};
use kenvat_engine::{Answer, Engine, EngineOptions, start};

const PROGRAM: &str = "
    let n = 0; const kept = [];
    export const incr = () => ++n;
    export const keep = (mib) => {
        for (let i = 0; i < mib; i++) kept.push(new Uint8Array(1 << 20).fill(i + 1));
        return kept.length;
    };
    export const sum = () => kept.reduce((sum, part) => sum + part[77777], 0);";
const MIB: u32 = 40;

fn deploy(engine: &Engine, name: &str) {
    let deploy = Deploy {
        name: name.to_owned(),
        entry: "p.js".to_owned(),
        files: vec![("p.js".to_owned(), PROGRAM.to_owned())],
        give: Vec::new(),
        deny: Vec::new(),
    };
    let deployed = engine.deploy(deploy).wait().expect("answered");
    deployed.expect("deployed");
}

fn send(engine: &Engine, vat: &str, method: &str, args: &str) -> Answer<Result<String, CallError>> {
    engine.call(Call {
        vat: vat.to_owned(),
        method: method.to_owned(),
        args: args.to_owned(),
        key: None,
    })
}

fn call(engine: &Engine, vat: &str, method: &str, args: &str) -> String {
    let answer = send(engine, vat, method, args).wait().expect("answered");
    answer.unwrap_or_else(|error| panic!("{vat}.{method}: {error}"))
}

#[test]
fn a_large_heap_is_read_beside_the_engine_and_nothing_is_lost_or_stuck() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(EngineOptions::new(folder.path())).expect("a host starts");
    deploy(&engine, "large");
    deploy(&engine, "small");
    for _ in 0..MIB / 8 {
        call(&engine, "large", "keep", "[8]");
    }
    let sum = call(&engine, "large", "sum", "[]");
    let hash = || engine.heap_sha256("large").wait().expect("answered");
    for round in 1..=5 {
        let awake = hash().expect("a hash");
        let slept = engine.sleep("large").wait().expect("answered");
        slept.expect("sleeps");
        assert_eq!(hash().as_ref(), Ok(&awake), "asleep, round {round}");
        // The call waits for the check; the other vat does not.
        let waking = send(&engine, "large", "sum", "[]");
        assert_eq!(call(&engine, "small", "incr", "[]"), round.to_string());
        assert_eq!(waking.wait().expect("answered"), Ok(sum.clone()));
    }
    // Put to sleep again while it is being checked: the call is answered by the next process.
    for _ in 0..5 {
        engine
            .sleep("large")
            .wait()
            .expect("answered")
            .expect("sleeps");
        let waking = send(&engine, "large", "incr", "[]");
        let asleep = engine.sleep("large");
        waking.wait().expect("answered").expect("runs");
        asleep.wait().expect("answered").expect("sleeps");
    }
    assert_eq!(call(&engine, "large", "incr", "[]"), "6");
    // Ended while it is being checked.
    engine
        .sleep("large")
        .wait()
        .expect("answered")
        .expect("sleeps");
    let waking = send(&engine, "large", "incr", "[]");
    let ended = engine.terminate("large").wait().expect("answered");
    ended.expect("terminated");
    let answer = waking.wait().expect("answered");
    assert!(
        matches!(answer, Err(CallError::Unavailable { .. })),
        "{answer:?}"
    );
    assert_eq!(call(&engine, "small", "incr", "[]"), "6");
    engine.stop().wait().expect("answered").expect("stops");
}
