//! Reading an image against its page checksums, as fast as the machine does (I3).
//!
//! Promises: every page with data is read once and compared with its checksum, and every page
//! without data must be zeros. Differences are reported in the order of pages, however the work was
//! distributed. The calling thread alone reads small images, several threads read large ones,
//! because reading from the page cache and checksumming are both bound by the processor. Chunks are
//! small enough to stay in its cache until they are checksummed. Does not know where checksums come
//! from.

use crate::backend::File;
use crate::genesis::{Page, ZERO_PAGE};
use crate::ids::PAGE_BYTES;
use crate::images::zero_page_crc;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

/// Pages read at once: 128 KiB.
const CHUNK_PAGES: u32 = 32;
/// Pages for which a further thread is worth its start: 16 MiB, some milliseconds.
const THREAD_PAGES: usize = 4096;
const THREADS_MAX: usize = 4;

/// What is wrong with a page.
pub(crate) type Wrong = (u32, &'static str);

/// What a check found.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub read_bytes: u64,
    /// Pages that are not as expected, in order.
    pub wrong: Vec<Wrong>,
}

/// Checks the first `pages` pages of a file. `expected` has checksums in order of their pages; a
/// page it does not have is zeros. An error comes with the offset where it happened.
pub(crate) fn check<F: File>(
    file: &F,
    pages: u32,
    expected: &[(u32, u32)],
) -> Result<Checked, (u64, io::Error)> {
    let ranges = data(file, pages)?;
    let chunks: Vec<Range<u32>> = ranges.iter().flat_map(in_chunks).collect();
    let total: usize = ranges.iter().map(|range| range.len()).sum();
    let next = AtomicUsize::new(0);
    let work = || check_chunks(file, expected, &chunks, &next);
    let others = (total / THREAD_PAGES).min(threads() - 1);
    let mut parts = thread::scope(|scope| {
        let started: Vec<_> = (0..others).map(|_| scope.spawn(work)).collect();
        let mut parts = vec![work()];
        // A thread panics only where this one would have.
        parts.extend(started.into_iter().map(|thread| match thread.join() {
            Ok(part) => part,
            Err(panic) => std::panic::resume_unwind(panic),
        }));
        parts
    });
    let mut found = Checked {
        read_bytes: total as u64 * PAGE_BYTES as u64,
        wrong: holes(&ranges, expected),
    };
    // The first error in the file, whichever thread met it.
    parts.sort_by_key(|part| part.as_ref().err().map_or(u64::MAX, |(at, _)| *at));
    for part in parts {
        found.wrong.extend(part?);
    }
    found.wrong.sort_unstable();
    Ok(found)
}

fn threads() -> usize {
    let found = thread::available_parallelism().map_or(1, usize::from);
    found.min(THREADS_MAX)
}

/// The ranges of pages that may hold something other than zeros.
fn data<F: File>(file: &F, pages: u32) -> Result<Vec<Range<u32>>, (u64, io::Error)> {
    let mut found: Vec<Range<u32>> = Vec::new();
    let mut at = 0;
    while at < pages {
        let offset = u64::from(at) * PAGE_BYTES as u64;
        let Some(data) = file.next_data(offset).map_err(|error| (offset, error))? else {
            break;
        };
        let page = |offset: u64| u32::try_from(offset).unwrap_or(u32::MAX).min(pages);
        let start = page(data.start / PAGE_BYTES as u64).max(at);
        let end = page(data.end.div_ceil(PAGE_BYTES as u64));
        if start < end {
            found.push(start..end);
        }
        at = end.max(at + 1);
    }
    Ok(found)
}

fn in_chunks(range: &Range<u32>) -> impl Iterator<Item = Range<u32>> + use<> {
    let end = range.end;
    (range.start..end)
        .step_by(CHUNK_PAGES as usize)
        .map(move |first| first..end.min(first.saturating_add(CHUNK_PAGES)))
}

