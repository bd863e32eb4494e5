//! After an operand: it goes on, is sent to, or ends.

use super::state::{After, AsyncHead, Expect, Kind, Last, Member};
use super::{Flow, Scanner, Step, Stop};
use crate::error::Refusal;
use crate::lex::words::Word;
use crate::lex::{Token, TokenKind};

impl Scanner<'_> {
    pub(super) fn operator(&mut self, token: &Token) -> Step {
        match token.kind {
            TokenKind::Dot | TokenKind::OptionalDot | TokenKind::LParen | TokenKind::LBracket => {
                self.link(token)
            }
            TokenKind::Template | TokenKind::TemplateHead => self.link(token),
            TokenKind::Bang => self.bang(token),
            TokenKind::Update => self.update(token),
            TokenKind::LBrace if self.ctx.kind == Kind::ClassHead => self.class_body(),
            TokenKind::LBrace | TokenKind::Tilde | TokenKind::Spread => {
                self.finish()?;
                self.next_statement(token)
            }
            TokenKind::Name(Word::Infix) => {
                self.finish_loop_target()?;
                self.expect_operand()
            }
            TokenKind::Name(Word::Of) if self.ctx.kind == Kind::For && !self.ctx.clause => {
                self.finish_loop_target()?;
                self.ctx.arrows.clear();
                self.expect_operand()
            }
            TokenKind::Name(_)
            | TokenKind::Number
            | TokenKind::Str
            | TokenKind::Private
            | TokenKind::Regex => {
                self.finish()?;
                self.neighbour(token)
            }
            TokenKind::Arrow => {
                self.ctx.fn_async = self.ctx.chain.async_head == AsyncHead::Whole;
                self.fresh();
                self.expect(Expect::ArrowBody)
            }
            TokenKind::Assign => self.assign(),
            TokenKind::Binary => {
                self.finish()?;
                self.expect_operand()
            }
            TokenKind::Question => {
                self.finish()?;
                self.ctx.ternaries += 1;
                self.expect_operand()
            }
            TokenKind::Colon => self.colon(token),
            TokenKind::Comma => self.comma(token),
            TokenKind::Semi => self.semicolon(token),
            TokenKind::RParen | TokenKind::RBracket | TokenKind::RBrace | TokenKind::End => {
                self.finish_element()?;
                self.close(token)
            }
            TokenKind::Bad(_) => self.unexpected(token),
        }
    }

    /// The operand goes on with a property, an index, arguments or a template.
    fn link(&mut self, token: &Token) -> Step {
        if self.ctx.chain.postfix || !self.ctx.chain.open {
            // `x++` on the line before.
            self.finish()?;
            return self.next_statement(token);
        }
        let chain = &mut self.ctx.chain;
        (chain.carried, chain.last) = (None, Last::Plain);
        let calls = token.kind == TokenKind::LParen;
        chain.async_head = match chain.async_head {
            AsyncHead::Word if calls => AsyncHead::Whole,
            _ => AsyncHead::None,
        };
        match token.kind {
            TokenKind::Dot => self.expect(Expect::Dot),
            TokenKind::OptionalDot => {
                chain.optional = true;
                self.expect(Expect::OptionalDot)
            }
            TokenKind::LParen => {
                chain.news = chain.news.saturating_sub(1);
                self.push(token, Kind::Paren, After::Operand, Expect::Operand)
            }
            TokenKind::LBracket => self.push(token, Kind::Index, After::Operand, Expect::Operand),
            TokenKind::TemplateHead => {
                self.push(token, Kind::Template, After::Operand, Expect::Operand)
            }
            _ => Ok(Flow::Done),
        }
    }

    pub(super) fn dot(&mut self, token: &Token) -> Step {
        match token.kind {
            TokenKind::Name(_) | TokenKind::Private => self.expect(Expect::Operator),
            _ => self.unexpected(token),
        }
    }

    pub(super) fn optional_dot(&mut self, token: &Token) -> Step {
        match token.kind {
            TokenKind::Name(_) | TokenKind::Private => self.expect(Expect::Operator),
            TokenKind::LParen
            | TokenKind::LBracket
            | TokenKind::Template
            | TokenKind::TemplateHead => self.again(Expect::Operator),
            _ => self.unexpected(token),
        }
    }

    fn bang(&mut self, token: &Token) -> Step {
        if token.newline {
            self.finish()?;
            return match self.ctx.kind {
                Kind::Statements | Kind::ClassBody => self.next_statement(token),
                _ => self.expect_operand(),
            };
        }
        match self.ctx.chain.open {
            true => self.infix(token),
            false => self.expect_operand(),
        }
    }

    fn update(&mut self, token: &Token) -> Step {
        if token.newline {
            self.finish()?;
            return self.next_statement(token);
        }
        if self.ctx.chain.sends() {
            return self.refuse(Refusal::Updated, self.ctx.chain.bang);
        }
        self.ctx.chain.postfix = true;
        Ok(Flow::Done)
    }

    fn assign(&mut self) -> Step {
        self.finish()?;
        if self.ctx.chain.sends() {
            return self.refuse(Refusal::Assigned, self.ctx.chain.bang);
        }
        if let Some(place) = self.ctx.chain.carried {
            return self.refuse(Refusal::Destructured, place);
        }
        self.expect_operand()
    }

    fn colon(&mut self, token: &Token) -> Step {
        self.finish()?;
        if self.ctx.ternaries > 0 {
            // Arrow functions between `?` and `:` end here.
            let open = self.ctx.ternaries;
            while self
                .ctx
                .arrows
                .pop_if(|(began, _)| *began >= open)
                .is_some()
            {}
            self.ctx.ternaries -= 1;
            return self.expect_operand();
        }
        match self.ctx.kind {
            // A label, a case or `default`.
            Kind::Statements => {
                self.end_expression();
                self.expect(Expect::Statement)
            }
            _ => self.unexpected(token),
        }
    }

    fn comma(&mut self, token: &Token) -> Step {
        self.finish_element()?;
        self.ctx.arrows.clear();
        match self.ctx.kind {
            Kind::Object => {
                self.fresh();
                self.ctx.member = Member::Start;
                self.expect(Expect::PropName)
            }
            Kind::ClassBody => self.unexpected(token),
            kind => {
                self.fresh();
                self.ctx.element = kind == Kind::Array;
                self.expect(Expect::Operand)
            }
        }
    }

    fn semicolon(&mut self, token: &Token) -> Step {
        self.finish()?;
        self.end_expression();
        match self.ctx.kind {
            Kind::Statements => self.expect(Expect::Statement),
            Kind::ClassBody => self.expect(Expect::Member),
            Kind::For => {
                self.ctx.clause = true;
                self.expect(Expect::Operand)
            }
            _ => self.unexpected(token),
        }
    }

    /// Another operand without an operator between: a new statement, a declared name, or nonsense.
    fn neighbour(&mut self, token: &Token) -> Step {
        match self.ctx.kind {
            Kind::Statements | Kind::ClassBody => self.next_statement(token),
            _ => {
                let element = self.ctx.chain.element;
                self.fresh();
                self.ctx.element = element;
                self.again(Expect::Operand)
            }
        }
    }

    /// The operand has ended.
    fn finish(&mut self) -> Result<(), Stop> {
        let chain = &self.ctx.chain;
        match chain.prefix {
            super::state::Prefix::Update if chain.sends() => {
                self.refuse(Refusal::Updated, chain.bang)
            }
            super::state::Prefix::Delete if chain.last == Last::Get => {
                self.refuse(Refusal::Deleted, chain.bang)
            }
            _ => Ok(()),
        }
    }

    /// The operand has ended, and an element of a literal with it.
    fn finish_element(&mut self) -> Result<(), Stop> {
        self.finish()?;
        let chain = &self.ctx.chain;
        if chain.element && self.ctx.target.is_none() {
            self.ctx.target = match chain.sends() {
                true => Some(chain.bang),
                false => chain.carried,
            };
        }
        Ok(())
    }

    /// The operand has ended before `of` or `in`.
    fn finish_loop_target(&mut self) -> Result<(), Stop> {
        self.finish()?;
        let chain = &self.ctx.chain;
        if self.ctx.kind != Kind::For || self.ctx.clause || !chain.element {
            return Ok(());
        }
        if chain.sends() {
            return self.refuse(Refusal::LoopTarget, chain.bang);
        }
        match chain.carried {
            Some(place) => self.refuse(Refusal::Destructured, place),
            None => Ok(()),
        }
    }
}
