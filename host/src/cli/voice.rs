//! Printing: results on stdout, everything else on stderr.
//!
//! Promises: a reader that went away (a closed pipe) is no error; text of vats is printed without
//! control characters where a person reads it. Does not decide what is said.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use serde::Serialize;

use crate::people::{Trouble, plain};

/// The program with what it needs to find this store again, as one would type it.
pub fn program(dir: &Path) -> String {
    let by_itself = match std::env::var_os("KENVAT_DATA") {
        Some(named) => Path::new(&named) == dir,
        None => dir == Path::new(".kenvat"),
    };
    if by_itself {
        "kenvat".to_owned()
    } else {
        format!("kenvat --data {}", quoted(dir))
    }
}

/// A path as a shell reads it back.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_');
    if text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// How this run speaks.
#[derive(Clone, Copy, Debug)]
pub struct Voice {
    json: bool,
    verbose: bool,
}

impl Voice {
    pub fn new(json: bool, verbose: bool) -> Voice {
        Voice { json, verbose }
    }

    /// Whether programs read the results.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// One result: JSON for programs, lines for people.
    pub fn result<T: Serialize>(self, report: &T, lines: impl FnOnce() -> String) {
        if self.json {
            let text = serde_json::to_string(report).expect("reports hold only what JSON can say");
            self.line(&text);
        } else {
            self.line(&plain(&lines()));
        }
    }

    /// One line on stdout as it is; nothing for no text.
    pub fn line(self, text: &str) {
        if !text.is_empty() {
            let mut out = io::stdout().lock();
            let _ = writeln!(out, "{text}").and_then(|()| out.flush());
        }
    }

    /// Something a person should know.
    pub fn note(self, text: &str) {
        let _ = writeln!(io::stderr(), "{}", plain(text));
    }

    /// Something a curious person wants to know.
    pub fn detail(self, text: &str) {
        if self.verbose {
            self.note(text);
        }
    }

    /// An error.
    pub fn trouble(self, trouble: &Trouble) {
        let text = if self.json {
            trouble.json()
        } else {
            trouble.sentence()
        };
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// Asks before something that cannot be undone; refuses where nobody can answer.
    pub fn confirm(self, question: &str, yes: bool) -> Result<(), Trouble> {
        if yes {
            return Ok(());
        }
        if self.json || !io::stdin().is_terminal() {
            let message = format!("{question} Nobody is here to answer");
            return Err(Trouble::usage(message, "say --yes if that is meant"));
        }
        let _ = write!(io::stderr(), "{} [y/N] ", plain(question));
        let mut answer = String::new();
        let _ = io::stdin().lock().read_line(&mut answer);
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Trouble::usage("nothing was done", "")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_quoted_where_a_shell_would_split_it() {
        assert_eq!(quoted(Path::new("/srv/a-b_c.d")), "/srv/a-b_c.d");
        assert_eq!(quoted(Path::new("my vats")), "'my vats'");
        assert_eq!(quoted(Path::new("it's")), r"'it'\''s'");
    }
}
