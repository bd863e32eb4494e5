//! The engine's thread: waits, feeds the core, carries out what it wants.
//!
//! Promises: effects are carried out in order; a commit is written after everything else of the
//! same round, so that workers run while the disk syncs; its outputs leave before images are
//! written; an error of the store ends the thread, and everybody who waits learns that the host
//! stopped.

mod commands;
mod commit;
pub(crate) mod inline_call;
mod spill;
mod workers;

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::time::{Duration, Instant};

use kenvat_store::{Delta, EngineHash, FileBackend, Part, Sealed, StoreError, VatId, Verifying};
use rustix::event::epoll;

use self::commit::Background;
use self::inline_call::InlineCalls;
use self::spill::SpillFiles;
use crate::affinity::Affinity;
use crate::clock::Clock;
pub(crate) use crate::error::Fatal;
use crate::handle::{Answerer, Command};
use crate::notifier::Notifier;
use crate::options::EngineOptions;
use crate::process::{Executable, Worker};
use crate::store_ledger::StoreLedger;
use crate::trace::Step;
use kenvat_core::Core;
use kenvat_core::api::{CallError, DeployError, Deployed, StoreReport};
use kenvat_core::event::{Death, Effect, Event};
use kenvat_wire::protocol::ToWorker;

/// Commands taken in before the core is flushed: bounds how long a worker waits for its turns.
pub(super) const COMMANDS_A_TICK: usize = 1_024;
/// How long a stopping host waits for turns under way.
pub(super) const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// Pages of a heap that are read on this thread: two milliseconds' worth. Larger ones are read
/// beside it.
pub(super) const INLINE_PAGES_MAX: u32 = 4 << 10;
/// The eventfd's mark among epoll's; workers' begin at 2.
pub(super) const NOTIFIER_MARK: u64 = 0;

/// How the core's waiters are answered.
pub(crate) enum Waiter {
    Call(Answerer<Result<String, CallError>>),
    Ask(Answerer<Result<Option<String>, CallError>>),
    Deploy(Answerer<Result<Deployed, DeployError>>),
    Done(Answerer<Result<(), CallError>>),
}

/// Somebody who waits for a verification.
pub(super) type VerifyAsker = Answerer<Result<StoreReport, CallError>>;

/// A stop under way.
pub(crate) struct Stopping {
    /// Who is told; nobody when the last handle just went away.
    pub asker: Option<Answerer<Result<(), CallError>>>,
    /// When turns under way are no longer waited for.
    pub until: Instant,
}

/// Everything the thread owns.
pub(crate) struct EventLoop {
    core: Core<Waiter>,
    clock: Clock,
    ledger: StoreLedger,
    options: EngineOptions,
    inbox: mpsc::Receiver<Command>,
    notifier: Notifier,
    epoll: Arc<OwnedFd>,
    /// By generation: a dying worker and the next one of its vat may both be there.
    workers: HashMap<u64, (VatId, Worker)>,
    /// Workers about to be started, whose images are being checked beside this thread: the vat, and
    /// what the worker is to be told first.
    starting: HashMap<u64, (VatId, Vec<ToWorker>)>,
    pub(super) engines: HashMap<EngineHash, Executable>,
    /// Workers with output queued in this round, or that the socket did not take.
    to_send: Vec<u64>,
    events: VecDeque<Event<Waiter>>,
    effects: Vec<Effect<Waiter>>,
    /// The frame the core wants committed, until it is written.
    sealed: Option<Sealed<FileBackend>>,
    last_sync: Duration,
    affinity: Affinity,
    /// Workers that owed an answer, or hid, when the clock was last looked at; at least those.
    suspects: usize,
    /// When the clock of running turns is looked at next.
    next_look: Instant,
    /// When it is looked for room on the disk next; nobody waits for any otherwise.
    next_room: Option<Instant>,
    background: Background,
    spill: SpillFiles,
    stopping: Option<Stopping>,
    /// The verification under way, and who waits for it.
    verifying: Option<(Verifying, Vec<VerifyAsker>)>,
    /// Who waits for the next one.
    verifiers: Vec<VerifyAsker>,
    /// Who waits for this thread's end, however it comes: told by being dropped with the rest.
    watchers: Vec<Answerer<Infallible>>,
    /// What a caller's thread does for a call of its own, while it does (`here`).
    inline: InlineCalls,
}

/// The lock, and whether the engine's thread is waiting for it: callers that come again and again
/// would otherwise keep it out.
pub(crate) struct LoopLock {
    run: Mutex<Option<EventLoop>>,
    thread_waits: AtomicBool,
}

impl LoopLock {
    pub fn new(run: EventLoop) -> LoopLock {
        LoopLock {
            run: Mutex::new(Some(run)),
            thread_waits: AtomicBool::new(false),
        }
    }

