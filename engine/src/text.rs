//! Text that is kept within a number of bytes, and text that stays on one line.

/// The longest beginning of `text` that has at most so many bytes and ends at a whole character.
pub(crate) fn beginning(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Characters of a line that an error shows: bundled sources have lines of megabytes.
const SHOWN_CHARS: usize = 160;

/// The part of a line around a column, which counts from 1, and how many characters of it come
/// before that column.
pub fn near(line: &str, column: usize) -> (&str, usize) {
    let column = column.saturating_sub(1);
    let first = column.saturating_sub(SHOWN_CHARS / 2);
    let offset = |chars: usize| {
        let mut places = line.char_indices().skip(chars);
        places.next().map_or(line.len(), |(at, _)| at)
    };
    let (start, end) = (offset(first), offset(first.saturating_add(SHOWN_CHARS)));
    let shown = line.get(start..end).unwrap_or_default();
    (shown, (column - first).min(shown.chars().count()))
}

/// Appends `text` as it stands in a log: one line, and nothing in it that moves a terminal.
pub(crate) fn push_escaped(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\\' => out.push_str("\\\\"),
            // Other control characters would reach a terminal through `kenvat logs`.
            c if c.is_control() && c != '\t' => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
}

/// Bytes `push_escaped` appends.
pub(crate) fn escaped_bytes(text: &str) -> usize {
    let bytes = text.chars().map(|character| match character {
        '\n' | '\r' | '\\' => 2,
        c if c.is_control() && c != '\t' => c.escape_unicode().len(),
        c => c.len_utf8(),
    });
    bytes.sum()
}

#[cfg(test)]
mod tests {
    use super::{SHOWN_CHARS, beginning, escaped_bytes, near, push_escaped};

    #[test]
    fn long_lines_are_shown_around_the_column() {
        let line = "é".repeat(100_000);
        let (text, before) = near(&line, 50_000);
        let half = SHOWN_CHARS / 2;
        assert_eq!((text.chars().count(), before), (SHOWN_CHARS, half));
        assert_eq!(near("ab", 2), ("ab", 1));
        assert_eq!(near("ab", 500), ("", 0));
        assert_eq!(near("ab", usize::MAX), ("", 0));
    }

    #[test]
    fn escaped_text_is_as_long_as_was_counted() {
        let mut all: String = (0..=0xffu8).map(char::from).collect();
        all.push_str("aé\u{202e}𐍈");
        let mut out = String::new();
        push_escaped(&mut out, &all);
        assert_eq!(escaped_bytes(&all), out.len());
        assert!(
            out.contains("\\n\\u{b}\\u{c}\\r") && !out.contains('\u{1b}'),
            "{out}"
        );
    }

    #[test]
    fn a_character_is_kept_whole_or_not_at_all() {
        assert_eq!(beginning("aé", 2), "a");
        assert_eq!(beginning("aé", 3), "aé");
        assert_eq!(beginning("é", 0), "");
    }
}
