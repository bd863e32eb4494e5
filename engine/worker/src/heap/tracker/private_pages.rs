//! Written pages as pagemap shows them: a page of a private file mapping is anonymous once it was
//! written, and a page of the file before.
//!
//! Needs no privilege and no signals: reading one's own pagemap is allowed everywhere, only frame
//! numbers are hidden. A page stays private until it is given back, so this tracker names a page at
//! each look until `settled` returned it; the comparison makes nothing of it.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;

use super::coarse::Fine;
use crate::heap::layout::PAGE_BYTES;
use crate::heap::region::Region;
use kenvat_wire::protocol::TrackerKind;

/// Bytes of an entry of /proc/self/pagemap.
const ENTRY_BYTES: usize = 8;
/// Entries read at once.
const ENTRIES_AT_ONCE: usize = 8192;

/// From the kernel's Documentation/admin-guide/mm/pagemap.rst.
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const FILE_OR_SHARED: u64 = 1 << 61;

pub struct PrivatePages {
    region: Region,
    pagemap: File,
    buffer: Vec<u8>,
}

impl PrivatePages {
    pub fn start(region: Region) -> io::Result<PrivatePages> {
        let pagemap = File::open("/proc/self/pagemap")?;
        let buffer = vec![0; ENTRIES_AT_ONCE * ENTRY_BYTES];
        Ok(PrivatePages {
            region,
            pagemap,
            buffer,
        })
    }
}

impl Fine for PrivatePages {
    fn kind(&self) -> TrackerKind {
        TrackerKind::PrivatePages
    }

    fn add(&mut self, _pages: Range<u32>) -> io::Result<()> {
        Ok(())
    }

    fn look(&mut self, pages: Range<u32>, written: &mut Vec<u32>) -> io::Result<()> {
        let first = self.region.address(0).addr() / PAGE_BYTES;
        let mut page = pages.start;
        while page < pages.end {
            let entries = ENTRIES_AT_ONCE.min((pages.end - page) as usize);
            let bytes = &mut self.buffer[..entries * ENTRY_BYTES];
            let at = (first + page as usize) * ENTRY_BYTES;
            self.pagemap.read_exact_at(bytes, at as u64)?;
            for (entry, at) in bytes.chunks_exact(ENTRY_BYTES).zip(page..) {
                let entry = u64::from_ne_bytes(entry.try_into().expect("chunks of eight"));
                if is_private(entry) {
                    written.push(at);
                }
            }
            page += entries as u32;
        }
        Ok(())
    }

    fn settled(&mut self, page: u32) -> io::Result<()> {
        self.region.drop_private(page)
    }

    fn descriptors(&self) -> Vec<RawFd> {
        vec![self.pagemap.as_raw_fd()]
    }
}

fn is_private(entry: u64) -> bool {
    match (entry & PRESENT != 0, entry & SWAPPED != 0) {
        (true, _) => entry & FILE_OR_SHARED == 0,
        // A page of a private mapping that is in the swap was written; a page of a file never is
        // swapped, unless the file lies in memory, where naming it costs one comparison.
        (false, swapped) => swapped,
    }
}