    /// For a caller's thread; nothing while another has it, or the engine's wants it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, Option<EventLoop>>> {
        match self.thread_waits.load(Relaxed) {
            true => None,
            false => self.run.try_lock().ok(),
        }
    }

    fn lock_for_the_thread(&self) -> MutexGuard<'_, Option<EventLoop>> {
        self.thread_waits.store(true, Relaxed);
        let run = lock(self);
        self.thread_waits.store(false, Relaxed);
        run
    }
}

/// The engine's thread: runs until stopped or until the store fails, and says which.
pub(crate) fn run(shared: &LoopLock) -> Result<(), Fatal> {
    // A panic with the lock held would leave the loop where it is, and its callers waiting.
    let end = catch_unwind(AssertUnwindSafe(|| run_to_end(shared)));
    end.unwrap_or_else(|_| {
        drop(lock(shared).take());
        Err(Fatal::Panicked)
    })
}

fn run_to_end(shared: &LoopLock) -> Result<(), Fatal> {
    // What this thread starts gains no rights by executing anything (E3). A kernel too old to
    // know this is too old for workers as well, which need it for their filter.
    let _ = rustix::thread::set_no_new_privs(true);
    let end = loop {
        let Some(waiting) = shared
            .lock_for_the_thread()
            .as_mut()
            .map(EventLoop::wait_for)
        else {
            return Err(Fatal::Panicked);
        };
        let ready = waiting.wait();
        let mut run = shared.lock_for_the_thread();
        let Some(run) = run.as_mut() else {
            return Err(Fatal::Panicked);
        };
        match ready.and_then(|ready| run.tick(&ready)) {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(fatal) => break Err(fatal),
        }
    };
    let run = shared.lock_for_the_thread().take();
    match run {
        Some(run) => run.finish(end),
        None => Err(Fatal::Panicked),
    }
}

/// A thread that panicked in the middle of something left it undone: nobody goes on from there.
pub(super) fn lock(shared: &LoopLock) -> MutexGuard<'_, Option<EventLoop>> {
    shared.run.lock().unwrap_or_else(|poisoned| {
        let mut run = poisoned.into_inner();
        *run = None;
        run
    })
}

