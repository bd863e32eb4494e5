//! Waiting, and the workers: what arrives from them, their starts and their ends.
//!
//! Promises: a worker's end is told to the core only after everything whole that it sent was (T1).

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kenvat_store::{
    Checked, Damage, EngineHash, Genesis, ImageError, OpenError, StoreError, VatId,
};
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::process::Signal;

use super::{EventLoop, Fatal, INLINE_PAGES_MAX, NOTIFIER_MARK, say};
use crate::open::make_genesis;
use crate::process::{Executable, Heard, Worker, image_in_memory};
use crate::trace::Step;
use kenvat_core::api::VatLimits;
use kenvat_core::event::{Death, Event};
use kenvat_core::limits::LONG_MESSAGE_BYTES;
use kenvat_wire::protocol::{FromWorker, PROTOCOL_VERSION, Start, ToWorker};

/// Descriptors looked at in one wait.
const EVENTS_A_WAIT: usize = 256;

/// How often the clock of running turns is looked at; a turn may run so much longer than it may.
pub(super) const CLOCK_LOOK: Duration = Duration::from_millis(250);
/// How often a stopping host looks whether it may end.
const STOP_LOOK_MS: i64 = 100;

/// A worker's marks among epoll's: twice its generation for the socket, one more for the process.
pub(super) fn socket_mark(generation: u64) -> epoll::EventData {
    epoll::EventData::new_u64(generation * 2)
}

fn process_mark(generation: u64) -> epoll::EventData {
    epoll::EventData::new_u64(generation * 2 + 1)
}

/// The engine's thread is told what it has to know of a worker's socket.
pub(super) fn rewatch(epoll: &OwnedFd, generation: u64, worker: &Worker) {
    let mark = socket_mark(generation);
    // Fails where the socket is not watched at all: the process is ending, or held.
    let _ = epoll::modify(epoll, worker.socket(), mark, interest(worker));
}

/// What that is.
pub(super) fn interest(worker: &Worker) -> epoll::EventFlags {
    let mut interest = epoll::EventFlags::empty();
    interest.set(epoll::EventFlags::IN, !worker.is_unwatched);
    interest.set(epoll::EventFlags::OUT, worker.blocked);
    interest
}

/// Whether a socket has bytes, and not its end.
fn is_input(event: &epoll::Event) -> bool {
    // Copied: the field lies unaligned.
    let flags = event.flags;
    flags == epoll::EventFlags::IN
}

/// A wait of the engine's thread, which holds nothing meanwhile.
pub(super) struct Waiting {
    epoll: Arc<OwnedFd>,
    patience_ms: Option<i64>,
}

impl Waiting {
    /// Waits until a worker, another thread or the clock has something.
    pub fn wait(self) -> Result<Vec<epoll::Event>, Fatal> {
        let timeout = self.patience_ms.map(|ms| Timespec {
            tv_sec: ms / 1000,
            tv_nsec: (ms % 1000) * 1_000_000,
        });
        let mut ready = Vec::with_capacity(EVENTS_A_WAIT);
        let space = rustix::buffer::spare_capacity(&mut ready);
        match epoll::wait(&self.epoll, space, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(ready),
            Err(error) => Err(Fatal::Io(error.into())),
        }
    }
}

impl EventLoop {
    /// What the engine's thread waits for now.
    pub(super) fn wait_for(&mut self) -> Waiting {
        let patience_ms = self.patience_ms();
        self.inline.thread_waits_until =
            patience_ms.map(|ms| Instant::now() + Duration::from_millis(ms.unsigned_abs()));
        Waiting {
            epoll: self.epoll.clone(),
            patience_ms,
        }
    }

    pub(super) fn take_ready(&mut self, ready: &[epoll::Event]) -> Result<(), Fatal> {
        for event in ready {
            match event.data.u64() {
                NOTIFIER_MARK => self.notifier.clear(),
                mark if mark % 2 == 1 => self.on_ended(mark / 2)?,
                // From before a caller's thread began to wait for it.
                mark if self.inline.listens_to == Some(mark / 2) && is_input(event) => {}
                mark => self.on_socket(mark / 2),
            }
        }
        Ok(())
    }

    /// Ends workers that have run one turn for longer than a turn may, or owe an answer (T3).
    pub(super) fn run_watchdog(&mut self) {
        let now = Instant::now();
        if !self.looks() || now < self.next_look {
            return;
        }
        self.next_look = now + CLOCK_LOOK;
        self.suspects = 0;
        for (generation, (vat, worker)) in &mut self.workers {
            // One that is not listened to may owe an answer and not be able to give it.
            if worker.is_held() {
                self.suspects += 1;
                continue;
            }
            if let Some(why) = worker.look(now) {
                self.events.push_back(Event::WorkerUnintelligible {
                    vat: *vat,
                    generation: *generation,
                    why: why.to_owned(),
                });
            }
            self.suspects += usize::from(worker.is_suspect());
        }
    }

