//! Heaps too large to be read on the engine's thread: woken, hashed and ended, beside another vat.

use kenvat_engine::{CallError, Engine};
use kenvat_testing::engine::Ask;

const PROGRAM: &str = "
    let n = 0; const kept = [];
    export const incr = () => ++n;
    export const keep = (mib) => {
        for (let i = 0; i < mib; i++) kept.push(new Uint8Array(1 << 20).fill(i + 1));
        return kept.length;
    };
    export const sum = () => kept.reduce((sum, part) => sum + part[77777], 0);";
const MIB: u32 = 40;

#[test]
fn a_large_heap_is_read_beside_the_engine_and_nothing_is_lost_or_stuck() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = Engine::open(folder.path()).expect("an engine opens");
    engine.deploy("large", PROGRAM).expect("it deploys");
    engine.deploy("small", PROGRAM).expect("it deploys");
    for _ in 0..MIB / 8 {
        engine.call("large", "keep", "[8]").expect("answered");
    }
    let sum = engine.call("large", "sum", "[]").expect("answered");
    let hash = || {
        engine
            .handle()
            .heap_sha256("large")
            .wait()
            .expect("answered")
    };
    for round in 1..=5 {
        let awake = hash().expect("a hash");
        engine.put_to_sleep("large");
        assert_eq!(hash().as_ref(), Ok(&awake), "asleep, round {round}");
        // The call waits for the check; the other vat does not.
        let waking = engine.send("large", "sum", "[]");
        assert_eq!(engine.call("small", "incr", "[]"), Ok(round.to_string()));
        assert_eq!(waking.wait().expect("answered"), Ok(sum.clone()));
    }
    // Put to sleep again while it is being checked: the call is answered by the next process.
    for _ in 0..5 {
        engine.put_to_sleep("large");
        let waking = engine.send("large", "incr", "[]");
        let asleep = engine.handle().sleep("large");
        waking.wait().expect("answered").expect("runs");
        asleep.wait().expect("answered").expect("sleeps");
    }
    assert_eq!(engine.call("large", "incr", "[]"), Ok("6".to_owned()));
    // Ended while it is being checked.
    engine.put_to_sleep("large");
    let waking = engine.send("large", "incr", "[]");
    let ended = engine.handle().terminate("large").wait().expect("answered");
    ended.expect("terminated");
    let answer = waking.wait().expect("answered");
    assert!(
        matches!(answer, Err(CallError::Unavailable { .. })),
        "{answer:?}"
    );
    assert_eq!(engine.call("small", "incr", "[]"), Ok("6".to_owned()));
    engine.stop().expect("stops");
}
