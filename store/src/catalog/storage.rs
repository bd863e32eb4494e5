//! The file under redb, with a checksum for every sector.
//!
//! ```text
//! file    sectors of 512 bytes, one after the other; redb's bytes run through their contents
//! sector  content 508 bytes, crc u32 LE: CRC-32 of the sector's number (u64 LE) and the content
//!         512 zeros: never written, content zeros
//! ```
//! Why: redb trusts what it reads. Over a file with one byte flipped it returns wrong values,
//! panics, and panics again during the first panic, which ends the process. With checksums below
//! it, redb never sees such a byte, and damage is reported with its place. The unit is 512 bytes
//! because a disk writes that whole or not at all: after a crash each sector has the checksum of
//! its content, and redb can still rely on the order of its writes and syncs. A sector at the
//! border of two pages of redb is written with either of them; the bytes of the other page in it
//! stay unchanged.
//!
//! Promises: redb reads what it wrote or gets an error. Nothing is retried or delayed. Once the
//! latch has tripped, nothing is written any more, not even what redb writes when it is dropped (a
//! sync could then succeed over pages that an earlier one lost).

use crate::backend::File;
use crate::ballast::Ballast;
use crate::catalog::CATALOG_FILE;
use crate::error::Damage;
use crate::latch::Latch;
use crate::write_throttle::{CHUNK_BYTES, SYNC_BYTES, WriteThrottle};
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

const SECTOR_BYTES: usize = 512;
const CONTENT_BYTES: usize = SECTOR_BYTES - 4;
/// Lengths of redb are multiples of this, so the number of sectors determines the length.
const UNIT_BYTES: u64 = 4096;
/// Sectors read at once when all are checked.
const CHUNK_SECTORS: u64 = 2048;

type Sector = [u8; SECTOR_BYTES];

/// A sector whose checksum does not match. It travels through redb inside an `io::Error`.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the sector at byte {offset} does not match its checksum")]
pub(crate) struct SectorDamage {
    pub offset: u64,
}

#[derive(Debug)]
pub(crate) struct Storage<F> {
    /// Writes exclude reads: a reader must not see a sector half written.
    file: RwLock<F>,
    latch: Arc<Latch>,
    /// redb stops for good after a write that found no space, so there should be none.
    ballast: Arc<Ballast<F>>,
    throttle: Arc<WriteThrottle>,
    unsynced: Mutex<Unsynced>,
}

/// What redb wrote and what was not written back yet: the number of bytes, and the range that
/// contains them.
#[derive(Debug, Default)]
struct Unsynced {
    bytes: u64,
    range: Range<u64>,
}

impl Unsynced {
    fn add(&mut self, written: Range<u64>) {
        if self.bytes == 0 {
            self.range = written.clone();
        }
        self.bytes += written.end - written.start;
        let (start, end) = (self.range.start, self.range.end);
        self.range = start.min(written.start)..end.max(written.end);
    }
}

impl<F: File> Storage<F> {
    pub(crate) fn new(
        file: F,
        latch: Arc<Latch>,
        ballast: Arc<Ballast<F>>,
        throttle: Arc<WriteThrottle>,
    ) -> Storage<F> {
        Storage {
            file: RwLock::new(file),
            latch,
            ballast,
            throttle,
            unsynced: Mutex::default(),
        }
    }

    /// Writes back in chunks what redb wrote (see `write_throttle`), while readers can go on: a
    /// transaction may write as much as a journal holds.
    fn written(&self, range: Range<u64>) -> io::Result<()> {
        let mut unsynced = self.lock_unsynced();
        unsynced.add(range);
        if unsynced.bytes < CHUNK_BYTES {
            return Ok(());
        }
        let Unsynced { bytes, range } = std::mem::take(&mut *unsynced);
        drop(unsynced);
        self.throttle.before(bytes);
        let file = self.file.read().unwrap_or_else(PoisonError::into_inner);
        file.write_back(range)
    }

    fn lock_unsynced(&self) -> MutexGuard<'_, Unsynced> {
        // It only decides how much to write back when, so a panic elsewhere does no harm.
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> io::Result<()> {
        self.latch.check().map_err(io::Error::other)
    }
}

