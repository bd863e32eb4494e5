//! The way from a short command to the vats: through a running host, or with an engine of its own.
//!
//! Promises: a question means the same either way, since `answer` is the only code that turns one
//! into a call of the engine. Does not know what the command line looks like.
//!
//! `protocol` is the wire, `report` the shapes of answers, `socket` the file, `server` and `client`
//! the two ends, with `lone` who asks alone and `outbound` answers on their way, `inspect` what
//! reads a closed store, `place` the choice between host and own engine, `way` how the latter makes
//! way for a host.

pub mod answer;
pub mod client;
pub mod inspect;
mod lone;
mod outbound;
pub mod place;
pub mod protocol;
pub mod report;
pub mod server;
pub mod socket;
pub mod way;
