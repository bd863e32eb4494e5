//! The files in `logs/`: the committed console output of vats.
//!
//! A log is one stream of bytes. Byte `n` lies in file `(n / file_bytes) % 2` (`VATID`, `VATID.1`)
//! at `n % file_bytes`. A file is truncated before it is written again, so there is no rename, and
//! appending again from the position in the catalog gives the same files (C4). The file being
//! written and the previous one are kept.
//!
//! Promises: every block of 64 KiB has a checksum, which every read verifies. Space is reserved
//! before the frame that appends (`reserve`, I2), except in a file that will be truncated first.

use crate::backend::{Backend, File, is_full};
use crate::ballast::Ballast;
use crate::codec::LogRecord;
use crate::error::{Damage, StoreError};
use crate::ids::VatId;
use crate::latch::Latch;
use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// The folder.
pub(crate) const LOGS_DIR: &str = "logs";
/// Bytes that one checksum covers.
pub(crate) const LOG_BLOCK_BYTES: u64 = 64 << 10;

/// A range of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSlice {
    /// Where `bytes` begins: at the requested byte, or later if that is no longer kept.
    pub from: u64,
    pub bytes: Vec<u8>,
    /// Where to continue reading.
    pub next: u64,
    /// The oldest byte that is kept.
    pub oldest: u64,
}

/// Open log files.
#[derive(Debug)]
pub(crate) struct Logs<B: Backend> {
    backend: B,
    latch: Arc<Latch>,
    ballast: Arc<Ballast<B::File>>,
    file_bytes: u64,
    open: HashMap<(VatId, Half), Open<B::File>>,
}

#[derive(Debug)]
struct Open<F> {
    file: Arc<F>,
    /// Space is reserved up to this offset, as far as is known.
    space: u64,
    /// Created to reserve space, before the first byte was appended.
    is_fresh: bool,
    /// What was appended since a fold took the file to sync it.
    unsynced: Range<u64>,
}

/// One of the two files of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Half {
    Even,
    Odd,
}

impl Half {
    fn of(place: u64, file_bytes: u64) -> Half {
        if (place / file_bytes).is_multiple_of(2) {
            Half::Even
        } else {
            Half::Odd
        }
    }
}

pub(crate) fn path(vat: VatId, half: Half) -> String {
    match half {
        Half::Even => format!("{LOGS_DIR}/{vat}"),
        Half::Odd => format!("{LOGS_DIR}/{vat}.1"),
    }
}

/// The vat that the name of a log file refers to.
pub(crate) fn vat_of(name: &str) -> Option<VatId> {
    name.strip_suffix(".1").unwrap_or(name).parse().ok()
}

impl<B: Backend> Logs<B> {
    pub(crate) fn new(
        backend: B,
        latch: Arc<Latch>,
        ballast: Arc<Ballast<B::File>>,
        file_bytes: u64,
    ) -> Logs<B> {
        Logs {
            backend,
            latch,
            ballast,
            file_bytes,
            open: HashMap::new(),
        }
    }

    /// The oldest kept byte of a log that ends at `end`.
    pub(crate) fn oldest(&self, end: u64) -> u64 {
        let writing = end.saturating_sub(1) / self.file_bytes;
        writing.saturating_sub(1) * self.file_bytes
    }

    /// Reserves space for a log to grow by `len` bytes from `from`, in whole blocks where possible
    /// (I2). `from` is beyond the end of the record if frames are not applied yet.
    pub(crate) fn reserve(
        &mut self,
        vat: VatId,
        log: &LogRecord,
        from: u64,
        len: u64,
    ) -> Result<(), StoreError> {
        let (mut at, end) = (from, from + len);
        while at < end {
            let turn = at / self.file_bytes;
            let stop = end.min((turn + 1) * self.file_bytes);
            let is_begun = log.end > turn * self.file_bytes;
            // A file whose turn comes again is truncated first, which releases more than this
            // takes.
            if is_begun || turn < 2 {
                let half = Half::of(at, self.file_bytes);
                let within_file = if is_begun {
                    log.end % self.file_bytes
                } else {
                    0
                };
                let reserved =
                    self.reserve_in(vat, half, within_file, stop - turn * self.file_bytes);
                reserved
                    .map_err(|error| self.latch.io_or_full("append to", &path(vat, half), error))?;
            }
            at = stop;
        }
        Ok(())
    }

