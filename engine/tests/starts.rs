//! Starts that wait for their timers, in a whole engine: settled later, failed later, cut off.

use std::path::Path;
use std::time::{Duration, Instant};

use kenvat_engine::api::{Call, CallError, Deploy, DeployError, Deployed};
use kenvat_engine::{Answer, Engine, EngineOptions, Stopped, start};

fn host(dir: &Path, awake_max: Option<usize>) -> Engine {
    let mut options = EngineOptions::new(dir.join("store"));
    options.awake_max = awake_max;
    start(options).expect("a host starts")
}

fn deploy(engine: &Engine, name: &str, source: &str) -> Answer<Result<Deployed, DeployError>> {
    engine.deploy(Deploy {
        name: name.to_owned(),
        entry: "v.js".to_owned(),
        files: vec![("v.js".to_owned(), source.to_owned())],
        give: Vec::new(),
        deny: Vec::new(),
    })
}

fn call(engine: &Engine, vat: &str, method: &str) -> Answer<Result<String, CallError>> {
    engine.call(Call {
        vat: vat.to_owned(),
        method: method.to_owned(),
        args: "[]".to_owned(),
        key: None,
    })
}

fn stop(engine: &Engine) {
    let stopped = engine.stop().wait().expect("answered");
    stopped.expect("a clean stop");
}

/// The vat is not there, and whoever asks hears why. A question may overtake the deployment.
fn until_told_that_it_starts(engine: &Engine, vat: &str) {
    loop {
        match engine.show(vat).wait().expect("answered") {
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
    let engine = host(folder.path(), Some(1));
    let other = "export const hi = () => 'hi';";
    deploy(&engine, "other", other)
        .wait()
        .unwrap()
        .expect("starts");
    let starts = deploy(&engine, "v", SLOW);
    let early = call(&engine, "v", "read");
    until_told_that_it_starts(&engine, "v");
    assert_eq!(engine.list().wait().unwrap().len(), 1);
    let hi = call(&engine, "other", "hi").wait().unwrap();
    assert_eq!(hi.as_deref(), Ok("\"hi\""));
    starts.wait().unwrap().expect("it settles");
    assert_eq!(early.wait().unwrap().as_deref(), Ok("[4,true]"));
    let log = engine
        .logs("v", 0, 1 << 10)
        .wait()
        .unwrap()
        .expect("it has");
    assert_eq!(log.text, "1 log waits\n");
    stop(&engine);
    let engine = host(folder.path(), None);
    let read = call(&engine, "v", "read").wait().unwrap();
    assert_eq!(read.as_deref(), Ok("[4,true]"));
    stop(&engine);
}

#[test]
fn modules_and_start_functions_may_wait_and_what_waits_for_nothing_is_refused_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = host(folder.path(), None);
    for (name, source) in [
        ("top", "await Q.delay(20);\nexport const m = () => 1;"),
        (
            "function",
            "export default async ({ timer }) => { await timer.wake(9); return { m: () => 1 }; };",
        ),
    ] {
        deploy(&engine, name, source).wait().unwrap().expect(name);
        let answer = call(&engine, name, "m").wait().unwrap();
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
        match deploy(&engine, "v", source).wait().unwrap() {
            Err(DeployError::Program { message, .. }) => {
                assert!(message.contains(why), "{message}")
            }
            other => panic!("{why}: {other:?}"),
        }
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
    assert_eq!(engine.list().wait().unwrap().len(), 2);
    stop(&engine);
}

const FOR_EVER: &str = "export default async ({ timer }) => { await timer.wake(5e5); return {}; };";

#[test]
fn a_start_that_is_cut_off_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = host(folder.path(), None);
    let cut = deploy(&engine, "v", FOR_EVER);
    until_told_that_it_starts(&engine, "v");
    engine.terminate("v").wait().unwrap().expect("terminated");
    match cut.wait().unwrap() {
        Err(DeployError::Program { message, .. }) => assert!(message.contains("terminated")),
        other => panic!("{other:?}"),
    }
    // The name is free; this one is cut off by the host's end, which does not wait for it.
    let cut = deploy(&engine, "v", FOR_EVER);
    until_told_that_it_starts(&engine, "v");
    let early = call(&engine, "v", "m");
    let begun = Instant::now();
    stop(&engine);
    assert!(begun.elapsed() < Duration::from_secs(8), "it waited");
    assert_eq!(cut.wait().map(drop), Err(Stopped));
    assert_eq!(early.wait().map(drop), Err(Stopped));
    let engine = host(folder.path(), None);
    assert!(engine.list().wait().unwrap().is_empty());
    deploy(&engine, "v", SLOW)
        .wait()
        .unwrap()
        .expect("is made now");
    stop(&engine);
}
