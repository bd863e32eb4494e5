//! The engine's thread: waits, feeds the core, carries out what it wants.
//!
//! ```text
//!            reactor (epoll, inbox, notifier)
//!               │ sockets, ends       │ commands
//!            intake ── workers     commands ──────┐ questions: answered from what is committed
//!               │  └── spill files    │
//!               └────── events ───────┘
//!                         │
//!            kenvat_core::apply::settle: core -> effects -> perform
//!                         │
//!            committer (sealed frame; threads that sync, fold, check)
//! ```
//!
//! Promises: effects are carried out in order; a commit is written after everything else of the
//! same tick, so that workers run while the disk syncs; its outputs leave before images are
//! written; an error of the store ends the thread, and everybody who waits learns that the host
//! stopped.
//!
//! Each part owns its state: `reactor` what is waited for, `workers` the processes, `engines` what
//! they are started from, `committer` the sealed frame and the threads, `verifier` verifications,
//! `long_messages` who may send one, `crate::spill` large hand-overs, `inline_call` what callers'
//! threads do. `intake`, `starter` and `commands` borrow the parts they need for one step.

mod commands;
mod committer;
mod engines;
pub(crate) mod inline_call;
mod intake;
mod long_messages;
mod loop_lock;
mod perform;
mod reactor;
mod start_error;
mod starter;
mod verifier;
mod workers;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, TryRecvError};
use std::time::{Duration, Instant};

use kenvat_core::Core;
use kenvat_core::api::{CallError, DeployError, Deployed};
use kenvat_core::apply;
use kenvat_core::event::Event;
use kenvat_store::{Checked, EngineHash, FileBackend, StoreError};
use rustix::event::epoll;

use self::commands::{Addressee, Inspector, address};
use self::committer::{Committer, Finished};
use self::engines::Engines;
use self::inline_call::InlineCalls;
use self::intake::Intake;
use self::long_messages::LongMessages;
pub(crate) use self::loop_lock::LoopLock;
use self::reactor::{Reactor, Ready, Waiting};
use self::verifier::Verifier;
use self::workers::{WATCHDOG_PERIOD, Workers};
use crate::affinity::Affinity;
use crate::clock::Clock;
pub(crate) use crate::error::Fatal;
use crate::handle::{Answerer, Command};
use crate::notifier::Notifier;
use crate::options::EngineOptions;
use crate::process::Executable;
use crate::spill::SpillFiles;
use crate::store_ledger::StoreLedger;
use crate::trace::{Step, Tracer};

/// Commands taken in before the core is flushed: bounds how long a worker waits for its turns.
const COMMANDS_A_TICK: usize = 1_024;
/// How long a stopping host waits for turns under way.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// How often a stopping host looks whether it may end.
const STOP_CHECK_MS: i64 = 100;
/// Pages of a heap that are read on this thread: two milliseconds' worth. Larger ones are read on
/// another.
const INLINE_PAGES_MAX: u32 = 4 << 10;

/// How the core's waiters are answered.
pub(crate) enum Waiter {
    Call(Answerer<Result<String, CallError>>),
    Ask(Answerer<Result<Option<String>, CallError>>),
    Deploy(Answerer<Result<Deployed, DeployError>>),
    Done(Answerer<Result<(), CallError>>),
}

/// A stop under way.
struct Stopping {
    /// Who is told; nobody when the last handle just went away.
    asker: Option<Answerer<Result<(), CallError>>>,
    /// When turns under way are no longer waited for.
    until: Instant,
}

/// Everything the thread owns.
pub(crate) struct EventLoop {
    core: Core<Waiter>,
    /// What happened and is not handed to the core yet.
    events: VecDeque<Event<Waiter>>,
    clock: Clock,
    ledger: StoreLedger,
    options: EngineOptions,
    tracer: Tracer,
    reactor: Reactor,
    workers: Workers,
    engines: Engines,
    committer: Committer,
    spill: SpillFiles<FileBackend>,
    long: LongMessages,
    verifier: Verifier,
    affinity: Affinity,
    /// What a caller's thread does for a call of its own, while it does.
    inline: InlineCalls,
    stopping: Option<Stopping>,
    /// Who waits for this thread's end, however it comes: told by being dropped with the rest.
    watchers: Vec<Answerer<Infallible>>,
}

