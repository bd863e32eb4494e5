//! The part of a line that an error shows.

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

#[cfg(test)]
mod tests {
    use super::{SHOWN_CHARS, near};

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
}
