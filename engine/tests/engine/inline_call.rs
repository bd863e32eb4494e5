//! Calls carried through by the threads that make them: the same answers in the same order as any
//! other call, whatever the vat does meanwhile, and nobody left waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use kenvat_engine::api::KilledBy;
use kenvat_engine::{Answer, Call, CallError, Engine, EngineOptions, Step, Trace};
use kenvat_testing::engine::{Answered, Ask, open};

const PROGRAM: &str = "
    let n = 0; const kept = []; let later;
    export const incr = () => ++n;
    export const spin = (rounds) => { for (let i = 0; i < rounds; i++) n += 0; return ++n; };
    export const forever = () => { for (;;) n++; };
    export const keep = (mib) => { kept.push(new Uint8Array(mib << 20).fill(7)); return ++n; };
    export const wait = () => new Promise((resolve) => { later = resolve; });
    export const go = () => { later(++n); };
    export const fail = () => { n++; throw TypeError('on purpose'); };
    export const log = () => { console.log('line', ++n); };
";

fn with_two(dir: &std::path::Path, change: impl FnOnce(&mut EngineOptions)) -> Engine {
    let engine = open(dir, change);
    for name in ["a", "b"] {
        engine.deploy(name, PROGRAM).expect("it deploys");
    }
    engine
}

/// One call, here if possible.
fn here(engine: &Engine, vat: &str, method: &str, args: &str) -> Answered {
    let mut answered = None;
    let out = |answer: Answer<Answered>| {
        answered = Some(answer.wait().expect("answered"));
    };
    engine
        .handle()
        .call_inline(Call::new(vat, method, args), Duration::MAX, out);
    answered.expect("told once, before this returns")
}

fn number(answer: Answered) -> u64 {
    answer.expect("a value").parse().expect("a number")
}

#[test]
fn a_thread_alone_carries_its_calls_through_and_the_engine_s_is_not_woken() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = Arc::new(Trace::default());
    let engine = with_two(folder.path(), |options| options.trace = Some(trace.clone()));
    assert_eq!(number(here(&engine, "a", "incr", "[]")), 1);
    // The engine's thread has come to the end of what it began before this.
    engine.handle().list().wait().expect("answered");
    trace.drain();
    let begun = Instant::now();
    let mut seen = Vec::new();
    for expected in 2..=200 {
        assert_eq!(number(here(&engine, "a", "incr", "[]")), expected);
        seen.extend(trace.drain());
    }
    // Everything of a call happened between its beginning and its end, on one thread: a step of
    // another thread would come after the drain now and then.
    let steps = |is: fn(&Step) -> bool| seen.iter().filter(|mark| is(&mark.step)).count();
    assert_eq!(steps(|step| matches!(step, Step::Taken)), 199);
    assert_eq!(steps(|step| matches!(step, Step::Durable { .. })), 199);
    assert_eq!(steps(|step| matches!(step, Step::Applied)), 199);
    assert!(seen.iter().all(|mark| mark.at >= begun));
    engine.stop().expect("a clean stop");
}

