//! Coalesces the words that many frames change, so that each page is written once.
//!
//! Frames after a fold change the same hot pages again and again, a word or two each time. One
//! write a word was most of the time of a restart.
//!
//! Promises: the image ends as if every run had been written in order. Every word that was named is
//! written, even if it is equal (I4), and other words only with their own content. Memory is
//! bounded. Does not know frames.

use crate::backend::{Backend, File};
use crate::delta::{PAGE_WORDS, WORD_BYTES};
use crate::error::{OpenError, StoreError};
use crate::genesis::{Page, ZERO_PAGE};
use crate::ids::VatId;
use crate::images;
use crate::store::Store;
use std::collections::BTreeMap;
use std::ops::Range;

/// Pages held at most before all are written.
const PAGES_MAX: usize = 4096;

/// Up to this many runs of a page are written one by one. A page with more is read and written
/// whole, because a small write costs the kernel microseconds as well.
const RUNS_APART_MAX: usize = 3;

/// Words waiting to be written, by vat and page.
#[derive(Debug, Default)]
pub(crate) struct CoalescedWrites {
    pages: BTreeMap<(VatId, u32), Box<Words>>,
}

/// The words of one page that were named, with their new content.
#[derive(Debug)]
struct Words {
    content: Page,
    named: [bool; PAGE_WORDS],
}

impl CoalescedWrites {
    /// Adds the words of a checked run: whole words inside their page.
    pub(crate) fn add(&mut self, vat: VatId, page: u32, start: usize, bytes: &[u8]) {
        let words = self.pages.entry((vat, page)).or_insert_with(|| {
            Box::new(Words {
                content: ZERO_PAGE,
                named: [false; PAGE_WORDS],
            })
        });
        let end = start + bytes.len();
        words.content[start..end].copy_from_slice(bytes);
        words.named[start / WORD_BYTES..end / WORD_BYTES].fill(true);
    }

    /// Drops the words of pages that became zeros as a whole.
    pub(crate) fn forget(&mut self, vat: VatId, pages: Range<u32>) {
        let first = (vat, pages.start);
        let gone: Vec<_> = self
            .pages
            .range(first..(vat, pages.end))
            .map(|(key, _)| *key)
            .collect();
        for key in gone {
            self.pages.remove(&key);
        }
    }

    /// Whether the bound of memory is reached.
    pub(crate) fn is_full(&self) -> bool {
        self.pages.len() >= PAGES_MAX
    }

    /// Writes everything. A vat whose image cannot be written is marked as damaged; the others go
    /// on.
    pub(crate) fn write<B: Backend>(&mut self, store: &mut Store<B>) -> Result<(), OpenError> {
        for ((vat, page), words) in std::mem::take(&mut self.pages) {
            // A vat that ended has no image any more.
            let Some(found) = store.vats.get(&vat) else {
                continue;
            };
            let (page_limit, is_damaged) = (found.page_limit, found.damaged.is_some());
            let apart = words.runs().take(RUNS_APART_MAX + 1).count();
            let words = match is_damaged || apart <= RUNS_APART_MAX {
                true => words,
                // If the file cannot be read, writing it reports why.
                false => words.whole_page(|content| {
                    let file = store.images.file(vat, page_limit);
                    file.is_ok_and(|file| file.read_at(images::bytes_of(page), content).is_ok())
                }),
            };
            for run in words.runs().filter(|_| !is_damaged) {
                let offset = images::bytes_of(page) + run.start as u64;
                match store
                    .images
                    .write(vat, page_limit, offset, &words.content[run])
                {
                    Ok(()) => {}
                    Err(StoreError::Damaged(damage)) => {
                        store.mark_damaged(vat, &damage);
                        break;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}

impl Words {
    /// Completes the page with its other words, if they can be read.
    fn whole_page(mut self: Box<Words>, read: impl FnOnce(&mut Page) -> bool) -> Box<Words> {
        let mut whole = ZERO_PAGE;
        if read(&mut whole) {
            for run in self.runs() {
                whole[run.clone()].copy_from_slice(&self.content[run]);
            }
            self.content = whole;
            self.named = [true; PAGE_WORDS];
        }
        self
    }

    /// The ranges of bytes whose words were all named, in order.
    fn runs(&self) -> impl Iterator<Item = Range<usize>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let first = at + self.named[at..].iter().position(|named| *named)?;
            let rest = &self.named[first..];
            let count = rest.iter().position(|named| !named).unwrap_or(rest.len());
            at = first + count;
            Some(first * WORD_BYTES..at * WORD_BYTES)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VAT: VatId = VatId(3);

    fn runs(coalesced: &CoalescedWrites, page: u32) -> Vec<(usize, Vec<u8>)> {
        let words = &coalesced.pages[&(VAT, page)];
        let runs = words.runs();
        runs.map(|run| (run.start, words.content[run].to_vec()))
            .collect()
    }

    #[test]
    fn words_named_are_written_as_they_were_named_last_and_no_others() {
        let mut coalesced = CoalescedWrites::default();
        coalesced.add(VAT, 7, 8, &[1; 16]);
        coalesced.add(VAT, 7, 16, &[2; 16]);
        coalesced.add(VAT, 7, 4088, &[3; 8]);
        // Equal to what an untouched page holds, but named all the same (I4).
        coalesced.add(VAT, 7, 64, &[0; 8]);
        let expected = [
            (8, [[1; 8], [2; 8], [2; 8]].concat()),
            (64, vec![0; 8]),
            (4088, vec![3; 8]),
        ];
        assert_eq!(runs(&coalesced, 7), expected);
    }

    #[test]
    fn a_page_made_whole_keeps_what_was_not_named_and_one_that_cannot_be_read_stays_in_runs() {
        let words = |coalesced: &mut CoalescedWrites| {
            (0..10).for_each(|at| coalesced.add(VAT, 7, at * 64, &[at as u8 + 1; 8]));
            coalesced.pages.remove(&(VAT, 7)).expect("just named")
        };
        let mut coalesced = CoalescedWrites::default();
        let whole = words(&mut coalesced).whole_page(|page| {
            page.fill(0xee);
            true
        });
        let mut runs = whole.runs();
        assert_eq!((runs.next(), runs.next()), (Some(0..4096), None));
        drop(runs);
        for (at, byte) in whole.content.iter().enumerate() {
            let is_named = at < 640 && at % 64 < 8;
            let expected = if is_named { (at / 64) as u8 + 1 } else { 0xee };
            assert_eq!(*byte, expected, "byte {at}");
        }
        let apart = words(&mut coalesced).whole_page(|page| {
            page.fill(0xee);
            false
        });
        assert_eq!(apart.runs().count(), 10);
        assert_eq!(apart.content[8], 0);
    }

    #[test]
    fn pages_that_became_zeros_are_forgotten_and_may_be_named_again() {
        let mut coalesced = CoalescedWrites::default();
        (4..8).for_each(|page| coalesced.add(VAT, page, 0, &[1; 8]));
        coalesced.add(VatId(4), 5, 0, &[9; 8]);
        coalesced.forget(VAT, 5..7);
        coalesced.add(VAT, 6, 8, &[2; 8]);
        assert_eq!(coalesced.pages.len(), 4);
        assert_eq!(runs(&coalesced, 6), [(8, vec![2; 8])]);
        assert!(coalesced.pages.contains_key(&(VatId(4), 5)));
    }
}
