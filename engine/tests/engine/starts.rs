//! Starts that wait for their timers, in a whole engine: settled later, failed later, cut off.

use std::time::{Duration, Instant};

use kenvat_engine::{CallError, DeployError, Engine, Stopped};
use kenvat_testing::engine::{Ask, open};

/// The vat is not there, and whoever asks hears why. A question may overtake the deployment.
fn until_told_that_it_starts(engine: &Engine, vat: &str) {
    loop {
        match engine.handle().show(vat).wait().expect("answered") {
            Err(CallError::UnknownVat { .. }) => std::thread::yield_now(),
            Err(CallError::Unavailable { why, .. }) => {
                assert!(why.contains("its start has not settled"), "{why}");
                return;
            }
            other => panic!("{other:?}"),
        }
    }
}

const SLOW: &str = "let n = 0; let told = [];
    export const init = async ({ timer, clock }) => {
      const began = clock.now();
      console.log('waits');
      await timer.wake(60); n += 1;
      for await (const _ of timer.every(20)) { n += 1; if (n === 4) break; }
      timer.wake(1e9).catch(() => {});
      told = [n, clock.now() - began >= 100];
    };
    export const read = () => told;";

#[test]
fn a_start_that_waits_settles_and_calls_wait_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    // One place, which a start that waits does not keep.
    let engine = open(folder.path(), |options| options.awake_max = Some(1));
    let other = "export const hi = () => 'hi';";
    engine.deploy("other", other).expect("starts");
    let starts = engine.send_deploy("v", SLOW);
    let early = engine.send("v", "read", "[]");
    until_told_that_it_starts(&engine, "v");
    assert_eq!(engine.handle().list().wait().unwrap().len(), 1);
    let hi = engine.send("other", "hi", "[]").wait().unwrap();
    assert_eq!(hi.as_deref(), Ok("\"hi\""));
    starts.wait().unwrap().expect("it settles");
    assert_eq!(early.wait().unwrap().as_deref(), Ok("[4,true]"));
    let log = engine.log("v");
    assert_eq!(log.text, "1 log waits\n");
    engine.stop().expect("a clean stop");
    let engine = open(folder.path(), |_| {});
    let read = engine.send("v", "read", "[]").wait().unwrap();
    assert_eq!(read.as_deref(), Ok("[4,true]"));
    engine.stop().expect("a clean stop");
}

#[test]
fn modules_and_start_functions_may_wait_and_what_waits_for_nothing_is_refused_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), |_| {});
    for (name, source) in [
        ("top", "await Q.delay(20);\nexport const m = () => 1;"),
        (
            "function",
            "export default async ({ timer }) => { await timer.wake(9); return { m: () => 1 }; };",
        ),
    ] {
        engine.deploy(name, source).expect(name);
        let answer = engine.send(name, "m", "[]").wait().unwrap();
        assert_eq!(answer.as_deref(), Ok("1"), "{name}");
    }
    for (source, why) in [
        (
            "export const init = async (p) => { await p.timer.wake(9); throw Error('late'); };",
            "late",
        ),
        (
            "export default async ({ timer }) => { await timer.wake(20); for (;;); };",
            "gas",
        ),
        (
            "export default async ({ timer }) => { await timer.wake(9e5); return {}; };",
            "may take 600 s, and waits for a timer that is due 900 s after it began",
        ),
        (
            "export default () => new Promise(() => {});",
            "nothing is left to settle",
        ),
        (
            "export const init = ({ timer }) => timer.wake(5).then(() => new Promise(() => {}));",
            "nothing is left to settle",
        ),
    ] {
        let begun = Instant::now();
        match engine.deploy("v", source) {
            Err(DeployError::Program { message, .. }) => {
                assert!(message.contains(why), "{message}")
            }
            other => panic!("{why}: {other:?}"),
        }
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
    assert_eq!(engine.handle().list().wait().unwrap().len(), 2);
    engine.stop().expect("a clean stop");
}

const FOR_EVER: &str = "export default async ({ timer }) => { await timer.wake(5e5); return {}; };";

#[test]
fn a_start_that_is_cut_off_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), |_| {});
    let cut = engine.send_deploy("v", FOR_EVER);
    until_told_that_it_starts(&engine, "v");
    engine
        .handle()
        .terminate("v")
        .wait()
        .unwrap()
        .expect("terminated");
    match cut.wait().unwrap() {
        Err(DeployError::Program { message, .. }) => assert!(message.contains("terminated")),
        other => panic!("{other:?}"),
    }
    // The name is free; this one is cut off by the host's end, which does not wait for it.
    let cut = engine.send_deploy("v", FOR_EVER);
    until_told_that_it_starts(&engine, "v");
    let early = engine.send("v", "m", "[]");
    let begun = Instant::now();
    engine.stop().expect("a clean stop");
    assert!(begun.elapsed() < Duration::from_secs(8), "it waited");
    assert_eq!(cut.wait().map(drop), Err(Stopped));
    assert_eq!(early.wait().map(drop), Err(Stopped));
    let engine = open(folder.path(), |_| {});
    assert!(engine.handle().list().wait().unwrap().is_empty());
    engine.deploy("v", SLOW).expect("is made now");
    engine.stop().expect("a clean stop");
}
