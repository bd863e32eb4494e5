//! The world: clients, an operator, a host and a disk that fails, one step at a time, on a seed.
//!
//! Promises: a seed says everything that happens; every error of the store has a fault behind it or
//! is a violation; the invariants are checked after each recovery, now and then in between on a
//! copy of the disk, and at the end, when everything under way was let come to its end.

mod acts;
mod answers;
mod crash;

use std::collections::BTreeMap;

use kenvat_core::api::VatState;
use kenvat_core::event::Event;
use kenvat_store::VatId;
use kenvat_store::backend::memory::MemoryBackend;

use crate::chance::Chance;
use crate::client::Clients;
use crate::host::{Host, Move};
use crate::invariants::{self, Held, ToldOfVats, Violation, broken};
use crate::model::State;
use crate::program::{Method, Token};
use crate::rules::Rules;
use crate::stop::Stop;
use crate::trace::Trace;

/// The client of the operator, who releases what waits at the end.
const OPERATOR: u32 = 9;
/// Workers at once: fewer than there are vats, or as many as there will ever be.
const FEW: usize = 2;
const MANY: usize = 1_000;
const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];
/// Steps the world may take to come to rest.
const REST_STEPS_MAX: u32 = 20_000;

/// A fault set at any time comes within so many operations of the disk.
const FAULT_OPERATIONS: u64 = 40;
/// One of so many frames is written to a disk that fails within `WRITE_OPERATIONS`: its own write,
/// its sync, and what follows them.
const FAULT_WRITES: u64 = 4;
const WRITE_OPERATIONS: u64 = 3;

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub crashes: u32,
    pub faults: u32,
    pub worker_deaths: u32,
    pub folds: u32,
    pub answers: u32,
    pub probes: u32,
    pub dropped_frames: u32,
    pub found_frames: u32,
    /// Spill files that frames named.
    pub spilled: u32,
    /// Calls carried through inline.
    pub inline_calls: u32,
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        self.crashes += other.crashes;
        self.faults += other.faults;
        self.worker_deaths += other.worker_deaths;
        self.folds += other.folds;
        self.answers += other.answers;
        self.probes += other.probes;
        self.dropped_frames += other.dropped_frames;
        self.found_frames += other.found_frames;
        self.spilled += other.spilled;
        self.inline_calls += other.inline_calls;
    }
}

/// A run that broke a promise.
#[derive(Debug)]
pub struct Failure {
    pub seed: u64,
    pub violation: Violation,
    /// What happened last.
    pub trace: String,
}

/// Who waits for an answer of the host.
#[derive(Clone, Debug)]
enum Waits {
    /// For the answer of a request, sent once more or for the first time.
    Call(Token),
    /// For the refusal of another content under a key used before.
    OtherContent(Token),
    Ask(Token),
    Deploy(String),
    Terminate(Option<VatId>),
    Done,
}

/// What may happen next.
#[derive(Clone, Copy, Debug)]
enum Action {
    Host(Move),
    Again(u32),
    Call,
    CallInline,
    Repeat,
    AskKey,
    OtherContent,
    WorkerDies,
    WorkerLies,
    Sleep,
    Wake,
    Deploy,
    Terminate,
    Tick,
    /// The time the core asked to be told of.
    TimeComes,
    Fold,
    Fault,
    Crash,
}

/// Everything there is.
pub struct World {
    rules: Rules,
    /// Workers there may be at once: in some worlds fewer than vats, which push each other out.
    awake_max: usize,
    chance: Chance,
    backend: MemoryBackend,
    host: Option<Host>,
    clients: Clients,
    told: ToldOfVats,
    /// The fold of all frames that are durable.
    durable: State,
    waiters: BTreeMap<u64, Waits>,
    next_waiter: u64,
    now_ms: i64,
    /// Which life of the host this is.
    life: u64,
    /// A fault was set and nobody has died of it yet.
    fault_set: bool,
    /// No more faults: everything is let come to its end.
    resting: bool,
    trace: Trace,
    tally: Tally,
}

/// Runs a whole world.
pub fn run(seed: u64, rules: Rules) -> Result<(Tally, Trace), Failure> {
    let mut world = World::new(seed, rules);
    let outcome = world.live();
    match outcome {
        Ok(()) => Ok((world.tally, world.trace)),
        Err(violation) => Err(Failure {
            seed,
            violation,
            trace: world.trace.tail(),
        }),
    }
}