#[test]
fn what_vats_do_meanwhile_is_answered_as_ever() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = with_two(folder.path(), |options| options.gas = 300_000_000);
    assert_eq!(number(here(&engine, "a", "incr", "[]")), 1);
    // Undone, by the engine's own clock of polls; and it goes on.
    let gas = here(&engine, "a", "forever", "[]");
    let by = match gas {
        Err(CallError::TurnKilled { by, .. }) => by,
        other => panic!("{other:?}"),
    };
    assert_eq!(by, KilledBy::Gas);
    assert_eq!(number(here(&engine, "a", "incr", "[]")), 2);
    let thrown = here(&engine, "a", "fail", "[]");
    assert!(
        matches!(thrown, Err(CallError::Thrown { .. })),
        "{thrown:?}"
    );
    assert_eq!(number(here(&engine, "a", "incr", "[]")), 4);
    // Longer than a caller's thread waits.
    assert_eq!(number(here(&engine, "a", "spin", "[20000000]")), 5);
    // A delta in pieces.
    assert_eq!(number(here(&engine, "a", "keep", "[20]")), 6);
    assert_eq!(number(here(&engine, "a", "incr", "[]")), 7);
    assert_eq!(
        here(&engine, "a", "log", "[]"),
        Ok(r#"{"$undefined":true}"#.to_owned())
    );
    // Asleep.
    for round in 0..10 {
        engine.put_to_sleep("a");
        assert_eq!(number(here(&engine, "a", "incr", "[]")), 9 + round);
    }
    let unknown = here(&engine, "nobody", "incr", "[]");
    assert!(
        matches!(unknown, Err(CallError::UnknownVat { .. })),
        "{unknown:?}"
    );
    let malformed = here(&engine, "a", "incr", "[");
    assert!(
        matches!(malformed, Err(CallError::BadArguments(_))),
        "{malformed:?}"
    );
    engine.stop().expect("a clean stop");
    let stopped = {
        let mut told = None;
        engine
            .handle()
            .call_inline(Call::new("a", "incr", "[]"), Duration::MAX, |answer| {
                told = Some(answer.wait());
            });
        told.expect("told")
    };
    assert!(stopped.is_err(), "{stopped:?}");
}

#[test]
fn an_answer_that_another_call_gives_is_waited_for_by_the_engine_s_thread() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = with_two(folder.path(), |_| {});
    let mut waiting = None;
    engine
        .handle()
        .call_inline(Call::new("a", "wait", "[]"), Duration::MAX, |answer| {
            waiting = Some(answer);
        });
    here(&engine, "a", "go", "[]").expect("goes");
    assert_eq!(waiting.expect("told").wait(), Ok(Ok("1".to_owned())));
}

#[test]
fn calls_queued_before_come_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = with_two(folder.path(), |_| {});
    let mut last = 0;
    for round in 0..200 {
        let before: Vec<_> = (0..round % 4)
            .map(|_| engine.send("a", "incr", "[]"))
            .collect();
        let now = number(here(&engine, "a", "incr", "[]"));
        for answer in before {
            last += 1;
            assert_eq!(number(answer.wait().expect("answered")), last);
        }
        last += 1;
        assert_eq!(now, last);
    }
}

#[test]
fn a_worker_killed_under_a_waiting_thread_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = with_two(folder.path(), |_| {});
    let pid = |engine: &Engine| {
        let info = engine.info("a");
        info.worker_pid
    };
    assert_eq!(number(here(&engine, "a", "incr", "[]")), 1);
    for round in 0..20u64 {
        let victim = pid(&engine).and_then(|pid| pid.try_into().ok());
        let victim = victim.and_then(rustix::process::Pid::from_raw);
        let killer = std::thread::spawn(move || {
            let victim = victim.expect("awake");
            // It may be at the call, before it or after it.
            for _ in 0..victim.as_raw_nonzero().get() % 40 * 1_000 {
                std::hint::spin_loop();
            }
            let _ = rustix::process::kill_process(victim, rustix::process::Signal::KILL);
        });
        assert_eq!(number(here(&engine, "a", "spin", "[30000]")), 2 + 2 * round);
        killer.join().expect("killed");
        assert_eq!(number(here(&engine, "a", "incr", "[]")), 3 + 2 * round);
    }
}

#[test]
fn many_threads_at_once_are_each_answered_once_and_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = with_two(folder.path(), |_| {});
    let sum = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let (engine, sum) = (&engine, &sum);
            scope.spawn(move || {
                let vat = if thread % 2 == 0 { "a" } else { "b" };
                let mut last = 0;
                for round in 0..150 {
                    let now = match round % 3 {
                        0 => {
                            let answer = engine.send(vat, "incr", "[]").wait();
                            number(answer.expect("answered"))
                        }
                        _ => number(here(engine, vat, "incr", "[]")),
                    };
                    assert!(now > last);
                    last = now;
                    sum.fetch_add(now, Relaxed);
                }
            });
        }
    });
    // Each of the two counted from 1 to 450.
    assert_eq!(sum.load(Relaxed), 450 * 451);
    engine.stop().expect("a clean stop");
}
