//! Heap pages in memory: those that frames in flight changed, and hot ones.
//!
//! Promises: a page that a frame in flight changed stays here until the frame is applied, so that
//! content is never read from an image that does not have it yet. Its content as of each frame is
//! kept (copy on write), so that applying one frame never writes words of the next (I1). All other
//! pages are bounded. A page of zeros takes no memory. Does not read or write files.

use crate::delta::Run;
use crate::genesis::{Page, ZERO_PAGE};
use crate::ids::{PAGE_BYTES, VatId};
use crate::images;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Heap and page.
pub(crate) type PageKey = (VatId, u32);

/// The bytes of a page, shared by the frames in which they are the same.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// The counter only tells whether a frame in flight shares it.
    Zeros(Arc<()>),
    Bytes(Arc<Page>),
}

impl Content {
    pub(crate) fn bytes(&self) -> &Page {
        match self {
            Content::Zeros(_) => &ZERO_PAGE,
            Content::Bytes(page) => page,
        }
    }

    pub(crate) fn is_zeros(&self) -> bool {
        matches!(self, Content::Zeros(_))
    }

    fn is_shared(&self) -> bool {
        match self {
            Content::Zeros(counter) => Arc::strong_count(counter) > 1,
            Content::Bytes(page) => Arc::strong_count(page) > 1,
        }
    }

    fn make_mut(&mut self) -> &mut Page {
        if self.is_zeros() {
            *self = Content::Bytes(Arc::new(ZERO_PAGE));
        }
        match self {
            Content::Bytes(page) => Arc::make_mut(page),
            Content::Zeros(_) => unreachable!("just made bytes"),
        }
    }

    fn crc(&self) -> u32 {
        match self {
            Content::Zeros(_) => images::zero_page_crc(),
            Content::Bytes(page) => crc32fast::hash(&page[..]),
        }
    }
}

/// A page as of the end of a frame, and the range of bytes that the deltas of the frame change.
#[derive(Debug)]
pub(crate) struct DirtyPage {
    pub vat: VatId,
    pub page: u32,
    pub content: Content,
    pub start: usize,
    pub end: usize,
    pub crc: u32,
}

#[derive(Debug)]
struct Entry {
    content: Content,
    /// The range of bytes that the frame being filled changed.
    staged: Option<(usize, usize)>,
    /// Used since the eviction queue last visited it.
    referenced: bool,
    /// Writing it to its image needs no further space (I2).
    has_space: bool,
}

