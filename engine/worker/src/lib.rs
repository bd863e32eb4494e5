//! The vat's process: one heap, one socket, one vat for its whole life.
//!
//! Promises: what it hands over is the exact difference to what it handed over before; between
//! turns all of the vat is in the heap, nothing in Rust; a turn's outcome depends on heap and
//! message alone. `heap` is the image, its allocator and its tracking; `js` the only code that
//! speaks to QuickJS; `c_symbols` what QuickJS's C code finds in place of the machine's libc;
//! `abort` why a turn is to be undone; `chance` what it draws; `parsing` where the parser stands;
//! `sandbox` the walls around all of it; `serve` the loop over the socket (`link`).
//!
//! Does not know the store, nor who is on the other end of its socket.

#![doc = include_str!("../DESIGN.md")]
#![deny(unsafe_code)]

mod abort;
mod c_symbols;
mod chance;
pub mod heap;
pub mod js;
mod link;
mod parsing;
mod sandbox;
pub mod serve;
