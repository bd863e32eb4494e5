//! Bytes to and from peers: the coding of messages, and the names of peers, objects and keys.
//!
//! Promises: whatever bytes arrive, the answer is a value or an error that says whose fault it is;
//! never a panic, never more memory than the limits say. Knows no disk, no JavaScript, no clock and
//! no source of chance.
//!
//! Code map: [`codec`] is Syrup; [`locator`] and [`sturdyref`] the names of peers and objects as
//! records and as URIs; [`swissnum`] the secret in a sturdyref; [`identifier`] and [`key`] what a
//! session is signed with and called by.
//!
#![doc = include_str!("../PROTOCOL.md")]
#![forbid(unsafe_code)]

pub mod codec;
mod fault;
pub mod identifier;
pub mod key;
pub mod locator;
pub mod sturdyref;
pub mod swissnum;
mod uri;

pub use fault::Fault;
pub use uri::UriError;
