//! powers.timer inside a worker: what is promised when, and what is told to the host.

use kenvat_testing::worker::{TIME_MS, TestVat, undefined};
use kenvat_wire::protocol::{Message, TIMERS_MAX};

const SOURCE: &str = "export default ({ timer }) => {
  let kept; const seen = [];
  return {
    wake(ms) {
      kept = timer.wake(ms);
      kept.then(() => seen.push(ms), (e) => seen.push(e.message));
    },
    async sleep(ms) { await timer.wake(ms); return ms; },
    cancel: () => timer.cancel(kept),
    burn() { timer.wake(1); for (;;); },
    both() { timer.cancel(kept = timer.wake(5)); kept.catch(() => {}); },
    async ticks(ms, count) {
      const out = [];
      const clock = timer.every(ms);
      for await (const n of clock) { out.push(n); if (out.length === count) break; }
      return [out, timer.cancel(clock)];
    },
    many(count) { const all = []; for (let i = 0; i < count; i += 1) all.push(timer.wake(1e6));
      return Promise.race(all.slice(-1)); },
    async wrong(ms) { try { await timer.wake(ms); } catch (e) { return e.message; } },
    frozen: () => Object.isFrozen(timer) && Object.isFrozen(timer.wake),
    seen: () => seen,
  };
};";

fn vat() -> TestVat {
    let mut vat = TestVat::new();
    assert_eq!(vat.deploy(&[("main.js", SOURCE)], &[]), undefined());
    vat
}

#[test]
fn a_timer_wakes_its_promise_across_processes_and_once() {
    let mut vat = vat();
    let sleeping = vat.send("sleep", "[250]");
    assert_eq!(
        vat.timers.values().copied().collect::<Vec<_>>(),
        [TIME_MS + 250]
    );
    assert!(!vat.replies.contains_key(&sleeping));
    vat.kill();
    let timer = *vat.timers.keys().next().unwrap();
    assert!(vat.fire_next());
    assert_eq!(
        vat.replies.remove(&sleeping).map(|it| format!("{it:?}")),
        Some("Value(\"250\")".to_owned())
    );
    vat.run(vec![Message::Timer { timer }]);
    assert!(vat.timers.is_empty(), "a message too many does nothing");
}

#[test]
fn a_cancelled_timer_is_cleared_and_its_promise_broken() {
    let mut vat = vat();
    vat.value("wake", "[100]");
    assert_eq!(vat.timers.len(), 1);
    assert_eq!(vat.value("cancel", "[]"), "true");
    assert!(vat.timers.is_empty());
    assert_eq!(vat.value("cancel", "[]"), "false");
    assert_eq!(vat.value("seen", "[]"), "[\"the timer was cancelled\"]");
    // Set and cleared in one group: the host hears of neither.
    vat.value("both", "[]");
    assert!(vat.timers.is_empty());
}

#[test]
fn times_again_and_again_are_asked_for_one_by_one_and_missed_ones_are_left_out() {
    let mut vat = vat();
    let ticks = vat.send("ticks", "[1000, 3]");
    assert!(vat.fire_next());
    assert_eq!(vat.timers.len(), 1);
    assert_eq!(vat.timers.values().next(), Some(&(TIME_MS + 2_000)));
    vat.time_ms = TIME_MS + 5_500;
    assert!(vat.fire_next());
    assert_eq!(vat.timers.values().next(), Some(&(TIME_MS + 6_000)));
    assert!(vat.fire_next());
    assert!(!vat.fire_next(), "nobody asks any more");
    assert_eq!(
        vat.replies.remove(&ticks).map(|it| format!("{it:?}")),
        Some("Value(\"[[1,2,3],false]\")".to_owned())
    );
}

#[test]
fn wrong_times_and_too_many_timers_are_refused() {
    let mut vat = vat();
    for wrong in [
        "-1",
        "\"5\"",
        "null",
        "1e300",
        r#"{"$number":"NaN"}"#,
        r#"{"$bigint":"1"}"#,
    ] {
        let said = vat.value("wrong", &format!("[{wrong}]"));
        assert!(
            said.starts_with("\"wake: milliseconds must be"),
            "{wrong}: {said}"
        );
    }
    assert!(vat.timers.is_empty());
    let message = vat.thrown("many", &format!("[{}]", TIMERS_MAX + 1)).message;
    assert_eq!(message, format!("a vat has at most {TIMERS_MAX} timers"));
    assert_eq!(vat.timers.len(), TIMERS_MAX);
    assert_eq!(vat.value("frozen", "[]"), "true");
}