/// The engine's thread: runs until stopped or until the store fails, and says which.
pub(crate) fn run(shared: &LoopLock) -> Result<(), Fatal> {
    // A panic with the lock held would leave the loop where it is, and its callers waiting.
    let end = catch_unwind(AssertUnwindSafe(|| run_to_end(shared)));
    end.unwrap_or_else(|_| {
        drop(shared.lock().take());
        Err(Fatal::Panicked)
    })
}

fn run_to_end(shared: &LoopLock) -> Result<(), Fatal> {
    // What this thread starts gains no rights by executing anything (E3). A kernel too old to
    // know this is too old for workers as well, which need it for their filter.
    let _ = rustix::thread::set_no_new_privs(true);
    let end = loop {
        let Some(waiting) = shared.lock_first().as_mut().map(EventLoop::wait_for) else {
            return Err(Fatal::Panicked);
        };
        let ready = waiting.wait();
        let mut event_loop = shared.lock_first();
        let Some(event_loop) = event_loop.as_mut() else {
            return Err(Fatal::Panicked);
        };
        match ready.and_then(|ready| event_loop.tick(&ready)) {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(fatal) => break Err(fatal),
        }
    };
    let event_loop = shared.lock_first().take();
    match event_loop {
        Some(event_loop) => finish(event_loop, end),
        None => Err(Fatal::Panicked),
    }
}

impl EventLoop {
    pub fn new(
        (core, clock): (Core<Waiter>, Clock),
        ledger: StoreLedger,
        own: (EngineHash, Executable),
        options: EngineOptions,
        (inbox, notifier): (mpsc::Receiver<Command>, Notifier),
    ) -> io::Result<EventLoop> {
        let committer = Committer::start(notifier.clone())?;
        let finisher = committer.finisher();
        let tell = move |done| finisher.send(Finished::Spill(done));
        Ok(EventLoop {
            core,
            events: VecDeque::new(),
            clock,
            ledger,
            tracer: Tracer::new(options.trace.clone()),
            reactor: Reactor::new(inbox, notifier)?,
            workers: Workers::new(),
            engines: Engines::new(own, options.worker.clone(), options.tracker),
            options,
            committer,
            spill: SpillFiles::start(tell)?,
            long: LongMessages::default(),
            verifier: Verifier::default(),
            affinity: Affinity::new(),
            inline: InlineCalls::default(),
            stopping: None,
            watchers: Vec::new(),
        })
    }

    /// Has the store's copy of this program's own engine read, which nothing waits for.
    pub fn check_own_engine(&mut self) {
        let reading = self.ledger.store.read_engine(self.core.engine());
        let started = reading.map(|reading| self.committer.check_engine(reading));
        if let Ok(Err(error)) = started {
            say(format_args!(
                "no thread to check the engine's file: {error}"
            ));
        }
    }

    /// What the engine's thread waits for now.
    fn wait_for(&mut self) -> Waiting {
        let patience_ms = self.patience_ms();
        self.reactor.wait_for(patience_ms)
    }

    /// Carries through what is ready. False when there is nothing left to do.
    fn tick(&mut self, ready: &[epoll::Event]) -> Result<bool, Fatal> {
        self.take_deferred()?;
        self.take_ready(ready)?;
        let has_turns_out = self.core.has_turns_out();
        self.workers.run_watchdog(has_turns_out, &mut self.events);
        while let Some(finished) = self.committer.next_finished() {
            self.on_finished(finished)?;
        }
        self.take_commands();
        apply::settle(self)?;
        self.verify_between_frames();
        let now_ms = self.clock.now_ms();
        if self.core.next_tick_ms().is_some_and(|due| due <= now_ms) {
            self.events.push_back(Event::Tick);
            apply::settle(self)?;
        }
        self.probe_for_space()?;
        self.ask_for_spill_files()?;
        apply::settle(self)?;
        let Some(Stopping { until, .. }) = &self.stopping else {
            return Ok(true);
        };
        let is_quiet =
            self.core.is_quiet() && !self.committer.is_folding() && !self.committer.has_sealed();
        Ok(!is_quiet && Instant::now() < *until)
    }