    /// Whether the clock has to be looked at: turns run, or a worker owes an answer.
    fn looks(&self) -> bool {
        self.suspects > 0 || self.core.has_turns_out()
    }

    /// For how many milliseconds nothing may happen before something has to be looked at anyway.
    pub(super) fn patience_ms(&self) -> Option<i64> {
        let tick = self
            .core
            .next_tick_ms()
            .map(|due| due - self.clock.now_ms());
        let often = if self.stopping.is_some() {
            Some(STOP_LOOK_MS)
        } else {
            None
        };
        // While turns run, the clock is looked at.
        let look = self.looks().then_some(CLOCK_LOOK.as_millis() as i64);
        let room = self.next_room.map(|due| {
            let left = due.saturating_duration_since(Instant::now());
            // Rounded up, or it would be looked for a moment before it is due.
            left.as_millis() as i64 + 1
        });
        let due = [tick, often, look, room].into_iter().flatten().min();
        due.map(|ms| ms.max(0))
    }

    pub(super) fn on_socket(&mut self, generation: u64) {
        let Some((_, worker)) = self.workers.get_mut(&generation) else {
            return;
        };
        if let Some(trace) = &self.options.trace {
            trace.mark(Step::Heard);
        }
        if worker.hear() == Heard::End {
            // Its end is told by the process's own descriptor; until then the socket is silent.
            let _ = epoll::delete(&self.epoll, worker.socket());
            self.suspects += 1;
        }
        self.take_messages(generation);
        if self.workers.contains_key(&generation) {
            self.to_send.push(generation);
        }
    }

    pub(super) fn take_messages(&mut self, generation: u64) {
        loop {
            let Some((vat, worker)) = self.workers.get_mut(&generation) else {
                return;
            };
            if worker.is_held() {
                return;
            }
            let vat = *vat;
            let taken = match worker.take() {
                Ok(Some(FromWorker::Delta { bytes, .. })) => self.on_piece(vat, generation, bytes),
                Ok(Some(FromWorker::HandOver(hand_over)))
                    if self.core.is_large(vat, &hand_over) =>
                {
                    self.on_large(vat, generation, hand_over)
                }
                Ok(Some(message)) => {
                    // The core gives out at the next commit what nobody keeps.
                    self.let_go_of(generation);
                    self.events.push_back(Event::FromWorker {
                        vat,
                        generation,
                        message,
                    });
                    Ok(())
                }
                Ok(None) => {
                    let bytes = worker.under_way();
                    if bytes > LONG_MESSAGE_BYTES {
                        self.on_long(generation, bytes);
                    }
                    return;
                }
                Err(error) => Err(error.to_string()),
            };
            if let Err(why) = taken {
                self.on_nonsense(vat, generation, why);
                return;
            }
        }
    }

    /// Nothing after it can be told apart: the process goes.
    fn on_nonsense(&mut self, vat: VatId, generation: u64, why: String) {
        self.events.push_back(Event::WorkerUnintelligible {
            vat,
            generation,
            why,
        });
        self.spill.give_up(generation);
        if let Some((_, worker)) = self.workers.get_mut(&generation) {
            worker.kill();
            let _ = epoll::delete(&self.epoll, worker.socket());
        }
    }

    fn on_ended(&mut self, generation: u64) -> Result<(), Fatal> {
        if let Some((_, worker)) = self.workers.get_mut(&generation) {
            while worker.hear() == Heard::Bytes {}
        }
        self.take_messages(generation);
        // A large hand-over that is not durable yet did not come whole.
        self.spill.give_up(generation);
        self.let_go_of(generation);
        let Some((vat, mut worker)) = self.workers.remove(&generation) else {
            return Ok(());
        };
        // Before its number is free for another process.
        self.affinity.unpin();
        let running = worker.running();
        let (mut death, last_words) = worker.reap()?;
        // A file system in memory that is full has no page for a hole, and says so by a signal.
        let is_bus = death == Death::Signal(Signal::BUS.as_raw());
        if is_bus && self.ledger.store.is_disk_full() {
            death = Death::NoSpace;
        }
        if !last_words.is_empty() {
            say(format_args!("the worker of vat {vat} said: {last_words}"));
        }
        self.events.push_back(Event::WorkerGone {
            vat,
            generation,
            death,
            running,
        });
        Ok(())
    }

