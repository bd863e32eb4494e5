//! Showing an author the line that an error names.
//!
//! Promises: adds the line and a mark under the column where an error names `FILE:LINE` or
//! `FILE:LINE:COLUMN` of the sources; leaves every other error as it is, and one that shows its
//! line already. Does not know what went wrong.

use kenvat_syntax::near;

use crate::sources::Sources;
use crate::user_error::UserError;

/// How often a file's name is looked at in an error, which a program may have made.
const HITS_MAX: usize = 16;

impl Sources {
    /// Adds the author's line to an error that names one.
    pub fn point_out(&self, mut trouble: UserError) -> UserError {
        let said = format!("{}\n{}", trouble.message, trouble.stack);
        let Some(place) = self.place_in(&said) else {
            return trouble;
        };
        let (text, indent) = near(&place.line, place.column);
        let is_shown = match text.is_empty() {
            true => trouble.stack.contains(" | "),
            false => trouble.stack.contains(text),
        };
        if is_shown {
            return trouble;
        }
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
    fn place_in(&self, said: &str) -> Option<Place> {
        let places = self.files.iter().filter_map(|(file, text)| {
            let mut hits = said.match_indices(file.as_str()).take(HITS_MAX);
            hits.find_map(|(at, _)| {
                let numbers = said.get(at + file.len()..)?.strip_prefix(':')?;
                let (number, rest) = leading_number(numbers)?;
                let line = kenvat_syntax::line(text.as_bytes(), u32::try_from(number).ok()?)?;
                let line = String::from_utf8_lossy(line).into_owned();
                let column = rest.strip_prefix(':').and_then(leading_number);
                let column = column
                    .map(|(column, _)| column)
                    .or_else(|| column_of_quoted(said, &line))
                    .unwrap_or(1);
                let name = format!("{file}:{number}");
                Some((at, Place { name, line, column }))
            })
        });
        places.min_by_key(|(at, _)| *at).map(|(_, place)| place)
    }
}

/// A place in the author's files.
struct Place {
    /// `FILE:LINE`.
    name: String,
    line: String,
    /// Counts from 1.
    column: usize,
}

/// Where in a line the first text stands that an error quotes: errors of imports name no column.
fn column_of_quoted(said: &str, line: &str) -> Option<usize> {
    let quoted = said.split('\'').nth(1).filter(|text| !text.is_empty())?;
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$');
    let (at, _) = line.match_indices(quoted).find(|(at, _)| {
        let (before, after) = (line.get(..*at), line.get(at + quoted.len()..));
        let before = before.and_then(|before| before.chars().next_back());
        let after = after.and_then(|after| after.chars().next());
        !is_part(before) && !is_part(after)
    })?;
    Some(line.get(..at)?.chars().count() + 1)
}

fn leading_number(text: &str) -> Option<(usize, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit());
    let (number, rest) = text.split_at(digits.unwrap_or(text.len()));
    Some((number.parse().ok()?, rest))
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
        let trouble = UserError::usage(message, "");
        let trouble = UserError {
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
        assert_eq!(
            stack("'x' is not exported by c.js (b.js:1)", ""),
            "b.js:1:10\nimport { x } from './no.js';\n         ^"
        );
        assert_eq!(
            stack("'or' is not there (b.js:1)", ""),
            "b.js:1:1\nimport { x } from './no.js';\n^"
        );
    }

    #[test]
    fn what_shows_its_line_or_names_none_is_left_alone() {
        let whole = "    at a.js:2:6\n  2 |   two(\n    |      ^";
        assert_eq!(stack("no", whole), whole);
        let empty = "    at a.js:2:999\n  2 | \n    | ^";
        assert_eq!(stack("a.js:2:999: no", empty), empty);
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
}
