//! One vat as the core sees it: which worker runs it, what waits, what is out, what is open, what
//! went wrong.
//!
//! Invariant, asserted where a worker starts: a new worker starts only when every accepted
//! hand-over is in the image, and nothing is out.

use std::collections::{BTreeMap, VecDeque};

use kenvat_store::{Row, VatId};

use super::progress::Progress;
use super::worker::Worker;
use crate::api::VatLimits;
use crate::check::Expected;
use crate::gate::HandedOver;
use crate::rows::{self, CountersRow, PoisonRow, VatRow};
use crate::timers::Timer;

/// Numbers a request within one life of the host.
pub type RequestNo = u64;

/// A vat.
#[derive(Debug)]
pub(crate) struct Vat<W> {
    id: VatId,
    row: VatRow,
    /// What is its own and not its host's.
    limits: VatLimits,
    committed: CountersRow,
    worker: Worker,
    progress: Progress,
    queue: Queue,
    /// Requests consumed and not answered, by their turn.
    open: BTreeMap<u64, RequestNo>,
    faults: Faults,
    wishes: Wishes<W>,
}

/// Requests that wait for the vat's worker, and their bytes.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    requests: VecDeque<RequestNo>,
    bytes: usize,
}

/// What went wrong with a vat's turns and workers lately.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// One turn a hand-over until this turn is past: a worker died with it outstanding.
    pub single_until: u64,
    /// A message that killed its worker and was not settled since; durable before it is tried
    /// again.
    pub poison: Option<PoisonRow>,
    /// Deaths in a row before the worker was ready.
    pub start_deaths: u32,
    /// What it handed over found no space, lately: turns go one by one, so that one that needs none
    /// is not refused with one that does.
    pub no_space: bool,
    /// The turn whose worker was last killed from outside, and how often in a row.
    pub killed: (u64, u32),
    /// Gets no turn before this: its last one was undone by a limit.
    pub paused_until_ms: i64,
    pub last_error: Option<String>,
}

/// Who waits for the vat to be in some state.
#[derive(Debug)]
pub(crate) struct Wishes<W> {
    pub asleep: Vec<W>,
    pub awake: Vec<W>,
    pub gone: Vec<W>,
}

impl<W> Vat<W> {
    pub fn new(id: VatId, row: VatRow, committed: CountersRow, limits: VatLimits) -> Vat<W> {
        Vat {
            id,
            row,
            limits,
            committed,
            worker: Worker::Asleep,
            progress: Progress::new(committed),
            queue: Queue::default(),
            open: BTreeMap::new(),
            faults: Faults::default(),
            wishes: Wishes {
                asleep: Vec::new(),
                awake: Vec::new(),
                gone: Vec::new(),
            },
        }
    }

    pub fn id(&self) -> VatId {
        self.id
    }

    pub fn row(&self) -> &VatRow {
        &self.row
    }

    pub fn name(&self) -> &str {
        &self.row.name
    }

    pub fn limits(&self) -> VatLimits {
        self.limits
    }

    pub fn set_limits(&mut self, limits: VatLimits) {
        self.limits = limits;
    }

    pub fn committed(&self) -> CountersRow {
        self.committed
    }

    pub fn set_committed(&mut self, counters: CountersRow) {
        debug_assert!(counters.turns >= self.committed.turns, "vats only go on");
        self.committed = counters;
    }

    pub fn worker(&self) -> &Worker {
        &self.worker
    }

    pub fn worker_mut(&mut self) -> &mut Worker {
        &mut self.worker
    }

    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    pub fn progress_mut(&mut self) -> &mut Progress {
        &mut self.progress
    }

    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    pub fn queue_mut(&mut self) -> &mut Queue {
        &mut self.queue
    }

    pub fn open(&self) -> &BTreeMap<u64, RequestNo> {
        &self.open
    }

    pub fn open_mut(&mut self) -> &mut BTreeMap<u64, RequestNo> {
        &mut self.open
    }

    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    pub fn faults_mut(&mut self) -> &mut Faults {
        &mut self.faults
    }

    pub fn wishes(&self) -> &Wishes<W> {
        &self.wishes
    }

    pub fn wishes_mut(&mut self) -> &mut Wishes<W> {
        &mut self.wishes
    }

    /// Pages the vat's heap may grow to. One that is larger already may go on, and not grow.
    pub fn page_limit(&self, of_host: u32) -> u32 {
        let own = self.limits.heap.map(crate::pages_in);
        own.unwrap_or(of_host).max(self.progress.handed_pages())
    }

    /// Whether turns go one by one because a worker died among them, or found no space.
    pub fn single_steps(&self) -> bool {
        self.faults.no_space || self.progress.handed_turn() < self.faults.single_until
    }

