//! The tests of the store, in one binary: one module for each group of claims.
//!
//! One binary and not one for each module, because linking redb and generating code for the store
//! took most of the time to build them.

mod common;
mod crash;
mod damage;
mod file_store;
mod fold;
mod model;
mod recovery;
mod space;
mod spill;
mod throttled_fold;
