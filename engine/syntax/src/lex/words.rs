//! Names: keywords as far as they matter to the structure of a text, escapes, and what a name is.

use std::borrow::Cow;

/// A name by what it does to the grammar around it. Names with escapes are never keywords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// An identifier or a keyword that is a value: `this`, `null`, …
    Other,
    Async,
    Await,
    /// `break`, `continue`.
    Jump,
    Case,
    Catch,
    Class,
    /// `var`, `const`, and `let`: all code is strict, where `let` is no identifier.
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

/// What a name's text means.
pub fn word(text: &[u8]) -> Word {
    match text {
        b"async" => Word::Async,
        b"await" => Word::Await,
        b"break" | b"continue" => Word::Jump,
        b"case" => Word::Case,
        b"catch" => Word::Catch,
        b"class" => Word::Class,
        b"var" | b"const" | b"let" => Word::Declare,
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
        b"new" => Word::New,
        b"of" => Word::Of,
        b"return" | b"throw" => Word::Return,
        b"else" | b"do" | b"try" | b"finally" | b"debugger" => Word::Statement,
        b"super" => Word::Super,
        b"typeof" | b"void" => Word::Unary,
        b"with" => Word::With,
        b"yield" => Word::Yield,
        _ => Word::Other,
    }
}

/// A text with its `\u` and `\x` escapes of ASCII characters replaced; others stay.
pub fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        match escape(rest).or_else(|| short_escape(rest)) {
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
    Cow::Owned(plain)
}

/// The value of a name that may be written with escapes; `None` where it is no text.
pub fn name(text: &str) -> Option<String> {
    let mut value = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escaped) = rest.split_at(at);
        let (number, length) = escape(escaped.as_bytes())?;
        value.push_str(before);
        value.push(char::from_u32(number)?);
        rest = escaped.get(length..)?;
    }
    value.push_str(rest);
    Some(value)
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
    Some((hexadecimal(digits.get(..4)?)?, 6))
}

/// Likewise for `\x41`, which only strings have.
fn short_escape(text: &[u8]) -> Option<(u32, usize)> {
    let digits = text.strip_prefix(b"\\x")?;
    Some((hexadecimal(digits.get(..2)?)?, 4))
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, byte| {
        Some(number * 16 + char::from(*byte).to_digit(16)?)
    })
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
