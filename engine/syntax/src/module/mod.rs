//! Modules as functions: import and export taken out of a text, and said apart.
//!
//! QuickJS keeps modules in a table of its context, finds them there for whoever asks, and looks
//! their names up in the real global. So none is given to it: a module's text becomes the body of
//! a function, in which
//!
//! | author's | becomes |
//! | --- | --- |
//! | `import …`, `export {…}`, `export * …` | spaces |
//! | `export` before a declaration | spaces |
//! | `export default` before an expression | `const __kv_d =` |
//! | `export default function (` | `function __kv_d(` |
//! | `import(` | `__kv_i(` |
//! | `import.meta` | `__kv_m` |
//!
//! Promises: every other token keeps its line and column (but for what follows an unnamed default
//! class or function on its line); what stands in the author's text as a property name is left
//! alone. Linear, no recursion but for patterns, whose depth is limited.
//!
//! Whether the text is a module at all is for the engine to say, which parses the author's own.
//! The names are harmless in an author's hands: they give what the forms give.

use std::collections::BTreeMap;

use crate::lex::TokenKind;
use crate::scan::{ScannedToken, Stop, tokens};
use crate::{Goal, refused};

/// The local name of an unnamed default export.
pub const DEFAULT_LOCAL: &str = "__kv_d";
/// What `import(…)` calls.
pub const IMPORTER: &str = "__kv_i";
/// What `import.meta` gives.
pub const META: &str = "__kv_m";
/// Levels of a destructuring pattern in an `export`.
const PATTERN_DEPTH_MAX: usize = 100;

/// Why a module cannot be taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModuleError {
    /// More than the scanner understands: the engine knows better what is wrong.
    Unread,
    /// Something this host does not take, in words for the author, with its line.
    Refused { line: u32, what: String },
}

/// What one name of a module stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Export {
    /// A variable of its own.
    Local(String),
    /// A name of another module.
    From { specifier: String, name: String },
    /// The namespace of another module.
    Namespace { specifier: String },
}

/// A name an import binds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    pub local: String,
    pub specifier: String,
    /// `None` is the namespace.
    pub name: Option<String>,
}

/// A module taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Module {
    pub text: Vec<u8>,
    /// The modules it asks for, in order, each once.
    pub requests: Vec<String>,
    pub bindings: Vec<Binding>,
    pub exports: BTreeMap<String, Export>,
    /// The modules of `export * from`.
    pub stars: Vec<String>,
}

/// Takes a module's text apart.
pub fn take_apart(source: &[u8]) -> Result<Module, ModuleError> {
    let mut parser = Parser::new(source, Goal::Module)?;
    while parser.at < parser.tokens.len() {
        parser.item()?;
    }
    parser.finish()
}

/// A script with its `import(…)` made calls of `IMPORTER`; `None` where it has none.
pub fn script(source: &[u8]) -> Result<Option<Vec<u8>>, ModuleError> {
    let mention = source.windows(6).any(|window| window == b"import");
    // An escaped `import` is no keyword.
    if !mention {
        return Ok(None);
    }
    let mut parser = Parser::new(source, Goal::Script)?;
    while parser.at < parser.tokens.len() {
        let token = parser.tokens[parser.at];
        if parser.is(0, "import") && token.operand && parser.is(1, "(") {
            parser.replace(token.start, token.end, IMPORTER);
        }
        parser.at += 1;
    }
    let module = parser.finish()?;
    Ok((module.text != source).then_some(module.text))
}

struct Parser<'a> {
    source: &'a [u8],
    tokens: Vec<ScannedToken>,
    at: usize,
    out: Module,
}

impl<'a> Parser<'a> {
    fn new(source: &'a [u8], goal: Goal) -> Result<Self, ModuleError> {
        let tokens = tokens(source, goal).map_err(|stop| match stop {
            Stop::Refused(form, place) => ModuleError::Refused {
                line: place.line,
                what: refused(source, form, place).to_string(),
            },
            Stop::Malformed(..) => ModuleError::Unread,
        })?;
        let text = source.to_vec();
        let out = Module {
            text,
            ..Module::default()
        };
        Ok(Parser {
            source,
            tokens,
            at: 0,
            out,
        })
    }

