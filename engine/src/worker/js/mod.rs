//! The only code that speaks to QuickJS.
//!
//! Invariants:
//! 1. No Rust value lives behind the runtime: what must be found again is in the heap, in the
//!    registry object that the header page names.
//! 2. Host functions are plain `extern "C"` functions; their addresses are in the heap and right
//!    for this executable alone.
//! 3. Nothing here depends on the clock, the environment or the machine's libc.
//!
//! `value` wraps QuickJS's C interface; `memory` is its malloc; `genesis` makes a heap, `header`
//! finds it again; `vat` runs turns: `deploy` (with `modules` and `powers`) and `call`, answered
//! through
//! `settle`; `json` is the mapping of values; `fault` makes exceptions presentable; `console` and
//! `output` collect what a turn says.
#![allow(unsafe_code, reason = "QuickJS is a C library")]

mod call;
mod console;
mod deploy;
mod eventual;
mod fault;
mod genesis;
mod header;
mod json;
mod memory;
#[cfg(feature = "misbehave")]
mod misbehave;
mod modules;
mod output;
mod powers;
mod realm;
mod registry;
mod settle;
mod value;
pub mod vat;
