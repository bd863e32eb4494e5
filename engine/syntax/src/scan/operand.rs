//! Where an operand begins.

use super::super::error::Form;
use super::super::lex::{Tok, Token};
use super::super::words::Word;
use super::state::{After, Chain, Expect, Kind, Last, Prefix};
use super::{Flow, Mode, Scanner, Step};

impl Scanner<'_> {
    pub(super) fn operand(&mut self, token: &Token) -> Step {
        match token.tok {
            Tok::Name(word) => self.operand_word(token, word),
            // Only `in` takes it as it stands.
            Tok::Private => self.whole(token, Last::Private),
            Tok::Number | Tok::Str | Tok::Regex | Tok::Template => self.whole(token, Last::Plain),
            Tok::TemplateHead => self.part(token, Kind::Template, After::Operand, Expect::Operand),
            Tok::LParen => self.part(token, Kind::Paren, After::Operand, Expect::Operand),
            Tok::LBracket => self.part(token, Kind::Array, After::Array, Expect::Operand),
            Tok::LBrace => self.part(token, Kind::Object, After::Object, Expect::PropName),
            Tok::Update => {
                self.fresh();
                self.ctx.prefix = Prefix::Update;
                Ok(Flow::Done)
            }
            Tok::Spread if self.ctx.after == After::Key => {
                self.refuse(Form::SpreadKey, token.place)
            }
            Tok::Spread => Ok(Flow::Done),
            Tok::Bang | Tok::Binary | Tok::Tilde | Tok::Assign => self.expect_operand(),
            // `new.target`
            Tok::Dot if self.ctx.chain.news > 0 => {
                self.ctx.chain.news -= 1;
                self.expect(Expect::Dot)
            }
            Tok::Dot => self.unexpected(token),
            _ => {
                // Nothing stands where an operand could, as in `[,]` and `f()`.
                self.fresh();
                self.again(Expect::Operator)
            }
        }
    }

    fn operand_word(&mut self, token: &Token, word: Word) -> Step {
        match word {
            Word::Unary | Word::Await | Word::Infix => self.expect_operand(),
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
            Word::Of => self.whole(token, Last::Of),
            // In a `for`'s head; what they declare is its target.
            Word::Declare => Ok(Flow::Done),
            Word::Let if self.let_declares() => Ok(Flow::Done),
            Word::Hidden(hidden) => match self.mode {
                Mode::Rewrite => self.refuse(Form::Hidden(hidden.name()), token.place),
                _ => self.undo_open(token, hidden),
            },
            word if begins_statement(word) && self.ctx.kind == Kind::Statements => {
                self.next_statement(token)
            }
            _ => self.whole(token, Last::Plain),
        }
    }

    /// `async function`, `async x => …`, or a variable of that name.
    fn async_word(&mut self, token: &Token) -> Step {
        let next = self.lexer.peek();
        match next.tok {
            Tok::Name(Word::Function) if !next.newline => {
                self.begin(token);
                Ok(Flow::Done)
            }
            Tok::Name(Word::Infix | Word::Of) => self.whole(token, Last::Plain),
            Tok::Name(_) if !next.newline => Ok(Flow::Done),
            _ => self.whole(token, Last::Plain),
        }
    }

    /// Begins the operand here, unless a `new` or `async` before has.
    pub(super) fn begin(&mut self, token: &Token) {
        if !self.ctx.chain.open {
            self.ctx.chain = Chain {
                open: true,
                start: token.place,
                prefix: self.ctx.prefix,
                element: self.ctx.element,
                ..Chain::default()
            };
        }
        self.ctx.prefix = Prefix::None;
        self.ctx.element = false;
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
