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
//! through `settle`; `method` says what callers reach of an object; `check` reads a program without
//! running it; `json` is the mapping of values; `fault` makes exceptions presentable; `output`
//! collects what a turn says. `library` is what the files of `js/` are given, with `own` and
//! `namespace` for what each compartment or module has its own of, `harden` freezes, `door` is
//! where text becomes code, `repairs` names what is mended of QuickJS's realm.
#![allow(unsafe_code, reason = "QuickJS is a C library")]

mod call;
mod chance;
mod check;
mod collector;
mod deploy;
mod door;
mod eventual;
mod fault;
mod genesis;
mod harden;
mod header;
mod json;
mod library;
mod memory;
mod method;
#[cfg(feature = "misbehave")]
mod misbehave;
mod modules;
mod namespace;
mod output;
mod own;
mod powers;
mod realm;
mod registry;
mod repairs;
mod sends;
mod settle;
mod timers;
mod value;
pub mod vat;
