//! The reporter prints results on stdout and everything else on stderr.
//!
//! Promises: a reader that closed its pipe causes no error; text of vats is printed without control
//! characters where a person reads it. Does not decide what is printed.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use serde::Serialize;

use crate::user_error::{UserError, plain};

/// The beginning of a command line that finds this store again, as a person would type it.
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

/// A path, quoted so that a shell reads it back unchanged.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_');
    if text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Prints in the form that was asked for on the command line.
#[derive(Clone, Copy, Debug)]
pub struct Reporter {
    json: bool,
    verbose: bool,
}

impl Reporter {
    pub fn new(json: bool, verbose: bool) -> Reporter {
        Reporter { json, verbose }
    }

    /// Whether results are printed as JSON.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// Prints one result: as JSON with `--json`, else as the given lines.
    pub fn result<T: Serialize>(self, report: &T, lines: impl FnOnce() -> String) {
        if self.json {
            let text = serde_json::to_string(report).expect("reports hold only what JSON can say");
            self.line(&text);
        } else {
            self.line(&plain(&lines()));
        }
    }

    /// Prints one line on stdout unchanged; prints nothing for an empty text.
    pub fn line(self, text: &str) {
        if !text.is_empty() {
            let mut out = io::stdout().lock();
            let _ = writeln!(out, "{text}").and_then(|()| out.flush());
        }
    }

    /// Prints a remark on stderr.
    pub fn note(self, text: &str) {
        let _ = writeln!(io::stderr(), "{}", plain(text));
    }

    /// Prints a remark on stderr if `--verbose` was given.
    pub fn detail(self, text: &str) {
        if self.verbose {
            self.note(text);
        }
    }

    /// Prints an error.
    pub fn error(self, error: &UserError) {
        let text = if self.json {
            error.json()
        } else {
            error.sentence()
        };
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// Asks for confirmation of what cannot be undone; refuses where there is no terminal to ask
    /// on.
    pub fn confirm(self, question: &str, yes: bool) -> Result<(), UserError> {
        if yes {
            return Ok(());
        }
        if self.json || !io::stdin().is_terminal() {
            let message = format!("{question} Nobody is here to answer");
            return Err(UserError::usage(message, "say --yes if that is meant"));
        }
        let _ = write!(io::stderr(), "{} [y/N] ", plain(question));
        let mut answer = String::new();
        let _ = io::stdin().lock().read_line(&mut answer);
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(UserError::usage("nothing was done", "")),
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
