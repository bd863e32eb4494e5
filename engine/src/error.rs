//! Why an engine did not open, why it ended, and why it did not end cleanly.
//!
//! Promises: every error keeps its cause as its source, and each says whose fault it was
//! ([`OpenError::fault`]); whatever it is, nothing that was committed is lost, and the next open
//! works once the cause is gone. Errors of calls and deployments are in `kenvat_core::api`, since
//! the core decides those.

use std::io;
use std::path::PathBuf;

use crate::process::SpawnError;
use kenvat_core::api::Fault;
use kenvat_core::event::LedgerError;
use kenvat_core::rows::RowError;
use kenvat_store::{DeltaError, EngineError, GenesisTooLarge, NoSpace, StageError, StoreError};
use kenvat_wire::protocol::CodecError;

/// Why an engine was not opened. The store is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another engine holds the store, in another process or in this one.
    #[error("the store {} is in use by {}", dir.display(), holder(*pid))]
    InUse {
        /// The store's folder.
        dir: PathBuf,
        /// The process that holds it, which may be this one; 0 where it cannot be told.
        pid: u32,
    },
    /// The path, or one above it, is something other than a folder.
    #[error("the store cannot be at {}: it is not a folder", dir.display())]
    NotAFolder {
        /// The store's folder.
        dir: PathBuf,
        /// What the operating system refused.
        #[source]
        source: StoreError,
    },
    /// The folder belongs to somebody else, or it or its disk may only be read.
    #[error("the store {} cannot be written: {source}; it stays as it is", dir.display())]
    NotWritable {
        /// The store's folder.
        dir: PathBuf,
        /// What the operating system refused.
        #[source]
        source: StoreError,
    },
    /// The disk is full.
    #[error("{}: {source}; nothing is lost: free some room and start again", dir.display())]
    NoSpace {
        /// The store's folder.
        dir: PathBuf,
        /// What found no room.
        #[source]
        source: NoSpace,
    },
    /// The folder holds something else, a store of another version, or a damaged one; or the disk
    /// failed.
    #[error("{}: {source}", dir.display())]
    Store {
        /// The store's folder.
        dir: PathBuf,
        /// What the store found.
        #[source]
        source: kenvat_store::OpenError,
    },
    /// The store is whole and its catalog does not make sense.
    #[error("{}: {source}", dir.display())]
    Catalog {
        /// The store's folder.
        dir: PathBuf,
        /// What does not.
        #[source]
        source: CatalogError,
    },
    /// The worker executable could not be prepared, or it made no heap for new vats to begin with.
    #[error("the worker executable could not be prepared: {0}")]
    Worker(#[from] WorkerError),
    /// The worker and its first heap could not be put into the store.
    #[error("{}: the worker executable could not be stored: {source}", dir.display())]
    Install {
        /// The store's folder.
        dir: PathBuf,
        /// What hindered it.
        #[source]
        source: EngineError,
    },
    /// The operating system refused what the engine's thread needs.
    #[error("{context}: {source}")]
    Io {
        /// What was asked for.
        context: &'static str,
        /// The operating system's error.
        #[source]
        source: io::Error,
    },
}

fn holder(pid: u32) -> String {
    if pid == std::process::id() {
        "this process, which has opened it already".to_owned()
    } else {
        format!("process {pid}")
    }
}

impl OpenError {
    /// Whose fault it was: the caller named a folder that cannot be a store of its own now, or the
    /// host or its disk failed.
    pub fn fault(&self) -> Fault {
        match self {
            OpenError::InUse { .. }
            | OpenError::NotAFolder { .. }
            | OpenError::NotWritable { .. } => Fault::Caller,
            _ => Fault::Host,
        }
    }

    /// What the store said, in the words of whoever opened an engine.
    pub(crate) fn of_store(dir: PathBuf, error: kenvat_store::OpenError) -> OpenError {
        use kenvat_store::OpenError as Store;
        match error {
            Store::InUse { pid, .. } => OpenError::InUse { dir, pid },
            Store::Store(StoreError::NoSpace(source)) => OpenError::NoSpace { dir, source },
            Store::Store(source) => match io_kind(&source) {
                Some(io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists) => {
                    OpenError::NotAFolder { dir, source }
                }
                Some(io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied) => {
                    OpenError::NotWritable { dir, source }
                }
                _ => OpenError::Store {
                    dir,
                    source: Store::Store(source),
                },
            },
            source => OpenError::Store { dir, source },
        }
    }
}

fn io_kind(error: &StoreError) -> Option<io::ErrorKind> {
    match error {
        StoreError::Io { source, .. } => Some(source.kind()),
        _ => None,
    }
}

/// Why a worker executable cannot be used for new vats.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// The operating system started no process with it, or gave no memory.
    #[error("{context}: {source}")]
    Io {
        /// What was asked for.
        context: &'static str,
        /// The operating system's error.
        #[source]
        source: io::Error,
    },
    /// The kernel has Landlock and did not put the worker behind it.
    #[error("this kernel has Landlock and does not put it on: {0}")]
    Landlock(#[source] io::Error),
    /// It does not speak the protocol.
    #[error("it broke the protocol: {0}")]
    Protocol(#[from] CodecError),
    /// The heap it made is malformed.
    #[error("its first heap is malformed: {0}")]
    Heap(#[from] DeltaError),
    /// The heap it made is too large.
    #[error("its first heap: {0}")]
    TooLarge(#[from] GenesisTooLarge),
    /// It did something else than make a heap.
    #[error("{0}")]
    Misbehaved(String),
}

impl From<SpawnError> for WorkerError {
    fn from(error: SpawnError) -> WorkerError {
        match error {
            SpawnError::Os(source) => WorkerError::Io {
                context: "start a worker",
                source,
            },
            SpawnError::Landlock(source) => WorkerError::Landlock(source),
        }
    }
}

/// Why a store's catalog cannot be read as vats and their requests.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row is not what its table holds.
    #[error(transparent)]
    Row(#[from] RowError),
    /// A row's key is not what its table's keys are.
    #[error("{0}")]
    Key(&'static str),
}

/// Why an engine ended without being told to. Nothing that was committed is lost: the next open
/// recovers it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fatal {
    /// The disk failed, or holds something else than was written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the core asked could not be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The operating system refused something.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Something that had been checked was refused by the store.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// A thread panicked while it worked on the engine's state: an error of this library.
    #[error("the engine's thread panicked")]
    Panicked,
}

/// Why an engine did not end cleanly. Nothing that was committed is lost: the next open recovers
/// it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// It had ended by itself, or failed while it closed its store.
    #[error("the engine did not stop cleanly: {0}")]
    Failed(#[from] Fatal),
}
