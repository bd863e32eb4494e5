//! Runs of whole pages: found, split, joined, given back.
//!
//! Free spans stand in lists by length: one list a length up to 32, then one a power of two. A free
//! span's first and last page are noted, so neighbours are found and joined when a span comes back;
//! a span that ends at the frontier lowers it instead, so the heap in use shrinks again.
//!
//! Free pages are zeros, always: they are made so when they are given back. Then what a block holds
//! at first does not depend on when deltas were taken, and a heap that dropped something large
//! hands over "zeros" instead of what is left of it.

use super::tables::{Kind, Note, Tables};

/// Lists of free spans, one number each in the allocator's state, after two words of bits that say
/// which are not empty.
const LISTS: usize = 52;
const EXACT: u32 = 32;
const BITS_SLOT: usize = 0;
const HEADS_SLOT: usize = 2;
/// Slots of the allocator's state in use here.
pub const SLOTS: usize = HEADS_SLOT + LISTS;

/// Spans looked at in a list of mixed lengths before a larger list is tried.
const LOOK_MAX: usize = 32;

/// Takes a span of `pages` pages and notes it as allocated.
pub fn take(tables: &Tables, pages: u32) -> Option<u32> {
    let first = match find(tables, pages) {
        Some(first) => {
            carve(tables, first, pages);
            first
        }
        None => tables.take_at_frontier(pages)?,
    };
    tables.set_note(first, Note::free(Kind::Span, pages));
    Some(first)
}

/// Gives a span back; its first page must be the first of an allocated span of that length.
pub fn give(tables: &Tables, mut first: u32, mut pages: u32) {
    tables.set_note(first, Note::NONE);
    tables.clear(first, pages);
    let before = tables.note(first - 1);
    let joined = match before.kind {
        Kind::FreeHead if before.pages == 1 => 1,
        Kind::FreeTail => before.pages,
        _ => 0,
    };
    if joined > 0 {
        first -= joined;
        pages += joined;
        unlink(tables, first);
    }
    if first + pages < tables.frontier() {
        let after = tables.note(first + pages);
        if after.kind == Kind::FreeHead {
            unlink(tables, first + pages);
            pages += after.pages;
        }
    }
    if first + pages == tables.frontier() {
        tables.set_frontier(first);
    } else {
        link(tables, first, pages);
    }
}

/// Makes an allocated span longer or shorter where it is; false when there is no room behind it.
pub fn resize(tables: &Tables, first: u32, old: u32, new: u32) -> bool {
    if new < old {
        tables.set_note(first, Note::free(Kind::Span, new));
        give(tables, first + new, old - new);
        return true;
    }
    let (end, more) = (first + old, new - old);
    if end == tables.frontier() {
        if !tables.extend_at_frontier(more) {
            return false;
        }
    } else {
        let after = tables.note(end);
        if after.kind != Kind::FreeHead || after.pages < more {
            return false;
        }
        carve(tables, end, more);
    }
    tables.set_note(first, Note::free(Kind::Span, new));
    true
}

/// The first page of a free span of at least `pages`, still in its list.
fn find(tables: &Tables, pages: u32) -> Option<u32> {
    let list = list_of(pages);
    let mut at = tables.state(HEADS_SLOT + list);
    let mut looked = 0;
    while at != 0 && looked < LOOK_MAX {
        let note = tables.note(at);
        if note.pages >= pages {
            return Some(at);
        }
        (at, looked) = (note.next, looked + 1);
    }
    let larger = bits(tables) & !((2u64 << list) - 1);
    if larger == 0 {
        return None;
    }
    Some(tables.state(HEADS_SLOT + larger.trailing_zeros() as usize))
}

/// Cuts `pages` pages off the front of a free span; the rest stays free.
fn carve(tables: &Tables, first: u32, pages: u32) {
    let whole = tables.note(first).pages;
    unlink(tables, first);
    if whole > pages {
        link(tables, first + pages, whole - pages);
    }
}

fn link(tables: &Tables, first: u32, pages: u32) {
    let list = list_of(pages);
    let next = tables.state(HEADS_SLOT + list);
    tables.set_note(
        first,
        Note {
            next,
            ..Note::free(Kind::FreeHead, pages)
        },
    );
    if pages > 1 {
        tables.set_note(first + pages - 1, Note::free(Kind::FreeTail, pages));
    }
    if next != 0 {
        tables.set_note(
            next,
            Note {
                prev: first,
                ..tables.note(next)
            },
        );
    }
    tables.set_state(HEADS_SLOT + list, first);
    set_bits(tables, bits(tables) | 1 << list);
}

/// Takes a free span out of its list and clears its notes.
fn unlink(tables: &Tables, first: u32) {
    let note = tables.note(first);
    let list = list_of(note.pages);
    if note.prev != 0 {
        tables.set_note(
            note.prev,
            Note {
                next: note.next,
                ..tables.note(note.prev)
            },
        );
    } else {
        tables.set_state(HEADS_SLOT + list, note.next);
        if note.next == 0 {
            set_bits(tables, bits(tables) & !(1 << list));
        }
    }
    if note.next != 0 {
        tables.set_note(
            note.next,
            Note {
                prev: note.prev,
                ..tables.note(note.next)
            },
        );
    }
    tables.set_note(first, Note::NONE);
    if note.pages > 1 {
        tables.set_note(first + note.pages - 1, Note::NONE);
    }
}

fn list_of(pages: u32) -> usize {
    if pages <= EXACT {
        return pages as usize - 1;
    }
    (EXACT + pages.ilog2() - EXACT.ilog2()) as usize
}

fn bits(tables: &Tables) -> u64 {
    u64::from(tables.state(BITS_SLOT)) | u64::from(tables.state(BITS_SLOT + 1)) << 32
}

fn set_bits(tables: &Tables, bits: u64) {
    tables.set_state(BITS_SLOT, bits as u32);
    tables.set_state(BITS_SLOT + 1, (bits >> 32) as u32);
}