    fn take_ready(&mut self, ready: &[epoll::Event]) -> Result<(), Fatal> {
        for event in ready {
            match self.reactor.read(event) {
                Ready::Notified => {}
                Ready::Process { generation } => {
                    let (mut intake, affinity) = self.intake();
                    intake.on_ended(generation, affinity)?;
                }
                // From before a caller's thread began to wait for it.
                Ready::Socket {
                    generation,
                    is_input: true,
                } if self.inline.listens_to == Some(generation) => {}
                Ready::Socket { generation, .. } => self.on_socket(generation),
            }
        }
        Ok(())
    }

    fn on_socket(&mut self, generation: u64) {
        if self.workers.is_running(generation) {
            self.tracer.mark(|| Step::Heard);
            self.intake().0.on_socket(generation);
        }
    }

    /// What reading from workers touches, and where they run.
    fn intake(&mut self) -> (Intake<'_>, &mut Affinity) {
        let intake = Intake {
            core: &self.core,
            store: &mut self.ledger.store,
            events: &mut self.events,
            reactor: &self.reactor,
            workers: &mut self.workers,
            spill: &mut self.spill,
            long: &mut self.long,
        };
        (intake, &mut self.affinity)
    }

    fn take_commands(&mut self) {
        for _ in 0..COMMANDS_A_TICK {
            match self.reactor.next_command() {
                Ok(command) => self.on_command(command),
                Err(TryRecvError::Empty) => return,
                // Every handle is gone; nobody can stop the engine any more, so it stops itself.
                Err(TryRecvError::Disconnected) => {
                    self.begin_stop(None);
                    return;
                }
            }
        }
        // More may wait: come back at once.
        self.reactor.notify();
    }

    fn on_command(&mut self, command: Command) {
        if matches!(command, Command::Call(..)) {
            self.tracer.mark(|| Step::Taken);
        }
        match address(command) {
            Addressee::Core(event) => self.events.push_back(event),
            // Begun at the end of this tick.
            Addressee::Loop(Command::Verify(to)) => self.verifier.ask(to),
            Addressee::Loop(Command::Stop(to)) => self.begin_stop(Some(to)),
            Addressee::Loop(Command::Watch(to)) => self.watchers.push(to),
            Addressee::Loop(question) => self.inspector().answer(question),
        }
    }

    fn begin_stop(&mut self, asker: Option<Answerer<Result<(), CallError>>>) {
        if self.stopping.is_none() {
            let until = Instant::now() + STOP_PATIENCE;
            self.stopping = Some(Stopping { asker, until });
        }
    }

