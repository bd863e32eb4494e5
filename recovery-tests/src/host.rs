//! The simulated host: the real core over the real store, with worker models for processes.
//!
//! Does what `kenvat_engine` does, in its order: effects as they come, a frame sealed where
//! the core asks for it, outputs before images. Unlike there, each of these is a step of its own,
//! so that anything can come between. Does not know clients or what they were promised.

use std::collections::BTreeMap;

use kenvat_core::api::{CallError, DeployError, Deployed};
use kenvat_core::event::{Death, Effect, Event};
use kenvat_core::limits::CoreLimits;
use kenvat_core::{Core, Loaded, Settings};
use kenvat_store::backend::memory::MemoryBackend;
use kenvat_store::{Durable, Fold, Folded, Part, Sealed, StoreError, VatId};
use kenvat_wire::protocol::ToWorker;

use crate::chance::Chance;
use crate::client::Answer;
use crate::disk::Disk;
use crate::heap::{Base, Genesis, Heap};
use crate::invariants::broken;
use crate::program::PAGE_LIMIT;
use crate::rules::{Copies, Outputs, Rules};
use crate::stop::Stop;
use crate::trace::{describe, short};
use crate::worker::Worker;

/// An idle vat of the simulation sleeps after this many milliseconds.
const SLEEP_AFTER_MS: u64 = 1_000;

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

/// One life of the host.
pub struct Host {
    core: Core<u64>,
    pub disk: Disk,
    rules: Rules,
    pub workers: BTreeMap<u64, Worker>,
    staged: Vec<Part>,
    sealed: Option<Sealed<MemoryBackend>>,
    /// The parts of the frame that is sealed and not known to be durable.
    pub in_flight: Option<Vec<Part>>,
    durable: Option<Durable>,
    folding: Folding,
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
    pub fn start(disk: Disk, loaded: Loaded, rules: Rules, awake_max: usize, now_ms: i64) -> Host {
        let settings = Settings {
            engine: disk.engine,
            page_limit: PAGE_LIMIT,
            sleep_after_ms: Some(SLEEP_AFTER_MS),
            awake_max,
            limits: CoreLimits::default(),
        };
        Host {
            core: Core::new(settings, loaded, now_ms),
            disk,
            rules,
            workers: BTreeMap::new(),
            staged: Vec::new(),
            sealed: None,
            in_flight: None,
            durable: None,
            folding: Folding::No,
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
            if worker.dead.is_some() || !worker.outbox.is_empty() {
                moves.push((20, Move::HostHears(*generation)));
            }
        }
        moves
    }

