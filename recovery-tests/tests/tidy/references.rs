//! References: what a comment or a document cites is in this repository.
//!
//! - A file is cited by a path, from the workspace, from the citing file's folder or crate, or from
//!   somewhere below it; a document also from `docs`.
//! - A section is cited with its document's path, or inside that document alone; it is there.
//! - A link's anchor is a heading of the document it leads to.
//!
//! Does not judge what is said of the place cited.

use std::sync::OnceLock;

use super::prose::{Word, words};
use super::{Source, hold, sources};

/// Names by which documents were cited that are not files: each followed by a number.
const NICKNAMES: [&str; 9] = [
    "architecture",
    "interfaces",
    "house",
    "style",
    "durability",
    "audit",
    "vat-language",
    "messages",
    "facts",
];
/// Endings of the files that prose cites by a path.
const CITED_ENDINGS: [&str; 4] = [".rs", ".md", ".toml", ".sh"];
/// What stands around a word in prose.
const PUNCTUATION: &[char] = &[
    '`', '*', '(', ')', '[', ']', ',', ';', ':', '"', '\'', '.', '|', '!', '?',
];

/// The files of the workspace, read once.
pub fn workspace_files() -> &'static [Source] {
    static FILES: OnceLock<Vec<Source>> = OnceLock::new();
    FILES.get_or_init(sources)
}

/// A word without what stands around it.
fn bare(word: &str) -> &str {
    word.trim_matches(PUNCTUATION)
}

/// The path a word cites, if it is one. A link's target is another rule's matter.
fn cited_path(word: &str) -> Option<&str> {
    let word = word.split("](").next().unwrap_or(word);
    let word = bare(word.trim_end_matches("'s"));
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let ends = CITED_ENDINGS.iter().any(|end| word.ends_with(end));
    let is_path = ends && word.chars().all(plain) && !word.starts_with(['.', '/', '-']);
    is_path.then_some(word)
}

/// The file that prose in `source` means by `path`: from the citing file's own folder outwards,
/// then in `docs`, then anywhere; the first one found is meant.
fn resolve(source: &Source, path: &str) -> Option<&'static Source> {
    let files = workspace_files();
    let mut folder = source.path.as_str();
    loop {
        folder = folder.rsplit_once('/').map_or("", |(outer, _)| outer);
        let whole = format!("{folder}/{path}");
        let whole = whole.trim_start_matches('/');
        if let Some(file) = files.iter().find(|file| file.path == whole) {
            return Some(file);
        }
        if folder.is_empty() {
            break;
        }
    }
    let in_docs = format!("docs/{path}");
    let below = format!("/{path}");
    let in_docs = files.iter().find(|file| file.path == in_docs);
    in_docs.or_else(|| files.iter().find(|file| file.path.ends_with(&below)))
}

#[test]
fn every_file_cited_is_there() {
    fn rule(source: &Source) -> Vec<String> {
        let cited = words(source)
            .into_iter()
            .filter_map(|word| Some((word.line, cited_path(word.text)?)));
        let lost = cited.filter(|(_, path)| !is_example(path) && resolve(source, path).is_none());
        lost.map(|(line, path)| source.complain(line, &format!("no file {path} is here")))
            .collect()
    }
    hold(rule, ("a.rs", "//! See `nowhere/to_be_seen.rs`.\n"));
    hold(rule, ("a.md", "See nowhere.md.\n"));
}

/// Names that stand for a user's file.
fn is_example(path: &str) -> bool {
    let stem = path
        .rsplit('/')
        .next()
        .and_then(|name| name.split('.').next());
    stem == Some("FILE")
}

/// A section's number without what stands around it.
fn section_number(word: &str) -> Option<&str> {
    let word = bare(word.trim_end_matches("'s"));
    let numeric = word.chars().all(|c| c.is_ascii_digit() || c == '.');
    (numeric && !word.is_empty()).then_some(word)
}

/// Whether a document has a heading with that number.
fn has_section(text: &str, number: &str) -> bool {
    let titles = text.lines().filter(|line| line.starts_with("##"));
    let mut titles = titles.map(|line| line.trim_start_matches('#').trim_start());
    titles.any(|title| {
        let rest = title.strip_prefix(number);
        rest.is_some_and(|rest| {
            rest.starts_with([' ', '.']) && !rest[1..].starts_with(|c: char| c.is_ascii_digit())
        })
    })
}

/// Whether a document has a heading with these words.
fn has_heading(text: &str, heading: &str) -> bool {
    let mut titles = text.lines().filter(|line| line.starts_with('#'));
    let bold = format!("**{heading}");
    titles.any(|line| line.contains(heading)) || text.contains(&bold)
}

