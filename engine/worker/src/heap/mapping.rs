//! The heap's place in this process: reserved first, then mapped from the image (H6).
//!
//! Promises: nothing else ever lies in the reserved range; only what is in use and a growth step is
//! writable; the heap never grows past the host's limit, and a refusal is remembered (`exhausted`)
//! so that no program can catch it and go on. One heap a process: the state here is global because
//! QuickJS's allocator callbacks reach it in the middle of C code.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap, mmap_anonymous, mprotect};

use super::checkpoint::Extent;
use super::layout::{
    BASE_ADDRESS, GROWTH_PAGES, HEAP_ADDRESS, HEAP_BYTES_MAX, HEAP_PAGES_MAX, PAGE_BYTES,
};
use super::region::Region;

/// Pages mapped writable, pages allowed, one past the highest page asked for.
static MAPPED: AtomicU32 = AtomicU32::new(0);
static LIMIT: AtomicU32 = AtomicU32::new(0);
static TOUCHED: AtomicU32 = AtomicU32::new(0);
static EXHAUSTED: AtomicBool = AtomicBool::new(false);

/// Why the heap could not be put in its place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    #[error("the heap's address range is taken by: {0}")]
    Taken(String),
    #[error("a limit of {found} pages; at least 1 and at most {HEAP_PAGES_MAX} are possible")]
    Limit { found: u32 },
    #[error("the image has {found} bytes and its limit says {expected}")]
    ImageShort { found: u64, expected: u64 },
    #[error("the image uses {used} pages and its limit says {limit}")]
    Used { used: u32, limit: u32 },
    #[error("{what}: {source}")]
    Os {
        what: &'static str,
        source: io::Error,
    },
}

fn os(what: &'static str) -> impl FnOnce(rustix::io::Errno) -> MapError {
    move |errno| MapError::Os {
        what,
        source: errno.into(),
    }
}

/// Reserves the heap's range, before anything else of this process can come to lie in it.
pub fn reserve() -> Result<(), MapError> {
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED_NOREPLACE;
    let at = std::ptr::with_exposed_provenance_mut(HEAP_ADDRESS);
    // SAFETY: MAP_FIXED_NOREPLACE maps over nothing.
    let got = unsafe { mmap_anonymous(at, HEAP_BYTES_MAX, ProtFlags::empty(), flags) };
    match got {
        // A kernel before 4.17 takes the address as a hint only.
        Ok(got) if got.addr() == HEAP_ADDRESS => Ok(()),
        Ok(_) | Err(rustix::io::Errno::EXIST) => Err(MapError::Taken(occupants())),
        Err(errno) => Err(os("reserve the heap's address range")(errno)),
    }
}

/// Maps the image into the reserved range, nothing of it writable yet, and the base beside it.
pub fn map_image(image: &OwnedFd, page_limit: u32) -> Result<Region, MapError> {
    if page_limit == 0 || page_limit > HEAP_PAGES_MAX {
        return Err(MapError::Limit { found: page_limit });
    }
    let bytes = page_limit as usize * PAGE_BYTES;
    let stat = rustix::fs::fstat(image).map_err(os("look at the image"))?;
    let found = u64::try_from(stat.st_size).unwrap_or(0);
    if found < bytes as u64 {
        return Err(MapError::ImageShort {
            found,
            expected: bytes as u64,
        });
    }
    let heap = std::ptr::with_exposed_provenance_mut(HEAP_ADDRESS);
    let flags = MapFlags::PRIVATE | MapFlags::FIXED;
    // SAFETY: replaces a part of the reservation, where nothing lies.
    unsafe { mmap(heap, bytes, ProtFlags::empty(), flags, image.as_fd(), 0) }
        .map_err(os("map the image"))?;
    let base = std::ptr::with_exposed_provenance_mut(BASE_ADDRESS);
    let flags = MapFlags::SHARED | MapFlags::FIXED_NOREPLACE;
    // SAFETY: MAP_FIXED_NOREPLACE maps over nothing.
    let got = unsafe { mmap(base, bytes, ProtFlags::READ, flags, image.as_fd(), 0) }
        .map_err(os("map the base"))?;
    if got.addr() != BASE_ADDRESS {
        return Err(MapError::Taken(occupants()));
    }
    LIMIT.store(page_limit, Relaxed);
    MAPPED.store(0, Relaxed);
    TOUCHED.store(0, Relaxed);
    // SAFETY: both mappings were just made over `page_limit` pages and are never unmapped; the
    // worker has one thread. Pages become usable with `grow`.
    Ok(unsafe { Region::new(heap.cast(), base.cast()) })
}

/// Makes the first `pages` pages of the heap usable; false when the limit or the kernel refuses.
pub fn grow(pages: u32) -> bool {
    let mapped = MAPPED.load(Relaxed);
    if pages > mapped && !map_more(mapped, pages) {
        EXHAUSTED.store(true, Relaxed);
        return false;
    }
    TOUCHED.fetch_max(pages, Relaxed);
    true
}

fn map_more(mapped: u32, pages: u32) -> bool {
    let limit = LIMIT.load(Relaxed);
    if pages > limit {
        return false;
    }
    let end = pages.saturating_add(GROWTH_PAGES).min(limit);
    let at = HEAP_ADDRESS + mapped as usize * PAGE_BYTES;
    let at = std::ptr::with_exposed_provenance_mut(at);
    let bytes = (end - mapped) as usize * PAGE_BYTES;
    let flags = MprotectFlags::READ | MprotectFlags::WRITE;
    // SAFETY: the pages are the heap's and nobody could use them so far.
    if unsafe { mprotect(at, bytes, flags) }.is_err() {
        return false;
    }
    MAPPED.store(end, Relaxed);
    true
}

/// The first byte of the heap.
pub fn heap() -> *mut u8 {
    std::ptr::with_exposed_provenance_mut(HEAP_ADDRESS)
}

/// How far the heap reaches now.
pub fn extent() -> Extent {
    Extent {
        mapped: MAPPED.load(Relaxed),
        touched: TOUCHED.load(Relaxed),
    }
}

/// Whether an allocation was refused since the heap was mapped.
pub fn exhausted() -> bool {
    EXHAUSTED.load(Relaxed)
}

/// An undone turn's refusals are forgotten with it.
pub fn clear_exhausted() {
    EXHAUSTED.store(false, Relaxed);
}

/// Bytes the heap may grow to.
pub fn limit_bytes() -> u64 {
    u64::from(LIMIT.load(Relaxed)) * PAGE_BYTES as u64
}

/// Notes that an allocation was refused for another reason than growth.
pub fn set_exhausted() {
    EXHAUSTED.store(true, Relaxed);
}

/// What lies in the range the heap wants, as the kernel tells it.
fn occupants() -> String {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let wanted = HEAP_ADDRESS..BASE_ADDRESS + HEAP_BYTES_MAX;
    let inside = |line: &&str| {
        let range = line
            .split(' ')
            .next()
            .and_then(|range| range.split_once('-'));
        let Some((start, end)) = range else {
            return false;
        };
        match (
            usize::from_str_radix(start, 16),
            usize::from_str_radix(end, 16),
        ) {
            (Ok(start), Ok(end)) => start < wanted.end && end > wanted.start,
            _ => false,
        }
    };
    match maps.lines().filter(inside).collect::<Vec<_>>().join("; ") {
        lines if lines.is_empty() => "something /proc/self/maps does not show".to_owned(),
        lines => lines,
    }
}
