//! A worker's mapping of its image, as a model: private pages over a base, and the copies of H1.
//!
//! Promises: a page nobody wrote shows the image as it is now; a delta is against what was last
//! handed over, because a page is compared with its copy until the host said that the delta that
//! named it is applied, and only then with the image (H1); pages are given back as H2 allows.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use kenvat_store::{PAGE_BYTES, push_run};

use crate::program::{PAGE_WORDS, Page, genesis_page};
use crate::rules::Copies;
use crate::words::Memory;

/// What lies under a worker's private pages.
pub trait Base {
    fn page(&self, page: u32) -> io::Result<Page>;
}

/// The image of a vat that is being born: a copy of genesis that nobody writes.
#[derive(Debug)]
pub struct Genesis;

impl Base for Genesis {
    fn page(&self, page: u32) -> io::Result<Page> {
        Ok(genesis_page(page))
    }
}

/// The heap of one worker process.
pub struct Heap {
    base: Box<dyn Base>,
    copies_kept: Copies,
    private: BTreeMap<u32, Page>,
    /// Written since the last hand-over.
    written: BTreeSet<u32>,
    /// As handed over, with the number of the newest hand-over whose delta names the page.
    copies: BTreeMap<u32, (u64, Page)>,
}

impl Heap {
    pub fn new(base: Box<dyn Base>, copies_kept: Copies) -> Heap {
        let (private, written, copies) = Default::default();
        Heap {
            base,
            copies_kept,
            private,
            written,
            copies,
        }
    }

    /// What changed since the last hand-over, page by page; this is hand-over `number`.
    pub fn hand_over(&mut self, number: u64) -> io::Result<Vec<Vec<u8>>> {
        let mut pages = Vec::new();
        for page in std::mem::take(&mut self.written) {
            let now = self.private[&page];
            let before = match self.copies.get(&page) {
                Some((_, copy)) => *copy,
                None => self.base.page(page)?,
            };
            let mut changes = Vec::new();
            if push_changes(&mut changes, page, &before, &now) {
                self.copies.insert(page, (number, now));
                pages.push(changes);
            }
        }
        if self.copies_kept == Copies::DroppedAtHandOver {
            self.copies.clear();
        }
        Ok(pages)
    }

    /// The image holds every hand-over up to this one.
    pub fn applied(&mut self, number: u64) {
        let Heap {
            private,
            written,
            copies,
            ..
        } = self;
        copies.retain(|page, (named, _)| {
            let keep = *named > number;
            if !keep && !written.contains(page) {
                private.remove(page);
            }
            keep
        });
    }
}

impl Memory for Heap {
    type Error = io::Error;

    fn get(&mut self, page: u32, word: usize) -> io::Result<u64> {
        match self.private.get(&page) {
            Some(words) => Ok(words[word]),
            None => Ok(self.base.page(page)?[word]),
        }
    }

    fn set(&mut self, page: u32, word: usize, value: u64) -> io::Result<()> {
        if !self.private.contains_key(&page) {
            self.private.insert(page, self.base.page(page)?);
        }
        if let Some(words) = self.private.get_mut(&page) {
            words[word] = value;
        }
        self.written.insert(page);
        Ok(())
    }
}

/// Appends the runs in which two pages differ; whether there are any.
fn push_changes(out: &mut Vec<u8>, page: u32, before: &Page, now: &Page) -> bool {
    let start = out.len();
    let mut at = 0;
    while at < PAGE_WORDS {
        let end = (at..PAGE_WORDS)
            .find(|word| before[*word] == now[*word])
            .unwrap_or(PAGE_WORDS);
        if end > at {
            let bytes: Vec<u8> = now[at..end]
                .iter()
                .flat_map(|word| word.to_le_bytes())
                .collect();
            push_run(out, page, at, &bytes);
        }
        at = end + 1;
    }
    out.len() > start
}

/// A page as words.
pub fn words_of(bytes: &[u8]) -> Page {
    let mut page = [0; PAGE_WORDS];
    for (word, bytes) in page.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    page
}

/// A page as bytes.
pub fn bytes_of(page: &Page) -> [u8; PAGE_BYTES] {
    let mut bytes = [0; PAGE_BYTES];
    for (place, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(page) {
        *place = word.to_le_bytes();
    }
    bytes
}