    pub fn is_terminating(&self) -> bool {
        !self.wishes.gone.is_empty()
    }

    /// Whether something waits for a worker, and the image is whole.
    pub fn wants_worker(&self) -> bool {
        let wanted = !self.queue.is_empty() || !self.wishes.awake.is_empty();
        // One whose end is in a frame already would be ended before its turns are handed over.
        wanted && self.progress.is_applied() && !self.is_terminating()
    }

    /// Whether nothing waits, nothing is out, and the image is up to date.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.progress.is_settled()
    }

    /// Whether the generation is the one that runs now and still counts.
    pub fn is_current(&self, generation: u64) -> bool {
        self.worker.is_current(generation)
    }

    /// A worker was started on the image.
    pub fn start_worker(&mut self, generation: u64, pages: u32, now_ms: i64) {
        assert!(
            self.progress.is_settled(),
            "a worker starts on an image that holds every accepted hand-over"
        );
        self.worker.start(generation, pages, now_ms);
    }

    /// The worker is gone: what it had not handed over waits again. How many turns; their bytes
    /// are counted by `bytes`.
    pub fn take_back(&mut self, bytes: impl Fn(RequestNo) -> usize) -> usize {
        let last = self.progress.last_turn();
        self.faults.single_until = self.faults.single_until.max(last);
        let turns = self.recall(bytes);
        self.progress.forget_worker();
        turns
    }

    /// What was delivered and not handed over waits again, in its order. How many turns.
    pub fn recall(&mut self, bytes: impl Fn(RequestNo) -> usize) -> usize {
        let recalled = self.progress.recall();
        let turns = recalled.len();
        for no in recalled.into_iter().rev() {
            self.queue.push_front(no, bytes(no));
        }
        turns
    }

    /// What its worker's next hand-over is held against.
    pub fn expected<'a>(&'a self, timers: &'a BTreeMap<u64, Timer>) -> Expected<'a> {
        Expected {
            number: self.progress.hand_over(),
            handed_turn: self.progress.handed_turn(),
            last_turn: self.progress.last_turn(),
            open: &self.open,
            timers,
            timer_turns: self.progress.timer_turns(),
            page_limit: self.worker.life().map_or(0, |life| life.pages()),
        }
    }

    /// What says in a frame that the vat has come this far. Generation 0 never runs: no worker is
    /// notified of that frame.
    pub fn enter_frame(&mut self, generation: u64, hand_over: u64) -> HandedOver {
        self.progress.in_frame();
        HandedOver {
            vat: self.id,
            generation,
            hand_over,
            counters: self.progress.counters(),
        }
    }

    /// The turns up to here are handed over: whatever killed a worker before is settled. The row
    /// that goes.
    pub fn forgive(&mut self) -> Option<Row> {
        let handed = self.progress.handed_turn();
        let poison = &mut self.faults.poison;
        poison.take_if(|poison| poison.turn <= handed)?;
        Some(rows::delete(rows::POISON, rows::vat_key(self.id)))
    }

    /// What is left of a vat that ended: its name, requests that wait, who waits for a state.
    pub fn into_rest(self) -> (String, VecDeque<RequestNo>, Wishes<W>) {
        (self.row.name, self.queue.requests, self.wishes)
    }
}

impl Queue {
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    pub fn len(&self) -> usize {
        self.requests.len()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn front(&self) -> Option<RequestNo> {
        self.requests.front().copied()
    }

    pub fn push(&mut self, no: RequestNo, bytes: usize) {
        self.requests.push_back(no);
        self.bytes += bytes;
    }

    fn push_front(&mut self, no: RequestNo, bytes: usize) {
        self.requests.push_front(no);
        self.bytes += bytes;
    }

    /// Takes the first one.
    pub fn pop(&mut self, bytes: usize) -> Option<RequestNo> {
        let no = self.requests.pop_front()?;
        self.count_off(bytes);
        Some(no)
    }

    /// Takes one from its place. False where it does not wait.
    pub fn remove(&mut self, no: RequestNo, bytes: usize) -> bool {
        let Some(at) = self.requests.iter().position(|waiting| *waiting == no) else {
            return false;
        };
        self.requests.remove(at);
        self.count_off(bytes);
        true
    }

    /// Takes all of them.
    pub fn take(&mut self) -> VecDeque<RequestNo> {
        self.bytes = 0;
        std::mem::take(&mut self.requests)
    }

    fn count_off(&mut self, bytes: usize) {
        let left = self.bytes.checked_sub(bytes);
        self.bytes = left.expect("what waits was counted when it came");
        debug_assert!(!self.requests.is_empty() || self.bytes == 0);
    }
}
