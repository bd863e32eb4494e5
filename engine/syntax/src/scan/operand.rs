//! Where an operand begins.

use super::state::{After, AsyncHead, Chain, Expect, Kind, Last, Prefix};
use super::{Flow, Scanner, Step};
use crate::error::Refusal;
use crate::lex::words::Word;
use crate::lex::{Glance, Token, TokenKind};

impl Scanner<'_> {
    pub(super) fn operand(&mut self, token: &Token) -> Step {
        match token.kind {
            TokenKind::Name(word) => self.operand_word(token, word),
            // Only `in` takes it as it stands.
            TokenKind::Private => self.whole(token, Last::Private),
            TokenKind::Number | TokenKind::Str | TokenKind::Regex | TokenKind::Template => {
                self.whole(token, Last::Plain)
            }
            TokenKind::TemplateHead => {
                self.part(token, Kind::Template, After::Operand, Expect::Operand)
            }
            TokenKind::LParen => self.part(token, Kind::Paren, After::Operand, Expect::Operand),
            TokenKind::LBracket => self.part(token, Kind::Array, After::Array, Expect::Operand),
            TokenKind::LBrace => self.part(token, Kind::Object, After::Object, Expect::PropName),
            TokenKind::Update => {
                self.fresh();
                self.ctx.prefix = Prefix::Update;
                Ok(Flow::Done)
            }
            TokenKind::Spread if self.ctx.after == After::Key => {
                self.refuse(Refusal::SpreadKey, token.place)
            }
            TokenKind::Spread => Ok(Flow::Done),
            TokenKind::Bang | TokenKind::Binary | TokenKind::Tilde | TokenKind::Assign => {
                self.expect_operand()
            }
            // `new.target`
            TokenKind::Dot if self.ctx.chain.news > 0 => {
                self.ctx.chain.news -= 1;
                self.expect(Expect::Dot)
            }
            TokenKind::Dot => self.unexpected(token),
            _ => {
                // Nothing stands where an operand could, as in `[,]` and `f()`.
                self.fresh();
                self.again(Expect::Operator)
            }
        }
    }

    fn operand_word(&mut self, token: &Token, word: Word) -> Step {
        match word {
            Word::Unary | Word::Infix => self.expect_operand(),
            Word::Await if self.awaits() => self.expect_operand(),
            Word::Delete => {
                self.fresh();
                self.ctx.prefix = Prefix::Delete;
                Ok(Flow::Done)
            }
            Word::Yield => {
                self.fresh();
                self.expect(Expect::Restricted)
            }
            Word::New => {
                self.begin(token);
                self.ctx.chain.news += 1;
                Ok(Flow::Done)
            }
            Word::Function => {
                self.begin(token);
                self.function(After::Brace)
            }
            Word::Class => self.part(token, Kind::ClassHead, After::Brace, Expect::ClassName),
            Word::Async => self.async_word(token),
            Word::Super => self.whole(token, Last::Super),
            Word::Import => self.whole(token, Last::Import),
            // In a `for`'s head; what they declare is its target.
            Word::Declare => Ok(Flow::Done),
            _ if self.is_using(token) => Ok(Flow::Done),
            word if begins_statement(word) && self.ctx.kind == Kind::Statements => {
                self.next_statement(token)
            }
            _ => self.whole(token, Last::Plain),
        }
    }

    /// `async function`, `async x => …`, `async (…) => …`, or a variable of that name.
    fn async_word(&mut self, token: &Token) -> Step {
        let next = self.lexer.peek();
        if self.lexer.glance() == Glance::LineEnd {
            return self.whole(token, Last::Plain);
        }
        match next.kind {
            TokenKind::Name(Word::Function) => {
                self.begin(token);
                self.ctx.async_function = true;
                Ok(Flow::Done)
            }
            TokenKind::Name(_) if self.lexer.is_name_before_arrow() => {
                self.ctx.async_arrow = true;
                Ok(Flow::Done)
            }
            _ => {
                self.whole(token, Last::Plain)?;
                self.ctx.chain.async_head = AsyncHead::Word;
                Ok(Flow::Done)
            }
        }
    }

    /// `for (await using x of y)`: the name after it is declared, even if it is `of`.
    fn is_using(&self, token: &Token) -> bool {
        let awaited = self.previous == TokenKind::Name(Word::Await);
        let is_head = self.ctx.kind == Kind::For && !self.ctx.clause && awaited;
        if !is_head || self.lexer.text(token) != b"using" {
            return false;
        }
        let next = self.lexer.peek();
        matches!(next.kind, TokenKind::Name(Word::Of | Word::Other)) && !next.newline
    }

    /// Begins the operand here, unless a `new` or `async` before has.
    pub(super) fn begin(&mut self, token: &Token) {
        if !self.ctx.chain.open {
            self.ctx.chain = Chain {
                open: true,
                start: token.place,
                prefix: self.ctx.prefix,
                element: self.ctx.element,
                async_head: match self.ctx.async_arrow {
                    true => AsyncHead::Whole,
                    false => AsyncHead::None,
                },
                ..Chain::default()
            };
        }
        self.ctx.prefix = Prefix::None;
        self.ctx.element = false;
        self.ctx.async_arrow = false;
    }

    /// An operand of one token.
    fn whole(&mut self, token: &Token, last: Last) -> Step {
        self.begin(token);
        self.ctx.chain.last = last;
        self.expect(Expect::Operator)
    }

    /// An operand that begins with a bracket.
    fn part(&mut self, token: &Token, kind: Kind, after: After, expect: Expect) -> Step {
        self.begin(token);
        self.push(token, kind, after, expect)
    }
}

/// Words no operand begins with.
fn begins_statement(word: Word) -> bool {
    matches!(
        word,
        Word::Head
            | Word::With
            | Word::For
            | Word::Catch
            | Word::Statement
            | Word::Return
            | Word::Jump
            | Word::Case
            | Word::Default
            | Word::Export
    )
}
