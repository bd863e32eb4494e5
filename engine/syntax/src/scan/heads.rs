//! What stands before bodies: functions, classes, properties, imports and exports.

use super::state::{After, Expect, Kind};
use super::{Flow, Scanner, Step};
use crate::error::Refusal;
use crate::lex::words::Word;
use crate::lex::{Token, TokenKind};

impl Scanner<'_> {
    /// `function` was read.
    pub(super) fn function(&mut self, after: After) -> Step {
        self.ctx.fn_after = after;
        self.expect(Expect::FnHead)
    }

    /// After `function`: its name and parameters.
    pub(super) fn fn_head(&mut self, token: &Token) -> Step {
        match token.kind {
            TokenKind::Name(_) => self.no_hidden(token).map(|()| Flow::Done),
            TokenKind::Binary => Ok(Flow::Done),
            TokenKind::LParen => self.push(token, Kind::Paren, After::FnBody, Expect::Operand),
            _ => self.unexpected(token),
        }
    }

    pub(super) fn fn_body(&mut self, token: &Token) -> Step {
        let after = self.ctx.fn_after;
        match token.kind {
            TokenKind::LBrace => self.push(token, Kind::Statements, after, Expect::Statement),
            _ => self.unexpected(token),
        }
    }

    pub(super) fn arrow_body(&mut self, token: &Token) -> Step {
        match token.kind {
            TokenKind::LBrace => {
                self.push(token, Kind::Statements, After::ArrowDone, Expect::Statement)
            }
            _ => self.again(Expect::Operand),
        }
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
            TokenKind::Name(_) => self.no_hidden(token).map(|()| Flow::Done),
            TokenKind::LBrace => self.class_body(),
            _ => self.unexpected(token),
        }
    }

    pub(super) fn class_body(&mut self) -> Step {
        self.ctx.kind = Kind::ClassBody;
        self.fresh();
        self.expect(Expect::Member)
    }

    /// In a class: names and the words before them, up to what they name. As names of properties
    /// the hidden ones are harmless.
    pub(super) fn member(&mut self, token: &Token) -> Step {
        match token.kind {
            TokenKind::Name(_) | TokenKind::Str | TokenKind::Number | TokenKind::Private => {
                Ok(Flow::Done)
            }
            TokenKind::Binary | TokenKind::Semi => Ok(Flow::Done),
            TokenKind::LBracket => self.push(token, Kind::Index, After::Member, Expect::Operand),
            TokenKind::LParen => {
                self.ctx.fn_after = After::Member;
                self.push(token, Kind::Paren, After::FnBody, Expect::Operand)
            }
            // `static {`
            TokenKind::LBrace => {
                self.push(token, Kind::Statements, After::Member, Expect::Statement)
            }
            TokenKind::Assign => self.expect_operand(),
            TokenKind::RBrace | TokenKind::End => self.close(token),
            _ => self.unexpected(token),
        }
    }

    /// In an object: likewise, but a name alone is a variable too.
    pub(super) fn prop_name(&mut self, token: &Token) -> Step {
        if let TokenKind::Name(Word::Hidden(hidden)) = token.kind {
            self.ctx.shorthand = Some((hidden, token.place));
            return Ok(Flow::Done);
        }
        if let Some((hidden, place)) = self.ctx.shorthand.take()
            && matches!(
                token.kind,
                TokenKind::Comma | TokenKind::RBrace | TokenKind::Assign
            )
        {
            return self.refuse(Refusal::Hidden(hidden.name()), place);
        }
        match token.kind {
            TokenKind::Name(_) | TokenKind::Str | TokenKind::Number | TokenKind::Private => {
                Ok(Flow::Done)
            }
            TokenKind::Binary | TokenKind::Comma => Ok(Flow::Done),
            TokenKind::LBracket => self.push(token, Kind::Index, After::PropName, Expect::Operand),
            TokenKind::LParen => {
                self.ctx.fn_after = After::PropName;
                self.push(token, Kind::Paren, After::FnBody, Expect::Operand)
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
            TokenKind::Name(Word::Async) if self.function_follows() => Ok(Flow::Done),
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
            TokenKind::Name(_) => self.no_hidden(token).map(|()| Flow::Done),
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
            TokenKind::Name(_) => self.no_hidden(token).map(|()| Flow::Done),
            TokenKind::Str | TokenKind::Comma | TokenKind::Colon => Ok(Flow::Done),
            TokenKind::RBrace => self.close(token),
            _ => self.unexpected(token),
        }
    }
}
