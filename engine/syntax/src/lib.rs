//! JavaScript as Kenvat reads it: one lexer for the infix `!`, modules, imports, lines and columns.
//!
//! | folder | holds |
//! | --- | --- |
//! | `lex` | tokens, as the engine cuts them |
//! | `scan` | structure: what an infix `!` takes as its left side, where imports are |
//! | `transform` | the syntax transform: infix `!` to calls, and back |
//! | `module` | modules as functions: imports and exports taken out |
//! | `imports` | the modules that a text names |
//! | `names` | the names of what is put into a text |
//! | `text` | lines, columns, excerpts |
//!
//! `x ! m(a)` is rewritten before the engine parses. `~` stands for the text's tag (`names`):
//!
//! | author's | rewritten |
//! | --- | --- |
//! | `x ! m(a)` | `~s(x ,/*~*/ "m",a)` |
//! | `x ! [k](a)` | `~s(x ,/*~*/ (k)/*~]*/,a)` |
//! | `x ! (a)` | `~c(x ,/*~*/ 0,a)` |
//! | `x ! p` | `~g(x ,/*~*/ "p")` |
//! | `x ! [k]` | `~g(x ,/*~*/ (k)/*~]*/)` |
//!
//! Promises:
//! 1. What is JavaScript today comes out byte for byte as it went in.
//! 2. Every token stays on its line; `Columns` maps each rewritten column to the author's.
//! 3. `x`, `k` and the arguments are evaluated once, in this order, where the author wrote them.
//! 4. The author's code cannot name what is called: the names are chosen for each text, so that
//!    they occur nowhere in it. A text that says a name of another text's is plain JavaScript.
//! 5. `restore` gives the author's text of any function of a rewritten text, from that function's
//!    text and the text's names.
//! 6. Linear (but for sorting the edits), without recursion, total: any bytes give a text or an
//!    error with a place. Limits: `SOURCE_BYTES_MAX`, `DEPTH_MAX`, `SENDS_MAX`.
//! 7. Tokens are those of the engine for every text that the engine accepts as strict code: the
//!    worker's `src/equivalence` compares the two.
//!
//! What a realm must bind, for every piece of code that was rewritten, as lexical constants which
//! nothing reaches by a string (a property of a global object would not do):
//! `~s(target, key, ...arguments)`, `~c(target, 0, ...arguments)` (the second argument is a mark
//! for `restore`, to be ignored) and `~g(target, key)`. Each gives a promise at once and never
//! throws; a computed key may be any value. `Function.prototype.toString` gives `restore`'s result
//! where there is one.
//!
//! No I/O, no randomness (not even that of a hash table: the worker may not ask for any) and no
//! engine here: the host checks files with it and the worker compiles through it. Does not know
//! whether a program is valid: what it cannot read and holds no infix `!` is left as it is, and the
//! engine says what is wrong with it.

#![forbid(unsafe_code)]

mod error;
pub mod imports;
mod lex;
pub mod module;
mod names;
mod scan;
mod text;
mod transform;

pub use error::{Malformed, Refusal, TransformError};
pub use names::{Hidden, Names};
pub use text::columns::Columns;
pub use text::excerpt::near;
pub use text::lines::{line, line_of};
pub use transform::{Rewritten, restore, rewrite, rewrite_str};

/// Bytes of one source: what a vat's files may be together.
pub const SOURCE_BYTES_MAX: usize = 16 << 20;

/// Brackets open at one place. The engine's own parser gives up long before.
pub const DEPTH_MAX: usize = 1 << 16;

/// Infix `!` in one source, so that the rewritten text is bounded.
pub const SENDS_MAX: u32 = 1 << 20;

/// What a text is, which decides whether `<!--` begins a comment there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    Module,
    /// Also the body of a function and what `eval` is given.
    Script,
}

#[cfg(test)]
mod equivalence;
