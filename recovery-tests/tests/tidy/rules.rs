//! Rules: each that is cited by its name, such as J7 or T3, has a heading in a rule book, with what
//! would break without it. Does not judge whether it is kept.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use super::prose::words;
use super::references::workspace_files;
use super::{Source, hold};

/// Where rules stand, each under a heading of the third level that begins with its name.
const RULE_BOOKS: [&str; 2] = ["docs/rules.md", "docs/messages.md"];
/// First letters of rules' names.
const RULE_LETTERS: &str = "CEGHIJPTV";
/// Fewer rules than this mean that their headings were not recognised.
const RULES_MIN: usize = 60;

/// The names of all rules.
fn rules() -> &'static BTreeSet<String> {
    static RULES: OnceLock<BTreeSet<String>> = OnceLock::new();
    RULES.get_or_init(|| {
        let books = workspace_files()
            .iter()
            .filter(|file| RULE_BOOKS.contains(&file.path.as_str()));
        let names: BTreeSet<String> = books.flat_map(|book| headed_rules(&book.text)).collect();
        assert!(names.len() >= RULES_MIN, "only {names:?} were found");
        names
    })
}

/// The rules a document has headings for.
fn headed_rules(text: &str) -> impl Iterator<Item = String> {
    let titles = text.lines().filter_map(|line| line.strip_prefix("### "));
    let names = titles.filter_map(|title| title.split_whitespace().next());
    names.filter(|name| is_rule(name)).map(str::to_owned)
}

/// Whether it has the form of a rule's name: a letter and one or two digits.
fn is_rule(text: &str) -> bool {
    let digits = text.strip_prefix(|first| RULE_LETTERS.contains(first));
    digits.is_some_and(|digits| {
        matches!(digits.len(), 1 | 2) && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// The rules' names in a word, such as both in "J1–J8".
fn cited_rules(word: &str) -> impl Iterator<Item = &str> {
    // What an escape, a path or a version has around such letters.
    let part_of_more = |c: char| c.is_alphanumeric() || "_.:%\\+#{}&@".contains(c);
    let pieces = word.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    pieces.filter(move |piece| {
        let at = piece.as_ptr() as usize - word.as_ptr() as usize;
        let before = word[..at].chars().next_back();
        is_rule(piece) && !before.is_some_and(part_of_more)
    })
}

#[test]
fn every_rule_cited_is_in_the_rule_books() {
    fn rule(source: &Source) -> Vec<String> {
        let cited = words(source).into_iter().flat_map(|word| {
            let names = cited_rules(word.text).filter(|name| !rules().contains(*name));
            names
                .map(|name| (word.line, name.to_owned()))
                .collect::<Vec<_>>()
        });
        cited
            .map(|(line, name)| source.complain(line, &format!("no rule is called {name}")))
            .collect()
    }
    hold(rule, ("a.rs", "//! As J99 says.\n"));
    hold(rule, ("a.md", "What (T0) says.\n"));
    let fine = Source {
        path: "a.rs".into(),
        text: "//! J1–J8, `T3`; C3's letter; not ABI::V99, %E9, x.T0.\n".into(),
    };
    assert_eq!(rule(&fine), Vec::<String>::new());
    let seen = workspace_files().iter().flat_map(words);
    let cited = seen.flat_map(|word| cited_rules(word.text).collect::<Vec<_>>());
    assert!(cited.count() > 200, "hardly a rule is cited");
}

#[test]
fn every_rule_says_what_would_break_without_it() {
    for book in RULE_BOOKS {
        let file = workspace_files().iter().find(|file| file.path == book);
        let text = &file.expect("a rule book").text;
        let sections = text.split("\n### ").skip(1);
        for section in
            sections.filter(|section| headed_rules(&format!("### {section}")).count() > 0)
        {
            let title = section.lines().next().unwrap_or_default();
            assert!(
                section.contains("*Without\nit*") || section.contains("*Without it*"),
                "{book}: {title}: what breaks without it?"
            );
        }
    }
}
