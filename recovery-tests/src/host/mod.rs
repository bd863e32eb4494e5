//! The simulated host: the real core over the real store, with worker models for processes.
//!
//! Runs the event loop's own code for the order of its steps (`kenvat_core::apply`) and for large
//! hand-overs (`kenvat_engine::spill`). Unlike there, what takes time is a step of its own, so that
//! anything can come between: a worker or the host reads a message, a frame is written, its images
//! are brought up, a spill file is written or applied, a fold goes on. Does not know clients or
//! what they were promised.

mod inline_call;
mod perform;
mod spilling;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use kenvat_core::api::{CallError, DeployError, Deployed};
use kenvat_core::apply::{self, Deferred, Performer};
use kenvat_core::event::Event;
use kenvat_core::limits::CoreLimits;
use kenvat_core::{Core, Loaded, Settings};
use kenvat_engine::spill::Resumed;
use kenvat_store::backend::memory::MemoryBackend;
use kenvat_store::{Durable, Fold, Folded, Sealed, StoreError, VatId};
use kenvat_wire::protocol::FromWorker;

use self::spilling::Spilling;
use crate::chance::Chance;
use crate::client::Answer;
use crate::disk::Disk;
use crate::heap::{Base, Heap};
use crate::model::Change;
use crate::program::PAGE_LIMIT;
use crate::rules::{Outputs, Rules};
use crate::stop::Stop;
use crate::trace::short;
use crate::worker::Worker;

/// An idle vat of the simulation sleeps after this many milliseconds.
const SLEEP_AFTER_MS: u64 = 1_000;
/// Bytes after which a frame of the simulation takes no more, so few that hand-overs are held back,
/// and that what some of them say goes to a spill file.
const FRAME_BYTES: usize = 8 << 10;
/// Bytes of what a hand-over says that are no reason for a spill file.
const SPILL_BYTES_MIN: usize = 512;

/// Something the host let out, for whoever waits under that number.
#[derive(Debug)]
pub enum Told {
    Call(Answer),
    Ask(Result<Option<String>, CallError>),
    Deploy(Result<Deployed, DeployError>),
    Done(Result<(), CallError>),
}

/// How far the fold is.
enum Folding {
    No,
    Begun(Fold<MemoryBackend>),
    Ran(Folded<MemoryBackend>),
}

/// Who syncs a frame when no worker has a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syncs {
    /// The thread that read the hand-over, at once: the disk is quick.
    Here,
    /// A thread of its own, at any time.
    Elsewhere,
}

/// One life of the host.
pub struct Host {
    core: Core<u64>,
    pub disk: Disk,
    rules: Rules,
    now_ms: i64,
    syncs: Syncs,
    events: VecDeque<Event<u64>>,
    pub workers: BTreeMap<u64, Worker>,
    /// Workers that are not read from.
    held: BTreeSet<u64>,
    /// The worker that was sent something last.
    sent_to: Option<u64>,
    spilling: Spilling,
    staged: Vec<Change>,
    sealed: Option<Sealed<MemoryBackend>>,
    /// The frame was sealed since effects were last carried out.
    is_newly_sealed: bool,
    /// The changes of the frame that is sealed and not known to be durable.
    pub in_flight: Option<Vec<Change>>,
    durable: Option<Durable>,
    /// What calls carried through inline left to do.
    deferred: Deferred<u64>,
    folding: Folding,
    /// Frames found durable since the last look.
    pub committed: Vec<Vec<Change>>,
    /// Spill files named by frames so far.
    pub spilled: u32,
    /// What was let out since the last look.
    pub told: Vec<(u64, Told)>,
    /// What the core wanted since the last look, for the trace.
    pub log: Vec<String>,
}

/// What the host could do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    Write,
    Apply,
    /// What a call carried through inline left to the host's own thread.
    TakeDeferred,
    /// The thread that writes spill files does a piece of work.
    WorkOnSpill,
    /// The host hears of such a piece.
    HearOfSpill,
    BeginFold,
    RunFold,
    FinishFold,
    /// The host looks whether there is room on the disk again.
    FindRoom,
    /// The worker reads a message.
    WorkerHears(u64),
    /// The host reads a message of the worker, or its end.
    HostHears(u64),
}

