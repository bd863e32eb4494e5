//! A fence around what is not to be written unnoticed: units of the heap that are readable only,
//! and a handler of SIGSEGV that opens a unit at its first write and notes which it was.
//!
//! Promises: no write to a closed unit passes without its unit being noted; a fault that is none of
//! the fence's goes on to whoever handled SIGSEGV before, so a wild pointer in C still ends the
//! process. Every opened unit may split a mapping in two, and the kernel allows 65,530 mappings:
//! where it refuses, or where more units were opened than can be noted, everything is opened and
//! counts as opened. Does not know what a unit is for: the third tracker makes one of each page,
//! the other two of each MiB.
//!
//! The handler runs on a stack of its own, since JavaScript's may be the one that faulted. It
//! touches atomics and memory of its own and makes system calls, all of which a handler may. Its
//! state is global because a signal's is; one fence stands at a time.

use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize};

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect};

use super::userfaultfd::arm_opened;
use crate::heap::layout::{HEAP_PAGES_MAX, PAGE_BYTES};
use crate::heap::region::Region;

/// Units noted between two looks; the kernel's limit on mappings is about as many.
const NOTED_MAX: usize = 1 << 16;
const HANDLER_STACK_BYTES: usize = 64 << 10;
/// `si_code` of a write to memory that may not be written; one that another process sent has none
/// of the kernel's codes.
const SEGV_ACCERR: i32 = 2;

/// What the handler knows: the fenced range, bytes of a unit, a bit a unit that says it is open,
/// and the units opened since the last look.
static START: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);
static UNIT_BYTES: AtomicUsize = AtomicUsize::new(PAGE_BYTES);
static OPEN: AtomicPtr<AtomicU64> = AtomicPtr::new(std::ptr::null_mut());
static OPEN_WORDS: AtomicUsize = AtomicUsize::new(0);
static NOTED: [AtomicU32; NOTED_MAX] = [const { AtomicU32::new(0) }; NOTED_MAX];
static NOTED_COUNT: AtomicUsize = AtomicUsize::new(0);
static ALL_OPEN: AtomicBool = AtomicBool::new(false);
static PREVIOUS: AtomicPtr<libc::sigaction> = AtomicPtr::new(std::ptr::null_mut());

/// The units opened since the last look.
pub enum Opened {
    /// These, in ascending order.
    Units(Vec<u32>),
    /// All of them, whether or not they were written.
    All,
}

/// The one fence of this process.
pub struct Fence {
    region: Region,
    unit_pages: u32,
    /// Pages inside the fence, from the heap's start.
    pages: u32,
}

impl Fence {
    /// Stands around nothing yet. Whatever fence there was before is gone.
    pub fn start(region: Region, unit_pages: u32) -> io::Result<Fence> {
        let words = (HEAP_PAGES_MAX / unit_pages).div_ceil(64) as usize;
        BYTES.store(0, Relaxed);
        // Zeros that cost no memory until they are used: a heap rarely has all its pages.
        let open: &'static mut [u64] = vec![0u64; words].leak();
        OPEN.store(open.as_mut_ptr().cast(), Relaxed);
        OPEN_WORDS.store(words, Relaxed);
        START.store(region.address(0).addr(), Relaxed);
        UNIT_BYTES.store(unit_pages as usize * PAGE_BYTES, Relaxed);
        NOTED_COUNT.store(0, Relaxed);
        ALL_OPEN.store(false, Relaxed);
        install_stack()?;
        install_handler()?;
        Ok(Fence {
            region,
            unit_pages,
            pages: 0,
        })
    }

    /// Stands around the first `pages` pages; units that come in are open.
    pub fn extend(&mut self, pages: u32) {
        for unit in self.pages.div_ceil(self.unit_pages)..pages.div_ceil(self.unit_pages) {
            mark_open(unit as usize);
        }
        self.pages = pages;
        BYTES.store(pages as usize * PAGE_BYTES, Relaxed);
    }

