//! What stands before bodies: functions, classes, properties, imports and exports.

use super::super::error::Form;
use super::super::lex::{Tok, Token};
use super::super::words::Word;
use super::state::{After, Expect, Kind};
use super::{Flow, Scanner, Step};

impl Scanner<'_> {
    /// `function` was read.
    pub(super) fn function(&mut self, after: After) -> Step {
        self.ctx.fn_after = after;
        self.expect(Expect::FnHead)
    }

    /// After `function`: its name and parameters.
    pub(super) fn fn_head(&mut self, token: &Token) -> Step {
        match token.tok {
            Tok::Name(_) => self.no_hidden(token).map(|()| Flow::Done),
            Tok::Binary => Ok(Flow::Done),
            Tok::LParen => self.push(token, Kind::Paren, After::FnBody, Expect::Operand),
            _ => self.unexpected(token),
        }
    }

    pub(super) fn fn_body(&mut self, token: &Token) -> Step {
        let after = self.ctx.fn_after;
        match token.tok {
            Tok::LBrace => self.push(token, Kind::Statements, after, Expect::Statement),
            _ => self.unexpected(token),
        }
    }

    pub(super) fn arrow_body(&mut self, token: &Token) -> Step {
        match token.tok {
            Tok::LBrace => self.push(token, Kind::Statements, After::ArrowDone, Expect::Statement),
            _ => self.again(Expect::Operand),
        }
    }

    /// An arrow function's block is the end of its expression.
    pub(super) fn arrow_done(&mut self, token: &Token) -> Step {
        match token.tok {
            Tok::Comma | Tok::Semi | Tok::Colon | Tok::End => self.again(Expect::Operator),
            Tok::RParen | Tok::RBracket | Tok::RBrace => self.again(Expect::Operator),
            Tok::Bang if !token.newline => self.refuse(Form::AfterBrace, token.place),
            _ => self.next_statement(token),
        }
    }

    /// After `class`: its name, and what it extends.
    pub(super) fn class_name(&mut self, token: &Token) -> Step {
        match token.tok {
            Tok::Name(Word::Extends) => self.expect_operand(),
            Tok::Name(_) => self.no_hidden(token).map(|()| Flow::Done),
            Tok::LBrace => self.class_body(),
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
        match token.tok {
            Tok::Name(_) | Tok::Str | Tok::Number | Tok::Private => Ok(Flow::Done),
            Tok::Binary | Tok::Semi => Ok(Flow::Done),
            Tok::LBracket => self.push(token, Kind::Index, After::Member, Expect::Operand),
            Tok::LParen => {
                self.ctx.fn_after = After::Member;
                self.push(token, Kind::Paren, After::FnBody, Expect::Operand)
            }
            // `static {`
            Tok::LBrace => self.push(token, Kind::Statements, After::Member, Expect::Statement),
            Tok::Assign => self.expect_operand(),
            Tok::RBrace | Tok::End => self.close(token),
            _ => self.unexpected(token),
        }
    }

    /// In an object: likewise, but a name alone is a variable too.
    pub(super) fn prop_name(&mut self, token: &Token) -> Step {
        if let Tok::Name(Word::Hidden(hidden)) = token.tok {
            self.ctx.shorthand = Some((hidden, token.place));
            return Ok(Flow::Done);
        }
        if let Some((hidden, place)) = self.ctx.shorthand.take()
            && matches!(token.tok, Tok::Comma | Tok::RBrace | Tok::Assign)
        {
            return self.refuse(Form::Hidden(hidden.name()), place);
        }
        match token.tok {
            Tok::Name(_) | Tok::Str | Tok::Number | Tok::Private => Ok(Flow::Done),
            Tok::Binary | Tok::Comma => Ok(Flow::Done),
            Tok::LBracket => self.push(token, Kind::Index, After::PropName, Expect::Operand),
            Tok::LParen => {
                self.ctx.fn_after = After::PropName;
                self.push(token, Kind::Paren, After::FnBody, Expect::Operand)
            }
            Tok::Colon | Tok::Spread => {
                self.fresh();
                self.ctx.element = true;
                self.expect(Expect::Operand)
            }
            Tok::Assign => self.expect_operand(),
            Tok::RBrace => self.close(token),
            _ => self.unexpected(token),
        }
    }

    pub(super) fn export(&mut self, token: &Token) -> Step {
        match token.tok {
            Tok::Name(Word::Default) => self.expect(Expect::DefaultExport),
            Tok::LBrace => self.push(token, Kind::List, After::ExportTail, Expect::List),
            Tok::Binary => self.expect(Expect::ImportDecl),
            _ => self.again(Expect::Statement),
        }
    }

    pub(super) fn default_export(&mut self, token: &Token) -> Step {
        match token.tok {
            Tok::Name(Word::Function) => self.function(After::Statement),
            Tok::Name(Word::Class) => {
                self.push(token, Kind::ClassHead, After::Statement, Expect::ClassName)
            }
            Tok::Name(Word::Async) if self.function_follows() => Ok(Flow::Done),
            _ => {
                self.fresh();
                self.again(Expect::Operand)
            }
        }
    }

    /// After `export {…}`.
    pub(super) fn export_tail(&mut self, token: &Token) -> Step {
        match token.tok {
            Tok::Name(Word::From) => self.expect(Expect::ImportDecl),
            _ => self.again(Expect::Statement),
        }
    }

    /// An import, or an export from another module, up to that module's name.
    pub(super) fn import_decl(&mut self, token: &Token) -> Step {
        match token.tok {
            Tok::Name(_) => self.no_hidden(token).map(|()| Flow::Done),
            Tok::Comma | Tok::Binary => Ok(Flow::Done),
            Tok::LBrace => self.push(token, Kind::List, After::ImportDecl, Expect::List),
            Tok::Str if matches!(self.previous, Tok::Name(_)) => self.module_or_alias(),
            _ => self.unexpected(token),
        }
    }

    /// A module's name; or an exported one, as in `export * as "x" from "y"`.
    fn module_or_alias(&mut self) -> Step {
        let next = self.lexer.peek();
        let alias = next.tok == Tok::Name(Word::From)
            && !matches!(self.previous, Tok::Name(Word::From | Word::Import));
        match alias {
            true => Ok(Flow::Done),
            false => self.expect(Expect::ImportTail),
        }
    }

    /// After an import's module: its attributes.
    pub(super) fn import_tail(&mut self, token: &Token) -> Step {
        let assert = token.tok == Tok::Name(Word::Other)
            && !token.newline
            && self.lexer.text(token) == b"assert";
        match token.tok {
            Tok::Name(Word::With) => self.expect(Expect::Attributes),
            _ if assert => self.expect(Expect::Attributes),
            _ => {
                self.fresh();
                self.again(Expect::Statement)
            }
        }
    }

    pub(super) fn attributes(&mut self, token: &Token) -> Step {
        match token.tok {
            Tok::LBrace => self.push(token, Kind::List, After::Statement, Expect::List),
            _ => self.unexpected(token),
        }
    }

    /// In the braces of an import, an export or attributes.
    pub(super) fn list(&mut self, token: &Token) -> Step {
        match token.tok {
            Tok::Name(_) => self.no_hidden(token).map(|()| Flow::Done),
            Tok::Str | Tok::Comma | Tok::Colon => Ok(Flow::Done),
            Tok::RBrace => self.close(token),
            _ => self.unexpected(token),
        }
    }
}
