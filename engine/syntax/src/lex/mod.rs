//! JavaScript's tokens, as the engine's own lexer cuts them.
//!
//! Promises: linear, without recursion, total: every byte string gives tokens up to
//! `TokenKind::End` or one `TokenKind::Bad`. Follows quickjs-ng where it could be argued about
//! (lines, HTML-like comments, spaces). Does not know whether `/` divides or begins a regular
//! expression: the caller says.
//!
//! Text is WTF-8: UTF-8 in which a lone surrogate stands as three bytes of its own, as QuickJS
//! gives a string's text. Bytes that are neither are taken for parts of names, and left to the
//! engine to refuse.

pub mod strings;
mod token;
pub mod words;

use crate::Goal;
use crate::error::Malformed;
pub use token::{Place, Slash, Token, TokenKind};

/// What a quick look ahead sees. In strict code `async`, `static` and arrow functions are told by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glance {
    LineEnd,
    /// `=>`
    Arrow,
    Function,
    /// `(`, `=`, `;` or `}`.
    EndsName,
    Other,
}

#[derive(Clone)]
pub struct Lexer<'a> {
    src: &'a [u8],
    at: usize,
    line: u32,
    line_start: usize,
    goal: Goal,
    /// No token was read yet.
    first: bool,
}

impl<'a> Lexer<'a> {
    /// The text must be shorter than 4 GiB.
    pub fn new(src: &'a [u8], goal: Goal) -> Self {
        let mut lexer = Lexer {
            src,
            at: 0,
            line: 1,
            line_start: 0,
            goal,
            first: true,
        };
        if src.starts_with(b"#!") {
            lexer.skip_line();
        }
        lexer
    }

