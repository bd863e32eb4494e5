//! Showing an author the line that an error names.
//!
//! Promises: adds the line and a mark under the column where an error names `FILE:LINE` or
//! `FILE:LINE:COLUMN` of the sources; leaves every other error as it is, and one that shows its
//! line already. Does not know what went wrong.

use crate::people::Trouble;
use crate::sources::Sources;

/// Characters of a line that are shown: bundled sources have lines of megabytes.
const SHOWN_CHARS: usize = 160;

impl Sources {
    /// Adds the author's line to an error that names one.
    pub fn point_out(&self, mut trouble: Trouble) -> Trouble {
        let said = format!("{}\n{}", trouble.message, trouble.stack);
        let Some(place) = self.place_in(&said) else {
            return trouble;
        };
        if trouble.stack.contains(place.line) {
            return trouble;
        }
        let (text, indent) = near(place.line, place.column);
        let mark = format!("{}^", " ".repeat(indent));
        let shown = format!("{}:{}\n{text}\n{mark}", place.name, place.column);
        let rest = std::mem::take(&mut trouble.stack);
        trouble.stack = match rest.is_empty() {
            true => shown,
            false => format!("{shown}\n{rest}"),
        };
        trouble
    }

    /// The first place in one of these files that stands in a text.
    fn place_in(&self, said: &str) -> Option<Place<'_>> {
        let places = self.files.iter().filter_map(|(file, text)| {
            let mut hits = said.match_indices(file.as_str());
            hits.find_map(|(at, _)| {
                let numbers = said.get(at + file.len()..)?.strip_prefix(':')?;
                let (number, rest) = leading_number(numbers)?;
                let line = text.lines().nth(number.checked_sub(1)?)?;
                let column = rest.strip_prefix(':').and_then(leading_number);
                let column = column
                    .map(|(column, _)| column)
                    .or_else(|| column_of_quoted(said, line))
                    .unwrap_or(1);
                let name = format!("{file}:{number}");
                Some((at, Place { name, line, column }))
            })
        });
        places.min_by_key(|(at, _)| *at).map(|(_, place)| place)
    }
}

/// A place in the author's files.
struct Place<'a> {
    /// `FILE:LINE`.
    name: String,
    line: &'a str,
    /// Counts from 1.
    column: usize,
}

/// Where in a line the first text stands that an error quotes: errors of imports name no column.
fn column_of_quoted(said: &str, line: &str) -> Option<usize> {
    let quoted = said.split('\'').nth(1).filter(|text| !text.is_empty())?;
    let at = line.find(quoted)?;
    Some(line.get(..at)?.chars().count() + 1)
}

fn leading_number(text: &str) -> Option<(usize, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit());
    let (number, rest) = text.split_at(digits.unwrap_or(text.len()));
    Some((number.parse().ok()?, rest))
}

/// The part of a line around a column, and where in it the column is.
fn near(line: &str, column: usize) -> (&str, usize) {
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
    use super::*;

    fn sources() -> Sources {
        let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        Sources {
            entry: "a.js".into(),
            files: vec![
                file("a.js", "one\n  two(\nthree"),
                file("b.js", "import { x } from './no.js';"),
                file("lib/a.js", "x\ny\nz"),
            ],
        }
    }

    fn stack(message: &str, stack: &str) -> String {
        let trouble = Trouble::usage(message, "");
        let trouble = Trouble {
            stack: stack.into(),
            ..trouble
        };
        sources().point_out(trouble).stack
    }

    #[test]
    fn the_authors_line_is_shown() {
        assert_eq!(
            stack("SyntaxError: no", "    at a.js:2:6"),
            "a.js:2:6\n  two(\n     ^\n    at a.js:2:6"
        );
        assert_eq!(
            stack("no", "    at lib/a.js:3:1"),
            "lib/a.js:3:1\nz\n^\n    at lib/a.js:3:1"
        );
    }

    #[test]
    fn an_error_without_a_column_is_shown_where_what_it_quotes_stands() {
        assert_eq!(
            stack("cannot find './no.js' (imported by b.js:1)", ""),
            "b.js:1:20\nimport { x } from './no.js';\n                   ^"
        );
        assert_eq!(stack("bad (a.js:3)", ""), "a.js:3:1\nthree\n^");
    }

    #[test]
    fn what_shows_its_line_or_names_none_is_left_alone() {
        let whole = "    at a.js:2:6\n  2 |   two(\n    |      ^";
        assert_eq!(stack("no", whole), whole);
        for odd in [
            "c.js:2:6",
            "a.js:99:1",
            "a.js:0:0",
            "a.js::",
            "a.js",
            "a.js:99999999999999999999:1",
        ] {
            assert_eq!(stack(odd, ""), "", "{odd}");
        }
        assert_eq!(
            stack("a.js:2:99999999999999999", ""),
            "a.js:2:99999999999999999\n\n^"
        );
    }

    #[test]
    fn long_lines_are_shown_around_the_column() {
        let line = "é".repeat(100_000);
        let (text, indent) = near(&line, 50_000);
        let half = SHOWN_CHARS / 2;
        assert_eq!((text.chars().count(), indent), (SHOWN_CHARS, half));
        assert_eq!(near("ab", 500), ("", 0));
        assert_eq!(near("ab", usize::MAX), ("", 0));
    }
}
