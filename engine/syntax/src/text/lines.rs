//! Lines as the engine counts them.
//!
//! A line ends at a line feed, a carriage return, both in this order, U+2028 and U+2029, but not at
//! all of these in comments and strings. So tokens are read for as long as they can be, and only
//! what lies behind the last one is cut without looking. Total and linear.

use crate::Goal;
use crate::lex::{Place, TokenKind};
use crate::scan::Scanner;

/// One line of a text, counted from 1, without its end.
pub fn line(text: &[u8], number: u32) -> Option<&[u8]> {
    let anchor = anchor(text, |place| place.line <= number);
    let (mut at, mut count) = (anchor.line_start as usize, anchor.line.max(1));
    while count < number {
        at = next_line(text, at)?;
        count += 1;
    }
    let rest = text.get(at..).filter(|_| number > 0)?;
    let end = (0..rest.len()).find(|at| line_end(rest, *at) > 0);
    rest.get(..end.unwrap_or(rest.len()))
}

/// The line of an offset, counted from 1, and where it begins.
pub fn line_of(text: &[u8], offset: usize) -> (u32, usize) {
    let anchor = anchor(text, |place| place.offset as usize <= offset);
    let (mut start, mut number) = (anchor.line_start as usize, anchor.line.max(1));
    let mut at = anchor.offset as usize;
    while let Some(next) = next_line(text, at).filter(|next| *next <= offset) {
        (start, at) = (next, next);
        number += 1;
    }
    (number, start)
}

/// Where the last token stands that is wanted, before the first that is not.
fn anchor(text: &[u8], wanted: impl Fn(Place) -> bool) -> Place {
    let mut last = Place::default();
    if text.len() > u32::MAX as usize {
        return last;
    }
    let mut scanner = Scanner::new(text, Goal::Module);
    scanner.each_place(|place, kind| {
        let is_wanted = wanted(place);
        if is_wanted {
            last = place;
        }
        is_wanted && kind != TokenKind::End
    });
    last
}

/// Where the line after the one of this place begins.
fn next_line(text: &[u8], from: usize) -> Option<usize> {
    (from..text.len()).find_map(|at| match line_end(text, at) {
        0 => None,
        length => Some(at + length),
    })
}

/// Bytes of a line's end that stands here.
fn line_end(text: &[u8], at: usize) -> usize {
    match text.get(at..).unwrap_or_default() {
        [b'\r', b'\n', ..] => 2,
        [b'\n' | b'\r', ..] => 1,
        [0xE2, 0x80, 0xA8 | 0xA9, ..] => 3,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::{line, line_of};

    #[test]
    fn lines_end_where_the_engine_says() {
        let text =
            "a\nb\r\nc\rd\u{2028}e\u{2029}/* \r */ f\n'\u{2028}' ! g `\r`\nlast ! one".as_bytes();
        let shown =
            |number| line(text, number).map(|line| String::from_utf8_lossy(line).into_owned());
        let lines = ["a", "b", "c", "d", "e"];
        for (number, expected) in (1..).zip(lines) {
            assert_eq!(shown(number).as_deref(), Some(expected));
        }
        let at = text.iter().position(|byte| *byte == b'f').unwrap();
        assert_eq!(
            line_of(text, at).0,
            6,
            "a comment's carriage return is none"
        );
        let at = text.windows(4).position(|word| word == b"last").unwrap();
        let (number, start) = line_of(text, at);
        assert_eq!((start, shown(number).as_deref()), (at, Some("last ! one")));
        assert_eq!((shown(0), shown(number + 1)), (None, None));
        assert_eq!((line(b"", 1), line_of(b"", 0)), (Some(&b""[..]), (1, 0)));
    }

    #[test]
    fn what_cannot_be_read_is_cut_without_looking() {
        let text = b"`${\n(\n' x\n\n# ?";
        assert_eq!(line(text, 5), Some(&b"# ?"[..]));
        assert_eq!(line_of(text, text.len()), (5, 11));
    }
}
