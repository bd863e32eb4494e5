//! A disk in memory, for tests: readable and durable bytes are kept apart, and faults can be
//! injected.
//!
//! It behaves as the harshest disk we believe in:
//! - a write is readable at once, and durable only after a successful sync of that file;
//! - a new or removed directory entry is durable only after `sync_dir`;
//! - a failed sync leaves the readable bytes unchanged, *loses* what it should have made durable,
//!   and the next sync succeeds (as on Linux, which marks the lost pages clean); the same holds for
//!   a failed `write_back`, while a successful one makes nothing durable;
//! - a full disk (by its capacity, or at its nth operation) refuses whatever needs space; a write
//!   may have been done in part then;
//! - a disk frozen at its nth operation does nothing any more, like a machine without power;
//!   `crash` then says what it holds: unsynced bytes lost, kept, torn at sectors, or reordered.
//!
//! The same operations and the same seed give the same bytes. All folders are assumed to exist.

mod crash;
mod sparse;

pub use crash::Crash;

use super::{Backend, File, LockError};
use rustix::io::Errno;
pub(crate) use sparse::Sparse;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A store in memory. Clones are the same disk.
#[derive(Clone)]
pub struct MemoryBackend {
    disk: Arc<Mutex<Disk>>,
}

/// Which faults happen, and when. Operations are writes, changes of length, syncs, write-backs, and
/// entries made or removed; they are counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// From this operation on nothing happens any more.
    pub freeze_at: Option<u64>,
    /// This operation fails once. If it is a sync, what it should have made durable is lost.
    pub fail_at: Option<u64>,
    /// This operation finds no space once and does nothing. If it is a sync, it fails like one.
    pub full_at: Option<u64>,
    /// The same, but half of a write is done.
    pub short_at: Option<u64>,
}

/// What a fault met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Met {
    pub kind: Operation,
    /// The file, or the folder that was to be synced.
    pub path: String,
}

/// A kind of operation that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Remove,
    Write,
    SetLen,
    Punch,
    Allocate,
    WriteBack,
    Sync,
    SyncDir,
}

#[derive(Clone, Debug, Default)]
struct Disk {
    inodes: Vec<Inode>,
    live: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    operations: u64,
    syncs: u64,
    faults: Faults,
    met: Option<Met>,
    /// Bytes all files together may take, in blocks of 4096.
    capacity: Option<u64>,
    want: Want,
    allocations: u64,
    locked: bool,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    live: Sparse,
    durable: Sparse,
    /// Since the last sync, in order; on top of `durable` they make `live`, unless a sync failed.
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    SetLen(u64),
    Punch { offset: u64, len: u64 },
}

impl Change {
    fn apply(&self, content: &mut Sparse) {
        match self {
            Change::Write { offset, bytes } => content.write(*offset, bytes),
            Change::SetLen(len) => content.set_len(*len),
            Change::Punch { offset, len } => content.punch(*offset, *len),
        }
    }

    /// Whether it is a write to bytes of the range.
    fn touches(&self, range: &Range<u64>) -> bool {
        match self {
            Change::Write { offset, bytes } => {
                *offset < range.end && range.start < offset + bytes.len() as u64
            }
            Change::SetLen(_) | Change::Punch { .. } => false,
        }
    }
}

/// What an operation meets.
enum Outcome {
    Happens,
    Fails,
    Full,
    Short,
}

/// How a disk reports that it has no space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Want {
    #[default]
    Disk,
    /// There is space, but not for this user.
    Quota,
    /// There is space, but not in this file.
    FileSize,
}

impl Want {
    fn error(self) -> io::Error {
        match self {
            Want::Disk => Errno::NOSPC.into(),
            Want::Quota => Errno::DQUOT.into(),
            Want::FileSize => Errno::FBIG.into(),
        }
    }
}

impl Disk {
    /// Counts one operation and says what happens to it.
    fn operation(
        &mut self,
        kind: Operation,
        path: impl FnOnce(&Disk) -> String,
    ) -> io::Result<Outcome> {
        self.running()?;
        self.operations += 1;
        self.running()?;
        let now = Some(self.operations);
        let outcome = if self.faults.fail_at == now {
            Outcome::Fails
        } else if self.faults.full_at == now {
            Outcome::Full
        } else if self.faults.short_at == now {
            Outcome::Short
        } else {
            return Ok(Outcome::Happens);
        };
        let path = path(self);
        self.met = Some(Met { kind, path });
        Ok(outcome)
    }