    /// Reserves space up to `end` in the file, or up to the end of the block if there is enough.
    fn reserve_in(&mut self, vat: VatId, half: Half, within_file: u64, end: u64) -> io::Result<()> {
        if !self.open.contains_key(&(vat, half)) {
            let (file, _) = self.open_to_append(vat, half, within_file)?;
            let is_fresh = within_file == 0;
            let opened = Open {
                file: Arc::new(file),
                space: within_file,
                is_fresh,
                unsynced: within_file..within_file,
            };
            self.open.insert((vat, half), opened);
        }
        let Some(open) = self.open.get_mut(&(vat, half)) else {
            return Ok(());
        };
        if open.space >= end {
            return Ok(());
        }
        let block_end = end.next_multiple_of(LOG_BLOCK_BYTES);
        let mut take = |end: u64| {
            let taken = open.file.allocate(open.space, end - open.space);
            taken.inspect(|()| open.space = end)
        };
        match take(block_end) {
            Err(error) if is_full(&error) && end < block_end => take(end),
            result => result,
        }
    }

    /// Appends, and updates the record. Returns whether a file was made. After `NoSpace` the record
    /// says how many of the bytes were appended.
    pub(crate) fn append(
        &mut self,
        vat: VatId,
        log: &mut LogRecord,
        bytes: &[u8],
    ) -> Result<bool, StoreError> {
        let mut rest = bytes;
        let mut made = false;
        while !rest.is_empty() {
            let within_file = log.end % self.file_bytes;
            let space = (LOG_BLOCK_BYTES - log.end % LOG_BLOCK_BYTES) as usize;
            let (now, later) = rest.split_at(space.min(rest.len()));
            let half = Half::of(log.end, self.file_bytes);
            let told =
                |latch: &Latch, error| latch.io_or_full("append to", &path(vat, half), error);
            let (file, new) = self
                .file_to_append(vat, half, within_file)
                .map_err(|error| told(&self.latch, error))?;
            self.ballast
                .draw(|| file.write_at(within_file, now))
                .map_err(|error| told(&self.latch, error))?;
            if let Some(open) = self.open.get_mut(&(vat, half)) {
                let end = within_file + now.len() as u64;
                open.unsynced = open.unsynced.start.min(within_file)..end;
            }
            made |= new;
            self.count(log, now);
            rest = later;
        }
        Ok(made)
    }

    /// Skips bytes up to the beginning of a file. More than both files hold must follow at once,
    /// because what was there before cannot be read any more.
    pub(crate) fn skip(&self, log: &mut LogRecord, bytes: u64) {
        log.end += bytes;
        // One for each block that will still be dropped.
        let blocks = (log.end - self.oldest(log.end)) / LOG_BLOCK_BYTES;
        log.checksums = vec![0; blocks as usize];
    }

    /// Updates a record for bytes that lie in one block.
    fn count(&self, log: &mut LogRecord, bytes: &[u8]) {
        let before = self.oldest(log.end);
        if log.end.is_multiple_of(LOG_BLOCK_BYTES) {
            log.checksums.push(0);
        }
        if let Some(crc) = log.checksums.last_mut() {
            let mut hasher = crc32fast::Hasher::new_with_initial(*crc);
            hasher.update(bytes);
            *crc = hasher.finalize();
        }
        log.end += bytes.len() as u64;
        let dropped = (self.oldest(log.end) - before) / LOG_BLOCK_BYTES;
        log.checksums
            .drain(..(dropped as usize).min(log.checksums.len()));
    }

    /// The file, truncated to `within_file`, and whether it was made. Bytes beyond that were
    /// appended by a frame that is being applied again.
    fn file_to_append(
        &mut self,
        vat: VatId,
        half: Half,
        within_file: u64,
    ) -> io::Result<(Arc<B::File>, bool)> {
        if let Some(open) = self.open.get_mut(&(vat, half))
            && (within_file > 0 || open.is_fresh)
        {
            return Ok((open.file.clone(), std::mem::take(&mut open.is_fresh)));
        }
        let opened = self
            .ballast
            .draw(|| self.open_to_append(vat, half, within_file));
        let (file, made) = opened?;
        let opened = Open {
            file: Arc::new(file),
            space: within_file,
            is_fresh: false,
            unsynced: within_file..within_file,
        };
        let file = opened.file.clone();
        self.open.insert((vat, half), opened);
        Ok((file, made))
    }

