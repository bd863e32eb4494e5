//! Worker slots: how many worker processes there may be at once, who has one, who waits for one.
//!
//! Promises: slots are given in the order in which they were asked for; a machine that has nothing
//! to start a process with (descriptors, memory, process numbers) is asked again, less and less
//! often, and breaks no vat. Does not know what a process costs: the bound is given.

use std::collections::{BTreeSet, VecDeque};

use kenvat_store::VatId;

use crate::limits::{START_PAUSE_MS, START_PAUSE_MS_MAX};

/// Milliseconds a vat keeps its process at least, whoever else wants one.
pub(crate) const SLICE_MS: i64 = 250;
/// Milliseconds until a machine that refused a process is believed to have room for all again.
const REFUSAL_MS: i64 = 60_000;

/// Who has a process and who wants one.
#[derive(Debug)]
pub(crate) struct WorkerSlots {
    /// Vats with a process, one that is ending included.
    taken: BTreeSet<VatId>,
    /// Vats that want one. Some may have stopped wanting it.
    waiting: VecDeque<VatId>,
    /// Something changed since the vats were last looked through for one that could be evicted.
    is_changed: bool,
    /// What the machine could give when it last refused, and until when that is believed.
    refused: Option<(usize, i64)>,
    /// Starts that failed in a row for want of something, over all vats.
    failures: u32,
    /// No start is tried before this.
    not_before_ms: i64,
    next_generation: u64,
}

impl WorkerSlots {
    pub fn new() -> WorkerSlots {
        WorkerSlots {
            taken: BTreeSet::new(),
            waiting: VecDeque::new(),
            is_changed: false,
            refused: None,
            failures: 0,
            not_before_ms: i64::MIN,
            next_generation: 1,
        }
    }

    /// A number that no worker of this life of the host had.
    pub fn next_generation(&mut self) -> u64 {
        let generation = self.next_generation;
        self.next_generation += 1;
        generation
    }

    /// Vats that have a process.
    pub fn taken(&self) -> impl Iterator<Item = VatId> + '_ {
        self.taken.iter().copied()
    }

    /// How many vats wait for one.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The vat wants a process.
    pub fn want(&mut self, vat: VatId) {
        self.waiting.push_back(vat);
        self.is_changed = true;
    }

    /// The same, before all others: it had one that could not be started.
    pub fn want_first(&mut self, vat: VatId) {
        self.waiting.push_front(vat);
    }

    /// The next vat that wants a process, where there is a slot for one besides those that
    /// `deployments` have.
    pub fn next(&mut self, awake_max: usize, deployments: usize, now_ms: i64) -> Option<VatId> {
        let most = self.most(awake_max, now_ms);
        let is_free = now_ms >= self.not_before_ms && self.taken.len() + deployments < most;
        is_free.then(|| self.waiting.pop_front()).flatten()
    }

    /// How many processes there may be now.
    fn most(&self, awake_max: usize, now_ms: i64) -> usize {
        let most = awake_max.max(1);
        match self.refused {
            Some((held, until)) if now_ms < until => held.clamp(1, most),
            _ => most,
        }
    }

    /// The vat has a process.
    pub fn take(&mut self, vat: VatId) {
        let is_new = self.taken.insert(vat);
        debug_assert!(is_new, "a vat has one process at a time");
    }

    /// The vat's process is gone.
    pub fn give_back(&mut self, vat: VatId) {
        self.taken.remove(&vat);
        self.is_changed = true;
    }

    /// A vat may have become idle, or time went by.
    pub fn note_change(&mut self) {
        self.is_changed = true;
    }

    /// Whether vats are to be looked through for some to evict: others wait, and something changed
    /// since the last look.
    pub fn take_change(&mut self) -> bool {
        std::mem::take(&mut self.is_changed) && !self.waiting.is_empty()
    }

    /// A process was started and came up: the machine has what it takes.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// The machine could not start a process: how often before, in a row.
    pub fn note_refused(&mut self, deployments: usize, now_ms: i64) -> u32 {
        let held = self.taken.len() + deployments;
        self.refused = Some((held, now_ms.saturating_add(REFUSAL_MS)));
        let tries = self.failures;
        // Several may have been started before the first failed: that is one failure.
        if now_ms >= self.not_before_ms {
            self.failures = tries.saturating_add(1);
            let pause = (START_PAUSE_MS << tries.min(16)).min(START_PAUSE_MS_MAX);
            self.not_before_ms = now_ms.saturating_add(pause);
        }
        tries
    }

    /// When somebody who waits should be looked after at the latest.
    pub fn due_ms(&self, now_ms: i64) -> Option<i64> {
        let slice = now_ms.saturating_add(SLICE_MS);
        (!self.waiting.is_empty()).then(|| self.not_before_ms.clamp(now_ms, slice))
    }
}
