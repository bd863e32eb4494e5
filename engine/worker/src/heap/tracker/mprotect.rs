//! Written pages through write protection and SIGSEGV: slow, and works everywhere.
//!
//! A fence whose unit is a page: a page is written when it was opened, and is closed again at each
//! look.

use std::io;
use std::ops::Range;
use std::os::fd::RawFd;

use super::Tracker;
use super::fence::{Fence, Opened};
use crate::heap::region::Region;
use kenvat_wire::protocol::TrackerKind;

pub struct Mprotect {
    fence: Fence,
    watched: u32,
}

impl Mprotect {
    pub fn start(region: Region) -> io::Result<Mprotect> {
        Ok(Mprotect {
            fence: Fence::start(region, 1)?,
            watched: 0,
        })
    }
}

impl Tracker for Mprotect {
    fn kind(&self) -> TrackerKind {
        TrackerKind::Mprotect
    }

    fn watch(&mut self, pages: Range<u32>) -> io::Result<()> {
        self.watched = pages.end;
        self.fence.extend(pages.end);
        self.fence.close(pages)
    }

    fn take_written(&mut self, written: &mut Vec<u32>) -> io::Result<()> {
        let before = written.len();
        match self.fence.take_opened() {
            Opened::All => written.extend(0..self.watched),
            Opened::Units(pages) => written.extend(pages),
        }
        for run in written[before..].chunk_by(|a, b| *b == *a + 1) {
            self.fence.close(run[0]..run[0] + run.len() as u32)?;
        }
        Ok(())
    }

    fn settled(&mut self, _page: u32) -> io::Result<()> {
        Ok(())
    }

    fn take_idle(&mut self) -> Vec<Range<u32>> {
        Vec::new()
    }

    fn descriptors(&self) -> Vec<RawFd> {
        Vec::new()
    }
}