    /// Does one of `moves`. A frame found durable is returned.
    pub fn make(
        &mut self,
        step: Move,
        now_ms: i64,
        chance: &mut Chance,
    ) -> Result<Option<Vec<Part>>, Stop> {
        match step {
            Move::Write => return self.write(now_ms),
            Move::Apply => self.apply(now_ms)?,
            Move::BeginFold => self.begin_fold()?,
            Move::RunFold | Move::FinishFold => self.go_on_folding()?,
            Move::FindRoom => self.find_space(now_ms)?,
            Move::WorkerHears(generation) => {
                if let Some(worker) = self.workers.get_mut(&generation) {
                    worker.hear(chance)?;
                }
            }
            Move::HostHears(generation) => self.hear(generation, now_ms)?,
        }
        Ok(None)
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

    fn find_space(&mut self, now_ms: i64) -> Result<(), Stop> {
        let mut caught_up = Vec::new();
        self.disk.store.find_space(&mut caught_up)?;
        let has_space = !self.disk.store.is_space_exhausted();
        self.feed(
            now_ms,
            Event::Space {
                caught_up,
                has_space,
            },
        )
    }

    /// Hands an event to the core and does what it wants.
    pub fn feed(&mut self, now_ms: i64, event: Event<u64>) -> Result<(), Stop> {
        let mut effects = Vec::new();
        self.core
            .handle(now_ms, event, &mut self.disk, &mut effects)?;
        self.core.flush(&mut self.disk, &mut effects)?;
        self.perform(now_ms, effects)
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

    /// Whether no frame and no fold is under way.
    pub fn is_settled(&self) -> bool {
        let folding = !matches!(self.folding, Folding::No);
        self.sealed.is_none() && self.durable.is_none() && !folding && self.core.is_quiet()
    }

    fn hear(&mut self, generation: u64, now_ms: i64) -> Result<(), Stop> {
        let Some(worker) = self.workers.get_mut(&generation) else {
            return Ok(());
        };
        let vat = worker.vat;
        let event = match (worker.outbox.pop_front(), worker.dead) {
            (Some(message), _) => {
                self.log.push(format!("heard {}", short(&message)));
                Event::FromWorker {
                    vat,
                    generation,
                    message,
                }
            }
            (None, Some(death)) => {
                self.workers.remove(&generation);
                Event::WorkerGone {
                    vat,
                    generation,
                    death,
                    running: None,
                }
            }
            (None, None) => return Ok(()),
        };
        self.feed(now_ms, event)
    }

    fn write(&mut self, now_ms: i64) -> Result<Option<Vec<Part>>, Stop> {
        let Some(sealed) = self.sealed.take() else {
            return Ok(None);
        };
        self.durable = Some(sealed.write()?);
        let frame = self.in_flight.take();
        if self.rules.outputs == Outputs::AtCommit {
            self.committed(now_ms)?;
        }
        Ok(frame)
    }

    /// Lets the outputs of the frame out; images come later.
    fn committed(&mut self, now_ms: i64) -> Result<(), Stop> {
        let mut effects = Vec::new();
        self.core
            .handle(now_ms, Event::Committed, &mut self.disk, &mut effects)?;
        self.perform(now_ms, effects)
    }

    fn apply(&mut self, now_ms: i64) -> Result<(), Stop> {
        if let Some(durable) = self.durable.take() {
            self.disk.store.apply(durable)?;
            self.feed(now_ms, Event::Applied)?;
        }
        Ok(())
    }

    fn go_on_folding(&mut self) -> Result<(), Stop> {
        match std::mem::replace(&mut self.folding, Folding::No) {
            Folding::No => {}
            Folding::Begun(fold) => self.folding = Folding::Ran(fold.run()?),
            Folding::Ran(folded) => self.disk.store.finish_fold(folded)?,
        }
        Ok(())
    }

    fn perform(&mut self, now_ms: i64, effects: Vec<Effect<u64>>) -> Result<(), Stop> {
        let mut sealed = false;
        for effect in effects {
            self.log.push(describe(&effect));
            match effect {
                Effect::Stage(part) => {
                    self.disk.store.stage(part.clone())?;
                    self.staged.push(part);
                }
                Effect::Commit => {
                    self.seal()?;
                    sealed = true;
                }
                Effect::StartWorker { vat, generation } => {
                    let image = self.disk.image(vat)?;
                    self.start_worker(vat, generation, Box::new(image), self.rules.copies);
                }
                Effect::StartDeployment {
                    vat, generation, ..
                } => {
                    self.start_worker(vat, generation, Box::new(Genesis), self.rules.copies);
                }
                Effect::SendToWorker {
                    generation,
                    message,
                    ..
                } => self.send(generation, message),
                Effect::KillWorker { generation, .. } => {
                    if let Some(worker) = self.workers.get_mut(&generation) {
                        // What it had said is still in the socket.
                        worker.dead.get_or_insert(Death::Killed);
                    }
                }
                Effect::AnswerCall { waiter, answer } => {
                    self.told.push((waiter, Told::Call(answer)));
                }
                Effect::AnswerAsk { waiter, answer } => {
                    self.told.push((waiter, Told::Ask(answer)));
                }
                Effect::AnswerDeploy { waiter, answer } => {
                    self.told.push((waiter, Told::Deploy(answer)));
                }
                Effect::AnswerDone { waiter, answer } => {
                    self.told.push((waiter, Told::Done(answer)));
                }
            }
        }
        if sealed && self.rules.outputs == Outputs::AtSeal {
            self.committed(now_ms)?;
        }
        Ok(())
    }

    fn seal(&mut self) -> Result<(), Stop> {
        // At the journal's bound commits wait for the fold (J7).
        while self.disk.store.journal_full() {
            self.begin_fold()?;
            self.go_on_folding()?;
        }
        let sealed = self.disk.store.seal()?;
        if sealed.is_none() || self.sealed.is_some() || self.in_flight.is_some() {
            broken(
                "one frame at a time",
                "the core wants a commit that cannot be",
            )?;
        }
        self.sealed = sealed;
        self.in_flight = Some(std::mem::take(&mut self.staged));
        Ok(())
    }

    fn start_worker(&mut self, vat: VatId, generation: u64, base: Box<dyn Base>, copies: Copies) {
        let worker = Worker::new(vat, generation, Heap::new(base, copies));
        self.workers.insert(generation, worker);
    }

    fn send(&mut self, generation: u64, message: ToWorker) {
        if let Some(worker) = self.workers.get_mut(&generation)
            && worker.dead.is_none()
        {
            worker.inbox.push_back(message);
        }
    }
}
