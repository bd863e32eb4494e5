//! The real disk: one folder of a local file system.
//!
//! Promises: files are opened close-on-exec, 0600, inside the folder only; `sync_data` is one
//! `fdatasync`, never retried. Does not know what the files hold.

use super::direct::Direct;
use super::{Backend, File, LockError, is_full, write_zeros};
use memmap2::MmapOptions;
use rustix::fs::{FallocateFlags, FlockOperation, SeekFrom};
use rustix::io::Errno;
use std::fs;
use std::io::{self, Read, Seek, Write};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The lock's name; the process id in it is for people and for the second opener's message.
const LOCK_FILE: &str = "lock";
/// Bytes of a lock file that are read.
const LOCK_BYTES_MAX: u64 = 32;

/// Number of syncs by this process, for benches and tests that count the cost of a commit.
static SYNCS: AtomicU64 = AtomicU64::new(0);

/// Syncs of files and folders so far, of all stores of this process.
pub fn syncs() -> u64 {
    SYNCS.load(Relaxed)
}

/// A store in a folder.
#[derive(Clone, Debug)]
pub struct FileBackend {
    root: Arc<PathBuf>,
    is_read_only: bool,
}

impl FileBackend {
    /// Nothing is touched before the store is opened.
    pub fn new(root: impl Into<PathBuf>) -> FileBackend {
        FileBackend {
            root: Arc::new(root.into()),
            is_read_only: false,
        }
    }

    /// A store that is only read, on a disk that perhaps cannot be written. Its files are opened
    /// for reading, so whatever would change one fails; the lock is taken without writing who has
    /// it.
    pub fn read_only(root: impl Into<PathBuf>) -> FileBackend {
        FileBackend {
            is_read_only: true,
            ..FileBackend::new(root)
        }
    }

    /// Makes the store's folder and those above it; each folder that gets a new one is synced, or a
    /// power cut could take away the store with all its commits.
    fn create_root(&self) -> io::Result<()> {
        let mut missing = Vec::new();
        for path in self.root.ancestors() {
            if path.as_os_str().is_empty() || path.try_exists()? {
                break;
            }
            missing.push(path);
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&*self.root)?;
        for made in missing {
            let above = made.parent().filter(|above| !above.as_os_str().is_empty());
            SYNCS.fetch_add(1, Relaxed);
            fs::File::open(above.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        Ok(())
    }

    fn lock_to_read(&self) -> Result<FileLock, LockError> {
        let file = match fs::File::open(self.path(LOCK_FILE)) {
            // A copy of a store may lack it, and no process has that copy open for writing.
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::File::open(&*self.root),
            file => file,
        };
        let file = file.map_err(LockError::Io)?;
        flock(&file)?;
        Ok(FileLock { _file: file })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    fn path(&self, path: &str) -> PathBuf {
        if path.is_empty() {
            self.root.to_path_buf()
        } else {
            self.root.join(path)
        }
    }
}

/// The open lock file; the kernel releases it with the last descriptor, however the process ends.
#[derive(Debug)]
pub struct FileLock {
    _file: fs::File,
}

impl Backend for FileBackend {
    type File = DiskFile;
    type ReadOnly = fs::File;
    type Lock = FileLock;

    fn lock(&self) -> Result<FileLock, LockError> {
        if self.is_read_only {
            return self.lock_to_read();
        }
        self.create_root().map_err(LockError::Io)?;
        let mut file = read_write()
            .create(true)
            .truncate(false)
            .open(self.path(LOCK_FILE))
            .map_err(LockError::Io)?;
        flock(&file)?;
        let write_pid = |file: &mut fs::File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        match write_pid(&mut file) {
            // The lock is held all the same; only the second opener's message is poorer.
            Err(error) if is_full(&error) => {}
            result => result.map_err(LockError::Io)?,
        }
        Ok(FileLock { _file: file })
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(self.path(dir))
    }

    fn create(&self, path: &str) -> io::Result<DiskFile> {
        let path = self.path(path);
        let file = read_write().create(true).truncate(true).open(&path)?;
        Ok(DiskFile::new(file, path))
    }

    fn open(&self, path: &str) -> io::Result<DiskFile> {
        let path = self.path(path);
        let file = match self.is_read_only {
            true => fs::File::open(&path)?,
            false => read_write().open(&path)?,
        };
        Ok(DiskFile::new(file, path))
    }

    fn open_read_only(&self, path: &str) -> io::Result<fs::File> {
        fs::File::open(self.path(path))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.path(path))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.path(dir))? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(names)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let dir = fs::File::open(self.path(dir))?;
        SYNCS.fetch_add(1, Relaxed);
        dir.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let found = rustix::fs::statvfs(&*self.root)?;
        Ok(found.f_bfree.saturating_mul(found.f_frsize))
    }

    fn name(&self) -> String {
        self.root.display().to_string()
    }
}

fn flock(file: &fs::File) -> Result<(), LockError> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(LockError::InUse(read_pid(file))),
        Err(error) => Err(LockError::Io(error.into())),
    }
}

