//! A heap in memory and its base: the only way the rest of the worker reads or writes heap pages.
//!
//! Promises: pages are copied whole into and out of buffers of our own, so no reference into the
//! heap exists while JavaScript runs, and no system call is ever given a heap address to read or
//! fill (H5); only mapping calls name heap addresses. Does not know what is in a page.

use std::io;
use std::ops::Range;

use rustix::mm::{Advice, madvise};

use super::layout::{PAGE_BYTES, PAGE_WORDS, Page};

/// Words compared at a time.
const BLOCK_WORDS: usize = 8;
type Block = [u64; BLOCK_WORDS];

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

    /// Whether a page of the heap is what the base has. Nothing is copied: most pages that were
    /// written ended as they began, and copying two pages to see that took most of a hand-over.
    pub fn equals_base(&self, page: u32) -> bool {
        let base = self.base.wrapping_add(page as usize * PAGE_BYTES);
        self.is_equal(page, base.cast())
    }

    /// Whether a page of the heap is this.
    pub fn equals(&self, page: u32, content: &Page) -> bool {
        self.is_equal(page, std::ptr::from_ref(content).cast())
    }

    fn is_equal(&self, page: u32, other: *const Block) -> bool {
        let heap = self.address(page).cast::<Block>();
        (0..PAGE_WORDS / BLOCK_WORDS).all(|at| {
            // SAFETY: a block of a page, as in `read_heap`.
            let now = unsafe { heap.wrapping_add(at).read() };
            // SAFETY: a block of a page of the base, as in `read_base`, or of a `Page`.
            let before = unsafe { other.wrapping_add(at).read() };
            now == before
        })
    }

    /// A copy of a page of the heap.
    pub fn copy_heap(&self, page: u32) -> Box<Page> {
        let mut copy = Box::<Page>::new_uninit();
        let from = self.address(page).cast::<Page>();
        // SAFETY: as in `read_heap`.
        unsafe { std::ptr::copy_nonoverlapping(from, copy.as_mut_ptr(), 1) };
        // SAFETY: all of it was written.
        unsafe { copy.assume_init() }
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
