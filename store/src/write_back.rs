//! Syncing what a fold has changed in pieces, each where `pace` has a place for it.
//!
//! Promises: when it returns, the file is synced as by `sync_data`, which is the last thing done
//! and is what counts; what goes to the disk before it is there to leave it little. So a change
//! that is not named here costs time and no more. An error on the way is one of a sync: the disk
//! may tell it once only.

use crate::backend::File;
use crate::ids::PAGE_BYTES;
use crate::pace::{PIECE_BYTES, Pace, SYNC_BYTES};
use std::io;
use std::ops::Range;

/// Changed pages in a piece.
const PIECE_PAGES: usize = (PIECE_BYTES / PAGE_BYTES as u64) as usize;
/// Pages from a piece's first to its last: those between may have been changed by later frames, and
/// go with it.
const SPAN_PAGES: u32 = 1024;

/// Syncs an image of which these pages were changed.
pub(crate) fn sync_pages<F: File>(file: &F, mut changed: Vec<u32>, pace: &Pace) -> io::Result<()> {
    changed.sort_unstable();
    let page = PAGE_BYTES as u64;
    let pieces = pieces(&changed).into_iter().map(|(pages, count)| {
        let stretch = u64::from(pages.start) * page..u64::from(pages.end) * page;
        (stretch, count as u64 * page)
    });
    sync(file, pieces, pace)
}

/// Syncs a file in which a stretch was written whole.
pub(crate) fn sync_stretch<F: File>(file: &F, written: Range<u64>, pace: &Pace) -> io::Result<()> {
    let starts = written.clone().step_by(PIECE_BYTES as usize);
    let pieces = starts.map(|at| {
        let end = written.end.min(at + PIECE_BYTES);
        (at..end, end - at)
    });
    sync(file, pieces, pace)
}

/// Syncs a file with changes in these stretches, of so many bytes each. The last piece is what the
/// sync itself finds: a file with one costs no more than its sync.
fn sync<F: File>(
    file: &F,
    pieces: impl Iterator<Item = (Range<u64>, u64)>,
    pace: &Pace,
) -> io::Result<()> {
    let mut pieces = pieces.peekable();
    let mut last = 0;
    while let Some((stretch, bytes)) = pieces.next() {
        if pieces.peek().is_none() {
            last = bytes;
        } else {
            pace.before(bytes);
            file.write_back(stretch)?;
        }
    }
    pace.before(last + SYNC_BYTES);
    file.sync_data()
}

/// Sorted pages in pieces: from where to where each goes, and how many changed pages are in it.
fn pieces(sorted: &[u32]) -> Vec<(Range<u32>, usize)> {
    let mut pieces: Vec<(Range<u32>, usize)> = Vec::new();
    for &page in sorted {
        match pieces.last_mut() {
            Some((pages, count)) if *count < PIECE_PAGES && page - pages.start < SPAN_PAGES => {
                pages.end = page + 1;
                *count += 1;
            }
            _ => pieces.push((page..page + 1, 1)),
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_in_one_piece_and_no_piece_is_large_or_wide() {
        let pages: Vec<u32> = (0..100).chain([5_000, 5_001, 9_000]).collect();
        let found = pieces(&pages);
        assert_eq!(found.iter().map(|(_, count)| count).sum::<usize>(), 103);
        for &page in &pages {
            let holding = found.iter().filter(|(pages, _)| pages.contains(&page));
            assert_eq!(holding.count(), 1, "{page}");
        }
        for (pages, count) in &found {
            assert!(*count <= PIECE_PAGES && pages.len() <= SPAN_PAGES as usize);
        }
        assert_eq!(found.len(), 4 + 2);
        assert_eq!(pieces(&[]), []);
    }
}
