//! Hand-overs that the frame being filled had no room for, and what their workers said after them.
//!
//! Promises: they leave in the order in which they came (J8), and nothing overtakes them: while one
//! waits, everything that comes waits behind it.

use std::collections::VecDeque;

use kenvat_store::VatId;

use crate::check::Checked;
use kenvat_wire::protocol::{AbortedBy, HandOver};

/// What waits for the next frame, in the order received.
#[derive(Debug, Default)]
pub(crate) struct HeldBack {
    queue: VecDeque<Entry>,
}

/// Something a worker said.
#[derive(Debug)]
pub(crate) struct Entry {
    pub vat: VatId,
    pub generation: u64,
    /// Of a frame.
    pub bytes: usize,
    pub said: Said,
}

#[derive(Debug)]
pub(crate) enum Said {
    HandOver(HandOver),
    /// A hand-over that was checked when its spill file was made.
    Checked(Box<Checked>),
    Aborted {
        turn: u64,
        by: AbortedBy,
        why: String,
    },
}

impl HeldBack {
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether something a vat's worker said waits.
    pub fn is_of(&self, vat: VatId) -> bool {
        self.queue.iter().any(|entry| entry.vat == vat)
    }

    pub fn push(&mut self, entry: Entry) {
        self.queue.push_back(entry);
    }

    /// Takes the first one, where the frame takes its bytes.
    pub fn pop_if(&mut self, takes: impl FnOnce(usize) -> bool) -> Option<Entry> {
        let bytes = self.queue.front()?.bytes;
        match takes(bytes) {
            true => self.queue.pop_front(),
            false => None,
        }
    }
}
