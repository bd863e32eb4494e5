//! The lock around the event loop, which a caller's thread may take while the loop's own waits.
//!
//! Promises: callers that come again and again do not keep the loop's thread out; a thread that
//! panicked in the middle of something left it undone, and nobody goes on from there.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};

use super::EventLoop;

/// The event loop, for its own thread and for a caller that is alone; nothing once it has ended.
pub(crate) struct LoopLock {
    event_loop: Mutex<Option<EventLoop>>,
    /// The loop's thread is waiting for the lock.
    thread_waits: AtomicBool,
}

impl LoopLock {
    pub fn new(event_loop: EventLoop) -> LoopLock {
        LoopLock {
            event_loop: Mutex::new(Some(event_loop)),
            thread_waits: AtomicBool::new(false),
        }
    }

    /// For a caller's thread; nothing while another has it, or the loop's wants it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, Option<EventLoop>>> {
        match self.thread_waits.load(Relaxed) {
            true => None,
            false => self.event_loop.try_lock().ok(),
        }
    }

    /// For a caller's thread that has something under way.
    pub fn lock(&self) -> MutexGuard<'_, Option<EventLoop>> {
        self.event_loop.lock().unwrap_or_else(|poisoned| {
            let mut event_loop = poisoned.into_inner();
            *event_loop = None;
            event_loop
        })
    }

    /// For the loop's own thread.
    pub fn lock_first(&self) -> MutexGuard<'_, Option<EventLoop>> {
        self.thread_waits.store(true, Relaxed);
        let event_loop = self.lock();
        self.thread_waits.store(false, Relaxed);
        event_loop
    }
}
