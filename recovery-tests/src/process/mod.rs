//! Real processes, from outside: the `kenvat` program found and built, hosts started and killed,
//! the control socket spoken by hand.
//!
//! Promises: uses nothing of the host's code, so that what it sees is what a stranger would; a host
//! that hangs fails its test by a time limit. Nothing here sleeps.

use std::io::{self, Write};

mod binary;
mod control;
mod host;
mod tracer;

pub use binary::kenvat;
pub use control::{Asked, Control, Lost};
pub use host::{HostProcess, Store, children};
pub use tracer::{Step, Tracer, may_attach, steps};

/// Says of a test that passes without its subject that it did. Written past the test runner, which
/// keeps to itself what `eprintln!` says in a test that passes.
pub fn not_tested(why: &str) {
    let _ = writeln!(io::stderr(), "\nNOT TESTED: {why}");
}
