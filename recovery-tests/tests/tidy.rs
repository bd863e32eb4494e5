//! Style as a test, over the whole workspace: what a reviewer would have to say again and again.
//!
//! Each rule is one function from the files to the complaints about them; each rule is also tried
//! on a file that breaks it, so that none can pass by looking at nothing. Does not read `target`,
//! and judges no style that rustfmt or clippy already judge.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Columns of one line of Rust.
const COLUMNS_MAX: usize = 100;
/// Lines of one Rust file without its tests.
const LINES_MAX: usize = 800;
/// Lines of one design file.
const DESIGN_LINES_MAX: usize = 500;
/// Fewer Rust files than this mean that the wrong folder was read.
const RUST_FILES_MIN: usize = 40;

/// Words that mean that something was left. Split, so that this file may name them.
const LEFT_OVER: [&str; 5] = [
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];

/// Beginnings of paths that exist on somebody's machine only, and hosts no file should depend on.
const FOREIGN: [&str; 6] = [
    concat!("/wo", "rk/"),
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/Us", "ers/"),
    concat!("crates", ".io"),
    concat!("github", "usercontent"),
];

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
        let in_folder = self.path.contains("/tests/") || self.path.contains("/benches/");
        in_folder || self.path.ends_with("/tests.rs") || self.path.ends_with("/testing.rs")
    }

    /// The lines before the file's tests, which stand at its bottom (house style 2).
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().zip(1..).map(|(line, at)| (at, line));
        lines.take_while(|(_, line)| *line != "#[cfg(test)]")
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
    let by_ending = [".rs", ".md", ".toml", ".js", ".sh"]
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

#[test]
fn every_rust_file_opens_with_what_it_is() {
    fn rule(source: &Source) -> Vec<String> {
        // A program's root may open with its design file, which says the same at length.
        let text = source.text.as_str();
        let text = text
            .strip_prefix("#![doc = include_str!(\"../DESIGN.md\")]\n")
            .unwrap_or(text);
        let opens = text.starts_with("//! ") || text.starts_with("//!\n//! ");
        if source.is_rust() && !opens {
            return vec![source.complain(1, "opens with no `//!` comment")];
        }
        Vec::new()
    }
    hold(rule, ("a.rs", "use std::fs;\n"));
}

#[test]
fn nothing_was_left_for_later() {
    fn rule(source: &Source) -> Vec<String> {
        let marks = |line: &str| LEFT_OVER.iter().find(|mark| line.contains(**mark));
        let lines = source.text.lines().zip(1..);
        lines
            .filter_map(|(line, at)| Some(source.complain(at, marks(line)?)))
            .collect()
    }
    hold(rule, ("a.rs", concat!("// FIX", "ME\n")));
}

#[test]
fn no_file_names_a_machine_or_a_registry() {
    fn rule(source: &Source) -> Vec<String> {
        let names = |line: &str| FOREIGN.iter().find(|name| line.contains(**name));
        let lines = source.text.lines().zip(1..);
        lines
            .filter_map(|(line, at)| Some(source.complain(at, names(line)?)))
            .collect()
    }
    hold(rule, ("a.md", concat!("see /wo", "rk/x\n")));
}

#[test]
fn lines_and_files_are_short_enough_to_read() {
    fn rule(source: &Source) -> Vec<String> {
        if !source.is_rust() {
            return Vec::new();
        }
        let mut complaints: Vec<String> = source
            .text
            .lines()
            .zip(1..)
            .filter(|(line, _)| line.chars().count() > COLUMNS_MAX)
            .map(|(_, at)| source.complain(at, "is longer than 100 columns"))
            .collect();
        let lines = source.code().count();
        if lines > LINES_MAX && !source.is_test() {
            complaints.push(source.complain(lines, "is too long a file: two ideas?"));
        }
        complaints
    }
    hold(
        rule,
        ("a.rs", &format!("//! {}\n", "x".repeat(COLUMNS_MAX))),
    );
    let long = "//! x\n".repeat(LINES_MAX + 1);
    assert!(
        !rule(&Source {
            path: "a.rs".into(),
            text: long
        })
        .is_empty()
    );
}

#[test]
fn design_files_are_short_enough_to_read() {
    fn rule(source: &Source) -> Vec<String> {
        let lines = source.text.lines().count();
        if source.path.ends_with(".md") && lines > DESIGN_LINES_MAX {
            return vec![source.complain(lines, "is too long a document")];
        }
        Vec::new()
    }
    hold(rule, ("a.md", &"x\n".repeat(DESIGN_LINES_MAX + 1)));
}

#[test]
fn code_that_meets_foreign_bytes_never_unwraps() {
    fn rule(source: &Source) -> Vec<String> {
        let crates = ["store/", "engine/", "netlayer/", "host/"];
        let judged = crates.iter().any(|folder| source.path.starts_with(folder));
        if !source.is_rust() || source.is_test() || !judged {
            return Vec::new();
        }
        let unwraps = source
            .bare_code()
            .filter(|(_, line)| line.contains(".unwrap()"));
        unwraps
            .map(|(at, _)| source.complain(at, "unwrap() outside tests"))
            .collect()
    }
    hold(rule, ("store/src/a.rs", "//! x\nlet a = b.unwrap();\n"));
}

#[test]
fn nothing_sleeps_for_correctness() {
    fn rule(source: &Source) -> Vec<String> {
        if !source.is_rust() {
            return Vec::new();
        }
        let sleep = concat!("thread::", "sleep");
        let lines = source
            .text
            .lines()
            .zip(1..)
            .filter(|(line, _)| line.contains(sleep));
        lines.map(|(_, at)| source.complain(at, "sleeps")).collect()
    }
    hold(rule, ("a.rs", concat!("std::thread::", "sleep(x);\n")));
}