    fn open_to_append(
        &self,
        vat: VatId,
        half: Half,
        within_file: u64,
    ) -> io::Result<(B::File, bool)> {
        let path = path(vat, half);
        if within_file == 0 {
            return Ok((self.backend.create(&path)?, true));
        }
        // A missing log is made again with a hole, which `verify` and readers report: losing old
        // console output is no reason not to run.
        let file = match self.backend.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.backend.create(&path),
            other => other,
        }?;
        file.set_len(within_file)?;
        Ok((file, false))
    }

    /// Reads at most `max` bytes from `from` on.
    pub(crate) fn read(
        &self,
        vat: VatId,
        log: &LogRecord,
        from: u64,
        max: usize,
    ) -> Result<LogSlice, StoreError> {
        let oldest = self.oldest(log.end);
        let from = from.clamp(oldest, log.end.max(oldest));
        let stop = log.end.min(from.saturating_add(max as u64));
        let mut slice = LogSlice {
            from,
            bytes: Vec::new(),
            next: stop,
            oldest,
        };
        let mut at = from;
        while at < stop {
            let block = at / LOG_BLOCK_BYTES;
            let content = self.block(vat, log, block)?;
            let start = block * LOG_BLOCK_BYTES;
            let part = content.get((at - start) as usize..).unwrap_or_default();
            let part = part
                .get(..part.len().min((stop - at) as usize))
                .unwrap_or_default();
            slice.bytes.extend_from_slice(part);
            at = start + LOG_BLOCK_BYTES;
        }
        Ok(slice)
    }

    /// Reads and checks one block.
    fn block(&self, vat: VatId, log: &LogRecord, block: u64) -> Result<Vec<u8>, StoreError> {
        let start = block * LOG_BLOCK_BYTES;
        let place = block - self.oldest(log.end) / LOG_BLOCK_BYTES;
        let path = path(vat, Half::of(start, self.file_bytes));
        let offset = start % self.file_bytes;
        let damage = |what: String| StoreError::from(Damage::new(&path, offset, what).of(vat));
        let crc = usize::try_from(place)
            .ok()
            .and_then(|place| log.checksums.get(place));
        let Some(crc) = crc else {
            return Err(damage("the block has no checksum".into()));
        };
        let len = (log.end - start).min(LOG_BLOCK_BYTES) as usize;
        let mut bytes = vec![0; len];
        let read = self
            .backend
            .open(&path)
            .and_then(|file| file.read_at(offset, &mut bytes));
        read.map_err(|error| damage(format!("cannot be read: {error}")))?;
        if crc32fast::hash(&bytes) != *crc {
            return Err(damage("the block does not match its checksum".into()));
        }
        Ok(bytes)
    }

    /// Reads every kept byte and adds damage to `report`. Returns the bytes read.
    pub(crate) fn check(
        &self,
        vat: VatId,
        log: &LogRecord,
        report: &mut Vec<Damage>,
    ) -> Result<u64, StoreError> {
        let oldest = self.oldest(log.end);
        for block in oldest / LOG_BLOCK_BYTES..log.end.div_ceil(LOG_BLOCK_BYTES) {
            match self.block(vat, log, block) {
                Ok(_) => {}
                Err(StoreError::Damaged(damage)) => report.push(damage),
                Err(error) => return Err(error),
            }
        }
        let names = [Half::Even, Half::Odd].map(|half| (half, self.expected_len(log.end, half)));
        for (half, expected) in names {
            let path = path(vat, half);
            let found = match self.backend.open(&path) {
                Ok(file) => file
                    .len()
                    .map_err(|error| self.latch.io("measure", &path, error))?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
                Err(error) => return Err(self.latch.io("open", &path, error)),
            };
            if found > expected {
                let what = format!("{} bytes no frame wrote", found - expected);
                report.push(Damage::new(path, expected, what).of(vat));
            }
        }
        Ok(log.end - oldest)
    }

    fn expected_len(&self, end: u64, half: Half) -> u64 {
        match end.checked_sub(1) {
            None => 0,
            Some(last) if Half::of(last, self.file_bytes) == half => last % self.file_bytes + 1,
            Some(last) if last >= self.file_bytes => self.file_bytes,
            Some(_) => 0,
        }
    }

    /// The open files of a log, for a fold to sync, each with the range appended to it.
    pub(crate) fn take_unsynced(
        &mut self,
        vat: VatId,
    ) -> impl Iterator<Item = (String, Arc<B::File>, Range<u64>)> {
        let files = [Half::Even, Half::Odd].map(|half| {
            let open = self.open.get_mut(&(vat, half))?;
            let end = open.unsynced.end;
            let appended = std::mem::replace(&mut open.unsynced, end..end);
            Some((path(vat, half), open.file.clone(), appended))
        });
        files.into_iter().flatten()
    }

    /// Removes what was made for a vat whose first frame was refused.
    pub(crate) fn discard(&mut self, vat: VatId) {
        for half in [Half::Even, Half::Odd] {
            if self.open.remove(&(vat, half)).is_some() {
                // No row names the file; if this fails, the next open removes it.
                let _ = self.backend.remove(&path(vat, half));
            }
        }
    }

    pub(crate) fn forget(&mut self, vat: VatId) {
        self.open.remove(&(vat, Half::Even));
        self.open.remove(&(vat, Half::Odd));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::memory::MemoryBackend;

    const VAT: VatId = VatId(7);
    const FILE: u64 = 2 * LOG_BLOCK_BYTES;

    fn logs_on(backend: &MemoryBackend) -> Logs<MemoryBackend> {
        let ballast = Arc::new(Ballast::none());
        Logs::new(backend.clone(), Arc::default(), ballast, FILE)
    }

    #[test]
    fn it_rotates_and_what_is_kept_reads_back() {
        let backend = MemoryBackend::new();
        let mut logs = logs_on(&backend);
        let (mut log, mut all) = (LogRecord::default(), Vec::new());
        for step in 0..100u32 {
            let line = vec![step as u8; 7001];
            logs.append(VAT, &mut log, &line).unwrap();
            all.extend_from_slice(&line);
            let slice = logs.read(VAT, &log, 0, usize::MAX).unwrap();
            assert_eq!(slice.bytes, all[slice.oldest as usize..]);
            assert!(slice.bytes.len() as u64 > FILE.min(all.len() as u64 - 1));
            assert!(slice.bytes.len() as u64 <= 2 * FILE);
            let mut damages = Vec::new();
            logs.check(VAT, &log, &mut damages).unwrap();
            assert_eq!(damages, []);
        }
        let slice = logs.read(VAT, &log, 600_000, 10).unwrap();
        assert_eq!((slice.from, slice.next), (600_000, 600_010));
        assert_eq!(slice.bytes, all[600_000..600_010]);
        assert_eq!(logs.read(VAT, &log, u64::MAX, 10).unwrap().bytes, []);
    }

    #[test]
    fn appending_again_from_an_older_record_gives_the_same_files() {
        let backend = MemoryBackend::new();
        let mut logs = logs_on(&backend);
        let mut log = LogRecord::default();
        logs.append(VAT, &mut log, &vec![1; FILE as usize * 2 - 10])
            .unwrap();
        let mut folded = log.clone();
        let more: Vec<u8> = (0..FILE * 2).map(|n| n as u8).collect();
        logs.append(VAT, &mut log, &more).unwrap();
        let files = ["", ".1"].map(|end| backend.contents(&format!("logs/{VAT}{end}")).unwrap());
        let mut logs = logs_on(&backend);
        logs.append(VAT, &mut folded, &more).unwrap();
        assert_eq!(folded, log);
        let again = ["", ".1"].map(|end| backend.contents(&format!("logs/{VAT}{end}")).unwrap());
        assert!(files == again);
    }

    #[test]
    fn a_flipped_byte_is_named_and_not_returned() {
        let backend = MemoryBackend::new();
        let mut logs = logs_on(&backend);
        let mut log = LogRecord::default();
        logs.append(VAT, &mut log, &vec![1; FILE as usize]).unwrap();
        backend.flip(&path(VAT, Half::Even), LOG_BLOCK_BYTES + 3, 4);
        assert!(logs.read(VAT, &log, 0, 100).is_ok());
        let error = logs.read(VAT, &log, LOG_BLOCK_BYTES - 1, 100).unwrap_err();
        let StoreError::Damaged(damage) = error else {
            panic!("{error}")
        };
        assert_eq!((damage.offset, damage.vat), (LOG_BLOCK_BYTES, Some(VAT)));
    }
}
