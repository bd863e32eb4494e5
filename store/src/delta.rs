//! A delta: which words of which pages changed, as the worker wrote it and the journal keeps it.
//!
//! Promises: a `Delta` was checked once, whole, against a page limit; its runs can be walked
//! without further checks. Does not know what a word means.
//!
//! ```text
//! words   page: u32 LE, first_word: u16 LE, words: u16 LE, then words * 8 bytes
//! zeros   page: u32 LE, 0xffff: u16 LE, pages: u16 LE: this many whole pages become zeros
//! ```
//! Runs are sorted by (page, first_word) and disjoint. A run has at least one word and ends in its
//! page, or is one or more whole pages of zeros. A delta without runs is legal: a turn may change
//! nothing. The header precedes the content, so that a reader knows how much to skip. Zeros have a
//! form of their own because a heap that drops a large structure would otherwise pay for its size
//! once more.

use crate::ids::PAGE_BYTES;
use std::ops::Range;

/// Bytes of one word, the unit of change.
pub const WORD_BYTES: usize = 8;
/// Words of one page.
pub const PAGE_WORDS: usize = PAGE_BYTES / WORD_BYTES;
const RUN_HEADER_BYTES: usize = 8;
/// Stands where a first word would: the run is whole pages of zeros.
const ZEROS: u16 = u16::MAX;

/// Checked changes of one heap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta(Vec<u8>);

/// Why bytes were not a delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeltaError {
    #[error("the delta ends inside a run at byte {0}")]
    Cut(usize),
    #[error("an empty run at byte {0}")]
    EmptyRun(usize),
    #[error("a run at byte {0} leaves its page")]
    LeavesPage(usize),
    #[error("a run at byte {at} names page {page}, the limit is {limit}")]
    BeyondLimit { at: usize, page: u32, limit: u32 },
    #[error("a run at byte {0} is not after the one before it")]
    Unsorted(usize),
}

/// One run of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run<'a> {
    /// Words of one page.
    Words {
        page: u32,
        /// First byte inside the page.
        start: usize,
        /// A whole number of words that ends inside the page.
        bytes: &'a [u8],
    },
    /// Whole pages that are zeros now.
    Zeros { page: u32, pages: u32 },
}

impl Run<'_> {
    /// The pages it names.
    pub fn pages(&self) -> Range<u32> {
        match *self {
            Run::Words { page, .. } => page..page.saturating_add(1),
            Run::Zeros { page, pages } => page..page.saturating_add(pages),
        }
    }
}

impl Delta {
    /// Checks `bytes` whole.
    pub fn parse(bytes: Vec<u8>, page_limit: u32) -> Result<Delta, DeltaError> {
        check(&bytes, page_limit)?;
        Ok(Delta(bytes))
    }

    /// The byte form, as it stands in frames.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One past the last page it names.
    pub fn end(&self) -> u32 {
        self.runs().last().map_or(0, |run| run.pages().end)
    }

    /// The runs in order.
    pub fn runs(&self) -> Runs<'_> {
        Runs(&self.0)
    }
}

/// Checks that `bytes` are a delta within `page_limit`.
pub(crate) fn check(bytes: &[u8], page_limit: u32) -> Result<(), DeltaError> {
    check_after(bytes, page_limit, (0, 0)).map(drop)
}

