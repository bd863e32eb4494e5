//! Documents: they lead to files that are there, and say of formats and commands what code says.

use std::collections::BTreeMap;

use super::{read, sources, workspace};

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
