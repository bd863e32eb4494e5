//! The world: clients, an operator, a host and a disk that fails, one step at a time, on a seed.
//!
//! Promises: a seed says everything that happens; every error of the store has a fault behind it or
//! is a violation; the invariants are checked after each recovery, now and then in between on a
//! copy of the disk, and at the end, when everything under way was let come to its end.

use std::collections::BTreeMap;

use kenvat_engine::api::{CallError, Deploy};
use kenvat_engine::turn::event::{Death, Event};
use kenvat_store::VatId;
use kenvat_store::backend::memory::{Faults, MemoryBackend};

use crate::chance::Chance;
use crate::client::Clients;
use crate::host::{Host, Move, Stop, Told};
use crate::invariants::{self, Held, ToldOfVats, Violation, broken};
use crate::model::State;
use crate::program::{KEYS, Method, Token};
use crate::rules::Rules;
use crate::trace::Trace;
use crate::worker::start;

/// Clients that call.
const CLIENTS: u32 = 3;
/// The client of the operator, who releases what waits at the end.
const OPERATOR: u32 = 9;
const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];
/// Steps the world may take to come to rest.
const REST_STEPS_MAX: u32 = 20_000;

/// A fault set at any time comes within so many operations of the disk.
const FAULT_OPERATIONS: u64 = 40;
/// One of so many frames is written to a disk that fails within `WRITE_OPERATIONS`: its own write,
/// its sync, and what follows them.
const FAULT_WRITES: u64 = 8;
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
    Fold,
    Fault,
    Crash,
}