fn read_write() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// The process id in a lock file someone else holds; 0 when it cannot be told.
fn read_pid(file: &fs::File) -> u32 {
    let mut text = String::new();
    match file.take(LOCK_BYTES_MAX).read_to_string(&mut text) {
        Ok(_) => text.trim().parse().unwrap_or(0),
        Err(_) => 0,
    }
}

/// An open file of the store.
#[derive(Debug)]
pub struct DiskFile {
    file: fs::File,
    /// The same file, for frames.
    direct: Direct,
}

impl DiskFile {
    fn new(file: fs::File, path: PathBuf) -> DiskFile {
        let direct = Direct::new(path);
        DiskFile { file, direct }
    }
}

impl File for DiskFile {
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn write_sectors(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match self.direct.write(offset, bytes)? {
            true => Ok(()),
            false => self.write_at(offset, bytes),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        // Not std's `sync_data`, which calls again after EINTR: a failed sync is never retried
        // (J6).
        SYNCS.fetch_add(1, Relaxed);
        Ok(rustix::fs::fdatasync(&self.file)?)
    }

    fn write_back(&self, range: Range<u64>) -> io::Result<()> {
        // `msync` over a mapping that is neither read nor written syncs a range. `sync_file_range`
        // would save the flush of the disk, but needs unsafe code.
        let Ok(len) = usize::try_from(range.end.saturating_sub(range.start)) else {
            return Ok(());
        };
        if len == 0 {
            return Ok(());
        }
        let mut options = MmapOptions::new();
        options.offset(range.start).len(len);
        match options.map_raw_read_only(&self.file) {
            Ok(mapping) => {
                SYNCS.fetch_add(1, Relaxed);
                mapping.flush_range(0, len)
            }
            // No memory for it, or a file system without mappings: the sync will write everything.
            Err(_) => Ok(()),
        }
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(&self.file, flags, offset, len) {
            // A file system without holes, or a filter that forbids the call.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM) => write_zeros(self, offset, len),
            result => Ok(result?),
        }
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        loop {
            match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, offset, len) {
                Err(rustix::io::Errno::INTR) => {}
                // A file system that cannot reserve space. If a write then fails, it is deferred
                // (I2), at the price of a stop near a full disk.
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => return Ok(()),
                result => return Ok(result?),
            }
        }
    }

    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        let start = match rustix::fs::seek(&self.file, SeekFrom::Data(from)) {
            Ok(start) => start,
            // Nothing but a hole up to the end.
            Err(rustix::io::Errno::NXIO) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let end = rustix::fs::seek(&self.file, SeekFrom::Hole(start))?;
        Ok(Some(start..end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_opener_is_told_the_pid_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let backend = FileBackend::new(dir.path().join("store"));
        let held = backend.lock().unwrap();
        match backend.lock() {
            Err(LockError::InUse(pid)) => assert_eq!(pid, std::process::id()),
            other => panic!("{other:?}"),
        }
        drop(held);
        backend.lock().unwrap();
    }

    #[test]
    fn holes_are_skipped_and_what_is_written_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let backend = FileBackend::new(dir.path());
        let file = backend.create("sparse").unwrap();
        file.set_len(64 << 20).unwrap();
        assert_eq!(file.next_data(0).unwrap(), None);
        file.write_at(32 << 20, &[1; 4096]).unwrap();
        let data = file.next_data(0).unwrap().unwrap();
        assert!(
            data.contains(&(32 << 20)) && data.end < 64 << 20,
            "{data:?}"
        );
        assert_eq!(file.next_data(data.end).unwrap(), None);
        assert!(file.read_at((64 << 20) - 1, &mut [0; 2]).is_err());
        file.punch(32 << 20, 4096).unwrap();
        assert_eq!(file.next_data(0).unwrap(), None, "its room is given back");
        assert_eq!(file.len().unwrap(), 64 << 20);
    }
}
