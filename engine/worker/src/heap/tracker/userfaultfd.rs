//! Written pages through userfaultfd's asynchronous write protection and PAGEMAP_SCAN (Linux 6.7).
//!
//! In asynchronous mode the kernel answers a write to a protected page by itself: it lifts the
//! protection and goes on, and the missing protection is the mark. One PAGEMAP_SCAN finds the pages
//! without it, others protect those again that are not `hot`; no write falls between, as the one
//! thread of the worker is here. UFFD_USER_MODE_ONLY lets an unprivileged process have it; we never
//! hand a heap address to a system call, so faults from the kernel do not occur.
//!
//! A look that fails may have protected pages it did not report, so after an error every page of
//! the range counts as written (H4); `coarse` sees to that.

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl, opcode};
use rustix::mm::UserfaultfdFlags;

use super::coarse::Fine;
use super::hot::{Hot, Protect};
use crate::heap::layout::PAGE_BYTES;
use crate::heap::region::Region;
use kenvat_wire::protocol::TrackerKind;

// From linux/userfaultfd.h.
const UFFD_USER_MODE_ONLY: u32 = 1;
const UFFD_API: u64 = 0xAA;
const UFFD_FEATURE_WP_HUGETLBFS_SHMEM: u64 = 1 << 12;
const UFFD_FEATURE_WP_UNPOPULATED: u64 = 1 << 13;
const UFFD_FEATURE_WP_ASYNC: u64 = 1 << 15;
const UFFDIO_REGISTER_MODE_WP: u64 = 1 << 1;

// From linux/fs.h.
const PAGE_IS_WRITTEN: u64 = 1 << 1;
const PM_SCAN_WP_MATCHING: u64 = 1 << 0;
const PM_SCAN_CHECK_WPASYNC: u64 = 1 << 1;

/// The two calls made once a tracker has started.
pub const PAGEMAP_SCAN: Opcode = opcode::read_write::<ScanArg>(b'f', 16);
pub const UFFDIO_REGISTER: Opcode = opcode::read_write::<UffdioRegister>(UFFD_API as u8, 0x00);

/// Runs of pages a scan reports at once.
const RUNS_AT_ONCE: usize = 256;

/// Runs of pages that are protected one by one after a look, rather than all that was looked at.
const RUNS_APART_MAX: usize = 6;

/// The pagemap of the tracker at work, for the fence's handler; -1 for none.
static ARMING: AtomicI32 = AtomicI32::new(-1);

#[repr(C)]
struct UffdioApi {
    api: u64,
    features: u64,
    ioctls: u64,
}

#[repr(C)]
struct UffdioRegister {
    start: u64,
    len: u64,
    mode: u64,
    ioctls: u64,
}

#[repr(C)]
#[derive(Default)]
struct ScanArg {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct PageRegion {
    start: u64,
    end: u64,
    categories: u64,
}

/// An ioctl that reads and writes the structure it is given and returns a number.
struct Exchange<'a, T> {
    opcode: Opcode,
    argument: &'a mut T,
}

// SAFETY: `as_ptr` points at a live, exclusively borrowed structure of the size the opcode names
// (both are made together in this file), and the kernel writes nothing beyond it but the vector a
// scan's argument names, which its maker keeps alive.
unsafe impl<T> Ioctl for Exchange<'_, T> {
    type Output = usize;
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::from_mut(self.argument).cast()
    }

    unsafe fn output_from_ptr(out: IoctlOutput, _: *mut c_void) -> rustix::io::Result<usize> {
        Ok(out as usize)
    }
}

pub struct Userfaultfd {
    region: Region,
    uffd: OwnedFd,
    pagemap: File,
    runs: Vec<PageRegion>,
    hot: Hot,
}

impl Userfaultfd {
    pub fn start(region: Region) -> io::Result<Userfaultfd> {
        let flags = UserfaultfdFlags::CLOEXEC
            | UserfaultfdFlags::NONBLOCK
            | UserfaultfdFlags::from_bits_retain(UFFD_USER_MODE_ONLY);
        // SAFETY: a userfaultfd does nothing to memory until a range is registered with it.
        let uffd = unsafe { rustix::mm::userfaultfd(flags) }?;
        let mut api = UffdioApi {
            api: UFFD_API,
            features: UFFD_FEATURE_WP_ASYNC
                | UFFD_FEATURE_WP_UNPOPULATED
                | UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
            ioctls: 0,
        };
        let opcode = opcode::read_write::<UffdioApi>(UFFD_API as u8, 0x3F);
        let exchange = Exchange {
            opcode,
            argument: &mut api,
        };
        // SAFETY: UFFDIO_API reads and writes exactly a `uffdio_api`.
        unsafe { ioctl(&uffd, exchange) }?;
        let pagemap = File::open("/proc/self/pagemap")?;
        let runs = vec![PageRegion::default(); RUNS_AT_ONCE];
        let mut this = Userfaultfd {
            region,
            uffd,
            pagemap,
            runs,
            hot: Hot::default(),
        };
        // An older kernel has userfaultfd and not this scan: find out now, not at a hand-over.
        this.find(0..0, &mut Vec::new())?;
        ARMING.store(this.pagemap.as_raw_fd(), Relaxed);
        Ok(this)
    }

