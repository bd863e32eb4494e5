//! A heap in memory and its base: the only way the rest of the worker reads or writes heap pages.
//!
//! Promises: pages are copied whole into and out of buffers of our own, so no reference into the
//! heap exists while JavaScript runs, and no system call is ever given a heap address to read or
//! fill (H5); only mapping calls name heap addresses. Does not know what is in a page.

use std::io;
use std::ops::Range;

use rustix::mm::{Advice, madvise};

use super::layout::{PAGE_BYTES, Page};

/// The heap's private mapping and the shared view of its image, page for page.
#[derive(Clone, Copy, Debug)]
pub struct Region {
    heap: *mut u8,
    base: *const u8,
}

impl Region {
    /// # Safety
    /// `heap` must begin a private, readable and writable mapping of a file and `base` a shared,
    /// readable one of the same file, both aligned to pages, and both must stay as long as this
    /// value is used for pages inside them. No reference into `heap` may live across a call of a
    /// method here, and only one thread may use the region.
    pub unsafe fn new(heap: *mut u8, base: *const u8) -> Region {
        Region { heap, base }
    }

    /// The address of a page's first byte in the heap.
    pub fn address(&self, page: u32) -> *mut u8 {
        self.heap.wrapping_add(page as usize * PAGE_BYTES)
    }

    /// Copies a page of the heap.
    pub fn read_heap(&self, page: u32, into: &mut Page) {
        let from = self.address(page).cast::<Page>();
        // SAFETY: the page lies in the mapping by the contract of `new`; any bytes are a `Page`.
        unsafe { std::ptr::copy_nonoverlapping(from, into, 1) }
    }

    /// Copies a page of the base.
    pub fn read_base(&self, page: u32, into: &mut Page) {
        let from = self
            .base
            .wrapping_add(page as usize * PAGE_BYTES)
            .cast::<Page>();
        // SAFETY: as in `read_heap`. The host writes the file with pwrite while we may be reading,
        // but only words of pages we hold a copy of, and those are never compared with the base
        // (H1).
        unsafe { std::ptr::copy_nonoverlapping(from, into, 1) }
    }

    /// Overwrites a page of the heap.
    pub fn write_heap(&self, page: u32, from: &Page) {
        let into = self.address(page).cast::<Page>();
        // SAFETY: the page lies in the writable mapping by the contract of `new`, and no reference
        // into it is alive.
        unsafe { std::ptr::copy_nonoverlapping(from, into, 1) }
    }

    /// Gives a page's private content back, so that it reads as the base does.
    pub fn drop_private(&self, page: u32) -> io::Result<()> {
        self.drop_range(page..page + 1)
    }

    /// The same of pages that follow each other.
    pub fn drop_range(&self, pages: Range<u32>) -> io::Result<()> {
        let at = self.address(pages.start).cast();
        let bytes = pages.len() * PAGE_BYTES;
        // SAFETY: the pages are ours and private; what they held is not wanted any more (H2, H3).
        unsafe { madvise(at, bytes, Advice::LinuxDontNeed) }.map_err(io::Error::from)
    }
}
