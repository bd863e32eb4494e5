//! The control socket: how a short command reaches the vats, through a running host or with an
//! engine of its own.
//!
//! Promises: a question means the same either way, since `dispatch` is the only code that turns
//! one into a call of the engine. Does not know what the command line looks like.
//!
//! `protocol` is the wire format, `report` the shapes of answers, `socket` the socket's file.
//! `server` and `client` are the two ends; the server uses `single_client` for the fast path of a
//! client that calls alone and `outbound` for answers being sent. `endpoint` chooses between a host
//! and an own engine, `lock_handoff` lets a command give the store's lock to a host that starts,
//! `store_folder` says whether a
//! store is there and may be used, and `inspect` reads a store that nobody has open.

pub mod client;
pub mod dispatch;
pub mod endpoint;
pub mod inspect;
pub mod lock_handoff;
mod outbound;
pub mod protocol;
pub mod report;
pub mod server;
mod single_client;
pub mod socket;
pub mod store_folder;
