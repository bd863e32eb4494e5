//! How far a vat has come: what its worker was sent, asked for, has handed over, and what of that
//! is in the image.
//!
//! Invariants, asserted here where the state changes:
//! - `handed_turn + delivered.len()` is the last turn number given out: turns have no gaps.
//! - `delivered` holds what the worker was sent and has not handed over; if the worker dies, it
//!   goes back to the head of the queue in its order, and gets the same turn numbers again.
//! - a hand-over is asked for only while turns are out, and once.
//! - hand-overs of one worker are numbered from 1 without gaps.

use std::collections::{BTreeSet, VecDeque};

use super::vat::RequestNo;
use crate::rows::CountersRow;

/// What was delivered, asked, handed over, applied.
#[derive(Debug)]
pub(crate) struct Progress {
    /// The last turn handed over, or consumed with its error.
    handed_turn: u64,
    /// Pages in use as of the last hand-over.
    handed_pages: u32,
    delivered: VecDeque<RequestNo>,
    /// Which of the turns delivered are timers'.
    timer_turns: BTreeSet<u64>,
    /// A hand-over was asked for and has not come yet.
    is_asked: bool,
    /// Number of the last hand-over accepted from this worker.
    hand_over: u64,
    /// Up to which hand-over the image is, where the worker was not notified yet.
    applied: Option<u64>,
    /// Frames that hold something of this vat and are not in its image yet.
    unapplied: u32,
}

impl Progress {
    pub fn new(committed: CountersRow) -> Progress {
        Progress {
            handed_turn: committed.turns,
            handed_pages: committed.used_pages,
            delivered: VecDeque::new(),
            timer_turns: BTreeSet::new(),
            is_asked: false,
            hand_over: 0,
            applied: None,
            unapplied: 0,
        }
    }

    pub fn handed_turn(&self) -> u64 {
        self.handed_turn
    }

    pub fn handed_pages(&self) -> u32 {
        self.handed_pages
    }

    /// Number of the last hand-over accepted from this worker.
    pub fn hand_over(&self) -> u64 {
        self.hand_over
    }

    /// The last turn number given out.
    pub fn last_turn(&self) -> u64 {
        self.handed_turn + self.delivered.len() as u64
    }

    /// The counters as of the last hand-over.
    pub fn counters(&self) -> CountersRow {
        CountersRow {
            turns: self.handed_turn,
            used_pages: self.handed_pages,
        }
    }

    pub fn delivered(&self) -> &VecDeque<RequestNo> {
        &self.delivered
    }

    /// The message of a turn that is out.
    pub fn delivered_at(&self, turn: u64) -> Option<RequestNo> {
        let at = turn.checked_sub(self.handed_turn + 1)?;
        self.delivered.get(usize::try_from(at).ok()?).copied()
    }

    pub fn timer_turns(&self) -> &BTreeSet<u64> {
        &self.timer_turns
    }

    pub fn is_asked(&self) -> bool {
        self.is_asked
    }

    /// Whether every accepted hand-over is in the image.
    pub fn is_applied(&self) -> bool {
        self.unapplied == 0
    }

    /// Whether no turn is out and the image holds everything.
    pub fn is_settled(&self) -> bool {
        self.delivered.is_empty() && self.is_applied()
    }

    /// The message is sent to the worker: its turn number.
    pub fn deliver(&mut self, no: RequestNo, is_timer: bool) -> u64 {
        self.delivered.push_back(no);
        let turn = self.last_turn();
        if is_timer {
            let is_new = self.timer_turns.insert(turn);
            debug_assert!(is_new, "a turn number is given out once");
        }
        turn
    }

    /// The worker is asked to hand over.
    pub fn ask(&mut self) {
        debug_assert!(!self.is_asked && !self.delivered.is_empty());
        self.is_asked = true;
    }

    /// A hand-over was accepted: the messages it consumes, in order.
    pub fn accept(&mut self, number: u64, last_turn: u64, used_pages: u32) -> Vec<RequestNo> {
        assert!(
            number == self.hand_over + 1,
            "hand-overs are accepted in order"
        );
        assert!(last_turn > self.handed_turn && last_turn <= self.last_turn());
        let count = usize::try_from(last_turn - self.handed_turn).expect("at most those delivered");
        let consumed = self.delivered.drain(..count).collect();
        self.handed_turn = last_turn;
        self.handed_pages = used_pages;
        self.hand_over = number;
        self.is_asked = false;
        self.timer_turns = self.timer_turns.split_off(&(last_turn + 1));
        consumed
    }

    /// A message that was undone is consumed with its error, in its place: its turn.
    pub fn skip_turn(&mut self) -> u64 {
        assert!(
            self.delivered.is_empty(),
            "what comes before it was handed over"
        );
        self.handed_turn += 1;
        self.handed_turn
    }

    /// Something of the vat is in a frame.
    pub fn in_frame(&mut self) {
        self.unapplied += 1;
    }

    /// It is in the image. The worker that handed it over is notified with its next message.
    pub fn applied(&mut self, hand_over: Option<u64>) {
        let left = self.unapplied.checked_sub(1);
        self.unapplied = left.expect("only what was in a frame is applied");
        if let Some(hand_over) = hand_over {
            debug_assert!(hand_over <= self.hand_over);
            self.applied = Some(hand_over);
        }
    }

    /// Up to which hand-over the image is, where the worker does not know it yet.
    pub fn take_applied(&mut self) -> Option<u64> {
        self.applied.take()
    }

    /// What is out is taken back: the worker undid it, was refused, or is gone.
    pub fn recall(&mut self) -> VecDeque<RequestNo> {
        self.is_asked = false;
        self.timer_turns.clear();
        std::mem::take(&mut self.delivered)
    }

    /// The next hand-over comes from another worker.
    pub fn forget_worker(&mut self) {
        debug_assert!(self.delivered.is_empty() && !self.is_asked);
        self.applied = None;
        self.hand_over = 0;
    }
}
