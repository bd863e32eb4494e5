//! A disk that reads another one and keeps every change to itself.
//!
//! Promises: the disk below is never changed, except for its lock. `verify` opens a store through
//! it, so that reading a store after a crash does all that recovery does and leaves no trace.

use super::{Backend, File, LockError, memory::Sparse};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The disk and what differs from the one below. It has one type whatever lies below, so that the
/// store is compiled once for all of them; reading files to verify them is slow enough for a call
/// through a pointer.
#[derive(Clone, Debug)]
pub struct Overlay {
    below: Arc<dyn Below>,
    entries: Arc<Mutex<Entries>>,
}

/// `None`: removed here. Absent: as below.
type Entries = BTreeMap<String, Option<Arc<OverlayFile>>>;

/// What is asked of the disk below.
trait Below: Send + Sync + fmt::Debug {
    fn lock_folder(&self) -> Result<Lock, LockError>;
    fn open_file(&self, path: &str) -> io::Result<Box<dyn File>>;
    fn list_names(&self, dir: &str) -> io::Result<Vec<String>>;
    fn store_name(&self) -> String;
}

/// The lock of the disk below: all that is done with it is to drop it.
type Lock = Box<dyn fmt::Debug + Send + Sync>;

impl<B: Backend> Below for B {
    fn lock_folder(&self) -> Result<Lock, LockError> {
        Ok(Box::new(self.lock()?))
    }

    fn open_file(&self, path: &str) -> io::Result<Box<dyn File>> {
        Ok(Box::new(self.open(path)?))
    }

    fn list_names(&self, dir: &str) -> io::Result<Vec<String>> {
        self.list(dir)
    }

    fn store_name(&self) -> String {
        self.name()
    }
}

impl Overlay {
    pub fn new<B: Backend>(below: B) -> Overlay {
        Overlay {
            below: Arc::new(below),
            entries: Arc::default(),
        }
    }

    /// Another one over the same disk, without the changes made through this one.
    pub(crate) fn unchanged(&self) -> Overlay {
        Overlay {
            below: self.below.clone(),
            entries: Arc::default(),
        }
    }

    fn lock_entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for Overlay {
    type File = Arc<OverlayFile>;
    type ReadOnly = Arc<OverlayFile>;
    type Lock = Lock;

    fn lock(&self) -> Result<Lock, LockError> {
        self.below.lock_folder()
    }

    fn create_dir(&self, _dir: &str) -> io::Result<()> {
        Ok(())
    }

    fn create(&self, path: &str) -> io::Result<Self::File> {
        let file = Arc::new(OverlayFile::over(None)?);
        self.lock_entries()
            .insert(path.to_owned(), Some(file.clone()));
        Ok(file)
    }

    fn open(&self, path: &str) -> io::Result<Self::File> {
        match self.lock_entries().get(path) {
            Some(Some(file)) => return Ok(file.clone()),
            Some(None) => return Err(io::ErrorKind::NotFound.into()),
            None => {}
        }
        let file = Arc::new(OverlayFile::over(Some(self.below.open_file(path)?))?);
        self.lock_entries()
            .insert(path.to_owned(), Some(file.clone()));
        Ok(file)
    }

    fn open_read_only(&self, path: &str) -> io::Result<Self::ReadOnly> {
        self.open(path)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.open(path)?;
        self.lock_entries().insert(path.to_owned(), None);
        Ok(())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let mut names: BTreeSet<String> = match self.below.list_names(dir) {
            Ok(names) => names.into_iter().collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeSet::new(),
            Err(error) => return Err(error),
        };
        for (path, entry) in self.lock_entries().iter() {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            match entry {
                Some(_) if parent == dir => _ = names.insert(name.to_owned()),
                None if parent == dir => _ = names.remove(name),
                _ => {}
            }
        }
        Ok(names.into_iter().collect())
    }

    fn sync_dir(&self, _dir: &str) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn name(&self) -> String {
        self.below.store_name()
    }
}

/// A file with changes of its own.
pub struct OverlayFile {
    below: Option<Box<dyn File>>,
    changed: Mutex<Changed>,
}

#[derive(Default)]
struct Changed {
    len: u64,
    /// Only this many bytes of the file below count; `set_len` may shorten it.
    below_len: u64,
    /// Blocks changed here, whole.
    blocks: BTreeSet<u64>,
    content: Sparse,
}

const BLOCK_BYTES: u64 = 4096;

impl fmt::Debug for OverlayFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OverlayFile")
    }
}

impl OverlayFile {
    /// A file over another one, or an empty one.
    pub(crate) fn over(below: Option<Box<dyn File>>) -> io::Result<OverlayFile> {
        let len = below.as_ref().map_or(Ok(0), |below| below.len())?;
        let changed = Changed {
            len,
            below_len: len,
            ..Changed::default()
        };
        Ok(OverlayFile {
            below,
            changed: Mutex::new(changed),
        })
    }

