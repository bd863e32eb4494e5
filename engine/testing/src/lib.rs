//! What the tests of worker, engine and host share, so that no test file builds its own.
//!
//! `worker` plays the host for one vat's worker. Never part of what is given to anybody.

pub mod worker;