/// Checks chunks until none are left.
fn check_chunks<F: File>(
    file: &F,
    expected: &[(u32, u32)],
    chunks: &[Range<u32>],
    next: &AtomicUsize,
) -> Result<Vec<Wrong>, (u64, io::Error)> {
    let mut buffer = vec![0; CHUNK_PAGES as usize * PAGE_BYTES];
    let mut wrong = Vec::new();
    while let Some(chunk) = chunks.get(next.fetch_add(1, Relaxed)) {
        let bytes = buffer
            .get_mut(..chunk.len() * PAGE_BYTES)
            .unwrap_or_default();
        let offset = u64::from(chunk.start) * PAGE_BYTES as u64;
        file.read_at(offset, bytes)
            .map_err(|error| (offset, error))?;
        let from = expected.partition_point(|(page, _)| *page < chunk.start);
        let mut known = expected.iter().skip(from).peekable();
        for (page, content) in chunk.clone().zip(bytes.as_chunks::<PAGE_BYTES>().0) {
            let crc = known
                .next_if(|(known, _)| *known == page)
                .map(|(_, crc)| *crc);
            if !is_right(content, crc) {
                wrong.push((page, "does not match its checksum"));
            }
        }
    }
    Ok(wrong)
}

fn is_right(content: &Page, crc: Option<u32>) -> bool {
    match crc {
        Some(crc) => crc32fast::hash(content) == crc,
        None => *content == ZERO_PAGE,
    }
}

/// Pages that should hold data and lie in holes.
fn holes(ranges: &[Range<u32>], expected: &[(u32, u32)]) -> Vec<Wrong> {
    let zeros = zero_page_crc();
    let has_data = |page: u32| {
        let after = ranges.partition_point(|range| range.end <= page);
        ranges.get(after).is_some_and(|range| range.contains(&page))
    };
    expected
        .iter()
        .filter(|(page, crc)| *crc != zeros && !has_data(*page))
        .map(|(page, _)| (*page, "is missing: the file has a hole there"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;
    use crate::backend::memory::MemoryBackend;

    /// Enough for several threads, with an incomplete last chunk.
    const PAGES: u32 = 3 * THREAD_PAGES as u32 + 7;

    fn page_of(number: u32) -> Page {
        let mut page = ZERO_PAGE;
        page[..4].copy_from_slice(&number.to_le_bytes());
        page
    }

    #[test]
    fn i3_what_differs_is_told_in_order_however_many_read() {
        let backend = MemoryBackend::new();
        let file = backend.create("image").expect("a file");
        let place = |page: u32| u64::from(page) * PAGE_BYTES as u64;
        file.set_len(place(PAGES)).expect("a length");
        // Holes among the data: pages 1,000 to 1,099 of each 2,000.
        let has_data = |page: &u32| !(1_000..1_100).contains(&(page % 2_000));
        for page in (1..PAGES).filter(has_data) {
            file.write_at(place(page), &page_of(page)).expect("written");
        }
        let mut expected: Vec<(u32, u32)> = (1..PAGES)
            .filter(has_data)
            .map(|page| (page, crc32fast::hash(&page_of(page))))
            .collect();
        let found = check(&file, PAGES, &expected).expect("read");
        assert_eq!(found.wrong, []);
        let data = expected.len() as u64 * PAGE_BYTES as u64;
        assert!(found.read_bytes >= data && found.read_bytes <= place(PAGES));

        // Three that differ, one that should be zeros, one that should not.
        for page in [PAGES - 1, 31, 5_000] {
            file.write_at(place(page) + 100, &[1]).expect("written");
        }
        expected.retain(|(page, _)| *page != 6_000);
        expected.push((3_050, 77));
        expected.sort_unstable();
        let found = check(&file, PAGES, &expected).expect("read");
        let wrong: Vec<u32> = found.wrong.iter().map(|(page, _)| *page).collect();
        assert_eq!(wrong, [31, 3_050, 5_000, 6_000, PAGES - 1]);
        assert!(check(&file, PAGES + 40, &expected).is_ok());
    }
}