    fn lock_changed(&self) -> MutexGuard<'_, Changed> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One block as it reads now, zeros past the end.
    fn block(&self, changed: &Changed, block: u64) -> io::Result<[u8; BLOCK_BYTES as usize]> {
        let mut bytes = [0; BLOCK_BYTES as usize];
        let start = block * BLOCK_BYTES;
        if changed.blocks.contains(&block) {
            let space = changed.content.len().saturating_sub(start).min(BLOCK_BYTES) as usize;
            changed.content.read(start, &mut bytes[..space]);
        } else if let Some(below) = self.below.as_ref().filter(|_| start < changed.below_len) {
            let space = (changed.below_len - start).min(BLOCK_BYTES) as usize;
            below.read_at(start, &mut bytes[..space])?;
        }
        Ok(bytes)
    }
}

impl File for Arc<OverlayFile> {
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let changed = self.lock_changed();
        if offset
            .checked_add(bytes.len() as u64)
            .is_none_or(|end| end > changed.len)
        {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let within = (at % BLOCK_BYTES) as usize;
            let space = (BLOCK_BYTES as usize - within).min(rest.len());
            let (now, later) = rest.split_at_mut(space);
            let block = self.block(&changed, at / BLOCK_BYTES)?;
            now.copy_from_slice(block.get(within..within + space).unwrap_or_default());
            at += space as u64;
            rest = later;
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut changed = self.lock_changed();
        let end = offset
            .checked_add(bytes.len() as u64)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        for block in offset / BLOCK_BYTES..end.div_ceil(BLOCK_BYTES) {
            let content = self.block(&changed, block)?;
            changed.content.write(block * BLOCK_BYTES, &content);
            changed.blocks.insert(block);
        }
        changed.content.write(offset, bytes);
        changed.len = changed.len.max(end);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write_back(&self, _range: Range<u64>) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.lock_changed().len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut changed = self.lock_changed();
        if len < changed.len {
            let kept = changed.content.len().min(len);
            changed.content.set_len(kept);
            changed.blocks.retain(|&block| block * BLOCK_BYTES < len);
            changed.below_len = changed.below_len.min(len);
        }
        changed.len = len;
        Ok(())
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        let inside = self.lock_changed().len.saturating_sub(offset).min(len);
        super::write_zeros(self, offset, inside)
    }

    /// Changes are in memory, which reserves no space.
    fn allocate(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }

    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        let changed = self.lock_changed();
        let below = match &self.below {
            Some(below) if from < changed.below_len => below.next_data(from)?,
            _ => None,
        };
        let below = below.filter(|data| data.start < changed.below_len);
        let below = below.map(|data| data.start..data.end.min(changed.below_len));
        let here = changed.blocks.range(from / BLOCK_BYTES..).next();
        let here = here.map(|block| from.max(block * BLOCK_BYTES)..(block + 1) * BLOCK_BYTES);
        let here = here.map(|data| data.start..data.end.min(changed.len));
        let here = here.filter(|data| data.start < data.end);
        Ok(match (below, here) {
            (Some(a), Some(b)) if b.start < a.start => Some(b),
            (Some(a), _) => Some(a),
            (None, b) => b,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::MemoryBackend;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_reads_as_if_it_wrote_and_the_disk_below_stays(
            steps in proptest::collection::vec((0..5u8, 0..30_000u64, 1..9000usize), 1..20)
        ) {
            let below = MemoryBackend::new();
            below.rewrite("f", |bytes| *bytes = (0..20_000u32).map(|n| n as u8).collect());
            let mut model = below.contents("f").unwrap();
            let disk = Overlay::new(below.clone());
            let file = disk.open("f").unwrap();
            for (kind, at, len) in steps {
                if kind == 0 {
                    file.set_len(at).unwrap();
                    model.resize(at as usize, 0);
                } else if kind == 4 {
                    file.punch(at, len as u64).unwrap();
                    let end = model.len().min(at as usize + len);
                    model[(at as usize).min(end)..end].fill(0);
                } else {
                    file.write_at(at, &vec![kind; len]).unwrap();
                    let end = at as usize + len;
                    if model.len() < end { model.resize(end, 0); }
                    model[at as usize..end].fill(kind);
                }
                let mut read = vec![9; file.len().unwrap() as usize];
                file.read_at(0, &mut read).unwrap();
                prop_assert!(read == model);
                let mut at = 0;
                while let Some(data) = file.next_data(at).unwrap() {
                    prop_assert!(model[at as usize..data.start as usize].iter().all(|&b| b == 0));
                    at = data.end;
                }
                prop_assert!(model[at as usize..].iter().all(|&byte| byte == 0));
            }
            prop_assert!(below.contents("f").unwrap().len() == 20_000);
            disk.remove("f").unwrap();
            prop_assert!(disk.open("f").is_err() && disk.list("").unwrap().is_empty());
            prop_assert!(below.open("f").is_ok());
        }
    }
}
