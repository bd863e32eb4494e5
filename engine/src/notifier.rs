//! Wakes the engine's thread from another thread: an eventfd the thread polls.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};

/// Clones wake the same thread.
#[derive(Clone, Debug)]
pub(crate) struct Notifier(Arc<OwnedFd>);

impl Notifier {
    pub fn new() -> io::Result<Notifier> {
        let flags = EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
        Ok(Notifier(Arc::new(eventfd(0, flags)?)))
    }

    pub fn notify(&self) {
        // Full (2^64 wake-ups unread) would mean that the thread is being woken already.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Forgets the wake-ups so far.
    pub fn clear(&self) {
        let mut count = [0; 8];
        // Nothing to read means nobody woke: both ends mean the same here.
        let _ = rustix::io::read(&self.0, &mut count);
    }
}

impl AsFd for Notifier {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
