//! The engine with everything that moves: the store, workers' processes, one thread that drives
//! them.
//!
//! Promises: [`start`] returns once the store is recovered and locked; every effect of the core is
//! carried out in its order. One thread reads hand-overs, builds the frame, and on an idle host
//! also writes and syncs it, with no other thread in between (T5). Files: `engine` the handle;
//! `open` recovery and the engine's own executable; `run` the thread, with `children` (workers and
//! waiting), `commands` (what is asked) and `commit` (frames to the disk); `clock` what time it is;
//! `here` calls carried through by their callers; `process` one worker, `landlock` a wall around
//! it, `watch` the clock over it, `near` where the two run; `urgent` who goes first; `disk` the
//! store behind the core's `Ledger`; `wake` the way in from other threads; `check` reads a program
//! without any of this; `trace` when things happened, for benches.

mod check;
mod children;
mod clock;
mod commands;
mod commit;
mod disk;
mod engine;
mod here;
mod landlock;
mod near;
mod open;
mod process;
mod run;
mod side;
mod trace;
mod urgent;
mod wake;
mod watch;

pub use self::check::check;
pub use self::engine::{Answer, Engine, EngineOptions, Stopped};
pub use self::landlock::{Landlock, landlock};
pub use self::open::{load, start};
pub use self::trace::{Mark, Step, Trace};
pub use kenvat_core::limits::{AWAKE_MAX, HEAP_BYTES_MAX, SLEEP_AFTER_MS};
