//! The bytes of Syrup, one token at a time.
//!
//! Promises: nothing is read past the slice; a length is checked against the limit as soon as its
//! digits are there, not when its bytes are. Does not know which token may follow which.
//!
//! | first byte | token | rest |
//! | --- | --- | --- |
//! | `t` `f` | boolean | |
//! | `D` | float | 8 bytes, big-endian IEEE-754 |
//! | `0`–`9` | digits up to a tag | `+` `-`: integer; `:` `"` `'`: that many bytes |
//! | `[` `{` `<` | a container opens | |
//! | `]` `}` `>` | a container ends | |

use super::error::DecodeErrorKind;
use super::limits::Limits;

/// One token. Text is checked to be UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Bool(bool),
    /// At least one digit, ASCII.
    Integer {
        sign: Sign,
        digits: &'a [u8],
    },
    /// Bits as received: a NaN may have any payload.
    Float(u64),
    String(&'a str),
    Symbol(&'a str),
    Bytes(&'a [u8]),
    Open(Container),
    End(Container),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Plus,
    Minus,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    List,
    Struct,
    Record,
}

/// The token that begins `bytes`, and its length; `None` if it is not all there yet. No token is
/// longer than `room` bytes: what the value it belongs to may still have.
pub(super) fn token<'a>(
    bytes: &'a [u8],
    limits: &Limits,
    room: usize,
) -> Result<Option<(Token<'a>, usize)>, DecodeErrorKind> {
    let Some(first) = bytes.first() else {
        return Ok(None);
    };
    if room == 0 {
        return Err(DecodeErrorKind::TooLarge(limits.bytes));
    }
    let short = match first {
        b't' => Token::Bool(true),
        b'f' => Token::Bool(false),
        b'[' => Token::Open(Container::List),
        b'{' => Token::Open(Container::Struct),
        b'<' => Token::Open(Container::Record),
        b']' => Token::End(Container::List),
        b'}' => Token::End(Container::Struct),
        b'>' => Token::End(Container::Record),
        b'D' => return float(bytes, limits, room),
        b'0'..=b'9' => return digits(bytes, limits, room),
        b'F' => return Err(DecodeErrorKind::Float32),
        b'#' | b'$' => return Err(DecodeErrorKind::Set),
        other => return Err(DecodeErrorKind::UnknownTag(*other)),
    };
    Ok(Some((short, 1)))
}

fn float<'a>(
    bytes: &'a [u8],
    limits: &Limits,
    room: usize,
) -> Result<Option<(Token<'a>, usize)>, DecodeErrorKind> {
    const LENGTH: usize = 1 + size_of::<u64>();
    if room < LENGTH {
        return Err(DecodeErrorKind::TooLarge(limits.bytes));
    }
    let bits = bytes
        .get(1..LENGTH)
        .and_then(|rest| rest.first_chunk::<8>());
    Ok(bits.map(|bits| (Token::Float(u64::from_be_bytes(*bits)), LENGTH)))
}

/// Tokens that begin with digits. Leading zeros are accepted, as every running peer does.
fn digits<'a>(
    bytes: &'a [u8],
    limits: &Limits,
    room: usize,
) -> Result<Option<(Token<'a>, usize)>, DecodeErrorKind> {
    let digits_max = limits.integer_digits.min(room);
    let count = bytes
        .iter()
        .take(digits_max + 1)
        .take_while(|b| b.is_ascii_digit())
        .count();
    if count > limits.integer_digits {
        return Err(DecodeErrorKind::TooManyDigits(limits.integer_digits));
    }
    let used = count.saturating_add(1);
    if used > room {
        return Err(DecodeErrorKind::TooLarge(limits.bytes));
    }
    let (Some(digits), Some(tag)) = (bytes.get(..count), bytes.get(count)) else {
        return Ok(None);
    };
    let sign = match tag {
        b'+' => Sign::Plus,
        b'-' => Sign::Minus,
        b':' | b'"' | b'\'' => return run(bytes, digits, *tag, limits, room),
        other => return Err(DecodeErrorKind::UnknownTagAfterDigits(*other)),
    };
    Ok(Some((Token::Integer { sign, digits }, used)))
}

/// A length, its tag, and that many bytes.
fn run<'a>(
    bytes: &'a [u8],
    digits: &[u8],
    tag: u8,
    limits: &Limits,
    room: usize,
) -> Result<Option<(Token<'a>, usize)>, DecodeErrorKind> {
    let start = digits.len() + 1;
    let length = digits.iter().try_fold(0usize, |length, digit| {
        let next = length
            .checked_mul(10)?
            .checked_add(usize::from(digit - b'0'))?;
        (next <= limits.length).then_some(next)
    });
    let length = length.ok_or(DecodeErrorKind::TooLong(limits.length))?;
    let end = start.checked_add(length).filter(|end| *end <= room);
    let end = end.ok_or(DecodeErrorKind::TooLarge(limits.bytes))?;
    let Some(content) = bytes.get(start..end) else {
        return Ok(None);
    };
    let text = || std::str::from_utf8(content).map_err(|_| DecodeErrorKind::NotUtf8);
    let token = match tag {
        b':' => Token::Bytes(content),
        b'"' => Token::String(text()?),
        _ => Token::Symbol(text()?),
    };
    Ok(Some((token, end)))
}
