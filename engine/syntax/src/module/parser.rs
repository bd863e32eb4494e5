//! The statements of a module that import and export, token by token.

use std::collections::{BTreeMap, BTreeSet};

use super::{Binding, Export, Module, ModuleError, scan};
use crate::lex::{Place, TokenKind, strings, words};
use crate::names::{Hidden, Names};
use crate::scan::ScannedToken;
use crate::transform::edits::Edits;
use crate::transform::refused;
use crate::{Goal, Refusal};

/// Levels of a destructuring pattern in an `export`.
const PATTERN_DEPTH_MAX: usize = 100;

pub struct Parser<'a> {
    source: &'a [u8],
    tokens: Vec<ScannedToken>,
    at: usize,
    edits: Edits,
    requested: BTreeSet<String>,
    out: Module,
}

impl<'a> Parser<'a> {
    pub fn new(source: &'a [u8]) -> Result<Self, ModuleError> {
        let (tokens, edits) = scan(source, Goal::Module)?;
        Ok(Parser {
            source,
            tokens,
            at: 0,
            edits,
            requested: BTreeSet::new(),
            out: Module {
                names: Names::of(source),
                ..Module::default()
            },
        })
    }

    pub fn module(mut self) -> Result<Module, ModuleError> {
        while self.at < self.tokens.len() {
            self.item()?;
        }
        self.pass_on_imports();
        let (text, columns) = self.edits.apply(self.source, self.out.names);
        Ok(Module {
            text,
            columns,
            ..self.out
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
                self.edits.replace(token.place, 6, "~i");
                let argument = self.tokens.get(self.at + 2);
                if argument.is_some_and(|argument| argument.kind == TokenKind::Str) {
                    self.out.dynamic.extend(strings::value(self.text(2)));
                }
                self.at += 1;
            }
            "import" if token.operand && follows == "." && self.is(2, "meta") => {
                self.edits.replace(token.place, 6, "~m");
                self.at += 3;
            }
            "import" if token.statement && token.depth == 0 => self.import()?,
            "export" if token.statement && token.depth == 0 => self.export()?,
            _ => self.at += 1,
        }
        Ok(())
    }

    fn import(&mut self) -> Result<(), ModuleError> {
        let start = self.at;
        self.at += 1;
        let mut bindings = Vec::new();
        if self
            .token()
            .is_some_and(|token| token.kind != TokenKind::Str)
        {
            self.import_clause(&mut bindings)?;
            self.word("from")?;
        }
        let specifier = self.specifier()?;
        for (local, name) in bindings {
            self.out.bindings.push(Binding {
                local,
                specifier: specifier.clone(),
                name,
            });
        }
        self.blank_statement(start);
        Ok(())
    }

