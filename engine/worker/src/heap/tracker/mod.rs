//! Which pages were written: one trait, three ways (H4, H5).
//!
//! `userfaultfd` and `private_pages` find written pages in a range, `coarse` lets them look only
//! where a program writes, `hot` spares `userfaultfd` the pages it always does; `mprotect` is the
//! third way. `fence` is the signal handler under `coarse` and `mprotect`.
//!
//! Promises: `take_written` names every watched page written since the last call (or since the page
//! came to be watched); it may name more, never fewer. What really changed is found by comparing
//! (`checkpoint`), so naming too many costs time only. Does not know what is in a page.

mod coarse;
mod fence;
mod hot;
mod mprotect;
mod private_pages;
mod userfaultfd;

use std::io;
use std::ops::Range;
use std::os::fd::RawFd;

use super::region::Region;
use kenvat_wire::protocol::TrackerKind;
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

    /// Ranges of pages, since this was last asked, that were not written for very long: what they
    /// hold privately without a copy may be given back (H2).
    fn take_idle(&mut self) -> Vec<Range<u32>>;

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
        TrackerKind::Userfaultfd => {
            let fine = userfaultfd::Userfaultfd::start(region)?;
            Box::new(coarse::Coarse::start(region, fine)?)
        }
        TrackerKind::PrivatePages => {
            let fine = private_pages::PrivatePages::start(region)?;
            Box::new(coarse::Coarse::start(region, fine)?)
        }
        TrackerKind::Mprotect => Box::new(mprotect::Mprotect::start(region)?),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::heap::testing::{Chance, ONE_AT_A_TIME, region};

    const KINDS: [TrackerKind; 3] = [
        TrackerKind::Userfaultfd,
        TrackerKind::PrivatePages,
        TrackerKind::Mprotect,
    ];

    fn write(region: &Region, page: u32, value: u64) {
        let at = region.address(page).cast::<u64>().wrapping_add(7);
        // SAFETY: inside the test's own mapping.
        unsafe { at.write_volatile(value) };
    }

    #[test]
    fn h4_no_write_is_missed_whenever_one_looks() {
        const PAGES: u32 = 400;
        let _one = ONE_AT_A_TIME.lock();
        for (kind, seed) in KINDS
            .iter()
            .flat_map(|kind| (0..8).map(move |seed| (*kind, seed)))
        {
            let (_file, region) = region(PAGES);
            let mut tracker = start(region, Some(kind)).expect("this tracker works here");
            let mut chance = Chance(seed);
            // Ends that are no multiple of anything.
            let mut watched = 1 + chance.below(150) as u32;
            tracker.watch(0..watched).expect("watch");
            let (mut expected, mut missed_nothing) = (BTreeSet::new(), 0);
            for step in 0..6_000u64 {
                match chance.below(10) {
                    0..5 => {
                        let near = step / 300 * 31 + chance.below(5);
                        let far = chance.below(u64::from(watched));
                        let page = if chance.below(6) == 0 { far } else { near };
                        let page = (page % u64::from(watched)) as u32;
                        write(&region, page, step);
                        expected.insert(page);
                    }
                    5..9 => {
                        let mut written = Vec::new();
                        tracker.take_written(&mut written).expect("a look");
                        assert!(written.is_sorted(), "{kind:?} {seed}");
                        for page in &expected {
                            let found = written.binary_search(page).is_ok();
                            assert!(found, "{kind:?}, seed {seed}, step {step}: page {page}");
                        }
                        missed_nothing += expected.len();
                        // What was written is dropped, as after an undone turn, or stays.
                        for page in std::mem::take(&mut expected) {
                            if chance.below(3) == 0 {
                                region.drop_private(page).expect("drop");
                            }
                        }
                        for pages in tracker.take_idle() {
                            assert!(pages.end <= watched && pages.start < pages.end);
                            region.drop_range(pages).expect("drop");
                        }
                    }
                    _ if chance.below(8) == 0 && expected.is_empty() => {
                        let end = (watched + chance.below(60) as u32).min(PAGES);
                        if end > watched {
                            tracker.watch(watched..end).expect("watch");
                        }
                        watched = end;
                    }
                    _ => {}
                }
            }
            assert!(missed_nothing > 1_000);
        }
    }

    #[test]
    fn what_is_not_written_is_not_named_for_ever() {
        let _one = ONE_AT_A_TIME.lock();
        for kind in KINDS {
            let (_file, region) = region(100);
            let mut tracker = start(region, Some(kind)).expect("this tracker works here");
            tracker.watch(0..100).expect("watch");
            for round in 0..30u64 {
                write(&region, 50, round);
                let mut written = Vec::new();
                tracker.take_written(&mut written).expect("a look");
                if round > 0 {
                    assert_eq!(written, [50], "{kind:?}, round {round}");
                }
                for page in written {
                    tracker.settled(page).expect("give back");
                }
            }
        }
    }

    #[test]
    fn where_the_kernel_allows_no_more_mappings_everything_counts_as_written() {
        // More alternating pages than the kernel has mappings for, or the fence has room to note.
        const PAGES: u32 = 140_000;
        let _one = ONE_AT_A_TIME.lock();
        let (_file, region) = region(PAGES);
        let mut tracker = start(region, Some(TrackerKind::Mprotect)).expect("mprotect");
        tracker.watch(0..PAGES).expect("watch");
        for page in (0..PAGES).step_by(2) {
            write(&region, page, 1);
        }
        let mut written = Vec::new();
        tracker.take_written(&mut written).expect("a look");
        assert_eq!(written.len(), PAGES as usize);
        // And from here on it goes on as before.
        write(&region, 9, 2);
        written.clear();
        tracker.take_written(&mut written).expect("a look");
        assert_eq!(written, [9]);
    }
}
