//! Heap pages in memory: those a frame not yet applied changed, and hot ones.
//!
//! Promises: a page some frame in flight changed stays here until that frame is applied, so that
//! the image on disk is never asked for content it does not have yet; its content as of each frame
//! is kept apart (copy on write), so that applying one frame never writes words of the next (I1).
//! The rest is bounded. Does not read or write files.

use crate::delta::Run;
use crate::genesis::Page;
use crate::ids::VatId;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Which page of which heap.
pub(crate) type PageKey = (VatId, u32);

/// A page as of a frame's end, and which bytes of it the frame's deltas name (and what lies
/// between).
#[derive(Debug)]
pub(crate) struct DirtyPage {
    pub vat: VatId,
    pub page: u32,
    pub content: Arc<Page>,
    pub start: usize,
    pub end: usize,
    pub crc: u32,
}

#[derive(Debug)]
struct Entry {
    content: Arc<Page>,
    /// Bytes the frame being filled changed.
    staged: Option<(usize, usize)>,
    /// Used since the eviction queue last passed it.
    referenced: bool,
}

impl Entry {
    /// A frame in flight shares the content until it is applied.
    fn is_pinned(&self) -> bool {
        self.staged.is_some() || Arc::strong_count(&self.content) > 1
    }
}

/// The pages in memory.
#[derive(Debug)]
pub(crate) struct PageCache {
    entries: HashMap<PageKey, Entry>,
    queue: VecDeque<PageKey>,
    staged: Vec<PageKey>,
    entries_max: usize,
}

impl PageCache {
    pub(crate) fn new(entries_max: usize) -> PageCache {
        PageCache {
            entries: HashMap::new(),
            queue: VecDeque::new(),
            staged: Vec::new(),
            entries_max,
        }
    }

    pub(crate) fn contains(&self, key: PageKey) -> bool {
        self.entries.contains_key(&key)
    }

    /// Adds a page as its image has it.
    pub(crate) fn insert(&mut self, key: PageKey, content: Arc<Page>) {
        let entry = Entry {
            content,
            staged: None,
            referenced: true,
        };
        if self.entries.insert(key, entry).is_none() {
            self.queue.push_back(key);
        }
    }

    /// Changes a page for the frame being filled.
    ///
    /// # Panics
    /// If the page is not here; it is loaded before.
    pub(crate) fn stage(&mut self, vat: VatId, run: &Run<'_>) {
        let key = (vat, run.page);
        let entry = self
            .entries
            .get_mut(&key)
            .expect("pages are loaded before they are changed");
        let end = run.start + run.bytes.len();
        Arc::make_mut(&mut entry.content)[run.start..end].copy_from_slice(run.bytes);
        entry.referenced = true;
        entry.staged = match entry.staged {
            Some((from, to)) => Some((from.min(run.start), to.max(end))),
            None => {
                self.staged.push(key);
                Some((run.start, end))
            }
        };
    }

    /// The pages the frame being filled changed, sorted; the next frame begins with none.
    pub(crate) fn take_staged(&mut self) -> Vec<DirtyPage> {
        let mut keys = std::mem::take(&mut self.staged);
        keys.sort_unstable();
        let dirty = keys.into_iter().filter_map(|key| {
            let entry = self.entries.get_mut(&key)?;
            let (start, end) = entry.staged.take()?;
            let content = entry.content.clone();
            let crc = crc32fast::hash(&content[..]);
            Some(DirtyPage {
                vat: key.0,
                page: key.1,
                content,
                start,
                end,
                crc,
            })
        });
        dirty.collect()
    }

    /// Drops pages past the bound that no frame in flight needs, least used first.
    pub(crate) fn trim(&mut self) {
        // Each page is passed at most twice: once to forget that it was used, once to drop it.
        for _ in 0..self.queue.len() * 2 {
            if self.entries.len() <= self.entries_max {
                break;
            }
            let Some(key) = self.queue.pop_front() else {
                break;
            };
            let Some(entry) = self.entries.get_mut(&key) else {
                continue;
            };
            if entry.is_pinned() || entry.referenced {
                entry.referenced = false;
                self.queue.push_back(key);
            } else {
                self.entries.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genesis::ZERO_PAGE;

    const VAT: VatId = VatId(1);

    fn stage(cache: &mut PageCache, page: u32, start: usize, value: u8) {
        if !cache.contains((VAT, page)) {
            cache.insert((VAT, page), Arc::new(ZERO_PAGE));
        }
        cache.stage(
            VAT,
            &Run {
                page,
                start,
                bytes: &[value; 8],
            },
        );
    }

    #[test]
    fn a_sealed_frame_keeps_its_content_while_the_next_is_filled() {
        let mut cache = PageCache::new(10);
        stage(&mut cache, 3, 8, 1);
        stage(&mut cache, 3, 64, 1);
        let first = cache.take_staged();
        stage(&mut cache, 3, 8, 2);
        let second = cache.take_staged();
        assert_eq!(
            (first[0].start, first[0].end, first[0].content[8]),
            (8, 72, 1)
        );
        assert_eq!(
            (second[0].start, second[0].end, second[0].content[8]),
            (8, 16, 2)
        );
        assert_eq!(second[0].content[64], 1);
        assert_eq!(first[0].crc, crc32fast::hash(&first[0].content[..]));
        assert!(cache.take_staged().is_empty());
    }

    #[test]
    fn pages_of_frames_in_flight_stay_and_the_rest_is_bounded() {
        let mut cache = PageCache::new(4);
        (0..10).for_each(|page| stage(&mut cache, page, 0, 1));
        cache.trim();
        assert_eq!(cache.entries.len(), 10, "the frame being filled");
        let sealed = cache.take_staged();
        cache.trim();
        assert_eq!(cache.entries.len(), 10, "the sealed frame");
        drop(sealed);
        cache.trim();
        assert_eq!(cache.entries.len(), 4);
        assert_eq!(cache.queue.len(), 4);
    }
}