    fn address(&self, page: u32) -> u64 {
        self.region.address(page).addr() as u64
    }

    /// One or more PAGEMAP_SCANs over `pages`: appends those without protection.
    fn find(&mut self, pages: Range<u32>, written: &mut Vec<u32>) -> io::Result<()> {
        let heap = self.address(0);
        let (mut start, end) = (self.address(pages.start), self.address(pages.end));
        loop {
            let mut argument = ScanArg {
                size: size_of::<ScanArg>() as u64,
                flags: PM_SCAN_CHECK_WPASYNC,
                start,
                end,
                vec: self.runs.as_mut_ptr().addr() as u64,
                vec_len: self.runs.len() as u64,
                category_mask: PAGE_IS_WRITTEN,
                return_mask: PAGE_IS_WRITTEN,
                ..ScanArg::default()
            };
            let exchange = Exchange {
                opcode: PAGEMAP_SCAN,
                argument: &mut argument,
            };
            // SAFETY: PAGEMAP_SCAN reads and writes a `pm_scan_arg` and the vector it names, which
            // lies in `self.runs`, outside the heap, and is as long as it says.
            let found = unsafe { ioctl(&self.pagemap, exchange) }?;
            for run in self.runs.iter().take(found) {
                let page = |address: u64| ((address - heap) / PAGE_BYTES as u64) as u32;
                written.extend(page(run.start)..page(run.end));
            }
            if argument.walk_end >= end {
                return Ok(());
            }
            if argument.walk_end <= start {
                return Err(io::Error::other("a page scan that does not move on"));
            }
            start = argument.walk_end;
        }
    }

    /// Protects those of `pages` that are not.
    fn protect(&self, pages: Range<u32>) -> io::Result<()> {
        let (start, end) = (self.address(pages.start), self.address(pages.end));
        Ok(protect(&self.pagemap, start, end)?)
    }
}

impl Fine for Userfaultfd {
    fn kind(&self) -> TrackerKind {
        TrackerKind::Userfaultfd
    }

    fn add(&mut self, pages: Range<u32>) -> io::Result<()> {
        let mut register = UffdioRegister {
            start: self.address(pages.start),
            len: u64::from(pages.end - pages.start) * PAGE_BYTES as u64,
            mode: UFFDIO_REGISTER_MODE_WP,
            ioctls: 0,
        };
        let exchange = Exchange {
            opcode: UFFDIO_REGISTER,
            argument: &mut register,
        };
        // SAFETY: UFFDIO_REGISTER reads and writes exactly a `uffdio_register`; in asynchronous
        // mode a registered range needs nobody to answer its faults.
        unsafe { ioctl(&self.uffd, exchange) }?;
        Ok(())
    }

    fn look(&mut self, pages: Range<u32>, written: &mut Vec<u32>) -> io::Result<()> {
        let before = written.len();
        self.find(pages.clone(), written)?;
        let found = &written[before..];
        let some = match self.hot.looked(pages.clone(), found) {
            Protect::Some(some) => some,
            Protect::All => return self.protect(pages),
        };
        let runs = some.chunk_by(|a, b| a + 1 == *b);
        // One call more each; protecting the hot pages as well costs a fault each, once.
        if runs.clone().count() > RUNS_APART_MAX {
            return self.protect(pages);
        }
        for run in runs {
            self.protect(run[0]..run[0] + run.len() as u32)?;
        }
        Ok(())
    }

    fn settled(&mut self, _page: u32) -> io::Result<()> {
        // Keeping the page costs memory only, and giving it back a fault at its next use.
        Ok(())
    }

    fn descriptors(&self) -> Vec<RawFd> {
        vec![self.uffd.as_raw_fd(), self.pagemap.as_raw_fd()]
    }
}

impl Drop for Userfaultfd {
    fn drop(&mut self) {
        ARMING.store(-1, Relaxed);
    }
}

/// Protects the pages of a unit that becomes warm, from the fence's handler, before the write that
/// warms it; without this tracker it does nothing. Whether it worked does not matter: a page that
/// was never protected counts as written at its first scan, and is compared for nothing.
pub fn arm_opened(address: usize, bytes: usize) {
    let pagemap = ARMING.load(Relaxed);
    if pagemap < 0 {
        return;
    }
    // SAFETY: the tracker that stored it has it open until it is dropped, which takes it back.
    let pagemap = unsafe { BorrowedFd::borrow_raw(pagemap) };
    let _ = protect(pagemap, address as u64, (address + bytes) as u64);
}

/// Protects the pages between two addresses that are not.
fn protect(pagemap: impl AsFd, start: u64, end: u64) -> rustix::io::Result<()> {
    let mut argument = ScanArg {
        size: size_of::<ScanArg>() as u64,
        flags: PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
        start,
        end,
        category_mask: PAGE_IS_WRITTEN,
        ..ScanArg::default()
    };
    let exchange = Exchange {
        opcode: PAGEMAP_SCAN,
        argument: &mut argument,
    };
    // SAFETY: PAGEMAP_SCAN reads and writes a `pm_scan_arg`; this one names no vector.
    unsafe { ioctl(pagemap, exchange) }.map(drop)
}
