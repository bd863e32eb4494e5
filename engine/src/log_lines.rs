//! Cuts a piece of a log to whole lines.
//!
//! Promises: a piece begins and ends with a line, so pieces printed one after the other never break
//! a line or a character; each line is in one piece. Does not know where logs are.

use kenvat_core::api::LogChunk;
use kenvat_store::LogSlice;
use kenvat_wire::protocol::LOG_LINE_BYTES_MAX;

/// Bytes to read for a piece of at most `bytes_max`: at least the longest line, whose line breaks
/// are escaped, so that each piece has one.
pub(crate) fn bytes_to_read(bytes_max: usize) -> usize {
    bytes_max.max(2 * LOG_LINE_BYTES_MAX + LINE_HEAD_BYTES)
}

/// The whole lines of what was read for a piece asked for from `asked` on.
pub(crate) fn whole_lines(slice: LogSlice, asked: u64) -> LogChunk {
    let ends = slice.bytes.iter().rposition(|byte| *byte == b'\n');
    let end = ends.map_or(0, |at| at + 1);
    // What was rotated away ends anywhere, and so may the first line that is kept.
    let start = match slice.from > asked {
        true => slice.bytes.iter().position(|byte| *byte == b'\n'),
        false => None,
    };
    let start = start.map_or(0, |at| at + 1);
    let lines = slice.bytes.get(start..end).unwrap_or_default();
    LogChunk {
        text: String::from_utf8_lossy(lines).into_owned(),
        next: slice.from + end as u64,
        oldest: slice.oldest,
    }
}

/// Bytes of a turn's number, of a level and of what separates them, with plenty to spare.
const LINE_HEAD_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "1 log é€😀 one\n2 log two\n3 log é€😀 three\n";

    fn slice(from: usize, until: usize, oldest: u64) -> LogSlice {
        LogSlice {
            from: from as u64,
            bytes: LOG.as_bytes()[from..until].to_vec(),
            next: until as u64,
            oldest,
        }
    }

    #[test]
    fn pieces_of_any_length_are_whole_lines_and_nothing_is_left_out() {
        for bytes_max in 25..LOG.len() + 5 {
            let (mut from, mut text) = (0, String::new());
            while from < LOG.len() {
                let until = LOG.len().min(from + bytes_max);
                let piece = whole_lines(slice(from, until, 0), from as u64);
                assert!(piece.text.ends_with('\n'), "{bytes_max}: {piece:?}");
                assert!(piece.next > from as u64, "{bytes_max}: stands still");
                text += &piece.text;
                from = piece.next as usize;
            }
            assert_eq!(text, LOG, "{bytes_max}");
        }
    }

    #[test]
    fn what_rotation_left_of_a_line_is_left_out() {
        // Kept from the middle of a character on.
        let piece = whole_lines(slice(8, LOG.len(), 8), 0);
        assert_eq!(piece.text, "2 log two\n3 log é€😀 three\n");
        assert_eq!((piece.next, piece.oldest), (LOG.len() as u64, 8));
    }

    #[test]
    fn the_end_stands_still() {
        let end = LOG.len();
        let piece = whole_lines(slice(end, end, 0), end as u64);
        assert_eq!((piece.text.as_str(), piece.next), ("", end as u64));
    }
}