    /// Closes open units, in one piece: from now on the first write to each is noted. Where the
    /// kernel refuses, which it may do half-way, all units are open and noted as such instead.
    ///
    /// # Errors
    /// When they cannot even be opened: nothing is known of what is written from now on.
    pub fn close(&self, units: Range<u32>) -> io::Result<()> {
        let pages = self.pages_of(units.clone());
        let length = (pages.end - pages.start) as usize * PAGE_BYTES;
        let at = self.region.address(pages.start).cast();
        // SAFETY: the pages are the heap's; reading stays allowed and writing is answered by the
        // handler, so no access changes its meaning.
        let closed = unsafe { mprotect(at, length, MprotectFlags::READ) };
        units.for_each(|unit| mark_closed(unit as usize));
        match closed {
            Ok(()) => Ok(()),
            Err(_) if open_all() => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Opens a unit that is about to be written, as its first write would; one that is open stays
    /// so.
    pub fn open(&self, unit: u32) {
        open_unit(unit as usize);
    }

    /// The units opened since this was last asked.
    pub fn take_opened(&self) -> Opened {
        let count = NOTED_COUNT.swap(0, Relaxed);
        if ALL_OPEN.swap(false, Relaxed) {
            for unit in 0..self.pages.div_ceil(self.unit_pages) {
                mark_open(unit as usize);
            }
            return Opened::All;
        }
        let mut units: Vec<u32> = NOTED[..count.min(NOTED_MAX)]
            .iter()
            .map(|unit| unit.load(Relaxed))
            .collect();
        units.sort_unstable();
        Opened::Units(units)
    }

    /// The pages of some units, as far as they are inside.
    pub fn pages_of(&self, units: Range<u32>) -> Range<u32> {
        units.start * self.unit_pages..(units.end * self.unit_pages).min(self.pages)
    }
}

fn word_of(unit: usize) -> Option<&'static AtomicU64> {
    let word = unit / 64;
    if word >= OPEN_WORDS.load(Relaxed) {
        return None;
    }
    let first = OPEN.load(Relaxed);
    // SAFETY: `start` stored a leaked vector of `OPEN_WORDS` words, of which this is one.
    Some(unsafe { &*first.wrapping_add(word) })
}

/// Whether the unit was closed before.
fn mark_open(unit: usize) -> bool {
    let bit = 1 << (unit % 64);
    word_of(unit).is_some_and(|word| word.fetch_or(bit, Relaxed) & bit == 0)
}

fn mark_closed(unit: usize) {
    if let Some(word) = word_of(unit) {
        word.fetch_and(!(1 << (unit % 64)), Relaxed);
    }
}

extern "C" fn on_fault(signal: i32, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes a filled siginfo.
    let info = unsafe { &*info };
    // SAFETY: SIGSEGV's siginfo has an address, or other words that are only compared.
    let address = unsafe { info.si_addr() }.addr();
    let offset = address.wrapping_sub(START.load(Relaxed));
    if info.si_code == SEGV_ACCERR
        && offset < BYTES.load(Relaxed)
        && open_unit(offset / UNIT_BYTES.load(Relaxed))
    {
        return;
    }
    // Not ours: the faulting instruction runs again under the handler that was there before.
    // SAFETY: `PREVIOUS` holds what sigaction gave when this handler was installed.
    unsafe { libc::sigaction(signal, PREVIOUS.load(Relaxed), std::ptr::null_mut()) };
}

/// Notes a closed unit and opens it; false when it was open, so that a fault in it is no matter of
/// this fence.
fn open_unit(unit: usize) -> bool {
    if !mark_open(unit) {
        return false;
    }
    let start = START.load(Relaxed);
    let end = start + BYTES.load(Relaxed);
    let unit_bytes = UNIT_BYTES.load(Relaxed);
    let at = start + unit * unit_bytes;
    let length = unit_bytes.min(end.saturating_sub(at));
    let count = NOTED_COUNT.fetch_add(1, Relaxed);
    if let Some(place) = NOTED.get(count)
        && make_writable(at, length)
    {
        place.store(unit as u32, Relaxed);
        arm_opened(at, length);
        return true;
    }
    open_all()
}

/// Opens everything; false when the kernel refuses even that.
fn open_all() -> bool {
    ALL_OPEN.store(true, Relaxed);
    make_writable(START.load(Relaxed), BYTES.load(Relaxed))
}

fn make_writable(address: usize, bytes: usize) -> bool {
    let at = std::ptr::with_exposed_provenance_mut(address);
    let flags = MprotectFlags::READ | MprotectFlags::WRITE;
    // SAFETY: the pages are the heap's, which was writable before the fence took that away.
    unsafe { mprotect(at, bytes, flags) }.is_ok()
}

/// The handler's own stack.
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
    // SAFETY: the handler does only what is allowed in one.
    match unsafe { libc::sigaction(libc::SIGSEGV, &action, previous) } {
        0 => {
            PREVIOUS.store(previous, Relaxed);
            Ok(())
        }
        _ => Err(io::Error::last_os_error()),
    }
}
