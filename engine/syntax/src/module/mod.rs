//! Modules as functions: import and export taken out of a text, and said apart.
//!
//! QuickJS keeps modules in a table of its context, finds them there for whoever asks, and looks
//! their names up in the real global. So none is given to it: a module's text becomes the body of
//! a function, in which (`~` stands for the text's tag, see `names`)
//!
//! | author's | becomes |
//! | --- | --- |
//! | `import …`, `export {…}`, `export * …` | `;` and spaces |
//! | `export` before a declaration | spaces |
//! | `export default` before an expression or class | `const {default:~d}={default:` … `}` |
//! | `export default function (` | `function ~d (` |
//! | `import(` | `~i(` |
//! | `import.meta` | `~m.meta` |
//! | `arguments` outside of all functions | `~a` and spaces: a module has none |
//! | `<!--` | `</*~<*/!--`: in a script it would begin a comment |
//! | infix `!` | calls, see `transform` |
//!
//! Promises: every token keeps its line, and `Columns` maps each column to the author's; what
//! stands in the author's text as a property name is left alone. Linear, no recursion but for
//! patterns, whose depth is limited.
//!
//! Whether the text is a module at all is for the engine to say, which parses the author's own.

mod parser;
mod relevant;

use std::collections::BTreeMap;

use thiserror::Error;

use crate::error::TransformError;
use crate::lex::words::Word;
use crate::lex::{Place, TokenKind, words};
use crate::names::Names;
use crate::scan::{ScannedToken, Stop, read_tokens};
use crate::text::columns::Columns;
use crate::transform::edits::Edits;
use crate::transform::{Rewritten, refused, rewritten};
use crate::{Goal, Refusal, SOURCE_BYTES_MAX};
use parser::Parser;

/// Why a module cannot be taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ModuleError {
    #[error("the text cannot be read: the engine knows better what is wrong")]
    Unread,
    #[error(transparent)]
    Refused(#[from] TransformError),
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
    pub columns: Columns,
    pub names: Names,
    /// The modules it asks for, in order, each once.
    pub requests: Vec<String>,
    /// The modules of `import('…')`, in order.
    pub dynamic: Vec<String>,
    pub bindings: Vec<Binding>,
    pub exports: BTreeMap<String, Export>,
    /// The modules of `export * from`.
    pub stars: Vec<String>,
}

/// Takes a module's text apart.
pub fn take_apart(source: &[u8]) -> Result<Module, ModuleError> {
    Parser::new(source)?.module()
}

/// A script with its infix `!` and its `import(…)` made calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script<'a> {
    pub rewritten: Rewritten<'a>,
    /// It holds `import(…)`, whose early errors a call has not, or `new.target`, which the
    /// functions around an evaluation would allow: the engine must parse it as a whole script
    /// first.
    pub has_early_errors: bool,
}

/// A script as the engine is to be given it.
pub fn script(source: &[u8]) -> Result<Script<'_>, ModuleError> {
    let mut early = Early::default();
    let mut edits = match scan(source, Goal::Script, |token| early.take(token)) {
        Ok(edits) => edits,
        // What the engine would take for its own `import(…)` must not get there unread.
        Err(ModuleError::Unread) if words::decoded(source).windows(6).any(|at| at == b"import") => {
            return Err(ModuleError::Unread);
        }
        Err(ModuleError::Unread) => {
            let rewritten = crate::transform::rewrite(source, Goal::Script)?;
            return Ok(Script {
                rewritten,
                has_early_errors: false,
            });
        }
        Err(refused) => return Err(refused),
    };
    for place in &early.imports {
        edits.replace(*place, 6, "~i");
    }
    Ok(Script {
        rewritten: rewritten(source, edits),
        has_early_errors: early.has_target || !early.imports.is_empty(),
    })
}

/// What a script holds that has early errors.
#[derive(Default)]
struct Early {
    /// Each `import(`.
    imports: Vec<Place>,
    /// `new.target`
    has_target: bool,
    /// The two tokens before.
    before: [Option<ScannedToken>; 2],
}

impl Early {
    fn take(&mut self, token: ScannedToken) {
        let kinds = self.before.map(|token| token.map(|token| token.kind));
        self.has_target |= kinds == [Some(TokenKind::Name(Word::New)), Some(TokenKind::Dot)];
        let import = self.before[1].filter(|before| {
            let is_call = token.kind == TokenKind::LParen;
            is_call && before.operand && before.kind == TokenKind::Name(Word::Import)
        });
        self.imports.extend(import.map(|import| import.place));
        self.before = [self.before[1], Some(token)];
    }
}

/// Reads a text to its end; the edits are those of its infix `!`.
fn scan(source: &[u8], goal: Goal, each: impl FnMut(ScannedToken)) -> Result<Edits, ModuleError> {
    if source.len() > SOURCE_BYTES_MAX {
        return Err(refused(source, Refusal::TooLong, Place::default()).into());
    }
    read_tokens(source, goal, each).map_err(|stop| match stop {
        Stop::Refused(refusal, place) => refused(source, refusal, place).into(),
        Stop::Malformed(..) => ModuleError::Unread,
    })
}

#[cfg(test)]
mod tests;
