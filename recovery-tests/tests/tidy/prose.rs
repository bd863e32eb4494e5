//! What people read in a file: the comments of code, and the whole of a document.
//!
//! Promises: every word keeps the number of its line. Knows Rust's, JavaScript's and the shell's
//! comments well enough for files that rustfmt and reviewers have seen; does not parse.

use super::Source;

/// A word of a comment or document, as it stands between two blanks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    pub line: usize,
    pub text: &'a str,
}

/// The words of everything in the file that is not code.
pub fn words(source: &Source) -> Vec<Word<'_>> {
    let lines = source.text.lines().zip(1..);
    let prose = lines.map(|(line, at)| (at, prose_of(source, line)));
    prose
        .flat_map(|(line, prose)| {
            prose
                .split_whitespace()
                .map(move |text| Word { line, text })
        })
        .collect()
}

/// The part of a line that is prose; empty where there is none.
fn prose_of<'a>(source: &Source, line: &'a str) -> &'a str {
    let start = line.trim_start();
    match source.path.rsplit('.').next().unwrap_or_default() {
        "md" => line,
        "rs" | "js" | "ts" => {
            let block = start.starts_with("/*") || start.starts_with("* ");
            if let Some(comment) = start.strip_prefix("//") {
                comment.trim_start_matches(['/', '!'])
            } else if block {
                start
            } else {
                line.split_once(" // ").map_or("", |(_, comment)| comment)
            }
        }
        _ => start.strip_prefix('#').unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(path: &str, text: &str) -> Vec<(usize, String)> {
        let source = Source {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let found = words(&source);
        found.iter().map(|w| (w.line, w.text.to_owned())).collect()
    }

    #[test]
    fn comments_are_prose_and_code_is_not() {
        let rust = "//! a b\nlet c = \"//d\"; // e\n    /// f\n";
        let expected = [(1, "a"), (1, "b"), (2, "e"), (3, "f")].map(|(at, w)| (at, w.to_owned()));
        assert_eq!(texts("x.rs", rust), expected);
        assert_eq!(texts("x.toml", "# a\nb = 1\n"), [(1, "a".to_owned())]);
        assert_eq!(texts("x.md", "a\n"), [(1, "a".to_owned())]);
    }
}
