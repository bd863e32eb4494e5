//! The vat: a worker process with a persistent heap, and the host's half of its turns.
//!
//! 1. Nothing leaves before the frame that makes it true is durable.
//! 2. A worker can lie only as its own vat: everything it hands over is checked before it is used.
//! 3. The core of the host's half (`turn`) does no I/O: events in, effects out.
//!
//! Code map: `protocol` is what the two processes say, `seed` a turn's chance; `api` what a host
//! program may ask; `worker/` (feature `worker`) is the vat's process: `worker/heap` the image and
//! its tracking,
//! `worker/js` the only code that speaks to QuickJS; `bang` rewrites `x ! m()` before QuickJS
//! parses; `turn/` (feature `host`) the pure core; `shell/` the threads, sockets and processes
//! around it; `js/` beside `src` the library that stands in the genesis image.

#![doc = include_str!("../DESIGN.md")]
#![deny(unsafe_code)]

pub mod bang;
pub mod protocol;
pub mod seed;
pub mod text;

#[cfg(feature = "host")]
pub mod api;

#[cfg(feature = "host")]
pub mod shell;
#[cfg(feature = "host")]
pub mod turn;

// The heap half is also compiled into the crate's own tests: it needs neither QuickJS nor a worker.
#[cfg(any(feature = "worker", test))]
pub mod worker;
#[cfg(feature = "host")]
mod worker_bytes;
#[cfg(feature = "host")]
pub use worker_bytes::WORKER;
