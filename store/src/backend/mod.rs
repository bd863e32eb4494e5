//! What the store asks of a disk, and nothing more.
//!
//! Promises asked for: a write returns with the bytes readable; `sync_data` returns with the bytes
//! written before it, and the length, durable; a directory entry is durable only after `sync_dir`.
//! Every fault a disk has shows here as an `io::Error`. It latches the store, but for one that says
//! that there is no room (`is_full`) where nothing is half done.
//!
//! Three kinds: `file` (the real one), `memory` (for crash tests, with faults on demand), `overlay`
//! (reads another one, keeps writes to itself: what `verify` opens a store through).
//!
//! Paths are relative to the store's folder, with `/`. There is no rename: nothing here needs one,
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
    /// What a worker is started with: no way to write leads from it (I1).
    type ReadOnly: Send + 'static;
    /// Held as long as the store is open; released when dropped.
    type Lock: fmt::Debug + Send + Sync + 'static;

    /// Makes the folder if need be and takes it for this process alone.
    fn lock(&self) -> Result<Self::Lock, LockError>;
    /// Makes a folder inside; one that is there already is fine.
    fn create_dir(&self, dir: &str) -> io::Result<()>;
    /// A new empty file; one that is there already is cut to nothing.
    fn create(&self, path: &str) -> io::Result<Self::File>;
    fn open(&self, path: &str) -> io::Result<Self::File>;
    fn open_read_only(&self, path: &str) -> io::Result<Self::ReadOnly>;
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Names in a folder (`""` is the store's own), in any order, without folders.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;
    /// Makes the entries of a folder durable.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
    /// Bytes the disk has left, as far as it tells; nothing is promised by it.
    fn free_bytes(&self) -> io::Result<u64>;
    /// How messages name the store.
    fn name(&self) -> String;
}

/// One open file. All methods may be called from any thread.
pub trait File: Send + Sync + fmt::Debug + 'static {
    /// Fills `bytes`; a file that ends before is `UnexpectedEof`.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;
    /// Writes all of `bytes`, making the file longer if need be.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// The same for whole sectors that are synced at once and not read again in this life.
    fn write_sectors(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_at(offset, bytes)
    }
    fn sync_data(&self) -> io::Result<()>;
    /// Brings what was written to a stretch nearer to the disk and waits for it, so that a later
    /// `sync_data` has less to do. Nothing is durable by it, and a disk that cannot do it does
    /// nothing; but an error is one of a sync: a later `sync_data` may not tell of it again.
    fn write_back(&self, range: Range<u64>) -> io::Result<()>;
    fn len(&self) -> io::Result<u64>;
    /// New bytes are zeros and take no room.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// A stretch inside the file reads as zeros from now on, and its room is given back where the
    /// disk can do that. The file stays as long as it is.
    fn punch(&self, offset: u64, len: u64) -> io::Result<()>;
    /// Takes room for a stretch, so that writing there later needs none (I2). What is there reads
    /// as before, the length stays; the room is given back by cutting the file before it. A disk
    /// that cannot promise room says so by doing nothing.
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()>;
    /// The next stretch at or after `from` that may hold something other than zeros; `None` when
    /// there is only a hole up to the end.
    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>>;

    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// Why a folder was not taken.
#[derive(Debug)]
pub enum LockError {
    /// By this process id, where it could be read (0 otherwise).
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

/// Whether an error says that there is no room: on the disk, within a quota, or in a file that may
/// not be longer. Nothing is broken then, and what was asked for may be asked for again.
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
