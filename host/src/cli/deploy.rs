//! `kenvat deploy`, and what `run` shares with it.
//!
//! Promises: a program that does not start leaves no vat, and its author sees file, line, column
//! and the line itself. Does not serve.

use std::fmt::Write as _;
use std::path::Path;

use tokio::time::Instant;

use crate::cli::args::{DeployArgs, SourceArgs};
use crate::cli::voice::{Voice, program};
use crate::cli::{ask, give};
use crate::control::place::{self, WAIT_MAX};
use crate::control::protocol::Ask;
use crate::control::report::DeployedSheet;
use crate::people::Trouble;
use crate::sources::{self, Sources, names};

/// Makes a vat in the store, which is made too if it is not there.
pub async fn deploy(dir: &Path, args: DeployArgs, voice: &Voice) -> Result<(), Trouble> {
    let name = names::checked(&args.name)?;
    let (sources, give) = read(&args.source)?;
    let place = place::reach(dir, Instant::now() + WAIT_MAX).await?;
    let question = ask_for(&name, &sources, give);
    let sheet: DeployedSheet = ask::once_in(place, question)
        .await
        .map_err(|trouble| point_out(trouble, &sources))?;
    voice.result(&sheet, || {
        let mut text = format!("{name} is deployed");
        if let Some(url) = &sheet.url {
            let _ = write!(text, "; the gateway serves it at {url}");
        }
        let _ = write!(text, "\n  {} call {name} METHOD …", program(dir));
        text
    });
    Ok(())
}

/// What the arguments name, read and checked before any store is touched.
pub fn read(args: &SourceArgs) -> Result<(Sources, Vec<(String, String)>), Trouble> {
    Ok((sources::collect(&args.file)?, give::parse(&args.give)?))
}

/// The question that makes the vat.
pub fn ask_for(name: &str, sources: &Sources, give: Vec<(String, String)>) -> Ask {
    Ask::Deploy {
        name: name.to_owned(),
        entry: sources.entry.clone(),
        files: sources.files.clone(),
        give,
    }
}

/// Adds the author's line to an error that names one.
pub fn point_out(mut trouble: Trouble, sources: &Sources) -> Trouble {
    let said = format!("{}\n{}", trouble.message, trouble.stack);
    let Some(place) = place_in(&said, sources) else {
        return trouble;
    };
    let mut shown = format!(
        "{}:{}:{}\n{}",
        place.file, place.line, place.column, place.text
    );
    let _ = write!(shown, "\n{}^", " ".repeat(place.indent));
    if !trouble.stack.is_empty() {
        let _ = write!(shown, "\n{}", trouble.stack);
    }
    trouble.stack = shown;
    trouble
}

/// A place in the author's files.
struct SourcePlace<'a> {
    file: &'a str,
    line: usize,
    column: usize,
    /// The line, or what of it is near the column.
    text: &'a str,
    /// Where in `text` the column is.
    indent: usize,
}

/// The first `FILE:LINE:COLUMN` of one of the sources that stands in a text.
fn place_in<'a>(said: &str, sources: &'a Sources) -> Option<SourcePlace<'a>> {
    let places = sources.files.iter().filter_map(|(file, text)| {
        said.match_indices(file.as_str()).find_map(|(at, _)| {
            let mut numbers = said.get(at + file.len()..)?.strip_prefix(':')?.split(':');
            let line = leading_number(numbers.next()?)?;
            let column = leading_number(numbers.next()?)?;
            let whole = text.lines().nth(line.checked_sub(1)?)?;
            let (text, indent) = near(whole, column);
            Some((
                at,
                SourcePlace {
                    file,
                    line,
                    column,
                    text,
                    indent,
                },
            ))
        })
    });
    places.min_by_key(|(at, _)| *at).map(|(_, place)| place)
}

fn leading_number(text: &str) -> Option<usize> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.get(..digits)?.parse().ok()
}

/// At most `SHOWN_CHARS` of a line around a column: bundled sources have lines of megabytes.
fn near(line: &str, column: usize) -> (&str, usize) {
    let column = column.saturating_sub(1);
    let first = column.saturating_sub(SHOWN_CHARS / 2);
    let offset = |chars: usize| {
        line.char_indices()
            .nth(chars)
            .map_or(line.len(), |(at, _)| at)
    };
    let shown = line
        .get(offset(first)..offset(first + SHOWN_CHARS))
        .unwrap_or_default();
    (shown, (column - first).min(shown.chars().count()))
}

const SHOWN_CHARS: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(message: &str, stack: &str) -> Trouble {
        Trouble {
            stack: stack.into(),
            ..Trouble::usage(message, "")
        }
    }

    #[test]
    fn the_authors_line_is_shown() {
        let files = vec![
            ("a.js".to_owned(), "one\n  two(\nthree".to_owned()),
            ("lib/a.js".to_owned(), "x\ny\nz".to_owned()),
        ];
        let sources = Sources {
            entry: "a.js".into(),
            files,
        };
        let shown = point_out(trouble("SyntaxError: no", "    at a.js:2:6"), &sources);
        assert_eq!(shown.stack, "a.js:2:6\n  two(\n     ^\n    at a.js:2:6");
        let none = point_out(trouble("no", "    at b.js:2:6"), &sources);
        assert_eq!(none.stack, "    at b.js:2:6");
        for odd in [
            "a.js:99:1",
            "a.js:0:0",
            "a.js:2",
            "a.js::",
            "a.js:99999999999999999999:1",
        ] {
            assert_eq!(point_out(trouble(odd, ""), &sources).stack, "", "{odd}");
        }
    }

    #[test]
    fn long_lines_are_shown_around_the_column() {
        let line = "é".repeat(100_000);
        let (text, indent) = near(&line, 50_000);
        assert_eq!(
            (text.chars().count(), indent),
            (SHOWN_CHARS, SHOWN_CHARS / 2)
        );
        assert_eq!(near("ab", 500), ("", 0));
    }
}