    fn path_of(&self, inode: usize) -> String {
        let found = self.live.iter().find(|(_, number)| **number == inode);
        found.map(|(path, _)| path.clone()).unwrap_or_default()
    }

    /// Free bytes.
    fn space(&self) -> u64 {
        let Some(capacity) = self.capacity else {
            return u64::MAX;
        };
        let taken = self.live.values().filter_map(|&n| self.inodes.get(n));
        let taken: u64 = taken.map(|inode| inode.live.taken()).sum();
        capacity.saturating_sub(taken)
    }

    fn running(&self) -> io::Result<()> {
        match self.faults.freeze_at {
            Some(at) if self.operations >= at => Err(io::Error::other("the power is off")),
            _ => Ok(()),
        }
    }

    fn happens(&mut self, kind: Operation, path: &str) -> io::Result<()> {
        match self.operation(kind, |_| path.to_owned())? {
            Outcome::Happens => Ok(()),
            Outcome::Fails => Err(io::Error::other("the disk failed")),
            Outcome::Full | Outcome::Short => Err(self.want.error()),
        }
    }

    fn inode(&mut self, number: usize) -> io::Result<&mut Inode> {
        self.inodes
            .get_mut(number)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn find(&self, path: &str) -> io::Result<usize> {
        self.live
            .get(path)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl MemoryBackend {
    pub fn new() -> MemoryBackend {
        MemoryBackend {
            disk: Arc::default(),
        }
    }

    /// Sets what will go wrong; replaces what was set before.
    pub fn set_faults(&self, faults: Faults) {
        self.lock_disk().faults = faults;
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.lock_disk().operations
    }

    /// Successful allocations so far.
    pub fn allocations(&self) -> u64 {
        self.lock_disk().allocations
    }

    /// What the last fault met.
    pub fn met(&self) -> Option<Met> {
        self.lock_disk().met.clone()
    }

    /// Bytes all files together may take from now on; `None` without end.
    pub fn set_capacity(&self, capacity: Option<u64>) {
        self.lock_disk().capacity = capacity;
    }

    /// Sets how it reports missing space from now on.
    pub fn set_want(&self, want: Want) {
        self.lock_disk().want = want;
    }

    /// Releases all space that was reserved and not written, as if it had never been promised.
    pub fn break_promises(&self) {
        for inode in &mut self.lock_disk().inodes {
            inode.live.break_promises();
        }
    }

    /// Bytes all files take now.
    pub fn taken(&self) -> u64 {
        let disk = self.lock_disk();
        disk.live
            .values()
            .map(|&n| disk.inodes[n].live.taken())
            .sum()
    }

    /// Syncs of files and folders that succeeded so far.
    pub fn syncs(&self) -> u64 {
        self.lock_disk().syncs
    }

    /// An independent disk with the same bytes, durable and not, and no faults.
    pub fn fork(&self) -> MemoryBackend {
        let mut disk = self.lock_disk().clone();
        disk.faults = Faults::default();
        disk.met = None;
        disk.locked = false;
        MemoryBackend {
            disk: Arc::new(Mutex::new(disk)),
        }
    }

    /// The disk after the power came back: all that is readable is durable.
    pub fn crash(&self, crash: Crash) -> MemoryBackend {
        let disk = crash::crash(&self.lock_disk(), crash);
        MemoryBackend {
            disk: Arc::new(Mutex::new(disk)),
        }
    }

    /// Readable bytes of a file.
    pub fn contents(&self, path: &str) -> Option<Vec<u8>> {
        let mut disk = self.lock_disk();
        let number = disk.find(path).ok()?;
        let inode = disk.inode(number).ok()?;
        let mut bytes = vec![0; usize::try_from(inode.live.len()).ok()?];
        inode.live.read(0, &mut bytes).then_some(bytes)
    }

    /// Changes one byte, as rot would: readable and durable, and no operation.
    pub fn flip(&self, path: &str, offset: u64, mask: u8) {
        self.rewrite(path, |bytes| {
            if let Some(byte) = usize::try_from(offset)
                .ok()
                .and_then(|at| bytes.get_mut(at))
            {
                *byte ^= mask;
            }
        });
    }

    /// Changes a file without any operation; creates it if need be.
    pub fn rewrite(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.contents(path).unwrap_or_default();
        change(&mut bytes);
        let mut content = Sparse::default();
        content.write(0, &bytes);
        let mut disk = self.lock_disk();
        let inode = Inode {
            live: content.clone(),
            durable: content,
            pending: Vec::new(),
        };
        match disk.find(path) {
            Ok(number) => disk.inodes[number] = inode,
            Err(_) => {
                disk.inodes.push(inode);
                let number = disk.inodes.len() - 1;
                disk.live.insert(path.to_owned(), number);
                disk.durable.insert(path.to_owned(), number);
            }
        }
    }

    /// Removes a file without any operation.
    pub fn lose(&self, path: &str) {
        let mut disk = self.lock_disk();
        disk.live.remove(path);
        disk.durable.remove(path);
    }

    /// All files with their lengths.
    pub fn files(&self) -> Vec<(String, u64)> {
        let disk = self.lock_disk();
        disk.live
            .iter()
            .map(|(path, &number)| (path.clone(), disk.inodes[number].live.len()))
            .collect()
    }

    fn lock_disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, inode: usize) -> MemoryFile {
        MemoryFile {
            disk: self.disk.clone(),
            inode,
        }
    }
}

impl Default for MemoryBackend {
    fn default() -> MemoryBackend {
        MemoryBackend::new()
    }
}

impl fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryBackend")
    }
}

