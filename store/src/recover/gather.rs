//! Words of many frames, gathered so that a page is written once however many frames name it.
//!
//! Frames after a fold name the same hot pages again and again, a word or two each: one write a
//! word was most of a restart.
//!
//! Promises: an image is afterwards as if every run had been written in its order; every word that
//! was named is written, equal or not (I4), and no other; what is held is bounded. Does not know
//! frames.

use crate::backend::Backend;
use crate::delta::{PAGE_WORDS, WORD_BYTES};
use crate::error::{OpenError, StoreError};
use crate::genesis::{Page, ZERO_PAGE};
use crate::ids::VatId;
use crate::images;
use crate::store::Store;
use std::collections::BTreeMap;
use std::ops::Range;

/// Pages held before all are written.
const PAGES_MAX: usize = 4096;

/// Words waiting to be written, by vat and page.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pages: BTreeMap<(VatId, u32), Box<Words>>,
}

/// The words of one page that were named, as they are to be.
#[derive(Debug)]
struct Words {
    content: Page,
    named: [bool; PAGE_WORDS],
}

impl Gathered {
    /// Takes words of a checked run: whole, and inside their page.
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

    /// Forgets words of pages that became something else as a whole.
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

    /// Whether so much is held that it should be written.
    pub(crate) fn is_full(&self) -> bool {
        self.pages.len() >= PAGES_MAX
    }

    /// Writes everything. A vat whose image cannot be written is marked, the others go on.
    pub(crate) fn write<B: Backend>(&mut self, store: &mut Store<B>) -> Result<(), OpenError> {
        for ((vat, page), words) in std::mem::take(&mut self.pages) {
            // One that ended meanwhile has no image any more.
            let Some(found) = store.vats.get(&vat) else {
                continue;
            };
            let (page_limit, is_damaged) = (found.page_limit, found.damaged.is_some());
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
    /// Stretches of bytes all of whose words were named, in order.
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

    fn runs(gathered: &Gathered, page: u32) -> Vec<(usize, Vec<u8>)> {
        let words = &gathered.pages[&(VAT, page)];
        let runs = words.runs();
        runs.map(|run| (run.start, words.content[run].to_vec()))
            .collect()
    }

    #[test]
    fn words_named_are_written_as_they_were_named_last_and_no_others() {
        let mut gathered = Gathered::default();
        gathered.add(VAT, 7, 8, &[1; 16]);
        gathered.add(VAT, 7, 16, &[2; 16]);
        gathered.add(VAT, 7, 4088, &[3; 8]);
        // Equal to what an untouched page holds, and named all the same (I4).
        gathered.add(VAT, 7, 64, &[0; 8]);
        let expected = [
            (8, [[1; 8], [2; 8], [2; 8]].concat()),
            (64, vec![0; 8]),
            (4088, vec![3; 8]),
        ];
        assert_eq!(runs(&gathered, 7), expected);
    }

    #[test]
    fn pages_that_became_zeros_are_forgotten_and_may_be_named_again() {
        let mut gathered = Gathered::default();
        (4..8).for_each(|page| gathered.add(VAT, page, 0, &[1; 8]));
        gathered.add(VatId(4), 5, 0, &[9; 8]);
        gathered.forget(VAT, 5..7);
        gathered.add(VAT, 6, 8, &[2; 8]);
        assert_eq!(gathered.pages.len(), 4);
        assert_eq!(runs(&gathered, 6), [(8, vec![2; 8])]);
        assert!(gathered.pages.contains_key(&(VatId(4), 5)));
    }
}