impl Host {
    pub fn start(
        disk: Disk,
        loaded: Loaded,
        rules: Rules,
        (awake_max, syncs): (usize, Syncs),
        now_ms: i64,
    ) -> Host {
        let settings = Settings {
            engine: disk.engine,
            page_limit: PAGE_LIMIT,
            sleep_after_ms: Some(SLEEP_AFTER_MS),
            awake_max,
            limits: CoreLimits {
                frame: FRAME_BYTES,
                spill_min: SPILL_BYTES_MIN,
                ..CoreLimits::default()
            },
        };
        Host {
            core: Core::new(settings, loaded, now_ms),
            disk,
            rules,
            now_ms,
            syncs,
            events: VecDeque::new(),
            workers: BTreeMap::new(),
            held: BTreeSet::new(),
            sent_to: None,
            spilling: Spilling::new(),
            staged: Vec::new(),
            sealed: None,
            is_newly_sealed: false,
            in_flight: None,
            durable: None,
            deferred: Deferred::default(),
            folding: Folding::No,
            committed: Vec::new(),
            spilled: 0,
            told: Vec::new(),
            log: Vec::new(),
        }
    }

    /// Everything that can go on, each as often as its weight says.
    pub fn moves(&self) -> Vec<(u64, Move)> {
        let mut moves = Vec::new();
        if self.sealed.is_some() {
            moves.push((25, Move::Write));
        }
        if self.durable.is_some() {
            moves.push((30, Move::Apply));
        }
        if self.has_deferred() {
            moves.push((30, Move::TakeDeferred));
        }
        if self.spilling.has_work() {
            moves.push((20, Move::WorkOnSpill));
        }
        if self.spilling.has_done() {
            moves.push((20, Move::HearOfSpill));
        }
        match self.folding {
            Folding::No if self.disk.store.fold_due() => moves.push((3, Move::BeginFold)),
            Folding::No => {}
            Folding::Begun(_) => moves.push((3, Move::RunFold)),
            Folding::Ran(_) => moves.push((3, Move::FinishFold)),
        }
        if self.disk.store.is_space_low() || self.core.lacks_space() {
            moves.push((3, Move::FindRoom));
        }
        for (generation, worker) in &self.workers {
            if worker.dead.is_none() && !worker.inbox.is_empty() {
                moves.push((20, Move::WorkerHears(*generation)));
            }
            let is_read = !self.held.contains(generation) && !worker.outbox.is_empty();
            if worker.dead.is_some() || is_read {
                moves.push((20, Move::HostHears(*generation)));
            }
        }
        moves
    }

    /// Does one of `moves`.
    pub fn make(&mut self, step: Move, now_ms: i64, chance: &mut Chance) -> Result<(), Stop> {
        self.now_ms = now_ms;
        match step {
            Move::WorkerHears(generation) => {
                if let Some(worker) = self.workers.get_mut(&generation) {
                    worker.hear(chance)?;
                }
                return Ok(());
            }
            Move::WorkOnSpill => {
                self.spilling.work();
                return Ok(());
            }
            Move::RunFold => return self.go_on_folding(),
            _ => {}
        }
        self.take_deferred()?;
        match step {
            Move::Write => self.write_elsewhere()?,
            Move::Apply => self.apply_durable()?,
            Move::HearOfSpill => self.hear_of_spill()?,
            Move::BeginFold => self.begin_fold()?,
            Move::FinishFold => self.go_on_folding()?,
            Move::FindRoom => self.find_space()?,
            Move::HostHears(generation) => self.hear(generation)?,
            Move::TakeDeferred | Move::WorkerHears(_) | Move::WorkOnSpill | Move::RunFold => {}
        }
        self.settle()
    }