/// The document in which a section is looked for that is cited at `at`: the path stands before the
/// word "section", or behind its number and "of"; without a path it is the citing document itself.
fn cited_document(source: &Source, all: &[Word<'_>], at: usize) -> Option<&'static Source> {
    let path = |at: usize| all.get(at).and_then(|word| cited_path(word.text));
    let before = at.checked_sub(1).and_then(path);
    let of = all.get(at + 2).is_some_and(|word| word.text == "of");
    let behind = if of { path(at + 3) } else { None };
    match before.or(behind).filter(|path| path.ends_with(".md")) {
        Some(path) => resolve(source, path),
        None if of => None,
        None => workspace_files()
            .iter()
            .find(|file| file.path == source.path && file.path.ends_with(".md")),
    }
}

#[test]
fn every_section_cited_is_there() {
    fn rule(source: &Source) -> Vec<String> {
        let all = words(source);
        let mut complaints = Vec::new();
        for (at, word) in all.iter().enumerate() {
            let next = all.get(at + 1).map(|next| next.text);
            let what = bare(word.text).to_lowercase();
            let number = next.and_then(section_number);
            match number {
                Some(number) if what == "section" || what == "sections" => {
                    let document = cited_document(source, &all, at);
                    if !document.is_some_and(|document| has_section(&document.text, number)) {
                        let said = format!("section {number} of which document here?");
                        complaints.push(source.complain(word.line, &said));
                    }
                }
                Some(number) if is_nickname(word.text) => {
                    let said = format!("{what} {number} is cited by no path");
                    complaints.push(source.complain(word.line, &said));
                }
                _ => {}
            }
            complaints.extend(turned_around(source, &all, at));
        }
        complaints
    }
    for broken in [
        "//! (architecture 9.8)\n",
        "//! as house style 2 says\n",
        "//! 3.6 of the audit\n",
        "//! section 3\n",
        "//! `docs/rules.md` section 99\n",
        "//! section 99 of `docs/quickjs.md`.\n",
    ] {
        hold(rule, ("a.rs", broken));
    }
    let fine = Source {
        path: "a.rs".into(),
        text: "//! `docs/interfaces.md` section 3; section 3.6 of docs/quickjs.md\n".into(),
    };
    assert_eq!(rule(&fine), Vec::<String>::new());
}

fn is_nickname(word: &str) -> bool {
    // With punctuation behind it, the number belongs to what follows.
    let word = word.trim_start_matches(PUNCTUATION).trim_end_matches('`');
    let word = word.strip_suffix(".md").unwrap_or(word);
    NICKNAMES.contains(&word)
}

/// A number that is said to be of a document which is none here.
fn turned_around(source: &Source, all: &[Word<'_>], at: usize) -> Option<String> {
    let number = section_number(all[at].text)?;
    let text = |at: usize| all.get(at).map(|word| word.text);
    let is_cited = text(at + 1) == Some("of")
        && text(at + 2) == Some("the")
        && text(at + 3).is_some_and(|word| NICKNAMES.contains(&bare(word)));
    is_cited.then(|| {
        source.complain(
            all[at].line,
            &format!("{number} of what is no document here"),
        )
    })
}

#[test]
fn every_heading_cited_is_there() {
    fn rule(source: &Source) -> Vec<String> {
        let all = words(source);
        let cited = all.iter().enumerate().filter_map(|(at, word)| {
            let path = cited_path(word.text).filter(|path| path.ends_with(".md"))?;
            let next = all.get(at + 1)?.text.trim_start_matches('(');
            next.starts_with('"').then_some((at, path))
        });
        let mut complaints = Vec::new();
        for (at, path) in cited {
            let heading = quoted(&all[at + 1..]);
            let document = resolve(source, path);
            if !document.is_some_and(|document| has_heading(&document.text, &heading)) {
                let said = format!("{path} has no heading {heading}");
                complaints.push(source.complain(all[at].line, &said));
            }
        }
        complaints
    }
    hold(rule, ("a.rs", "//! `docs/rules.md`, \"Not a heading\".\n"));
}

/// What stands between the quotation mark the first word begins with and the next one.
fn quoted(all: &[Word<'_>]) -> String {
    let mut found = String::new();
    for word in all {
        let text = word.text.trim_start_matches('(');
        let text = if found.is_empty() {
            text.trim_start_matches('"')
        } else {
            text
        };
        if !found.is_empty() {
            found.push(' ');
        }
        match text.split_once('"') {
            Some((last, _)) => return found + last,
            None => found.push_str(text),
        }
    }
    found
}

#[test]
fn every_anchor_is_a_heading() {
    fn rule(source: &Source) -> Vec<String> {
        if !source.path.ends_with(".md") {
            return Vec::new();
        }
        let targets = source.text.split("](").skip(1);
        let targets = targets.filter_map(|rest| rest.split(')').next()?.split_once('#'));
        let lost = targets.filter(|(path, anchor)| {
            if path.contains("://") {
                return false;
            }
            let document = if path.is_empty() {
                Some(source)
            } else {
                resolve(source, path.trim_start_matches("../"))
            };
            !document.is_some_and(|document| anchors(&document.text).any(|known| known == *anchor))
        });
        lost.map(|(path, anchor)| source.complain(1, &format!("no heading {path}#{anchor}")))
            .collect()
    }
    hold(rule, ("a.md", "[x](#nothing-like-it)\n"));
    assert_eq!(
        anchors("### Rule C: `a`, b\n").next().as_deref(),
        Some("rule-c-a-b")
    );
}

/// The anchors of a document's headings, as they are made where documents are shown.
fn anchors(text: &str) -> impl Iterator<Item = String> {
    let titles = text.lines().filter(|line| line.starts_with('#'));
    titles.map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}