impl<F: File> redb::StorageBackend for Storage<F> {
    fn len(&self) -> io::Result<u64> {
        let file = self.file.read().unwrap_or_else(PoisonError::into_inner);
        Ok(redb_len(file.len()?))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let file = self.file.read().unwrap_or_else(PoisonError::into_inner);
        let sectors = sectors_of(offset, out.len())?;
        let bytes = read_sectors(&*file, &sectors)?;
        let mut out = out;
        let mut skip = (offset % CONTENT_BYTES as u64) as usize;
        for sector in bytes.as_chunks::<SECTOR_BYTES>().0 {
            let content = sector.get(skip..CONTENT_BYTES).unwrap_or_default();
            let (now, later) = out.split_at_mut(content.len().min(out.len()));
            now.copy_from_slice(content.get(..now.len()).unwrap_or_default());
            out = later;
            skip = 0;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.running()?;
        if !len.is_multiple_of(UNIT_BYTES) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a number of pages",
            ));
        }
        let file = self.file.write().unwrap_or_else(PoisonError::into_inner);
        let len = len.div_ceil(CONTENT_BYTES as u64) * SECTOR_BYTES as u64;
        self.ballast.draw(|| file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.running()?;
        let left = std::mem::take(&mut *self.lock_unsynced());
        self.throttle.before(left.bytes + SYNC_BYTES);
        let file = self.file.read().unwrap_or_else(PoisonError::into_inner);
        file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.running()?;
        let file = self.file.write().unwrap_or_else(PoisonError::into_inner);
        let sectors = sectors_of(offset, data.len())?;
        let count = (sectors.end - sectors.start) as usize;
        let mut bytes = vec![0; count * SECTOR_BYTES];
        // Only the first and the last sector may hold bytes that are not overwritten.
        let edges = [sectors.start, sectors.end.saturating_sub(1)];
        for &edge in edges.iter().take(count.min(2)) {
            let place = (edge - sectors.start) as usize * SECTOR_BYTES;
            let before = read_sectors(&*file, &(edge..edge + 1))?;
            if let Some(space) = bytes.get_mut(place..place + SECTOR_BYTES) {
                space.copy_from_slice(&before);
            }
        }
        let mut data = data;
        let mut skip = (offset % CONTENT_BYTES as u64) as usize;
        for (number, sector) in sectors.clone().zip(bytes.as_chunks_mut::<SECTOR_BYTES>().0) {
            let space = sector.get_mut(skip..CONTENT_BYTES).unwrap_or_default();
            let (now, later) = data.split_at(space.len().min(data.len()));
            space.split_at_mut(now.len()).0.copy_from_slice(now);
            data = later;
            skip = 0;
            let crc = checksum(number, sector).to_le_bytes();
            sector.split_at_mut(CONTENT_BYTES).1.copy_from_slice(&crc);
        }
        let at = sectors.start * SECTOR_BYTES as u64;
        self.ballast.draw(|| file.write_at(at, &bytes))?;
        drop(file);
        self.written(at..at + bytes.len() as u64)
    }
}

/// Checks every sector and adds damage to `report`. Returns the bytes read.
pub(crate) fn check<F: File>(file: &F, report: &mut Vec<Damage>) -> io::Result<u64> {
    let len = file.len()?;
    let count = len.div_ceil(SECTOR_BYTES as u64);
    let expected = redb_len(len).div_ceil(CONTENT_BYTES as u64) * SECTOR_BYTES as u64;
    if len != expected {
        report.push(Damage::new(
            CATALOG_FILE,
            len,
            format!("{len} bytes are no number of pages"),
        ));
        return Ok(0);
    }
    let mut start = 0;
    while start < count {
        let end = count.min(start + CHUNK_SECTORS);
        let mut bytes = vec![0; (end - start) as usize * SECTOR_BYTES];
        file.read_at(start * SECTOR_BYTES as u64, &mut bytes)?;
        for (number, sector) in (start..end).zip(bytes.as_chunks::<SECTOR_BYTES>().0) {
            if let Err(damage) = check_sector(number, sector) {
                let what = "the sector does not match its checksum";
                report.push(Damage::new(CATALOG_FILE, damage.offset, what));
            }
        }
        start = end;
    }
    Ok(len)
}

/// The length redb sees in a file of `len` bytes.
fn redb_len(len: u64) -> u64 {
    let space = len / SECTOR_BYTES as u64 * CONTENT_BYTES as u64;
    space / UNIT_BYTES * UNIT_BYTES
}

