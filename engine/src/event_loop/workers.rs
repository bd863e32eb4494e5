//! The workers' processes, running and about to start, and what is queued for them.
//!
//! Promises: whatever is queued for a worker that is about to start is the first it is told; a dead
//! worker stays here until it is reaped; the watchdog is run while a worker runs turns or owes an
//! answer. By generation throughout: a dying worker and the next one of its vat may both be there.
//! Does not know what messages mean.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kenvat_core::event::{Death, Event};
use kenvat_store::VatId;
use kenvat_wire::protocol::{FromWorker, ToWorker};
use rustix::process::Pid;

use super::reactor::Reactor;
use crate::process::{Heard, Worker};
use crate::spill::Origin;

/// How often the watchdog looks at running turns; a turn may run so much longer than it may.
pub(super) const WATCHDOG_PERIOD: Duration = Duration::from_millis(250);

/// All workers of the host.
pub(super) struct Workers {
    processes: HashMap<u64, (VatId, Worker)>,
    /// Workers whose images are being checked on another thread.
    starting: HashMap<u64, Starting>,
    /// Workers with output queued in this tick, or that the socket did not take.
    to_send: Vec<u64>,
    /// Workers that owed an answer, or hid, when the watchdog last looked; at least those.
    suspects: usize,
    /// When the watchdog looks next.
    next_check: Instant,
}

/// A worker that is to be started once its image is checked.
pub(super) struct Starting {
    pub vat: VatId,
    /// What it is told first.
    first: Vec<ToWorker>,
}

/// What a worker has said next.
pub(super) enum Next {
    /// A whole message.
    Message(Origin, FromWorker),
    /// A message that is not there whole; so many bytes it will have.
    Partial { bytes: usize },
    /// Bytes that are no message.
    Garbage { vat: VatId, why: String },
    /// Nothing that may be read now.
    Nothing,
}

/// A worker that is gone.
pub(super) struct Reaped {
    pub vat: VatId,
    pub death: Death,
    pub running: Option<u64>,
    pub last_words: String,
}

impl Workers {
    pub fn new() -> Workers {
        Workers {
            processes: HashMap::new(),
            starting: HashMap::new(),
            to_send: Vec::new(),
            suspects: 0,
            next_check: Instant::now(),
        }
    }

    /// Whether there is such a worker, or will be.
    pub fn is_known(&self, generation: u64) -> bool {
        self.is_running(generation) || self.starting.contains_key(&generation)
    }

    /// Whether its process is here, alive or to be reaped.
    pub fn is_running(&self, generation: u64) -> bool {
        self.processes.contains_key(&generation)
    }

    /// Takes in a process that was started.
    pub fn insert(&mut self, vat: VatId, generation: u64, worker: Worker) {
        self.processes.insert(generation, (vat, worker));
        // Until it is ready.
        self.suspects += 1;
        self.to_send.push(generation);
    }

    /// A worker is to be started once its image is checked.
    pub fn await_start(&mut self, vat: VatId, generation: u64) {
        let first = Vec::new();
        self.starting.insert(generation, Starting { vat, first });
    }

    /// The image is checked; nothing where the worker was ended meanwhile.
    pub fn end_wait(&mut self, generation: u64) -> Option<Starting> {
        self.starting.remove(&generation)
    }

    /// Tells a worker that was waited for what had come for it.
    pub fn queue_first(&mut self, generation: u64, starting: &Starting) {
        if let Some((_, worker)) = self.processes.get_mut(&generation) {
            for message in &starting.first {
                worker.queue(message);
            }
        }
    }

    /// Queues a message.
    pub fn queue(&mut self, generation: u64, message: ToWorker) {
        if let Some((_, worker)) = self.processes.get_mut(&generation) {
            worker.queue(&message);
            self.to_send.push(generation);
        } else if let Some(starting) = self.starting.get_mut(&generation) {
            starting.first.push(message);
        }
    }

    /// Ends a worker. The vat of one that was not started yet: no process ends, and nobody else
    /// tells of it.
    pub fn kill(&mut self, generation: u64) -> Option<VatId> {
        if let Some((_, worker)) = self.processes.get_mut(&generation) {
            worker.kill();
            return None;
        }
        self.starting.remove(&generation).map(|it| it.vat)
    }

    /// Ends a worker whose bytes cannot be told apart any more.
    pub fn cut_off(&mut self, generation: u64, reactor: &Reactor) {
        if let Some((_, worker)) = self.processes.get_mut(&generation) {
            worker.kill();
            reactor.remove(worker);
        }
    }

    /// Reads once from a worker's socket.
    pub fn hear(&mut self, generation: u64, reactor: &Reactor) {
        if let Some((_, worker)) = self.processes.get_mut(&generation)
            && worker.hear() == Heard::End
        {
            // Its end is told by the process's own descriptor; until then the socket is silent.
            reactor.remove(worker);
            self.suspects += 1;
        }
    }

    /// Reads whatever a worker has left in its socket.
    pub fn hear_all(&mut self, generation: u64) {
        if let Some((_, worker)) = self.processes.get_mut(&generation) {
            while worker.hear() == Heard::Bytes {}
        }
    }