    /// Writes what was queued for workers, and watches the sockets that would not take all of it.
    pub(super) fn send_queued(&mut self) -> Result<(), Fatal> {
        let mut generations = std::mem::take(&mut self.to_send);
        generations.sort_unstable();
        generations.dedup();
        for generation in generations {
            let Some((_, worker)) = self.workers.get_mut(&generation) else {
                continue;
            };
            let is_driving = self.inline.is_driving;
            self.inline.sent_to = Some(generation);
            let was_blocked = worker.blocked;
            if let Some(trace) = &self.options.trace
                && worker.has_output()
            {
                trace.mark(Step::Sent);
            }
            if worker.has_output() {
                match self.core.turns_out() {
                    0 => {}
                    1 if is_driving => self.affinity.pin_worker(generation, worker.process()),
                    1 => self.affinity.pin_pair(generation, worker.process()),
                    _ => self.affinity.unpin(),
                }
            }
            worker.blocked = worker.send();
            if worker.blocked != was_blocked {
                rewatch(&self.epoll, generation, worker);
            }
            if !is_driving && self.inline.listens_to != Some(generation) {
                self.watch(generation);
            }
        }
        Ok(())
    }

    pub(super) fn start_worker(&mut self, vat: VatId, generation: u64) {
        let started = self.try_start(vat, generation);
        self.told_if_not(vat, generation, started);
    }

    fn told_if_not(&mut self, vat: VatId, generation: u64, started: Result<(), NotStarted>) {
        if let Err(NotStarted { why, passing }) = started {
            self.events.push_back(Event::WorkerNotStarted {
                vat,
                generation,
                why,
                transient: passing,
            });
        }
    }

    fn try_start(&mut self, vat: VatId, generation: u64) -> Result<(), NotStarted> {
        let view = self.core.view(vat).ok_or("the vat is gone")?;
        let (engine, pages, limits) = (EngineHash(view.row.engine), view.pages, view.limits);
        let view_pages = view.counters.used_pages;
        self.ledger.store.extend(vat, pages)?;
        let large = view_pages > INLINE_PAGES_MAX;
        let reading = self.ledger.store.read_image(vat)?;
        if large {
            self.background
                .check(generation, reading)
                .map_err(|error| NotStarted::of("check its image", &error))?;
            self.starting.insert(generation, (vat, Vec::new()));
            return Ok(());
        }
        let image = self.ledger.store.checked(reading.check())?;
        self.spawn(vat, generation, engine, image.file, pages, limits)
    }

    /// The image of a vat was checked beside this thread: its worker is started now, unless it was
    /// ended meanwhile.
    pub(super) fn go_on_starting(&mut self, generation: u64, checked: Checked) {
        let Some((vat, first)) = self.starting.remove(&generation) else {
            return;
        };
        let started = self.start_checked(vat, generation, checked);
        if started.is_ok()
            && let Some((_, worker)) = self.workers.get_mut(&generation)
        {
            for message in &first {
                worker.queue(message);
            }
        }
        self.told_if_not(vat, generation, started);
    }

    fn start_checked(
        &mut self,
        vat: VatId,
        generation: u64,
        checked: Checked,
    ) -> Result<(), NotStarted> {
        let view = self.core.view(vat).ok_or("the vat is gone")?;
        let (engine, pages, limits) = (EngineHash(view.row.engine), view.pages, view.limits);
        let image = self.ledger.store.checked(checked)?;
        self.spawn(vat, generation, engine, image.file, pages, limits)
    }

    pub(super) fn start_birth(
        &mut self,
        vat: VatId,
        generation: u64,
        page_limit: u32,
        limits: VatLimits,
    ) {
        let started = self.try_birth(vat, generation, page_limit, limits);
        self.told_if_not(vat, generation, started);
    }

    fn try_birth(
        &mut self,
        vat: VatId,
        generation: u64,
        page_limit: u32,
        limits: VatLimits,
    ) -> Result<(), NotStarted> {
        let engine = self.core.engine();
        let genesis = self.genesis(engine).map_err(NotStarted::store)?;
        let length = u64::from(page_limit) * kenvat_store::PAGE_BYTES as u64;
        let image = image_in_memory(genesis.ranges(), length)
            .map_err(|error| NotStarted::of("make its image", &error))?;
        self.spawn(vat, generation, engine, image, page_limit, limits)
    }

