//! A text's tokens with what the scanner knew of each. The module transform and the search for
//! imports read these.

use super::state::Expect;
use super::{AGAIN_MAX, Flow, Scanner, Stop};
use crate::Goal;
use crate::lex::{Place, Token, TokenKind};
use crate::transform::edits::Edits;

/// One token.
#[derive(Clone, Copy, Debug)]
pub struct ScannedToken {
    pub kind: TokenKind,
    pub place: Place,
    pub start: usize,
    pub end: usize,
    /// Where the lexer stood behind it: for the `}` of a template, behind the part that follows.
    pub after: Place,
    /// How many brackets are open around it; a closing one counts as inside.
    pub depth: usize,
    /// It begins a statement of the text's own level.
    pub statement: bool,
    /// It stands where an operand begins, and so names no property.
    pub operand: bool,
}

/// The tokens of a text up to its end, and the edits of its infix `!`.
pub fn tokens(source: &[u8], goal: Goal) -> Result<(Vec<ScannedToken>, Edits), Stop> {
    let mut tokens = Vec::new();
    let edits = read_tokens(source, goal, |token| tokens.push(token))?;
    Ok((tokens, edits))
}

/// Gives `each` the tokens of a text, up to its end or to what cannot be read.
pub fn read_tokens(
    source: &[u8],
    goal: Goal,
    mut each: impl FnMut(ScannedToken),
) -> Result<Edits, Stop> {
    let mut scanner = Scanner::new(source, goal);
    while let Some(token) = scanner.next_token()? {
        let depth = scanner.outer.len();
        let (statement, operand) = scanner.take_noting(&token)?;
        scanner.previous = token.kind;
        if token.kind != TokenKind::End {
            each(ScannedToken {
                kind: token.kind,
                place: token.place,
                start: token.place.offset as usize,
                end: token.end as usize,
                after: scanner.lexer.place(),
                depth,
                statement,
                operand,
            });
        }
    }
    Ok(scanner.edits)
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
