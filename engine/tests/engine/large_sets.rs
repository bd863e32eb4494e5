//! Turns that answer and log much (J7): what they say goes to a side file, and only their vat waits
//! for it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use kenvat_engine::{CallError, Engine, Step, Trace};
use kenvat_testing::engine::{Answered, Ask, open};

const PROGRAM: &str = "
    let waiting = [], turns = 0, bytes = new Uint8Array(0);
    export const later = () => new Promise((done) => waiting.push(done));
    // Answers everybody who waits, and the caller, each with so much text.
    export const settle = (mib) => {
        turns++;
        const text = (n) => String(n).padEnd(mib << 20, 'y');
        waiting.forEach((done, n) => done(text(n)));
        waiting = [];
        return text(9);
    };
    export const say = (mib) => { turns++; return 'x'.repeat(mib << 20); };
    export const log = (mib) => {
        turns++;
        const line = 'z'.repeat((1 << 16) - 1);
        for (let i = 0; i < mib * 16; i++) console.log(line);
        return mib;
    };
    // Changes more than a frame takes, and answers and logs more as well.
    export const all = (mib) => {
        log(mib);
        bytes = new Uint8Array(mib << 20).fill(turns);
        return String(turns).padEnd(mib << 20, 'x');
    };
    export const sum = () => bytes[0] + bytes.length;
    export const count = () => turns;";

fn traced(dir: &Path, trace: &Arc<Trace>) -> Engine {
    open(dir.join("store"), |options| {
        options.trace = Some(trace.clone());
    })
}

/// The JSON of a text of so many MiB.
fn text(begin: &str, mib: usize, rest: &str) -> String {
    let rest = rest.repeat((mib << 20) - begin.len());
    format!("\"{begin}{rest}\"")
}

/// Fails without a line of 10 MiB.
fn assert_is(answer: &Answered, expected: &str, what: &str) {
    let is_so = answer.as_deref() == Ok(expected);
    assert!(is_so, "{what}: {:?}", answer.as_ref().map(String::len));
}

/// Bytes of the largest frame since the last look.
fn largest_frame(trace: &Trace) -> u64 {
    let marks = trace.drain().into_iter();
    let frames = marks.filter_map(|mark| match mark.step {
        Step::Sealed { journal_bytes } => Some(journal_bytes),
        _ => None,
    });
    frames.max().expect("something was committed")
}

fn side_files(dir: &Path) -> usize {
    fs::read_dir(dir.join("store/side"))
        .expect("the folder is there")
        .count()
}

#[test]
fn j7_what_is_too_large_for_a_frame_is_beside_it_and_found_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = Arc::new(Trace::default());
    let engine = traced(folder.path(), &trace);
    engine.deploy("v", PROGRAM).expect("it deploys");
    trace.drain();
    let later: Vec<_> = (0..3)
        .map(|n| engine.send_once("v", "later", "[]", &format!("later-{n}")))
        .collect();
    let whats = [
        (("v", "say", "[10]"), text("", 10, "x")),
        (("v", "log", "[20]"), "20".to_owned()),
        (("v", "all", "[12]"), text("3", 12, "x")),
        (("v", "settle", "[10]"), text("9", 10, "y")),
    ];
    for ((vat, method, args), expected) in &whats {
        assert_is(
            &engine.call_once(vat, method, args, method),
            expected,
            method,
        );
        // What a turn changed beside is in the frame: marks of a collection, most of it.
        let largest = largest_frame(&trace);
        assert!(largest < 2 << 20, "{method}: a frame of {largest} bytes");
    }
    for (n, answer) in later.into_iter().enumerate() {
        let expected = text(&n.to_string(), 10, "y");
        assert_is(&answer.wait().expect("answered"), &expected, "later");
    }
    let segments = fs::read_dir(folder.path().join("store/journal")).expect("the folder is there");
    let lengths = segments.map(|segment| segment.expect("an entry").metadata().map(|m| m.len()));
    let longest = lengths.map(|len| len.expect("a segment")).max();
    assert_eq!(longest, Some(4 << 20), "one was made for a large frame");
    let ask_again = |engine: &Engine| {
        for ((vat, method, args), expected) in &whats {
            assert_is(
                &engine.call_once(vat, method, args, method),
                expected,
                method,
            );
        }
        let again = engine.call_once("v", "later", "[]", "later-1");
        assert_is(&again, &text("1", 10, "y"), "later");
        let log = engine.log("v");
        assert!(log.text.len() >= 8 << 20, "{} bytes of log", log.text.len());
        assert!(log.text.ends_with("zzz\n"));
        assert_eq!(
            engine.call_once("v", "count", "[]", "count").as_deref(),
            Ok("4")
        );
    };
    ask_again(&engine);
    engine.put_to_sleep("v");
    engine.assert_no_damage();
    engine.stop().expect("a clean stop");
    assert_eq!(side_files(folder.path()), 0, "folded");
    let engine = open(folder.path().join("store"), |_| {});
    ask_again(&engine);
    let sum = engine.call_once("v", "sum", "[]", "sum");
    assert_eq!(sum, Ok((3 + (12 << 20)).to_string()));
    engine.assert_no_damage();
    engine.stop().expect("a clean stop");
}

