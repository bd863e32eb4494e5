//! Where a statement may begin, and the words that begin one.

use super::state::{After, Expect, Kind};
use super::{Flow, Scanner, Step};
use crate::lex::words::Word;
use crate::lex::{Glance, Token, TokenKind};

impl Scanner<'_> {
    pub(super) fn statement(&mut self, token: &Token) -> Step {
        match token.kind {
            TokenKind::Name(word) => self.first_word(token, word),
            TokenKind::Semi | TokenKind::Colon => Ok(Flow::Done),
            TokenKind::LBrace => {
                self.push(token, Kind::Statements, After::Statement, Expect::Statement)
            }
            TokenKind::RBrace | TokenKind::RParen | TokenKind::RBracket | TokenKind::End => {
                self.close(token)
            }
            _ => self.expression(),
        }
    }

    fn first_word(&mut self, token: &Token, word: Word) -> Step {
        match word {
            Word::Head | Word::With | Word::Catch => self.expect(Expect::Head),
            Word::For => self.expect(Expect::ForHead),
            Word::Statement => self.expect(Expect::Statement),
            Word::Return => {
                self.fresh();
                self.expect(Expect::Restricted)
            }
            Word::Jump => self.expect(Expect::Jump),
            Word::Declare | Word::Case => self.expect_operand(),
            Word::Default => {
                // Its colon leads to a statement.
                self.fresh();
                self.expect(Expect::Operator)
            }
            Word::Function => self.function(After::Statement),
            Word::Async if self.lexer.glance() == Glance::Function => {
                self.ctx.async_function = true;
                Ok(Flow::Done)
            }
            Word::Class => self.push(token, Kind::ClassHead, After::Statement, Expect::ClassName),
            Word::Import if self.imports() => self.expect(Expect::ImportDecl),
            Word::Export => self.expect(Expect::Export),
            _ => self.expression(),
        }
    }

    fn expression(&mut self) -> Step {
        self.fresh();
        self.again(Expect::Operand)
    }

    /// Whether the `import` just read is a declaration's.
    fn imports(&self) -> bool {
        !matches!(self.lexer.peek().kind, TokenKind::LParen | TokenKind::Dot)
    }

    /// After `break` and `continue`: a label on the same line.
    pub(super) fn jump(&mut self, token: &Token) -> Step {
        match token.kind {
            TokenKind::Name(_) if !token.newline => self.expect(Expect::Statement),
            _ => self.again(Expect::Statement),
        }
    }

    /// After `return`, `throw` and `yield`: what they take stands on the same line.
    pub(super) fn restricted(&mut self, token: &Token) -> Step {
        match self.ctx.kind {
            Kind::Statements if token.newline => self.next_statement(token),
            _ => self.again(Expect::Operand),
        }
    }

    /// After `if` and its like.
    pub(super) fn head(&mut self, token: &Token) -> Step {
        match token.kind {
            TokenKind::LParen => self.push(token, Kind::Paren, After::Statement, Expect::Operand),
            // `catch {`
            TokenKind::LBrace => self.again(Expect::Statement),
            _ => self.unexpected(token),
        }
    }

    pub(super) fn for_head(&mut self, token: &Token) -> Step {
        match token.kind {
            TokenKind::Name(Word::Await) => Ok(Flow::Done),
            TokenKind::LParen => self.push(token, Kind::For, After::Statement, Expect::Operand),
            _ => self.unexpected(token),
        }
    }
}
