//! A coarse fence in front of a fine tracker, so that what a look costs depends on where a program
//! writes and not on how large its heap is.
//!
//! The heap is cut into units. A unit is *warm*, and then the fine tracker looks at its pages each
//! time, or *cold*, and then it is left out and readable only: its first write costs a fault and
//! makes it warm. A unit cools when several looks in a row found nothing written in it.
//!
//! Invariants:
//! 1. No page of a cold unit was written since the fine tracker last looked at it. (It cools only
//!    right after a look, and a write warms it.)
//! 2. A page the fine tracker never looked at counts as written at its first look. So arming a unit
//!    as it warms is an economy, and nothing is missed if that fails.
//!
//! Does not know how the fine tracker looks.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::os::fd::RawFd;

use super::Tracker;
use super::fence::{Fence, Opened};
use crate::heap::region::Region;
use kenvat_wire::protocol::TrackerKind;

/// Pages of a unit. One look at a warm unit was measured at 0.9 to 1.7 µs, nearly all of it for
/// going into the kernel, a unit of 64 KiB costing no less; warming one again at 8 µs and closing
/// it at 2.5 µs. 64 GiB have 65,536 units, so the mappings they are cut into stay below the
/// kernel's limit. (In tests a unit is small, so that a small heap has many.)
pub const UNIT_PAGES: u32 = if cfg!(test) { 4 } else { 256 };

/// Looks in a row that find nothing before a unit cools. Keeping a unit warm for so long costs less
/// than half of what warming it again costs: a program that writes all over its heap pays for few
/// idle units, and one that comes back soon pays no fault. (Keeping more of them warm while many
/// come back was tried, and gained nothing: units that lie apart cost a call of the kernel each.)
const IDLE_LOOKS: u64 = 3;

/// So many units stay warm whatever happens: looking at them costs less than a fault, and a small
/// heap never pays one.
const WARM_MIN: usize = if cfg!(test) { 2 } else { 8 };

/// Looks after which what a cold unit holds privately may be given back. The next read of a page
/// given back costs a fault, so this is much longer than cooling takes.
const REST_LOOKS: u64 = if cfg!(test) { 12 } else { 1_024 };

/// Units found to rest at one look, so that a heap that falls silent as a whole is no burst.
const REST_AT_ONCE: usize = 16;

/// A way to find written pages in a range.
pub trait Fine {
    fn kind(&self) -> TrackerKind;

    /// Makes it possible to look at these pages, which begin where the last ones ended.
    fn add(&mut self, pages: Range<u32>) -> io::Result<()>;

    /// Appends those of `pages` written since it last looked at them, and those it never looked at,
    /// in ascending order.
    fn look(&mut self, pages: Range<u32>, written: &mut Vec<u32>) -> io::Result<()>;

    /// As in `Tracker`.
    fn settled(&mut self, page: u32) -> io::Result<()>;

    fn descriptors(&self) -> Vec<RawFd>;
}

pub struct Coarse<F> {
    fine: F,
    fence: Fence,
    watched: u32,
    /// Warm units, ascending.
    warm: Vec<u32>,
    /// A unit's last look that found something, or at which it became warm.
    last_written: Vec<u64>,
    looks: u64,
    /// Units in the order they cooled, each with the look it cooled at.
    cooled: VecDeque<(u32, u64)>,
    /// Cold units whose private pages may be given back.
    idle: Vec<Range<u32>>,
}

impl<F: Fine> Coarse<F> {
    pub fn start(region: Region, fine: F) -> io::Result<Coarse<F>> {
        Ok(Coarse {
            fine,
            fence: Fence::start(region, UNIT_PAGES)?,
            watched: 0,
            warm: Vec::new(),
            last_written: Vec::new(),
            looks: 0,
            cooled: VecDeque::new(),
            idle: Vec::new(),
        })
    }