#[test]
fn j7_only_the_vat_that_says_much_waits_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = Arc::new(Trace::default());
    let engine = traced(folder.path(), &trace);
    engine.deploy("v", PROGRAM).expect("it deploys");
    engine
        .deploy("w", "let n = 0; export const incr = () => ++n;")
        .expect("it deploys");
    let later: Vec<_> = (0..4)
        .map(|n| engine.send_once("v", "later", "[]", &format!("later-{n}")))
        .collect();
    engine
        .call_once("v", "count", "[]", "before")
        .expect("they wait");
    trace.drain();
    let large = engine.send_once("v", "settle", "[12]", "settle");
    let behind = engine.send_once("v", "count", "[]", "count");
    let mut other = 0;
    let mut call_other = || {
        other += 1;
        let id = format!("other-{other}");
        let answer = engine.call_once("w", "incr", "[]", &id);
        assert_eq!(answer, Ok(other.to_string()));
    };
    // While it is on its way: the worker needs longer to make the texts than a call here takes.
    while side_files(folder.path()) == 0 {
        call_other();
    }
    (0..20).for_each(|_| call_other());
    let answer = large.wait().expect("answered");
    assert_is(&answer, &text("9", 12, "y"), "settle");
    assert_eq!(behind.wait().expect("answered").as_deref(), Ok("1"));
    drop(later);
    let largest = largest_frame(&trace);
    assert!(largest < 2 << 20, "somebody waited for {largest} bytes");
    assert!(other > 20, "nobody called meanwhile");
    engine.stop().expect("a clean stop");
}

#[test]
fn j7_a_worker_killed_while_what_it_said_is_on_its_way_loses_and_repeats_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path().join("store"), |_| {});
    engine.deploy("v", PROGRAM).expect("it deploys");
    for expected in 1..=5 {
        let newest = || {
            let files = fs::read_dir(folder.path().join("store/side")).expect("there");
            files.map(|file| file.expect("an entry").file_name()).max()
        };
        let before = newest();
        let id = format!("all-{expected}");
        let answer = engine.send_once("v", "all", "[6]", &id);
        while newest() == before {
            std::thread::yield_now();
        }
        let info = engine.info("v");
        if let Some(pid) = info.worker_pid {
            let pid = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a process id");
            // Gone already where it was quick.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        let said = text(&expected.to_string(), 6, "x");
        assert_is(&answer.wait().expect("answered"), &said, "all");
        engine.put_to_sleep("v");
        assert_is(&engine.call_once("v", "all", "[6]", &id), &said, "again");
    }
    let count = engine.call_once("v", "count", "[]", "count");
    assert_eq!(count.as_deref(), Ok("5"));
    engine.assert_no_damage();
    engine.stop().expect("a clean stop");
}

