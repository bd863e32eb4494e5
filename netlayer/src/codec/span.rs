//! Where the parts of a coded container lie.
//!
//! Promises: the spans returned are the sender's own bytes, whole values each. Signed things stand
//! inside others (`desc:sig-envelope`), and a signature is checked over what was received, never
//! over what it would look like if written again.

use super::error::{DecodeError, DecodeErrorKind};
use super::limits::Limits;
use super::token::{Container, Token, token};

/// The bytes of each direct part of the container that `bytes` is: the items of a list, the label
/// and then the fields of a record, the keys and values of a struct in turn as they stand. Checks
/// that containers nest; what may stand where is `decode`'s to check.
pub fn children<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Vec<&'a [u8]>, DecodeError> {
    let (Token::Open(container), mut at) = token_at(bytes, 0, limits)? else {
        return Err(DecodeError {
            kind: DecodeErrorKind::NotAContainer,
            at: 0,
        });
    };
    let mut parts = Vec::new();
    let mut open = vec![container];
    let mut start = at;
    while !open.is_empty() {
        let (token, end) = token_at(bytes, at, limits)?;
        nest(token, &mut open, limits).map_err(|kind| DecodeError { kind, at })?;
        at = end;
        if open.len() == 1 {
            if parts.len() >= limits.items {
                let kind = DecodeErrorKind::TooManyItems(limits.items);
                return Err(DecodeError { kind, at: start });
            }
            parts.push(bytes.get(start..at).unwrap_or_default());
            start = at;
        }
    }
    match at == bytes.len() {
        true => Ok(parts),
        false => Err(DecodeError {
            kind: DecodeErrorKind::Trailing,
            at,
        }),
    }
}

/// The token at an offset, and the offset after it.
fn token_at<'a>(
    bytes: &'a [u8],
    at: usize,
    limits: &Limits,
) -> Result<(Token<'a>, usize), DecodeError> {
    let rest = bytes.get(at..).unwrap_or_default();
    let room = limits.bytes.saturating_sub(at);
    match token(rest, limits, room) {
        Ok(Some((token, length))) => Ok((token, at + length)),
        Ok(None) => Err(DecodeError {
            kind: DecodeErrorKind::Truncated,
            at,
        }),
        Err(kind) => Err(DecodeError { kind, at }),
    }
}

/// Follows the containers a token begins or ends.
fn nest(
    token: Token<'_>,
    open: &mut Vec<Container>,
    limits: &Limits,
) -> Result<(), DecodeErrorKind> {
    match token {
        Token::Open(_) if open.len() >= limits.depth => Err(DecodeErrorKind::TooDeep(limits.depth)),
        Token::Open(container) => {
            open.push(container);
            Ok(())
        }
        Token::End(container) if open.last() == Some(&container) => {
            open.pop();
            Ok(())
        }
        Token::End(_) => Err(DecodeErrorKind::WrongEnd),
        _ => Ok(()),
    }
}