/// Everything there is.
pub struct World {
    pub(crate) rules: Rules,
    pub(crate) chance: Chance,
    pub(crate) backend: MemoryBackend,
    pub(crate) host: Option<Host>,
    pub(crate) clients: Clients,
    pub(crate) told: ToldOfVats,
    /// The fold of all frames that are durable.
    pub(crate) durable: State,
    waiters: BTreeMap<u64, Waits>,
    next_waiter: u64,
    pub(crate) now_ms: i64,
    /// Which life of the host this is.
    pub(crate) life: u64,
    /// A fault was set and nobody has died of it yet.
    pub(crate) fault_set: bool,
    /// No more faults: everything is let come to its end.
    resting: bool,
    pub(crate) trace: Trace,
    pub(crate) tally: Tally,
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
            Action::Fold => self.host_mut().begin_fold(),
            Action::Fault => {
                self.set_fault(FAULT_OPERATIONS);
                Ok(())
            }
            Action::Crash => Ok(self.crash()?),
        }
    }

    pub(crate) fn host_mut(&mut self) -> &mut Host {
        self.host.as_mut().expect("recover leaves a host behind")
    }

    fn feed(&mut self, event: Event<u64>) -> Result<(), Stop> {
        let now_ms = self.now_ms;
        self.host_mut().feed(now_ms, event)
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
        // The frame is durable before anybody hears of it, so the model learns of it first.
        let outcome = host.make(step, now_ms, &mut self.chance);
        if let Some(died) = died {
            invariants::invariant_local_recovery(died, &before, &host.running())?;
        }
        self.tally.folds += u32::from(step == Move::FinishFold);
        if let Some(frame) = outcome? {
            self.durable.fold(&frame);
        }
        if step == Move::Apply && self.chance.one_in(8) {
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

    fn call(&mut self) -> Result<(), Stop> {
        let client = self.chance.below(u64::from(CLIENTS)) as u32;
        if let Some(token) = self.clients.next_again(client) {
            return self.send(token);
        }
        let vat = (*self.chance.pick(&NAMES)).to_owned();
        let (key, value) = (self.chance.below(KEYS), self.chance.bits() | 1);
        let method = self.chance.weighted(&[
            (8, Method::Incr),
            (8, Method::Set { key, value }),
            (4, Method::Later),
            (2, Method::Release),
            (2, Method::Throw),
            (2, Method::Log),
            (1, Method::Poison),
        ]);
        let keyed = !self.chance.one_in(4);
        let token = self.clients.ask(client, vat, method, keyed);
        self.send(token)
    }

    fn send(&mut self, token: Token) -> Result<(), Stop> {
        let life = self.life;
        let Some(request) = self.clients.requests.get_mut(&token) else {
            return Ok(());
        };
        request.sent_in = life;
        let call = request.call(token);
        self.trace
            .line(format!("  {token} {} to {}", call.method, call.vat));
        let waiter = self.wait(Waits::Call(token));
        self.feed(Event::Call { call, waiter })
    }

    /// Somebody asks again for what was answered, or is under way in this life of the host.
    fn repeat(&mut self) -> Result<(), Stop> {
        let life = self.life;
        let tokens = self.clients.which(|request| {
            request.is_kept()
                || request.key.is_some() && request.is_open() && request.sent_in == life
        });
        if tokens.is_empty() {
            return Ok(());
        }
        let token = *self.chance.pick(&tokens);
        self.send(token)
    }

    fn ask_key(&mut self) -> Result<(), Stop> {
        let tokens = self.clients.which(|request| request.key.is_some());
        if tokens.is_empty() {
            return Ok(());
        }
        let token = *self.chance.pick(&tokens);
        let waiter = self.wait(Waits::Ask(token));
        match self.clients.requests[&token].key.clone() {
            Some(key) => self.feed(Event::Ask { key, waiter }),
            None => Ok(()),
        }
    }

    fn other_content(&mut self) -> Result<(), Stop> {
        let tokens = self.clients.which(|request| request.is_kept());
        if tokens.is_empty() {
            return Ok(());
        }
        let token = *self.chance.pick(&tokens);
        let mut call = self.clients.requests[&token].call(token);
        call.args = "[0,0,0,0]".to_owned();
        let waiter = self.wait(Waits::OtherContent(token));
        self.feed(Event::Call { call, waiter })
    }

    fn worker_dies(&mut self) -> Result<(), Stop> {
        let alive: Vec<u64> = self.host_mut().running().into_values().collect();
        if alive.is_empty() {
            return Ok(());
        }
        let generation = *self.chance.pick(&alive);
        let deaths = [
            (6, Death::Killed),
            (2, Death::Signal(11)),
            (1, Death::Exit(101)),
            (1, Death::Exit(77)),
        ];
        let death = self.chance.weighted(&deaths);
        let host = self.host.as_mut().expect("recover leaves a host behind");
        if let Some(worker) = host.workers.get_mut(&generation) {
            worker.die(death, &mut self.chance);
            self.tally.worker_deaths += 1;
            self.trace.line(format!("  {generation} dies: {death:?}"));
        }
        Ok(())
    }

    fn worker_lies(&mut self) -> Result<(), Stop> {
        let host = self.host.as_mut().expect("recover leaves a host behind");
        for worker in host.workers.values_mut() {
            if worker.lie(&mut self.chance) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn operate(&mut self, event: impl FnOnce(String, u64) -> Event<u64>) -> Result<(), Stop> {
        let vat = (*self.chance.pick(&NAMES)).to_owned();
        let waiter = self.wait(Waits::Done);
        self.feed(event(vat, waiter))
    }

    fn deploy(&mut self) -> Result<(), Stop> {
        let name = (*self.chance.pick(&NAMES)).to_owned();
        let program = self.chance.weighted(&[
            (8, start::WELL),
            (1, start::THROWS),
            (1, start::NEVER_SETTLES),
            (1, start::DIES),
        ]);
        let files = vec![("v.js".to_owned(), program.to_owned())];
        let entry = "v.js".to_owned();
        let deploy = Deploy {
            name: name.clone(),
            entry,
            files,
            give: Vec::new(),
        };
        let waiter = self.wait(Waits::Deploy(name));
        self.feed(Event::Deploy { deploy, waiter })
    }

    fn terminate(&mut self) -> Result<(), Stop> {
        // Rarely, or no vat ever grows old.
        if !self.chance.one_in(3) {
            return Ok(());
        }
        let vat = (*self.chance.pick(&NAMES)).to_owned();
        let id = self.host_mut().core().vat_id(&vat);
        if id.is_some() {
            self.told.ending.insert(vat.clone());
        }
        let waiter = self.wait(Waits::Terminate(id));
        self.feed(Event::Terminate { vat, waiter })
    }

    /// Something goes wrong within so many operations of the disk.
    fn set_fault(&mut self, operations: u64) {
        if self.resting {
            return;
        }
        let at = Some(self.backend.operations() + 1 + self.chance.below(operations));
        let faults = match self.chance.below(2) {
            0 => Faults {
                freeze_at: at,
                fail_at: None,
            },
            _ => Faults {
                freeze_at: None,
                fail_at: at,
            },
        };
        self.backend.set_faults(faults);
        self.fault_set = true;
        self.tally.faults += 1;
    }

    fn wait(&mut self, what: Waits) -> u64 {
        self.next_waiter += 1;
        self.waiters.insert(self.next_waiter, what);
        self.next_waiter
    }

    /// Nobody waits for a dead host.
    pub(crate) fn forget_waiters(&mut self) {
        self.waiters.clear();
    }

    /// Hears what the host let out, and now and then looks whether a crash now would make it a lie.
    fn listen(&mut self) -> Result<(), Stop> {
        let told = std::mem::take(&mut self.host_mut().told);
        let heard = !told.is_empty();
        for (waiter, told) in told {
            let Some(waits) = self.waiters.remove(&waiter) else {
                return Ok(broken(
                    "answers come once",
                    format!("waiter {waiter}: {told:?}"),
                )?);
            };
            self.hear(waits, told)?;
        }
        if heard && self.chance.one_in(12) {
            self.probe()?;
        }
        Ok(())
    }

    fn hear(&mut self, waits: Waits, told: Told) -> Held {
        match (waits, told) {
            (Waits::Call(token), Told::Call(answer)) => self.hear_answer(token, answer),
            (Waits::Ask(token), Told::Ask(answer)) => self.hear_of_key(token, answer),
            (Waits::OtherContent(token), Told::Call(answer)) => match answer {
                Err(CallError::KeyReused { .. }) => Ok(()),
                other => broken(
                    "exactly once",
                    format!("{token} with other content: {other:?}"),
                ),
            },
            (Waits::Deploy(name), Told::Deploy(Ok(deployed))) => {
                let old = self.told.made.iter().filter(|(_, other)| **other == name);
                self.told.ended.extend(old.map(|(vat, _)| *vat));
                self.told.ending.remove(&name);
                self.told.made.insert(VatId(deployed.id), name);
                Ok(())
            }
            (Waits::Terminate(id), Told::Done(Ok(()))) => {
                self.told.ended.extend(id);
                Ok(())
            }
            (Waits::Deploy(_), Told::Deploy(Err(_)))
            | (Waits::Terminate(..), Told::Done(Err(_)))
            | (Waits::Done, Told::Done(_)) => Ok(()),
            (waits, told) => broken("answers fit", format!("{waits:?} heard {told:?}")),
        }
    }

    fn hear_answer(&mut self, token: Token, answer: crate::client::Answer) -> Held {
        self.tally.answers += 1;
        self.trace.line(format!("  {token} is answered {answer:?}"));
        let Some(request) = self.clients.requests.get_mut(&token) else {
            return broken("answers fit", format!("nobody asked {token}"));
        };
        match &request.answer {
            Some(first) => invariants::invariant_same_answer(token, first, &answer),
            None => {
                request.answer = Some(answer);
                Ok(())
            }
        }
    }

    /// An answer to the question what became of a key.
    fn hear_of_key(&self, token: Token, answer: Result<Option<String>, CallError>) -> Held {
        let request = &self.clients.requests[&token];
        match (&request.answer, answer.transpose()) {
            (Some(first), Some(again)) if request.is_kept() => {
                invariants::invariant_same_answer(token, first, &again)
            }
            (Some(first), None) if request.is_kept() => broken(
                "exactly once",
                format!("{token}, answered {first:?}, is not known"),
            ),
            _ => Ok(()),
        }
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
            self.tell(token)?;
        }
        self.rest()?;
        invariants::invariant_nothing_is_lost(&self.clients)?;
        match self.waiters.values().next() {
            Some(waits) => broken("nothing is lost", format!("{waits:?} heard nothing")),
            None => self.check_all(),
        }
    }

    fn tell(&mut self, token: Token) -> Held {
        match self.send(token).and_then(|()| self.listen()) {
            Ok(()) => Ok(()),
            Err(Stop::Broken(violation)) => Err(violation),
            Err(Stop::Disk(why)) => broken("errors have causes", why),
        }
    }

    fn rest(&mut self) -> Held {
        for _ in 0..REST_STEPS_MAX {
            let progress = self.progress();
            if progress.is_empty() {
                return match self.host_mut().is_settled() {
                    true => Ok(()),
                    false => broken("nothing is lost", "nothing moves, and it is not quiet"),
                };
            }
            let action = self.chance.weighted(&progress);
            self.step(action)?;
        }
        broken("nothing is lost", "the world does not come to rest")
    }
}
