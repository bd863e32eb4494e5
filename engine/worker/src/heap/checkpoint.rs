//! What changed since the last hand-over, and the way back to it (H1, H2, H3).
//!
//! Let D(p) be the newest delta handed over that names page p. Until the host says D(p) is applied,
//! p's whole content as handed over is kept here as its *copy*, and p is compared with that;
//! without a copy it is compared with the base, which then holds what was handed over. Dropping a
//! copy earlier would compare with a base that is behind, and a word that went up in one delta and
//! back in the next would look unchanged.
//!
//! Pages of zeros are cheap: their copy is no page, their delta is a count, and once the base is
//! zeros as well and they stayed unwritten, their memory is given back (H2). What a heap has freed
//! is zeros (`spans`), so a heap that dropped something large shrinks, here and on disk.
//!
//! Promises: a delta names exactly the words that differ from the state last handed over; `undo`
//! puts that state back exactly. Does not know what the pages hold, nor how written ones are found.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::delta::{self, Change};
use super::layout::Page;
use super::region::Region;
use super::tracker::Tracker;
use kenvat_wire::protocol::DELTA_PIECE_BYTES;

/// A page as it was last handed over, and by which hand-over.
struct Copy {
    number: u64,
    /// `None`: zeros.
    page: Option<Box<Page>>,
}

impl Copy {
    fn content(&self) -> &Page {
        self.page.as_deref().unwrap_or(&Page::ZERO)
    }
}

/// Copies, tracker and region of one heap.
pub struct Checkpoint {
    region: Region,
    tracker: Box<dyn Tracker>,
    /// Pages the tracker watches, from the heap's start.
    watched: u32,
    copies: BTreeMap<u32, Copy>,
    /// Pages the last hand-over looked at.
    written: u64,
    /// Pages that differ from what was handed over and may not have been written since `settle`
    /// found that.
    unsettled: Vec<u32>,
    /// Pages that are zeros here and in the base, if nothing wrote them since: to be given back.
    idle_zeros: BTreeSet<u32>,
}

/// How far the heap reaches at a hand-over.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Pages mapped writable.
    pub mapped: u32,
    /// One past the highest page that may have been written, at most `mapped`.
    pub touched: u32,
}

impl Checkpoint {
    /// Begins on a heap that equals its base, `mapped` pages of it mapped and none of them written.
    pub fn start(region: Region, mut tracker: Box<dyn Tracker>, mapped: u32) -> io::Result<Self> {
        if mapped > 0 {
            tracker.watch(0..mapped)?;
        }
        Ok(Checkpoint {
            region,
            tracker,
            watched: mapped,
            copies: BTreeMap::new(),
            written: 0,
            unsettled: Vec::new(),
            idle_zeros: BTreeSet::new(),
        })
    }

    pub fn tracker(&self) -> &dyn Tracker {
        &*self.tracker
    }

    /// The delta against the last hand-over; the state it leads to is handed over as `number`. Of a
    /// large one all but the last piece is given to `send` on the way.
    pub fn hand_over(
        &mut self,
        number: u64,
        extent: Extent,
        mut send: impl FnMut(Vec<u8>),
    ) -> io::Result<Vec<u8>> {
        let written = self.take_written(extent)?;
        self.written = written.len() as u64;
        let mut writer = delta::Writer::default();
        let mut before = Page::ZERO;
        for &page in &written {
            let copy = self.copies.get(&page);
            if self.is_unchanged(page, copy) {
                if copy.is_none() {
                    self.tracker.settled(page)?;
                }
                continue;
            }
            let now = self.region.copy_heap(page);
            let change = match copy {
                Some(copy) => writer.page(page, copy.content(), &now),
                None => {
                    self.region.read_base(page, &mut before);
                    writer.page(page, &before, &now)
                }
            };
            let kept = match change {
                Change::None => unreachable!("it was compared a moment ago"),
                Change::Zeros => None,
                Change::Words => Some(now),
            };
            self.copies.insert(page, Copy { number, page: kept });
            if writer.bytes() > DELTA_PIECE_BYTES {
                send(writer.take());
            }
        }
        self.give_back(&written)?;
        self.watch_all(extent)?;
        self.give_back_idle()?;
        Ok(writer.finish())
    }