    /// Adds units the fence opened to the warm ones.
    fn take_opened(&mut self) {
        let opened = match self.fence.take_opened() {
            Opened::Units(units) => units,
            Opened::All => (0..self.last_written.len() as u32).collect(),
        };
        if opened.is_empty() {
            return;
        }
        for unit in &opened {
            self.last_written[*unit as usize] = self.looks;
        }
        self.warm.extend(opened);
        self.warm.sort_unstable();
        self.warm.dedup();
    }

    /// Looks at a run of warm units. Whatever a failed look named or did not, all of it counts as
    /// written: it may have armed pages it could not name (H4).
    fn look(&mut self, units: Range<u32>, written: &mut Vec<u32>) {
        let pages = self.fence.pages_of(units);
        let before = written.len();
        if self.fine.look(pages.clone(), written).is_err() {
            written.truncate(before);
            written.extend(pages);
        }
        for page in &written[before..] {
            self.last_written[(page / UNIT_PAGES) as usize] = self.looks;
        }
    }

    /// Closes the units that were idle for long enough, as long as enough stay warm.
    fn cool(&mut self) -> io::Result<()> {
        let is_idle = |unit: &u32| self.looks - self.last_written[*unit as usize] >= IDLE_LOOKS;
        let spare = self.warm.len().saturating_sub(WARM_MIN);
        let idle: Vec<u32> = (self.warm.iter().copied())
            .filter(is_idle)
            .take(spare)
            .collect();
        for run in idle.chunk_by(|a, b| *b == *a + 1) {
            self.fence.close(run[0]..run[0] + run.len() as u32)?;
        }
        self.warm.retain(|unit| idle.binary_search(unit).is_err());
        self.cooled
            .extend(idle.iter().map(|unit| (*unit, self.looks)));
        Ok(())
    }

    /// Finds the units that have been cold since they cooled long ago.
    fn rest(&mut self) {
        for _ in 0..REST_AT_ONCE {
            let Some((unit, at)) = self.cooled.front().copied() else {
                return;
            };
            if self.looks - at < REST_LOOKS {
                return;
            }
            self.cooled.pop_front();
            if self.last_written[unit as usize] <= at && self.warm.binary_search(&unit).is_err() {
                self.idle.push(self.fence.pages_of(unit..unit + 1));
            }
        }
    }
}

impl<F: Fine> Tracker for Coarse<F> {
    fn kind(&self) -> TrackerKind {
        self.fine.kind()
    }

    fn watch(&mut self, pages: Range<u32>) -> io::Result<()> {
        self.fine.add(pages.clone())?;
        let first_new = self.watched.div_ceil(UNIT_PAGES);
        let units = pages.end.div_ceil(UNIT_PAGES);
        // A unit that was cut off by the end of the heap, and is cold, has new pages that can be
        // written unnoticed: it becomes warm.
        if !self.watched.is_multiple_of(UNIT_PAGES) {
            self.fence.open(first_new - 1);
        }
        self.watched = pages.end;
        self.fence.extend(pages.end);
        self.last_written.resize(units as usize, self.looks);
        if (units - first_new) as usize > WARM_MIN {
            // A heap that is taken up again: nothing is known of where its program will write. (A
            // heap grows by less in one turn, or by so much that a fault a unit is nothing.)
            self.fence.close(first_new..units)?;
            self.cooled
                .extend((first_new..units).map(|unit| (unit, self.looks)));
            self.take_opened();
            let partly_warm = pages.start..self.fence.pages_of(0..first_new).end;
            return self.fine.look(partly_warm, &mut Vec::new());
        }
        self.warm.extend(first_new..units);
        self.take_opened();
        // The first look at fresh pages names them all; it only arms them.
        self.fine.look(pages, &mut Vec::new())
    }

    fn take_written(&mut self, written: &mut Vec<u32>) -> io::Result<()> {
        self.looks += 1;
        self.take_opened();
        let warm = std::mem::take(&mut self.warm);
        for run in warm.chunk_by(|a, b| *b == *a + 1) {
            self.look(run[0]..run[0] + run.len() as u32, written);
        }
        self.warm = warm;
        self.cool()?;
        self.rest();
        Ok(())
    }

