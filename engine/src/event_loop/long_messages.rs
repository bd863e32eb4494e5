//! Which workers may send a long message now: there is memory for some at a time.
//!
//! Promises: messages longer than a piece of a delta are read in the order they began, together no
//! more bytes than `SPILL_BYTES_QUEUED`, or one alone; whoever waits is not overtaken, or the
//! longest would wait for ever. Does not know workers' sockets: the caller stops and resumes
//! reading.

use std::collections::{HashMap, VecDeque};

use kenvat_core::limits::SPILL_BYTES_QUEUED;

use crate::spill::Reading;

/// Long messages under way, by the generation of the worker that sends one.
#[derive(Debug, Default)]
pub(super) struct LongMessages {
    /// Bytes of each that is being read, until all of it is where it belongs.
    admitted: HashMap<u64, usize>,
    /// Workers that are not read from until such messages of others are through.
    waiting: VecDeque<u64>,
    /// The one of those whose turn it is.
    next: Option<u64>,
}

impl LongMessages {
    /// A worker's message has begun and is not there whole.
    pub fn begin(&mut self, generation: u64, bytes: usize) -> Reading {
        if self.admitted.contains_key(&generation) {
            return Reading::Goes;
        }
        let sum: usize = self.admitted.values().sum();
        let is_in_order = self.waiting.is_empty() || self.next == Some(generation);
        if is_in_order && (sum == 0 || sum + bytes <= SPILL_BYTES_QUEUED) {
            self.admitted.insert(generation, bytes);
            return Reading::Goes;
        }
        self.waiting.push_back(generation);
        Reading::Stops
    }

    /// What a worker sent is where it belongs, or counts no more. Whether others may follow.
    pub fn end(&mut self, generation: u64) -> bool {
        self.admitted.remove(&generation).is_some()
    }

    /// The first of those who wait, to be read from; `settle_next` follows.
    pub fn try_next(&mut self) -> Option<u64> {
        self.next = self.waiting.pop_front();
        self.next
    }

    /// After `try_next` and reading from that worker: whether the one behind it may be tried. One
    /// for which there is no memory yet goes back to the head of the queue.
    pub fn settle_next(&mut self, tried: u64) -> bool {
        self.next = None;
        let waits_again = self.waiting.back() == Some(&tried);
        if waits_again {
            self.waiting.rotate_right(1);
        }
        !waits_again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = SPILL_BYTES_QUEUED;

    #[test]
    fn long_messages_share_the_memory_there_is_in_the_order_they_began() {
        let mut long = LongMessages::default();
        assert_eq!(long.begin(1, MOST / 2), Reading::Goes);
        assert_eq!(long.begin(1, MOST / 2), Reading::Goes, "it is counted once");
        assert_eq!(long.begin(2, MOST / 2), Reading::Goes);
        assert_eq!(long.begin(3, MOST), Reading::Stops);
        assert_eq!(long.begin(4, 1), Reading::Stops, "nobody overtakes");
        assert!(long.end(1));
        assert!(!long.end(1));
        // Half of the memory is free, and the first who waits needs all of it.
        assert_eq!(long.try_next(), Some(3));
        assert_eq!(long.begin(3, MOST), Reading::Stops);
        assert!(!long.settle_next(3));
        assert!(long.end(2));
        assert_eq!(long.try_next(), Some(3), "it is still the first");
        assert_eq!(long.begin(3, MOST), Reading::Goes);
        assert!(long.settle_next(3));
        assert_eq!(long.try_next(), Some(4));
        assert_eq!(long.begin(4, 1), Reading::Stops);
        assert!(!long.settle_next(4));
    }

    #[test]
    fn a_message_longer_than_all_the_memory_is_read_alone() {
        let mut long = LongMessages::default();
        assert_eq!(long.begin(1, 2 * MOST), Reading::Goes);
        assert_eq!(long.begin(2, 1), Reading::Stops);
        assert!(long.end(1));
        assert_eq!(long.try_next(), Some(2));
        assert_eq!(long.begin(2, 1), Reading::Goes);
        assert!(long.settle_next(2));
        assert_eq!(long.try_next(), None);
    }
}
