//! The allocator's notes about pages: who holds what, out of line, in pages of their own.
//!
//! A page's *note* is 16 bytes: `kind: u8, class: u8, used: u16, pages: u32, prev: u32, next: u32`.
//! 256 notes fill a table page; 1,024 numbers of table pages fill a directory page; 64 numbers of
//! directory pages stand in the state page. Tables are made as the heap grows, so a small heap has
//! one of each, and a span of pages stays whole: nothing is written in front of what QuickJS gets.
//! Everything is reached by page number, so the notes do not care where the heap lies.

use super::layout::{FIRST_PAGE, PAGE_BYTES, Page, STATE_PAGE};

/// Notes in a table page.
const NOTES: u32 = 256;
/// Table pages in a directory page.
const TABLES: u32 = 1024;
/// Directory pages in the state page, where their numbers end the page.
const DIRECTORIES: u32 = 64;
const NOTE_BYTES: u64 = 16;

/// Offsets in the state page.
const FRONTIER_AT: u64 = 0;
const ROOTS_AT: u64 = PAGE_BYTES as u64 - DIRECTORIES as u64 * 4;

/// What a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Inside a span, never used, or a table: nothing that could be joined to a free span.
    None = 0,
    /// First page of a free span; `pages` long, in the list of its length.
    FreeHead = 1,
    /// Last page of a free span of at least two.
    FreeTail = 2,
    /// First page of an allocated span.
    Span = 3,
    /// A page of equal small blocks; `used` has a bit for each.
    Slab = 4,
}

impl Kind {
    fn of(byte: u8) -> Kind {
        match byte {
            1 => Kind::FreeHead,
            2 => Kind::FreeTail,
            3 => Kind::Span,
            4 => Kind::Slab,
            _ => Kind::None,
        }
    }
}

/// A page's note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    pub kind: Kind,
    /// Slab: which size of block.
    pub class: u8,
    /// Slab: which blocks are in use.
    pub used: u16,
    /// Spans, free or not: how many pages (in a free span's last note too).
    pub pages: u32,
    /// Neighbours in the list the page is in; 0 ends a list.
    pub prev: u32,
    pub next: u32,
}

impl Note {
    pub const NONE: Note = Note {
        kind: Kind::None,
        class: 0,
        used: 0,
        pages: 0,
        prev: 0,
        next: 0,
    };

    pub fn free(kind: Kind, pages: u32) -> Note {
        Note {
            kind,
            pages,
            ..Note::NONE
        }
    }
}

/// Where the heap begins, and how to have more of it mapped.
#[derive(Clone, Copy)]
pub struct Tables {
    heap: *mut u8,
    /// Makes the first so many pages usable; false when they may not be or the kernel refuses.
    grow: fn(u32) -> bool,
}

impl Tables {
    /// # Safety
    /// `heap` must be aligned to a page, and after `grow(n)` said true its first `n` pages must be
    /// readable and writable and used by nothing but this allocator and those it gave blocks to.
    pub unsafe fn new(heap: *mut u8, grow: fn(u32) -> bool) -> Tables {
        Tables { heap, grow }
    }

    /// Lays out the state of an empty heap in pages of zeros.
    pub fn format(&self) -> bool {
        if !(self.grow)(FIRST_PAGE) {
            return false;
        }
        self.set(STATE_PAGE, FRONTIER_AT, FIRST_PAGE);
        true
    }

    /// The frontier as a copied state page has it.
    pub fn frontier_of(state: &Page) -> u32 {
        // FRONTIER_AT is 0, and memory is little-endian on every machine the worker is built for.
        state.0[0] as u32
    }

    /// One past the highest page in use.
    pub fn frontier(&self) -> u32 {
        self.get(STATE_PAGE, FRONTIER_AT)
    }

    pub fn set_frontier(&self, page: u32) {
        self.set(STATE_PAGE, FRONTIER_AT, page);
    }

    /// Takes `pages` pages at the frontier, with notes for all of them.
    pub fn take_at_frontier(&self, pages: u32) -> Option<u32> {
        loop {
            let first = self.frontier();
            let end = first.checked_add(pages)?;
            match (first / NOTES..=(end - 1) / NOTES).find(|group| self.table(*group) == 0) {
                Some(group) => self.add_table(group)?,
                None if (self.grow)(end) => {
                    self.set_frontier(end);
                    return Some(first);
                }
                None => return None,
            }
        }
    }

