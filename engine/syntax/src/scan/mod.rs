//! Reads a text's structure, as far as it decides what an infix `!` takes as its left side.
//!
//! A machine over tokens with a stack of what is open: no recursion, one look at each token (and at
//! most one more at its successor). It is generous: where it cannot go wrong about `!` it reads
//! more than JavaScript, since the engine parses afterwards. Where it cannot tell, it stops
//! (`Stop::Malformed`).
//!
//! `statement`, `operand`, `operator` are the three places code can be at; `heads` what stands
//! before bodies: functions, classes, properties, imports; `send` the infix `!` and its way back.

mod heads;
mod operand;
mod operator;
mod send;
mod state;
mod statement;
mod tokens;

use crate::error::{Malformed, Refusal};
use crate::lex::words::Word;
use crate::lex::{Lexer, Place, Slash, Token, TokenKind};
use crate::transform::edits::Edits;
use crate::{DEPTH_MAX, Goal};
use state::{After, Chain, Context, Expect, Kind, Last};
pub use tokens::{ScannedToken, read_tokens, tokens};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Rewrite,
    /// The text of one function, back to the author's.
    Restore,
    /// The same, read as a class's member.
    RestoreMethod,
}

/// Why the scan ended early.
#[derive(Debug)]
pub enum Stop {
    Refused(Refusal, Place),
    /// This is no JavaScript, or more than the scanner understands.
    Malformed(Malformed, Place),
}

/// Whether a token was used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Done,
    /// To be looked at again in the new state.
    Again,
}

type Step = Result<Flow, Stop>;

pub struct Scanner<'a> {
    src: &'a [u8],
    lexer: Lexer<'a>,
    mode: Mode,
    edits: Edits,
    ctx: Context,
    outer: Vec<Context>,
    sends: u32,
    /// The token before this one.
    previous: TokenKind,
}

/// How often one token can lead to another state before it is used: more than any way there is.
const AGAIN_MAX: usize = 8;

impl<'a> Scanner<'a> {
    /// A text of less than 4 GiB.
    pub fn new(src: &'a [u8], goal: Goal, mode: Mode) -> Self {
        let ctx = match mode {
            Mode::RestoreMethod => Context::new(Kind::ClassBody, After::Statement, Expect::Member),
            _ => Context::new(Kind::Statements, After::Statement, Expect::Statement),
        };
        Scanner {
            src,
            lexer: Lexer::new(src, goal),
            mode,
            edits: Edits::default(),
            ctx,
            outer: Vec::new(),
            sends: 0,
            previous: TokenKind::End,
        }
    }

    /// Whether an infix `!` was met.
    pub fn found_any(&self) -> bool {
        self.sends > 0
    }

    pub fn into_edits(self) -> Edits {
        self.edits
    }

    pub fn run(&mut self) -> Result<(), Stop> {
        loop {
            let token = self.lexer.next(self.slash());
            if let TokenKind::Bad(malformed) = token.kind {
                return Err(Stop::Malformed(malformed, token.place));
            }
            self.take(&token)?;
            if token.kind == TokenKind::End {
                return Ok(());
            }
            self.previous = token.kind;
        }
    }

    /// Shows where each token stands and what it is, until `go_on` says no or there is malformed.
    pub fn each_place(&mut self, mut go_on: impl FnMut(Place, TokenKind) -> bool) {
        loop {
            let token = self.lexer.next(self.slash());
            if matches!(token.kind, TokenKind::Bad(_)) || !go_on(token.place, token.kind) {
                return;
            }
            if self.take(&token).is_err() {
                return;
            }
            self.previous = token.kind;
        }
    }

    fn slash(&self) -> Slash {
        match self.ctx.expect {
            Expect::Operator | Expect::AfterName | Expect::AfterKey => Slash::Divides,
            _ => Slash::Opens,
        }
    }

    fn take(&mut self, token: &Token) -> Result<(), Stop> {
        for _ in 0..AGAIN_MAX {
            if self.step(token)? == Flow::Done {
                return Ok(());
            }
        }
        self.unexpected(token)
    }

    fn step(&mut self, token: &Token) -> Step {
        match self.ctx.expect {
            Expect::Statement => self.statement(token),
            Expect::Operand => self.operand(token),
            Expect::Operator => self.operator(token),
            Expect::Dot => self.dot(token),
            Expect::OptionalDot => self.optional_dot(token),
            Expect::Restricted => self.restricted(token),
            Expect::Jump => self.jump(token),
            Expect::Head => self.head(token),
            Expect::ForHead => self.for_head(token),
            Expect::FnHead => self.fn_head(token),
            Expect::FnBody => self.fn_body(token),
            Expect::ArrowBody => self.arrow_body(token),
            Expect::ArrowDone => self.arrow_done(token),
            Expect::ClassName => self.class_name(token),
            Expect::Member => self.member(token),
            Expect::PropName => self.prop_name(token),
            Expect::Export => self.export(token),
            Expect::DefaultExport => self.default_export(token),
            Expect::ExportTail => self.export_tail(token),
            Expect::ImportDecl => self.import_decl(token),
            Expect::ImportTail => self.import_tail(token),
            Expect::Attributes => self.attributes(token),
            Expect::List => self.list(token),
            Expect::AfterBang => self.after_bang(token),
            Expect::AfterName => self.after_name(token),
            Expect::AfterKey => self.after_key(token),
            Expect::UndoWhat => self.undo_what(token),
            Expect::UndoRest => self.undo_rest(token),
        }
    }

