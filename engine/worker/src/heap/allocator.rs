//! The heap's allocator: what QuickJS calls instead of malloc.
//!
//! Promises: all state is in the heap, in pages beside what is handed out, never in front of it;
//! the size a block can be used for depends on the size last asked for and nothing else (QuickJS
//! counts it to decide when to collect garbage); blocks are aligned to 16 bytes; the same calls on
//! the same heap give the same addresses. QuickJS asks for its arenas in blocks of 3.5 to 4 KiB:
//! each is one page, aligned. Does not know who calls it.
//!
//! Requests above 4 KiB are spans of whole pages; the few between 512 bytes and 2 KiB share a page
//! with their like (`Kind::Slab`). A block's place is found by its address alone.

use super::layout::PAGE_BYTES;
use super::spans;
use super::tables::{Kind, Note, Tables};

/// Sizes of small blocks; larger requests get whole pages.
const BLOCK_BYTES: [u16; 7] = [512, 576, 672, 816, 1024, 1360, 2048];

/// Slots of the allocator's state: a list a class of pages with a free block.
const PARTIAL_SLOT: usize = spans::SLOTS;

/// How a request is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Block(u8),
    Pages(u32),
}

/// The allocator of one heap.
#[derive(Clone, Copy)]
pub struct Allocator {
    tables: Tables,
}

impl Allocator {
    pub fn new(tables: Tables) -> Allocator {
        Allocator { tables }
    }

    /// A block of at least `bytes` bytes with whatever they held before; `None` when the heap
    /// cannot grow.
    pub fn allocate(&self, bytes: usize) -> Option<*mut u8> {
        match shape(bytes)? {
            Shape::Block(class) => self.take_block(class),
            Shape::Pages(pages) => {
                spans::take(&self.tables, pages).map(|page| self.tables.address(page))
            }
        }
    }

    /// Gives a block back.
    ///
    /// # Safety
    /// `block` must have come from this allocator and not have been given back.
    pub unsafe fn free(&self, block: *mut u8) {
        let (page, offset) = self.tables.place(block);
        let note = self.tables.note(page);
        match note.kind {
            Kind::Slab => self.give_block(page, note, offset),
            Kind::Span => spans::give(&self.tables, page, note.pages),
            // Only a caller that broke the contract, or C code that wrote where it must not, comes
            // here; going on would corrupt a heap that outlives the process.
            _ => panic!("free of a block that is not allocated"),
        }
    }

    /// How many bytes of a block may be used; 0 for an address that is none.
    pub fn usable(&self, block: *const u8) -> usize {
        let (page, _) = self.tables.place(block);
        let note = self.tables.note(page);
        match note.kind {
            Kind::Slab => block_bytes(note.class),
            Kind::Span => note.pages as usize * PAGE_BYTES,
            _ => 0,
        }
    }

    /// Changes a block's size, in place when that is possible; `None` leaves it as it was.
    ///
    /// # Safety
    /// As for `free`; after success the old address is no block any more unless it is returned.
    pub unsafe fn reallocate(&self, block: *mut u8, bytes: usize) -> Option<*mut u8> {
        let (page, _) = self.tables.place(block);
        let note = self.tables.note(page);
        let wanted = shape(bytes)?;
        match (note.kind, wanted) {
            (Kind::Slab, Shape::Block(class)) if class == note.class => return Some(block),
            (Kind::Span, Shape::Pages(pages)) if pages == note.pages => return Some(block),
            (Kind::Span, Shape::Pages(pages))
                if spans::resize(&self.tables, page, note.pages, pages) =>
            {
                return Some(block);
            }
            _ => {}
        }
        let new = self.allocate(bytes)?;
        let kept = self.usable(block).min(bytes);
        // SAFETY: both blocks are at least `kept` bytes long, and a new block overlaps no old one.
        unsafe { std::ptr::copy_nonoverlapping(block, new, kept) };
        // SAFETY: by this function's own contract.
        unsafe { self.free(block) };
        Some(new)
    }

    fn take_block(&self, class: u8) -> Option<*mut u8> {
        let slot = PARTIAL_SLOT + class as usize;
        let mut page = self.tables.state(slot);
        if page == 0 {
            page = spans::take(&self.tables, 1)?;
            self.tables.set_note(
                page,
                Note {
                    kind: Kind::Slab,
                    class,
                    ..Note::NONE
                },
            );
            self.tables.set_state(slot, page);
        }
        let mut note = self.tables.note(page);
        let index = note.used.trailing_ones();
        note.used |= 1 << index;
        self.tables.set_note(page, note);
        if note.used == full(class) {
            self.unlink(page);
        }
        let offset = index as usize * block_bytes(class);
        Some(self.tables.address(page).wrapping_add(offset))
    }

