//! Deltas: which words of a heap changed, as bytes.
//!
//! A run is `page: u32 LE, first_word: u16 LE, words: u16 LE`, then `words` times 8 bytes. Runs are
//! sorted by (page, first_word), disjoint, inside one page. The header comes first so that a reader
//! can check a run's size before it touches its words. Does not know where pages come from.

use super::layout::{PAGE_WORDS, Page};

/// Bytes of a run's header: as many as one word, so two runs one word apart cost the same as one.
pub const RUN_HEADER_BYTES: usize = 8;

/// Appends the runs of words in which `new` differs from `old`; tells whether there were any.
pub fn append_page(out: &mut Vec<u8>, page: u32, old: &Page, new: &Page) -> bool {
    let start = out.len();
    let mut word = 0;
    while let Some(first) = next_difference(old, new, word) {
        let end = run_end(old, new, first);
        append_run(out, page, first, &new.0[first..end]);
        word = end;
    }
    out.len() > start
}

/// The first word from `from` on that differs.
fn next_difference(old: &Page, new: &Page, from: usize) -> Option<usize> {
    let pairs = old.0[from..].iter().zip(&new.0[from..]);
    pairs
        .enumerate()
        .find(|(_, (old, new))| old != new)
        .map(|(at, _)| from + at)
}

/// One past the last word of the run that begins at `first`: a single equal word does not end it,
/// since a new header would cost as much.
fn run_end(old: &Page, new: &Page, first: usize) -> usize {
    let differs = |word: usize| word < PAGE_WORDS && old.0[word] != new.0[word];
    let mut end = first + 1;
    loop {
        if differs(end) {
            end += 1;
        } else if differs(end + 1) {
            end += 2;
        } else {
            return end;
        }
    }
}

fn append_run(out: &mut Vec<u8>, page: u32, first: usize, words: &[u64]) {
    out.extend_from_slice(&page.to_le_bytes());
    // Both fit: a page has 512 words.
    out.extend_from_slice(&(first as u16).to_le_bytes());
    out.extend_from_slice(&(words.len() as u16).to_le_bytes());
    for word in words {
        out.extend_from_slice(&word.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(changes: &[usize]) -> Vec<(usize, usize)> {
        let mut new = Page::ZERO;
        for word in changes {
            new.0[*word] = 7;
        }
        let mut out = Vec::new();
        assert_eq!(
            append_page(&mut out, 3, &Page::ZERO, &new),
            !changes.is_empty()
        );
        let mut found = Vec::new();
        let mut rest = out.as_slice();
        while let Some((header, tail)) = rest.split_at_checked(RUN_HEADER_BYTES) {
            assert_eq!(header[..4], 3u32.to_le_bytes());
            let first = u16::from_le_bytes([header[4], header[5]]) as usize;
            let words = u16::from_le_bytes([header[6], header[7]]) as usize;
            found.push((first, words));
            rest = &tail[words * 8..];
        }
        assert!(rest.is_empty());
        found
    }

    #[test]
    fn runs_one_word_apart_become_one_and_two_words_apart_stay_two() {
        assert_eq!(runs(&[]), []);
        assert_eq!(runs(&[5]), [(5, 1)]);
        assert_eq!(runs(&[5, 7]), [(5, 3)]);
        assert_eq!(runs(&[5, 8]), [(5, 1), (8, 1)]);
        assert_eq!(runs(&[0, 1, 2, 509, 511]), [(0, 3), (509, 3)]);
        assert_eq!(
            runs(&(0..PAGE_WORDS).collect::<Vec<_>>()),
            [(0, PAGE_WORDS)]
        );
    }
}