    fn spawn(
        &mut self,
        vat: VatId,
        generation: u64,
        engine: EngineHash,
        image: File,
        page_limit: u32,
        limits: VatLimits,
    ) -> Result<(), NotStarted> {
        if !self.engines.contains_key(&engine) {
            let bytes = self.ledger.store.engine(engine)?;
            let sealed = Executable::seal(&bytes)
                .map_err(|error| NotStarted::of("prepare its executable", &error))?;
            self.engines.insert(engine, sealed);
        }
        let turn_ms = limits.turn_ms.unwrap_or(self.options.turn_ms);
        // A process begins where the thread that starts it may be.
        self.affinity.unpin();
        let executable = &self.engines[&engine];
        let mut worker =
            Worker::spawn(executable, image, Duration::from_millis(turn_ms)).map_err(|error| {
                NotStarted {
                    why: format!("start its worker: {error}"),
                    passing: is_passing(error.cause()),
                }
            })?;
        worker.page_limit = page_limit;
        worker.queue(&ToWorker::Start(Start {
            protocol: PROTOCOL_VERSION,
            generation,
            page_limit,
            genesis: false,
            gas: limits.gas.unwrap_or(self.options.gas),
            tracker: self.options.tracker,
        }));
        let flags = epoll::EventFlags::IN;
        epoll::add(&self.epoll, worker.socket(), socket_mark(generation), flags)
            .and_then(|()| epoll::add(&self.epoll, worker.pidfd(), process_mark(generation), flags))
            .map_err(|errno| NotStarted::of("watch its worker", &errno.into()))?;
        self.workers.insert(generation, (vat, worker));
        // Until it is ready.
        self.suspects += 1;
        self.to_send.push(generation);
        Ok(())
    }
}

impl EventLoop {
    /// Has the store's copy of this program's own engine read, which nothing waits for: workers are
    /// started from the program's.
    pub(crate) fn check_own_engine(&mut self) {
        let reading = self.ledger.store.read_engine(self.core.engine());
        let started = reading.map(|reading| self.background.check_engine(reading));
        if let Ok(Err(error)) = started {
            say(format_args!(
                "no thread to check the engine's file: {error}"
            ));
        }
    }

    /// One that is damaged is written again. What else is wrong with it is told by whoever needs
    /// it, and by `verify`.
    pub(super) fn own_engine_checked(&mut self, found: Result<(), StoreError>) {
        if let Err(StoreError::Damaged(damage)) = found {
            let repaired = self.ledger.store.repair_executable(&self.options.worker);
            say_repaired(&damage, repaired.err().map(|error| error.to_string()));
        }
    }

    /// The genesis image new vats of an engine begin with; the same holds for this program's own.
    fn genesis(&mut self, engine: EngineHash) -> Result<Arc<Genesis>, OpenError> {
        let damage = match self.ledger.store.genesis(engine) {
            Err(OpenError::Damaged(damage)) if engine == self.core.engine() => damage,
            found => return found,
        };
        let made = make_genesis(&self.options.worker, self.options.tracker);
        let repaired = made.map_err(|error| error.to_string()).and_then(|genesis| {
            let repaired = self.ledger.store.repair_genesis(engine, &genesis);
            repaired.map_err(|error| error.to_string())
        });
        say_repaired(&damage, repaired.err());
        self.ledger.store.genesis(engine)
    }
}

fn say_repaired(damage: &Damage, hindrance: Option<String>) {
    match hindrance {
        None => say(format_args!(
            "damaged: {damage}; this program carries the same engine and wrote it again"
        )),
        Some(why) => say(format_args!(
            "damaged: {damage}; it could not be written again: {why}"
        )),
    }
}

/// Why there is no worker, and whether trying again may help.
struct NotStarted {
    why: String,
    passing: bool,
}

impl NotStarted {
    fn of(what: &str, error: &io::Error) -> NotStarted {
        NotStarted {
            why: format!("{what}: {error}"),
            passing: is_passing(error),
        }
    }

    fn store(error: OpenError) -> NotStarted {
        match error {
            OpenError::Store(error) => error.into(),
            other => NotStarted::from(other.to_string().as_str()),
        }
    }
}

impl From<&str> for NotStarted {
    fn from(why: &str) -> NotStarted {
        NotStarted {
            why: why.to_owned(),
            passing: false,
        }
    }
}

impl From<ImageError> for NotStarted {
    fn from(error: ImageError) -> NotStarted {
        match error {
            ImageError::Store(error) => error.into(),
            // Until there is room on the disk again.
            ImageError::Backlog(_) => NotStarted {
                why: error.to_string(),
                passing: true,
            },
            other => NotStarted::from(other.to_string().as_str()),
        }
    }
}

impl From<StoreError> for NotStarted {
    fn from(error: StoreError) -> NotStarted {
        NotStarted {
            why: error.to_string(),
            passing: matches!(&error, StoreError::Io { source, .. } if is_passing(source)),
        }
    }
}

/// Whether the machine lacks something that it may have again in a moment: descriptors, memory,
/// process numbers.
fn is_passing(error: &io::Error) -> bool {
    let lacks = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOMEM,
        Errno::AGAIN,
        Errno::NOBUFS,
    ];
    Errno::from_io_error(error).is_some_and(|errno| lacks.contains(&errno))
}
