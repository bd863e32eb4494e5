//! A suspended async function, and a caller who waits for its promise, outlive ten hosts.
//!
//! `examples/workflow.js` through the command line, as its first lines say, with the host killed
//! between any two steps and after each answer.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use kenvat_recovery_tests::process::Store;
use serde_json::{Value, json};

/// Hosts killed in all.
const RESTARTS: u32 = 10;

fn example(name: &str) -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_folder
        .parent()
        .expect("the crate lies in the workspace")
        .join("examples")
        .join(name)
}

/// `kenvat call` in the background.
fn ask_for_result(store: &Store) -> Child {
    let mut command = store.command(&["call", "--id", "the-result", "workflow", "result"]);
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts")
}

fn call(store: &Store, words: &[&str]) -> Value {
    let text = store.ok(&[&["--json", "call", "workflow"], words].concat());
    serde_json::from_str(&text).expect("an answer is JSON")
}

#[test]
fn a_promise_is_answered_ten_hosts_after_it_was_asked_for() {
    let store = Store::new();
    store.deploy("workflow", &example("workflow.js"));
    let mut host = store.serve();
    call(&store, &["start", "lamp", "3"]);
    // This caller waits through all that follows, asking one host after the other.
    let waiting = ask_for_result(&store);
    // Questions of one connection are asked in order, so once the second is answered the turn of
    // the first is committed, and its promise pending on disk.
    let mut control = host.connect();
    let sent = control.send_call("workflow", "result", &json!([]), "another-result");
    sent.expect("the host serves");
    let status = control.call("workflow", "status", &json!([]), "after-the-result");
    assert!(status.expect("the host serves").is_ok());

    let mut steps = 0;
    for restart in 1..=RESTARTS {
        host.kill();
        host = store.serve();
        let status = call(&store, &["status"]);
        let expected = match restart {
            1..=3 => json!({"step": "approve", "item": "lamp", "left": 3}),
            4..=5 => json!({"step": "ship", "item": "lamp", "left": 3, "approvedBy": "ada"}),
            6..=8 => json!({"step": "ship", "item": "lamp", "left": 1, "approvedBy": "ada"}),
            _ => json!({"step": "done", "item": "lamp", "approvedBy": "ada", "parcels": [2, 1]}),
        };
        assert_eq!(status, expected, "after restart {restart}");
        steps += match restart {
            3 => step(&store, &["approve", "ada"]),
            5 => step(&store, &["ship", "2"]),
            8 => step(&store, &["ship", "1"]),
            _ => 0,
        };
    }
    assert_eq!(steps, 3);

    let expected = json!({"item": "lamp", "approvedBy": "ada", "parcels": [2, 1]});
    for id in ["the-result", "another-result"] {
        let text = store.ok(&["call", "--id", id, "workflow", "result"]);
        let answer: Value = serde_json::from_str(&text).expect("an answer is JSON");
        assert_eq!(
            answer, expected,
            "{id}, asked in the first life and answered in the last"
        );
    }
    let output = waiting.wait_with_output().expect("it is our child");
    assert!(
        output.status.success(),
        "the caller who waited all along: {}",
        output.status
    );
    let heard: Value = serde_json::from_slice(&output.stdout).expect("an answer is JSON");
    assert_eq!(heard, expected);
}

fn step(store: &Store, words: &[&str]) -> u32 {
    call(store, words);
    1
}
