//! Turns that go past a limit, through a whole host: undone, answered with the limit's name, and
//! nobody else is disturbed (T2, T3).

use kenvat_engine::api::KilledBy;
use kenvat_engine::{CallError, DeployError};
use kenvat_testing::engine::{Answered, Ask, open};
use rustix::process::{Pid, Signal, kill_process};

const PROGRAM: &str = "let n = 0; let texts;
    export const incr = () => ++n;
    export const big = () => { n += 100; return 'x'.repeat(100e6); };
    export const doubles = () => {
        n += 100;
        let b = ['xxxxxxxx'];
        for (let i = 0; i < 60; i++) b = [b, b];
        return b;
    };
    export const shout = () => { n += 100; for (;;) console.log('\x1b'.repeat(10000)); };
    export const nest = () => { n += 100; const f = () => { try { f(); } catch { f(); } }; f(); };
    export const loop = () => { n += 100; for (;;); };
    // Sorting strings that differ at their ends only: one C function that never polls.
    export const sort = () => {
        n += 100;
        const long = 'a'.repeat(1e6);
        texts = Array.from({ length: 60 }, (_, i) => (long + i).split('').join(''));
        const many = Array.from({ length: 1e5 }, (_, i) => texts[(i * 7919) % 60]);
        return many.sort().length;
    };";

fn killed_by(answer: Answered) -> KilledBy {
    match answer {
        Err(CallError::TurnKilled { by, .. }) => by,
        other => panic!("not ended by a limit: {other:?}"),
    }
}

#[test]
fn a_loop_is_undone_among_other_calls_and_its_error_is_kept_under_its_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), |options| options.gas = 20_000_000);
    engine.deploy("v", PROGRAM).expect("it deploys");
    let answers: Vec<_> = (0..40)
        .map(|at| match at % 4 {
            1 => engine.send("v", "nest", "[]"),
            3 => engine.send_once("v", "loop", "[]", &format!("loop {at}")),
            _ => engine.send("v", "incr", "[]"),
        })
        .collect();
    let mut expected = 0;
    for (at, answer) in answers.into_iter().enumerate() {
        let answer = answer.wait().expect("answered");
        if at % 4 == 3 {
            assert_eq!(killed_by(answer), KilledBy::Gas);
        } else if at % 4 == 1 {
            assert_eq!(killed_by(answer), KilledBy::Stack);
        } else {
            expected += 1;
            assert_eq!(answer.as_deref(), Ok(expected.to_string().as_str()));
        }
    }
    let turns = engine.info("v").turns;
    assert_eq!(
        turns, 41,
        "the deployment and forty calls, each consumed once"
    );
    let again = engine
        .send_once("v", "loop", "[]", "loop 3")
        .wait()
        .expect("answered");
    assert_eq!(killed_by(again), KilledBy::Gas);
    let after = engine.info("v").turns;
    assert_eq!(after, turns, "asked again, it is not run again");
    engine.stop().expect("a clean stop");
}

#[test]
fn what_sends_too_much_is_undone_and_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), |options| options.gas = u64::MAX);
    engine.deploy("v", PROGRAM).expect("it deploys");
    assert_eq!(engine.call("v", "incr", "[]").as_deref(), Ok("1"));
    for (expected, (method, limit)) in (2..).zip([
        ("big", "16777216 bytes"),
        ("doubles", "16777216 bytes"),
        // Counted as the log has it: six bytes for each of these.
        ("shout", "67108864 bytes"),
    ]) {
        match engine.call("v", method, "[]") {
            Err(CallError::TurnKilled { by, why }) => {
                assert_eq!(by, KilledBy::Sent, "{method}");
                assert!(why.contains(limit), "{method}: {why}");
            }
            other => panic!("{method}: {other:?}"),
        }
        let next = engine.call("v", "incr", "[]");
        assert_eq!(
            next.as_deref(),
            Ok(expected.to_string().as_str()),
            "{method}"
        );
    }
    let log = engine.log("v");
    assert_eq!(log.text, "", "what an undone turn logged is dropped");
    engine.stop().expect("a clean stop");
}

#[test]
fn what_never_polls_is_ended_by_the_clock_and_another_vat_goes_on_meanwhile() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), |options| {
        options.turn_ms = 700;
        options.gas = u64::MAX;
    });
    engine.deploy("v", PROGRAM).expect("it deploys");
    engine.deploy("w", PROGRAM).expect("it deploys");
    assert_eq!(engine.call("v", "incr", "[]").as_deref(), Ok("1"));
    let hangs = engine.send("v", "sort", "[]");
    let behind = engine.send("v", "incr", "[]");
    for expected in 1..=50 {
        let answer = engine.call("w", "incr", "[]");
        assert_eq!(answer.as_deref(), Ok(expected.to_string().as_str()));
    }
    assert_eq!(killed_by(hangs.wait().expect("answered")), KilledBy::Clock);
    let behind = behind.wait().expect("answered");
    assert_eq!(behind.as_deref(), Ok("2"), "the vat lives on as it was");
    engine.stop().expect("a clean stop");
}

