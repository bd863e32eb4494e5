//! The secret that names an object: whoever knows it may use the object.
//!
//! Promises: it is shown nowhere by accident (`Debug` is redacted, there is no `Display`, errors do
//! not repeat it), and comparing two takes a time that tells nothing. Does not know which object it
//! names; a heap keeps only `sha256` of it.

use std::fmt;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest, Sha256};

use crate::codec::Value;
use crate::uri::{self, UriError};

/// Bytes of a swissnum. Ours have 32; the test suite's have 32 ASCII letters; others are free.
pub const SWISSNUM_BYTES_MAX: usize = 256;

/// Written without padding, read with or without it. Bits left over must be zero, so that one
/// number has one spelling.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An unguessable number that names an object.
#[derive(Clone)]
pub struct Swissnum(Vec<u8>);

/// How a swissnum stands in a URI. OCapN's text says RFC 3986 escapes, running code writes
/// base64url, and a reader cannot always tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwissnumForm {
    Base64Url,
    /// RFC 3986: each byte as the character it is, or `%` and two hexadecimal digits.
    Percent,
}

/// A swissnum is empty or too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a swissnum has 1 to {SWISSNUM_BYTES_MAX} bytes, not {0}")]
pub struct SwissnumLength(pub usize);

impl Swissnum {
    /// Bytes drawn by the caller, who answers for their being unguessable.
    pub fn new(bytes: Vec<u8>) -> Result<Self, SwissnumLength> {
        match bytes.len() {
            1..=SWISSNUM_BYTES_MAX => Ok(Swissnum(bytes)),
            length => Err(SwissnumLength(length)),
        }
    }

    /// The number itself. Never for a log.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }

    /// What may be kept in its place.
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }

    /// From a URI, in the form given; without one, as base64url if it can be that, else as RFC 3986
    /// escapes. Without a form, a number of letters and digits that was written as it is will be
    /// taken for base64url: the caller who knows the writer says so.
    pub fn parse(text: &str, form: Option<SwissnumForm>) -> Result<Self, UriError> {
        let bytes = match form {
            Some(SwissnumForm::Base64Url) => {
                BASE64URL.decode(text).map_err(|_| UriError::NotBase64Url)?
            }
            Some(SwissnumForm::Percent) => uri::unescape_bytes(text, uri::Part::Path)?,
            None => match BASE64URL.decode(text) {
                Ok(bytes) => bytes,
                Err(_) => uri::unescape_bytes(text, uri::Part::Path)?,
            },
        };
        Swissnum::new(bytes).map_err(UriError::Swissnum)
    }

    /// For a URI. The result is the permission itself: never for a log.
    pub fn reveal_text(&self, form: SwissnumForm) -> String {
        match form {
            SwissnumForm::Base64Url => BASE64URL.encode(&self.0),
            SwissnumForm::Percent => uri::escape(&self.0),
        }
    }

    /// As `fetch` and sturdyref records have it.
    pub fn to_value(&self) -> Value {
        Value::Bytes(self.0.clone())
    }

    /// A byte array, or a string, which OCapN's text of locators says and no running code sends.
    pub fn from_value(value: &Value) -> Option<Result<Self, SwissnumLength>> {
        let bytes = value
            .as_bytes()
            .or_else(|| value.as_str().map(str::as_bytes))?;
        Some(Swissnum::new(bytes.to_vec()))
    }
}

impl fmt::Debug for Swissnum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Swissnum({} bytes)", self.0.len())
    }
}

/// By hash, so that the time taken says nothing about how much of a guess was right.
impl PartialEq for Swissnum {
    fn eq(&self, other: &Self) -> bool {
        self.sha256() == other.sha256()
    }
}

impl Eq for Swissnum {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_it() {
        let swissnum = Swissnum::new(b"hunter2".to_vec()).unwrap();
        assert_eq!(format!("{swissnum:?}"), "Swissnum(7 bytes)");
    }

    #[test]
    fn both_forms_come_back() {
        let swissnum = Swissnum::new((0..=255).collect()).unwrap();
        for form in [SwissnumForm::Base64Url, SwissnumForm::Percent] {
            let text = swissnum.reveal_text(form);
            assert_eq!(Swissnum::parse(&text, Some(form)), Ok(swissnum.clone()));
            assert_eq!(Swissnum::parse(&text, None), Ok(swissnum.clone()));
        }
    }

    #[test]
    fn a_number_written_as_it_is_needs_its_form_named() {
        let text = "IO58l1laTyhcrgDKbEzFOO32MDd6zE5w";
        let plain = Swissnum::parse(text, Some(SwissnumForm::Percent)).unwrap();
        assert_eq!(plain.reveal(), text.as_bytes());
        assert_eq!(Swissnum::parse(text, None).unwrap().reveal().len(), 24);
        // Base64, but not base64url: can only be the number as it is.
        assert_eq!(
            Swissnum::parse("JadQ0+%2F", None).unwrap().reveal(),
            b"JadQ0+/"
        );
    }

    #[test]
    fn spellings_that_are_not_the_one_are_refused() {
        let base64url = Some(SwissnumForm::Base64Url);
        // `AB` leaves bits over; `A` is no whole byte; `+` belongs to another alphabet.
        for text in ["AB", "A", "AA+A", "AA=A", "A A", "é"] {
            assert_eq!(
                Swissnum::parse(text, base64url),
                Err(UriError::NotBase64Url),
                "{text}"
            );
        }
        assert_eq!(Swissnum::parse("AA==", base64url).unwrap().reveal(), [0]);
        for text in ["%", "%4", "%zz", "a/b", "a?b", "é", "a b"] {
            assert!(
                Swissnum::parse(text, Some(SwissnumForm::Percent)).is_err(),
                "{text}"
            );
        }
        assert!(matches!(
            Swissnum::parse("", None),
            Err(UriError::Swissnum(SwissnumLength(0)))
        ));
        assert_eq!(Swissnum::new(vec![0; 257]), Err(SwissnumLength(257)));
    }
}
