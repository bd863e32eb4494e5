//! What stands before bodies: functions, classes, properties, imports and exports.

use super::state::{After, Expect, Kind, Member};
use super::{Flow, Scanner, Step};
use crate::error::Refusal;
use crate::lex::words::Word;
use crate::lex::{Glance, Token, TokenKind};

impl Scanner<'_> {
    /// `function` was read.
    pub(super) fn function(&mut self, after: After) -> Step {
        self.ctx.fn_after = after;
        self.ctx.fn_async = std::mem::take(&mut self.ctx.async_function);
        self.expect(Expect::FnHead)
    }

    /// After `function`: its name and parameters.
    pub(super) fn fn_head(&mut self, token: &Token) -> Step {
        match token.kind {
            TokenKind::Name(_) | TokenKind::Binary => Ok(Flow::Done),
            TokenKind::LParen => self.parameters(token),
            _ => self.unexpected(token),
        }
    }

    /// The parenthesis before a function's parameters.
    fn parameters(&mut self, token: &Token) -> Step {
        let opened = (Kind::Paren, After::FnBody, Expect::Operand);
        self.push_function(token, opened, self.ctx.fn_async)
    }

    pub(super) fn fn_body(&mut self, token: &Token) -> Step {
        let opened = (Kind::Statements, self.ctx.fn_after, Expect::Statement);
        match token.kind {
            // The engine takes an expression as the body of any function.
            TokenKind::Arrow => {
                self.fresh();
                self.expect(Expect::FnArrow)
            }
            TokenKind::LBrace => self.push_function(token, opened, self.ctx.fn_async),
            _ => self.unexpected(token),
        }
    }

    pub(super) fn arrow_body(&mut self, token: &Token, after: After) -> Step {
        let is_async = self.ctx.fn_async;
        if token.kind == TokenKind::LBrace {
            let opened = (Kind::Statements, after, Expect::Statement);
            return self.push_function(token, opened, is_async);
        }
        let began = self.ctx.ternaries;
        // Two that began at one depth end together, and only the inner one counts.
        let _ = self.ctx.arrows.pop_if(|(outer, _)| *outer == began);
        self.ctx.arrows.push((began, is_async));
        self.again(Expect::Operand)
    }

    /// An arrow function's block is the end of its expression.
    pub(super) fn arrow_done(&mut self, token: &Token) -> Step {
        match token.kind {
            TokenKind::Comma | TokenKind::Semi | TokenKind::Colon | TokenKind::End => {
                self.again(Expect::Operator)
            }
            TokenKind::RParen | TokenKind::RBracket | TokenKind::RBrace => {
                self.again(Expect::Operator)
            }
            TokenKind::Bang if !token.newline => self.refuse(Refusal::AfterBrace, token.place),
            _ => self.next_statement(token),
        }
    }

    /// After `class`: its name, and what it extends.
    pub(super) fn class_name(&mut self, token: &Token) -> Step {
        match token.kind {
            TokenKind::Name(Word::Extends) => self.expect_operand(),
            TokenKind::Name(_) => Ok(Flow::Done),
            TokenKind::LBrace => self.class_body(),
            _ => self.unexpected(token),
        }
    }

    pub(super) fn class_body(&mut self) -> Step {
        self.ctx.kind = Kind::ClassBody;
        self.fresh();
        self.expect(Expect::Member)
    }

    /// In a class: names and the words before them, up to what they name.
    pub(super) fn member(&mut self, token: &Token) -> Step {
        match token.kind {
            TokenKind::Name(word) => self.member_word(token, word),
            TokenKind::Str | TokenKind::Number | TokenKind::Private => self.member_name(),
            TokenKind::Binary => self.member_star(),
            TokenKind::Semi => {
                self.ctx.member = Member::Start;
                Ok(Flow::Done)
            }
            TokenKind::LBracket => {
                self.begin_member();
                self.push(token, Kind::Index, After::Member, Expect::Operand)
            }
            TokenKind::LParen => {
                self.ctx.fn_after = After::Member;
                self.parameters(token)
            }
            // `static {`
            TokenKind::LBrace => {
                let opened = (Kind::Statements, After::Member, Expect::Statement);
                self.push_function(token, opened, false)
            }
            TokenKind::Assign => self.expect_operand(),
            TokenKind::RBrace | TokenKind::End => self.close(token),
            _ => self.unexpected(token),
        }
    }

    /// In an object: likewise, but a name alone is a variable too.
    pub(super) fn prop_name(&mut self, token: &Token) -> Step {
        match token.kind {
            TokenKind::Name(word) => self.member_word(token, word),
            TokenKind::Str | TokenKind::Number | TokenKind::Private => self.member_name(),
            TokenKind::Binary => self.member_star(),
            TokenKind::Comma => {
                self.ctx.member = Member::Start;
                Ok(Flow::Done)
            }
            TokenKind::LBracket => {
                self.begin_member();
                self.push(token, Kind::Index, After::PropName, Expect::Operand)
            }
            TokenKind::LParen => {
                self.ctx.fn_after = After::PropName;
                self.parameters(token)
            }
            TokenKind::Colon | TokenKind::Spread => {
                self.fresh();
                self.ctx.element = true;
                self.expect(Expect::Operand)
            }
            TokenKind::Assign => self.expect_operand(),
            TokenKind::RBrace => self.close(token),
            _ => self.unexpected(token),
        }
    }

    /// A member begins, unless words before its name were read. After a name a line must have ended.
    fn begin_member(&mut self) {
        if self.ctx.member != Member::Prefix {
            self.ctx.fn_async = false;
        }
    }

    fn member_name(&mut self) -> Step {
        self.begin_member();
        self.ctx.member = Member::Name;
        Ok(Flow::Done)
    }

    /// `*`, after `async` or alone.
    fn member_star(&mut self) -> Step {
        self.begin_member();
        self.ctx.member = Member::Prefix;
        Ok(Flow::Done)
    }

    /// A name, or a word before one.
    fn member_word(&mut self, token: &Token, word: Word) -> Step {
        if self.ctx.member == Member::Prefix {
            return self.member_name();
        }
        let is_static = self.ctx.kind == Kind::ClassBody
            && self.ctx.member != Member::Static
            && self.lexer.text(token) == b"static"
            && self.lexer.glance() != Glance::EndsName;
        if is_static {
            self.ctx.fn_async = false;
            self.ctx.member = Member::Static;
            return Ok(Flow::Done);
        }
        let is_prefix = match (word, self.lexer.text(token)) {
            (Word::Async, _) => self.lexer.glance() != Glance::LineEnd,
            (_, b"get" | b"set") => true,
            _ => false,
        };
        self.member_name()?;
        if is_prefix && !self.is_name_alone() {
            self.ctx.member = Member::Prefix;
            self.ctx.fn_async = word == Word::Async;
        }
        Ok(Flow::Done)
    }

    /// Whether the `get`, `set` or `async` just read is a member's name.
    fn is_name_alone(&self) -> bool {
        let next = self.lexer.peek();
        match next.kind {
            TokenKind::Colon | TokenKind::Comma | TokenKind::RBrace => true,
            TokenKind::LParen | TokenKind::Semi => true,
            kind => kind == TokenKind::Assign && next.end - next.place.offset == 1,
        }
    }

    pub(super) fn export(&mut self, token: &Token) -> Step {
        match token.kind {
            TokenKind::Name(Word::Default) => self.expect(Expect::DefaultExport),
            TokenKind::LBrace => self.push(token, Kind::List, After::ExportTail, Expect::List),
            TokenKind::Binary => self.expect(Expect::ImportDecl),
            _ => self.again(Expect::Statement),
        }
    }

    pub(super) fn default_export(&mut self, token: &Token) -> Step {
        match token.kind {
            TokenKind::Name(Word::Function) => self.function(After::Statement),
            TokenKind::Name(Word::Class) => {
                self.push(token, Kind::ClassHead, After::Statement, Expect::ClassName)
            }
            TokenKind::Name(Word::Async) if self.lexer.glance() == Glance::Function => {
                self.ctx.async_function = true;
                Ok(Flow::Done)
            }
            _ => {
                self.fresh();
                self.again(Expect::Operand)
            }
        }
    }

    /// After `export {…}`.
    pub(super) fn export_tail(&mut self, token: &Token) -> Step {
        match token.kind {
            TokenKind::Name(Word::From) => self.expect(Expect::ImportDecl),
            _ => self.again(Expect::Statement),
        }
    }

    /// An import, or an export from another module, up to that module's name.
    pub(super) fn import_decl(&mut self, token: &Token) -> Step {
        match token.kind {
            TokenKind::Name(_) => Ok(Flow::Done),
            TokenKind::Comma | TokenKind::Binary => Ok(Flow::Done),
            TokenKind::LBrace => self.push(token, Kind::List, After::ImportDecl, Expect::List),
            TokenKind::Str if matches!(self.previous, TokenKind::Name(_)) => self.module_or_alias(),
            _ => self.unexpected(token),
        }
    }

    /// A module's name; or an exported one, as in `export * as "x" from "y"`.
    fn module_or_alias(&mut self) -> Step {
        let next = self.lexer.peek();
        let alias = next.kind == TokenKind::Name(Word::From)
            && !matches!(self.previous, TokenKind::Name(Word::From | Word::Import));
        match alias {
            true => Ok(Flow::Done),
            false => self.expect(Expect::ImportTail),
        }
    }

    /// After an import's module: its attributes.
    pub(super) fn import_tail(&mut self, token: &Token) -> Step {
        let assert = token.kind == TokenKind::Name(Word::Other)
            && !token.newline
            && self.lexer.text(token) == b"assert";
        match token.kind {
            TokenKind::Name(Word::With) => self.expect(Expect::Attributes),
            _ if assert => self.expect(Expect::Attributes),
            _ => {
                self.fresh();
                self.again(Expect::Statement)
            }
        }
    }

    pub(super) fn attributes(&mut self, token: &Token) -> Step {
        match token.kind {
            TokenKind::LBrace => self.push(token, Kind::List, After::Statement, Expect::List),
            _ => self.unexpected(token),
        }
    }

    /// In the braces of an import, an export or attributes.
    pub(super) fn list(&mut self, token: &Token) -> Step {
        match token.kind {
            TokenKind::Name(_) => Ok(Flow::Done),
            TokenKind::Str | TokenKind::Comma | TokenKind::Colon => Ok(Flow::Done),
            TokenKind::RBrace => self.close(token),
            _ => self.unexpected(token),
        }
    }
}
