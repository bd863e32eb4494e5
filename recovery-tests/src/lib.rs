//! Kenvat's promises, tried: a whole world simulated on a seed, and what the real kills need.
//!
//! 1. What is simulated is what fails: disk, processes, clock, people. What is judged is real: the
//!    engine's core and the store, as the host runs them.
//! 2. A seed says everything that happens; a failure names its seed.
//! 3. The invariants are named after the promises and see only states and answers.
//!
//! Code map: `world` chooses what happens, and ends and revives the host; `host` is the core over
//! the store; `worker` and `heap` stand for `kenvat-worker`; `client` asks; `program` is what vats
//! run, on `words` in pages, and by `reference` without; `model` is what ought to be durable;
//! `invariants` judges, `stop` tells a failed disk from a broken promise; `rules` holds the
//! canaries; `chance`, `trace` and `disk` are what their names say. `process` is for the tests with
//! real processes; `faults` plants faults in the program and asks whether a test notices.
//! `DESIGN.md` says how to run more and how to replay a seed:
#![doc = include_str!("../DESIGN.md")]
#![forbid(unsafe_code)]

pub mod chance;
pub mod client;
pub mod disk;
pub mod faults;
pub mod heap;
pub mod host;
pub mod invariants;
pub mod model;
pub mod process;
pub mod program;
pub mod reference;
pub mod rules;
pub mod stop;
pub mod trace;
pub mod words;
pub mod worker;
pub mod world;
