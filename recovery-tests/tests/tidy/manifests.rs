//! Manifests: what a crate says of itself is true, and what it depends on is argued and kept apart.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use super::{Source, hold, read, sources};

/// Keys every crate has; those of the workspace are the same for all.
const KEYS: [&str; 9] = [
    "name = ",
    "description = ",
    "version.workspace",
    "edition.workspace",
    "rust-version.workspace",
    "license.workspace",
    "publish.workspace",
    "keywords = ",
    "categories = ",
];
/// The categories that crates here use, as the registry spells them.
const CATEGORIES: [&str; 12] = [
    "asynchronous",
    "command-line-utilities",
    "concurrency",
    "database-implementations",
    "development-tools::profiling",
    "development-tools::testing",
    "encoding",
    "filesystem",
    "network-programming",
    "parser-implementations",
    "simulation",
    "virtualization",
];
/// What the registry takes.
const KEYWORDS_MAX: usize = 5;
const KEYWORD_CHARS_MAX: usize = 20;

/// The strings of a list on one line.
fn listed(line: &str) -> impl Iterator<Item = &str> {
    line.split('"').skip(1).step_by(2)
}

#[test]
fn every_crate_says_what_it_is() {
    fn rule(source: &Source) -> Vec<String> {
        if !source.path.ends_with("/Cargo.toml") {
            return Vec::new();
        }
        let package = source.text.split("\n\n").next().unwrap_or_default();
        let lacks = KEYS.iter().filter(|key| {
            let mut lines = package.lines();
            !lines.any(|line| line.starts_with(**key))
        });
        let mut complaints: Vec<String> = lacks
            .map(|key| source.complain(1, &format!("its first lines lack `{key}`")))
            .collect();
        for (line, at) in package.lines().zip(1..) {
            if line.starts_with("categories") {
                let unknown = listed(line).filter(|name| !CATEGORIES.contains(name));
                complaints.extend(unknown.map(|name| source.complain(at, name)));
            }
            if line.starts_with("keywords") {
                let long = listed(line).any(|word| word.len() > KEYWORD_CHARS_MAX);
                if long || listed(line).count() > KEYWORDS_MAX {
                    complaints.push(source.complain(at, "keywords no registry takes"));
                }
            }
            // There is none that anybody could open.
            if line.starts_with("repository") {
                complaints.push(source.complain(at, "an address that is not there"));
            }
        }
        complaints
    }
    hold(rule, ("a/Cargo.toml", "[package]\nname = \"a\"\n"));
    let fine = read("store/Cargo.toml");
    let judged = |text: String| {
        rule(&Source {
            path: "a/Cargo.toml".into(),
            text,
        })
    };
    assert!(judged(fine.clone()).is_empty());
    assert!(!judged(fine.replace("\"filesystem\"", "\"files\"")).is_empty());
    assert!(!judged(fine.replace("\nversion", "\nrepository = \"x\"\nversion")).is_empty());
}

/// A version as numbers that can be compared.
fn parsed(version: &str) -> Vec<u32> {
    let parts = version.split('.').chain(["0"; 2]).map(str::parse);
    let parts = parts.take(3).collect::<Result<_, _>>();
    parts.expect("a version")
}

/// The Rust version the workspace names.
fn rust_version() -> String {
    let manifest = read("Cargo.toml");
    let named = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "));
    named.expect("it is named").trim_matches('"').to_owned()
}

#[test]
fn no_dependency_asks_for_a_newer_rust() {
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let mut metadata = Command::new(cargo);
    metadata
        .args(["metadata", "--locked", "--offline", "--format-version=1"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(super::workspace());
    let said = metadata.output().expect("cargo is what runs this test");
    assert!(
        said.status.success(),
        "{}",
        String::from_utf8_lossy(&said.stderr)
    );
    let said = String::from_utf8(said.stdout).expect("text");
    let asked = said.split("\"rust_version\":\"").skip(1);
    let asked: Vec<Vec<u32>> = asked
        .filter_map(|rest| rest.split('"').next())
        .map(parsed)
        .collect();
    assert!(asked.len() > 50, "only {} crates name one", asked.len());
    let ours = parsed(&rust_version());
    let newer = asked.iter().filter(|asked| **asked > ours);
    assert_eq!(newer.max(), None, "the workspace names {ours:?}");
}

#[test]
fn the_readme_names_the_rust_version() {
    let named = format!("Rust ({} or newer)", rust_version());
    assert!(read("README.md").contains(&named), "README.md: {named}");
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

/// Whether a file's code calls the library whose development has ended. Its traits and derives
/// stand beside the types they are for.
fn calls_bincode(source: &Source) -> bool {
    let calls = ["encode", "decode", "borrow_decode", "config"];
    let mut lines = source.bare_code();
    source.path.contains("/src/")
        && lines.any(|(_, line)| {
            let mut after = line.split("bincode::").skip(1);
            after.any(|rest| {
                let rest = calls.iter().find_map(|call| rest.strip_prefix(call));
                rest.is_some_and(|rest| rest.starts_with(['_', ':']))
            })
        })
}

/// The files of each crate that call it.
fn bincode_doors(sources: &[Source]) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut doors: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let callers = sources.iter().filter(|source| source.is_rust());
    for source in callers.filter(|source| calls_bincode(source)) {
        let folder = source.path.split("/src/").next().unwrap_or_default();
        doors.entry(folder).or_default().insert(&source.path);
    }
    doors
}

#[test]
fn bincode_has_one_door_a_crate() {
    let sources = sources();
    let doors = bincode_doors(&sources);
    assert!(doors.len() >= 2, "found in {doors:?} only");
    for (folder, files) in doors {
        assert_eq!(files.len(), 1, "{folder}: {files:?}");
    }
    let call = "fn f() {\n    bincode::decode_from_slice(a, b);\n}\n";
    let two = ["a/src/a.rs", "a/src/b.rs", "b/src/a.rs"].map(|path| Source {
        path: path.into(),
        text: call.into(),
    });
    assert_eq!(bincode_doors(&two)["a"].len(), 2);
}
