//! JSON-RPC 2.0 over HTTP: `POST /vat/NAME`, for whoever holds the host's token.
//!
//! Promises: an answer leaves after its turn is committed, because only the engine makes answers;
//! no request, whatever its bytes, costs more than the limits named here and in `rpc`, and none
//! ends the host. Does not know the control socket or the command line.
//!
//! `rpc` is JSON-RPC as data, `serve` routes and calls, `listener` addresses and connections,
//! `port_holder` who has a port that is taken, `token` the secret.

mod listener;
mod port_holder;
mod rpc;
mod serve;
pub mod token;

pub use listener::{ACCEPT_PAUSE, DEFAULT_LISTEN, Gateway, HEADER_BYTES_MAX};
pub use rpc::BATCH_MAX;
pub use serve::{BATCH_ANSWER_BYTES_MAX, BODY_BYTES_MAX, Service};
