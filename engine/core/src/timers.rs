//! Timers: set by turns, durable with them, due as messages.
//!
//! Promises: a timer exists exactly when the turn that set it is committed or will be, and fires
//! once, as a turn whose time is not before it was due, after which it is gone together with that
//! turn; one that fell due while no host ran fires when one does. A sleeping vat wakes for it.
//! Does not know what a timer is for.
//!
//! Invariant: a timer is in `due`, or its message waits or is out, or its vat is broken.

use std::collections::{BTreeMap, BTreeSet};

use kenvat_store::VatId;

use crate::vats::RequestNo;

/// A timer of a vat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer {
    /// When it fires, in milliseconds since 1970.
    pub due_ms: i64,
    /// Its message, once it fell due.
    pub message: Option<RequestNo>,
}

/// The timers of all vats.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// Those whose message is not made yet: when, whose, which.
    due: BTreeSet<(i64, VatId, u64)>,
    /// Set and not fired, as of each vat's last hand-over.
    set: BTreeMap<VatId, BTreeMap<u64, Timer>>,
    /// The timers of a vat that has none.
    none: BTreeMap<u64, Timer>,
}

impl Timers {
    /// The timers of a vat.
    pub fn of(&self, vat: VatId) -> &BTreeMap<u64, Timer> {
        self.set.get(&vat).unwrap_or(&self.none)
    }

    /// The vat sets a timer.
    pub fn set(&mut self, vat: VatId, timer: u64, due_ms: i64) {
        let message = None;
        let known = self.set.entry(vat).or_default();
        let before = known.insert(timer, Timer { due_ms, message });
        debug_assert!(before.is_none(), "checked: it was not set");
        self.due.insert((due_ms, vat, timer));
    }

    /// The timer is no more: it was cleared, or its turn is in a frame.
    pub fn remove(&mut self, vat: VatId, timer: u64) -> Option<Timer> {
        let known = self.set.get_mut(&vat)?;
        let removed = known.remove(&timer)?;
        if known.is_empty() {
            self.set.remove(&vat);
        }
        if removed.message.is_none() {
            self.due.remove(&(removed.due_ms, vat, timer));
        }
        Some(removed)
    }

    /// The vat ends, and its timers with it: which they were.
    pub fn remove_all(&mut self, vat: VatId) -> Vec<u64> {
        let removed = self.set.remove(&vat).unwrap_or_default();
        for (timer, Timer { due_ms, .. }) in &removed {
            self.due.remove(&(*due_ms, vat, *timer));
        }
        removed.into_keys().collect()
    }

    /// The first timer that is due by now, taken out of those that are to fall due.
    pub fn pop_due(&mut self, now_ms: i64) -> Option<(VatId, u64)> {
        let (due_ms, ..) = *self.due.first()?;
        if due_ms > now_ms {
            return None;
        }
        let (_, vat, timer) = self.due.pop_first()?;
        Some((vat, timer))
    }

    /// The message of a timer that fell due waits from now on.
    pub fn note_message(&mut self, vat: VatId, timer: u64, no: RequestNo) {
        let known = self.set.get_mut(&vat).and_then(|set| set.get_mut(&timer));
        let known = known.expect("a timer that falls due is set");
        debug_assert!(known.message.is_none(), "a timer falls due once");
        known.message = Some(no);
    }

    /// The message of a timer could not be delivered: the timer is due again at that time.
    pub fn put_off(&mut self, vat: VatId, timer: u64, due_ms: i64) {
        let known = self.set.get_mut(&vat).and_then(|set| set.get_mut(&timer));
        if let Some(known) = known {
            *known = Timer {
                due_ms,
                message: None,
            };
            self.due.insert((due_ms, vat, timer));
        }
    }

    /// When the next timer falls due.
    pub fn next_ms(&self) -> Option<i64> {
        self.due.first().map(|(due_ms, ..)| *due_ms)
    }
}
