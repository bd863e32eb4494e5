//! The single-client fast path: whether one client alone sends calls, so that the thread that
//! reads its calls may carry them through itself (T5) instead of waking other threads for it.
//!
//! Promises: while several clients call, none of them counts as alone, since then one frame takes
//! the calls of all; the first call of another client ends the fast path. Does not know what is
//! asked.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::thread::yield_now;
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, recv};

/// How many calls in a row must have come from one client before it counts as alone.
const CALLS_MIN: u32 = 8;

/// How long a thread that carries a call through waits for the vat. Clients that arrive meanwhile
/// wait as long.
pub const INLINE_WAIT_MAX: Duration = Duration::from_millis(1);

/// How long the thread polls for the next call of a client that calls again at once, before it
/// sleeps: about as long as waking it would take.
const POLL_MAX: Duration = Duration::from_micros(60);

/// A client whose next call arrives within this time of its answer, the waking included, is
/// expected to do so again.
const NEXT_CALL_MAX: Duration = Duration::from_micros(100);

/// Counts the calls in a row of the client that called last, over all clients of a host.
#[derive(Debug, Default)]
pub struct SingleClient {
    client: AtomicU64,
    calls: AtomicU32,
}

impl SingleClient {
    /// Counts a call of a client; returns whether it alone sent the last `CALLS_MIN` calls.
    pub fn count_call(&self, client: u64) -> bool {
        // Two clients that call at the same instant may both be miscounted. That costs them a
        // little time and nothing else.
        if self.client.swap(client, Relaxed) != client {
            self.calls.store(0, Relaxed);
        }
        self.calls.fetch_add(1, Relaxed) >= CALLS_MIN
    }
}

/// Polls for the next call of a single client that calls again as soon as it is answered: sleeping
/// in between would only cost both sides a waking.
#[derive(Debug, Default)]
pub struct BusyPoll {
    is_expected: bool,
    answered: Option<Instant>,
}

impl BusyPoll {
    /// Notes that the client has its answer. If it called again at once so far, polls for its next
    /// call for at most `POLL_MAX`, and yields the processor to other threads meanwhile.
    pub fn answered(&mut self, socket: impl AsFd) {
        let now = Instant::now();
        self.answered = Some(now);
        if !self.is_expected {
            return;
        }
        self.is_expected = false;
        while now.elapsed() < POLL_MAX {
            let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
            // Anything else, the end of the stream included, is left to the ordinary read.
            if recv(&socket, &mut [0], flags).is_ok() {
                self.is_expected = true;
                return;
            }
            yield_now();
        }
    }

    /// Notes that a call of the client has arrived.
    pub fn called(&mut self) {
        if let Some(answered) = self.answered.take() {
            self.is_expected |= answered.elapsed() < NEXT_CALL_MAX;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_polled_for_only_where_the_last_one_came_at_once() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let mut poll = BusyPoll::default();
        rustix::net::send(&theirs, b"call", rustix::net::SendFlags::empty()).expect("sent");
        poll.answered(&ours);
        assert!(!poll.is_expected, "nothing is known of it yet");
        poll.is_expected = true;
        poll.answered(&ours);
        assert!(poll.is_expected, "the call was there");
        let mut bytes = [0; 4];
        recv(&ours, &mut bytes, RecvFlags::empty()).expect("read");
        assert_eq!(&bytes, b"call", "polling took nothing");
        let begun = Instant::now();
        poll.answered(&ours);
        assert!(!poll.is_expected && begun.elapsed() >= POLL_MAX);
        let begun = begun + POLL_MAX;
        poll.answered(&ours);
        assert!(poll.answered.is_some_and(|answered| answered >= begun));
    }

    #[test]
    fn a_client_is_alone_after_a_while_and_until_another_one_calls() {
        let single = SingleClient::default();
        let first = (0..20)
            .map(|_| single.count_call(1))
            .position(|is_single| is_single);
        assert_eq!(first, Some(CALLS_MIN as usize));
        assert!(!single.count_call(2));
        assert!(!single.count_call(1));
        assert!((0..100).all(|call| !single.count_call(call % 2)));
    }
}
