//! What can go wrong, one enum an operation, by fault.
//!
//! Promises: an error that names a file also names the place in it; an error of the disk latches
//! the store before it is returned (`latch.rs`), so no caller can carry on by mistake.

use crate::delta::DeltaError;
use crate::ids::{EngineHash, VatId};
use std::fmt;
use std::io;

/// One place that is not what was written there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Relative to the store's folder.
    pub file: String,
    /// Byte in that file where what is wrong begins; 0 where only the file as a whole is known.
    pub offset: u64,
    /// The vat it belongs to, if any.
    pub vat: Option<VatId>,
    pub what: String,
}

impl Damage {
    pub(crate) fn new(file: impl Into<String>, offset: u64, what: impl Into<String>) -> Damage {
        Damage {
            file: file.into(),
            offset,
            vat: None,
            what: what.into(),
        }
    }

    pub(crate) fn of(self, vat: VatId) -> Damage {
        Damage {
            vat: Some(vat),
            ..self
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}", self.file, self.offset, self.what)?;
        match self.vat {
            Some(vat) => write!(f, " (vat {vat})"),
            None => Ok(()),
        }
    }
}

/// The disk or a quota has no space for something. Nothing of it is done and nothing latches; it
/// may be repeated when there is space.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the disk is full: {what} {file}: {why}")]
pub struct NoSpace {
    pub what: &'static str,
    /// Relative to the store's folder.
    pub file: String,
    /// The operating system's words.
    pub why: String,
}

/// Why an operation on an open store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// An earlier error of the disk: nothing is done any more until the store is opened again.
    #[error("the store stopped after an error of the disk: {why}")]
    Latched { why: String },
    /// The disk, now. The store is latched, unless the process lacked a descriptor to open a file.
    #[error("{what} {file}: {source}")]
    Io {
        what: &'static str,
        file: String,
        source: io::Error,
    },
    #[error(transparent)]
    NoSpace(#[from] NoSpace),
    /// Bytes read are not the bytes written.
    #[error("damaged: {0}")]
    Damaged(Damage),
    /// The journal is at its bound; commits wait until a fold is finished.
    #[error("the journal holds {bytes} bytes, {limit} are allowed: a fold must finish first")]
    JournalFull { bytes: u64, limit: u64 },
    /// A frame was sealed while the one before was not yet written (J2).
    #[error("the frame before is not written yet")]
    FrameInFlight,
    /// Something only one of which can be under way was begun twice, or ended without a beginning.
    #[error("{0}")]
    Misuse(&'static str),
    #[error("no vat {0}")]
    UnknownVat(VatId),
    #[error("no engine {0}")]
    UnknownEngine(EngineHash),
    /// The operating system gave no random bytes.
    #[error("no random bytes: {0}")]
    NoRandomness(#[source] io::Error),
}

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    #[error("the store {dir} is in use by process {pid}")]
    InUse { dir: String, pid: u32 },
    /// Written by another version of this program.
    #[error("{file} has format {found}, {age} than the format {supported} this program reads")]
    OtherVersion {
        file: String,
        found: u64,
        supported: u64,
        age: Age,
    },
    /// The folder holds something else.
    #[error("{dir} is not a store: {why}")]
    NotAStore { dir: String, why: String },
    #[error("the store is damaged: {0}")]
    Damaged(Damage),
    #[error(transparent)]
    Store(StoreError),
}

/// How a file's format compares with ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    Older,
    Newer,
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Age::Older => "older",
            Age::Newer => "newer",
        })
    }
}

impl OpenError {
    pub(crate) fn other_version(file: &str, found: u64, supported: u64) -> OpenError {
        let age = if found < supported {
            Age::Older
        } else {
            Age::Newer
        };
        OpenError::OtherVersion {
            file: file.into(),
            found,
            supported,
            age,
        }
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> OpenError {
        match error {
            StoreError::Damaged(damage) => OpenError::Damaged(damage),
            error => OpenError::Store(error),
        }
    }
}

impl From<Damage> for OpenError {
    fn from(damage: Damage) -> OpenError {
        OpenError::Damaged(damage)
    }
}

impl From<Damage> for StoreError {
    fn from(damage: Damage) -> StoreError {
        StoreError::Damaged(damage)
    }
}

/// Why a part was refused. The frame is unchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StageError {
    #[error("no vat {0}")]
    UnknownVat(VatId),
    #[error("vat {0} exists, or existed, already")]
    VatExists(VatId),
    #[error("vat {vat} is damaged: {what}")]
    VatDamaged { vat: VatId, what: String },
    #[error("no engine {0}")]
    UnknownEngine(EngineHash),
    #[error("a heap of {pages} pages: {why}")]
    BadPageLimit { pages: u32, why: &'static str },
    #[error(transparent)]
    Delta(#[from] DeltaError),
    /// There is no space for what this part needs (I2, J8).
    #[error(transparent)]
    NoSpace(NoSpace),
    /// The frame would pass its bound; seal it first, or, if it is empty, the part is too large.
    #[error("the frame would have {bytes} bytes, {limit} are allowed")]
    FrameFull { bytes: usize, limit: usize },
    #[error("table {0} is the store's own")]
    ReservedTable(u8),
    #[error("a row's {what} of {bytes} bytes is longer than the {limit} allowed")]
    RowTooLong {
        what: &'static str,
        bytes: usize,
        limit: usize,
    },
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for StageError {
    fn from(error: StoreError) -> StageError {
        match error {
            StoreError::NoSpace(no_space) => StageError::NoSpace(no_space),
            error => StageError::Store(error),
        }
    }
}

/// Why the image of a vat is not available.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    #[error("no vat {0}")]
    UnknownVat(VatId),
    /// The frame that creates it is not applied yet.
    #[error("vat {0} is not committed yet")]
    NotCommitted(VatId),
    /// Committed changes are deferred until the disk has space; until then no worker may start on
    /// it (I2).
    #[error("the image of vat {0} lacks committed changes: the disk is full")]
    Backlog(VatId),
    /// A spill file is being applied to it.
    #[error("the image of vat {0} is being brought up to date")]
    BeingApplied(VatId),
    /// That vat does not start; the others do.
    #[error("damaged: {0}")]
    Damaged(Damage),
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for ImageError {
    fn from(error: StoreError) -> ImageError {
        match error {
            StoreError::Damaged(damage) => ImageError::Damaged(damage),
            error => ImageError::Store(error),
        }
    }
}