    /// Lengthens the last span by pages at the frontier; false when that cannot be.
    pub fn extend_at_frontier(&self, pages: u32) -> bool {
        let first = self.frontier();
        let Some(end) = first.checked_add(pages) else {
            return false;
        };
        // A new table would have to stand where the span wants to go on.
        let noted = (first / NOTES..=(end - 1) / NOTES).all(|group| self.table(group) != 0);
        if !noted || !(self.grow)(end) {
            return false;
        }
        self.set_frontier(end);
        true
    }

    pub fn note(&self, page: u32) -> Note {
        let (table, at) = self.note_at(page);
        if table == 0 {
            return Note::NONE;
        }
        let [kind, class, low, high] = self.get(table, at).to_le_bytes();
        Note {
            kind: Kind::of(kind),
            class,
            used: u16::from_le_bytes([low, high]),
            pages: self.get(table, at + 4),
            prev: self.get(table, at + 8),
            next: self.get(table, at + 12),
        }
    }

    pub fn set_note(&self, page: u32, note: Note) {
        let (table, at) = self.note_at(page);
        debug_assert_ne!(table, 0, "page {page} has no table");
        let [low, high] = note.used.to_le_bytes();
        let first = u32::from_le_bytes([note.kind as u8, note.class, low, high]);
        self.set(table, at, first);
        self.set(table, at + 4, note.pages);
        self.set(table, at + 8, note.prev);
        self.set(table, at + 12, note.next);
    }

    /// A number in the state page, `slot` counted from after the frontier.
    pub fn state(&self, slot: usize) -> u32 {
        self.get(STATE_PAGE, state_at(slot))
    }

    pub fn set_state(&self, slot: usize, value: u32) {
        self.set(STATE_PAGE, state_at(slot), value);
    }

    /// Makes pages zeros that are no longer in use.
    pub fn clear(&self, first: u32, pages: u32) {
        // SAFETY: the pages were given back and are below the frontier, so they are usable, and
        // nobody else's.
        unsafe {
            self.address(first)
                .write_bytes(0, pages as usize * PAGE_BYTES)
        };
    }

    /// The address of a page.
    pub fn address(&self, page: u32) -> *mut u8 {
        self.heap.wrapping_add(page as usize * PAGE_BYTES)
    }

    /// Page and offset of an address the allocator gave out.
    pub fn place(&self, address: *const u8) -> (u32, usize) {
        let offset = address.addr().wrapping_sub(self.heap.addr());
        ((offset / PAGE_BYTES) as u32, offset % PAGE_BYTES)
    }

    fn note_at(&self, page: u32) -> (u32, u64) {
        (
            self.table(page / NOTES),
            u64::from(page % NOTES) * NOTE_BYTES,
        )
    }

    /// The table page of a group of `NOTES` pages; 0 if there is none.
    fn table(&self, group: u32) -> u32 {
        if group / TABLES >= DIRECTORIES {
            return 0;
        }
        match self.get(STATE_PAGE, directory_at(group)) {
            0 => 0,
            directory => self.get(directory, u64::from(group % TABLES) * 4),
        }
    }

    fn add_table(&self, group: u32) -> Option<()> {
        if group / TABLES >= DIRECTORIES {
            return None;
        }
        let mut directory = self.get(STATE_PAGE, directory_at(group));
        let new_directory = directory == 0;
        if new_directory {
            directory = self.take_blank()?;
            self.set(STATE_PAGE, directory_at(group), directory);
        }
        let table = self.take_blank()?;
        self.set(directory, u64::from(group % TABLES) * 4, table);
        Some(())
    }

    /// One page of zeros at the frontier. Tables are never given back, so they need no note.
    fn take_blank(&self) -> Option<u32> {
        let page = self.frontier();
        if !(self.grow)(page.checked_add(1)?) {
            return None;
        }
        // Zeros already, as all free pages are (`spans`).
        self.set_frontier(page + 1);
        Some(page)
    }

    fn get(&self, page: u32, at: u64) -> u32 {
        let word = self.address(page).wrapping_add(at as usize).cast::<u32>();
        // SAFETY: state and table pages are inside the mapped heap by the contract of `new`, `at`
        // is a multiple of 4 below the page's size, and nobody else holds a reference to them.
        unsafe { word.read() }
    }

    fn set(&self, page: u32, at: u64, value: u32) {
        let word = self.address(page).wrapping_add(at as usize).cast::<u32>();
        // SAFETY: as in `get`.
        unsafe { word.write(value) }
    }
}

fn state_at(slot: usize) -> u64 {
    let at = FRONTIER_AT + 4 + slot as u64 * 4;
    debug_assert!(at < ROOTS_AT);
    at
}

fn directory_at(group: u32) -> u64 {
    ROOTS_AT + u64::from(group / TABLES) * 4
}
