//! The engine of a host: a store, workers' processes, and one thread that drives them.
//!
//! 1. Nothing leaves before the frame that makes it true is durable.
//! 2. A worker can lie only as its own vat: everything it hands over is checked before it is used.
//! 3. What decides (`kenvat_core`) does no I/O: events in, effects out.
//!
//! Code map: `shell/` the threads, sockets and processes around the core; `log_lines` cuts pieces of
//! logs; `memory` gives freed memory
//! back to the system; `worker_bytes` is the worker executable, which the build script makes of the package `worker/` beside `src`.

#![doc = include_str!("../DESIGN.md")]
#![deny(unsafe_code)]

mod log_lines;
mod memory;
mod shell;
mod worker_bytes;

pub use kenvat_core::api;
pub use memory::release_free_memory;
pub use shell::{
    AWAKE_MAX, Answer, Engine, EngineOptions, HEAP_BYTES_MAX, Landlock, Mark, SLEEP_AFTER_MS, Step,
    Stopped, Trace, check, landlock, load, start,
};
pub use worker_bytes::{WORKER, WORKER_FLAGS};