/// C code that runs long without asking whether it may go on, each in a loop that would reach such
/// a question after hours.
const STUBBORN: &str = "let n = 0; const many = 'a\u{301}b'.repeat(3e5);
    const big = 3n ** 300000n; const list = Array.from({ length: 2e5 }, (_, i) => i * 7919 % 99991);
    export const incr = () => ++n;
    export const repeat = () => { for (;;) n += 'ab'.repeat(1e7).length; };
    export const fill = () => { const a = new Uint8Array(3e7); for (;;) a.fill(++n); };
    export const bigint = () => { for (;;) n = big * big > 0n; };
    export const normalize = () => { for (;;) n = many.normalize('NFD').length; };
    export const json = () => { for (;;) n = JSON.stringify(list).length; };
    export const parse = () => { const t = JSON.stringify(list); for (;;) JSON.parse(t); };
    export const search = () => 'a'.repeat(2e6).indexOf('a'.repeat(1e6) + 'b');
    export const sorts = () => { for (;;) n = Float64Array.from(list).sort().length; };
    export const join = () => { for (;;) n = list.join().length; };
    export const copy = () => { for (;;) n = list.concat(list, list).length; };";

#[test]
fn c_code_that_never_asks_is_ended_by_the_clock_and_the_next_call_works() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), |options| {
        options.turn_ms = 500;
        options.gas = u64::MAX;
    });
    engine.deploy("v", STUBBORN).expect("it deploys");
    let methods = [
        "repeat",
        "fill",
        "bigint",
        "normalize",
        "json",
        "parse",
        "search",
        "sorts",
        "join",
        "copy",
    ];
    for (expected, method) in (1..).zip(methods) {
        match engine.call("v", method, "[]") {
            Err(CallError::TurnKilled { by, why }) => {
                assert_eq!(by, KilledBy::Clock, "{method}: {why}");
                assert!(why.contains("longer"), "{method}: {why}");
            }
            other => panic!("{method}: {other:?}"),
        }
        let next = engine.call("v", "incr", "[]");
        assert_eq!(next, Ok(expected.to_string()), "{method}");
    }
    engine.stop().expect("a clean stop");
}

#[test]
fn a_start_function_past_a_limit_leaves_no_vat() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), |options| options.gas = 20_000_000);
    for (source, limit) in [
        ("export default () => { for (;;); };", "gas"),
        (
            "export default () => { const f = () => f(); f(); };",
            "stack",
        ),
    ] {
        match engine.deploy("v", source) {
            Err(DeployError::Program { message, .. }) => {
                assert!(message.contains(limit), "{message}")
            }
            other => panic!("{limit}: {other:?}"),
        }
    }
    assert!(engine.handle().list().wait().expect("answered").is_empty());
    engine.deploy("v", PROGRAM).expect("the name is free");
    engine.stop().expect("a clean stop");
}

#[test]
fn a_message_whose_worker_crashes_three_times_is_answered_and_the_vat_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), |options| {
        options.gas = u64::MAX;
        options.turn_ms = u64::MAX;
    });
    engine.deploy("v", PROGRAM).expect("it deploys");
    assert_eq!(engine.call("v", "incr", "[]").as_deref(), Ok("1"));
    let crashes = engine.send("v", "loop", "[]");
    let mut killed = std::collections::BTreeSet::new();
    while killed.len() < 3 {
        let info = engine.info("v");
        // A worker that has not begun the turn yet would die before taking any message.
        if let Some(pid) = info
            .worker_pid
            .filter(|pid| is_busy(*pid) && !killed.contains(pid))
        {
            let pid_of = Pid::from_raw(pid.cast_signed()).expect("a process id");
            kill_process(pid_of, Signal::ABORT).expect("the worker is ours");
            killed.insert(pid);
        }
    }
    assert_eq!(
        killed_by(crashes.wait().expect("answered")),
        KilledBy::Crash
    );
    assert_eq!(engine.call("v", "incr", "[]").as_deref(), Ok("2"));
    engine.stop().expect("a clean stop");
}

/// Whether a process has used so much of its processor that it must be inside the endless turn.
fn is_busy(pid: u32) -> bool {
    const TICKS: u64 = 10;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let user_ticks = stat
        .rsplit(')')
        .next()
        .and_then(|rest| rest.split(' ').nth(12));
    user_ticks
        .and_then(|ticks| ticks.parse::<u64>().ok())
        .is_some_and(|ticks| ticks > TICKS)
}
