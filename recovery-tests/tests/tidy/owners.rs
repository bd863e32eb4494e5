//! Owners: no type has so many methods, or methods in so many files, that nobody can say what it is
//! the owner of (docs/style.md, "1. Crates and owners").
//!
//! Counted are the functions of a type's inherent `impl`s, and every function elsewhere that takes
//! it by `&mut`: free ones and other types' own, as moving a method out of its `impl` makes it no
//! less one. Not counted are traits' functions and test code. The files are those in which counted
//! functions lie.
//!
//! Reads text as rustfmt leaves it, by its indentation; types of one name in one crate are told
//! apart by the folder that is nearest. Does not expand macros.

use std::collections::{BTreeMap, BTreeSet};

use super::{Source, sources};

/// Methods of one type.
const METHODS_MAX: usize = 40;
/// Files its methods lie in.
const FILES_MAX: usize = 3;
/// Fewer types than this mean that the wrong files were read.
const TYPES_MIN: usize = 300;

/// Types that were larger when the rule came: where each is declared, its name, and its figures,
/// which may only fall. Each is to be split when its part is worked on next, and leaves this list.
const CEILINGS: [(&str, &str, Figures); 3] = [
    ("engine/syntax/src/scan/mod.rs", "Scanner", figures(82, 7)),
    ("recovery-tests/src/world/mod.rs", "World", figures(39, 4)),
    ("store/src/store.rs", "Store", figures(126, 13)),
];

/// How large a type is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Figures {
    methods: usize,
    files: usize,
}

const fn figures(methods: usize, files: usize) -> Figures {
    Figures { methods, files }
}

impl Figures {
    fn is_within_limits(self) -> bool {
        self.methods <= METHODS_MAX && self.files <= FILES_MAX
    }
}

/// A type's declaration: its file, and its name.
type Owner = (String, String);

/// A function that belongs to a type of that name, and the file it lies in.
struct Method {
    file: String,
    owner: String,
}

/// What one file declares.
#[derive(Default)]
struct Declared {
    types: Vec<String>,
    methods: Vec<Method>,
}

/// Reads a file's types, their methods, and functions that take a type by `&mut`.
fn declared(source: &Source) -> Declared {
    let mut found = Declared::default();
    // The inherent `impl` the line is in: its indentation and its type; a trait's has no type.
    let mut inside: Option<(usize, Option<String>)> = None;
    let lines: Vec<&str> = source.code().map(|(_, line)| line).collect();
    for (at, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let text = line.trim_start();
        if inside.as_ref().is_some_and(|(open, _)| *open == indent) && text.starts_with('}') {
            inside = None;
        } else if is_impl(text) && !text.ends_with("{}") {
            inside = Some((indent, inherent_type(&heading(&lines[at..]))));
        } else if let Some(name) = type_name(text) {
            found.types.push(name.to_owned());
        } else if is_function(text) && !is_for_tests(&lines[..at]) {
            let own = match &inside {
                // A trait's functions are the trait's.
                Some((open, None)) if indent == open + 4 => continue,
                Some((open, Some(owner))) if indent == open + 4 => Some(owner.clone()),
                // A function within a function is its helper.
                _ if indent > 0 && !in_module(&lines[..at], indent) => continue,
                _ => None,
            };
            let taken = taken_by_mut(&heading(&lines[at..]));
            let owners = taken.into_iter().chain(own).collect::<BTreeSet<_>>();
            found.methods.extend(owners.into_iter().map(|owner| Method {
                file: source.path.clone(),
                owner,
            }));
        }
    }
    found
}

/// The text of a declaration up to the brace or semicolon that ends its head.
fn heading(lines: &[&str]) -> String {
    let mut text = String::new();
    for line in lines {
        text.push_str(line.trim());
        if line.trim_end().ends_with(['{', ';', '}']) {
            break;
        }
        text.push(' ');
    }
    text
}

fn is_impl(text: &str) -> bool {
    text.starts_with("impl ") || text.starts_with("impl<") || text.starts_with("unsafe impl")
}

/// Whether the function whose declaration comes next is there for tests alone.
fn is_for_tests(before: &[&str]) -> bool {
    let last = before.iter().rev().map(|line| line.trim());
    let mut attributes = last.take_while(|line| line.starts_with(['#', '/']));
    attributes.any(|line| line == "#[cfg(test)]")
}