    /// Whether a page is as it was handed over; `copy` is its copy.
    fn is_unchanged(&self, page: u32, copy: Option<&Copy>) -> bool {
        match copy {
            Some(copy) => self.region.equals(page, copy.content()),
            None => self.region.equals_base(page),
        }
    }

    /// Looks already now at what was written, so that the next hand-over need not: gives back what
    /// is as it was and remembers what is not. For when very much was written and little of it
    /// changed, which is what a collection does.
    pub fn settle(&mut self, extent: Extent) -> io::Result<()> {
        let written = self.take_written(extent)?;
        let mut given_back = Vec::new();
        for page in written {
            let copy = self.copies.get(&page);
            match (self.is_unchanged(page, copy), copy) {
                (false, _) => self.unsettled.push(page),
                (true, None) => given_back.push(page),
                (true, Some(_)) => {}
            }
        }
        for run in given_back.chunk_by(|a, b| a + 1 == *b) {
            self.region.drop_range(run[0]..run[0] + run.len() as u32)?;
        }
        self.watch_all(extent)
    }

    /// The hand-overs up to `number` are in the base: their pages need no copy any more.
    pub fn applied(&mut self, number: u64) {
        let idle_zeros = &mut self.idle_zeros;
        self.copies.retain(|page, copy| {
            let stays = copy.number > number;
            if !stays && copy.page.is_none() {
                idle_zeros.insert(*page);
            }
            stays
        });
    }

    /// Gives back the memory of pages of zeros that nothing wrote since they were applied.
    fn give_back(&mut self, written: &[u32]) -> io::Result<()> {
        if self.idle_zeros.is_empty() {
            return Ok(());
        }
        for page in written {
            self.idle_zeros.remove(page);
        }
        let pages: Vec<u32> = std::mem::take(&mut self.idle_zeros).into_iter().collect();
        for range in pages.chunk_by(|a, b| a + 1 == *b) {
            let first = range.first().copied().unwrap_or_default();
            self.region.drop_range(first..first + range.len() as u32)?;
        }
        Ok(())
    }

    /// Puts the heap back to what was last handed over (H3): drops every private page that was
    /// written or has a copy, then writes the copies back.
    pub fn undo(&mut self, extent: Extent) -> io::Result<()> {
        let mut drop = self.take_written(extent)?;
        drop.extend(self.copies.keys());
        for page in drop {
            self.region.drop_private(page)?;
        }
        for (page, copy) in &self.copies {
            self.region.write_heap(*page, copy.content());
        }
        self.watch_all(extent)?;
        // The writes above are no change; and what was dropped is to be watched again.
        self.tracker.take_written(&mut Vec::new())
    }

    /// Pages that were found written for the last hand-over.
    pub fn pages_written(&self) -> u64 {
        self.written
    }

    /// Pages with a copy, for the tests of H1.
    pub fn copies(&self) -> usize {
        self.copies.len()
    }

    /// Gives back what ranges that were not written for long hold privately, but for pages with a
    /// copy, whose content is not in the base yet (H2).
    fn give_back_idle(&mut self) -> io::Result<()> {
        for pages in self.tracker.take_idle() {
            let mut start = pages.start;
            let copies = self.copies.range(pages.clone()).map(|(page, _)| *page);
            for copy in copies.chain([pages.end]) {
                if start < copy {
                    self.region.drop_range(start..copy)?;
                }
                start = copy + 1;
            }
        }
        Ok(())
    }

    /// The pages that may have been written, in order: those the tracker names, and those mapped
    /// since it last looked, which it does not watch yet, and those `settle` found changed.
    fn take_written(&mut self, extent: Extent) -> io::Result<Vec<u32>> {
        let mut written = Vec::new();
        self.tracker.take_written(&mut written)?;
        written.extend(self.watched..extent.touched);
        if !self.unsettled.is_empty() {
            written.append(&mut self.unsettled);
            written.sort_unstable();
            written.dedup();
        }
        Ok(written)
    }

