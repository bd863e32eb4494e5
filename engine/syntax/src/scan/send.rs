//! The infix `!`: from the author's text to a call. What is put in is marked with the text's tag,
//! for which `~` stands here; `transform::restore` finds it by these marks alone.

use super::state::{After, Expect, Kind, Last};
use super::{Scanner, Step};
use crate::SENDS_MAX;
use crate::error::Refusal;
use crate::lex::words;
use crate::lex::{Token, TokenKind, is_name_byte};
use crate::names::Hidden;

impl Scanner<'_> {
    /// A `!` right after an operand.
    pub(super) fn infix(&mut self, token: &Token) -> Step {
        let chain = &self.ctx.chain;
        let form = match chain.last {
            _ if chain.news > 0 => Some(Refusal::New),
            _ if chain.optional => Some(Refusal::Optional),
            _ if chain.postfix => Some(Refusal::AfterUpdate),
            Last::Super => Some(Refusal::Super),
            Last::Import => Some(Refusal::Import),
            Last::Brace => Some(Refusal::AfterBrace),
            Last::Private => Some(Refusal::Private),
            _ => None,
        };
        if let Some(form) = form {
            return self.refuse(form, token.place);
        }
        if self.sends == SENDS_MAX {
            return self.refuse(Refusal::TooManySends, token.place);
        }
        self.sends += 1;
        self.ctx.chain.bang = token.place;
        self.ctx.chain.carried = None;
        self.expect(Expect::AfterBang)
    }

    /// What is sent.
    pub(super) fn after_bang(&mut self, token: &Token) -> Step {
        match token.kind {
            TokenKind::Name(_) if words::is_name(self.lexer.text(token)) => {
                self.ctx.sent = Some(*token);
                self.expect(Expect::AfterName)
            }
            TokenKind::LParen => {
                self.open(Hidden::Call);
                self.edits.replace(token.place, 1, "0,");
                self.push(token, Kind::Paren, After::Send, Expect::Operand)
            }
            TokenKind::LBracket => {
                self.edits.replace(token.place, 1, "(");
                self.push(token, Kind::Index, After::Key, Expect::Operand)
            }
            TokenKind::Private => self.refuse(Refusal::Private, token.place),
            _ => self.refuse(Refusal::NoName, self.ctx.chain.bang),
        }
    }

    /// After `x ! p`.
    pub(super) fn after_name(&mut self, token: &Token) -> Step {
        let Some(name) = self.ctx.sent.take() else {
            return self.unexpected(token);
        };
        let end = name.place.plus(name.end - name.place.offset);
        let sends = token.kind == TokenKind::LParen;
        self.open(if sends { Hidden::Send } else { Hidden::Get });
        self.edits.replace(name.place, 0, "\"");
        self.edits.replace(end, 0, if sends { "\"" } else { "\")" });
        self.arguments(token, sends)
    }

    /// After `x ! [k]`.
    pub(super) fn after_key(&mut self, token: &Token) -> Step {
        let Some(bracket) = self.ctx.sent.take() else {
            return self.unexpected(token);
        };
        let sends = token.kind == TokenKind::LParen;
        self.open(if sends { Hidden::Send } else { Hidden::Get });
        let close = if sends { ")/*~]*/" } else { ")/*~]*/)" };
        self.edits.replace(bracket.place, 1, close);
        self.arguments(token, sends)
    }

    fn arguments(&mut self, token: &Token, sends: bool) -> Step {
        if sends {
            self.edits.replace(token.place, 1, ",");
            return self.push(token, Kind::Paren, After::Send, Expect::Operand);
        }
        self.ctx.chain.last = Last::Get;
        self.again(Expect::Operator)
    }

    /// Wraps the operand in a call, whose first comma the `!` becomes.
    fn open(&mut self, hidden: Hidden) {
        let chain = &self.ctx.chain;
        let before = (chain.start.offset as usize).checked_sub(1);
        let before = before.and_then(|at| self.src.get(at));
        // `return(x) ! m()`: the call's name must not run into the word before.
        let glued = before.is_some_and(|byte| is_name_byte(*byte));
        self.edits.open(chain.start, hidden, glued);
        self.edits.replace(chain.bang, 1, ",/*~*/");
    }
}