/// Whether the block around that indentation is a module's.
fn in_module(before: &[&str], indent: usize) -> bool {
    let around = before.iter().rev().find(|line| {
        let open = line.len() - line.trim_start().len();
        open < indent && !line.trim().is_empty()
    });
    around.is_some_and(|line| {
        let line = line.trim_start().trim_start_matches("pub ");
        line.starts_with("mod ") || line.starts_with("unsafe extern")
    })
}

/// The type an `impl` is for, unless it is a trait's.
fn inherent_type(head: &str) -> Option<String> {
    let rest = head.strip_prefix("impl")?;
    let rest = skip_generics(rest).trim_start();
    if rest.contains(" for ") {
        return None;
    }
    Some(last_name(rest).to_owned())
}

/// What follows the `<…>` the text begins with, if it does.
fn skip_generics(text: &str) -> &str {
    if !text.starts_with('<') {
        return text;
    }
    let (mut depth, mut before) = (0_usize, ' ');
    for (at, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            // An arrow closes nothing.
            '>' if before != '-' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[at + 1..];
        }
        before = c;
    }
    ""
}

/// The last name of the path a text begins with.
fn last_name(text: &str) -> &str {
    let path = text.split(|c: char| !(c.is_alphanumeric() || "_:".contains(c)));
    let path = path.into_iter().next().unwrap_or_default();
    path.rsplit("::").next().unwrap_or_default()
}

/// The name of the type a line declares.
fn type_name(text: &str) -> Option<&str> {
    let text = without_visibility(text);
    let rest = ["struct ", "enum ", "union "]
        .iter()
        .find_map(|keyword| text.strip_prefix(keyword))?;
    Some(last_name(rest))
}

fn without_visibility(text: &str) -> &str {
    let text = text.strip_prefix("pub").unwrap_or(text);
    let text = match text.strip_prefix('(') {
        Some(rest) => rest.split_once(')').map_or(text, |(_, rest)| rest),
        None => text,
    };
    text.trim_start()
}

fn is_function(text: &str) -> bool {
    let mut text = without_visibility(text);
    while let Some(rest) = ["const ", "async ", "unsafe ", "extern \"C\" "]
        .iter()
        .find_map(|qualifier| text.strip_prefix(qualifier))
    {
        text = rest;
    }
    text.starts_with("fn ")
}

/// The names of types a function takes by `&mut`.
fn taken_by_mut(head: &str) -> Vec<String> {
    let arguments = head.split(" -> ").next().unwrap_or_default();
    let taken = arguments.split('&').skip(1).filter_map(|rest| {
        let rest = match rest.strip_prefix('\'') {
            Some(lifetime) => lifetime.split_once(' ')?.1,
            None => rest,
        };
        rest.strip_prefix("mut ")
    });
    let names = taken.map(last_name);
    let names = names.filter(|name| name.starts_with(char::is_uppercase));
    names.map(str::to_owned).collect()
}

/// The first folder of a path: its crate, as crates do not lie in another one's `src`.
fn crate_of(path: &str) -> &str {
    path.split("/src/").next().unwrap_or(path)
}

/// How many letters two paths have in common before they part: who is nearer.
fn common(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
}

/// Counts every type's methods and files.
fn count(sources: &[Source]) -> BTreeMap<Owner, Figures> {
    let judged = sources
        .iter()
        .filter(|source| source.is_rust() && !source.is_test() && source.path.contains("/src/"))
        .map(|source| (source, declared(source)))
        .collect::<Vec<_>>();
    let mut methods: BTreeMap<Owner, Vec<&str>> = BTreeMap::new();
    for (source, declared) in &judged {
        for name in &declared.types {
            methods
                .entry((source.path.clone(), name.clone()))
                .or_default();
        }
    }
    let owners: Vec<Owner> = methods.keys().cloned().collect();
    for method in judged.iter().flat_map(|(_, declared)| &declared.methods) {
        let named = owners.iter().filter(|(file, name)| {
            *name == method.owner && crate_of(file) == crate_of(&method.file)
        });
        // Another crate's types are that crate's matter, and std's nobody's.
        if let Some(owner) = named.max_by_key(|(file, _)| common(file, &method.file)) {
            let of = methods.get_mut(owner).expect("each owner has an entry");
            of.push(&method.file);
        }
    }
    let figures = methods.into_iter().map(|(owner, files)| {
        let methods = files.len();
        let files = files.into_iter().collect::<BTreeSet<_>>().len();
        (owner, Figures { methods, files })
    });
    figures.collect()
}