    fn inspector(&mut self) -> Inspector<'_> {
        Inspector {
            core: &self.core,
            store: &mut self.ledger.store,
            workers: &self.workers,
            committer: &self.committer,
            options: &self.options,
        }
    }

    /// For how many milliseconds nothing may happen before something has to be looked at anyway.
    fn patience_ms(&self) -> Option<i64> {
        let tick = self
            .core
            .next_tick_ms()
            .map(|due| due - self.clock.now_ms());
        let stop = self.stopping.as_ref().map(|_| STOP_CHECK_MS);
        // While turns run, the watchdog does.
        let is_watched = self.workers.needs_watchdog(self.core.has_turns_out());
        let watchdog = is_watched.then_some(WATCHDOG_PERIOD.as_millis() as i64);
        let probe = self.committer.probe_in_ms();
        let due = [tick, stop, watchdog, probe].into_iter().flatten().min();
        due.map(|ms| ms.max(0))
    }

    /// Another thread finished something.
    fn on_finished(&mut self, finished: Finished) -> Result<(), Fatal> {
        match finished {
            Finished::Synced(durable, took) => {
                let durable = durable?;
                self.committer.synced(took, &self.tracer);
                apply::release(self, durable)?;
            }
            Finished::Spill(done) => {
                let is_applied = matches!(done, crate::spill::Done::Applied(_));
                let was_refused = self.intake().0.on_spill(done)?;
                self.ledger.was_refused |= was_refused;
                if is_applied {
                    // There was no fold while the file was on its way into its image.
                    if self.ledger.store.fold_due() {
                        self.fold()?;
                    }
                    self.verify_between_frames();
                }
            }
            Finished::Folded(folded) => {
                self.committer.end_fold();
                self.tracer.mark(|| Step::FoldEnded);
                self.ledger.store.finish_fold(folded?)?;
                self.verify_between_frames();
            }
            // No process starts on a caller's thread.
            Finished::Checked(generation, checked) if self.inline.deferred.is_inline() => {
                self.inline.checked.push((generation, checked));
            }
            Finished::Checked(generation, checked) => self.resume_start(generation, checked),
            Finished::Hashed(hashing, hash) => self.inspector().on_hashed(hashing, hash),
            Finished::EngineChecked(found) => {
                self.committer.end_engine_check();
                self.engines.on_own_checked(&mut self.ledger.store, found);
            }
        }
        Ok(())
    }

    /// The image of a vat was checked on another thread: its worker is started now, unless it was
    /// ended meanwhile.
    fn resume_start(&mut self, generation: u64, checked: Checked) {
        if let Some(starting) = self.workers.end_wait(generation) {
            let started = self.starter().resume(generation, &starting, checked);
            start_error::report(&mut self.events, starting.vat, generation, started);
        }
    }

    fn fold(&mut self) -> Result<(), Fatal> {
        if let Some(fold) = self.committer.begin_fold(&mut self.ledger.store)? {
            self.tracer.mark(|| Step::FoldBegun);
            // A thread, like a process, begins where the one that starts it may be.
            self.affinity.unpin();
            self.committer.run_fold(fold)?;
        }
        Ok(())
    }

    /// Tries what waits for space on the disk, now and then while something does.
    fn probe_for_space(&mut self) -> Result<(), Fatal> {
        if std::mem::take(&mut self.ledger.was_refused) {
            // Segments a fold would free may be all that is missing.
            self.fold()?;
        }
        let is_sought = self.ledger.store.is_space_low() || self.core.lacks_space();
        if !self.committer.is_probe_due(is_sought) {
            return Ok(());
        }
        let store = &mut self.ledger.store;
        let mut caught_up = Vec::new();
        store.find_space(&mut caught_up)?;
        // What is a spill file's is only begun; it is told of when it is done.
        self.spill.apply_files(store);
        caught_up.retain(|vat| !store.is_applying(*vat));
        self.intake().0.on_caught_up(&caught_up);
        if self.ledger.store.fold_due() {
            self.fold()?;
        }
        let has_space = !self.ledger.store.is_space_exhausted();
        if has_space || !caught_up.is_empty() {
            self.events.push_back(Event::Space {
                caught_up,
                has_space,
            });
            apply::settle(self)?;
        }
        Ok(())
    }

    /// Asks for the spill files of hand-overs that came whole; where there are many files, once a
    /// fold has let go of some.
    fn ask_for_spill_files(&mut self) -> Result<(), Fatal> {
        if !self.spill.has_whole() {
            return Ok(());
        }
        if self.ledger.store.spill_is_full() {
            self.fold()?;
            if self.ledger.store.spill_is_full() {
                return Ok(());
            }
        }
        let store = &mut self.ledger.store;
        Ok(self
            .spill
            .ask_for_files(&self.core, store, &mut self.events)?)
    }

    /// One step of the verification somebody waits for, where the store is at rest.
    fn verify_between_frames(&mut self) {
        if self.verifier.step(&mut self.ledger.store, &self.core) {
            self.reactor.notify();
        }
    }
}

/// Ends workers, and on a clean stop folds and lets go of the store.
fn finish(mut event_loop: EventLoop, end: Result<(), Fatal>) -> Result<(), Fatal> {
    event_loop.workers.end_all();
    let asker = event_loop
        .stopping
        .take()
        .and_then(|stopping| stopping.asker);
    let (end, said) = match end {
        Ok(()) => {
            let end = close(event_loop);
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
fn close(mut event_loop: EventLoop) -> Result<(), Fatal> {
    // The store's copy of this program's own engine is read first, where it was not yet.
    while event_loop.committer.hurry_engine_check() {
        let finished = event_loop.committer.wait_finished();
        event_loop.on_finished(finished)?;
    }
    let mut store = event_loop.ledger.store;
    // The one new vats get stays: without it the next start would have to make it again.
    match store.remove_unused_engines(&[event_loop.core.engine()]) {
        // Another time.
        Err(StoreError::NoSpace(_)) => {}
        removed => drop(removed?),
    }
    Ok(store.close()?)
}

/// A line on stderr, which may be a pipe nobody reads any more: `eprintln!` would panic then, and
/// every vat stand still for a remark.
pub(crate) fn say(what: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "kenvat: {what}");
}
