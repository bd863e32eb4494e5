//! Regions for the heap's unit tests, at any address, and reproducible chance.

use std::fs::File;
use std::sync::Mutex;

use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous};

use super::layout::PAGE_BYTES;
use super::region::Region;

/// Held by a test that starts a tracker: the fence's handler serves one at a time.
pub static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Splitmix64: the seed is printed by whoever fails.
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// A file, its private mapping and its shared view; never unmapped, as a test is short.
pub fn region(pages: u32) -> (File, Region) {
    let file = tempfile::tempfile().expect("a temporary file");
    let bytes = pages as usize * PAGE_BYTES;
    file.set_len(bytes as u64).expect("set the length");
    let write = ProtFlags::READ | ProtFlags::WRITE;
    let null = std::ptr::null_mut();
    // SAFETY: a fresh mapping over nothing.
    let heap = unsafe { mmap(null, bytes, write, MapFlags::PRIVATE, &file, 0) }.expect("map");
    // SAFETY: a fresh mapping over nothing.
    let base = unsafe { mmap(null, bytes, ProtFlags::READ, MapFlags::SHARED, &file, 0) };
    let base = base.expect("map");
    // SAFETY: both mappings were just made of the same file and stay.
    (file, unsafe { Region::new(heap.cast(), base.cast()) })
}

/// Anonymous memory for the allocator's tests.
pub fn memory(bytes: usize) -> *mut u8 {
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    let write = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a fresh mapping over nothing.
    let at = unsafe { mmap_anonymous(std::ptr::null_mut(), bytes, write, flags) };
    at.expect("map").cast()
}