/// The same for a delta that continues another one, which ended at this page and word. Returns
/// where it ends.
pub(crate) fn check_after(
    bytes: &[u8],
    page_limit: u32,
    mut after: (u32, usize),
) -> Result<(u32, usize), DeltaError> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        let (run, tail) = split_run(rest).ok_or(DeltaError::Cut(at))?;
        let (first_word, end) = match run {
            Run::Words { page, start, bytes } => {
                let (first, words) = (start / WORD_BYTES, bytes.len() / WORD_BYTES);
                if first + words > PAGE_WORDS {
                    return Err(DeltaError::LeavesPage(at));
                }
                (first, (page, first + words))
            }
            Run::Zeros { .. } => (0, (run.pages().end, 0)),
        };
        let pages = run.pages();
        if (pages.start, first_word) == end || pages.is_empty() {
            return Err(DeltaError::EmptyRun(at));
        }
        if pages.end > page_limit {
            return Err(DeltaError::BeyondLimit {
                at,
                page: pages.end - 1,
                limit: page_limit,
            });
        }
        if (pages.start, first_word) < after {
            return Err(DeltaError::Unsorted(at));
        }
        after = end;
        rest = tail;
    }
    Ok(after)
}

/// The runs of bytes that `check` accepted. For other bytes, the runs before the first incomplete
/// one.
pub(crate) fn runs(checked: &[u8]) -> Runs<'_> {
    Runs(checked)
}

/// Iterates over the runs of a checked delta.
#[derive(Clone, Debug)]
pub struct Runs<'a>(&'a [u8]);

impl<'a> Iterator for Runs<'a> {
    type Item = Run<'a>;

    fn next(&mut self) -> Option<Run<'a>> {
        let (run, rest) = split_run(self.0)?;
        self.0 = rest;
        Some(run)
    }
}

/// The first run and what follows.
fn split_run(bytes: &[u8]) -> Option<(Run<'_>, &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<RUN_HEADER_BYTES>()?;
    let [p0, p1, p2, p3, f0, f1, c0, c1] = *header;
    let page = u32::from_le_bytes([p0, p1, p2, p3]);
    let (first, count) = (u16::from_le_bytes([f0, f1]), u16::from_le_bytes([c0, c1]));
    if first == ZEROS {
        let pages = u32::from(count);
        return Some((Run::Zeros { page, pages }, rest));
    }
    let (bytes, rest) = rest.split_at_checked(usize::from(count) * WORD_BYTES)?;
    let start = usize::from(first) * WORD_BYTES;
    Some((Run::Words { page, start, bytes }, rest))
}

/// Appends one run to `out`; the caller keeps the order.
///
/// # Panics
/// If the run is not a whole number of words inside one page.
pub fn push_run(out: &mut Vec<u8>, page: u32, first_word: usize, words: &[u8]) {
    assert!(
        words.len().is_multiple_of(WORD_BYTES),
        "a run is a whole number of words"
    );
    let count = words.len() / WORD_BYTES;
    assert!(
        count > 0 && first_word + count <= PAGE_WORDS,
        "a run lies inside its page"
    );
    out.extend_from_slice(&page.to_le_bytes());
    // At most PAGE_WORDS, asserted above.
    out.extend_from_slice(&(first_word as u16).to_le_bytes());
    out.extend_from_slice(&(count as u16).to_le_bytes());
    out.extend_from_slice(words);
}

