//! Why a step of the world did not end well: the disk failed the host, or a promise is broken.
//!
//! Promises: an error that only a disk can cause is never taken for a broken promise, and none of
//! the others for the disk's fault.

use std::io;

use kenvat_core::event::LedgerError;
use kenvat_store::{ImageError, StageError, StoreError};

use crate::disk::DiskError;
use crate::invariants::Violation;

/// Why a step did not end well.
#[derive(Debug)]
pub enum Stop {
    /// The disk failed the host, which ends.
    Disk(String),
    Broken(Violation),
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Stop {
        Stop::Broken(violation)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Stop {
        Stop::Disk(error.to_string())
    }
}

impl From<StageError> for Stop {
    fn from(error: StageError) -> Stop {
        match error {
            StageError::Store(error) => error.into(),
            other => Stop::Broken(Violation {
                promise: "what the core stages is never refused",
                what: other.to_string(),
            }),
        }
    }
}

impl From<ImageError> for Stop {
    fn from(error: ImageError) -> Stop {
        match error {
            ImageError::Store(error) => error.into(),
            other => Stop::Broken(Violation {
                promise: "a vat that is there can be started",
                what: other.to_string(),
            }),
        }
    }
}

impl From<LedgerError> for Stop {
    fn from(error: LedgerError) -> Stop {
        Stop::Disk(error.to_string())
    }
}

impl From<DiskError> for Stop {
    fn from(error: DiskError) -> Stop {
        Stop::Disk(error.0)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Disk(error.to_string())
    }
}
