//! What the lexer gives: tokens, and where they stand.
//!
//! Knows nothing of how a text is cut into them.

use super::words;
use crate::error::Malformed;

/// What a token is; names with an escape in them are never keywords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    End,
    Name(words::Word),
    /// `#name`.
    Private,
    Number,
    Str,
    /// A whole template, or its last part.
    Template,
    /// A part of a template up to and with `${`.
    TemplateHead,
    Regex,
    LParen,
    RParen,
    LBracket,
    RBracket,
    LBrace,
    RBrace,
    Semi,
    Comma,
    Dot,
    /// `?.`
    OptionalDot,
    /// `...`
    Spread,
    Colon,
    Question,
    /// `=>`
    Arrow,
    Bang,
    /// `=` and what assigns as it does: `+=`, `??=`, …
    Assign,
    /// `++` and `--`.
    Update,
    /// `~`.
    Tilde,
    /// Any other operator, all of which can stand between two operands.
    Binary,
    Bad(Malformed),
}

/// Where in the text something stands, as the engine counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub offset: u32,
    /// From 1.
    pub line: u32,
    pub line_start: u32,
}

impl Place {
    /// The place a few bytes further, on the same line.
    pub fn plus(self, bytes: u32) -> Place {
        Place {
            offset: self.offset + bytes,
            ..self
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Token {
    pub kind: TokenKind,
    pub place: Place,
    pub end: u32,
    /// A line ended between the token before and this one.
    pub newline: bool,
}

/// How a `/` is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slash {
    Divides,
    /// Divides on the same line, and begins a regular expression on another.
    DividesOnLine,
    Opens,
}