    fn unexpected<T>(&self, token: &Token) -> Result<T, Stop> {
        let malformed = match token.kind {
            TokenKind::End => Malformed::End,
            _ => Malformed::Token,
        };
        Err(Stop::Malformed(malformed, token.place))
    }

    fn refuse<T>(&self, form: Refusal, place: Place) -> Result<T, Stop> {
        Err(Stop::Refused(form, place))
    }

    /// A hidden name as a variable, a label or what is imported.
    fn no_hidden(&self, token: &Token) -> Result<(), Stop> {
        match token.kind {
            TokenKind::Name(Word::Hidden(hidden)) => {
                self.refuse(Refusal::Hidden(hidden.name()), token.place)
            }
            _ => Ok(()),
        }
    }

    fn expect(&mut self, expect: Expect) -> Step {
        self.ctx.expect = expect;
        Ok(Flow::Done)
    }

    fn again(&mut self, expect: Expect) -> Step {
        self.ctx.expect = expect;
        Ok(Flow::Again)
    }

    /// Nothing is read of the next operand yet.
    fn fresh(&mut self) {
        self.ctx.chain = Chain::default();
        self.ctx.prefix = state::Prefix::None;
        self.ctx.element = false;
    }

    fn expect_operand(&mut self) -> Step {
        self.fresh();
        self.expect(Expect::Operand)
    }

    /// The statement, or the class member, before this token has ended without a semicolon.
    fn next_statement(&mut self, token: &Token) -> Step {
        self.fresh();
        self.ctx.ternaries = 0;
        match self.ctx.kind {
            Kind::Statements => self.again(Expect::Statement),
            Kind::ClassBody => self.again(Expect::Member),
            _ => self.unexpected(token),
        }
    }

    fn push(&mut self, token: &Token, kind: Kind, after: After, expect: Expect) -> Step {
        if self.outer.len() == DEPTH_MAX {
            return self.refuse(Refusal::TooDeep, token.place);
        }
        let inner = Context::new(kind, after, expect);
        self.outer.push(std::mem::replace(&mut self.ctx, inner));
        Ok(Flow::Done)
    }

    /// A closing bracket, or the text's end.
    fn close(&mut self, token: &Token) -> Step {
        let closes = match self.ctx.kind {
            Kind::Paren | Kind::For => TokenKind::RParen,
            Kind::Array | Kind::Index => TokenKind::RBracket,
            Kind::ClassHead => TokenKind::End,
            _ => TokenKind::RBrace,
        };
        if token.kind == TokenKind::End {
            return match self.outer.is_empty() {
                true => Ok(Flow::Done),
                false => self.unexpected(token),
            };
        }
        if token.kind != closes {
            return self.unexpected(token);
        }
        if self.ctx.kind == Kind::Template {
            let part = self.lexer.template_part();
            match part.kind {
                TokenKind::Template => {}
                TokenKind::TemplateHead => {
                    self.ctx.ternaries = 0;
                    return self.expect_operand();
                }
                TokenKind::Bad(malformed) => return Err(Stop::Malformed(malformed, part.place)),
                _ => return self.unexpected(token),
            }
        }
        let Some(outer) = self.outer.pop() else {
            return self.unexpected(token);
        };
        let inner = std::mem::replace(&mut self.ctx, outer);
        self.closed(&inner, token)
    }

    fn closed(&mut self, inner: &Context, token: &Token) -> Step {
        let (expect, last) = match inner.after {
            After::Operand => (Expect::Operator, Last::Plain),
            After::Brace => (Expect::Operator, Last::Brace),
            After::Array | After::Object => {
                self.ctx.chain.carried = inner.target;
                let brace = inner.after == After::Object;
                let last = if brace { Last::Brace } else { Last::Plain };
                (Expect::Operator, last)
            }
            After::Send => (Expect::Operator, Last::Send),
            After::Key => {
                if self.previous == TokenKind::LBracket {
                    return self.refuse(Refusal::EmptyKey, self.ctx.chain.bang);
                }
                self.ctx.sent = Some(*token);
                (Expect::AfterKey, Last::Plain)
            }
            After::Statement => {
                self.fresh();
                (Expect::Statement, Last::Plain)
            }
            After::ArrowDone => {
                self.fresh();
                (Expect::ArrowDone, Last::Plain)
            }
            After::Member => (Expect::Member, Last::Plain),
            After::PropName => (Expect::PropName, Last::Plain),
            After::FnBody => (Expect::FnBody, Last::Plain),
            After::ImportDecl => (Expect::ImportDecl, Last::Plain),
            After::ExportTail => (Expect::ExportTail, Last::Plain),
            After::UndoKey => {
                self.edits.replace(token.place, 1, "]");
                (Expect::UndoRest, Last::Plain)
            }
        };
        self.ctx.chain.last = last;
        self.expect(expect)
    }

    /// Whether the next token is `function`, on this line.
    fn function_follows(&self) -> bool {
        let next = self.lexer.peek();
        next.kind == TokenKind::Name(Word::Function) && !next.newline
    }

    /// Whether the `let` just read declares something.
    fn let_declares(&self) -> bool {
        match self.lexer.peek().kind {
            TokenKind::Name(word) => !matches!(word, Word::Infix | Word::Of),
            kind => matches!(kind, TokenKind::LBracket | TokenKind::LBrace),
        }
    }
}