impl EventLoop {
    pub fn new(
        (core, clock): (Core<Waiter>, Clock),
        ledger: StoreLedger,
        options: EngineOptions,
        inbox: mpsc::Receiver<Command>,
        notifier: Notifier,
    ) -> io::Result<EventLoop> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mark = epoll::EventData::new_u64(NOTIFIER_MARK);
        epoll::add(&epoll, notifier.as_fd(), mark, epoll::EventFlags::IN)?;
        let background = Background::start(notifier.clone())?;
        let spill = SpillFiles::start(background.finisher.clone(), notifier.clone())?;
        Ok(EventLoop {
            core,
            clock,
            ledger,
            options,
            inbox,
            notifier,
            epoll: Arc::new(epoll),
            workers: HashMap::new(),
            starting: HashMap::new(),
            engines: HashMap::new(),
            to_send: Vec::new(),
            events: VecDeque::new(),
            effects: Vec::new(),
            sealed: None,
            last_sync: Duration::ZERO,
            affinity: Affinity::new(),
            suspects: 0,
            next_look: Instant::now(),
            next_room: None,
            background,
            spill,
            stopping: None,
            verifying: None,
            verifiers: Vec::new(),
            watchers: Vec::new(),
            inline: InlineCalls::default(),
        })
    }

    /// Carries through what is ready. False when there is nothing left to do.
    fn tick(&mut self, ready: &[epoll::Event]) -> Result<bool, Fatal> {
        self.take_what_was_left()?;
        self.take_ready(ready)?;
        self.run_watchdog();
        self.take_finished()?;
        self.take_commands();
        self.settle()?;
        self.verify_between_frames();
        let now_ms = self.clock.now_ms();
        if self.core.next_tick_ms().is_some_and(|due| due <= now_ms) {
            self.events.push_back(Event::Tick);
            self.settle()?;
        }
        self.look_for_room()?;
        self.finish_sides()?;
        self.settle()?;
        let Some(Stopping { until, .. }) = &self.stopping else {
            return Ok(true);
        };
        let quiet = self.core.is_quiet() && !self.background.folding && self.sealed.is_none();
        Ok(!quiet && Instant::now() < *until)
    }

    /// Feeds the core until it wants nothing more that can be done now.
    pub(super) fn settle(&mut self) -> Result<(), Fatal> {
        loop {
            while let Some(event) = self.events.pop_front() {
                self.core.handle(
                    self.clock.now_ms(),
                    event,
                    &mut self.ledger,
                    &mut self.effects,
                )?;
            }
            self.core.flush(&mut self.ledger, &mut self.effects)?;
            self.apply_effects()?;
            self.send_queued()?;
            if self.events.is_empty() && !self.commit()? {
                return Ok(());
            }
        }
    }

    pub(super) fn apply_effects(&mut self) -> Result<(), Fatal> {
        let effects = std::mem::take(&mut self.effects);
        for effect in effects {
            if self.is_for_the_thread(&effect) {
                self.inline.left.push(effect);
                continue;
            }
            match effect {
                Effect::Stage(part) => self.stage(part)?,
                Effect::Commit => self.seal()?,
                Effect::StartWorker { vat, generation } => self.start_worker(vat, generation),
                Effect::StartDeployment {
                    vat,
                    generation,
                    page_limit,
                    limits,
                } => {
                    self.start_birth(vat, generation, page_limit, limits);
                }
                Effect::SendToWorker {
                    generation,
                    message,
                    ..
                } => {
                    if let Some((_, worker)) = self.workers.get_mut(&generation) {
                        worker.queue(&message);
                        self.to_send.push(generation);
                    } else if let Some((_, first)) = self.starting.get_mut(&generation) {
                        first.push(message);
                    }
                }
                Effect::KillWorker { generation, .. } => {
                    if let Some((_, worker)) = self.workers.get_mut(&generation) {
                        worker.kill();
                    } else if let Some((vat, _)) = self.starting.remove(&generation) {
                        self.events.push_back(Event::WorkerGone {
                            vat,
                            generation,
                            death: Death::Killed,
                            running: None,
                        });
                    }
                }
                // A waiter that went away meanwhile needs no answer.
                Effect::AnswerCall {
                    waiter: Waiter::Call(to),
                    answer,
                } => drop(to.send(answer)),
                Effect::AnswerAsk {
                    waiter: Waiter::Ask(to),
                    answer,
                } => drop(to.send(answer)),
                Effect::AnswerDeploy {
                    waiter: Waiter::Deploy(to),
                    answer,
                } => {
                    drop(to.send(answer));
                }
                Effect::AnswerDone {
                    waiter: Waiter::Done(to),
                    answer,
                } => drop(to.send(answer)),
                Effect::AnswerCall { .. }
                | Effect::AnswerAsk { .. }
                | Effect::AnswerDeploy { .. }
                | Effect::AnswerDone { .. } => unreachable!("waiters come back as they went in"),
            }
        }
        Ok(())
    }

    fn stage(&mut self, part: Part) -> Result<(), Fatal> {
        if let Part::Heap { vat, delta } = &part {
            self.mark(|run| run.delta_step(*vat, delta));
        }
        self.ledger
            .store
            .stage(part)
            .map_err(|error| Fatal::Stage(error.to_string()))
    }

    /// Notes a step where somebody wants to know.
    pub(super) fn mark(&self, step: impl FnOnce(&EventLoop) -> Step) {
        if let Some(trace) = &self.options.trace {
            trace.mark(step(self));
        }
    }

    fn delta_step(&self, vat: VatId, delta: &Delta) -> Step {
        let mut pages: Vec<u32> = delta.runs().flat_map(|run| run.pages()).collect();
        pages.dedup();
        let worker = self.workers.values().find(|(id, _)| *id == vat);
        Step::Delta {
            bytes: delta.as_bytes().len(),
            pages_changed: pages.len(),
            pages_written: worker.map_or(0, |(_, worker)| worker.pages_written()),
        }
    }

    /// Ends workers, and on a clean stop folds and lets go of the store.
    fn finish(mut self, end: Result<(), Fatal>) -> Result<(), Fatal> {
        self.workers.clear();
        let asker = self.stopping.take().and_then(|stopping| stopping.asker);
        let (end, said) = match end {
            Ok(()) => {
                let end = self.let_go();
                let said = end.as_ref().err().map(ToString::to_string);
                (end, said)
            }
            Err(fatal) => {
                say(format_args!("the host stops: {fatal}"));
                let said = format!("the host stopped: {fatal}");
                (Err(fatal), Some(said))
            }
        };
        if let Some(asker) = asker {
            let answer = said.map_or(Ok(()), |why| Err(CallError::Host(why)));
            drop(asker.send(answer));
        }
        end
    }

    /// A clean end: engines no vat names are removed (E2), what is applied is folded.
    fn let_go(mut self) -> Result<(), Fatal> {
        self.await_engine_check()?;
        // The one new vats get stays: without it the next start would have to make it again.
        let current = self.core.engine();
        match self.ledger.store.remove_unused_engines(&[current]) {
            // Another time.
            Err(StoreError::NoSpace(_)) => {}
            removed => drop(removed?),
        }
        Ok(self.ledger.store.close()?)
    }
}

/// A line on stderr, which may be a pipe nobody reads any more: `eprintln!` would panic then, and
/// every vat stand still for a remark.
pub(super) fn say(what: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "kenvat: {what}");
}
