//! Which pages were written: one trait, three ways (H4, H5).
//!
//! Promises: `take_written` names every watched page written since the last call (or since the page
//! came to be watched); it may name more, never fewer. What really changed is found by comparing
//! (`checkpoint`), so naming too many costs time only. Does not know what is in a page.

mod mprotect;
mod private_pages;
mod userfaultfd;

use std::io;
use std::ops::Range;
use std::os::fd::RawFd;

use super::region::Region;
use crate::protocol::TrackerKind;
#[cfg(feature = "worker")]
pub use userfaultfd::{PAGEMAP_SCAN, UFFDIO_REGISTER};

/// One way to find written pages.
pub trait Tracker {
    fn kind(&self) -> TrackerKind;

    /// Also watches `pages`, which begin where the watched pages end. Nothing in them counts as
    /// written yet: what was written before is for the caller to remember.
    fn watch(&mut self, pages: Range<u32>) -> io::Result<()>;

    /// Appends the pages written since they were last armed, in ascending order, and arms them.
    fn take_written(&mut self, written: &mut Vec<u32>) -> io::Result<()>;

    /// Called for a page just named by `take_written` which has no copy and equals the base: it may
    /// be given back (H2).
    fn settled(&mut self, page: u32) -> io::Result<()>;

    /// The descriptors it works with, which must stay open.
    fn descriptors(&self) -> Vec<RawFd>;
}

/// Starts the tracker asked for, or without a wish the best that works here.
///
/// # Errors
/// The last tracker's error, when none works.
pub fn start(region: Region, wish: Option<TrackerKind>) -> io::Result<Box<dyn Tracker>> {
    match wish {
        Some(kind) => start_one(region, kind),
        None => start_one(region, TrackerKind::Userfaultfd)
            .or_else(|_| start_one(region, TrackerKind::PrivatePages))
            .or_else(|_| start_one(region, TrackerKind::Mprotect)),
    }
}

fn start_one(region: Region, kind: TrackerKind) -> io::Result<Box<dyn Tracker>> {
    Ok(match kind {
        TrackerKind::Userfaultfd => Box::new(userfaultfd::Userfaultfd::start(region)?),
        TrackerKind::PrivatePages => Box::new(private_pages::PrivatePages::start(region)?),
        TrackerKind::Mprotect => Box::new(mprotect::Mprotect::start(region)?),
    })
}
