//! redb's disk, on one of our files, so that crash tests reach inside the catalog.
//!
//! Promises: each call is one call of the file; nothing is retried or kept back.

use crate::backend::File;
use std::io;

#[derive(Debug)]
pub(crate) struct Storage<F>(F);

impl<F: File> Storage<F> {
    pub(crate) fn new(file: F) -> Storage<F> {
        Storage(file)
    }
}

impl<F: File> redb::StorageBackend for Storage<F> {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        // A damaged tree names places beyond the file: that is damage, not an error of the disk.
        self.0
            .read_at(offset, out)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => io::Error::new(io::ErrorKind::InvalidData, error),
                _ => error,
            })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, data)
    }
}
