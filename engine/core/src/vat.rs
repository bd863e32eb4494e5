//! One vat as the core sees it: which process runs it, what waits, what is out, what is open.
//!
//! Invariants:
//! - `handed_turn + delivered.len()` is the last turn number given out: turns have no gaps.
//! - `delivered` holds what the worker was sent and has not handed over; if the worker dies, it
//!   goes back to the head of `queue` in its order, and gets the same turn numbers and times again.
//! - a new worker starts only when `unapplied` is zero: its image holds every accepted hand-over.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use kenvat_store::VatId;

use super::check::Expected;
use super::rows::{CountersRow, PoisonRow, VatRow};
use super::timers::Timer;
use crate::api::VatLimits;

/// Numbers a request within one life of the host.
pub type RequestNo = u64;

/// Which process runs the vat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Run {
    Asleep,
    /// Started; `ready` once it said that its heap is mapped.
    Awake {
        generation: u64,
        ready: bool,
    },
    /// Told to end; nothing it still sends counts.
    Ending {
        generation: u64,
        why: Ending,
    },
    /// Not started any more in this life of the host.
    Broken(String),
}

/// Why the host ends a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    Sleep,
    Terminate,
    /// It broke the rules of a hand-over: its message counts as having killed it.
    Lied(String),
    /// The disk had no room for what it handed over; its messages are answered.
    NoSpace,
}

/// A vat.
#[derive(Debug)]
pub struct Vat<W> {
    pub id: VatId,
    pub row: VatRow,
    /// What is its own and not its host's.
    pub limits: VatLimits,
    /// Pages the heap of the worker that runs may grow to.
    pub pages: u32,
    pub run: Run,
    pub queue: VecDeque<RequestNo>,
    pub queue_bytes: usize,
    pub delivered: VecDeque<RequestNo>,
    pub handed_turn: u64,
    /// Number of the last hand-over accepted from this generation.
    pub hand_over: u64,
    /// A hand-over was asked for and has not come yet.
    pub asked: bool,
    /// Up to which hand-over the image is, where the worker has not been told so yet.
    pub applied_untold: Option<u64>,
    /// Frames that hold something of this vat and are not applied yet.
    pub unapplied: u32,
    pub open: BTreeMap<u64, RequestNo>,
    /// Set and not fired, as of the last hand-over.
    pub timers: BTreeMap<u64, Timer>,
    /// Which of the turns delivered are timers'.
    pub timer_turns: BTreeSet<u64>,
    pub committed: CountersRow,
    /// Pages in use as of the last hand-over.
    pub handed_pages: u32,
    /// One turn a hand-over until this turn is past: a worker died with it outstanding.
    pub single_until: u64,
    /// A message that killed its worker and was not settled since; durable before it is tried
    /// again.
    pub poison: Option<PoisonRow>,
    pub start_deaths: u32,
    /// What it handed over found no room, lately: turns go one by one, so that one that needs none
    /// is not refused with one that does.
    pub no_space: bool,
    /// The turn whose worker was last killed from outside, and how often in a row.
    pub killed: (u64, u32),
    /// Gets no turn before this: its last one was undone by a limit.
    pub pauses_until_ms: i64,
    pub idle_since_ms: i64,
    pub awake_since_ms: i64,
    /// Stands among those who wait for a process.
    pub waits: bool,
    /// Goes to sleep as soon as nothing is out, because others wait for its place.
    pub yields: bool,
    /// Idle for long enough to be put to sleep, unless something came meanwhile.
    pub drowsy: bool,
    pub sleepers: Vec<W>,
    pub wakers: Vec<W>,
    pub terminators: Vec<W>,
    pub last_error: Option<String>,
}

impl<W> Vat<W> {
    pub fn new(id: VatId, row: VatRow, committed: CountersRow) -> Vat<W> {
        Vat {
            id,
            row,
            limits: VatLimits::default(),
            pages: 0,
            run: Run::Asleep,
            queue: VecDeque::new(),
            queue_bytes: 0,
            delivered: VecDeque::new(),
            handed_turn: committed.turns,
            hand_over: 0,
            asked: false,
            applied_untold: None,
            unapplied: 0,
            open: BTreeMap::new(),
            timers: BTreeMap::new(),
            timer_turns: BTreeSet::new(),
            committed,
            handed_pages: committed.used_pages,
            single_until: 0,
            poison: None,
            start_deaths: 0,
            no_space: false,
            killed: (0, 0),
            pauses_until_ms: 0,
            idle_since_ms: 0,
            awake_since_ms: 0,
            waits: false,
            yields: false,
            drowsy: false,
            sleepers: Vec::new(),
            wakers: Vec::new(),
            terminators: Vec::new(),
            last_error: None,
        }
    }

    /// The last turn number given out.
    pub fn last_turn(&self) -> u64 {
        self.handed_turn + self.delivered.len() as u64
    }

    /// Whether turns go one by one because a worker died among them, or found no room.
    pub fn single_steps(&self) -> bool {
        self.no_space || self.handed_turn < self.single_until
    }

    pub fn is_terminating(&self) -> bool {
        !self.terminators.is_empty()
    }

    /// Something waits for a worker, and its image is whole.
    pub fn wants_worker(&self) -> bool {
        let wanted = !self.queue.is_empty() || !self.wakers.is_empty();
        // One whose end is in a frame already would be ended before its turns are handed over.
        wanted && self.unapplied == 0 && !self.is_terminating()
    }

    /// Nothing waits, nothing is out, and the image is up to date.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.delivered.is_empty() && self.unapplied == 0
    }

    /// Whether the generation is the one that runs now and still counts.
    pub fn is_current(&self, generation: u64) -> bool {
        matches!(self.run, Run::Awake { generation: now, .. } if now == generation)
    }

    /// The worker is gone: what it had not handed over waits again, in its order. How many turns.
    pub fn take_back(&mut self) -> usize {
        self.single_until = self.single_until.max(self.last_turn());
        self.applied_untold = None;
        self.hand_over = 0;
        self.recall()
    }

    /// What its worker's next hand-over is held against.
    pub fn expected(&self) -> Expected<'_> {
        Expected {
            number: self.hand_over,
            handed_turn: self.handed_turn,
            last_turn: self.last_turn(),
            open: &self.open,
            timers: &self.timers,
            timer_turns: &self.timer_turns,
            page_limit: self.pages,
        }
    }

    /// What was delivered and not handed over waits again, in its order. How many turns.
    pub fn recall(&mut self) -> usize {
        let turns = self.delivered.len();
        while let Some(request) = self.delivered.pop_back() {
            self.queue.push_front(request);
        }
        self.asked = false;
        self.timer_turns.clear();
        turns
    }
}
