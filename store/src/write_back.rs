//! Syncing what a fold changed, in chunks, each when the write throttle admits it.
//!
//! Promises: on return the file is synced as by `sync_data`, which comes last and is what counts.
//! What goes to the disk before leaves it less to do, so a change that is not named here costs only
//! time. An error on the way counts like one of the sync, because the disk may report it only once.

use crate::backend::File;
use crate::ids::PAGE_BYTES;
use crate::write_throttle::{CHUNK_BYTES, SYNC_BYTES, WriteThrottle};
use std::io;
use std::ops::Range;

/// Changed pages in a chunk.
const CHUNK_PAGES: usize = (CHUNK_BYTES / PAGE_BYTES as u64) as usize;
/// The span of pages in a chunk: later frames may have changed pages in between, which are written
/// with it.
const SPAN_PAGES: u32 = 1024;

/// Syncs an image in which these pages were changed.
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

/// Syncs a file in which a range was written.
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

/// Syncs a file with changes in these ranges, of the given numbers of bytes. The last chunk is left
/// to the sync itself, so a file with one chunk costs no more than its sync.
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

/// Groups sorted pages into chunks: the range of each, and how many changed pages it has.
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
    fn every_page_is_in_one_chunk_and_no_chunk_is_large_or_wide() {
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
