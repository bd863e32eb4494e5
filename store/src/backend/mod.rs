//! What the store asks of a disk, and nothing more.
//!
//! Promises expected of it: after a write returns, the bytes are readable; after `sync_data`
//! returns, the bytes written before it and the length are durable; a directory entry is durable
//! only after `sync_dir`. Every fault of a disk appears as an `io::Error`. It latches the store
//! unless it says that there is no space (`is_full`) and nothing is half done.
//!
//! Three kinds: `file` (the real one), `memory` (for crash tests, with faults on demand), `overlay`
//! (reads another one and keeps writes to itself; `verify` opens a store through it).
//!
//! Paths are relative to the folder of the store, with `/`. There is no rename: nothing needs one,
//! and each rename is one more thing a crash can tear.

mod direct;
pub mod file;
pub mod memory;
pub mod overlay;

use std::fmt;
use std::io;
use std::ops::Range;

/// One store's folder.
pub trait Backend: Clone + Send + Sync + fmt::Debug + 'static {
    type File: File;
    /// What a worker is started with; it offers no way to write (I1).
    type ReadOnly: Send + 'static;
    /// Held as long as the store is open; released when dropped.
    type Lock: fmt::Debug + Send + Sync + 'static;

    /// Creates the folder if need be and locks it for this process.
    fn lock(&self) -> Result<Self::Lock, LockError>;
    /// Creates a folder inside; an existing one is fine.
    fn create_dir(&self, dir: &str) -> io::Result<()>;
    /// Creates an empty file; an existing one is truncated.
    fn create(&self, path: &str) -> io::Result<Self::File>;
    fn open(&self, path: &str) -> io::Result<Self::File>;
    fn open_read_only(&self, path: &str) -> io::Result<Self::ReadOnly>;
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Names in a folder (`""` is the store's own), in any order, without folders.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;
    /// Makes the entries of a folder durable.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
    /// Free bytes as the disk reports them; nothing is promised by it.
    fn free_bytes(&self) -> io::Result<u64>;
    /// The name of the store in messages.
    fn name(&self) -> String;
}

/// One open file. All methods may be called from any thread.
pub trait File: Send + Sync + fmt::Debug + 'static {
    /// Fills `bytes`; a file that ends before is `UnexpectedEof`.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;
    /// Writes all of `bytes`, making the file longer if need be.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// The same for whole sectors that are synced at once and not read again while the store is
    /// open.
    fn write_sectors(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_at(offset, bytes)
    }
    fn sync_data(&self) -> io::Result<()>;
    /// Writes a range back to the disk and waits for it, so that a later `sync_data` has less to
    /// do. Nothing is durable by it, and a disk that cannot do it does nothing. But an error is one
    /// of a sync: a later `sync_data` may not report it again.
    fn write_back(&self, range: Range<u64>) -> io::Result<()>;
    fn len(&self) -> io::Result<u64>;
    /// New bytes are zeros and take no space.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// A range inside the file reads as zeros from now on, and its space is released if the disk
    /// can do that. The length stays.
    fn punch(&self, offset: u64, len: u64) -> io::Result<()>;
    /// Reserves space for a range, so that later writes need none (I2). Content and length stay;
    /// truncating the file before the range releases the space. A disk that cannot reserve space
    /// does nothing.
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()>;
    /// The next range at or after `from` that may hold something other than zeros; `None` if only a
    /// hole follows.
    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>>;

    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// Why a folder could not be locked.
#[derive(Debug)]
pub enum LockError {
    /// By this process id, if it could be read (otherwise 0).
    InUse(u32),
    Io(io::Error),
}

/// Writes zeros, for a disk that cannot punch holes.
pub(crate) fn write_zeros<F: File>(file: &F, offset: u64, len: u64) -> io::Result<()> {
    const CHUNK_BYTES: u64 = 256 << 10;
    let zeros = vec![0; len.min(CHUNK_BYTES) as usize];
    let mut done = 0;
    while done < len {
        let chunk = (len - done).min(CHUNK_BYTES) as usize;
        file.write_at(offset + done, zeros.get(..chunk).unwrap_or_default())?;
        done += chunk as u64;
    }
    Ok(())
}

/// Whether an error says that there is no space: on the disk, within a quota, or in a file of
/// limited size. Nothing is broken then, and the operation may be repeated.
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// Reads a whole file of at most `limit` bytes.
pub(crate) fn read_all<F: File>(file: &F, limit: usize) -> io::Result<Vec<u8>> {
    let len = file.len()?;
    let len = usize::try_from(len)
        .ok()
        .filter(|&len| len <= limit)
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{len} bytes, {limit} are allowed"),
            )
        })?;
    let mut bytes = vec![0; len];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}