    fn give_block(&self, page: u32, mut note: Note, offset: usize) {
        let bit = 1u16 << (offset / block_bytes(note.class));
        assert!(
            note.used & bit != 0,
            "free of a block that is not allocated"
        );
        let was_full = note.used == full(note.class);
        note.used &= !bit;
        self.tables.set_note(page, note);
        if was_full {
            self.link(page);
        }
        if note.used == 0 {
            self.unlink(page);
            spans::give(&self.tables, page, 1);
        }
    }

    fn link(&self, page: u32) {
        let note = self.tables.note(page);
        let slot = PARTIAL_SLOT + note.class as usize;
        let next = self.tables.state(slot);
        self.tables.set_note(
            page,
            Note {
                prev: 0,
                next,
                ..note
            },
        );
        if next != 0 {
            self.tables.set_note(
                next,
                Note {
                    prev: page,
                    ..self.tables.note(next)
                },
            );
        }
        self.tables.set_state(slot, page);
    }

    fn unlink(&self, page: u32) {
        let note = self.tables.note(page);
        if note.prev != 0 {
            let before = self.tables.note(note.prev);
            self.tables.set_note(
                note.prev,
                Note {
                    next: note.next,
                    ..before
                },
            );
        } else {
            self.tables
                .set_state(PARTIAL_SLOT + note.class as usize, note.next);
        }
        if note.next != 0 {
            let after = self.tables.note(note.next);
            self.tables.set_note(
                note.next,
                Note {
                    prev: note.prev,
                    ..after
                },
            );
        }
        self.tables.set_note(
            page,
            Note {
                prev: 0,
                next: 0,
                ..note
            },
        );
    }
}

/// How a request of so many bytes is served; `None` beyond what any heap can hold.
fn shape(bytes: usize) -> Option<Shape> {
    match BLOCK_BYTES.iter().position(|size| bytes <= *size as usize) {
        Some(class) => Some(Shape::Block(class as u8)),
        None => u32::try_from(bytes.div_ceil(PAGE_BYTES))
            .ok()
            .map(Shape::Pages),
    }
}

fn block_bytes(class: u8) -> usize {
    BLOCK_BYTES
        .get(class as usize)
        .map_or(PAGE_BYTES, |bytes| *bytes as usize)
}

