//! Spill files: what a vat hands over at once and is too large for a frame (J7), that is, changes
//! of its heap, rows and log. They lie in the folder `side/`.
//!
//! ```text
//! a list of chunks:
//!   kind: u32 LE       1 part of the delta, 2 page checksums, 3 a row, 4 part of the log
//!   bytes: u32 LE      of the content, at most `CHUNK_BYTES_MAX`; of a row, `ROW_CHUNK_BYTES_MAX`
//!   crc: u32 LE        of stamp key, id, number of the chunk, kind, bytes, content
//!   content
//! ```
//! The chunks of kind 1, concatenated, are one delta. Those of kind 2 follow and hold
//! `page: u32 LE, crc: u32 LE` for each page that the delta names, like the checksums of a frame. A
//! row, `table: u8, key length: u32 LE, key, value`, is one chunk, so that it can be read and
//! checked alone until the catalog has it. The chunks of kind 4, concatenated, are appended to the
//! log of the vat. A frame names the file by number, length and SHA-256.
//!
//! Promises: all content is checked chunk by chunk before it is returned, and damage is reported
//! with its chunk. The hash proves that the file is the one the frame names; the checksums locate
//! what is wrong. They need not withstand an adversary: a contract chooses what is written but has
//! no access to the disk, and without the stamp key it cannot choose bytes with a known checksum.

pub(crate) mod writer;

use crate::backend::{Backend, File};
use crate::codec::SpillRecord;
use crate::delta::{self, Run};
use crate::error::{Damage, StoreError};
use crate::ids::VatId;
use crate::images;
use crate::journal::writer::Shared;
use crate::memtable::RowKey;
use crate::options::{ENGINE_TABLES, ROW_KEY_BYTES_MAX, ROW_VALUE_BYTES_MAX};
use sha2::{Digest, Sha256};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The folder.
pub(crate) const SPILL_DIR: &str = "side";
/// Bytes of one chunk: what a worker sends at once, four MiB and the last page of them.
pub const CHUNK_BYTES_MAX: usize = (4 << 20) + (8 << 10);
pub(crate) const HEADER_BYTES: usize = 12;
/// Bytes of a row before its key.
const ROW_HEAD_BYTES: usize = 5;
/// Bytes of the largest row there may be.
const ROW_CHUNK_BYTES_MAX: usize = ROW_HEAD_BYTES + ROW_KEY_BYTES_MAX + ROW_VALUE_BYTES_MAX;

/// What a chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Delta = 1,
    Checksums = 2,
    Row = 3,
    Log = 4,
}

impl Kind {
    fn of(number: u32) -> Option<Kind> {
        match number {
            1 => Some(Kind::Delta),
            2 => Some(Kind::Checksums),
            3 => Some(Kind::Row),
            4 => Some(Kind::Log),
            _ => None,
        }
    }

    fn bytes_max(self) -> usize {
        match self {
            Kind::Row => ROW_CHUNK_BYTES_MAX,
            _ => CHUNK_BYTES_MAX,
        }
    }
}

/// A chunk as it was read and checked.
pub(crate) struct Chunk<'a> {
    pub kind: Kind,
    /// The offset of its header.
    pub at: u64,
    /// Its number in the file.
    pub number: u32,
    pub content: &'a [u8],
}

pub(crate) fn path(id: u64) -> String {
    format!("{SPILL_DIR}/{id:016x}")
}

/// The number that a file name stands for.
pub(crate) fn id_of(name: &str) -> Option<u64> {
    let id = u64::from_str_radix(name, 16).ok()?;
    (name == format!("{id:016x}")).then_some(id)
}

/// What a spill file holds, without the content.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// Page and checksum, sorted.
    pub pages: Vec<(u32, u32)>,
    pub rows: Vec<(RowKey, SpilledRow)>,
    pub log_bytes: u64,
}

/// A row whose value is still in its spill file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpilledRow {
    /// The file.
    pub id: u64,
    /// Its chunk: offset, number, bytes of content.
    pub at: u64,
    pub number: u32,
    pub bytes: u32,
}

/// A durable spill file that no frame names yet. If no frame ever names it, dropping this removes
/// the file.
#[derive(Clone)]
pub struct SpillFile {
    pub(crate) record: SpillRecord,
    pub(crate) contents: Arc<Contents>,
    pub(crate) guard: Arc<Guard>,
}

