//! The status page: where the worker notes which turn it runs, for the host to read after a death
//! (T3), and how many pages it found written, for benches.
//!
//! One page of memory shared with the host, outside the heap. What stands there is a claim; the
//! host uses it only to blame one of this vat's own messages.

use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering::Release};

use rustix::mm::{MapFlags, ProtFlags, mmap};

use kenvat_wire::protocol::{STATUS_BYTES, STATUS_PAGES_AT, STATUS_TURN_AT};

/// The mapped page.
#[derive(Debug)]
pub struct Status(NonNull<AtomicU64>);

impl Status {
    /// Maps the page; the descriptor is not needed afterwards.
    pub fn map(page: OwnedFd) -> std::io::Result<Status> {
        let anywhere = std::ptr::null_mut();
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses an address where nothing is.
        let at = unsafe { mmap(anywhere, STATUS_BYTES, prot, MapFlags::SHARED, &page, 0) }?;
        let at = NonNull::new(at.cast()).ok_or_else(|| std::io::Error::other("mapped at zero"))?;
        Ok(Status(at))
    }

    /// Notes the turn being run; 0 for none.
    pub fn running(&self, turn: u64) {
        self.note(STATUS_TURN_AT, turn);
    }

    /// Notes how many pages were found written for a hand-over.
    pub fn pages_written(&self, pages: u64) {
        self.note(STATUS_PAGES_AT, pages);
    }

    fn note(&self, at: u64, value: u64) {
        let word = self.0.as_ptr().wrapping_byte_add(at as usize);
        // SAFETY: a word of the page by the constants above, aligned, mapped for the life of the
        // process, and the other side only reads.
        let word = unsafe { &*word };
        word.store(value, Release);
    }
}
