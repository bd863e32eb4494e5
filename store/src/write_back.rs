//! Syncing what a fold has changed in pieces, each where `throttle` has a place for it.
//!
//! Promises: when it returns, the file is synced as by `sync_data`, which is the last thing done
//! and is what counts; what goes to the disk before it is there to leave it little. So a change
//! that is not named here costs time and no more. An error on the way is one of a sync: the disk
//! may tell it once only.

use crate::backend::File;
use crate::ids::PAGE_BYTES;
use crate::write_throttle::{CHUNK_BYTES, SYNC_BYTES, WriteThrottle};
use std::io;
use std::ops::Range;

/// Changed pages in a piece.
const CHUNK_PAGES: usize = (CHUNK_BYTES / PAGE_BYTES as u64) as usize;
/// Pages from a piece's first to its last: those between may have been changed by later frames, and
/// go with it.
const SPAN_PAGES: u32 = 1024;

/// Syncs an image of which these pages were changed.
pub(crate) fn sync_pages<F: File>(
    file: &F,
    mut changed: Vec<u32>,
    throttle: &WriteThrottle,
) -> io::Result<()> {
    changed.sort_unstable();
    let page = PAGE_BYTES as u64;
    let chunks = chunks(&changed).into_iter().map(|(pages, count)| {
        let range = u64::from(pages.start) * page..u64::from(pages.end) * page;
        (range, count as u64 * page)
    });
    sync(file, chunks, throttle)
}

/// Syncs a file in which a stretch was written whole.
pub(crate) fn sync_range<F: File>(
    file: &F,
    written: Range<u64>,
    throttle: &WriteThrottle,
) -> io::Result<()> {
    let starts = written.clone().step_by(CHUNK_BYTES as usize);
    let chunks = starts.map(|at| {
        let end = written.end.min(at + CHUNK_BYTES);
        (at..end, end - at)
    });
    sync(file, chunks, throttle)
}

/// Syncs a file with changes in these stretches, of so many bytes each. The last piece is what the
/// sync itself finds: a file with one costs no more than its sync.
fn sync<F: File>(
    file: &F,
    chunks: impl Iterator<Item = (Range<u64>, u64)>,
    throttle: &WriteThrottle,
) -> io::Result<()> {
    let mut chunks = chunks.peekable();
    let mut last = 0;
    while let Some((range, bytes)) = chunks.next() {
        if chunks.peek().is_none() {
            last = bytes;
        } else {
            throttle.before(bytes);
            file.write_back(range)?;
        }
    }
    throttle.before(last + SYNC_BYTES);
    file.sync_data()
}

/// Sorted pages in pieces: from where to where each goes, and how many changed pages are in it.
fn chunks(sorted: &[u32]) -> Vec<(Range<u32>, usize)> {
    let mut chunks: Vec<(Range<u32>, usize)> = Vec::new();
    for &page in sorted {
        match chunks.last_mut() {
            Some((pages, count)) if *count < CHUNK_PAGES && page - pages.start < SPAN_PAGES => {
                pages.end = page + 1;
                *count += 1;
            }
            _ => chunks.push((page..page + 1, 1)),
        }
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_in_one_chunks_and_no_chunks_is_large_or_wide() {
        let pages: Vec<u32> = (0..100).chain([5_000, 5_001, 9_000]).collect();
        let found = chunks(&pages);
        assert_eq!(found.iter().map(|(_, count)| count).sum::<usize>(), 103);
        for &page in &pages {
            let holding = found.iter().filter(|(pages, _)| pages.contains(&page));
            assert_eq!(holding.count(), 1, "{page}");
        }
        for (pages, count) in &found {
            assert!(*count <= CHUNK_PAGES && pages.len() <= SPAN_PAGES as usize);
        }
        assert_eq!(found.len(), 4 + 2);
        assert_eq!(chunks(&[]), []);
    }
}