/// What is wrong with these figures, given these ceilings.
fn judge(found: &BTreeMap<Owner, Figures>, ceilings: &[(&str, &str, Figures)]) -> Vec<String> {
    let mut complaints = Vec::new();
    for ((file, name), figures) in found {
        let ceiling = ceilings
            .iter()
            .find(|(at, of, _)| at == file && of == name)
            .map(|(_, _, ceiling)| *ceiling);
        let Figures { methods, files } = *figures;
        let said = format!("{file}: {name} has {methods} methods in {files} files");
        match ceiling {
            None if figures.is_within_limits() => {}
            None => complaints.push(format!("{said}; split its state")),
            Some(_) if figures.is_within_limits() => {
                complaints.push(format!("{said}: it needs no ceiling any more"));
            }
            Some(ceiling) if methods > ceiling.methods || files > ceiling.files => {
                complaints.push(format!("{said}: more than it had"));
            }
            Some(ceiling) if ceiling != *figures => {
                complaints.push(format!("{said}: lower its ceiling, {ceiling:?}"));
            }
            Some(_) => {}
        }
    }
    let stale = ceilings
        .iter()
        .filter(|(file, name, _)| !found.contains_key(&(file.to_string(), name.to_string())));
    complaints.extend(stale.map(|(file, name, _)| format!("{file}: no {name} is declared here")));
    complaints
}

#[test]
fn no_type_owns_more_than_one_can_say() {
    let found = count(&sources());
    assert!(
        found.len() >= TYPES_MIN,
        "only {} types were found",
        found.len()
    );
    let complaints = judge(&found, &CEILINGS);
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    /// A type with so many methods, a free function that takes it, and one of another type.
    fn large(methods: usize) -> Vec<Source> {
        let mut text = "pub struct Large<W> {\n    a: W,\n}\n\n".to_owned();
        text += "#[cfg(test)]\nmod tests;\n\nimpl<W: Fn() -> u8> Large<W> {\n";
        for at in 0..methods {
            text += &format!("    pub(crate) fn m{at}(&self) {{}}\n");
        }
        text += "\n    #[cfg(test)]\n    fn shown(&self) {}\n}\n\n";
        text += "impl<W> Drop for Large<W> {\n    fn drop(&mut self) {}\n}\n";
        let free = "pub fn free<W>(\n    a: u8,\n    of: &mut Large<W>,\n) {\n    \
            fn helper(of: &mut Large<u8>) {}\n}\n";
        let other = "struct Other;\n\nimpl Other {\n    \
            fn takes(&self, it: &'a mut super::Large<u8>) -> &mut Other {}\n    \
            fn looks(&self, it: &Large<u8>) {}\n}\n";
        let test = "#[cfg(test)]\nmod tests {\n    fn takes(it: &mut Large<u8>) {}\n}\n";
        vec![
            source("a/src/large.rs", &text),
            source("a/src/free.rs", free),
            source("a/src/other.rs", other),
            source("a/src/tested.rs", test),
            source("b/src/elsewhere.rs", "fn takes(it: &mut Large<u8>) {}\n"),
        ]
    }

    #[test]
    fn methods_and_what_takes_their_type_are_counted() {
        let found = count(&large(3));
        let owner = |file: &str, name: &str| (file.to_owned(), name.to_owned());
        assert_eq!(found[&owner("a/src/large.rs", "Large")], figures(5, 3));
        assert_eq!(found[&owner("a/src/other.rs", "Other")], figures(2, 1));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_type_that_grew_too_large_is_named() {
        assert_eq!(judge(&count(&large(38)), &[]), Vec::<String>::new());
        assert_eq!(judge(&count(&large(39)), &[]).len(), 1);
        let mut spread = large(1);
        spread.push(source(
            "a/src/more.rs",
            "impl<W> Large<W> {\n    fn n(&self) {}\n}\n",
        ));
        assert_eq!(judge(&count(&spread), &[]).len(), 1);
    }

    #[test]
    fn a_ceiling_is_what_is_there_and_only_as_long_as_it_is_needed() {
        let judged = |methods, files| {
            judge(
                &count(&large(39)),
                &[("a/src/large.rs", "Large", figures(methods, files))],
            )
        };
        assert!(judged(41, 3).is_empty());
        assert_eq!(
            (
                judged(40, 3).len(),
                judged(42, 3).len(),
                judged(41, 4).len()
            ),
            (1, 1, 1)
        );
        let needless = [("a/src/large.rs", "Large", figures(3, 3))];
        assert_eq!(judge(&count(&large(1)), &needless).len(), 1);
        let gone = [("a/src/gone.rs", "Gone", figures(50, 3))];
        assert_eq!(judge(&count(&large(1)), &gone).len(), 1);
    }
}
