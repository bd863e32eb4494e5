//! Timers outlive hosts and workers: each fires exactly once, in the order of their times, also
//! those that fell due while nothing ran.

use kenvat_recovery_tests::process::Store;
use serde_json::{Value, json};

/// Timers set, and milliseconds between one and the next.
const TIMERS: u64 = 60;
const APART_MS: u64 = 15;
/// Hosts killed while they fire.
const KILLS: u32 = 8;

const ALARMS: &str = "export default ({ timer }) => {
  const fired = [];
  const all = [];
  return {
    set(count, ms) {
      for (let i = 0; i < count; i += 1) all.push(timer.wake(i * ms).then(() => fired.push(i)));
    },
    seen: () => fired.length,
    all: () => Promise.all(all).then(() => fired),
  };
};";

fn answer(store: &Store, words: &[&str]) -> Value {
    serde_json::from_str(&store.ok(&[&["--json", "call"], words].concat())).expect("JSON")
}

#[test]
fn each_timer_fires_once_whoever_is_killed_meanwhile() {
    let store = Store::new();
    store.deploy("alarms", &store.source("alarms.js", ALARMS));
    let mut host = store.serve();
    let start = std::time::Instant::now();
    let (count, apart) = (TIMERS.to_string(), APART_MS.to_string());
    store.ok(&["call", "alarms", "set", &count, &apart]);
    let mut seen = 0;
    for kill in 0..KILLS {
        let now = answer(&store, &["alarms", "seen"])
            .as_u64()
            .expect("a count");
        assert!(now >= seen, "{now} had fired, and {seen} before");
        seen = now;
        if kill % 3 == 2 {
            host.kill_worker(0);
        } else {
            host.kill();
            host = store.serve();
        }
    }
    let expected: Vec<u64> = (0..TIMERS).collect();
    assert_eq!(
        answer(&store, &["--id", "x", "alarms", "all"]),
        json!(expected)
    );
    let (took, due) = (
        start.elapsed().as_millis(),
        u128::from((TIMERS - 1) * APART_MS),
    );
    assert!(
        took >= due,
        "the last fired after {took} ms, before its time of {due}"
    );
    assert_eq!(answer(&store, &["alarms", "seen"]), json!(TIMERS));
    host.stop();
}