    fn watch_all(&mut self, extent: Extent) -> io::Result<()> {
        if extent.mapped > self.watched {
            self.tracker.watch(self.watched..extent.mapped)?;
            self.watched = extent.mapped;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::ops::Range;
    use std::os::unix::fs::FileExt;

    use rustix::fs::{FallocateFlags, fallocate};

    use super::*;
    use crate::heap::delta::RUN_HEADER_BYTES;
    use crate::heap::layout::{PAGE_BYTES, PAGE_WORDS};
    use crate::heap::testing::{Chance, ONE_AT_A_TIME, region};
    use crate::heap::tracker;
    use kenvat_wire::protocol::TrackerKind;

    const PAGES: u32 = 128;
    /// Where the first test maps; the rest is grown into.
    const FIRST_MAPPED: u32 = 16;

    /// What the host does with deltas: applies them in order, late, and tells late.
    struct Host {
        file: File,
        /// What the image is once everything handed over is applied.
        expected: Vec<u64>,
        /// Pages of zeros heard of.
        zeros: usize,
        waiting: Vec<(u64, Vec<u8>)>,
        applied: u64,
    }

    impl Host {
        fn receive(&mut self, number: u64, delta: Vec<u8>) {
            for run in runs(&delta) {
                match run {
                    Run::Words(at, words) => {
                        self.expected[at..at + words.len()].copy_from_slice(&words);
                    }
                    Run::Zeros(words) => {
                        self.zeros += words.len() / PAGE_WORDS;
                        self.expected[words].fill(0);
                    }
                }
            }
            self.waiting.push((number, delta));
        }

        fn apply_one(&mut self) {
            if self.waiting.is_empty() {
                return;
            }
            let (number, delta) = self.waiting.remove(0);
            for run in runs(&delta) {
                match run {
                    Run::Words(at, words) => {
                        let bytes = words.iter().flat_map(|word| word.to_ne_bytes());
                        let bytes: Vec<u8> = bytes.collect();
                        self.file
                            .write_all_at(&bytes, at as u64 * 8)
                            .expect("pwrite");
                    }
                    Run::Zeros(words) => {
                        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                        let (at, len) = (words.start as u64 * 8, words.len() as u64 * 8);
                        fallocate(&self.file, hole, at, len).expect("a hole");
                    }
                }
            }
            self.applied = number;
        }
    }

    /// Index of the first word in the heap, and the words; or which words are zeros.
    enum Run {
        Words(usize, Vec<u64>),
        Zeros(Range<usize>),
    }

    /// The runs of a delta, which are sorted and disjoint.
    fn runs(delta: &[u8]) -> Vec<Run> {
        let (mut rest, mut out, mut end) = (delta, Vec::new(), 0);
        while let Some((header, tail)) = rest.split_at_checked(RUN_HEADER_BYTES) {
            let page = u32::from_le_bytes(header[..4].try_into().unwrap()) as usize;
            let first = u16::from_le_bytes(header[4..6].try_into().unwrap()) as usize;
            let count = u16::from_le_bytes(header[6..].try_into().unwrap()) as usize;
            if first == 0xffff {
                let words = page * PAGE_WORDS..(page + count) * PAGE_WORDS;
                assert!(count > 0 && words.start >= end, "a delta out of order");
                (rest, end) = (tail, words.end);
                out.push(Run::Zeros(words));
                continue;
            }
            let at = page * PAGE_WORDS + first;
            assert!(
                count > 0 && first + count <= PAGE_WORDS && at >= end,
                "a delta out of order"
            );
            let (words, after) = tail.split_at(count * 8);
            let words = words.chunks_exact(8);
            let words = words.map(|w| u64::from_le_bytes(w.try_into().unwrap()));
            out.push(Run::Words(at, words.collect()));
            (rest, end) = (after, at + count);
        }
        assert!(rest.is_empty());
        out
    }

    struct Model {
        region: Region,
        checkpoint: Checkpoint,
        host: Host,
        /// What the heap is, written in parallel.
        heap: Vec<u64>,
        mapped: u32,
        touched: u32,
        number: u64,
        chance: Chance,
    }

    impl Model {
        fn new(kind: TrackerKind, seed: u64) -> Model {
            let (file, region) = region(PAGES);
            let mut chance = Chance(seed);
            let mut expected = vec![0; PAGES as usize * PAGE_WORDS];
            for word in expected.iter_mut().take(FIRST_MAPPED as usize * PAGE_WORDS) {
                *word = chance.below(3);
            }
            let bytes: Vec<u8> = expected
                .iter()
                .flat_map(|word| word.to_ne_bytes())
                .collect();
            file.write_all_at(&bytes, 0).expect("pwrite");
            let tracker = tracker::start(region, Some(kind)).expect("this tracker works here");
            assert_eq!(tracker.kind(), kind);
            let checkpoint = Checkpoint::start(region, tracker, FIRST_MAPPED).expect("watch");
            let heap = expected.clone();
            let host = Host {
                file,
                expected,
                zeros: 0,
                waiting: Vec::new(),
                applied: 0,
            };
            let (mapped, touched, number) = (FIRST_MAPPED, FIRST_MAPPED, 0);
            Model {
                region,
                checkpoint,
                host,
                heap,
                mapped,
                touched,
                number,
                chance,
            }
        }

        fn extent(&self) -> Extent {
            Extent {
                mapped: self.mapped,
                touched: self.touched,
            }
        }

        /// Few values, so that words often return to what they were: what H1 is about.
        fn write(&mut self) {
            // Mostly near one place that wanders, so that ranges fall silent and wake up again.
            let near = self.number / 40 * 7 + self.chance.below(6);
            let anywhere = self.chance.below(u64::from(self.touched));
            let page = match self.chance.below(8) {
                0 => anywhere,
                _ => near % u64::from(self.touched),
            } as usize;
            let at = page * PAGE_WORDS + self.chance.below(12) as usize;
            let value = self.chance.below(3);
            let word = self.region.address(0).cast::<u64>().wrapping_add(at);
            // SAFETY: inside the mapped heap of this test.
            unsafe { word.write_volatile(value) };
            self.heap[at] = value;
        }

        /// As the allocator does with a page that is given back.
        fn clear(&mut self) {
            let page = self.chance.below(u64::from(self.touched)) as u32;
            // SAFETY: inside the mapped heap of this test.
            unsafe { self.region.address(page).write_bytes(0, PAGE_BYTES) };
            let from = page as usize * PAGE_WORDS;
            self.heap[from..from + PAGE_WORDS].fill(0);
        }

        fn grow(&mut self) {
            self.touched = (self.touched + self.chance.below(3) as u32).min(PAGES);
            if self.touched > self.mapped {
                self.mapped = (self.touched + 4).min(PAGES);
            }
        }

        fn hand_over(&mut self) {
            self.number += 1;
            let delta = self
                .checkpoint
                .hand_over(self.number, self.extent(), |_| panic!("small"))
                .expect("hand over");
            self.host.receive(self.number, delta);
            assert!(self.host.expected == self.heap, "hand-over {}", self.number);
        }

        fn undo(&mut self) {
            self.checkpoint.undo(self.extent()).expect("undo");
            self.heap.clone_from(&self.host.expected);
            self.check_heap();
        }

        fn check_heap(&self) {
            let mut page = Page::ZERO;
            for at in 0..self.touched {
                self.region.read_heap(at, &mut page);
                let from = at as usize * PAGE_WORDS;
                assert!(page.0 == self.heap[from..from + PAGE_WORDS], "page {at}");
            }
        }

        fn step(&mut self) {
            match self.chance.below(20) {
                0..9 => self.write(),
                9..12 => self.clear(),
                12..16 => self.hand_over(),
                16 => self.host.apply_one(),
                17 => {
                    self.host.apply_one();
                    self.checkpoint.applied(self.host.applied);
                }
                18 => self.grow(),
                _ if self.chance.below(4) == 0 => self.undo(),
                _ if self.chance.below(3) == 0 => {
                    self.checkpoint.settle(self.extent()).expect("settle");
                    self.check_heap();
                }
                _ => self.checkpoint.applied(self.host.applied),
            }
        }
    }

    fn model(kind: TrackerKind) {
        let _guard = ONE_AT_A_TIME
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        for seed in 0..6 {
            let mut model = Model::new(kind, seed);
            (0..4_000).for_each(|_| model.step());
            model.hand_over();
            while !model.host.waiting.is_empty() {
                model.host.apply_one();
            }
            model.checkpoint.applied(model.host.applied);
            assert_eq!(model.checkpoint.copies(), 0);
            assert!(model.host.zeros > 100, "{} zeros", model.host.zeros);
            let mut bytes = vec![0; PAGES as usize * PAGE_BYTES];
            model.host.file.read_exact_at(&mut bytes, 0).expect("read");
            let words = bytes
                .chunks_exact(8)
                .map(|w| u64::from_ne_bytes(w.try_into().unwrap()));
            assert!(
                words.eq(model.heap.iter().copied()),
                "seed {seed}: the image is the heap"
            );
            model.check_heap();
        }
    }

    #[test]
    fn pages_of_zeros_cost_a_count_keep_no_copy_and_give_their_memory_back() {
        let _guard = ONE_AT_A_TIME
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        for kind in [
            TrackerKind::Userfaultfd,
            TrackerKind::PrivatePages,
            TrackerKind::Mprotect,
        ] {
            let mut model = Model::new(kind, 1);
            (model.touched, model.mapped) = (PAGES, PAGES);
            let all = 0..PAGES as usize * PAGE_WORDS;
            let address = model.region.address(0).cast::<u64>();
            // SAFETY: the mapped heap of this test, whole.
            all.clone()
                .for_each(|at| unsafe { address.wrapping_add(at).write_volatile(7) });
            model.heap.fill(7);
            model.hand_over();
            model.host.apply_one();
            // SAFETY: as above.
            unsafe { model.region.address(0).write_bytes(0, all.len() * 8) };
            model.heap.fill(0);
            model.hand_over();
            let (_, delta) = model.host.waiting.last().expect("just handed over");
            assert_eq!(delta.len(), RUN_HEADER_BYTES, "{kind:?}");
            let private = || private_pages(model.region.address(0).addr(), PAGES);
            assert_eq!(
                private(),
                PAGES as usize,
                "{kind:?}: the base is not zeros yet"
            );
            model.host.apply_one();
            model.checkpoint.applied(2);
            let extent = model.extent();
            model
                .checkpoint
                .hand_over(3, extent, |_| panic!("small"))
                .expect("hand over");
            assert_eq!(private(), 0, "{kind:?}");
            model.check_heap();
        }
    }

    /// Pages from `address` on that are this process's own, as pagemap tells it.
    fn private_pages(address: usize, pages: u32) -> usize {
        let mut bytes = vec![0; pages as usize * 8];
        let pagemap = File::open("/proc/self/pagemap").expect("pagemap");
        let at = (address / PAGE_BYTES * 8) as u64;
        pagemap.read_exact_at(&mut bytes, at).expect("entries");
        let entries = bytes
            .as_chunks::<8>()
            .0
            .iter()
            .map(|e| u64::from_ne_bytes(*e));
        entries.filter(|e| e >> 63 == 1 && e >> 61 & 1 == 0).count()
    }

    #[test]
    fn deltas_lead_to_the_heap_whenever_they_are_applied_userfaultfd() {
        model(TrackerKind::Userfaultfd);
    }

    #[test]
    fn deltas_lead_to_the_heap_whenever_they_are_applied_private_pages() {
        model(TrackerKind::PrivatePages);
    }

    #[test]
    fn deltas_lead_to_the_heap_whenever_they_are_applied_mprotect() {
        model(TrackerKind::Mprotect);
    }
}