    pub fn text(&self, token: &Token) -> &'a [u8] {
        let range = token.place.offset as usize..token.end as usize;
        self.src.get(range).unwrap_or_default()
    }

    pub fn place(&self) -> Place {
        Place {
            offset: self.at as u32,
            line: self.line,
            line_start: self.line_start as u32,
        }
    }

    /// The bytes not yet read.
    pub fn rest(&self) -> &'a [u8] {
        self.src.get(self.at..).unwrap_or_default()
    }

    pub fn next(&mut self, slash: Slash) -> Token {
        let trivia = self.skip_trivia();
        let place = self.place();
        let kind = match trivia {
            Ok(_) => self.token(slash),
            Err(malformed) => TokenKind::Bad(malformed),
        };
        self.first = false;
        Token {
            kind,
            place,
            end: self.at as u32,
            newline: trivia.unwrap_or(false),
        }
    }

    /// The next token without passing it. Templates and regular expressions are not told apart
    /// from what begins like them.
    pub fn peek(&self) -> Token {
        let mut ahead = self.clone();
        let newline = ahead.skip_trivia().unwrap_or(false);
        let place = ahead.place();
        let kind = match ahead.byte(0) {
            b'`' => TokenKind::TemplateHead,
            b'"' | b'\'' => TokenKind::Str,
            _ => ahead.token(Slash::Divides),
        };
        Token {
            kind,
            place,
            end: ahead.at as u32,
            newline,
        }
    }

    /// Whether a name comes next and `=>` after it.
    pub fn is_name_before_arrow(&self) -> bool {
        let mut ahead = self.clone();
        let _ = ahead.skip_trivia();
        matches!(ahead.token(Slash::Divides), TokenKind::Name(_)) && ahead.glance() == Glance::Arrow
    }

    /// What comes next, by the engine's own quick look ahead (`simple_next_token` in quickjs.c),
    /// which decides what `async` and `static` mean. It knows comments, but of spaces and of ends
    /// of lines those of ASCII alone; the first byte of any other character it takes for the
    /// Latin-1 letter of that number.
    pub fn glance(&self) -> Glance {
        let mut at = self.at;
        let byte = |at: usize| self.src.get(at).copied().unwrap_or(0);
        loop {
            match byte(at) {
                b'\r' | b'\n' => return Glance::LineEnd,
                b' ' | b'\t' | 0x0B | 0x0C => at += 1,
                b'/' if byte(at + 1) == b'/' => return Glance::LineEnd,
                b'/' if byte(at + 1) == b'*' => match self.glance_over_comment(at + 2) {
                    Some(end) => at = end,
                    None => return Glance::LineEnd,
                },
                _ => break,
            }
        }
        let rest = self.src.get(at..).unwrap_or_default();
        // A letter of Latin-1, by its number, goes on with the name.
        let goes_on = |rest: &[u8]| rest.first().is_some_and(|byte| is_latin1_name_byte(*byte));
        match rest {
            [b'=', b'>', ..] => Glance::Arrow,
            [b'(' | b'=' | b';' | b'}', ..] => Glance::EndsName,
            _ => match rest.strip_prefix(b"function") {
                Some(after) if !goes_on(after) => Glance::Function,
                _ => Glance::Other,
            },
        }
    }

    /// Where a comment ends, given what stands behind its `/*`; `None` where a line ends first.
    fn glance_over_comment(&self, start: usize) -> Option<usize> {
        let rest = self.src.get(start..).unwrap_or_default();
        let stop = rest.iter().enumerate().find(|(at, byte)| match byte {
            0 | b'\r' | b'\n' => true,
            b'*' => rest.get(at + 1) == Some(&b'/'),
            _ => false,
        });
        match stop {
            Some((_, b'\r' | b'\n')) => None,
            Some((at, b'*')) => Some(start + at + 2),
            Some((at, _)) => Some(start + at),
            None => Some(self.src.len()),
        }
    }

    /// The part of a template after the `}` just read.
    pub fn template_part(&mut self) -> Token {
        let place = self.place();
        let kind = self.template();
        Token {
            kind,
            place,
            end: self.at as u32,
            newline: false,
        }
    }

    /// Bytes of the spaces and comments that the text begins with.
    pub fn trivia(mut self) -> usize {
        let _ = self.skip_trivia();
        self.at
    }

    /// A byte ahead; zero past the end.
    fn byte(&self, ahead: usize) -> u8 {
        self.src.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn ended(&self) -> bool {
        self.at >= self.src.len()
    }

    /// A character of more than one byte here, if it is one: its number and its length.
    fn wide(&self) -> Option<(u32, usize)> {
        let lead = self.byte(0);
        let length = match lead {
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            _ => return None,
        };
        let mut number = u32::from(lead) & (0x7F >> length);
        for ahead in 1..length {
            let next = self.byte(ahead);
            if next & 0xC0 != 0x80 {
                return None;
            }
            number = number << 6 | u32::from(next & 0x3F);
        }
        Some((number, length))
    }

    fn new_line(&mut self) {
        self.line = self.line.saturating_add(1);
        self.line_start = self.at;
    }

    /// Passes a line's end, if one is here.
    fn line_end(&mut self) -> bool {
        match self.byte(0) {
            b'\n' => self.at += 1,
            b'\r' => self.at += 1 + usize::from(self.byte(1) == b'\n'),
            0xE2 if self.separator() => self.at += 3,
            _ => return false,
        }
        self.new_line();
        true
    }

    /// U+2028 or U+2029 is here.
    fn separator(&self) -> bool {
        matches!(self.wide(), Some((0x2028 | 0x2029, _)))
    }

    /// Up to the line's end, not over it.
    fn skip_line(&mut self) {
        while !self.ended() {
            match self.byte(0) {
                b'\n' | b'\r' => return,
                0xE2 if self.separator() => return,
                _ => self.at += 1,
            }
        }
    }

    /// Passes spaces and comments; whether a line ended there.
    fn skip_trivia(&mut self) -> Result<bool, Malformed> {
        let mut newline = false;
        let html = self.goal == Goal::Script;
        while !self.ended() {
            match self.byte(0) {
                b' ' | b'\t' | 0x0B | 0x0C => self.at += 1,
                b'/' if self.byte(1) == b'*' => newline |= self.block_comment()?,
                b'/' if self.byte(1) == b'/' => self.skip_line(),
                b'<' if html && self.rest().starts_with(b"<!--") => self.skip_line(),
                b'-' if html && (newline || self.first) && self.rest().starts_with(b"-->") => {
                    self.skip_line();
                }
                b'\n' | b'\r' => newline |= self.line_end(),
                byte if byte >= 0x80 => match self.wide() {
                    Some((0x2028 | 0x2029, _)) => newline |= self.line_end(),
                    Some((number, length)) if is_space(number) => self.at += length,
                    _ => break,
                },
                _ => break,
            }
        }
        Ok(newline)
    }

    /// Passes a comment; whether it counts as a line's end. Of the ends of lines in it the engine
    /// counts line feeds only.
    fn block_comment(&mut self) -> Result<bool, Malformed> {
        let mut newline = false;
        let mut ahead = self.clone();
        ahead.at += 2;
        while !ahead.ended() {
            match ahead.byte(0) {
                b'*' if ahead.byte(1) == b'/' => {
                    ahead.at += 2;
                    *self = ahead;
                    return Ok(newline);
                }
                b'\n' => {
                    ahead.at += 1;
                    ahead.new_line();
                    newline = true;
                }
                b'\r' => {
                    ahead.at += 1;
                    ahead.line_start = ahead.at;
                    newline = true;
                }
                0xE2 if ahead.separator() => {
                    ahead.at += 3;
                    newline = true;
                }
                _ => ahead.at += 1,
            }
        }
        Err(Malformed::Comment)
    }

    fn token(&mut self, slash: Slash) -> TokenKind {
        if self.ended() {
            return TokenKind::End;
        }
        let first = self.byte(0);
        match first {
            b'`' => {
                self.at += 1;
                self.template()
            }
            b'"' | b'\'' => self.string(first),
            b'/' if slash == Slash::Opens => self.regex(),
            b'0'..=b'9' => self.number(),
            b'.' if self.byte(1).is_ascii_digit() => self.number(),
            b'#' => {
                self.at += 1;
                match self.name() {
                    true => TokenKind::Private,
                    false => TokenKind::Bad(Malformed::Character),
                }
            }
            _ if starts_name(first) => self.word(),
            _ => self.punctuator(first),
        }
    }

    fn word(&mut self) -> TokenKind {
        let start = self.at;
        if !self.name() {
            return TokenKind::Bad(Malformed::Character);
        }
        let text = self.src.get(start..self.at).unwrap_or_default();
        // One with an escape contains a backslash, as no keyword does.
        TokenKind::Name(words::word(text))
    }

    /// Passes a name, escapes included; false when there is none.
    fn name(&mut self) -> bool {
        let start = self.at;
        while !self.ended() {
            let byte = self.byte(0);
            if byte == b'\\' {
                match words::escape(self.rest()) {
                    Some((_, length)) => self.at += length,
                    None => break,
                }
            } else if byte < 0x80 {
                match is_name_byte(byte) {
                    true => self.at += 1,
                    false => break,
                }
            } else {
                match self.wide() {
                    Some((number, _)) if is_space(number) => break,
                    Some((_, length)) => self.at += length,
                    None => self.at += 1,
                }
            }
        }
        self.at > start
    }

    fn number(&mut self) -> TokenKind {
        let start = self.at;
        let radix = self.byte(0) == b'0' && matches!(self.byte(1) | 0x20, b'x' | b'o' | b'b');
        if radix {
            self.at += 2;
            self.digits(|byte| byte.is_ascii_alphanumeric());
            return TokenKind::Number;
        }
        self.digits(|byte| byte.is_ascii_digit());
        let whole = self.src.get(start..self.at).unwrap_or_default();
        let octal = whole.len() > 1
            && whole.first() == Some(&b'0')
            && whole.iter().all(|byte| (b'0'..=b'7').contains(byte));
        if self.byte(0) == b'.' && !octal {
            self.at += 1;
            self.digits(|byte| byte.is_ascii_digit());
        }
        if self.byte(0) | 0x20 == b'e' {
            let signed = usize::from(matches!(self.byte(1), b'+' | b'-'));
            if self.byte(1 + signed).is_ascii_digit() {
                self.at += 1 + signed;
                self.digits(|byte| byte.is_ascii_digit());
            }
        }
        self.at += usize::from(self.byte(0) == b'n');
        TokenKind::Number
    }

    fn digits(&mut self, is_digit: fn(&u8) -> bool) {
        while is_digit(&self.byte(0)) || self.byte(0) == b'_' {
            self.at += 1;
        }
    }

    fn string(&mut self, quote: u8) -> TokenKind {
        self.at += 1;
        while !self.ended() {
            match self.byte(0) {
                byte if byte == quote => {
                    self.at += 1;
                    return TokenKind::Str;
                }
                b'\n' | b'\r' => break,
                b'\\' => {
                    self.at += 1;
                    match self.byte(0) {
                        b'\n' | b'\r' => drop(self.line_end()),
                        _ => self.at += 1,
                    }
                }
                _ => self.at += 1,
            }
        }
        self.at = self.at.min(self.src.len());
        TokenKind::Bad(Malformed::String)
    }

    fn template(&mut self) -> TokenKind {
        while !self.ended() {
            match self.byte(0) {
                b'`' => {
                    self.at += 1;
                    return TokenKind::Template;
                }
                b'$' if self.byte(1) == b'{' => {
                    self.at += 2;
                    return TokenKind::TemplateHead;
                }
                b'\n' | b'\r' => drop(self.line_end()),
                b'\\' => {
                    self.at += 1;
                    match self.byte(0) {
                        b'\n' | b'\r' => drop(self.line_end()),
                        _ => self.at += 1,
                    }
                }
                _ => self.at += 1,
            }
        }
        self.at = self.at.min(self.src.len());
        TokenKind::Bad(Malformed::Template)
    }

    fn regex(&mut self) -> TokenKind {
        self.at += 1;
        let mut class = false;
        while !self.ended() {
            match self.byte(0) {
                b'/' if !class => {
                    self.at += 1;
                    // Its flags.
                    self.name();
                    return TokenKind::Regex;
                }
                b'[' => class = true,
                b']' => class = false,
                b'\\' if !matches!(self.byte(1), b'\n' | b'\r' | 0xE2) => self.at += 1,
                b'\n' | b'\r' => break,
                0xE2 if self.separator() => break,
                _ => {}
            }
            self.at += 1;
        }
        self.at = self.at.min(self.src.len());
        TokenKind::Bad(Malformed::Regex)
    }

    fn punctuator(&mut self, first: u8) -> TokenKind {
        let (second, third) = (self.byte(1), self.byte(2));
        let (kind, length) = match first {
            b'(' => (TokenKind::LParen, 1),
            b')' => (TokenKind::RParen, 1),
            b'[' => (TokenKind::LBracket, 1),
            b']' => (TokenKind::RBracket, 1),
            b'{' => (TokenKind::LBrace, 1),
            b'}' => (TokenKind::RBrace, 1),
            b';' => (TokenKind::Semi, 1),
            b',' => (TokenKind::Comma, 1),
            b':' => (TokenKind::Colon, 1),
            b'~' => (TokenKind::Tilde, 1),
            b'.' if second == b'.' && third == b'.' => (TokenKind::Spread, 3),
            b'.' => (TokenKind::Dot, 1),
            b'?' if second == b'.' && !third.is_ascii_digit() => (TokenKind::OptionalDot, 2),
            b'?' if second == b'?' && third == b'=' => (TokenKind::Assign, 3),
            b'?' if second == b'?' => (TokenKind::Binary, 2),
            b'?' => (TokenKind::Question, 1),
            b'=' if second == b'>' => (TokenKind::Arrow, 2),
            b'=' if second == b'=' => (TokenKind::Binary, 2 + usize::from(third == b'=')),
            b'=' => (TokenKind::Assign, 1),
            b'!' if second == b'=' => (TokenKind::Binary, 2 + usize::from(third == b'=')),
            b'!' => (TokenKind::Bang, 1),
            b'+' | b'-' if second == first => (TokenKind::Update, 2),
            b'+' | b'-' | b'*' | b'/' | b'%' | b'&' | b'|' | b'^' | b'<' | b'>' => {
                return self.operator(first);
            }
            _ => return TokenKind::Bad(Malformed::Character),
        };
        self.at += length;
        kind
    }

    /// An operator that may be doubled (`>` also tripled) and may assign.
    fn operator(&mut self, first: u8) -> TokenKind {
        let most = match first {
            b'*' | b'&' | b'|' | b'<' => 2,
            b'>' => 3,
            _ => 1,
        };
        let mut length = 1;
        while length < most && self.byte(length) == first {
            length += 1;
        }
        let assigns = self.byte(length) == b'=';
        let compares = matches!((first, length), (b'<' | b'>', 1));
        self.at += length + usize::from(assigns);
        match assigns && !compares {
            true => TokenKind::Assign,
            false => TokenKind::Binary,
        }
    }
}

/// Whether a byte, taken for a character of Latin-1, can stand in a name.
fn is_latin1_name_byte(byte: u8) -> bool {
    let is_letter = matches!(byte, 0xAA | 0xB5 | 0xB7 | 0xBA | 0xC0..=0xD6 | 0xD8..=0xF6 | 0xF8..);
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || is_letter
}

fn starts_name(byte: u8) -> bool {
    is_name_byte(byte) && !byte.is_ascii_digit()
}

/// Whether a byte can stand in a name; a backslash begins an escape there.
pub fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'\\') || byte >= 0x80
}

/// White space beyond ASCII.
fn is_space(number: u32) -> bool {
    matches!(
        number,
        0xA0 | 0x1680 | 0x2000..=0x200A | 0x2028 | 0x2029 | 0x202F | 0x205F | 0x3000 | 0xFEFF
    )
}
