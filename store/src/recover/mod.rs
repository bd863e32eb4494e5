//! Recovery: from the files as a crash left them to an open store.
//!
//! The steps, each durable before the next acts on it:
//! 1. the catalog is opened and written to once, so that what is read of it is on disk (J6);
//! 2. the journal is read from the fold position to its end (`scan`); `probe` gathers evidence of
//!    each frame and the table in `case` judges it; damage ends recovery here; meanwhile a second
//!    thread decodes the frames and collects their rows (`sort`), which touches no file;
//! 3. the number of a torn frame is given up in the catalog, then its sectors are zeroed and synced
//!    (J3);
//! 4. the last frame found is written again, same bytes, same place, and synced (J6);
//! 5. the frames after the fold position are applied again (`replay`), which changes nothing where
//!    they were applied before;
//! 6. files that no row and no frame names are removed.

pub(crate) mod case;
pub(crate) mod coalesce;
pub(crate) mod folder;
pub(crate) mod open;
mod probe;
pub(crate) mod replay;
pub(crate) mod rows;
pub(crate) mod scan;
mod sort;

use crate::error::Damage;

/// What was found when a store was opened, for people and tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The store was created just now.
    pub created: bool,
    /// The last committed frame; 0 if there is none.
    pub last_sequence: u64,
    /// Frames after the fold position, applied again.
    pub frames_applied: u64,
    /// A frame that a crash cut off. Its outputs had not been released.
    pub dropped: Option<Dropped>,
    /// Damage of vats found so far; images are read only when they are requested.
    pub damages: Vec<Damage>,
    /// Files that were removed because nothing names them.
    pub removed: Vec<String>,
}

/// A torn frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    pub sequence: u64,
    pub file: String,
    pub offset: u64,
}
