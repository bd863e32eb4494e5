//! The persistent heap: a file mapped at a fixed address, and what changes in it.
//!
//! Invariants:
//! 1. Between turns the vat is the content of the heap and nothing else.
//! 2. The image file is never written from here; the base changes only by what the host applies.
//! 3. No system call reads or fills heap memory; only mapping calls name heap addresses.
//!
//! `layout` says where things lie; `mapping` puts them there; `region` copies pages; `allocator`
//! (over `spans` and `tables`) is QuickJS's malloc; `tracker` finds written pages; `checkpoint`
//! makes deltas of them (`delta`) and undoes turns; `stack` is JavaScript's own; `status` tells the
//! host which turn runs.
#![allow(
    unsafe_code,
    reason = "memory mapped at fixed addresses is outside what Rust can check"
)]

pub mod allocator;
pub mod checkpoint;
pub mod delta;
pub mod descriptor;
pub mod layout;
pub mod mapping;
pub mod region;
mod spans;
pub mod stack;
pub mod status;
mod tables;
#[cfg(test)]
mod testing;
pub mod tracker;

pub use tables::Tables;