/// Each says as much as a turn may: one after the other is heard, and none is forgotten.
#[test]
fn j7_vats_that_all_say_as_much_as_they_may_all_come_through() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path().join("store"), |_| {});
    let names = ["a", "b", "c", "d"];
    for name in names {
        engine.deploy(name, PROGRAM).expect("it deploys");
        for n in 0..3 {
            drop(engine.send_once(name, "later", "[]", &format!("{name}-{n}")));
        }
    }
    let answers = names.map(|name| engine.send_once(name, "settle", "[15]", name));
    for (name, answer) in names.iter().zip(answers) {
        assert_is(&answer.wait().expect("answered"), &text("9", 15, "y"), name);
        let last = engine.call_once(name, "later", "[]", &format!("{name}-2"));
        let is_kept = last.as_deref() == Ok(&text("2", 15, "y"));
        // A client's answers are kept up to a bound, the oldest go first.
        let is_gone = matches!(last, Err(CallError::AnswerGone { .. }));
        assert!(is_kept || is_gone, "{name}");
    }
    engine.assert_no_damage();
    engine.stop().expect("a clean stop");
}

#[test]
fn j7_what_a_vat_is_made_from_may_be_large() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = Arc::new(Trace::default());
    let engine = traced(folder.path(), &trace);
    trace.drain();
    let comment = "// a line of some length, which says nothing\n".repeat(150_000);
    let source = format!("export const at = () => 7;\n{comment}");
    engine.deploy("v", &source).expect("it deploys");
    let largest = largest_frame(&trace);
    assert!(largest < 2 << 20, "a frame of {largest} bytes");
    for _ in 0..2 {
        let answer = engine.call_once("v", "at", "[]", "at");
        assert_eq!(answer.as_deref(), Ok("7"));
        engine.put_to_sleep("v");
    }
    engine.assert_no_damage();
    engine.stop().expect("a clean stop");
    let engine = open(folder.path().join("store"), |_| {});
    let answer = engine.call_once("v", "at", "[]", "again");
    assert_eq!(answer.as_deref(), Ok("7"));
    engine.assert_no_damage();
    engine.stop().expect("a clean stop");
}

/// More than a frame would take if each answer were reckoned at its worst.
#[test]
fn a_turn_may_settle_tens_of_thousands_of_calls_under_keys() {
    const CALLS: usize = 30_000;
    // As many as may wait for a vat at once, less what else is asked.
    const AT_ONCE: usize = 5_000;
    let dir = tempfile::tempdir().expect("a folder");
    let engine = open(dir.path().join("store"), |_| {});
    engine.deploy("v", PROGRAM).expect("it deploys");
    let mut waiting = Vec::new();
    for batch in 0..CALLS / AT_ONCE {
        let ids = (0..AT_ONCE).map(|at| format!("later {}", batch * AT_ONCE + at));
        waiting.extend(ids.map(|id| engine.send_once("v", "later", "[]", &id)));
        let counted = engine.call_once("v", "count", "[]", &format!("count {batch}"));
        assert_eq!(counted.as_deref(), Ok("0"), "all before it are consumed");
    }
    let settled = engine.call_once("v", "settle", "[0]", "settle");
    assert_eq!(settled.as_deref(), Ok("\"9\""));
    for (at, answer) in waiting.into_iter().enumerate() {
        let answer = answer.wait().expect("answered");
        assert_eq!(answer, Ok(format!("\"{at}\"")));
    }
    engine.stop().expect("a clean stop");
    let engine = open(dir.path().join("store"), |_| {});
    let again = engine.call_once("v", "later", "[]", "later 29999");
    assert_eq!(again.as_deref(), Ok("\"29999\""), "kept, and not run again");
    let turns = engine.call_once("v", "count", "[]", "count");
    assert_eq!(turns.as_deref(), Ok("1"));
    engine.stop().expect("a clean stop");
}
