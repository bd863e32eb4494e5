#![doc = include_str!("../DESIGN.md")]
//!
//! Code map: `cli` is the command line, one file for each group of commands; `sources` reads a
//! vat's files; `control` is the local socket through which short commands reach a running host,
//! and holds the only code that turns a question into a call of the engine; `gateway` is JSON-RPC
//! over HTTP; `budget` bounds
//! the bytes that connections hold; `failure` gives failures of calls their codes; `user_error`
//! turns every error into what happened, where, and what to do; `units`
//! parses values of limits, and `limits` are those of the host itself; `shutdown` tells everything
//! that serves to stop.
#![forbid(unsafe_code)]

mod budget;
mod cli;
mod control;
mod failure;
mod gateway;
mod limits;
mod shutdown;
mod sources;
mod units;
mod user_error;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