    fn settled(&mut self, page: u32) -> io::Result<()> {
        self.fine.settled(page)
    }

    fn take_idle(&mut self) -> Vec<Range<u32>> {
        std::mem::take(&mut self.idle)
    }

    fn descriptors(&self) -> Vec<RawFd> {
        self.fine.descriptors()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;
    use crate::heap::layout::PAGE_BYTES;
    use crate::heap::testing::{ONE_AT_A_TIME, region};
    use crate::heap::tracker::private_pages::PrivatePages;

    /// Counts the pages looked at.
    struct Counting(PrivatePages, Rc<Cell<u32>>);

    impl Fine for Counting {
        fn kind(&self) -> TrackerKind {
            self.0.kind()
        }
        fn add(&mut self, pages: Range<u32>) -> io::Result<()> {
            self.0.add(pages)
        }
        fn look(&mut self, pages: Range<u32>, written: &mut Vec<u32>) -> io::Result<()> {
            self.1.set(self.1.get() + pages.end - pages.start);
            self.0.look(pages, written)
        }
        fn settled(&mut self, page: u32) -> io::Result<()> {
            self.0.settled(page)
        }
        fn descriptors(&self) -> Vec<RawFd> {
            self.0.descriptors()
        }
    }

    fn write(region: &Region, page: u32) {
        let at = region.address(page).wrapping_add(PAGE_BYTES / 2);
        // SAFETY: inside the test's own mapping.
        unsafe { at.write_volatile(1) };
    }

    /// A tracker over that many units, and what it looks at.
    fn coarse(units: u32) -> (Region, Coarse<Counting>, Rc<Cell<u32>>) {
        let (_file, region) = region(units * UNIT_PAGES);
        let looked = Rc::new(Cell::new(0));
        let fine = Counting(
            PrivatePages::start(region).expect("pagemap"),
            looked.clone(),
        );
        let mut coarse = Coarse::start(region, fine).expect("a fence");
        coarse.watch(0..units * UNIT_PAGES).expect("watch");
        (region, coarse, looked)
    }

    #[test]
    fn a_look_costs_what_is_written_and_not_what_there_is() {
        let _one = ONE_AT_A_TIME.lock();
        let looked_at = |units: u32| {
            let (region, mut coarse, looked) = coarse(units);
            for look in 0..40 {
                // Two units at each look, and each time a third that was never written before.
                for page in [0, UNIT_PAGES + 1, (2 + look % (units - 2)) * UNIT_PAGES] {
                    write(&region, page);
                    let mut written = Vec::new();
                    coarse.take_written(&mut written).expect("a look");
                    assert!(written.contains(&page));
                    written
                        .iter()
                        .for_each(|page| coarse.settled(*page).expect("give back"));
                }
            }
            looked.get()
        };
        let (small, large) = (looked_at(50), looked_at(5_000));
        assert_eq!(small, large);
        // At most the two, those of the last looks, and the ones that are always warm.
        let units_max = 2 + IDLE_LOOKS as u32 + WARM_MIN as u32;
        assert!(large <= 120 * units_max * UNIT_PAGES, "{large} pages");
    }

    #[test]
    fn what_was_not_written_for_long_is_named_as_idle_once_and_what_was_is_not() {
        let _one = ONE_AT_A_TIME.lock();
        let (region, mut coarse, _) = coarse(10);
        let mut idle = Vec::new();
        for _ in 0..3 * REST_LOOKS {
            write(&region, 5 * UNIT_PAGES);
            let mut written = Vec::new();
            coarse.take_written(&mut written).expect("a look");
            assert!(!written.is_empty());
            idle.extend(coarse.take_idle());
        }
        idle.sort_by_key(|pages| pages.start);
        let all_but_one: Vec<_> = (0..10)
            .filter(|unit| *unit != 5)
            .map(|unit| unit * UNIT_PAGES..(unit + 1) * UNIT_PAGES)
            .collect();
        assert_eq!(idle, all_but_one);
    }
}
