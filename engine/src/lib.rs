//! The engine of a host: a store, workers' processes, and one thread that drives them.
//!
//! 1. Nothing leaves before the frame that makes it true is durable.
//! 2. A worker can lie only as its own vat: everything it hands over is checked before it is used.
//! 3. What decides (`kenvat_core`) does no I/O: events in, effects out.
//!
//! Code map: `engine` is the handle a program holds, `open` starts an engine, `check` reads a
//! program without one. `event_loop` is the thread that drives everything, with its parts in a
//! folder of their own. Around it: `process` is one worker, `landlock` its sandbox, `watchdog` the
//! time limits on it, `affinity` and `priority` where and when threads run, `store_ledger` the
//! store as the core sees it, `notifier` wakes the loop from other threads, `clock` gives the time
//! and `trace` records steps for benches. `worker_bytes` is the worker executable, which the build
//! script makes of the package `worker/` beside `src`.

#![doc = include_str!("../DESIGN.md")]
#![deny(unsafe_code)]

mod affinity;
mod check;
mod clock;
mod engine;
mod event_loop;
mod landlock;
mod notifier;
mod open;
mod priority;
mod process;
pub mod spill;
mod store_ledger;
mod trace;
mod watchdog;
mod worker_bytes;

pub use self::check::check;
pub use self::engine::{Answer, Engine, EngineOptions, Stopped};
pub use self::landlock::{Landlock, landlock};
pub use self::open::{load, start};
pub use self::trace::{Mark, Step, Trace};
pub use self::worker_bytes::{WORKER, WORKER_FLAGS};
pub use kenvat_core::api;
pub use kenvat_core::limits::{AWAKE_MAX, HEAP_BYTES_MAX, SLEEP_AFTER_MS};