    /// The next of what was read.
    pub fn next_message(&mut self, generation: u64) -> Next {
        let Some((vat, worker)) = self.processes.get_mut(&generation) else {
            return Next::Nothing;
        };
        if worker.is_held() {
            return Next::Nothing;
        }
        let (vat, page_limit) = (*vat, worker.page_limit);
        let from = Origin {
            vat,
            generation,
            page_limit,
        };
        match worker.take() {
            Ok(Some(message)) => Next::Message(from, message),
            Ok(None) => match worker.under_way() {
                0 => Next::Nothing,
                bytes => Next::Partial { bytes },
            },
            Err(error) => Next::Garbage {
                vat,
                why: error.to_string(),
            },
        }
    }

    /// A worker was heard: it may have to be answered, or be watched for other things.
    pub fn mark_heard(&mut self, generation: u64) {
        if self.is_running(generation) {
            self.to_send.push(generation);
        }
    }

    /// Reaps a process that has ended. `before` runs while its number is still its own.
    pub fn reap(&mut self, generation: u64, before: impl FnOnce()) -> io::Result<Option<Reaped>> {
        let Some((vat, mut worker)) = self.processes.remove(&generation) else {
            return Ok(None);
        };
        before();
        let running = worker.running();
        let (death, last_words) = worker.reap()?;
        Ok(Some(Reaped {
            vat,
            death,
            running,
            last_words,
        }))
    }

    /// Those that may have something to be sent, each once, in order.
    pub fn take_to_send(&mut self) -> Vec<u64> {
        let mut generations = std::mem::take(&mut self.to_send);
        generations.sort_unstable();
        generations.dedup();
        generations
    }

    /// The process of a worker that has something queued.
    pub fn with_output(&self, generation: u64) -> Option<Pid> {
        let (_, worker) = self.processes.get(&generation)?;
        worker.has_output().then(|| worker.process())
    }

    /// Writes what was queued for a worker, and watches the socket if it would not take all of it.
    pub fn send(&mut self, generation: u64, reactor: &Reactor) {
        let Some((_, worker)) = self.processes.get_mut(&generation) else {
            return;
        };
        let was_blocked = worker.blocked;
        worker.blocked = worker.send();
        if worker.blocked != was_blocked {
            reactor.update(generation, worker);
        }
    }

    /// Stops reading from a worker. What it sends waits, and so does it, once the socket is full.
    pub fn hold(&mut self, generation: u64, reactor: &Reactor) {
        if let Some((_, worker)) = self.processes.get_mut(&generation)
            && worker.hold()
        {
            reactor.remove(worker);
        }
    }

    /// Reads from a worker again; false where it was read from, or is gone.
    pub fn resume(&mut self, generation: u64, reactor: &Reactor) -> bool {
        let Some((_, worker)) = self.processes.get_mut(&generation) else {
            return false;
        };
        if !worker.release() {
            return false;
        }
        worker.is_unwatched = false;
        reactor.resume(generation, worker);
        true
    }

    /// The loop's thread is told of this worker's socket.
    pub fn watch(&mut self, generation: u64, reactor: &Reactor) {
        if let Some((_, worker)) = self.processes.get_mut(&generation)
            && worker.is_unwatched
        {
            worker.is_unwatched = false;
            reactor.update(generation, worker);
        }
    }

    /// The loop's thread is not told of this worker's socket any more, for a caller's thread waits
    /// for it; nothing where that cannot be.
    pub fn lend_socket(&mut self, generation: u64, reactor: &Reactor) -> Option<Arc<UnixStream>> {
        let (_, worker) = self.processes.get_mut(&generation)?;
        if worker.blocked || worker.is_held() {
            return None;
        }
        if !worker.is_unwatched {
            worker.is_unwatched = true;
            reactor.update(generation, worker);
        }
        Some(worker.socket_shared())
    }

    /// Ends workers that have run one turn for longer than a turn may, or owe an answer (T3).
    pub fn run_watchdog<W>(&mut self, has_turns_out: bool, events: &mut VecDeque<Event<W>>) {
        let now = Instant::now();
        if !self.needs_watchdog(has_turns_out) || now < self.next_check {
            return;
        }
        self.next_check = now + WATCHDOG_PERIOD;
        self.suspects = 0;
        for (generation, (vat, worker)) in &mut self.processes {
            // One that is not read from may owe an answer and not be able to give it.
            if worker.is_held() {
                self.suspects += 1;
                continue;
            }
            if let Some(why) = worker.look(now) {
                events.push_back(Event::WorkerUnintelligible {
                    vat: *vat,
                    generation: *generation,
                    why: why.to_owned(),
                });
            }
            self.suspects += usize::from(worker.is_suspect());
        }
    }

    /// Whether the watchdog has to look: turns run, or a worker owes an answer.
    pub fn needs_watchdog(&self, has_turns_out: bool) -> bool {
        self.suspects > 0 || has_turns_out
    }

    /// The workers of a vat.
    pub fn generations_of(&self, vat: VatId) -> Vec<u64> {
        let of_vat = self.processes.iter().filter(|(_, (id, _))| *id == vat);
        of_vat.map(|(generation, _)| *generation).collect()
    }

    /// The pages a vat's worker says it found written for its last hand-over.
    pub fn pages_written(&self, vat: VatId) -> u64 {
        let worker = self.processes.values().find(|(id, _)| *id == vat);
        worker.map_or(0, |(_, worker)| worker.pages_written())
    }

    /// The workers' process ids.
    pub fn pids(&self) -> HashMap<VatId, u32> {
        let workers = self.processes.values();
        workers.map(|(vat, worker)| (*vat, worker.pid())).collect()
    }

    /// Ends and reaps all of them.
    pub fn end_all(&mut self) {
        self.processes.clear();
    }
}
