//! Style as a test, over the whole workspace: what a reviewer would have to say again and again.
//!
//! Each rule is one function from the files to the complaints about them; each rule is also tried
//! on a file that breaks it, so that none can pass by looking at nothing. Does not read `target`,
//! and judges no style that rustfmt or clippy already judge.
//!
//! Here are the files and how a rule is held against them. `style` is about lines and words,
//! `facade` about how tests reach an engine,
//! `documents`, `references` and `rules` about what is said and cited, `owners` about what belongs
//! to whom, `manifests` about what crates say of themselves and depend on; `prose` finds what is
//! not code.

mod documents;
mod facade;
mod manifests;
mod owners;
mod prose;
mod references;
mod rules;
mod style;

use std::fs;
use std::path::{Path, PathBuf};

/// Fewer Rust files than this mean that the wrong folder was read.
const RUST_FILES_MIN: usize = 40;

/// A text file of the workspace.
struct Source {
    /// Relative to the workspace, with `/`.
    path: String,
    text: String,
}

impl Source {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether the whole file is test code.
    fn is_test(&self) -> bool {
        let in_folder = [
            "/tests/",
            "/benches/",
            "engine/testing/",
            "syntax/src/equivalence/",
        ]
        .iter()
        .any(|folder| self.path.contains(folder));
        in_folder || self.path.ends_with("/tests.rs") || self.path.ends_with("/testing.rs")
    }

    /// The lines before the file's tests, which stand at its bottom (`docs/style.md` section 2).
    /// Tests that are a file of their own end nothing.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().zip(1..).map(|(line, at)| (at, line));
        let next = self.text.lines().skip(1).chain([""]);
        let tests = |line: &str, next: &str| {
            line == "#[cfg(test)]" && next.starts_with("mod ") && next.ends_with('{')
        };
        let code = lines.zip(next);
        code.take_while(move |((_, line), next)| !tests(line, next))
            .map(|(numbered, _)| numbered)
    }

    /// The same without comments.
    fn bare_code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code()
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    fn complain(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path)
    }
}

fn workspace() -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_folder
        .parent()
        .expect("the crate lies in the workspace")
        .to_owned()
}

/// Every text file there is, but for what tools make.
fn sources() -> Vec<Source> {
    let root = workspace();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the workspace") {
            let path = entry.expect("an entry").path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if path.is_dir() && !matches!(name, "target" | ".git") {
                folders.push(path);
            } else if path.is_file() && is_text(name) {
                let relative = path.strip_prefix(&root).expect("below the root");
                let text = fs::read_to_string(&path).expect("text is UTF-8");
                found.push(Source {
                    path: relative.display().to_string(),
                    text,
                });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn is_text(name: &str) -> bool {
    let by_ending = [".rs", ".md", ".toml", ".js", ".ts", ".sh"]
        .iter()
        .any(|end| name.ends_with(end));
    by_ending || name == "run"
}

/// Applies a rule to all sources and fails with everything it has to say.
fn hold(rule: fn(&Source) -> Vec<String>, breaks_it: (&str, &str)) {
    let (path, text) = breaks_it;
    let broken = Source {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    assert!(
        !rule(&broken).is_empty(),
        "the rule does not see what breaks it"
    );
    let sources = sources();
    let rust = sources.iter().filter(|source| source.is_rust()).count();
    assert!(rust >= RUST_FILES_MIN, "only {rust} Rust files were found");
    let complaints: Vec<String> = sources.iter().flat_map(rule).collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

fn read(path: &str) -> String {
    fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