/// Held as long as the store is open. A frozen disk's lock dies with the process that held it,
/// which is why `crash` and `fork` give unlocked disks.
#[derive(Debug)]
pub struct MemoryLock(Arc<Mutex<Disk>>);

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).locked = false;
    }
}

impl Backend for MemoryBackend {
    type File = MemoryFile;
    type ReadOnly = MemoryReader;
    type Lock = MemoryLock;

    fn lock(&self) -> Result<MemoryLock, LockError> {
        let mut disk = self.lock_disk();
        if disk.locked {
            return Err(LockError::InUse(std::process::id()));
        }
        disk.locked = true;
        Ok(MemoryLock(self.disk.clone()))
    }

    fn create_dir(&self, _dir: &str) -> io::Result<()> {
        self.lock_disk().running()
    }

    fn create(&self, path: &str) -> io::Result<MemoryFile> {
        let mut disk = self.lock_disk();
        disk.happens(Operation::Create, path)?;
        if let Ok(number) = disk.find(path) {
            let inode = disk.inode(number)?;
            inode.live.set_len(0);
            inode.pending.push(Change::SetLen(0));
            return Ok(self.file(number));
        }
        disk.inodes.push(Inode::default());
        let number = disk.inodes.len() - 1;
        disk.live.insert(path.to_owned(), number);
        Ok(self.file(number))
    }

    fn open(&self, path: &str) -> io::Result<MemoryFile> {
        let disk = self.lock_disk();
        disk.running()?;
        Ok(self.file(disk.find(path)?))
    }

    fn open_read_only(&self, path: &str) -> io::Result<MemoryReader> {
        self.open(path).map(MemoryReader)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut disk = self.lock_disk();
        disk.happens(Operation::Remove, path)?;
        disk.find(path)?;
        disk.live.remove(path);
        Ok(())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let disk = self.lock_disk();
        disk.running()?;
        let names = disk.live.keys().filter_map(|path| name_in(path, dir));
        Ok(names.map(str::to_owned).collect())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut disk = self.lock_disk();
        // A failed one loses nothing here: entries are journaled by the file system, and what
        // follows a failure is a latched store in any case.
        disk.happens(Operation::SyncDir, dir)?;
        disk.syncs += 1;
        let disk = &mut *disk;
        disk.durable.retain(|path, _| name_in(path, dir).is_none());
        let entries = disk
            .live
            .iter()
            .filter(|(path, _)| name_in(path, dir).is_some());
        disk.durable
            .extend(entries.map(|(path, inode)| (path.clone(), *inode)));
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let disk = self.lock_disk();
        // The end of a quota or of a file is not visible here.
        Ok(match disk.want {
            Want::Disk => disk.space(),
            Want::Quota | Want::FileSize => u64::MAX,
        })
    }

    fn name(&self) -> String {
        "memory".to_owned()
    }
}

/// The name of a path directly inside a folder.
fn name_in<'p>(path: &'p str, dir: &str) -> Option<&'p str> {
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    (parent == dir).then_some(name)
}

/// An open file of a disk in memory.
#[derive(Clone)]
pub struct MemoryFile {
    disk: Arc<Mutex<Disk>>,
    inode: usize,
}

