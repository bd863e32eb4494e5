#![doc = include_str!("../DESIGN.md")]
//!
//! Code map: `cli` is what a person types, one file a group of commands; `sources` reads a vat's
//! files; `control` is the local socket by which short commands reach a running host, and the one
//! place where a question becomes a call of the engine; `gateway` is JSON-RPC over HTTP; `people`
//! turns every error into what happened, where, and what to do; `quantity` reads limits as people
//! write them, and `limits` are the host's own.
#![forbid(unsafe_code)]

mod cli;
mod control;
mod gateway;
mod limits;
mod people;
mod quantity;
mod sources;
mod stop;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