    /// `a`, `* as b`, `{ c as d }`, or the first with one of the others.
    fn import_clause(
        &mut self,
        bindings: &mut Vec<(String, Option<String>)>,
    ) -> Result<(), ModuleError> {
        if self
            .token()
            .is_some_and(|token| matches!(token.kind, TokenKind::Name(_)))
        {
            bindings.push((self.name(0)?, Some("default".to_owned())));
            self.at += 1;
            if !self.is(0, ",") {
                return Ok(());
            }
            self.at += 1;
        }
        if self.is(0, "*") {
            self.at += 1;
            self.word("as")?;
            bindings.push((self.name(0)?, None));
            self.at += 1;
            return Ok(());
        }
        if !self.is(0, "{") {
            return Err(ModuleError::Unread);
        }
        for (name, local) in self.list()? {
            bindings.push((local, Some(name)));
        }
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<(), ModuleError> {
        if !self.is(0, word) {
            return Err(ModuleError::Unread);
        }
        self.at += 1;
        Ok(())
    }

    fn export(&mut self) -> Result<(), ModuleError> {
        match self.text(1) {
            "default" => self.default(),
            "{" => self.export_list(),
            "*" => self.export_star(),
            _ => self.export_declaration(),
        }
    }

    fn export_list(&mut self) -> Result<(), ModuleError> {
        let start = self.at;
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
        self.blank_statement(start);
        Ok(())
    }

    fn export_star(&mut self) -> Result<(), ModuleError> {
        let start = self.at;
        self.at += 2;
        let mut name = None;
        if self.is(0, "as") {
            name = Some(self.name(1)?);
            self.at += 2;
        }
        self.word("from")?;
        let specifier = self.specifier()?;
        match name {
            Some(name) => self.exported(name, Export::Namespace { specifier }),
            None => self.out.stars.push(specifier),
        }
        self.blank_statement(start);
        Ok(())
    }

    fn export_declaration(&mut self) -> Result<(), ModuleError> {
        self.blank(self.at);
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
        let start = self.at;
        self.at += 2;
        let keyword = usize::from(self.is(0, "async") && self.is(1, "function"));
        if self.is(keyword, "function") {
            return self.default_function(start, keyword);
        }
        let is_named = !self.is(1, "{") && !self.is(1, "extends");
        if self.is(0, "class") && is_named {
            self.blank(start);
            self.blank(start + 1);
            let name = self.name(1)?;
            self.at += 2;
            self.exported("default".into(), Export::Local(name));
            return Ok(());
        }
        // An unnamed function or class gets its name, `default`, from the property it becomes.
        let export = self.tokens[start].place;
        self.edits
            .replace(export, 6, "const {default:~d}={default:");
        self.blank(start + 1);
        self.expression()?;
        let after = self.tokens[self.at - 1].after;
        self.edits.replace(after, 0, "}");
        let local = self.out.names.name(Hidden::Default);
        self.exported("default".into(), Export::Local(local));
        Ok(())
    }

    /// `function` stays a declaration, which exists before the module runs.
    fn default_function(&mut self, start: usize, keyword: usize) -> Result<(), ModuleError> {
        self.blank(start);
        self.blank(start + 1);
        let head = keyword + usize::from(self.is(keyword + 1, "*"));
        let local = if self.is(head + 1, "(") {
            let after = self.tokens[self.at + head].after;
            self.edits.replace(after, 0, " ~d");
            self.out.names.name(Hidden::Default)
        } else {
            self.name(head + 1)?
        };
        self.at += head + 1;
        self.exported("default".into(), Export::Local(local));
        Ok(())
    }

    /// Passes an expression that is a statement's last part.
    fn expression(&mut self) -> Result<(), ModuleError> {
        if self.token().is_none() {
            return Err(ModuleError::Unread);
        }
        self.inner()?;
        while let Some(token) = self.token() {
            if token.depth == 0 && (token.statement || self.is(0, ";")) {
                break;
            }
            self.inner()?;
        }
        Ok(())
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
        let token = self.tokens.get(self.at + ahead);
        let name = match token.map(|token| token.kind) {
            Some(TokenKind::Name(_)) => words::name(self.text(ahead)),
            Some(TokenKind::Str) => strings::value(self.text(ahead)),
            _ => None,
        };
        name.ok_or(ModuleError::Unread)
    }

    fn specifier(&mut self) -> Result<String, ModuleError> {
        if !self
            .token()
            .is_some_and(|token| token.kind == TokenKind::Str)
        {
            return Err(ModuleError::Unread);
        }
        let specifier = self.name(0)?;
        self.at += 1;
        if self.is(0, "with") && self.is(1, "{") {
            if !self.is(2, "}") {
                let place = self.tokens[self.at].place;
                return Err(refused(self.source, Refusal::Attributes, place).into());
            }
            self.at += 3;
        }
        if self.requested.insert(specifier.clone()) {
            self.out.requests.push(specifier.clone());
        }
        Ok(specifier)
    }

    fn exported(&mut self, name: String, export: Export) {
        // Twice the same name is a syntax error, which the engine has told or will.
        self.out.exports.insert(name, export);
    }

    /// Blanks a statement up to the token before the current one.
    fn blank_statement(&mut self, start: usize) {
        for at in start + 1..self.at {
            self.blank(at);
        }
        // The semicolon stays, so that nothing before it runs into what follows.
        let first = self.tokens[start].place;
        match self.is(0, ";") {
            true => self.blank(start),
            false => self.edits.replace(first, 6, ";     "),
        }
    }

    /// Puts spaces over a token; the ends of lines in a string stay.
    fn blank(&mut self, at: usize) {
        let token = self.tokens[at];
        let mut place = token.place;
        let bytes = self.source.get(token.start..token.end).unwrap_or_default();
        for part in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            let text = part.trim_ascii_end().len() as u32;
            self.edits.blank(place, text);
            let end = place.offset + part.len() as u32;
            let is_half = part.ends_with(b"\r") && self.source.get(end as usize) == Some(&b'\n');
            place = Place {
                offset: end,
                line: place.line + u32::from(!is_half),
                line_start: end,
            };
        }
    }

    /// A name that was imported is exported from where it came.
    fn pass_on_imports(&mut self) {
        let imported: BTreeMap<&str, &Binding> = self
            .out
            .bindings
            .iter()
            .map(|binding| (binding.local.as_str(), binding))
            .collect();
        for export in self.out.exports.values_mut() {
            let Export::Local(local) = export else {
                continue;
            };
            let Some(Binding {
                specifier, name, ..
            }) = imported.get(local.as_str())
            else {
                continue;
            };
            let specifier = specifier.clone();
            *export = match name.clone() {
                Some(name) => Export::From { specifier, name },
                None => Export::Namespace { specifier },
            };
        }
    }
}
