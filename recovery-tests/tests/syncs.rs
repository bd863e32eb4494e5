//! An idle call costs one sync, and no byte of its answer leaves before that returned.
//!
//! The host runs under `strace`; what it did between reading the call and writing the answer is
//! read from the trace. Where tracing is not permitted the test says so and does nothing.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use kenvat_recovery_tests::process::Store;
use serde_json::json;

const COUNTER: &str = "\
export default () => {
  let n = 0;
  return Far('counter', { incr: () => (n += 1) });
};
";

/// What is traced: everything that syncs, and everything through which bytes leave or reach a disk.
const CALLS: &str = "trace=fdatasync,fsync,sync_file_range,msync,write,writev,pwrite64,pwritev,\
                     pwritev2,sendto,sendmsg,read,readv,recvfrom,recvmsg";
/// Calls that are looked at, one after the other on an idle host.
const ASKED: u64 = 5;

fn may_trace() -> bool {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-e", "trace=none", "true"]);
    strace
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    strace.status().is_ok_and(|status| status.success())
}

#[test]
fn an_idle_call_costs_one_sync_and_its_answer_waits_for_it() {
    if !may_trace() {
        eprintln!("NOT TESTED: strace is missing or may not trace here");
        return;
    }
    let store = Store::new();
    let source = store.source("counter.js", COUNTER);
    store.deploy("counter", &source);
    let trace = source.with_file_name("trace");
    let options = [
        "strace",
        "-f",
        "-y",
        "-s",
        "256",
        "-e",
        CALLS,
        "-e",
        "signal=none",
        "-o",
    ];
    let mut wrapper: Vec<&OsStr> = options.iter().map(OsStr::new).collect();
    wrapper.extend([trace.as_os_str(), OsStr::new("--")]);
    let host = store.serve_under(&wrapper);
    let mut control = host.connect();
    // The first call wakes the vat, which is not what is counted.
    for n in 0..=ASKED {
        let id = format!("question-{n}");
        let answer = control
            .call("counter", "incr", &json!([]), &id)
            .expect("the host serves");
        assert_eq!(answer, Ok(json!(n + 1)));
    }
    host.stop();
    for n in 1..=ASKED {
        judge(&trace, &format!("question-{n}"), n + 1);
    }
}

/// What the host did from reading the call to writing its answer.
fn judge(trace: &Path, id: &str, value: u64) {
    let trace = fs::read_to_string(trace).expect("strace wrote it");
    let lines: Vec<&str> = trace.lines().collect();
    let arrived = lines
        .iter()
        .position(|line| line.contains(&format!("\\\"id\\\":\\\"{id}\\\"")));
    let arrived = arrived.unwrap_or_else(|| panic!("no line of the trace reads {id}:\n{trace}"));
    let answer = format!("\\\"ok\\\":{value}}}");
    let left = lines[arrived..]
        .iter()
        .position(|line| line.contains(&answer));
    let left = arrived + left.unwrap_or_else(|| panic!("no line answers {id}"));
    let between = &lines[arrived..left];
    let story = lines[arrived..=left].join("\n");

    let syncs = ["fdatasync(", "fsync(", "msync(", "sync_file_range("];
    let begun = between
        .iter()
        .filter(|line| syncs.iter().any(|call| line.contains(call)));
    let begun: Vec<_> = begun.filter(|line| !line.contains("resumed>")).collect();
    assert_eq!(begun.len(), 1, "one sync a call:\n{story}");
    assert!(
        begun[0].contains("fdatasync(") && begun[0].contains("/journal/"),
        "{story}"
    );

    let returned = between.iter().position(|line| {
        line.contains("fdatasync") && !line.contains("unfinished") && line.ends_with("= 0")
    });
    let returned = returned.unwrap_or_else(|| panic!("the sync returned before:\n{story}"));
    let written = between.iter().position(|line| {
        line.contains("/journal/") && (line.contains("pwrite") || line.contains("write("))
    });
    assert!(
        written.is_some_and(|written| written < returned),
        "the frame first:\n{story}"
    );
    // Of what goes over a socket before the sync returned, nothing is an answer to a client.
    let leaks = between[..returned].iter().filter(|line| {
        let sends = ["sendto(", "sendmsg(", "write(", "writev("];
        sends.iter().any(|call| line.contains(call)) && line.contains("control.sock")
    });
    assert_eq!(
        leaks.count(),
        0,
        "nothing leaves before the sync returned:\n{story}"
    );
}
