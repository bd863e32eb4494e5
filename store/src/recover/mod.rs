//! Recovery: from the files as a crash left them to a store that goes on.
//!
//! Order, each step durable before the next acts on it:
//! 1. the catalog is opened and written to once, so that what is read of it is on disk (J6);
//! 2. the journal is read from the fold position to its end (`scan`), each frame judged by the
//!    table in `case`; damage ends here; what rows it holds is sorted out meanwhile (`sort`), which
//!    touches no file;
//! 3. a torn frame's number is given up in the catalog, then its sectors are zeroed and synced
//!    (J3);
//! 4. the last frame found is rewritten, same bytes, same place, and synced (J6);
//! 5. frames after the fold position are applied again (`replay`), which changes nothing where they
//!    were applied before;
//! 6. files nobody names are removed.

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
    /// The store was made just now.
    pub created: bool,
    /// The last committed frame; 0 if there is none.
    pub last_sequence: u64,
    /// Frames after the fold position, applied again.
    pub frames_applied: u64,
    /// A frame that a crash cut off. Nobody had been told of it.
    pub dropped: Option<Dropped>,
    /// Vats whose image is damaged as far as was seen; images are read when they are asked for.
    pub damages: Vec<Damage>,
    /// Files nobody named.
    pub removed: Vec<String>,
}

/// A torn frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    pub sequence: u64,
    pub file: String,
    pub offset: u64,
}
