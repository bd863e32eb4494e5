//! The gateway: JSON-RPC 2.0 over HTTP, `POST /vat/NAME`, for clients that have the host's token.
//!
//! Promises: an answer leaves after its turn is committed, because only the engine makes answers;
//! no request, whatever its bytes, costs more than the limits named here and in `rpc`, and none
//! ends the host. It holds an `Engine` and knows neither the control socket nor the command line:
//! its errors are its own types, and what a person is told about them is decided elsewhere.
//!
//! `rpc` is JSON-RPC as data, `serve` routes and calls, `body` reads requests; `listener` is the
//! port, `connections` what is accepted there, each a `shared_stream`; `port_holder` finds the
//! process that has a port, `token` is the secret.

mod body;
mod connections;
mod listener;
mod port_holder;
mod rpc;
mod serve;
mod shared_stream;
mod token;

pub use body::BODY_BYTES_MAX;
pub use connections::{BUFFER_BYTES, HEADER_BYTES_MAX};
pub use listener::{BindError, DEFAULT_LISTEN, Gateway};
pub use rpc::BATCH_MAX;
pub use serve::{BATCH_ANSWER_BYTES_MAX, Service};
pub use token::{Token, TokenError};
