//! Style that no other tool judges: what a file opens with, how long it is, what it must not have.

use super::{Source, hold, read};

/// Columns of one line of Rust.
const COLUMNS_MAX: usize = 100;
/// Lines of one Rust file without its tests.
const LINES_MAX: usize = 800;
/// Lines of one design file.
const DESIGN_LINES_MAX: usize = 500;

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
            "engine/src/memory.rs",
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
        "engine/core/src/lib.rs",
        "engine/syntax/src/lib.rs",
        "engine/wire/src/lib.rs",
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