/// Removes a spill file that no frame named.
pub(crate) struct Guard {
    is_named: AtomicBool,
    remove: Box<dyn Fn() + Send + Sync>,
}

impl Guard {
    pub(crate) fn new(remove: impl Fn() + Send + Sync + 'static) -> Guard {
        Guard {
            is_named: AtomicBool::new(false),
            remove: Box::new(remove),
        }
    }

    /// A frame names the file, so it stays until that frame is folded.
    pub(crate) fn keep(&self) {
        self.is_named.store(true, Relaxed);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.is_named.load(Relaxed) {
            (self.remove)();
        }
    }
}

impl SpillFile {
    /// The file's number, which no other file of the store has.
    pub fn number(&self) -> u64 {
        self.record.id
    }

    /// Pages that changed.
    pub fn pages(&self) -> usize {
        self.contents.pages.len()
    }

    /// Bytes of log in it.
    pub fn log_bytes(&self) -> u64 {
        self.contents.log_bytes
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.record.bytes
    }
}

impl PartialEq for SpillFile {
    fn eq(&self, other: &SpillFile) -> bool {
        self.record == other.record
    }
}

impl Eq for SpillFile {}

impl fmt::Debug for SpillFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Side({:?})", self.record)
    }
}

/// The header of a chunk.
pub(crate) fn header<B: Backend>(
    shared: &Shared<B>,
    id: u64,
    number: u32,
    kind: Kind,
    content: &[u8],
) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    // Chunks are bounded far below what a u32 holds.
    let (kind, bytes) = (kind as u32, content.len() as u32);
    header[0..4].copy_from_slice(&kind.to_le_bytes());
    header[4..8].copy_from_slice(&bytes.to_le_bytes());
    let crc = shared.key.checksum(&[
        &id.to_le_bytes(),
        &number.to_le_bytes(),
        &header[0..8],
        content,
    ]);
    header[8..12].copy_from_slice(&crc.to_le_bytes());
    header
}

/// Reads and checks the chunk at `at` in a file of `bytes` bytes. Returns its kind and header.
fn read_chunk<B: Backend>(
    shared: &Shared<B>,
    file: &B::File,
    (id, bytes): (u64, u64),
    (at, number): (u64, u32),
    content: &mut Vec<u8>,
) -> Result<(Kind, [u8; HEADER_BYTES]), StoreError> {
    let damage = |at: u64, what: String| StoreError::from(Damage::new(path(id), at, what));
    let read = |at: u64, into: &mut [u8]| match file.read_at(at, into) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(damage(at, "the file ends here".to_owned()))
        }
        Err(error) => Err(damage(at, format!("cannot be read: {error}"))),
    };
    let mut found = [0; HEADER_BYTES];
    read(at, &mut found)?;
    let [k0, k1, k2, k3, b0, b1, b2, b3, ..] = found;
    let length = u32::from_le_bytes([b0, b1, b2, b3]) as usize;
    let kind = u32::from_le_bytes([k0, k1, k2, k3]);
    let kind =
        Kind::of(kind).ok_or_else(|| damage(at, format!("a chunk of unknown kind {kind}")))?;
    if length > kind.bytes_max() || at + (HEADER_BYTES + length) as u64 > bytes {
        return Err(damage(
            at,
            format!("a chunk of {length} bytes, which is too long"),
        ));
    }
    content.resize(length, 0);
    read(at + HEADER_BYTES as u64, content)?;
    if header(shared, id, number, kind, content) != found {
        return Err(damage(at, "a chunk does not match its checksum".to_owned()));
    }
    Ok((kind, found))
}

/// Passes each checked chunk to `see` and returns the hash of the whole file. An error of `see`
/// ends the walk.
pub(crate) fn walk<B: Backend>(
    shared: &Shared<B>,
    file: &B::File,
    (id, bytes): (u64, u64),
    mut see: impl FnMut(Chunk<'_>) -> Result<(), StoreError>,
) -> Result<[u8; 32], StoreError> {
    let mut sha256 = Sha256::new();
    let mut content = Vec::new();
    let (mut at, mut number) = (0, 0);
    while at < bytes {
        let place = (at, number);
        let (kind, head) = read_chunk(shared, file, (id, bytes), place, &mut content)?;
        sha256.update(head);
        sha256.update(&content);
        see(Chunk {
            kind,
            at,
            number,
            content: &content,
        })?;
        at += (HEADER_BYTES + content.len()) as u64;
        number += 1;
    }
    Ok(sha256.finalize().into())
}

/// A row as the content of its chunk.
pub(crate) fn encode_row(table: u8, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(ROW_HEAD_BYTES + key.len() + value.len());
    content.push(table);
    // Keys are bounded far below what a u32 holds.
    content.extend_from_slice(&(key.len() as u32).to_le_bytes());
    content.extend_from_slice(key);
    content.extend_from_slice(value);
    content
}

/// Table, key and value; `None` if the bytes are not a row.
fn split_row(content: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&table, rest) = content.split_first()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (key, value) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((table, key, value))
}

