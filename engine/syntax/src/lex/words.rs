//! Names: keywords as far as they matter to where an infix `!` may stand, and the hidden names.

use std::borrow::Cow;

use crate::HIDDEN_NAMES;

/// A name by what it does to the grammar around it. Names with escapes are never keywords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// An identifier or a keyword that is a value: `this`, `null`, …
    Other,
    /// One of `HIDDEN_NAMES`, with escapes or without.
    Hidden(Hidden),
    Async,
    Await,
    /// `break`, `continue`.
    Jump,
    Case,
    Catch,
    Class,
    /// `var`, `const`.
    Declare,
    Default,
    Delete,
    Export,
    Extends,
    For,
    Function,
    From,
    /// `if`, `while`, `with`, `switch`.
    Head,
    Import,
    /// `in`, `instanceof`.
    Infix,
    Let,
    New,
    Of,
    /// `return`, `throw`.
    Return,
    /// `else`, `do`, `try`, `finally`, `debugger`: a statement or block follows.
    Statement,
    Super,
    /// `typeof`, `void`.
    Unary,
    With,
    Yield,
}

/// Which of the hidden functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hidden {
    /// `x ! m(a)`, `x ! [k](a)`.
    Send,
    /// `x ! (a)`.
    Call,
    /// `x ! p`, `x ! [k]`.
    Get,
}

impl Hidden {
    pub fn name(self) -> &'static str {
        HIDDEN_NAMES[self as usize]
    }

    const ALL: [Hidden; 3] = [Hidden::Send, Hidden::Call, Hidden::Get];
}

/// What a name's text means; with escapes it is compared as what they stand for.
pub fn word(text: &[u8]) -> Word {
    if text.contains(&b'\\') {
        return hidden(&unescaped(text)).map_or(Word::Other, Word::Hidden);
    }
    match text {
        b"async" => Word::Async,
        b"await" => Word::Await,
        b"break" | b"continue" => Word::Jump,
        b"case" => Word::Case,
        b"catch" => Word::Catch,
        b"class" => Word::Class,
        b"var" | b"const" => Word::Declare,
        b"default" => Word::Default,
        b"delete" => Word::Delete,
        b"export" => Word::Export,
        b"extends" => Word::Extends,
        b"for" => Word::For,
        b"function" => Word::Function,
        b"from" => Word::From,
        b"if" | b"while" | b"switch" => Word::Head,
        b"import" => Word::Import,
        b"in" | b"instanceof" => Word::Infix,
        b"let" => Word::Let,
        b"new" => Word::New,
        b"of" => Word::Of,
        b"return" | b"throw" => Word::Return,
        b"else" | b"do" | b"try" | b"finally" | b"debugger" => Word::Statement,
        b"super" => Word::Super,
        b"typeof" | b"void" => Word::Unary,
        b"with" => Word::With,
        b"yield" => Word::Yield,
        _ => hidden(text).map_or(Word::Other, Word::Hidden),
    }
}

fn hidden(text: &[u8]) -> Option<Hidden> {
    let mut all = Hidden::ALL.into_iter();
    all.find(|hidden| hidden.name().as_bytes() == text)
}

/// The first of the hidden names that stands anywhere in a text, as a name or not, with escapes or
/// without.
pub fn mentioned(text: &[u8]) -> Option<&'static str> {
    let plain = match text.contains(&b'\\') {
        true => Cow::Owned(unescaped(text)),
        false => Cow::Borrowed(text),
    };
    let mut names = HIDDEN_NAMES.into_iter();
    names.find(|name| {
        let mut windows = plain.windows(name.len());
        windows.any(|window| window == name.as_bytes())
    })
}

/// A text with its `\u` escapes of ASCII characters replaced; others stay, being in no hidden name.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        match escape(rest) {
            Some((number @ 0..0x80, length)) => {
                plain.push(number as u8);
                rest = rest.get(length..).unwrap_or_default();
            }
            _ => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    plain
}

/// Whether a text that was cut as a name is one: in a string, where it ends up, anything would do.
pub fn is_name(mut text: &[u8]) -> bool {
    let mut first = true;
    while !text.is_empty() {
        let (character, length) = match escape(text) {
            Some((number, length)) => (char::from_u32(number), length),
            None => {
                let chunk = text.get(..text.len().min(4)).unwrap_or_default();
                let valid = chunk.utf8_chunks().next().map_or("", |chunk| chunk.valid());
                let character = valid.chars().next();
                (character, character.map_or(1, char::len_utf8))
            }
        };
        let is_part = |c| match first {
            true => unicode_ident::is_xid_start(c) || matches!(c, '$' | '_'),
            false => {
                unicode_ident::is_xid_continue(c) || matches!(c, '$' | '\u{200c}' | '\u{200d}')
            }
        };
        if !character.is_some_and(is_part) {
            return false;
        }
        first = false;
        text = text.get(length..).unwrap_or_default();
    }
    !first
}

/// The `\u0041` or `\u{41}` a text begins with: its character's number, and its length.
pub fn escape(text: &[u8]) -> Option<(u32, usize)> {
    let digits = text.strip_prefix(b"\\u")?;
    if let Some(braced) = digits.strip_prefix(b"{") {
        return braced_escape(braced);
    }
    let mut number = 0;
    for byte in digits.get(..4)? {
        number = number * 16 + char::from(*byte).to_digit(16)?;
    }
    Some((number, 6))
}

/// After `\u{`. Reads no further than its digits, so that many broken ones cost no more than one.
fn braced_escape(braced: &[u8]) -> Option<(u32, usize)> {
    let mut number = 0u32;
    for (at, byte) in braced.iter().enumerate() {
        if *byte == b'}' {
            return (at > 0).then_some((number, at + 4));
        }
        let digit = char::from(*byte).to_digit(16)?;
        number = number.checked_mul(16)?.checked_add(digit)?;
        if number > 0x10_FFFF {
            return None;
        }
    }
    None
}