    /// Starts a fold, due or not.
    pub fn begin_fold(&mut self) -> Result<(), Stop> {
        if !matches!(self.folding, Folding::No) {
            return Ok(());
        }
        match self.disk.store.begin_fold() {
            Err(StoreError::NoSpace(_)) | Ok(None) => {}
            Ok(Some(fold)) => self.folding = Folding::Begun(fold),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn find_space(&mut self) -> Result<(), Stop> {
        let store = &mut self.disk.store;
        let mut caught_up = Vec::new();
        store.find_space(&mut caught_up)?;
        self.spilling.files.apply_files(store);
        caught_up.retain(|vat| !store.is_applying(*vat));
        for vat in self.spilling.files.on_caught_up(&caught_up) {
            self.resume(Resumed::Vat(vat));
        }
        let has_space = !self.disk.store.is_space_exhausted();
        self.events.push_back(Event::Space {
            caught_up,
            has_space,
        });
        Ok(())
    }

    /// Hands an event to the core and does what it wants.
    pub fn feed(&mut self, now_ms: i64, event: Event<u64>) -> Result<(), Stop> {
        self.now_ms = now_ms;
        self.take_deferred()?;
        self.events.push_back(event);
        self.settle()
    }

    /// The end of a tick of the event loop.
    fn settle(&mut self) -> Result<(), Stop> {
        apply::settle(self)?;
        self.ask_for_spill_files()?;
        apply::settle(self)
    }

    pub fn core(&self) -> &Core<u64> {
        &self.core
    }

    /// Which worker runs for which vat, the dying ones left out.
    pub fn running(&self) -> BTreeMap<VatId, u64> {
        let alive = self.workers.values().filter(|worker| worker.dead.is_none());
        alive
            .map(|worker| (worker.vat, worker.generation))
            .collect()
    }

    /// Whether no frame, no fold and no spill file is under way.
    pub fn is_settled(&self) -> bool {
        let is_folding = !matches!(self.folding, Folding::No);
        self.sealed.is_none()
            && self.durable.is_none()
            && !is_folding
            && !self.has_deferred()
            && self.spilling.is_idle()
            && self.core.is_quiet()
    }

    /// Whether every image is as the durable frames say.
    pub fn is_applied(&self) -> bool {
        let store = &self.disk.store;
        let is_behind = |vat| store.has_backlog(vat) || store.is_applying(vat);
        self.durable.is_none() && !store.vats().iter().any(|meta| is_behind(meta.id))
    }

    fn hear(&mut self, generation: u64) -> Result<(), Stop> {
        let Some(worker) = self.workers.get_mut(&generation) else {
            return Ok(());
        };
        if worker.dead.is_some() && self.held.contains(&generation) {
            // It was not read from, and is gone.
            worker.outbox.clear();
        }
        let vat = worker.vat;
        match (worker.outbox.pop_front(), worker.dead) {
            (Some(message), _) => self.take(vat, generation, message)?,
            (None, Some(death)) => {
                self.workers.remove(&generation);
                self.held.remove(&generation);
                // A large hand-over that is not durable yet did not come whole (T1).
                self.spilling.give_up(generation);
                self.events.push_back(Event::WorkerGone {
                    vat,
                    generation,
                    death,
                    running: None,
                });
            }
            (None, None) => {}
        }
        Ok(())
    }

    fn take(&mut self, vat: VatId, generation: u64, message: FromWorker) -> Result<(), Stop> {
        self.log.push(format!("heard {}", short(&message)));
        match message {
            FromWorker::Delta { bytes, .. } => self.take_piece(vat, generation, bytes),
            FromWorker::HandOver(hand_over) if self.core.is_large(vat, &hand_over) => {
                self.take_large(vat, generation, hand_over)
            }
            message => {
                self.events.push_back(Event::FromWorker {
                    vat,
                    generation,
                    message,
                });
                Ok(())
            }
        }
    }

    /// A thread of its own has written the frame.
    fn write_elsewhere(&mut self) -> Result<(), Stop> {
        match self.write_sealed()? {
            Some(durable) if self.rules.outputs == Outputs::AtCommit => {
                apply::release(self, durable)
            }
            durable => {
                self.durable = durable;
                Ok(())
            }
        }
    }

    fn write_sealed(&mut self) -> Result<Option<Durable>, Stop> {
        let Some(sealed) = self.sealed.take() else {
            return Ok(None);
        };
        let durable = sealed.write()?;
        // The frame is durable before anybody hears of it, so the model learns of it first.
        self.committed.extend(self.in_flight.take());
        Ok(Some(durable))
    }

    fn apply_durable(&mut self) -> Result<(), Stop> {
        match self.durable.take() {
            Some(durable) => apply::apply_frame(self, durable),
            None => Ok(()),
        }
    }

    fn go_on_folding(&mut self) -> Result<(), Stop> {
        match std::mem::replace(&mut self.folding, Folding::No) {
            Folding::No => {}
            Folding::Begun(fold) => self.folding = Folding::Ran(fold.run()?),
            Folding::Ran(folded) => self.disk.store.finish_fold(folded)?,
        }
        Ok(())
    }

    /// A worker that breaks the rules: nothing after it can be told apart.
    fn cut_off(&mut self, vat: VatId, generation: u64, why: String) {
        self.events.push_back(Event::WorkerUnintelligible {
            vat,
            generation,
            why,
        });
        self.spilling.give_up(generation);
        if let Some(worker) = self.workers.get_mut(&generation) {
            worker.outbox.clear();
        }
        self.kill(generation);
    }

    /// A process is started.
    fn insert_worker(&mut self, vat: VatId, generation: u64, base: Box<dyn Base>) {
        let worker = Worker::new(vat, generation, Heap::new(base, self.rules.copies));
        self.workers.insert(generation, worker);
    }
}
