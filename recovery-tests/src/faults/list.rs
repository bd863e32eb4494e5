//! The files of faults: one block a fault.
//!
//! ```text
//! fault: the folding layer is read before the active one
//! file: store/src/catalog/mod.rs
//! test: -p kenvat-store --test store a_row_given_again
//! ---
//! the text as it stands in the file, exactly once
//! +++
//! what stands there instead
//! ===
//! ```
//!
//! `test:` is what stands behind `cargo test`; there may be several, of which one must fail. A line
//! `equal: REASON` in place of `test:` is for a fault that changes nothing that can be observed.
//! Lines between blocks are comments.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One fault.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What is wrong with the program then, in a sentence.
    pub name: String,
    /// The file it is planted in, relative to the workspace.
    pub file: String,
    /// Arguments of `cargo test`, split at blanks, for each test that may notice it.
    pub tests: Vec<Vec<String>>,
    /// Why no test can notice it, where that is so.
    pub equal: Option<String>,
    /// What stands in the file.
    pub original: String,
    /// What stands there once it is planted.
    pub planted: String,
}

/// Why the files of faults cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The folder or a file of it cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A block lacks something.
    #[error("{path}, line {line}: {what}")]
    Malformed {
        /// In which file.
        path: PathBuf,
        /// Where its block begins, counted from 1.
        line: usize,
        /// What is wrong.
        what: &'static str,
    },
}

/// All faults of all files below `folder`, in the order of their files' names.
pub fn read_all(folder: &Path) -> Result<Vec<Fault>, ListError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ListError::Io { path, source }
    };
    let entries = fs::read_dir(folder).map_err(failed(folder))?;
    let mut files = Vec::new();
    for entry in entries {
        files.push(entry.map_err(failed(folder))?.path());
    }
    files.retain(|path| path.extension().is_some_and(|end| end == "txt"));
    files.sort();
    let mut faults = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).map_err(failed(&path))?;
        faults.extend(parse(&path, &text)?);
    }
    Ok(faults)
}

fn parse(path: &Path, text: &str) -> Result<Vec<Fault>, ListError> {
    let mut lines = text.lines().enumerate();
    let mut faults = Vec::new();
    while let Some((at, line)) = lines.next() {
        let Some(name) = line.strip_prefix("fault: ") else {
            continue;
        };
        let malformed = |what| ListError::Malformed {
            path: path.to_owned(),
            line: at + 1,
            what,
        };
        let mut fault = Fault {
            name: name.to_owned(),
            file: String::new(),
            tests: Vec::new(),
            equal: None,
            original: String::new(),
            planted: String::new(),
        };
        for (_, line) in lines.by_ref().take_while(|(_, line)| *line != "---") {
            if let Some(file) = line.strip_prefix("file: ") {
                fault.file = file.to_owned();
            } else if let Some(test) = line.strip_prefix("test: ") {
                let words = test.split_whitespace().map(str::to_owned);
                fault.tests.push(words.collect());
            } else if let Some(reason) = line.strip_prefix("equal: ") {
                fault.equal = Some(reason.to_owned());
            } else {
                return Err(malformed(
                    "a line before `---` is none of file, test, equal",
                ));
            }
        }
        fault.original = block(&mut lines, "+++").ok_or_else(|| malformed("`+++` is missing"))?;
        fault.planted = block(&mut lines, "===").ok_or_else(|| malformed("`===` is missing"))?;
        if fault.file.is_empty() || (fault.tests.is_empty() && fault.equal.is_none()) {
            return Err(malformed(
                "it names no file, or neither a test nor a reason",
            ));
        }
        if fault.original.is_empty() || fault.original == fault.planted {
            return Err(malformed("it changes nothing"));
        }
        faults.push(fault);
    }
    Ok(faults)
}

/// The lines up to one that is `end`, without their last line break.
fn block<'a>(lines: &mut impl Iterator<Item = (usize, &'a str)>, end: &str) -> Option<String> {
    let mut found: Vec<&str> = Vec::new();
    loop {
        let (_, line) = lines.next()?;
        if line == end {
            return Some(found.join("\n"));
        }
        found.push(line);
    }
}

#[cfg(test)]
mod tests {
    use super::{ListError, parse};
    use std::path::Path;

    const WHOLE: &str = "A comment.\n\nfault: it is off by one\nfile: a.rs\ntest: -p a b\n---\nx\n\
                         y\n+++\nx\n===\n";

    #[test]
    fn a_block_is_read_whole() {
        let faults = parse(Path::new("f.txt"), WHOLE).expect("a fault");
        let [fault] = &faults[..] else {
            panic!("{faults:?}")
        };
        assert_eq!(fault.name, "it is off by one");
        assert_eq!((&*fault.original, &*fault.planted), ("x\ny", "x"));
        assert_eq!(fault.tests, [["-p", "a", "b"]]);
    }

    #[test]
    fn what_is_missing_is_said_with_its_line() {
        for (without, what) in [
            ("file: a.rs\n", "no file"),
            ("test: -p a b\n", "neither a test"),
            ("+++\n", "`+++`"),
            ("===\n", "`===`"),
            ("y\n", "changes nothing"),
        ] {
            let text = WHOLE.replace(without, "");
            let error = parse(Path::new("f.txt"), &text).expect_err(without);
            assert!(error.to_string().contains(what), "{error}");
            assert!(matches!(error, ListError::Malformed { line: 3, .. }));
        }
    }
}