/// The sectors that hold `len` of redb's bytes from `offset` on.
fn sectors_of(offset: u64, len: usize) -> io::Result<Range<u64>> {
    let end = offset.checked_add(len as u64);
    let end = end.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    Ok(offset / CONTENT_BYTES as u64..end.div_ceil(CONTENT_BYTES as u64))
}

/// Reads and checks sectors. A place beyond the end of the file is damage: a tree refers to it.
fn read_sectors<F: File>(file: &F, sectors: &Range<u64>) -> io::Result<Vec<u8>> {
    let start = sectors.start.saturating_mul(SECTOR_BYTES as u64);
    let bytes = (sectors.end - sectors.start).saturating_mul(SECTOR_BYTES as u64);
    if start
        .checked_add(bytes)
        .is_none_or(|end| file.len().is_ok_and(|len| end > len))
    {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            SectorDamage { offset: start },
        ));
    }
    let mut bytes = vec![0; bytes as usize];
    file.read_at(start, &mut bytes)?;
    for (number, sector) in sectors.clone().zip(bytes.as_chunks::<SECTOR_BYTES>().0) {
        check_sector(number, sector)
            .map_err(|damage| io::Error::new(io::ErrorKind::InvalidData, damage))?;
    }
    Ok(bytes)
}

fn check_sector(number: u64, sector: &Sector) -> Result<(), SectorDamage> {
    let claimed = sector
        .last_chunk::<4>()
        .map_or(0, |crc| u32::from_le_bytes(*crc));
    if claimed == checksum(number, sector) || sector.iter().all(|&byte| byte == 0) {
        Ok(())
    } else {
        Err(SectorDamage {
            offset: number * SECTOR_BYTES as u64,
        })
    }
}

fn checksum(number: u64, sector: &Sector) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(sector.get(..CONTENT_BYTES).unwrap_or_default());
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;
    use crate::backend::memory::MemoryBackend;
    use proptest::prelude::*;
    use redb::StorageBackend;

    fn none<F>() -> Arc<Ballast<F>> {
        Arc::new(Ballast::none())
    }

    proptest! {
        #[test]
        fn it_is_a_file_to_redb_and_every_flip_is_an_error(
            steps in proptest::collection::vec((0..40_000u64, 1..9000usize, any::<u8>()), 1..12),
            flip in any::<u64>(),
        ) {
            let disk = MemoryBackend::new();
            let file = disk.create("c").unwrap();
            let storage = Storage::new(file, Arc::default(), none(), Arc::default());
            storage.set_len(12 * 4096).unwrap();
            let mut model = vec![0; 12 * 4096];
            for (at, len, value) in steps {
                storage.write(at, &vec![value; len]).unwrap();
                model[at as usize..at as usize + len].fill(value);
                let mut read = vec![9; len + 50];
                let at = at.saturating_sub(25);
                storage.read(at, &mut read).unwrap();
                prop_assert!(read == model[at as usize..at as usize + len + 50]);
            }
            prop_assert_eq!(storage.len().unwrap(), 12 * 4096);
            let mut whole = vec![9; 12 * 4096];
            storage.read(0, &mut whole).unwrap();
            prop_assert!(whole == model);
            let (_, len) = disk.files()[0].clone();
            disk.flip("c", flip % len, 1 << (flip % 8));
            prop_assert!(storage.read(0, &mut whole).is_err());
            let mut report = Vec::new();
            check(&disk.open("c").unwrap(), &mut report).unwrap();
            prop_assert_eq!(report.len(), 1);
            prop_assert_eq!(report[0].offset, flip % len / 512 * 512);
        }
    }

    #[test]
    fn places_beyond_the_end_are_damage_and_a_latched_store_writes_nothing() {
        let disk = MemoryBackend::new();
        let latch = Arc::new(Latch::default());
        let storage = Storage::new(
            disk.create("c").unwrap(),
            latch.clone(),
            none(),
            Arc::default(),
        );
        storage.set_len(4096).unwrap();
        for (at, len) in [(4096 * 2, 1), (u64::MAX, 1), (u64::MAX / 2, 4096)] {
            assert!(storage.read(at, &mut vec![0; len]).is_err(), "{at}");
        }
        assert!(storage.set_len(100).is_err());
        latch.trip("broken");
        let before = disk.operations();
        assert!(storage.write(0, b"x").is_err());
        assert!(storage.sync_data().is_err() && storage.set_len(8192).is_err());
        assert_eq!(disk.operations(), before);
    }
}
