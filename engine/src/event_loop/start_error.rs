//! Why a worker was not started, and whether trying again may help.

use std::collections::VecDeque;
use std::io;

use kenvat_core::event::Event;
use kenvat_store::{ImageError, OpenError, StoreError, VatId};
use rustix::io::Errno;

use crate::process::SpawnError;

/// Why there is no worker.
#[derive(Debug)]
pub(super) struct NotStarted {
    pub why: String,
    /// The machine lacks something now that it may have again in a moment.
    pub transient: bool,
}

impl NotStarted {
    pub fn of(what: &str, error: &io::Error) -> NotStarted {
        NotStarted {
            why: format!("{what}: {error}"),
            transient: is_transient(error),
        }
    }
}

impl From<&str> for NotStarted {
    fn from(why: &str) -> NotStarted {
        NotStarted {
            why: why.to_owned(),
            transient: false,
        }
    }
}

impl From<SpawnError> for NotStarted {
    fn from(error: SpawnError) -> NotStarted {
        NotStarted {
            why: format!("start its worker: {error}"),
            transient: is_transient(error.cause()),
        }
    }
}

impl From<OpenError> for NotStarted {
    fn from(error: OpenError) -> NotStarted {
        match error {
            OpenError::Store(error) => error.into(),
            other => NotStarted::from(other.to_string().as_str()),
        }
    }
}

impl From<ImageError> for NotStarted {
    fn from(error: ImageError) -> NotStarted {
        match error {
            ImageError::Store(error) => error.into(),
            // Until there is room on the disk again.
            ImageError::Backlog(_) => NotStarted {
                why: error.to_string(),
                transient: true,
            },
            other => NotStarted::from(other.to_string().as_str()),
        }
    }
}

impl From<StoreError> for NotStarted {
    fn from(error: StoreError) -> NotStarted {
        NotStarted {
            why: error.to_string(),
            transient: matches!(&error, StoreError::Io { source, .. } if is_transient(source)),
        }
    }
}

/// Tells the core of a worker that could not be started.
pub(super) fn report<W>(
    events: &mut VecDeque<Event<W>>,
    vat: VatId,
    generation: u64,
    started: Result<(), NotStarted>,
) {
    if let Err(NotStarted { why, transient }) = started {
        events.push_back(Event::WorkerNotStarted {
            vat,
            generation,
            why,
            transient,
        });
    }
}

/// Whether the machine lacks something that it may have again in a moment: descriptors, memory,
/// process numbers.
fn is_transient(error: &io::Error) -> bool {
    let lacks = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOMEM,
        Errno::AGAIN,
        Errno::NOBUFS,
    ];
    Errno::from_io_error(error).is_some_and(|errno| lacks.contains(&errno))
}
