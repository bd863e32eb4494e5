//! Why bytes were no value, and why a value became no bytes.
//!
//! Promises: an error says what is wrong and where, and repeats no byte of what was received
//! (a swissnum may stand there).

use crate::Fault;

/// Bytes that are no acceptable Syrup. Always the sender's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at} of the value: {kind}")]
pub struct DecodeError {
    pub kind: DecodeErrorKind,
    /// Offset of the offending token from the first byte of the value it belongs to.
    pub at: usize,
}

impl DecodeError {
    /// Whose fault it is: end the session, touch no vat.
    pub fn fault(&self) -> Fault {
        Fault::PeerMisbehaved
    }
}

/// What is wrong with received bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    #[error("no value begins with byte 0x{0:02x}")]
    UnknownTag(u8),
    #[error("byte 0x{0:02x} follows digits")]
    UnknownTagAfterDigits(u8),
    #[error("single-precision floats are not part of OCapN")]
    Float32,
    #[error("sets are not part of OCapN")]
    Set,
    #[error("text is not UTF-8")]
    NotUtf8,
    #[error("a struct key that is not a string")]
    KeyNotString,
    #[error("a struct in which a key is given twice")]
    DuplicateKey,
    #[error("a struct key without its value")]
    KeyWithoutValue,
    #[error("a record whose label is not a symbol")]
    LabelNotSymbol,
    #[error("a record without a label")]
    RecordWithoutLabel,
    #[error("the end of a container that is not the innermost open one")]
    WrongEnd,
    #[error("more than {0} bytes in one value")]
    TooLarge(usize),
    #[error("more than {0} bytes in one string, symbol or byte array")]
    TooLong(usize),
    #[error("more than {0} containers within one another")]
    TooDeep(usize),
    #[error("more than {0} items in one value")]
    TooManyItems(usize),
    #[error("more than {0} digits in one integer or length")]
    TooManyDigits(usize),
    #[error("the bytes end inside the value")]
    Truncated,
    #[error("bytes follow a value that was complete")]
    Trailing,
    #[error("a container was expected")]
    NotAContainer,
}

/// A value that may not be sent. Always the doing of whoever composed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    #[error("more than {0} bytes in one value")]
    TooLarge(usize),
    #[error("more than {0} bytes in one string, symbol or byte array")]
    TooLong(usize),
    #[error("more than {0} containers within one another")]
    TooDeep(usize),
    #[error("more than {0} items in one value")]
    TooManyItems(usize),
    #[error("more than {0} digits in one integer")]
    TooManyDigits(usize),
    /// An end without a beginning, a beginning without an end, or not exactly one value.
    #[error("containers begun and ended do not match, or not exactly one value was written")]
    Unbalanced,
    /// Bytes to be passed on verbatim are no value.
    #[error("bytes to be passed on are no value: {0}")]
    NotAValue(DecodeError),
}

impl EncodeError {
    /// Whose fault it is: nothing was sent, the caller hears of it.
    pub fn fault(&self) -> Fault {
        Fault::ApiMisuse
    }
}