/// Appends a run of whole pages of zeros to `out`; the caller keeps the order.
pub fn push_zeros(out: &mut Vec<u8>, pages: Range<u32>) {
    let mut at = pages.start;
    while at < pages.end {
        let count = (pages.end - at).min(u32::from(u16::MAX));
        out.extend_from_slice(&at.to_le_bytes());
        out.extend_from_slice(&ZEROS.to_le_bytes());
        // Bounded on the line before last.
        out.extend_from_slice(&(count as u16).to_le_bytes());
        at += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn delta(list: &[(u32, usize, usize)]) -> Vec<u8> {
        let mut out = Vec::new();
        for &(page, first, words) in list {
            push_run(&mut out, page, first, &vec![7; words * WORD_BYTES]);
        }
        out
    }

    #[test]
    fn sorted_disjoint_runs_inside_the_limit_are_a_delta() {
        assert!(Delta::parse(Vec::new(), 0).unwrap().is_empty());
        let bytes = delta(&[(0, 0, 512), (1, 3, 1), (1, 4, 2), (9, 511, 1)]);
        let parsed = Delta::parse(bytes.clone(), 10).unwrap();
        assert_eq!(parsed.as_bytes(), bytes);
        let places = parsed.runs().map(|run| match run {
            Run::Words { page, start, .. } => (page, start),
            Run::Zeros { .. } => panic!("none were put in"),
        });
        assert!(places.eq([(0, 0), (1, 24), (1, 32), (9, 4088)]));
    }

    #[test]
    fn pages_of_zeros_cost_eight_bytes_and_keep_the_order() {
        let mut bytes = delta(&[(1, 511, 1)]);
        push_zeros(&mut bytes, 2..70_002);
        push_run(&mut bytes, 70_002, 0, &[1; 8]);
        assert_eq!(bytes.len(), 16 + 2 * 8 + 16);
        let parsed = Delta::parse(bytes.clone(), 70_003).unwrap();
        let named: u32 = parsed.runs().map(|run| run.pages().len() as u32).sum();
        assert_eq!(named, 70_002);
        let beyond = DeltaError::BeyondLimit {
            at: 24,
            page: 70_001,
            limit: 70_000,
        };
        assert_eq!(Delta::parse(bytes, 70_000).unwrap_err(), beyond);
        let zeros = |page: u32, pages: u16| {
            let (page, pages) = (page.to_le_bytes(), pages.to_le_bytes());
            [&page[..], &[0xff, 0xff], &pages].concat()
        };
        let parse = |parts: &[Vec<u8>]| Delta::parse(parts.concat(), u32::MAX).unwrap_err();
        assert_eq!(parse(&[zeros(3, 0)]), DeltaError::EmptyRun(0));
        assert_eq!(parse(&[zeros(u32::MAX, 9)]), DeltaError::EmptyRun(0));
        assert_eq!(
            parse(&[zeros(3, 2), delta(&[(4, 0, 1)])]),
            DeltaError::Unsorted(8)
        );
        assert_eq!(
            parse(&[delta(&[(4, 0, 1)]), zeros(4, 1)]),
            DeltaError::Unsorted(16)
        );
    }

    #[test]
    fn each_rule_broken_is_named() {
        let parse = |bytes: &[u8]| Delta::parse(bytes.to_vec(), 10).unwrap_err();
        assert_eq!(parse(&delta(&[(1, 0, 1)])[..15]), DeltaError::Cut(0));
        assert_eq!(parse(&delta(&[(1, 0, 1)])[..7]), DeltaError::Cut(0));
        assert_eq!(parse(&[0; 8]), DeltaError::EmptyRun(0));
        let mut leaves = delta(&[(1, 511, 1)]);
        leaves[6] = 2;
        leaves.extend_from_slice(&[0; 8]);
        assert_eq!(parse(&leaves), DeltaError::LeavesPage(0));
        let beyond = DeltaError::BeyondLimit {
            at: 16,
            page: 10,
            limit: 10,
        };
        assert_eq!(parse(&delta(&[(1, 0, 1), (10, 0, 1)])), beyond);
        assert_eq!(
            parse(&delta(&[(1, 0, 2), (1, 1, 1)])),
            DeltaError::Unsorted(24)
        );
        assert_eq!(
            parse(&delta(&[(2, 0, 1), (1, 1, 1)])),
            DeltaError::Unsorted(16)
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_delta_or_refused_and_accepted_ones_are_walked_whole(
            bytes in proptest::collection::vec(prop_oneof![8 => 0..4u8, 1 => Just(255)], 0..200)
        ) {
            if let Ok(parsed) = Delta::parse(bytes.clone(), 3) {
                let walked = parsed.runs().map(|run| match run {
                    Run::Words { bytes, .. } => bytes.len() + 8,
                    Run::Zeros { .. } => 8,
                });
                prop_assert_eq!(walked.sum::<usize>(), bytes.len());
            }
        }
    }
}
