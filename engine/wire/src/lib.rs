//! What a host and its workers say to each other: the contract between two binaries.
//!
//! A vat goes on with the worker it was born with, so a host speaks to workers older than itself:
//! what stands here is versioned (`protocol::PROTOCOL_VERSION`). `protocol` has the messages and
//! their encoding, `seed` the randomness of one delivery, `text` the bounds on text that both sides
//! keep. Knows neither the host nor the worker, and does no I/O.

#![forbid(unsafe_code)]

pub mod protocol;
pub mod seed;
pub mod text;
