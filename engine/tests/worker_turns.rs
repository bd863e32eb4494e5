//! A vat goes on where it was, whatever happens to its process.

mod common;

use common::TestVat;
use kenvat_engine::protocol::TrackerKind;

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