impl World {
    fn new(seed: u64, rules: Rules) -> World {
        World {
            rules,
            awake_max: if seed.is_multiple_of(3) { FEW } else { MANY },
            chance: Chance::new(seed),
            backend: MemoryBackend::new(),
            host: None,
            clients: Clients::default(),
            told: ToldOfVats::default(),
            durable: State::default(),
            waiters: BTreeMap::new(),
            next_waiter: 0,
            now_ms: 1_000_000,
            life: 0,
            fault_set: false,
            resting: false,
            trace: Trace::new(seed),
            tally: Tally::default(),
        }
    }

    fn live(&mut self) -> Held {
        self.recover(vec![State::default()])?;
        for _ in 0..self.rules.steps {
            let action = self.choose();
            self.step(action)?;
        }
        self.come_to_rest()?;
        self.close()
    }

    /// One action, and the end of the host where the disk failed it.
    fn step(&mut self, action: Action) -> Held {
        self.trace.line(format!("{action:?}"));
        let outcome = self.act(action).and_then(|()| self.listen());
        if let Some(host) = &mut self.host {
            host.log
                .drain(..)
                .for_each(|line| self.trace.line(format!("  {line}")));
        }
        match outcome {
            Ok(()) => Ok(()),
            Err(Stop::Broken(violation)) => Err(violation),
            Err(Stop::Disk(why)) if self.fault_set => {
                self.trace.line(format!("  the disk failed: {why}"));
                self.crash()
            }
            Err(Stop::Disk(why)) => broken("errors have causes", why),
        }
    }

    fn choose(&mut self) -> Action {
        let mut actions = self.progress();
        actions.extend([
            (30, Action::Call),
            (15, Action::CallInline),
            (4, Action::Repeat),
            (2, Action::AskKey),
            (1, Action::OtherContent),
            (3, Action::WorkerDies),
            (1, Action::WorkerLies),
            (2, Action::Sleep),
            (2, Action::Wake),
            (5, Action::Deploy),
            (1, Action::Terminate),
            (2, Action::Tick),
            (1, Action::Fold),
            (1, Action::Fault),
            (1, Action::Crash),
        ]);
        self.chance.weighted(&actions)
    }

    /// What brings forward what is under way.
    fn progress(&self) -> Vec<(u64, Action)> {
        let moves = self.host.iter().flat_map(Host::moves);
        let mut actions: Vec<_> = moves
            .map(|(weight, it)| (weight, Action::Host(it)))
            .collect();
        if let Some(client) = self.clients.behind() {
            actions.push((25, Action::Again(client)));
        }
        actions
    }

    fn act(&mut self, action: Action) -> Result<(), Stop> {
        match action {
            Action::Host(step) => self.host_moves(step),
            Action::Again(client) => match self.clients.next_again(client) {
                Some(token) => self.send(token),
                None => Ok(()),
            },
            Action::Call => self.call(),
            Action::CallInline => self.call_inline(),
            Action::Repeat => self.repeat(),
            Action::AskKey => self.ask_key(),
            Action::OtherContent => self.other_content(),
            Action::WorkerDies => self.worker_dies(),
            Action::WorkerLies => self.worker_lies(),
            Action::Sleep => self.operate(|vat, waiter| Event::Sleep { vat, waiter }),
            Action::Wake => self.operate(|vat, waiter| Event::Wake { vat, waiter }),
            Action::Deploy => self.deploy(),
            Action::Terminate => self.terminate(),
            Action::Tick => {
                self.now_ms += self.chance.below(1_500) as i64;
                self.feed(Event::Tick)
            }
            Action::TimeComes => self.feed(Event::Tick),
            Action::Fold => self.host_mut().begin_fold(),
            Action::Fault => {
                self.set_fault(FAULT_OPERATIONS);
                Ok(())
            }
            Action::Crash => Ok(self.crash()?),
        }
    }

    fn host_mut(&mut self) -> &mut Host {
        self.host.as_mut().expect("recover leaves a host behind")
    }

    fn feed(&mut self, event: Event<u64>) -> Result<(), Stop> {
        let now_ms = self.now_ms;
        let fed = self.host_mut().feed(now_ms, event);
        self.learn();
        fed
    }

