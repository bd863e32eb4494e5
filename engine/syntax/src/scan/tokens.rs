//! A text's tokens with what the scanner knew of each. The module transform and the search for
//! imports read these.

use super::state::Expect;
use super::{AGAIN_MAX, Flow, Mode, Scanner, Stop};
use crate::Goal;
use crate::lex::{Token, TokenKind};

/// One token.
#[derive(Clone, Copy, Debug)]
pub struct ScannedToken {
    pub kind: TokenKind,
    pub start: usize,
    pub end: usize,
    /// From 1.
    pub line: u32,
    /// How many brackets are open around it; a closing one counts as inside.
    pub depth: usize,
    /// It begins a statement of the text's own level.
    pub statement: bool,
    /// It stands where an operand begins, and so names no property.
    pub operand: bool,
    pub newline: bool,
}

/// The tokens of a text up to its end.
pub fn tokens(source: &[u8], goal: Goal) -> Result<Vec<ScannedToken>, Stop> {
    let mut tokens = Vec::new();
    read_tokens(source, goal, |token| tokens.push(token))?;
    Ok(tokens)
}

/// Gives `each` the tokens of a text, up to its end or to what cannot be read.
pub fn read_tokens(
    source: &[u8],
    goal: Goal,
    mut each: impl FnMut(ScannedToken),
) -> Result<(), Stop> {
    let mut scanner = Scanner::new(source, goal, Mode::Rewrite);
    loop {
        let token = scanner.lexer.next(scanner.slash());
        if let TokenKind::Bad(malformed) = token.kind {
            return Err(Stop::Malformed(malformed, token.place));
        }
        let depth = scanner.outer.len();
        let (statement, operand) = scanner.take_noting(&token)?;
        if token.kind == TokenKind::End {
            return Ok(());
        }
        scanner.previous = token.kind;
        each(ScannedToken {
            kind: token.kind,
            start: token.place.offset as usize,
            end: token.end as usize,
            line: token.place.line,
            depth,
            statement,
            operand,
            newline: token.newline,
        });
    }
}

impl Scanner<'_> {
    /// Takes a token; whether it began a statement outside all brackets, and whether it stood where
    /// an operand does.
    fn take_noting(&mut self, token: &Token) -> Result<(bool, bool), Stop> {
        let (mut statement, mut operand) = (false, false);
        for _ in 0..AGAIN_MAX {
            statement |= self.ctx.expect == Expect::Statement && self.outer.is_empty();
            operand |= matches!(self.ctx.expect, Expect::Statement | Expect::Operand);
            if self.step(token)? == Flow::Done {
                return Ok((statement, operand));
            }
        }
        self.unexpected(token)
    }
}