/// Reads and checks the value of a row whose frame is applied.
pub(crate) fn read_row<B: Backend>(
    shared: &Shared<B>,
    (table, key): (u8, &[u8]),
    row: &SpilledRow,
) -> Result<Vec<u8>, StoreError> {
    let path = path(row.id);
    let damage = |what: &str| StoreError::from(Damage::new(path.clone(), row.at, what));
    let file = match shared.backend.open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damage("the file is missing"));
        }
        Err(error) => return Err(shared.latch.open(&path, error)),
    };
    let end = row.at + HEADER_BYTES as u64 + u64::from(row.bytes);
    let mut content = Vec::new();
    let place = (row.at, row.number);
    read_chunk(shared, &file, (row.id, end), place, &mut content)?;
    match split_row(&content) {
        Some((found, name, value)) if (found, name) == (table, key) => {
            let head = content.len() - value.len();
            content.drain(..head);
            Ok(content)
        }
        _ => Err(damage("another row than was written there")),
    }
}

/// Checks that a file is the one its frame names, without applying anything. Returns what it holds.
pub(crate) fn check<B: Backend>(
    shared: &Shared<B>,
    record: &SpillRecord,
) -> Result<Contents, StoreError> {
    let (path, vat) = (path(record.id), VatId(record.vat));
    let damage = |at: u64, what: &str| Damage::new(path.clone(), at, what).of(vat);
    let file = match shared.backend.open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damage(0, "the file is missing").into());
        }
        Err(error) => return Err(shared.latch.open(&path, error)),
    };
    let length = file.len();
    let length = length.map_err(|error| shared.latch.io("measure", &path, error))?;
    if length != record.bytes {
        let what = format!("the file has {length} bytes, not {}", record.bytes);
        return Err(damage(length.min(record.bytes), &what).into());
    }
    let mut contents = Contents::default();
    let malformed = |at, what: &str| StoreError::from(damage(at, what));
    let sha256 = walk(shared, &file, (record.id, record.bytes), |chunk| {
        match chunk.kind {
            Kind::Delta => {}
            Kind::Checksums => {
                let (pairs, rest) = chunk.content.as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(malformed(chunk.at, "page checksums are cut off"));
                }
                let of_page = |[p0, p1, p2, p3, c0, c1, c2, c3]: &[u8; 8]| {
                    let page = u32::from_le_bytes([*p0, *p1, *p2, *p3]);
                    (page, u32::from_le_bytes([*c0, *c1, *c2, *c3]))
                };
                contents.pages.extend(pairs.iter().map(of_page));
            }
            Kind::Row => {
                let row = split_row(chunk.content).filter(|(table, ..)| *table < ENGINE_TABLES);
                let Some((table, key, _)) = row else {
                    return Err(malformed(chunk.at, "a row that makes no sense"));
                };
                let row = SpilledRow {
                    id: record.id,
                    at: chunk.at,
                    number: chunk.number,
                    bytes: chunk.content.len() as u32,
                };
                contents.rows.push(((table, key.to_vec()), row));
            }
            Kind::Log => contents.log_bytes += chunk.content.len() as u64,
        }
        Ok(())
    });
    match sha256 {
        Ok(sha256) if sha256 == record.sha256 => Ok(contents),
        Ok(_) => Err(damage(0, "the file is not the one its frame names").into()),
        Err(StoreError::Damaged(found)) => Err(found.of(vat).into()),
        Err(error) => Err(error),
    }
}

