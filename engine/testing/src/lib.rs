//! What the tests of worker and engine share, so that no test file builds its own.
//!
//! `worker` plays the host for one vat's worker; `engine` adds to the engine's own interface what
//! only tests ask. Never part of what is given to anybody.

pub mod engine;
pub mod worker;
