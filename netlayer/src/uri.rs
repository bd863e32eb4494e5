//! The parts of an `ocapn://` URI.
//!
//! Promises: what is no RFC 3986 text is refused, not repaired; errors do not repeat the text (a
//! swissnum may stand in it). Not built on a general URL parser: those lower the case of hosts,
//! read `+` as a blank and normalise paths, and each of these would change a designator or a hint
//! that a signature covers.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use crate::Fault;
use crate::swissnum::SwissnumLength;

/// Bytes of a whole URI.
pub const URI_BYTES_MAX: usize = 8192;

const SCHEME: &str = "ocapn://";

/// Everything but RFC 3986's unreserved characters is escaped when written.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Why a text is no locator. The text is never in the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    #[error("the URI is longer than {URI_BYTES_MAX} bytes")]
    TooLong,
    #[error("the URI does not begin with `ocapn://`")]
    WrongScheme,
    #[error("between `ocapn://` and the next `/` or `?` there is no `designator.transport`")]
    NoTransport,
    #[error("the designator or the transport is too long, or the transport has a dot")]
    BadPeer,
    #[error("a character that must be written as `%` and two hexadecimal digits")]
    BareCharacter,
    #[error("a `%` without two hexadecimal digits after it")]
    BadEscape,
    #[error("escapes that are not UTF-8")]
    NotUtf8,
    #[error("a path that is neither empty nor `/s/` and a swissnum")]
    UnknownPath,
    #[error("this names a peer, not an object: `/s/` and a swissnum are missing")]
    NoSwissnum,
    #[error("this names an object, not a peer: it has a swissnum")]
    HasSwissnum,
    #[error("a hint is too long, or not of the form `key=value`")]
    BadHint,
    #[error("a hint is given twice")]
    DuplicateHint,
    #[error("more than {0} hints")]
    TooManyHints(usize),
    #[error("the swissnum is not base64url")]
    NotBase64Url,
    #[error(transparent)]
    Swissnum(SwissnumLength),
}

impl UriError {
    /// Whose fault it is: URIs come from people and contracts, not from the wire.
    pub fn fault(&self) -> Fault {
        Fault::ApiMisuse
    }
}

/// The pieces between the separators, escapes still in place.
pub(crate) struct Pieces<'a> {
    pub designator: &'a str,
    pub transport: &'a str,
    /// What follows `/s/`.
    pub swissnum: Option<&'a str>,
    /// What follows `?`.
    pub hints: Option<&'a str>,
}

/// Cuts a URI into its pieces.
pub(crate) fn split(uri: &str) -> Result<Pieces<'_>, UriError> {
    if uri.len() > URI_BYTES_MAX {
        return Err(UriError::TooLong);
    }
    let (scheme, rest) = uri
        .split_at_checked(SCHEME.len())
        .ok_or(UriError::WrongScheme)?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Err(UriError::WrongScheme);
    }
    let (rest, hints) = match rest.split_once('?') {
        Some((rest, hints)) => (rest, Some(hints)),
        None => (rest, None),
    };
    let (authority, swissnum) = match rest.split_once('/') {
        None => (rest, None),
        Some((authority, "")) => (authority, None),
        Some((authority, path)) => (
            authority,
            Some(path.strip_prefix("s/").ok_or(UriError::UnknownPath)?),
        ),
    };
    // The last dot: a designator may have dots of its own, a transport has none.
    let (designator, transport) = authority.rsplit_once('.').ok_or(UriError::NoTransport)?;
    if designator.is_empty() || transport.is_empty() {
        return Err(UriError::NoTransport);
    }
    Ok(Pieces {
        designator,
        transport,
        swissnum,
        hints,
    })
}

/// Puts the pieces together; they are escaped here, but for the swissnum, which has a form of its
/// own.
pub(crate) fn join(
    designator: &str,
    transport: &str,
    swissnum: Option<&str>,
    hints: Option<&BTreeMap<String, String>>,
) -> String {
    let mut uri = format!(
        "{SCHEME}{}.{}",
        escape(designator.as_bytes()),
        escape(transport.as_bytes())
    );
    if let Some(swissnum) = swissnum {
        uri.push_str("/s/");
        uri.push_str(swissnum);
    }
    for (index, (key, value)) in hints.into_iter().flatten().enumerate() {
        uri.push(if index == 0 { '?' } else { '&' });
        uri.push_str(&escape(key.as_bytes()));
        uri.push('=');
        uri.push_str(&escape(value.as_bytes()));
    }
    uri
}

/// The hints of a query. `+` is a plus, as in RFC 3986 and unlike in HTML forms.
pub(crate) fn parse_hints(
    query: &str,
    count_max: usize,
) -> Result<BTreeMap<String, String>, UriError> {
    let mut hints = BTreeMap::new();
    for hint in query.split('&') {
        let (key, value) = hint.split_once('=').ok_or(UriError::BadHint)?;
        if key.is_empty() {
            return Err(UriError::BadHint);
        }
        if hints.len() >= count_max {
            return Err(UriError::TooManyHints(count_max));
        }
        if hints
            .insert(unescape(key, Part::Query)?, unescape(value, Part::Query)?)
            .is_some()
        {
            return Err(UriError::DuplicateHint);
        }
    }
    Ok(hints)
}

pub(crate) fn escape(bytes: &[u8]) -> String {
    percent_encode(bytes, ESCAPED).to_string()
}

pub(crate) fn unescape(text: &str, part: Part) -> Result<String, UriError> {
    String::from_utf8(unescape_bytes(text, part)?).map_err(|_| UriError::NotUtf8)
}

/// The bytes that a piece of a URI stands for. The crate that decodes passes bad escapes through,
/// so they are looked for first.
pub(crate) fn unescape_bytes(text: &str, part: Part) -> Result<Vec<u8>, UriError> {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let is_hex = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_hexdigit());
            if !is_hex(bytes.next()) || !is_hex(bytes.next()) {
                return Err(UriError::BadEscape);
            }
        } else if !may_stand_bare(byte, part) {
            return Err(UriError::BareCharacter);
        }
    }
    Ok(percent_decode_str(text).collect())
}

/// Where in a URI a text stands, which decides what may stand bare in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Designator and transport. `:` and `@` would begin a port and end a user, and are refused.
    Authority,
    /// The swissnum.
    Path,
    /// Keys and values of hints.
    Query,
}

/// RFC 3986: unreserved characters and sub-delims everywhere, the rest by part.
fn may_stand_bare(byte: u8, part: Part) -> bool {
    byte.is_ascii_alphanumeric()
        || b"-._~!$&'()*+,;=".contains(&byte)
        || match part {
            Part::Authority => false,
            Part::Path => b":@".contains(&byte),
            Part::Query => b":@/?".contains(&byte),
        }
}
