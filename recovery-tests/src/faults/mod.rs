//! Faults planted in the program on purpose, to find out whether a test notices each of them.
//!
//! A suite that passes says little unless it is known to fail. `recovery-tests/faults/*.txt` holds
//! small faults, each one change of one place, with the test that must fail for it. The program
//! `plant-faults` applies them one at a time to a copy of the workspace and runs those tests.
//!
//! `list` reads the files; `tree` is the copy; `trial` builds and runs. Knows nothing of what the
//! faults mean.

mod list;
mod tree;
mod trial;

pub use list::{Fault, ListError, read_all};
pub use tree::{PlantError, Tree};
pub use trial::{Trial, Verdict};
