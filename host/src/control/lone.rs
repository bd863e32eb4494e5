//! Lone: whether a client asks alone, so that the thread that reads its calls may carry them
//! through itself (T5) instead of waking others for it.
//!
//! Promises: with several clients at it nobody is taken for alone, since then one frame takes the
//! calls of all; the first call of another client ends it. Does not know what is asked.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::thread::yield_now;
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, recv};

/// So many calls in a row must have come from one client.
const CALLS_MIN: u32 = 8;

/// How long such a thread waits for the vat: others that come meanwhile wait as long.
pub const PATIENCE: Duration = Duration::from_millis(1);

/// How long the thread that answered a client in haste looks for its next call before it sleeps:
/// about what waking it would take.
const LOOK_MAX: Duration = Duration::from_micros(60);

/// A client that called again so soon after it was answered, the waking included, is in haste.
const HASTE_MAX: Duration = Duration::from_micros(100);

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

/// Whether a client that is alone calls again at once, so that sleeping in between would only cost
/// both of them a waking.
#[derive(Debug, Default)]
pub struct Haste {
    is_likely: bool,
    answered: Option<Instant>,
}

impl Haste {
    /// The client has its answer. Where it was in haste so far, its next call is looked for a
    /// moment, giving way to whoever else wants the processor.
    pub fn answered(&mut self, socket: impl AsFd) {
        let now = Instant::now();
        self.answered = Some(now);
        if !self.is_likely {
            return;
        }
        self.is_likely = false;
        while now.elapsed() < LOOK_MAX {
            let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
            // Whatever else it says, its end included, is read in the ordinary way.
            if recv(&socket, &mut [0], flags).is_ok() {
                self.is_likely = true;
                return;
            }
            yield_now();
        }
    }

    /// The client calls.
    pub fn asked(&mut self) {
        if let Some(answered) = self.answered.take() {
            self.is_likely |= answered.elapsed() < HASTE_MAX;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_looked_for_only_where_the_last_one_came_in_haste() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let mut haste = Haste::default();
        rustix::net::send(&theirs, b"call", rustix::net::SendFlags::empty()).expect("sent");
        haste.answered(&ours);
        assert!(!haste.is_likely, "nothing is known of it yet");
        haste.is_likely = true;
        haste.answered(&ours);
        assert!(haste.is_likely, "the call was there");
        let mut bytes = [0; 4];
        recv(&ours, &mut bytes, RecvFlags::empty()).expect("read");
        assert_eq!(&bytes, b"call", "it was only looked at");
        let begun = Instant::now();
        haste.answered(&ours);
        assert!(!haste.is_likely && begun.elapsed() >= LOOK_MAX);
        let begun = begun + LOOK_MAX;
        haste.answered(&ours);
        assert!(haste.answered.is_some_and(|answered| answered >= begun));
    }

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
