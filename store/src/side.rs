//! Side files: changes of one heap that are too large for a frame (J7).
//!
//! ```text
//! pieces, one after the other:
//!   kind: u32 LE       1 a piece of the delta, 2 page checksums
//!   bytes: u32 LE      of the content, at most `PIECE_BYTES_MAX`
//!   crc: u32 LE        of stamp key, id, the piece's number, kind, bytes, content
//!   content
//! ```
//! The pieces of kind 1 in their order are one delta; those of kind 2 come after them and hold
//! `page: u32 LE, crc: u32 LE` of each page the delta names, as a frame's checksums do. A frame
//! names the file by number, length and SHA-256.
//!
//! Promises: what is given out was checked, piece by piece; damage is told with the piece it is in.
//! The hash says that the file is the one the frame names; the checksums say where it is not. They
//! need not withstand an adversary: a contract chooses what is written and has no way to what is on
//! the disk, and the key keeps it from choosing bytes whose checksum it knows.

use crate::backend::{Backend, File};
use crate::codec::SideRecord;
use crate::delta::{self, Run};
use crate::error::{Damage, StoreError};
use crate::ids::VatId;
use crate::images;
use crate::journal::writer::Shared;
use sha2::{Digest, Sha256};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The folder.
pub(crate) const SIDE_DIR: &str = "side";
/// Bytes of one piece: what a worker sends at once, four MiB and the last page of them.
pub const PIECE_BYTES_MAX: usize = (4 << 20) + (8 << 10);
pub(crate) const HEADER_BYTES: usize = 12;

/// What a piece holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Delta = 1,
    Checksums = 2,
}

pub(crate) fn path(id: u64) -> String {
    format!("{SIDE_DIR}/{id:016x}")
}

/// The number a name in the folder stands for.
pub(crate) fn id_of(name: &str) -> Option<u64> {
    let id = u64::from_str_radix(name, 16).ok()?;
    (name == format!("{id:016x}")).then_some(id)
}

/// Large changes of one heap, durable in a file of their own and not named by a frame yet. A file
/// that never is goes when this is dropped.
#[derive(Clone)]
pub struct Side {
    pub(crate) record: SideRecord,
    /// Page and checksum, sorted.
    pub(crate) pages: Arc<Vec<(u32, u32)>>,
    pub(crate) guard: Arc<Guard>,
}

/// Removes the file of a side nobody named.
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

    /// A frame names the file: it stays until that frame is folded.
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

impl Side {
    /// Pages that changed.
    pub fn pages(&self) -> usize {
        self.pages.len()
    }

    /// One past the last page that changed.
    pub(crate) fn end(&self) -> u32 {
        self.pages.last().map_or(0, |&(page, _)| page + 1)
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.record.bytes
    }
}

impl PartialEq for Side {
    fn eq(&self, other: &Side) -> bool {
        self.record == other.record
    }
}

impl Eq for Side {}

impl fmt::Debug for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Side({:?})", self.record)
    }
}

/// A piece's header.
pub(crate) fn header<B: Backend>(
    shared: &Shared<B>,
    id: u64,
    number: u32,
    kind: Kind,
    content: &[u8],
) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    // Pieces are bounded far below what a u32 holds.
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

/// Gives each piece to `see`, checked, and the hash of the whole. An error of `see` ends it.
pub(crate) fn walk<B: Backend>(
    shared: &Shared<B>,
    file: &B::File,
    (id, bytes): (u64, u64),
    mut see: impl FnMut(Kind, &[u8]) -> Result<(), StoreError>,
) -> Result<[u8; 32], StoreError> {
    let damage = |at: u64, what: String| StoreError::from(Damage::new(path(id), at, what));
    let read = |at: u64, into: &mut [u8]| match file.read_at(at, into) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(damage(at, "the file ends here".to_owned()))
        }
        Err(error) => Err(damage(at, format!("cannot be read: {error}"))),
    };
    let mut sha256 = Sha256::new();
    let mut content = Vec::new();
    let (mut at, mut number) = (0, 0);
    while at < bytes {
        let mut found = [0; HEADER_BYTES];
        read(at, &mut found)?;
        let [k0, k1, k2, k3, b0, b1, b2, b3, ..] = found;
        let length = u32::from_le_bytes([b0, b1, b2, b3]) as usize;
        let kind = match u32::from_le_bytes([k0, k1, k2, k3]) {
            1 => Kind::Delta,
            2 => Kind::Checksums,
            other => return Err(damage(at, format!("a piece of kind {other}"))),
        };
        let end = at + (HEADER_BYTES + length) as u64;
        if length > PIECE_BYTES_MAX || end > bytes {
            return Err(damage(at, format!("a piece of {length} bytes")));
        }
        content.resize(length, 0);
        read(at + HEADER_BYTES as u64, &mut content)?;
        if header(shared, id, number, kind, &content) != found {
            return Err(damage(at, "a piece does not match its checksum".to_owned()));
        }
        sha256.update(found);
        sha256.update(&content);
        see(kind, &content)?;
        (at, number) = (end, number + 1);
    }
    Ok(sha256.finalize().into())
}