    fn text(&self, ahead: usize) -> &'a str {
        let token = self.tokens.get(self.at + ahead);
        let bytes = token.and_then(|token| self.source.get(token.start..token.end));
        std::str::from_utf8(bytes.unwrap_or_default()).unwrap_or_default()
    }

    fn is(&self, ahead: usize, text: &str) -> bool {
        self.text(ahead) == text
    }

    fn token(&self) -> Option<ScannedToken> {
        self.tokens.get(self.at).copied()
    }

    fn item(&mut self) -> Result<(), ModuleError> {
        let token = self.tokens[self.at];
        let follows = self.text(1);
        match self.text(0) {
            "import" if token.operand && follows == "(" => {
                self.replace(token.start, token.end, IMPORTER);
                self.at += 1;
            }
            "import" if token.operand && follows == "." && self.is(2, "meta") => {
                let end = self.tokens[self.at + 2].end;
                self.replace(token.start, end, META);
                self.at += 3;
            }
            "import" if token.statement && token.depth == 0 => self.import()?,
            "export" if token.statement && token.depth == 0 => self.export()?,
            _ => self.at += 1,
        }
        Ok(())
    }

    fn import(&mut self) -> Result<(), ModuleError> {
        let start = self.tokens[self.at].start;
        self.at += 1;
        let mut bindings = Vec::new();
        while let Some(token) = self.token().filter(|token| token.kind != TokenKind::Str) {
            match self.text(0) {
                "," | "from" if !bindings.is_empty() && !self.is(1, "from") => self.at += 1,
                "*" => {
                    bindings.push((self.name(2)?, None));
                    self.at += 3;
                }
                "{" => {
                    for (name, local) in self.list()? {
                        bindings.push((local, Some(name)));
                    }
                }
                _ if matches!(token.kind, TokenKind::Name(_)) => {
                    bindings.push((self.name(0)?, Some("default".to_owned())));
                    self.at += 1;
                }
                _ => return Err(ModuleError::Unread),
            }
        }
        let specifier = self.specifier()?;
        for (local, name) in bindings {
            self.out.bindings.push(Binding {
                local,
                specifier: specifier.clone(),
                name,
            });
        }
        self.blank_statement(start)
    }

    fn export(&mut self) -> Result<(), ModuleError> {
        let export = self.tokens[self.at];
        match self.text(1) {
            "default" => return self.default(),
            "{" => {
                self.at += 1;
                let list = self.list()?;
                if self.is(0, "from") {
                    self.at += 1;
                    let specifier = self.specifier()?;
                    for (name, exported) in list {
                        let specifier = specifier.clone();
                        self.exported(exported, Export::From { specifier, name });
                    }
                } else {
                    for (local, exported) in list {
                        self.exported(exported, Export::Local(local));
                    }
                }
                return self.blank_statement(export.start);
            }
            "*" => {
                self.at += 2;
                let mut name = None;
                if self.is(0, "as") {
                    name = Some(self.name(1)?);
                    self.at += 2;
                }
                if !self.is(0, "from") {
                    return Err(ModuleError::Unread);
                }
                self.at += 1;
                let specifier = self.specifier()?;
                match name {
                    Some(name) => self.exported(name, Export::Namespace { specifier }),
                    None => self.out.stars.push(specifier),
                }
                return self.blank_statement(export.start);
            }
            _ => {}
        }
        self.blank(export.start, export.end);
        self.at += 1;
        let mut names = Vec::new();
        match self.text(0) {
            "const" | "let" | "var" => {
                self.at += 1;
                self.declarators(&mut names)?;
            }
            "async" | "function" | "class" => {
                let skip = ["async", "function", "class", "*"];
                while skip.contains(&self.text(0)) {
                    self.at += 1;
                }
                names.push(self.name(0)?);
                self.at += 1;
            }
            _ => return Err(ModuleError::Unread),
        }
        for name in names {
            self.exported(name.clone(), Export::Local(name));
        }
        Ok(())
    }

    fn default(&mut self) -> Result<(), ModuleError> {
        let (start, end) = (self.tokens[self.at].start, self.tokens[self.at + 1].end);
        self.at += 2;
        let is_async = self.is(0, "async") && self.is(1, "function");
        let is_async = is_async
            && self
                .tokens
                .get(self.at + 1)
                .is_some_and(|next| !next.newline);
        let keyword = usize::from(is_async);
        if !self.is(keyword, "function") && !self.is(keyword, "class") {
            // `export default` and what it becomes are of one length.
            self.replace(start, end, "const __kv_d =");
            self.exported("default".into(), Export::Local(DEFAULT_LOCAL.into()));
            return Ok(());
        }
        let class = self.is(keyword, "class");
        let star = usize::from(self.is(keyword + 1, "*"));
        let after = keyword + star + 1;
        let unnamed = match class {
            true => self.is(after, "{") || self.is(after, "extends"),
            false => self.is(after, "("),
        };
        self.blank(start, end);
        let local = if unnamed {
            let head = self.tokens[self.at].start..self.tokens[self.at + after - 1].end;
            if self.source[start..head.end].contains(&b'\n') {
                return Err(ModuleError::Refused {
                    line: self.tokens[self.at].line,
                    what: "write `export default` and what it exports on one line".to_owned(),
                });
            }
            self.name_unnamed(start, head);
            DEFAULT_LOCAL.to_owned()
        } else {
            self.name(after)?
        };
        self.at += after;
        self.exported("default".into(), Export::Local(local));
        Ok(())
    }

    /// Moves the head of an unnamed default function or class to the left, where `export default`
    /// stood, and puts a name behind it: what follows keeps its column.
    fn name_unnamed(&mut self, start: usize, head: std::ops::Range<usize>) {
        let words = self.source[head.clone()].to_vec();
        self.blank(head.start, head.end);
        let named = [&words, b" ".as_slice(), DEFAULT_LOCAL.as_bytes()].concat();
        // There is room: `export default` is longer than the name.
        let from = head.end - named.len().min(head.end - start);
        self.out.text[from..from + named.len()].copy_from_slice(&named);
    }

    /// The names of `a = 1, { b, c: [d] } = x`.
    fn declarators(&mut self, names: &mut Vec<String>) -> Result<(), ModuleError> {
        loop {
            self.pattern(names, 0)?;
            while let Some(token) = self.token() {
                let ends = token.depth == 0 && (token.statement || self.is(0, ";"));
                if ends || token.depth == 0 && self.is(0, ",") {
                    break;
                }
                self.inner()?;
            }
            if !self.is(0, ",") {
                return Ok(());
            }
            self.at += 1;
        }
    }

    /// One token of an initial value, in which there may be `import(…)`.
    fn inner(&mut self) -> Result<(), ModuleError> {
        let token = self.tokens[self.at];
        match self.text(0) {
            "import" if token.operand => self.item(),
            _ => {
                self.at += 1;
                Ok(())
            }
        }
    }

    fn pattern(&mut self, names: &mut Vec<String>, level: usize) -> Result<(), ModuleError> {
        let Some(token) = self.token().filter(|_| level < PATTERN_DEPTH_MAX) else {
            return Err(ModuleError::Unread);
        };
        let (close, object) = match self.text(0) {
            "{" => ("}", true),
            "[" => ("]", false),
            _ => {
                names.push(self.name(0)?);
                self.at += 1;
                return Ok(());
            }
        };
        self.at += 1;
        let depth = token.depth + 1;
        loop {
            match self.text(0) {
                "," | "..." => self.at += 1,
                text if text == close => break,
                "" => return Err(ModuleError::Unread),
                _ if object => self.property(names, level, depth)?,
                _ => self.pattern(names, level + 1)?,
            }
            if self.is(0, "=") {
                while let Some(token) = self.token() {
                    let here = token.depth == depth;
                    if here && (self.is(0, ",") || self.is(0, close)) {
                        break;
                    }
                    self.inner()?;
                }
            }
        }
        self.at += 1;
        Ok(())
    }

    fn property(
        &mut self,
        names: &mut Vec<String>,
        level: usize,
        depth: usize,
    ) -> Result<(), ModuleError> {
        if self.is(0, "[") {
            self.at += 1;
            while self.token().is_some_and(|token| token.depth > depth) {
                self.inner()?;
            }
        } else if self.is(1, ":") {
            self.at += 1;
        } else {
            names.push(self.name(0)?);
            self.at += 1;
            return Ok(());
        }
        if !self.is(0, ":") {
            return Err(ModuleError::Unread);
        }
        self.at += 1;
        self.pattern(names, level + 1)
    }

    /// `{ a, b as c, default as d, "e" as f }`, as pairs.
    fn list(&mut self) -> Result<Vec<(String, String)>, ModuleError> {
        let mut pairs = Vec::new();
        self.at += 1;
        while !self.is(0, "}") {
            let first = self.name(0)?;
            self.at += 1;
            let mut second = first.clone();
            if self.is(0, "as") {
                second = self.name(1)?;
                self.at += 2;
            }
            pairs.push((first, second));
            if self.is(0, ",") {
                self.at += 1;
            }
        }
        self.at += 1;
        Ok(pairs)
    }

    /// A name, or the string that stands for one.
    fn name(&self, ahead: usize) -> Result<String, ModuleError> {
        let text = self.text(ahead);
        let token = self
            .tokens
            .get(self.at + ahead)
            .ok_or(ModuleError::Unread)?;
        if text.contains('\\') {
            return Err(ModuleError::Refused {
                line: token.line,
                what: "names in import and export are written without escapes here".to_owned(),
            });
        }
        match token.kind {
            TokenKind::Name(_) => Ok(text.to_owned()),
            TokenKind::Str => match text.get(1..text.len().saturating_sub(1)) {
                Some(name) => Ok(name.to_owned()),
                None => Err(ModuleError::Unread),
            },
            _ => Err(ModuleError::Unread),
        }
    }

    fn specifier(&mut self) -> Result<String, ModuleError> {
        let Some(token) = self.token().filter(|token| token.kind == TokenKind::Str) else {
            return Err(ModuleError::Unread);
        };
        let specifier = self.name(0)?;
        self.at += 1;
        if self.is(0, "with") && self.is(1, "{") {
            return Err(ModuleError::Refused {
                line: token.line,
                what: "import attributes are not known here: every module is JavaScript".to_owned(),
            });
        }
        if !self.out.requests.contains(&specifier) {
            self.out.requests.push(specifier.clone());
        }
        Ok(specifier)
    }

    fn exported(&mut self, name: String, export: Export) {
        // Twice the same name is a syntax error, which the engine has told or will.
        self.out.exports.insert(name, export);
    }

    /// Blanks a statement up to the token before the current one; with its semicolon.
    fn blank_statement(&mut self, start: usize) -> Result<(), ModuleError> {
        let end = self.tokens[self.at - 1].end;
        self.blank(start, end);
        // The semicolon stays, so that nothing before it runs into what follows.
        if !self.is(0, ";") {
            self.out.text[start] = b';';
        }
        Ok(())
    }

    fn blank(&mut self, start: usize, end: usize) {
        for at in start..end {
            // Ends of lines stay; what is longer than a byte becomes as many spaces.
            if !matches!(self.out.text[at], b'\n' | b'\r') {
                self.out.text[at] = b' ';
            }
        }
    }

    /// Puts a word in the place of a longer one.
    fn replace(&mut self, start: usize, end: usize, word: &str) {
        self.blank(start, end);
        self.out.text[start..start + word.len()].copy_from_slice(word.as_bytes());
    }

    /// A name that was imported is exported from where it came.
    fn finish(mut self) -> Result<Module, ModuleError> {
        for export in self.out.exports.values_mut() {
            let Export::Local(local) = export else {
                continue;
            };
            let from = self
                .out
                .bindings
                .iter()
                .find(|binding| binding.local == *local);
            let Some(Binding {
                specifier, name, ..
            }) = from
            else {
                continue;
            };
            let specifier = specifier.clone();
            *export = match name.clone() {
                Some(name) => Export::From { specifier, name },
                None => Export::Namespace { specifier },
            };
        }
        Ok(self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apart(text: &str) -> (String, Module) {
        let module = take_apart(text.as_bytes()).expect("a module");
        (
            String::from_utf8(module.text.clone()).expect("UTF-8"),
            module,
        )
    }

    fn locals(module: &Module) -> Vec<(String, String)> {
        let pairs = module
            .exports
            .iter()
            .filter_map(|(name, export)| match export {
                Export::Local(local) => Some((name.clone(), local.clone())),
                _ => None,
            });
        pairs.collect()
    }

    #[test]
    fn every_form_of_import_is_read_and_blanked() {
        let text = "import a, { b as c, default as d, 'e f' as g } from './x.js';\n\
                    import * as n from \"y\"\nimport 'z';f(a)";
        let (out, module) = apart(text);
        assert_eq!(out.trim_start_matches([' ', ';', '\n']), "f(a)");
        assert_eq!(out.len(), text.len());
        assert_eq!(out.lines().count(), text.lines().count());
        assert_eq!(module.requests, ["./x.js", "y", "z"]);
        let seen: Vec<_> = module
            .bindings
            .iter()
            .map(|b| (b.local.as_str(), b.specifier.as_str(), b.name.as_deref()))
            .collect();
        assert_eq!(
            seen,
            [
                ("a", "./x.js", Some("default")),
                ("c", "./x.js", Some("b")),
                ("d", "./x.js", Some("default")),
                ("g", "./x.js", Some("e f")),
                ("n", "y", None),
            ]
        );
    }

    #[test]
    fn every_form_of_export_is_read() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        for (text, expected) in [
            (
                "export const a = f(1, 2), b = [3, 4]\nfoo(), bar()",
                vec!["a", "b"],
            ),
            (
                "export let { a, b: [c, { d = { q: 1 } }], ...e } = x, g",
                vec!["a", "c", "d", "e", "g"],
            ),
            ("export var a;\nlet b, c", vec!["a"]),
            ("export function f() { g, h }", vec!["f"]),
            ("export async function* f() {}", vec!["f"]),
            ("export class A extends B { x = 1 }", vec!["A"]),
            ("let a; export { a }; export { a as b }", vec!["a", "b"]),
        ] {
            let (out, module) = apart(text);
            let names: Vec<String> = module.exports.keys().cloned().collect();
            let expected: Vec<String> = {
                let mut names: Vec<String> = expected.iter().map(|n| n.to_string()).collect();
                names.sort();
                names
            };
            assert_eq!(names, expected, "{text}");
            assert!(!out.contains("export"), "{out}");
            assert_eq!(out.len(), text.len());
        }
        let (_, module) =
            apart("export * from 'a'; export * as b from 'c'; export { d as e } from 'f'");
        assert_eq!(module.stars, ["a"]);
        assert_eq!(module.requests, ["a", "c", "f"]);
        assert_eq!(
            module.exports["b"],
            Export::Namespace {
                specifier: "c".into()
            }
        );
        let from = |s: &str, n: &str| Export::From {
            specifier: s.into(),
            name: n.into(),
        };
        assert_eq!(module.exports["e"], from("f", "d"));
        let (_, module) = apart("import { x as y } from 'm'; export { y as z }");
        assert_eq!(module.exports["z"], from("m", "x"));
        let (out, module) = apart("export default 5");
        assert_eq!(
            (out.as_str(), locals(&module)),
            ("const __kv_d = 5", vec![pair("default", "__kv_d")])
        );
    }

    #[test]
    fn default_functions_and_classes_stay_declarations_in_their_columns() {
        for (text, named, tail) in [
            ("export default function () {}", "function __kv_d", " () {}"),
            (
                "export default async function* () {}",
                "async function* __kv_d",
                " () {}",
            ),
            ("export default class { x }", "class __kv_d", " { x }"),
            (
                "export default class extends A {}",
                "class __kv_d",
                " extends A {}",
            ),
            ("export default function f() {}", "function", " f() {}"),
            ("export default class A {}", "class", " A {}"),
        ] {
            let (out, _) = apart(text);
            assert_eq!(out.len(), text.len(), "{out}");
            assert_eq!(out.trim_start(), format!("{named}{tail}"), "{text}");
        }
        let (out, _) = apart("export default async () => 1");
        assert_eq!(out, "const __kv_d = async () => 1");
    }

    #[test]
    fn dynamic_import_and_meta_are_found_where_they_are_operands() {
        let text = "const a = import('x'); o.import(1); ({ import() {} }); import.meta.url; \
                    class C { import(x) {} static import = 1 }";
        let (out, _) = apart(text);
        assert_eq!(
            out,
            "const a = __kv_i('x'); o.import(1); ({ import() {} }); __kv_m     .url; \
             class C { import(x) {} static import = 1 }"
        );
        let (out, module) = apart("export const a = import('x'), { b = import('y') } = c");
        assert_eq!(out, "       const a = __kv_i('x'), { b = __kv_i('y') } = c");
        assert_eq!(module.exports.len(), 2);
        assert_eq!(
            script(b"f(import('x'))"),
            Ok(Some(b"f(__kv_i('x'))".to_vec()))
        );
        assert_eq!(script(b"'import(1)'; x.import(2)"), Ok(None));
    }

    #[test]
    fn what_cannot_be_taken_is_said() {
        let line = |text: &str| match take_apart(text.as_bytes()) {
            Err(ModuleError::Refused { line, .. }) => line,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(line("\nimport a from 'x' with { type: 'json' }"), 2);
        assert_eq!(line("export { a as '\\x41' }"), 1);
        assert_eq!(take_apart(b"export {"), Err(ModuleError::Unread));
        for text in [
            "export default",
            "export",
            "export const",
            "import",
            "import {",
            "import *",
        ] {
            let _ = take_apart(text.as_bytes());
        }
    }
}
