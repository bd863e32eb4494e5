//! A real host whose disk fails in the middle of a call: writes and syncs that come back with an
//! error, are interrupted, or find no room although there is some, as with a quota.
//!
//! The errors are put in by `strace`; where running processes may not be traced the test says so
//! and does nothing.

use kenvat_recovery_tests::process::{Asked, Lost, Store, Tracer, may_attach, not_tested};
use serde_json::{Value, json};

const KEEPER: &str = "\
let n = 0;
let held = new Uint8Array(1);
export const incr = () => (n += 1);
export const fill = (value) => {
  held = new Uint8Array(5 << 20).fill(value);
  return (n += 1);
};
export const isWhole = () => held.every((byte) => byte === held[0]);
";

/// What a call comes to whose host's disk fails so.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// It is done as if nothing had been.
    Done,
    /// It is refused with nothing done, and done once there is room.
    NoRoom,
    /// The host says so and stops; the next one answers.
    Stops,
}

/// The call, the kind of system call that fails, its error, and which of them do.
const CASES: [(&str, &str, &str, &str, End); 12] = [
    ("incr", "pwrite64", "EINTR", "1", End::Done),
    ("incr", "pwrite64", "EIO", "1", End::Stops),
    ("incr", "fdatasync", "EIO", "1", End::Stops),
    // Whether it was done cannot be known, and it is not asked for twice (J6).
    ("incr", "fdatasync", "EINTR", "1", End::Stops),
    ("incr", "fdatasync", "EDQUOT", "1", End::Stops),
    ("fill", "pwrite64", "EINTR", "1", End::Done),
    ("fill", "pwrite64", "EIO", "1", End::Stops),
    ("fill", "fdatasync", "EIO", "1", End::Stops),
    // The side file's own writes and room: nothing names it yet.
    ("fill", "pwrite64", "EDQUOT", "1", End::NoRoom),
    ("fill", "pwrite64", "ENOSPC", "1", End::NoRoom),
    ("fill", "fallocate", "EDQUOT", "1+", End::NoRoom),
    ("fill", "fallocate", "ENOSPC", "1+", End::NoRoom),
];

fn call(store: &Store, method: &str, id: &str) -> Result<Asked, Lost> {
    let mut control = kenvat_recovery_tests::process::Control::connect(&store.dir())?;
    let args = if method == "fill" {
        json!([7])
    } else {
        json!([])
    };
    control.call("keeper", method, &args, id)
}

#[test]
fn a_failing_disk_is_told_and_what_was_asked_is_done_once() {
    if !may_attach() {
        not_tested("strace is missing or may not trace a running process here");
        return;
    }
    let store = Store::new();
    let source = store.source("keeper.js", KEEPER);
    store.deploy("keeper", &source);
    let mut host = store.serve();
    for (counted, (method, kind, error, when, end)) in (1..).zip(CASES) {
        let place = format!("{method}, {kind} {error}");
        let id = format!("case-{counted}");
        // Awake, so that the failing call is the one asked for.
        let calm = call(&store, "isWhole", &format!("calm-{counted}"));
        assert_eq!(calm, Ok(Ok(json!(true))), "{place}");
        let tracer = Tracer::fail(host.pid(), kind, error, when);
        let met = call(&store, method, &id);
        match end {
            End::Done => assert_eq!(met, Ok(Ok(json!(counted))), "{place}"),
            End::NoRoom => {
                let (_, message) = met.expect(&place).expect_err(&place);
                assert!(message.contains("nothing was done"), "{place}: {message}");
            }
            End::Stops => assert!(!matches!(met, Ok(Ok(_))), "{place}: {met:?}"),
        }
        match end {
            End::Stops => {
                assert!(!host.ended_well(), "{place}");
                drop(tracer);
                let said = store.errors();
                assert!(said.contains("the host stops"), "{place}: {said}");
                host = store.serve();
            }
            _ => tracer.finish(),
        }
        // Under its id: done once, by whichever host.
        assert_eq!(call(&store, method, &id), Ok(Ok(json!(counted))), "{place}");
        assert_eq!(call(&store, method, &id), Ok(Ok(json!(counted))), "{place}");
    }
    assert_eq!(call(&store, "isWhole", "end"), Ok(Ok(json!(true))));
    host.stop();
    let verified: Value = serde_json::from_str(&store.ok(&["--json", "verify"])).expect("JSON");
    assert_eq!(verified["damages"], json!([]));
}