impl MemoryFile {
    fn lock_disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, kind: Operation, change: Change) -> io::Result<()> {
        let mut disk = self.lock_disk();
        let outcome = disk.operation(kind, |disk| disk.path_of(self.inode))?;
        let (space, want) = (disk.space(), disk.want);
        let inode = disk.inode(self.inode)?;
        let (change, result) = match (outcome, change) {
            (Outcome::Fails, _) => return Err(io::Error::other("the disk failed")),
            (Outcome::Happens, Change::Write { offset, mut bytes }) => {
                let fits = inode.live.fitting(offset, bytes.len() as u64, space) as usize;
                let result = if fits < bytes.len() {
                    Err(want.error())
                } else {
                    Ok(())
                };
                bytes.truncate(fits);
                (Change::Write { offset, bytes }, result)
            }
            (Outcome::Happens, change) => (change, Ok(())),
            (Outcome::Short, Change::Write { offset, mut bytes }) => {
                bytes.truncate(bytes.len() / 2);
                (Change::Write { offset, bytes }, Err(want.error()))
            }
            (Outcome::Full | Outcome::Short, _) => return Err(want.error()),
        };
        change.apply(&mut inode.live);
        inode.pending.push(change);
        result
    }
}

impl fmt::Debug for MemoryFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryFile({})", self.inode)
    }
}

impl File for MemoryFile {
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let mut disk = self.lock_disk();
        disk.running()?;
        match disk.inode(self.inode)?.live.read(offset, bytes) {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let bytes = bytes.to_vec();
        self.change(Operation::Write, Change::Write { offset, bytes })
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.lock_disk();
        let outcome = disk.operation(Operation::Sync, |disk| disk.path_of(self.inode))?;
        let want = disk.want;
        let inode = disk.inode(self.inode)?;
        let pending = std::mem::take(&mut inode.pending);
        match outcome {
            Outcome::Fails => Err(io::Error::other("the sync failed")),
            Outcome::Full | Outcome::Short => Err(want.error()),
            Outcome::Happens => {
                pending
                    .iter()
                    .for_each(|change| change.apply(&mut inode.durable));
                disk.syncs += 1;
                Ok(())
            }
        }
    }

    fn write_back(&self, range: Range<u64>) -> io::Result<()> {
        let mut disk = self.lock_disk();
        let want = disk.want;
        let outcome = disk.operation(Operation::WriteBack, |disk| disk.path_of(self.inode))?;
        let inode = disk.inode(self.inode)?;
        if let Outcome::Happens = outcome {
            return Ok(());
        }
        // What the disk should have written is lost, and the next sync does not know it.
        inode.pending.retain(|change| !change.touches(&range));
        match outcome {
            Outcome::Full | Outcome::Short => Err(want.error()),
            _ => Err(io::Error::other("the disk failed")),
        }
    }

    fn len(&self) -> io::Result<u64> {
        let mut disk = self.lock_disk();
        disk.running()?;
        Ok(disk.inode(self.inode)?.live.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Operation::SetLen, Change::SetLen(len))
    }

    /// Space is reserved at once and lost with the power, because a sync makes only content
    /// durable.
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        let mut disk = self.lock_disk();
        let outcome = disk.operation(Operation::Allocate, |disk| disk.path_of(self.inode))?;
        let (space, want) = (disk.space(), disk.want);
        let inode = disk.inode(self.inode)?;
        let missing = inode.live.missing_bytes(offset, len);
        match outcome {
            Outcome::Fails => return Err(io::Error::other("the disk failed")),
            // Bytes that have their space need none.
            Outcome::Full | Outcome::Short if missing > 0 => return Err(want.error()),
            _ if missing > space => return Err(want.error()),
            _ => inode.live.allocate(offset, len),
        }
        disk.allocations += 1;
        Ok(())
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        self.change(Operation::Punch, Change::Punch { offset, len })
    }

    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        let mut disk = self.lock_disk();
        disk.running()?;
        Ok(disk.inode(self.inode)?.live.next_data(from))
    }
}

/// A file that can only be read.
#[derive(Clone, Debug)]
pub struct MemoryReader(MemoryFile);

impl MemoryReader {
    pub fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, bytes)
    }

    pub fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    pub fn is_empty(&self) -> io::Result<bool> {
        self.0.is_empty()
    }
}