impl Entry {
    /// The frame being filled or one in flight needs the content.
    fn is_pinned(&self) -> bool {
        self.staged.is_some() || self.content.is_shared()
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

    /// Adds a page with the content of its image.
    pub(crate) fn insert(&mut self, key: PageKey, content: Content) {
        let entry = Entry {
            content,
            staged: None,
            referenced: true,
            has_space: false,
        };
        if self.entries.insert(key, entry).is_none() {
            self.queue.push_back(key);
        }
    }

    /// Whether a page in memory is known to have space in its image.
    pub(crate) fn has_space(&self, key: PageKey) -> bool {
        self.entries.get(&key).is_some_and(|entry| entry.has_space)
    }

    /// Records that a page in memory has space in its image.
    pub(crate) fn note_space(&mut self, key: PageKey) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.has_space = true;
        }
    }

    /// Changes pages for the frame being filled.
    ///
    /// # Panics
    /// If words of a page change that is not in memory; pages are loaded before.
    pub(crate) fn stage(&mut self, vat: VatId, run: &Run<'_>) {
        match *run {
            Run::Words { page, start, bytes } => self.stage_words((vat, page), start, bytes),
            Run::Zeros { .. } => run.pages().for_each(|page| self.stage_zeros((vat, page))),
        }
    }

    fn stage_words(&mut self, key: PageKey, start: usize, bytes: &[u8]) {
        let entry = self
            .entries
            .get_mut(&key)
            .expect("pages are loaded before they are changed");
        let end = start + bytes.len();
        entry.content.make_mut()[start..end].copy_from_slice(bytes);
        entry.referenced = true;
        entry.staged = match entry.staged {
            Some((from, to)) => Some((from.min(start), to.max(end))),
            None => {
                self.staged.push(key);
                Some((start, end))
            }
        };
    }

    fn stage_zeros(&mut self, key: PageKey) {
        let content = Content::Zeros(Arc::default());
        match self.entries.get_mut(&key) {
            Some(entry) => entry.content = content,
            None => self.insert(key, content),
        }
        let entry = self.entries.get_mut(&key).expect("put there if need be");
        // Zeros may become a hole.
        entry.has_space = false;
        if entry.staged.replace((0, PAGE_BYTES)).is_none() {
            self.staged.push(key);
        }
    }

    /// The pages that the frame being filled changed, sorted. The next frame begins with none.
    pub(crate) fn take_staged(&mut self) -> Vec<DirtyPage> {
        let mut keys = std::mem::take(&mut self.staged);
        keys.sort_unstable();
        let dirty = keys.into_iter().filter_map(|key| {
            let entry = self.entries.get_mut(&key)?;
            let (start, end) = entry.staged.take()?;
            let content = entry.content.clone();
            let crc = content.crc();
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

    /// Drops the pages of a vat, because its image is about to change otherwise. None may be in a
    /// frame in flight.
    pub(crate) fn forget(&mut self, vat: VatId) {
        self.entries
            .retain(|(of, _), entry| *of != vat || entry.is_pinned());
    }

    /// Drops pages past the bound that no frame in flight needs, least recently used first.
    pub(crate) fn trim(&mut self) {
        // Each page is visited at most twice: once to clear its mark, once to drop it.
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

    const VAT: VatId = VatId(1);

    fn stage(cache: &mut PageCache, page: u32, start: usize, value: u8) {
        if !cache.contains((VAT, page)) {
            cache.insert((VAT, page), Content::Bytes(Arc::new(ZERO_PAGE)));
        }
        let bytes = &[value; 8];
        cache.stage(VAT, &Run::Words { page, start, bytes });
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
            (first[0].start, first[0].end, first[0].content.bytes()[8]),
            (8, 72, 1)
        );
        assert_eq!(
            (second[0].start, second[0].end, second[0].content.bytes()[8]),
            (8, 16, 2)
        );
        assert_eq!(second[0].content.bytes()[64], 1);
        assert_eq!(first[0].crc, crc32fast::hash(first[0].content.bytes()));
        assert!(cache.take_staged().is_empty());
    }

    #[test]
    fn zeros_replace_what_was_staged_and_words_after_them_bring_the_whole_page() {
        let mut cache = PageCache::new(2);
        stage(&mut cache, 3, 8, 1);
        cache.stage(VAT, &Run::Zeros { page: 2, pages: 3 });
        let zeros = cache.take_staged();
        let places = |dirty: &[DirtyPage]| -> Vec<_> {
            let places = dirty
                .iter()
                .map(|d| (d.page, d.content.is_zeros(), d.start, d.end));
            places.collect()
        };
        let whole = |page| (page, true, 0, PAGE_BYTES);
        assert_eq!(places(&zeros), [whole(2), whole(3), whole(4)]);
        assert_eq!(zeros[0].crc, crc32fast::hash(&ZERO_PAGE));
        cache.stage(VAT, &Run::Zeros { page: 3, pages: 1 });
        stage(&mut cache, 3, 64, 7);
        let after = cache.take_staged();
        assert_eq!(places(&after), [(3, false, 0, PAGE_BYTES)]);
        assert_eq!(
            (after[0].content.bytes()[8], after[0].content.bytes()[64]),
            (0, 7)
        );
        assert!(
            zeros[1].content.is_zeros(),
            "the sealed frame keeps its own"
        );
        cache.trim();
        assert_eq!(cache.entries.len(), 3, "pages of frames in flight stay");
        drop((zeros, after));
        cache.trim();
        assert_eq!(cache.entries.len(), 2);
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
