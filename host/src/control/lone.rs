//! Lone: whether a client asks alone, so that the thread that reads its calls may carry them
//! through itself (T5) instead of waking others for it.
//!
//! Promises: with several clients at it nobody is taken for alone, since then one frame takes the
//! calls of all; the first call of another client ends it. Does not know what is asked.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

/// So many calls in a row must have come from one client.
const CALLS_MIN: u32 = 8;

/// How long such a thread waits for the vat: others that come meanwhile wait as long.
pub const PATIENCE: Duration = Duration::from_millis(1);

/// Who called last, over all clients of a host.
#[derive(Debug, Default)]
pub struct Lone {
    client: AtomicU64,
    calls: AtomicU32,
}

impl Lone {
    /// A client calls; whether all the last calls were its own.
    pub fn calls(&self, client: u64) -> bool {
        // Two that call at the same instant may both be miscounted: that costs them a little time.
        if self.client.swap(client, Relaxed) != client {
            self.calls.store(0, Relaxed);
        }
        self.calls.fetch_add(1, Relaxed) >= CALLS_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_alone_after_a_while_and_until_another_one_calls() {
        let lone = Lone::default();
        let first = (0..20).map(|_| lone.calls(1)).position(|is_lone| is_lone);
        assert_eq!(first, Some(CALLS_MIN as usize));
        assert!(!lone.calls(2));
        assert!(!lone.calls(1));
        assert!((0..100).all(|call| !lone.calls(call % 2)));
    }
}
