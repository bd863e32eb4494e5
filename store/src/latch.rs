//! The latch: after the first error of the disk nothing is done any more.
//!
//! Why: after a failed sync Linux marks the lost pages clean, so a second sync would succeed over
//! bytes that are not there. Only opening again, which rewrites what it found (J6), is sound.

use crate::backend::is_full;
use crate::error::{NoSpace, StoreError};
use rustix::io::Errno;
use std::io;
use std::sync::OnceLock;

/// Shared by everything that writes; trips once.
#[derive(Debug, Default)]
pub(crate) struct Latch {
    why: OnceLock<String>,
}

impl Latch {
    /// Refuses if the latch has tripped. Called first by every operation.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match self.why.get() {
            None => Ok(()),
            Some(why) => Err(StoreError::Latched { why: why.clone() }),
        }
    }

    /// Trips the latch; the first reason stays.
    pub(crate) fn trip(&self, why: impl Into<String>) {
        // Fails if the latch has tripped before; the first reason is the one that matters.
        let _ = self.why.set(why.into());
    }

    /// An error of opening a file. If the process has no descriptor or memory left, nothing
    /// happened to the disk, and it may work in a moment, so the latch does not trip. It trips for
    /// everything else.
    pub(crate) fn open(&self, file: &str, source: io::Error) -> StoreError {
        if Latch::is_want(&source) {
            return StoreError::Io {
                what: "open",
                file: file.to_owned(),
                source,
            };
        }
        self.io("open", file, source)
    }

    /// Whether the process lacked a resource of its own to open a file.
    pub(crate) fn is_want(error: &io::Error) -> bool {
        let lacks = [Errno::MFILE, Errno::NFILE, Errno::NOMEM];
        Errno::from_io_error(error).is_some_and(|errno| lacks.contains(&errno))
    }

    /// Trips for an error of the disk, unless it says that there is no space: nothing is broken
    /// then, and if nothing is half done nothing need stop.
    pub(crate) fn io_or_full(
        &self,
        what: &'static str,
        file: &str,
        source: io::Error,
    ) -> StoreError {
        if !is_full(&source) {
            return self.io(what, file, source);
        }
        let (file, why) = (file.to_owned(), source.to_string());
        NoSpace { what, file, why }.into()
    }

    /// Trips for an error of the disk and wraps it.
    pub(crate) fn io(&self, what: &'static str, file: &str, source: io::Error) -> StoreError {
        self.trip(format!("{what} {file}: {source}"));
        StoreError::Io {
            what,
            file: file.to_owned(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_without_descriptors_latches_nothing_and_a_bad_disk_does() {
        let latch = Latch::default();
        let _ = latch.open("heap/1", Errno::MFILE.into());
        assert!(latch.check().is_ok());
        let _ = latch.open("heap/1", Errno::IO.into());
        assert!(latch.check().is_err());
    }

    #[test]
    fn the_first_reason_stays_and_everything_after_is_refused() {
        let latch = Latch::default();
        assert!(latch.check().is_ok());
        let _ = latch.io("sync", "journal/00000001", io::Error::other("broken"));
        latch.trip("later");
        let Err(StoreError::Latched { why }) = latch.check() else {
            panic!("not latched")
        };
        assert_eq!(why, "sync journal/00000001: broken");
    }
}