/// `used` of a page of that class with no block left.
fn full(class: u8) -> u16 {
    (1 << (PAGE_BYTES / block_bytes(class))) - 1
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::heap::testing::{Chance, memory};

    const PAGES: u32 = 20_000;

    fn grow(pages: u32) -> bool {
        pages <= PAGES
    }

    fn allocator() -> Allocator {
        let heap = memory(PAGES as usize * PAGE_BYTES);
        // SAFETY: the memory was just mapped, as long as `grow` allows.
        let tables = unsafe { Tables::new(heap, grow) };
        assert!(tables.format());
        Allocator::new(tables)
    }

    /// A live block: size asked for, and the byte it was filled with.
    struct Live {
        bytes: usize,
        fill: u8,
    }

    struct Model {
        allocator: Allocator,
        live: BTreeMap<usize, Live>,
        chance: Chance,
        peak: usize,
    }

    impl Model {
        fn size(&mut self) -> usize {
            let range =
                [600, 2_100, 4_097, 20_000, 300_000, 3_000_000][self.chance.below(6) as usize];
            1 + self.chance.below(range) as usize
        }

        fn pick(&mut self) -> Option<usize> {
            let at = self.chance.below(self.live.len().max(1) as u64) as usize;
            self.live.keys().nth(at).copied()
        }

        fn put(&mut self, block: *mut u8, bytes: usize) {
            let usable = self.allocator.usable(block);
            assert!(usable >= bytes);
            assert_eq!(block.addr() % 16, 0);
            if bytes > 2048 {
                assert_eq!(block.addr() % PAGE_BYTES, 0);
            }
            let before = self.live.range(..=block.addr()).next_back();
            let clear = before.is_none_or(|(at, live)| {
                at + self
                    .allocator
                    .usable(std::ptr::without_provenance(*at))
                    .max(live.bytes)
                    <= block.addr()
            });
            assert!(clear, "a block inside another");
            let after = self.live.range(block.addr()..).next();
            assert!(after.is_none_or(|(at, _)| block.addr() + usable <= *at));
            let fill = self.chance.next() as u8;
            // SAFETY: the block is at least that long.
            unsafe { block.write_bytes(fill, bytes) };
            self.live.insert(block.addr(), Live { bytes, fill });
            self.peak = self.peak.max(block.addr() + bytes);
        }

        fn check(&self, at: *mut u8, bytes: usize, fill: u8) {
            // SAFETY: a live block of at least that length.
            let content = unsafe { std::slice::from_raw_parts(at, bytes) };
            assert!(
                content.iter().all(|byte| *byte == fill),
                "a block was written over"
            );
        }

        fn step(&mut self) {
            let bytes = self.size();
            match (self.chance.below(5), self.pick()) {
                (0 | 1, _) | (_, None) => {
                    if let Some(block) = self.allocator.allocate(bytes) {
                        if bytes > 2048 {
                            self.check(block, self.allocator.usable(block), 0);
                        }
                        self.put(block, bytes);
                    }
                }
                (2 | 3, Some(at)) => {
                    let live = self.live.remove(&at).expect("picked");
                    let block = std::ptr::with_exposed_provenance_mut(at);
                    self.check(block, live.bytes, live.fill);
                    // SAFETY: live, and forgotten here.
                    unsafe { self.allocator.free(block) };
                }
                (_, Some(at)) => {
                    let live = self.live.remove(&at).expect("picked");
                    let block = std::ptr::with_exposed_provenance_mut(at);
                    // SAFETY: live; the old address is forgotten when it moves.
                    match unsafe { self.allocator.reallocate(block, bytes) } {
                        Some(new) => {
                            self.check(new, live.bytes.min(bytes), live.fill);
                            self.put(new, bytes);
                        }
                        None => drop(self.live.insert(at, live)),
                    }
                }
            }
        }
    }

    #[test]
    fn random_requests_never_overlap_and_all_memory_comes_back() {
        for seed in 0..4 {
            let mut model = Model {
                allocator: allocator(),
                live: BTreeMap::new(),
                chance: Chance(seed),
                peak: 0,
            };
            model.allocator.tables.address(0).expose_provenance();
            (0..4_000).for_each(|_| model.step());
            for (at, live) in std::mem::take(&mut model.live) {
                let block = std::ptr::with_exposed_provenance_mut(at);
                model.check(block, live.bytes, live.fill);
                // SAFETY: live, and forgotten here.
                unsafe { model.allocator.free(block) };
            }
            // With everything free, one span between the tables is left at most: what one large
            // request needs next is found without growing past the peak.
            let peak = model.peak;
            let block = model.allocator.allocate(200_000).expect("room");
            assert!(
                block.addr() < peak,
                "seed {seed}: freed memory was not found again"
            );
        }
    }

    #[test]
    fn usable_size_depends_on_the_last_request_alone() {
        let allocator = allocator();
        for bytes in [1, 512, 513, 576, 1025, 2048, 2049, 4096, 4097, 70_000] {
            let fresh = allocator.allocate(bytes).expect("room");
            let grown = allocator.allocate(bytes * 3).expect("room");
            // SAFETY: `grown` is live and replaced by what comes back.
            let shrunk = unsafe { allocator.reallocate(grown, bytes) }.expect("room");
            assert_eq!(allocator.usable(fresh), allocator.usable(shrunk), "{bytes}");
        }
    }

    #[test]
    fn a_span_grows_in_place_at_the_end_of_the_heap_and_into_free_neighbours() {
        let allocator = allocator();
        let block = allocator.allocate(50_000).expect("room");
        // SAFETY: `block` is live.
        let grown = unsafe { allocator.reallocate(block, 90_000) }.expect("room");
        assert_eq!(grown, block);
        let behind = allocator.allocate(50_000).expect("room");
        let _end = allocator.allocate(50_000).expect("room");
        // SAFETY: `behind` is live and not used again.
        unsafe { allocator.free(behind) };
        // SAFETY: `block` is live.
        assert_eq!(unsafe { allocator.reallocate(block, 120_000) }, Some(block));
    }

    #[test]
    fn a_heap_at_its_limit_refuses_and_goes_on() {
        let allocator = allocator();
        assert_eq!(allocator.allocate(PAGES as usize * PAGE_BYTES), None);
        assert_eq!(allocator.allocate(usize::MAX), None);
        let block = allocator.allocate(10_000).expect("room for this");
        // SAFETY: `block` is live.
        assert_eq!(unsafe { allocator.reallocate(block, 1 << 40) }, None);
        assert_eq!(allocator.usable(block), 12_288);
    }
}
