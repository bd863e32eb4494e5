//! Real processes, from outside: the `kenvat` program found and built, hosts started and killed,
//! the control socket spoken by hand.
//!
//! Promises: uses nothing of the host's code, so that what it sees is what a stranger would; a host
//! that hangs fails its test by a time limit. Nothing here sleeps.

mod binary;
mod control;
mod host;
mod tracer;

pub use binary::kenvat;
pub use control::{Asked, Control, Lost};
pub use host::{HostProcess, Store, children};
pub use tracer::{Step, Tracer, may_attach, steps};
