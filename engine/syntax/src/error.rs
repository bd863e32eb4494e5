//! Why a text is refused, in words for its author, and where.

use thiserror::Error;

use super::{DEPTH_MAX, SENDS_MAX, SOURCE_BYTES_MAX};

/// A text the rewriter refuses.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{refusal}")]
pub struct TransformError {
    pub refusal: Refusal,
    /// From 1, as the engine counts lines.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// In bytes.
    pub offset: u32,
}

/// What is wrong. Each message begins with the form it is about, as an author would write it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    #[error("x++ ! m(): an updated variable is no operand of !: write (x++) ! m()")]
    AfterUpdate,
    #[error("super ! m(): super is no object to send to: write this ! m()")]
    Super,
    #[error("import ! m(): import is no object to send to: write import(x) ! m()")]
    Import,
    #[error("new C ! m(): new needs its arguments before !: write new C() ! m()")]
    New,
    #[error("x?.y ! m(): an optional chain is no operand of !: write (x?.y) ! m()")]
    Optional,
    #[error("{{…}} ! m(): no infix ! comes after }}: put parentheses around what ends there")]
    AfterBrace,
    #[error("x ! #p: a private name is reached by its own class alone, never by sending")]
    Private,
    #[error("x ! p = v: what is sent for cannot be assigned to: send a setter method instead")]
    Assigned,
    #[error("x ! p++: what is sent for cannot be assigned to: send a method instead")]
    Updated,
    #[error("delete x ! p: a property cannot be deleted by sending: send a method instead")]
    Deleted,
    #[error("[x ! p] = v: what is sent for is no target of a destructuring assignment")]
    Destructured,
    #[error("for (x ! p of v): what is sent for is no target of a loop")]
    LoopTarget,
    #[error("x ! …: after an infix ! comes a name, (arguments) or [a computed name]")]
    NoName,
    #[error("x ! []: the brackets name no property")]
    EmptyKey,
    #[error("x ! [...k]: the brackets take one property")]
    SpreadKey,
    #[error("import attributes are not known here: every module is JavaScript")]
    Attributes,
    #[error("a source is at most {SOURCE_BYTES_MAX} bytes")]
    TooLong,
    #[error(
        "brackets are nested more than {DEPTH_MAX} deep: put an inner part into a variable or a \
         function of its own"
    )]
    TooDeep,
    #[error("a source has at most {SENDS_MAX} sends (x ! m())")]
    TooManySends,
    #[error("{0}")]
    Unreadable(Malformed),
}

/// What is no JavaScript. The engine says the same, and better, where nothing was rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Malformed {
    #[error("unexpected character")]
    Character,
    #[error("this comment never ends")]
    Comment,
    #[error("this string never ends")]
    String,
    #[error("this template never ends")]
    Template,
    #[error("this regular expression never ends")]
    Regex,
    #[error("unexpected end: a bracket is still open")]
    End,
    #[error("unexpected token")]
    Token,
}
