//! The infix `!` of a text rewritten to calls, and a function's text as its author wrote it.

pub mod edits;
mod restore;

use std::borrow::Cow;

pub use restore::restore;

use crate::error::{Refusal, TransformError};
use crate::lex::Place;
use crate::names::Names;
use crate::scan::{Scanner, Stop};
use crate::text::columns::Columns;
use crate::{Goal, SOURCE_BYTES_MAX};
use edits::Edits;

/// A text as the engine is to be given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten<'a> {
    /// The author's own where there was nothing to rewrite.
    pub text: Cow<'a, [u8]>,
    pub columns: Columns,
    /// The names of what was put in; `None` where nothing was.
    pub names: Option<Names>,
}

/// Rewrites every infix `!` of a text in UTF-8, in which a lone surrogate may stand as three bytes.
pub fn rewrite(source: &[u8], goal: Goal) -> Result<Rewritten<'_>, TransformError> {
    if source.len() > SOURCE_BYTES_MAX {
        return Err(refused(source, Refusal::TooLong, Place::default()));
    }
    let mut scanner = Scanner::new(source, goal);
    match scanner.run() {
        Ok(()) => Ok(rewritten(source, scanner.into_edits())),
        Err(Stop::Refused(refusal, place)) => Err(refused(source, refusal, place)),
        Err(Stop::Malformed(malformed, place)) if scanner.found_any() => {
            Err(refused(source, Refusal::Unreadable(malformed), place))
        }
        // The engine says what is wrong.
        Err(Stop::Malformed(..)) => Ok(rewritten(source, Edits::default())),
    }
}

/// As `rewrite`, for text without lone surrogates.
pub fn rewrite_str(source: &str, goal: Goal) -> Result<(Cow<'_, str>, Columns), TransformError> {
    let Rewritten { text, columns, .. } = rewrite(source.as_bytes(), goal)?;
    let text = match text {
        Cow::Borrowed(_) => Cow::Borrowed(source),
        // Edits begin and end at tokens, and so between characters.
        Cow::Owned(text) => Cow::Owned(String::from_utf8_lossy(&text).into_owned()),
    };
    Ok((text, columns))
}

/// A text with these edits.
pub fn rewritten(source: &[u8], edits: Edits) -> Rewritten<'_> {
    if edits.is_empty() {
        return Rewritten {
            text: Cow::Borrowed(source),
            columns: Columns::default(),
            names: None,
        };
    }
    let names = Names::of(source);
    let (text, columns) = edits.apply(source, names);
    Rewritten {
        text: Cow::Owned(text),
        columns,
        names: Some(names),
    }
}

pub fn refused(source: &[u8], refusal: Refusal, place: Place) -> TransformError {
    let line = source.get(place.line_start as usize..place.offset as usize);
    let starts = |byte: &&u8| **byte & 0xC0 != 0x80;
    let before = line.unwrap_or_default().iter().filter(starts).count();
    TransformError {
        refusal,
        line: place.line.max(1),
        column: before as u32 + 1,
        offset: place.offset,
    }
}

#[cfg(test)]
mod tests;