/// Writes the changes in a spill file to its image. Doing so twice gives the same result.
pub(crate) fn apply<B: Backend>(
    shared: &Shared<B>,
    record: &SpillRecord,
    page_limit: u32,
    image: &B::File,
) -> Result<(), StoreError> {
    let path = path(record.id);
    let file = shared.backend.open(&path);
    let file = file.map_err(|error| shared.latch.io("open", &path, error))?;
    let mut after = (0, 0);
    let image_path = images::path(VatId(record.vat));
    let written = |error| shared.latch.io_or_full("write", &image_path, error);
    let malformed = |what: String| StoreError::from(Damage::new(path.clone(), 0, what));
    walk(shared, &file, (record.id, record.bytes), |chunk| {
        let Chunk {
            kind: Kind::Delta,
            content,
            ..
        } = chunk
        else {
            return Ok(());
        };
        after = delta::check_after(content, page_limit, after)
            .map_err(|error| malformed(error.to_string()))?;
        for run in delta::runs(content) {
            match run {
                Run::Words { page, start, bytes } => {
                    let at = images::bytes_of(page) + start as u64;
                    image.write_at(at, bytes).map_err(written)?;
                }
                Run::Zeros { .. } => images::clear(image, run.pages()).map_err(written)?,
            }
        }
        Ok(())
    })?;
    Ok(())
}

/// The log in a spill file without its first `skipped` bytes.
pub(crate) fn log_of<B: Backend>(
    shared: &Shared<B>,
    record: &SpillRecord,
    skipped: u64,
) -> Result<Vec<u8>, StoreError> {
    let path = path(record.id);
    let file = shared.backend.open(&path);
    let file = file.map_err(|error| shared.latch.io("open", &path, error))?;
    let (mut skipped, mut log) = (skipped as usize, Vec::new());
    walk(shared, &file, (record.id, record.bytes), |chunk| {
        if chunk.kind == Kind::Log {
            let (before, kept) = chunk.content.split_at(skipped.min(chunk.content.len()));
            skipped -= before.len();
            log.extend_from_slice(kept);
        }
        Ok(())
    })?;
    Ok(log)
}

/// A job that applies a durable spill file to its image and reads its log, on any thread. Dropping
/// it before it ran latches the store, because its frame is committed.
#[derive(Debug)]
pub struct SpillJob<B: Backend> {
    pub(crate) shared: Arc<Shared<B>>,
    pub(crate) spill: SpillFile,
    pub(crate) page_limit: u32,
    /// Set if the file changes the heap.
    pub(crate) image: Option<Arc<B::File>>,
    /// Bytes of its log that no log file would keep.
    pub(crate) log_skipped: u64,
    pub(crate) is_done: bool,
}

/// The outcome of a job, to be given back to the store.
#[derive(Debug)]
#[must_use = "a spill file must be finished"]
pub struct SpillApplied {
    pub(crate) spill: SpillFile,
    pub(crate) end: SpillOutcome,
}

/// How applying a spill file ended.
#[derive(Debug)]
pub(crate) enum SpillOutcome {
    /// Applied. The log it brings, without what no log file would keep.
    Done(Vec<u8>),
    /// The spill file or the image is damaged.
    Damaged(Damage),
    /// The disk is full; to be repeated when there is space (I2).
    NoSpace,
}

impl SpillApplied {
    pub fn vat(&self) -> VatId {
        VatId(self.spill.record.vat)
    }
}

impl<B: Backend> SpillJob<B> {
    pub fn run(mut self) -> Result<SpillApplied, StoreError> {
        self.shared.latch.check()?;
        let end = match self.bring_in() {
            Ok(log) => SpillOutcome::Done(log),
            Err(StoreError::Damaged(damage)) => {
                SpillOutcome::Damaged(damage.of(VatId(self.spill.record.vat)))
            }
            Err(StoreError::NoSpace(_)) => SpillOutcome::NoSpace,
            Err(error) => return Err(error),
        };
        self.is_done = true;
        let spill = self.spill.clone();
        Ok(SpillApplied { spill, end })
    }

    fn bring_in(&self) -> Result<Vec<u8>, StoreError> {
        let (shared, record) = (&self.shared, &self.spill.record);
        if let Some(image) = &self.image {
            apply(shared, record, self.page_limit, image)?;
        }
        match self.spill.log_bytes() {
            0 => Ok(Vec::new()),
            _ => log_of(shared, record, self.log_skipped),
        }
    }
}

impl<B: Backend> Drop for SpillJob<B> {
    fn drop(&mut self) {
        if !self.is_done {
            self.shared.latch.trip("a spill file was not applied");
        }
    }
}