    /// Frames are durable before anybody hears of them, so the model learns of them first, whatever
    /// became of the host afterwards.
    fn learn(&mut self) {
        let host = self.host.as_mut().expect("recover leaves a host behind");
        for frame in std::mem::take(&mut host.committed) {
            self.durable.fold(&frame);
        }
        self.tally.spilled += std::mem::take(&mut host.spilled);
    }

    fn host_moves(&mut self, step: Move) -> Result<(), Stop> {
        let now_ms = self.now_ms;
        if step == Move::Write && self.chance.one_in(FAULT_WRITES) {
            self.set_fault(WRITE_OPERATIONS);
        }
        let host = self.host.as_mut().expect("recover leaves a host behind");
        let dead = match step {
            Move::HostHears(generation) => host
                .workers
                .get(&generation)
                .filter(|worker| worker.dead.is_some() && worker.outbox.is_empty()),
            _ => None,
        };
        let (died, before) = (dead.map(|worker| worker.vat), host.running());
        let outcome = host.make(step, now_ms, &mut self.chance);
        self.learn();
        let host = self.host.as_mut().expect("recover leaves a host behind");
        // With few places, a vat whose worker died may take its place back from one that is idle.
        if let Some(died) = died.filter(|_| self.awake_max == MANY) {
            invariants::invariant_local_recovery(died, &before, &host.running())?;
        }
        self.tally.folds += u32::from(step == Move::FinishFold);
        outcome?;
        let is_new = matches!(step, Move::Apply | Move::TakeDeferred | Move::HearOfSpill);
        if is_new && self.chance.one_in(8) && self.host_mut().is_applied() {
            self.compare_live()?;
        }
        Ok(())
    }

    /// What a reader of the running store sees is the fold of frames, too.
    fn compare_live(&mut self) -> Result<(), Stop> {
        let found = self.host_mut().disk.read()?;
        let candidates = std::slice::from_ref(&self.durable);
        invariants::invariant_image_is_fold_of_frames(&found, candidates)?;
        Ok(())
    }

    fn wait(&mut self, what: Waits) -> u64 {
        self.next_waiter += 1;
        self.waiters.insert(self.next_waiter, what);
        self.next_waiter
    }

    /// Lets everything under way come to its end, without faults.
    fn come_to_rest(&mut self) -> Held {
        if self.fault_set {
            self.crash()?;
        }
        self.resting = true;
        self.trace.line("coming to rest".to_owned());
        self.rest()?;
        for name in NAMES {
            let token = self
                .clients
                .ask(OPERATOR, name.to_owned(), Method::Release, true);
            match self.send(token).and_then(|()| self.listen()) {
                Ok(()) => {}
                Err(Stop::Broken(violation)) => return Err(violation),
                Err(Stop::Disk(why)) => return broken("errors have causes", why),
            }
        }
        self.rest()?;
        invariants::invariant_nothing_is_lost(&self.clients)?;
        let vats = self.host.iter().flat_map(|host| host.core().vats());
        let broken_vats: Vec<VatId> = vats
            .filter(|vat| vat.state == VatState::Broken)
            .map(|vat| vat.id)
            .collect();
        invariants::invariant_timers_fire(&self.durable, &self.clients, &broken_vats)?;
        match self.waiters.values().next() {
            Some(waits) => broken("nothing is lost", format!("{waits:?} heard nothing")),
            None => self.check_all(),
        }
    }

    fn rest(&mut self) -> Held {
        for _ in 0..REST_STEPS_MAX {
            let progress = self.progress();
            if progress.is_empty() {
                let settled = self.host_mut().is_settled();
                let core = self.host_mut().core();
                let due_ms = match settled {
                    // All that is left to happen are timers.
                    true => core.next_timer_ms(),
                    false => core.next_tick_ms(),
                };
                let Some(due_ms) = due_ms else {
                    if settled {
                        return Ok(());
                    }
                    return broken("nothing is lost", "nothing moves, and it is not quiet");
                };
                self.now_ms = self.now_ms.max(due_ms);
                self.step(Action::TimeComes)?;
                continue;
            }
            let action = self.chance.weighted(&progress);
            self.step(action)?;
        }
        broken("nothing is lost", "the world does not come to rest")
    }
}
