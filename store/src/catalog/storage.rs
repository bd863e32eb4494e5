//! redb's disk, on one of our files, so that crash tests reach inside the catalog.
//!
//! Promises: each call is one call of the file; nothing is retried or kept back. Once the latch has
//! tripped nothing is written any more, not even what redb writes when it is dropped: a sync then
//! could succeed over pages an earlier one lost.

use crate::backend::File;
use crate::latch::Latch;
use std::io;
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Storage<F> {
    file: F,
    latch: Arc<Latch>,
}

impl<F: File> Storage<F> {
    pub(crate) fn new(file: F, latch: Arc<Latch>) -> Storage<F> {
        Storage { file, latch }
    }

    fn running(&self) -> io::Result<()> {
        self.latch.check().map_err(io::Error::other)
    }
}

impl<F: File> redb::StorageBackend for Storage<F> {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        // A damaged tree names places beyond the file: that is damage, not an error of the disk.
        self.file
            .read_at(offset, out)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => io::Error::new(io::ErrorKind::InvalidData, error),
                _ => error,
            })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.running()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.running()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.running()?;
        self.file.write_at(offset, data)
    }
}
