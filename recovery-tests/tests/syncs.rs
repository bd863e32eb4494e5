//! An idle call costs one sync, and no byte of its answer leaves before that returned.
//!
//! The host runs under `strace`; what it did between reading the call and writing the answer is
//! read from the trace. Where tracing is not permitted the test says so and does nothing.

use std::ffi::OsStr;
use std::fs;
use std::process::{Command, Stdio};

use kenvat_recovery_tests::process::{Store, not_tested};
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
        not_tested("strace is missing or may not trace here");
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
    let trace = fs::read_to_string(&trace).expect("strace wrote it");
    let lines: Vec<&str> = trace.lines().collect();
    let answers: Vec<usize> = (1..=ASKED + 1)
        .map(|value| answer_of(&lines, value))
        .collect();
    for pair in answers.windows(2) {
        judge(&lines[pair[0] + 1..=pair[1]]);
    }
}

/// The line that sends this value to the client.
fn answer_of(lines: &[&str], value: u64) -> usize {
    let answer = format!("\\\"ok\\\":{value}}}");
    let found = lines.iter().position(|line| line.contains(&answer));
    found.unwrap_or_else(|| panic!("no line answers {value}:\n{}", lines.join("\n")))
}

/// What the host did between sending one answer and sending the next, that line included.
fn judge(lines: &[&str]) {
    let story = lines.join("\n");
    // `sendto(18<socket:[4711]>, …`: the socket tells the client from workers and wake-ups.
    let client = lines
        .last()
        .and_then(|line| line.split_once('<')?.1.split_once('>'));
    let client = format!("<{}>", client.expect("strace names descriptors").0);
    let reads = |line: &&str| line.contains("recv") || line.contains("read");
    let arrived = lines
        .iter()
        .position(|line| reads(line) && line.contains(&client));
    let between = &lines[arrived.expect("the call was read")..lines.len() - 1];

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
    let leaks = between[..returned].iter().filter(|line| {
        let sends = ["sendto(", "sendmsg(", "write(", "writev("];
        sends.iter().any(|call| line.contains(call)) && line.contains(&client)
    });
    assert_eq!(
        leaks.count(),
        0,
        "nothing leaves before the sync returned:\n{story}"
    );
}
