//! Syrup: values to bytes and back, the one coding OCapN uses.
//!
//! Promises: what is decoded lies within [`Limits`], checked before memory is taken; no input
//! panics; the same value always encodes to the same bytes; whatever encodes within some limits
//! decodes within them to an equal value. The decoder accepts what running peers send, also where
//! it is not canonical; the encoder writes canonical bytes only. Does not know which records mean
//! anything: that is CapTP's, and the modules beside this one for locators and keys.
//!
//! Invariants:
//! 1. One byte decides the kind of a token; only `token` looks at bytes.
//! 2. Depth, items and bytes are counted per value received, not per connection.
//! 3. A decoder that has reported an error reports it for ever: there is no way to find the next
//!    value in a stream that has gone wrong.

mod decode;
mod encode;
mod error;
mod limits;
mod span;
mod token;
mod value;

pub use decode::{Decoder, Progress, Received, decode};
pub use encode::{KeyOrder, Writer, encode};
pub use error::{DecodeError, DecodeErrorKind, EncodeError};
pub use limits::Limits;
pub use num_bigint::BigInt;
pub use span::children;
pub use value::{DuplicateKey, Float64, Record, Struct, Value};
