//! Reads a text's structure, as far as it decides what an infix `!` takes as its left side.
//!
//! A machine over tokens with a stack of what is open: no recursion, one look at each token (and at
//! most one more at its successor). It is generous: where it cannot go wrong about `!` it reads
//! more than JavaScript, since the engine parses afterwards. Where it cannot tell, it stops
//! (`Stop::Malformed`).
//!
//! `statement`, `operand`, `operator` are the three places code can be at; `heads` what stands
//! before bodies: functions, classes, properties, imports; `send` the infix `!`.
//!
//! All code is strict: `let` always declares, and `yield` is always a keyword. What `await` and
//! `async` are is told as quickjs-ng tells it, function by function.

mod heads;
mod operand;
mod operator;
mod send;
mod state;
mod statement;
mod tokens;

use crate::error::{Malformed, Refusal};
use crate::lex::{Lexer, Place, Slash, Token, TokenKind};
use crate::transform::edits::Edits;
use crate::{DEPTH_MAX, Goal};
use state::{After, Chain, Context, Expect, Kind, Last, Member};
pub use tokens::{ScannedToken, read_tokens, tokens};

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
    goal: Goal,
    edits: Edits,
    ctx: Context,
    outer: Vec<Context>,
    sends: u32,
    /// The token before this one.
    previous: TokenKind,
    ended: bool,
}

/// How often one token can lead to another state before it is used: more than any way there is.
const AGAIN_MAX: usize = 8;

impl<'a> Scanner<'a> {
    /// A text of less than 4 GiB.
    pub fn new(src: &'a [u8], goal: Goal) -> Self {
        Scanner {
            src,
            lexer: Lexer::new(src, goal),
            goal,
            edits: Edits::default(),
            ctx: Context::new(Kind::Statements, After::Statement, Expect::Statement),
            outer: Vec::new(),
            sends: 0,
            previous: TokenKind::End,
            ended: false,
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
        while let Some(token) = self.next_token()? {
            self.take(&token)?;
            self.previous = token.kind;
        }
        Ok(())
    }

    /// The next token; `None` after the text's end was taken.
    fn next_token(&mut self) -> Result<Option<Token>, Stop> {
        if self.ended {
            return Ok(None);
        }
        let token = self.lexer.next(self.slash());
        match token.kind {
            TokenKind::Bad(malformed) => return Err(Stop::Malformed(malformed, token.place)),
            TokenKind::End => self.ended = true,
            TokenKind::Binary if self.goal == Goal::Module => self.keep_from_comment(&token),
            _ => {}
        }
        Ok(Some(token))
    }

    /// `<!--` is three operators in a module and begins a comment in the script that it becomes.
    fn keep_from_comment(&mut self, token: &Token) {
        if self.lexer.text(token) == b"<" && self.lexer.rest().starts_with(b"!--") {
            self.edits.replace(token.place.plus(1), 0, "/*~<*/");
        }
    }

    /// Shows where each token stands and what it is, until `go_on` says no or there is an error.
    pub fn each_place(&mut self, mut go_on: impl FnMut(Place, TokenKind) -> bool) {
        while let Ok(Some(token)) = self.next_token() {
            if !go_on(token.place, token.kind) || self.take(&token).is_err() {
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
            Expect::FnArrow => self.arrow_body(token, self.ctx.fn_after),
            Expect::ArrowBody => self.arrow_body(token, After::ArrowDone),
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

    /// A whole expression has ended.
    fn end_expression(&mut self) {
        self.fresh();
        self.ctx.ternaries = 0;
        self.ctx.arrows.clear();
        self.ctx.member = Member::Start;
    }

    /// Whether `await` is a keyword here, as the engine has it: everywhere in a module, and in the
    /// async functions of a script. A field's initial value is a function of its own.
    fn awaits(&self) -> bool {
        let of_arrow = self.ctx.arrows.last().map(|(_, is_async)| *is_async);
        let outside = self.ctx.is_async && self.ctx.kind != Kind::ClassBody;
        self.goal == Goal::Module || of_arrow.unwrap_or(outside)
    }

    fn expect_operand(&mut self) -> Step {
        self.fresh();
        self.expect(Expect::Operand)
    }

    /// The statement, or the class member, before this token has ended without a semicolon.
    fn next_statement(&mut self, token: &Token) -> Step {
        self.end_expression();
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
        let mut inner = Context::new(kind, after, expect);
        // A computed name belongs to what is around its class.
        let is_name = self.ctx.kind == Kind::ClassBody && after == After::Member;
        inner.is_async = if is_name {
            self.ctx.is_async
        } else {
            self.awaits()
        };
        self.outer.push(std::mem::replace(&mut self.ctx, inner));
        Ok(Flow::Done)
    }

    /// The parameters or the body of a function.
    fn push_function(
        &mut self,
        token: &Token,
        (kind, after, expect): (Kind, After, Expect),
        is_async: bool,
    ) -> Step {
        self.push(token, kind, after, expect)?;
        self.ctx.is_async = is_async;
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
                    self.end_expression();
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
                self.end_expression();
                (Expect::Statement, Last::Plain)
            }
            After::ArrowDone => {
                self.fresh();
                (Expect::ArrowDone, Last::Plain)
            }
            After::Member | After::PropName => {
                // A computed name has ended, or what was named.
                self.ctx.member = match inner.kind {
                    Kind::Index => Member::Name,
                    _ => Member::Start,
                };
                let expect = match inner.after {
                    After::Member => Expect::Member,
                    _ => Expect::PropName,
                };
                (expect, Last::Plain)
            }
            After::FnBody => (Expect::FnBody, Last::Plain),
            After::ImportDecl => (Expect::ImportDecl, Last::Plain),
            After::ExportTail => (Expect::ExportTail, Last::Plain),
        };
        self.ctx.chain.last = last;
        self.expect(expect)
    }
}