#[test]
fn unsafe_code_stands_only_where_it_may() {
    fn rule(source: &Source) -> Vec<String> {
        let may = [
            "engine/worker/",
            "engine/src/landlock.rs",
            "engine/src/priority.rs",
            "engine/tests/",
            "benches/",
        ];
        if !source.is_rust() || may.iter().any(|folder| source.path.starts_with(folder)) {
            return Vec::new();
        }
        let lines = source.bare_code().filter(|(_, line)| {
            ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"]
                .iter()
                .any(|word| line.contains(word) && !line.contains('"'))
        });
        lines.map(|(at, _)| source.complain(at, "unsafe")).collect()
    }
    hold(rule, ("store/src/a.rs", "//! x\nlet a = unsafe { b() };\n"));
}

#[test]
fn the_crates_that_need_no_unsafe_code_forbid_it() {
    let roots = [
        "store/src/lib.rs",
        "netlayer/src/lib.rs",
        "host/src/main.rs",
        "recovery-tests/src/lib.rs",
    ];
    for root in roots {
        let text = read(root);
        assert!(
            text.contains("#![forbid(unsafe_code)]"),
            "{root} does not forbid unsafe code"
        );
    }
    assert!(read("engine/src/lib.rs").contains("#![deny(unsafe_code)]"));
}

#[test]
fn every_dependency_has_its_reason_above_it() {
    fn rule(source: &Source) -> Vec<String> {
        if !source.path.ends_with("/Cargo.toml") {
            return Vec::new();
        }
        let mut complaints = Vec::new();
        let (mut inside, mut before) = (false, "");
        for (line, at) in source.text.lines().zip(1..) {
            if line.starts_with('[') {
                inside = line.contains("dependencies]");
            } else if inside
                && line.contains('=')
                && line.starts_with(|c: char| c.is_ascii_lowercase())
                && !before.starts_with('#')
            {
                complaints.push(source.complain(at, "a dependency without a reason"));
            }
            before = line;
        }
        complaints
    }
    hold(rule, ("a/Cargo.toml", "[dependencies]\nserde = \"1\"\n"));
}

#[test]
fn ci_runs_the_readmes_test_command() {
    let readme = read("README.md");
    let commands: Vec<&str> = readme
        .lines()
        .filter(|l| l.starts_with("cargo test "))
        .collect();
    assert_eq!(commands, ["cargo test --workspace --locked"]);
    let run = read(".ci/run");
    assert!(run.contains("README.md") && run.contains("eval \"$test_command\""));
    assert!(
        !run.lines()
            .any(|line| line.trim_start().starts_with("cargo test"))
    );
}

#[test]
fn documents_point_at_files_that_are_there() {
    let mut checked = 0;
    for source in sources()
        .iter()
        .filter(|source| source.path.ends_with(".md"))
    {
        let folder = workspace().join(&source.path);
        let folder = folder.parent().expect("a file lies in a folder");
        for target in links(&source.text) {
            checked += 1;
            assert!(
                folder.join(target).exists(),
                "{}: no file {target}",
                source.path
            );
        }
    }
    assert!(checked >= 5, "only {checked} links were found");
}

/// Targets of a document's links that are files.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    let files = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
    files.map(|target| target.split('#').next().unwrap_or(target))
}

#[test]
fn formats_and_their_documents_have_one_version() {
    // Where the constant is, and in which section of which document it is said, and how.
    let versions = [
        (
            "store/src",
            "STORE_VERSION",
            "store/FORMAT.md",
            "",
            "kenvat store {}\\n",
        ),
        (
            "store/src",
            "SEGMENT_VERSION",
            "store/FORMAT.md",
            "journal",
            "version: u32 = {} ",
        ),
        (
            "store/src",
            "FRAME_VERSION",
            "store/FORMAT.md",
            "journal",
            "version: u16 = {},",
        ),
        (
            "store/src",
            "GENESIS_VERSION",
            "store/FORMAT.md",
            "genesis",
            "version: u32 = {} ",
        ),
        (
            "engine/wire/src",
            "PROTOCOL_VERSION",
            "engine/worker/DESIGN.md",
            "",
            "`PROTOCOL_VERSION` is {} ",
        ),
        (
            "host/src",
            "CONTROL_VERSION",
            "host/DESIGN.md",
            "",
            "Control protocol, version {}\n",
        ),
    ];
    for (source, name, document, section, phrase) in versions {
        let said = phrase.replace("{}", &constant(source, name).to_string());
        let text = read(document);
        let sections = text.split("\n## ").filter(|part| {
            let heading = part.lines().next().unwrap_or_default();
            heading.to_lowercase().contains(section)
        });
        let found = sections.filter(|part| part.contains(&said)).count();
        assert!(found > 0, "{document} does not say of {name}: {said}");
    }
}

/// The value of a number declared `const NAME: T = value;` in a file or somewhere below a folder.
fn constant(place: &str, name: &str) -> u64 {
    let declared = format!("const {name}: ");
    let mut found = BTreeMap::new();
    for source in sources()
        .iter()
        .filter(|source| source.path.starts_with(place))
    {
        for line in source.text.lines().filter(|line| line.contains(&declared)) {
            let value = line
                .rsplit("= ")
                .next()
                .and_then(|value| value.strip_suffix(';'));
            let value = value.and_then(|value| value.replace('_', "").parse().ok());
            found.insert(source.path.clone(), value.expect("a plain number"));
        }
    }
    let mut values = found.into_values();
    let value = values
        .next()
        .unwrap_or_else(|| panic!("no {name} in {place}"));
    assert!(
        values.next().is_none(),
        "{name} is declared twice in {place}"
    );
    value
}

fn read(path: &str) -> String {
    fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
