//! Deltas: which words of a heap changed, as bytes.
//!
//! A run is `page: u32 LE, first_word: u16 LE, words: u16 LE`, then `words` times 8 bytes; or
//! `page: u32 LE, 0xffff: u16 LE, pages: u16 LE`: so many whole pages are zeros now. Runs are
//! sorted by (page, first_word), disjoint, inside one page but for zeros. The header comes first so
//! that a reader can check a run's size before it touches its words. Does not know where pages come
//! from.

use std::ops::Range;

use super::layout::{PAGE_WORDS, Page};

/// Bytes of a run's header: as many as one word, so two runs one word apart cost the same as one.
pub const RUN_HEADER_BYTES: usize = 8;

/// Stands where a first word would: the run is whole pages of zeros.
const ZEROS: u16 = u16::MAX;

/// What a page came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    None,
    /// It is zeros now, and was not.
    Zeros,
    Words,
}

/// A delta being written, pages in ascending order.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
    /// A run of zeros that may still grow: its pages.
    zeros: Range<u32>,
}

impl Writer {
    /// Appends what differs between `old` and `new`.
    pub fn page(&mut self, page: u32, old: &Page, new: &Page) -> Change {
        let Some(first) = next_difference(old, new, 0) else {
            return Change::None;
        };
        if new.is_zeros() {
            let is_next = self.zeros.end == page && self.zeros.len() < usize::from(u16::MAX);
            if self.zeros.is_empty() || !is_next {
                self.end_zeros();
                self.zeros = page..page;
            }
            self.zeros.end = page + 1;
            return Change::Zeros;
        }
        self.end_zeros();
        let mut next = Some(first);
        while let Some(first) = next {
            let end = run_end(old, new, first);
            append_run(&mut self.bytes, page, first, &new.0[first..end]);
            next = next_difference(old, new, end);
        }
        Change::Words
    }

    /// Bytes so far.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Takes what is there; what follows goes on after it.
    pub fn take(&mut self) -> Vec<u8> {
        self.end_zeros();
        std::mem::take(&mut self.bytes)
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.take()
    }

    fn end_zeros(&mut self) {
        let pages = std::mem::take(&mut self.zeros);
        if !pages.is_empty() {
            self.bytes.extend_from_slice(&pages.start.to_le_bytes());
            self.bytes.extend_from_slice(&ZEROS.to_le_bytes());
            // Bounded in `page`.
            let count = pages.len() as u16;
            self.bytes.extend_from_slice(&count.to_le_bytes());
        }
    }
}

/// The first word from `from` on that differs.
fn next_difference(old: &Page, new: &Page, from: usize) -> Option<usize> {
    let pairs = old.0[from..].iter().zip(&new.0[from..]);
    pairs
        .enumerate()
        .find(|(_, (old, new))| old != new)
        .map(|(at, _)| from + at)
}

/// One past the last word of the run that begins at `first`: a single equal word does not end it,
/// since a new header would cost as much.
fn run_end(old: &Page, new: &Page, first: usize) -> usize {
    let differs = |word: usize| word < PAGE_WORDS && old.0[word] != new.0[word];
    let mut end = first + 1;
    loop {
        if differs(end) {
            end += 1;
        } else if differs(end + 1) {
            end += 2;
        } else {
            return end;
        }
    }
}

fn append_run(out: &mut Vec<u8>, page: u32, first: usize, words: &[u64]) {
    out.extend_from_slice(&page.to_le_bytes());
    // Both fit: a page has 512 words.
    out.extend_from_slice(&(first as u16).to_le_bytes());
    out.extend_from_slice(&(words.len() as u16).to_le_bytes());
    for word in words {
        out.extend_from_slice(&word.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(changes: &[usize]) -> Vec<(usize, usize)> {
        let mut new = Page::ZERO;
        for word in changes {
            new.0[*word] = 7;
        }
        let mut writer = Writer::default();
        let expected = match changes {
            [] => Change::None,
            _ => Change::Words,
        };
        assert_eq!(writer.page(3, &Page::ZERO, &new), expected);
        let out = writer.finish();
        let mut found = Vec::new();
        let mut rest = out.as_slice();
        while let Some((header, tail)) = rest.split_at_checked(RUN_HEADER_BYTES) {
            assert_eq!(header[..4], 3u32.to_le_bytes());
            let first = u16::from_le_bytes([header[4], header[5]]) as usize;
            let words = u16::from_le_bytes([header[6], header[7]]) as usize;
            found.push((first, words));
            rest = &tail[words * 8..];
        }
        assert!(rest.is_empty());
        found
    }

    #[test]
    fn pages_that_became_zeros_are_one_header_however_many() {
        let mut some = Page::ZERO;
        some.0[9] = 1;
        let mut writer = Writer::default();
        for page in [4, 5, 6, 9] {
            assert_eq!(writer.page(page, &some, &Page::ZERO), Change::Zeros);
        }
        assert_eq!(writer.page(10, &Page::ZERO, &Page::ZERO), Change::None);
        assert_eq!(writer.page(11, &Page::ZERO, &some), Change::Words);
        for page in 12..70_012 {
            writer.page(page, &some, &Page::ZERO);
        }
        let zeros = |page: u32, pages: u16| {
            [&page.to_le_bytes()[..], &[0xff, 0xff], &pages.to_le_bytes()].concat()
        };
        let words = [&11u32.to_le_bytes()[..], &[9, 0, 1, 0], &1u64.to_le_bytes()].concat();
        let rest = zeros(12 + 65_535, (70_000 - 65_535) as u16);
        let expected = [zeros(4, 3), zeros(9, 1), words, zeros(12, 65_535), rest];
        assert_eq!(writer.finish(), expected.concat());
    }

    #[test]
    fn runs_one_word_apart_become_one_and_two_words_apart_stay_two() {
        assert_eq!(runs(&[]), []);
        assert_eq!(runs(&[5]), [(5, 1)]);
        assert_eq!(runs(&[5, 7]), [(5, 3)]);
        assert_eq!(runs(&[5, 8]), [(5, 1), (8, 1)]);
        assert_eq!(runs(&[0, 1, 2, 509, 511]), [(0, 3), (509, 3)]);
        assert_eq!(
            runs(&(0..PAGE_WORDS).collect::<Vec<_>>()),
            [(0, PAGE_WORDS)]
        );
    }
}
