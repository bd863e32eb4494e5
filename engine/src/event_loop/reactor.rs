//! What the loop's thread waits for: workers' sockets and ends, other threads, the clock.
//!
//! Promises: a wait holds nothing of the loop; every descriptor's mark names its worker's
//! generation, so an event of a worker that is gone finds nobody. Does not know what is said.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{self, TryRecvError};
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use super::Fatal;
use crate::handle::Command;
use crate::notifier::Notifier;
use crate::process::Worker;

/// Descriptors looked at in one wait.
const EVENTS_A_WAIT: usize = 256;
/// The eventfd's mark among epoll's; workers' begin at 2.
const NOTIFIER_MARK: u64 = 0;

/// The descriptors the loop's thread waits for, and the way in for other threads.
pub(super) struct Reactor {
    epoll: Arc<OwnedFd>,
    inbox: mpsc::Receiver<Command>,
    notifier: Notifier,
    /// Until when the loop's thread waits if nothing wakes it; `None` without end.
    waits_until: Option<Instant>,
}

/// What a descriptor has.
pub(super) enum Ready {
    /// Another thread woke the loop.
    Notified,
    /// A worker's socket; `is_input` where it has bytes, and not its end.
    Socket { generation: u64, is_input: bool },
    /// A worker's process ended.
    Process { generation: u64 },
}

/// A worker's marks among epoll's: twice its generation for the socket, one more for the process.
fn socket_mark(generation: u64) -> epoll::EventData {
    epoll::EventData::new_u64(generation * 2)
}

fn process_mark(generation: u64) -> epoll::EventData {
    epoll::EventData::new_u64(generation * 2 + 1)
}

/// What the loop's thread has to be told of a worker's socket.
fn interest(worker: &Worker) -> epoll::EventFlags {
    let mut interest = epoll::EventFlags::empty();
    interest.set(epoll::EventFlags::IN, !worker.is_unwatched);
    interest.set(epoll::EventFlags::OUT, worker.blocked);
    interest
}

impl Reactor {
    pub fn new(inbox: mpsc::Receiver<Command>, notifier: Notifier) -> io::Result<Reactor> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mark = epoll::EventData::new_u64(NOTIFIER_MARK);
        epoll::add(&epoll, notifier.as_fd(), mark, epoll::EventFlags::IN)?;
        Ok(Reactor {
            epoll: Arc::new(epoll),
            inbox,
            notifier,
            waits_until: None,
        })
    }

    /// Has the loop's thread come round again.
    pub fn notify(&self) {
        self.notifier.notify();
    }

    pub fn next_command(&self) -> Result<Command, TryRecvError> {
        self.inbox.try_recv()
    }

    /// What to wait for, and for how many milliseconds at most.
    pub fn wait_for(&mut self, patience_ms: Option<i64>) -> Waiting {
        self.waits_until = patience_ms.map(|ms| Instant::now() + millis(ms));
        Waiting {
            epoll: self.epoll.clone(),
            patience_ms,
        }
    }

    /// Whether the loop's thread, which waits, would come too late for something due then.
    pub fn waits_too_long_for(&self, patience_ms: Option<i64>) -> bool {
        match (patience_ms, self.waits_until) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(ms), Some(until)) => Instant::now() + millis(ms) < until,
        }
    }

    /// What an event is about. A wake-up is forgotten here.
    pub fn read(&self, event: &epoll::Event) -> Ready {
        // Copied: the field lies unaligned.
        let (flags, mark) = (event.flags, event.data.u64());
        match mark {
            NOTIFIER_MARK => {
                self.notifier.clear();
                Ready::Notified
            }
            mark if mark % 2 == 1 => Ready::Process {
                generation: mark / 2,
            },
            mark => Ready::Socket {
                generation: mark / 2,
                is_input: flags == epoll::EventFlags::IN,
            },
        }
    }

    /// Watches a new worker, its socket and its process.
    pub fn add(&self, generation: u64, worker: &Worker) -> rustix::io::Result<()> {
        let flags = epoll::EventFlags::IN;
        epoll::add(&self.epoll, worker.socket(), socket_mark(generation), flags)?;
        epoll::add(&self.epoll, worker.pidfd(), process_mark(generation), flags)
    }

    /// Watches a worker's socket again.
    pub fn resume(&self, generation: u64, worker: &Worker) {
        let mark = socket_mark(generation);
        // Fails where the process is ending.
        let _ = epoll::add(&self.epoll, worker.socket(), mark, interest(worker));
    }

    /// Watches it for other things than before.
    pub fn update(&self, generation: u64, worker: &Worker) {
        let mark = socket_mark(generation);
        // Fails where the socket is not watched at all: the process is ending, or held.
        let _ = epoll::modify(&self.epoll, worker.socket(), mark, interest(worker));
    }

    /// Watches it no more.
    pub fn remove(&self, worker: &Worker) {
        // Fails where the socket is no longer watched: the process is ending.
        let _ = epoll::delete(&self.epoll, worker.socket());
    }
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(ms.unsigned_abs())
}

/// A wait of the loop's thread, which holds nothing meanwhile.
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
