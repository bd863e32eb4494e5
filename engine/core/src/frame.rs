//! The frame being filled and the one being committed: what each will let out (T4).
//!
//! Invariant: an output is in exactly one frame, and leaves when that frame is durable, not before.

use kenvat_store::VatId;

use super::rows::{CountersRow, TimerRow, VatRow};
use super::vat::RequestNo;
use crate::api::{Deployed, VatLimits};

/// What waits at the gate for one frame.
#[derive(Debug)]
pub struct Frame<W> {
    /// Requests this frame settles.
    pub settled: Vec<RequestNo>,
    /// Hand-overs in it: vat, generation, number of the hand-over, counters once it is committed.
    pub turns: Vec<Turns>,
    pub born: Vec<Born<W>>,
    pub terminated: Vec<VatId>,
    pub limited: Vec<Limited<W>>,
    /// Bytes of the hand-overs in it, roughly.
    pub bytes: usize,
    pub is_empty: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct Turns {
    pub vat: VatId,
    pub generation: u64,
    pub hand_over: u64,
    pub counters: CountersRow,
}

/// A vat whose own limits this frame changes.
#[derive(Debug)]
pub struct Limited<W> {
    pub vat: VatId,
    pub limits: VatLimits,
    pub waiter: W,
}

/// A vat this frame makes.
#[derive(Debug)]
pub struct Born<W> {
    pub id: VatId,
    pub row: VatRow,
    pub counters: CountersRow,
    pub limits: VatLimits,
    pub deployed: Deployed,
    /// What its first turn set.
    pub timers: Vec<(u64, TimerRow)>,
    pub waiter: W,
}

impl<W> Default for Frame<W> {
    fn default() -> Frame<W> {
        Frame {
            settled: Vec::new(),
            turns: Vec::new(),
            born: Vec::new(),
            terminated: Vec::new(),
            limited: Vec::new(),
            bytes: 0,
            is_empty: true,
        }
    }
}

/// Where the one commit that may be under way stands (J2).
#[derive(Debug)]
pub enum Slot<W> {
    Free,
    /// Being written and synced.
    Syncing(Frame<W>),
    /// Durable; its outputs are out, its heap changes not yet in the images.
    Applying(Frame<W>),
}
