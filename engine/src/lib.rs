//! Durable JavaScript inside a Rust program.
//!
//! A *vat* is one JavaScript heap with the program in it. Its closures, promises and suspended
//! functions outlive the process, because the end of every call is one durable frame in a journal.
//!
//! ```
//! use kenvat_engine::Engine;
//!
//! # let folder = tempfile::tempdir()?;
//! # let dir = folder.path();
//! let engine = Engine::open(dir)?;
//! engine.deploy("counter", "let n = 0; export const incr = (by) => (n += by);")?;
//! assert_eq!(engine.call("counter", "incr", "[2]")?, "2");
//! drop(engine); // or kill -9, or a power cut
//!
//! let engine = Engine::open(dir)?;
//! assert_eq!(engine.call("counter", "incr", "[3]")?, "5");
//! engine.stop()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Engine`] blocks, and suits a program with threads. [`Handle`] answers with futures and has
//! everything else: calls that run once however often they are asked, programs of several files,
//! limits, logs, sleep, verification. [`EngineOptions`] sets limits. Each vat runs in a process of
//! its own, behind a filter of system calls and Landlock; the executable of that process is inside
//! this crate. Linux only.
//!
//! Promises:
//! 1. Nothing leaves before the frame that makes it true is durable.
//! 2. A worker can lie only as its own vat: everything it hands over is checked before it is used.
//! 3. What decides (`kenvat_core`) does no I/O: events in, effects out.
//!
//! Code map: `engine` and `handle` are what a program holds, `options` and `error` what it says and
//! is told, `open` starts an engine, `check` reads a program without one. `event_loop` is the
//! thread that drives everything, with its parts in a folder of their own. Around it: `process` is
//! one worker, `landlock` its sandbox, `watchdog` the time limits on it, `affinity` and `priority`
//! where and when threads run, `store_ledger` the store as the core sees it, `log_lines`
//! cuts pieces of logs, `memory` gives freed memory back to the system, `notifier` wakes the loop
//! from other threads, `clock` gives the time and `trace` records steps for benches.
//! `worker_bytes` is the worker executable, which the build script makes of the package `worker/`
//! beside `src`.

#![doc = include_str!("../DESIGN.md")]
#![deny(unsafe_code)]
#![deny(missing_docs)]

mod affinity;
mod check;
mod clock;
mod engine;
mod error;
mod event_loop;
mod handle;
mod landlock;
mod log_lines;
mod memory;
mod notifier;
mod open;
mod options;
mod priority;
mod process;
pub mod spill;
mod store_ledger;
mod trace;
mod watchdog;
mod worker_bytes;

pub use self::check::check;
pub use self::engine::Engine;
pub use self::error::{CatalogError, Fatal, OpenError, StopError, WorkerError};
pub use self::handle::{Answer, Handle, Stopped};
pub use self::landlock::{Landlock, landlock};
pub use self::memory::release_free_memory;
pub use self::open::load;
pub use self::options::EngineOptions;
pub use self::trace::{Mark, Step, Trace};
pub use self::worker_bytes::{WORKER, WORKER_C_FLAGS, WORKER_FLAGS};
pub use kenvat_core::api::{self, Call, CallError, Deploy, DeployError, Deployed, Fault};
pub use kenvat_core::limits::{AWAKE_MAX, CoreLimits, HEAP_BYTES_MAX, SLEEP_AFTER_MS};
pub use kenvat_wire::protocol::TrackerKind;
