//! A vat goes on where it was, whatever happens to its process.

use kenvat_testing::worker::TestVat;
use kenvat_wire::protocol::{ToWorker, TrackerKind};

const COUNTER: &str = "
export default (powers) => {
  let n = 0;
  return Far('counter', {
    incr: (by = 1) => (n += by),
    read: () => n,
  });
};
";

#[test]
fn a_counter_goes_on_through_kills_with_every_tracker() {
    for tracker in [
        TrackerKind::Userfaultfd,
        TrackerKind::PrivatePages,
        TrackerKind::Mprotect,
    ] {
        let mut vat = TestVat::deployed(COUNTER);
        vat.kill();
        vat.tracker = Some(tracker);
        let mut n = 0;
        for round in 0..20 {
            for _ in 0..5 {
                n += round;
                assert_eq!(vat.value("incr", &format!("[{round}]")), n.to_string());
            }
            vat.kill();
            assert_eq!(vat.value("read", "[]"), n.to_string(), "{tracker:?}");
        }
    }
}

#[test]
fn a_host_that_applies_late_gets_the_same_heap() {
    // A value that goes up in one hand-over and back in the next, with the base behind both.
    let source = "const state = { up: 0, list: [] }; export default {\n\
        flip: (v) => { state.up = v; state.list[0] = v * 1.5; return state.up; },\n\
        read: () => [state.up, state.list[0]] };";
    for tracker in [
        TrackerKind::Userfaultfd,
        TrackerKind::PrivatePages,
        TrackerKind::Mprotect,
    ] {
        let mut vat = TestVat::deployed(source);
        vat.kill();
        vat.tracker = Some(tracker);
        for lag in [1, 2, 5] {
            vat.lag = lag;
            for n in 0..40u32 {
                let value = [0, 1, 0, 2][n as usize % 4] * (1 + n / 20);
                vat.value("flip", &format!("[{value}]"));
                if n % 11 == 10 {
                    vat.kill();
                    let expected = format!("[{value},{}]", f64::from(value) * 1.5);
                    assert_eq!(
                        vat.value("read", "[]"),
                        expected,
                        "{tracker:?} lag {lag} at {n}"
                    );
                }
            }
        }
    }
}

#[test]
fn answers_that_would_not_fit_are_handed_over_unasked_or_refused() {
    let source = "export default { big: (n) => 'x'.repeat(n), shout(n) {\n\
        for (let i = 0; i < n; i += 1) console.log('y'.repeat(50000)); } };";
    let mut vat = TestVat::deployed(source);
    let mut requests = Vec::new();
    for _ in 0..3 {
        let (request, message) = vat.call_message("big", "[9000000]");
        requests.push(request);
        let turns = vec![vat.delivery(message)];
        vat.wake().send(&ToWorker::Deliver {
            turns,
            hand_over: false,
        });
        if requests.len() == 2 {
            assert!(vat.take_hand_over(), "18 MB wait: more than are held back");
            assert!(
                requests
                    .iter()
                    .all(|request| vat.replies.contains_key(request))
            );
        }
    }
    vat.wake().send(&ToWorker::HandOver);
    assert!(vat.take_hand_over());
    assert!(vat.replies.contains_key(&requests[2]));
    vat.call("shout", "[100]");
    let text: usize = vat.log.iter().map(|line| line.text.len()).sum();
    assert_eq!(text, 5_000_000, "bytes of log");
}
