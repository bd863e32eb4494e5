//! One frame: what is to happen once it is durable.
//!
//! Invariant: an output is registered in exactly one frame, and is taken out of it once, by the
//! commit.

use kenvat_store::VatId;

use super::{Durable, FrameNo};
use crate::api::{Deployed, VatLimits};
use crate::rows::{CountersRow, TimerRow, VatRow};

/// Something that waits for the frame being filled.
#[derive(Debug)]
pub enum OnCommit<W> {
    /// The request of this number is settled: whoever waits for it is answered.
    Settle(u64),
    /// A vat came this far.
    Progress(HandedOver),
    /// A vat's own limits change.
    Limit(Limited<W>),
    /// A vat is created.
    Create(Box<Created<W>>),
    /// A vat ends.
    Remove(VatId),
}

/// A hand-over in a frame.
#[derive(Clone, Copy, Debug)]
pub struct HandedOver {
    /// Whose it is.
    pub vat: VatId,
    /// The worker that handed over. 0 never runs: no worker is to be told of this one.
    pub generation: u64,
    /// Number of the hand-over among those of that worker.
    pub hand_over: u64,
    /// How far the vat has come once the frame is committed.
    pub counters: CountersRow,
}

/// A vat whose own limits a frame changes.
#[derive(Debug)]
pub struct Limited<W> {
    /// Whose they are.
    pub vat: VatId,
    /// What they will be.
    pub limits: VatLimits,
    /// Who asked for it.
    pub waiter: W,
}

/// A vat that a frame creates.
#[derive(Debug)]
pub struct Created<W> {
    /// Its number.
    pub id: VatId,
    /// Its row in the catalog.
    pub row: VatRow,
    /// Where its start left it.
    pub counters: CountersRow,
    /// What is its own and not its host's.
    pub limits: VatLimits,
    /// What its deployer is told.
    pub deployed: Deployed,
    /// What its start set.
    pub timers: Vec<(u64, TimerRow)>,
    /// Its deployer.
    pub waiter: W,
}

/// The frame that is being filled or committed.
#[derive(Debug)]
pub(super) struct Frame<W> {
    number: FrameNo,
    settled: Vec<u64>,
    turns: Vec<HandedOver>,
    created: Vec<Created<W>>,
    removed: Vec<VatId>,
    limited: Vec<Limited<W>>,
    /// Bytes of the hand-overs in it, roughly.
    bytes: usize,
    is_empty: bool,
}

/// A frame that is durable, and what was registered for that moment.
#[derive(Debug)]
pub struct DurableFrame<W> {
    proof: Durable,
    settled: Vec<u64>,
    turns: Vec<HandedOver>,
    created: Vec<Created<W>>,
    removed: Vec<VatId>,
    limited: Vec<Limited<W>>,
}

/// Where the one commit that may be under way stands (J2).
#[derive(Debug)]
pub(super) enum Slot<W> {
    Free,
    /// Being written and synced.
    Syncing(Frame<W>),
    /// Durable; its outputs are out, its heap changes not yet in the images.
    Applying {
        settled: Vec<u64>,
        turns: Vec<HandedOver>,
    },
}

impl<W> Frame<W> {
    pub fn numbered(number: FrameNo) -> Frame<W> {
        Frame {
            number,
            settled: Vec::new(),
            turns: Vec::new(),
            created: Vec::new(),
            removed: Vec::new(),
            limited: Vec::new(),
            bytes: 0,
            is_empty: true,
        }
    }

    pub fn number(&self) -> FrameNo {
        self.number
    }

    pub fn is_empty(&self) -> bool {
        self.is_empty
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn take_in(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    pub fn removes(&self, vat: VatId) -> bool {
        self.removed.contains(&vat)
    }

    pub fn push(&mut self, output: OnCommit<W>) {
        self.is_empty = false;
        match output {
            OnCommit::Settle(request) => self.settled.push(request),
            OnCommit::Progress(turns) => self.turns.push(turns),
            OnCommit::Limit(limited) => self.limited.push(limited),
            OnCommit::Create(created) => self.created.push(*created),
            OnCommit::Remove(vat) => {
                debug_assert!(!self.removes(vat), "a vat ends once");
                self.removed.push(vat);
            }
        }
    }

    pub fn committed(self, proof: Durable) -> DurableFrame<W> {
        debug_assert_eq!(proof.frame(), self.number);
        DurableFrame {
            proof,
            settled: self.settled,
            turns: self.turns,
            created: self.created,
            removed: self.removed,
            limited: self.limited,
        }
    }
}

impl<W> DurableFrame<W> {
    /// What lets its outputs leave.
    pub fn proof(&self) -> Durable {
        self.proof
    }

    /// Requests it settles.
    pub(crate) fn settled(&self) -> &[u64] {
        &self.settled
    }

    /// Hand-overs in it.
    pub(crate) fn turns(&self) -> &[HandedOver] {
        &self.turns
    }

    pub(crate) fn take_limited(&mut self) -> Vec<Limited<W>> {
        std::mem::take(&mut self.limited)
    }

    pub(crate) fn take_removed(&mut self) -> Vec<VatId> {
        std::mem::take(&mut self.removed)
    }

    pub(crate) fn take_created(&mut self) -> Vec<Created<W>> {
        std::mem::take(&mut self.created)
    }

    /// What is left to do when it is applied.
    pub(super) fn into_applying(self) -> (Vec<u64>, Vec<HandedOver>) {
        let taken = self.limited.is_empty() && self.removed.is_empty() && self.created.is_empty();
        debug_assert!(taken, "every output of the frame was let out");
        (self.settled, self.turns)
    }
}
