//! `x ! m(a)`: the infix `!` of eventual sends, rewritten to calls before the engine parses.
//!
//! | author's | rewritten |
//! | --- | --- |
//! | `x ! m(a)` | `__kenvat_send(x , "m",a)` |
//! | `x ! [k](a)` | `__kenvat_send(x , (k),a)` |
//! | `x ! (a)` | `__kenvat_call(x , 0,a)` |
//! | `x ! p` | `__kenvat_get(x , "p")` |
//! | `x ! [k]` | `__kenvat_get(x , (k))` |
//!
//! Promises:
//! 1. What is JavaScript today comes out byte for byte as it went in.
//! 2. Every token stays on its line; `Columns` maps each rewritten column to the author's.
//! 3. `x`, `k` and the arguments are evaluated once, in this order, where the author wrote them.
//! 4. The author's code cannot name what is called: the three names are refused as variables and
//!    labels, however they are spelled. As property names and in strings they are harmless.
//! 5. `restore` gives the author's text of any function of a rewritten text, from that function's
//!    text alone.
//! 6. Linear (but for sorting the edits), without recursion, total: any bytes give a text or an
//!    error with a place. Limits: `SOURCE_BYTES_MAX`, `DEPTH_MAX`, `SENDS_MAX`.
//!
//! What a realm must bind, for every piece of code that was rewritten, as lexical constants which
//! nothing reaches by a string (a property of a global object would not do):
//! `__kenvat_send(target, key, ...arguments)`, `__kenvat_call(target, 0, ...arguments)` (the
//! second argument is a mark for `restore`, to be ignored) and `__kenvat_get(target, key)`. Each
//! gives a promise at once and never throws; a computed key may be any value. What they throw or
//! show (stacks, names) must not show them. `Function.prototype.toString` gives `restore`'s result
//! where there is one.
//!
//! No I/O and no engine here: the host checks files with it and the worker compiles through it.
//! Does not know whether a program is valid: what it cannot read and holds no infix `!` is left as
//! it is, and the engine says what is wrong with it.

#![forbid(unsafe_code)]

mod error;
pub mod imports;
mod lex;
pub mod module;
mod scan;
mod text;
mod transform;

use std::borrow::Cow;

pub use error::{Malformed, Refusal, TransformError};
use lex::{Place, words};
use scan::{Mode, Scanner, Stop};
pub use text::columns::Columns;
pub use text::excerpt::near;
pub use text::lines::{line, line_of};

/// The functions that rewritten text calls: send, call, get.
pub const HIDDEN_NAMES: [&str; 3] = ["__kenvat_send", "__kenvat_call", "__kenvat_get"];

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

/// A text as the engine is to be given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten<'a> {
    /// The author's own where there was nothing to rewrite.
    pub text: Cow<'a, [u8]>,
    pub columns: Columns,
}

/// Rewrites every infix `!` of a text in UTF-8, in which a lone surrogate may stand as three bytes.
pub fn rewrite(source: &[u8], goal: Goal) -> Result<Rewritten<'_>, TransformError> {
    let refuse = |form: Refusal, place: Place| Err(refused(source, form, place));
    if source.len() > SOURCE_BYTES_MAX {
        return refuse(Refusal::TooLong, Place::default());
    }
    let mut scanner = Scanner::new(source, goal, Mode::Rewrite);
    match scanner.run() {
        Ok(()) => {}
        Err(Stop::Refused(form, place)) => return refuse(form, place),
        Err(Stop::Malformed(malformed, place)) if scanner.found_any() => {
            return refuse(Refusal::Unreadable(malformed), place);
        }
        Err(Stop::Malformed(_, place)) => {
            // The engine parses the rest by itself, so the names must not stand there at all.
            let rest = source.get(place.offset as usize..).unwrap_or_default();
            if let Some(name) = words::mentioned(rest) {
                return refuse(Refusal::Hidden(name), place);
            }
            return Ok(unchanged(source));
        }
    }
    let edits = scanner.into_edits();
    if edits.is_empty() {
        return Ok(unchanged(source));
    }
    let (text, columns) = edits.apply(source);
    Ok(Rewritten {
        text: Cow::Owned(text),
        columns,
    })
}

/// As `rewrite`, for text without lone surrogates.
pub fn rewrite_str(source: &str, goal: Goal) -> Result<(Cow<'_, str>, Columns), TransformError> {
    let Rewritten { text, columns } = rewrite(source.as_bytes(), goal)?;
    let text = match text {
        Cow::Borrowed(_) => Cow::Borrowed(source),
        // Edits begin and end at tokens, and so between characters.
        Cow::Owned(text) => Cow::Owned(String::from_utf8_lossy(&text).into_owned()),
    };
    Ok((text, columns))
}

/// The author's text of a function, class or method, given its rewritten text; `None` where both
/// are the same.
pub fn restore(text: &[u8]) -> Option<Vec<u8>> {
    // Most functions send nothing; the names always stand there unescaped.
    words::mentioned(text)?;
    if text.len() > u32::MAX as usize {
        return None;
    }
    // A method's text alone begins like a call or a statement; one named after a statement does
    // not, and is read as what it is in a class.
    [Mode::Restore, Mode::RestoreMethod]
        .into_iter()
        .find_map(|mode| {
            let mut scanner = Scanner::new(text, Goal::Script, mode);
            scanner.run().ok()?;
            let edits = scanner.into_edits();
            (!edits.is_empty()).then(|| edits.apply(text).0)
        })
}

fn unchanged(source: &[u8]) -> Rewritten<'_> {
    Rewritten {
        text: Cow::Borrowed(source),
        columns: Columns::default(),
    }
}

fn refused(source: &[u8], form: Refusal, place: Place) -> TransformError {
    let line = source.get(place.line_start as usize..place.offset as usize);
    let starts = |byte: &&u8| **byte & 0xC0 != 0x80;
    let before = line.unwrap_or_default().iter().filter(starts).count();
    TransformError {
        form,
        line: place.line.max(1),
        column: before as u32 + 1,
        offset: place.offset,
    }
}
