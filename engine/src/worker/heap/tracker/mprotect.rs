//! Written pages through write protection and SIGSEGV: slow, and works everywhere.
//!
//! Watched pages are readable only. The first write to one enters the handler, on a stack of its
//! own, which marks the page and makes it writable. Every page made writable alone may split a
//! mapping in two, and the kernel allows 65,530 of them; where it refuses, everything is made
//! writable and counts as written. A fault that is none of ours goes on to whoever handled SIGSEGV
//! before, so a wild pointer in C still ends the process.
//!
//! The handler's state is global because a signal's is; one tracker of this kind lives at a time.

use std::io;
use std::ops::Range;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering::Relaxed};

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect};

use super::Tracker;
use crate::protocol::TrackerKind;
use crate::worker::heap::layout::{HEAP_PAGES_MAX, PAGE_BYTES};
use crate::worker::heap::region::Region;

const HANDLER_STACK_BYTES: usize = 64 << 10;
const MARK_WORDS: usize = HEAP_PAGES_MAX as usize / 64;

/// What the handler knows: the watched range, a bit a page, and whether everything was opened.
static START: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);
static MARKS: AtomicPtr<AtomicU64> = AtomicPtr::new(std::ptr::null_mut());
static ALL_WRITTEN: AtomicBool = AtomicBool::new(false);
static PREVIOUS: AtomicPtr<libc::sigaction> = AtomicPtr::new(std::ptr::null_mut());

pub struct Mprotect {
    region: Region,
    watched: u32,
}

impl Mprotect {
    pub fn start(region: Region) -> io::Result<Mprotect> {
        if MARKS.load(Relaxed).is_null() {
            let marks: Vec<AtomicU64> = (0..MARK_WORDS).map(|_| AtomicU64::new(0)).collect();
            MARKS.store(marks.leak().as_mut_ptr(), Relaxed);
        }
        for word in marks() {
            word.store(0, Relaxed);
        }
        START.store(region.address(0).addr(), Relaxed);
        BYTES.store(0, Relaxed);
        ALL_WRITTEN.store(false, Relaxed);
        install_stack()?;
        install_handler()?;
        Ok(Mprotect { region, watched: 0 })
    }

    fn protect(&self, pages: Range<u32>) -> io::Result<()> {
        let length = (pages.end - pages.start) as usize * PAGE_BYTES;
        let at = self.region.address(pages.start).cast();
        // SAFETY: the pages are the heap's; reading stays allowed and writing is answered by the
        // handler, so no access changes its meaning.
        unsafe { mprotect(at, length, MprotectFlags::READ) }.map_err(io::Error::from)
    }
}

impl Tracker for Mprotect {
    fn kind(&self) -> TrackerKind {
        TrackerKind::Mprotect
    }

    fn watch(&mut self, pages: Range<u32>) -> io::Result<()> {
        self.watched = pages.end;
        BYTES.store(pages.end as usize * PAGE_BYTES, Relaxed);
        self.protect(pages)
    }

    fn take_written(&mut self, written: &mut Vec<u32>) -> io::Result<()> {
        let words = (self.watched as usize).div_ceil(64);
        if ALL_WRITTEN.swap(false, Relaxed) {
            marks()
                .iter()
                .take(words)
                .for_each(|word| word.store(0, Relaxed));
            written.extend(0..self.watched);
            return self.protect(0..self.watched);
        }
        let before = written.len();
        for (word, first) in marks().iter().take(words).zip((0u32..).step_by(64)) {
            let mut bits = word.swap(0, Relaxed);
            while bits != 0 {
                written.push(first + bits.trailing_zeros());
                bits &= bits - 1;
            }
        }
        for run in written[before..].chunk_by(|a, b| *b == *a + 1) {
            self.protect(run[0]..run[0] + run.len() as u32)?;
        }
        Ok(())
    }

    fn settled(&mut self, _page: u32) -> io::Result<()> {
        Ok(())
    }

    fn descriptors(&self) -> Vec<RawFd> {
        Vec::new()
    }
}

fn marks() -> &'static [AtomicU64] {
    let first = MARKS.load(Relaxed);
    // SAFETY: `start` stored a leaked vector of this length before anything calls this.
    unsafe { std::slice::from_raw_parts(first, MARK_WORDS) }
}

/// The handler's own stack: JavaScript's may be the one that faulted.
fn install_stack() -> io::Result<()> {
    let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
    // SAFETY: a fresh anonymous mapping, touching nothing that exists.
    let stack = unsafe { mmap_anonymous(std::ptr::null_mut(), HANDLER_STACK_BYTES, prot, flags) }?;
    let stack = libc::stack_t {
        ss_sp: stack,
        ss_flags: 0,
        ss_size: HANDLER_STACK_BYTES,
    };
    // SAFETY: the stack was just mapped, is never unmapped, and no signal runs on the one it
    // replaces.
    match unsafe { libc::sigaltstack(&stack, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn install_handler() -> io::Result<()> {
    if !PREVIOUS.load(Relaxed).is_null() {
        return Ok(());
    }
    // SAFETY: a sigaction of zeros is a valid one (default action, empty mask).
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_fault as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: as above.
    let previous: libc::sigaction = unsafe { std::mem::zeroed() };
    let previous = Box::leak(Box::new(previous));
    // SAFETY: the handler touches only atomics and makes one system call: both are allowed in one.
    match unsafe { libc::sigaction(libc::SIGSEGV, &action, previous) } {
        0 => {
            PREVIOUS.store(previous, Relaxed);
            Ok(())
        }
        _ => Err(io::Error::last_os_error()),
    }
}

extern "C" fn on_fault(signal: i32, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes a filled siginfo.
    let info = unsafe { &*info };
    // SAFETY: SIGSEGV's siginfo has an address.
    let address = unsafe { info.si_addr() }.addr();
    if open_page(address) {
        return;
    }
    // Not ours: the faulting instruction runs again under the handler that was there before.
    // SAFETY: `PREVIOUS` holds what sigaction gave when this handler was installed.
    unsafe { libc::sigaction(signal, PREVIOUS.load(Relaxed), std::ptr::null_mut()) };
}

/// Marks the page and makes it writable; false when the fault is none of ours.
fn open_page(address: usize) -> bool {
    let (start, bytes) = (START.load(Relaxed), BYTES.load(Relaxed));
    let Some(offset) = address.checked_sub(start).filter(|offset| *offset < bytes) else {
        return false;
    };
    let page = offset / PAGE_BYTES;
    let Some(word) = marks().get(page / 64) else {
        return false;
    };
    let bit = 1 << (page % 64);
    if word.fetch_or(bit, Relaxed) & bit != 0 {
        // Marked, so writable, and it faulted all the same: not a matter of tracking.
        return false;
    }
    if open(start + page * PAGE_BYTES, PAGE_BYTES) {
        return true;
    }
    ALL_WRITTEN.store(true, Relaxed);
    open(start, bytes)
}

fn open(address: usize, bytes: usize) -> bool {
    let at = std::ptr::with_exposed_provenance_mut(address);
    let flags = MprotectFlags::READ | MprotectFlags::WRITE;
    // SAFETY: the pages are the heap's, which was writable before the tracker took that away.
    unsafe { mprotect(at, bytes, flags) }.is_ok()
}