/// Whether a named file is what its frame says, without using anything of it.
pub(crate) fn check<B: Backend>(shared: &Shared<B>, record: &SideRecord) -> Result<(), StoreError> {
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
    let sha256 = walk(shared, &file, (record.id, record.bytes), |_, _| Ok(()));
    match sha256 {
        Ok(sha256) if sha256 == record.sha256 => Ok(()),
        Ok(_) => Err(damage(0, "the file is not the one its frame names").into()),
        Err(StoreError::Damaged(found)) => Err(found.of(vat).into()),
        Err(error) => Err(error),
    }
}

/// Writes what a side file says to its image, and gives the checksums of the pages. Doing it again
/// is doing it.
pub(crate) fn apply<B: Backend>(
    shared: &Shared<B>,
    record: &SideRecord,
    page_limit: u32,
    image: &B::File,
) -> Result<Vec<(u32, u32)>, StoreError> {
    let path = path(record.id);
    let file = shared.backend.open(&path);
    let file = file.map_err(|error| shared.latch.io("open", &path, error))?;
    let (mut pages, mut after) = (Vec::new(), (0, 0));
    let image_path = images::path(VatId(record.vat));
    let written = |error| shared.latch.io_or_full("write", &image_path, error);
    let senseless = |what: String| StoreError::from(Damage::new(path.clone(), 0, what));
    walk(shared, &file, (record.id, record.bytes), |kind, content| {
        if kind == Kind::Checksums {
            let (pairs, rest) = content.as_chunks::<8>();
            if !rest.is_empty() {
                return Err(senseless("page checksums are cut off".to_owned()));
            }
            pages.extend(pairs.iter().map(|[p0, p1, p2, p3, c0, c1, c2, c3]| {
                let page = u32::from_le_bytes([*p0, *p1, *p2, *p3]);
                (page, u32::from_le_bytes([*c0, *c1, *c2, *c3]))
            }));
            return Ok(());
        }
        after = delta::check_after(content, page_limit, after)
            .map_err(|error| senseless(error.to_string()))?;
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
    Ok(pages)
}

/// A durable side file to be brought into its image, on any thread. Dropping it undone latches the
/// store: its frame is committed.
#[derive(Debug)]
pub struct SideJob<B: Backend> {
    pub(crate) shared: Arc<Shared<B>>,
    pub(crate) side: Side,
    pub(crate) page_limit: u32,
    pub(crate) image: Arc<B::File>,
    pub(crate) is_done: bool,
}

/// A side file whose content is in its image, if nothing came in between.
#[derive(Debug)]
#[must_use = "a side must be finished"]
pub struct SideApplied {
    pub(crate) side: Side,
    pub(crate) end: SideEnd,
}

/// How bringing a side file into its image ended.
#[derive(Debug)]
pub(crate) enum SideEnd {
    Done,
    /// The file, or the image, is not what was written.
    Damaged(Damage),
    /// The disk is full: to be done again when there is room (I2).
    NoRoom,
}

impl SideApplied {
    pub fn vat(&self) -> VatId {
        VatId(self.side.record.vat)
    }
}

impl<B: Backend> SideJob<B> {
    pub fn run(mut self) -> Result<SideApplied, StoreError> {
        self.shared.latch.check()?;
        let applied = apply(
            &self.shared,
            &self.side.record,
            self.page_limit,
            &self.image,
        );
        let end = match applied {
            Ok(_) => SideEnd::Done,
            Err(StoreError::Damaged(damage)) => {
                SideEnd::Damaged(damage.of(VatId(self.side.record.vat)))
            }
            Err(StoreError::NoRoom(_)) => SideEnd::NoRoom,
            Err(error) => return Err(error),
        };
        self.is_done = true;
        let side = self.side.clone();
        Ok(SideApplied { side, end })
    }
}

impl<B: Backend> Drop for SideJob<B> {
    fn drop(&mut self) {
        if !self.is_done {
            self.shared.latch.trip("a side file was not applied");
        }
    }
}
