//! A text's tokens with what the scanner knew of each: what takes a module apart reads these.

use super::super::Goal;
use super::super::lex::{Tok, Token};
use super::state::Expect;
use super::{AGAIN_MAX, Flow, Mode, Scanner, Stop};

/// One token.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    pub tok: Tok,
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
pub fn pieces(source: &[u8], goal: Goal) -> Result<Vec<Piece>, Stop> {
    let mut scanner = Scanner::new(source, goal, Mode::Rewrite);
    let mut pieces = Vec::new();
    loop {
        let token = scanner.lexer.next(scanner.slash());
        if let Tok::Bad(trouble) = token.tok {
            return Err(Stop::Trouble(trouble, token.place));
        }
        let depth = scanner.outer.len();
        let (statement, operand) = scanner.take_noting(&token)?;
        if token.tok == Tok::End {
            return Ok(pieces);
        }
        scanner.previous = token.tok;
        pieces.push(Piece {
            tok: token.tok,
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
