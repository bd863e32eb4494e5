//! The files in `heap/`: one sparse image for each vat, equal to the result of all applied frames.
//!
//! Promises: an image is written with pwrite only (I1), after space was reserved (I2); if a write
//! finds no space, nothing latches. A descriptor through which an image was written stays open
//! until the fold that syncs it has finished (I4); the number of others is bounded. A missing,
//! truncated or unreadable image is damage of its vat; any other error of the disk latches.

use crate::backend::{Backend, File, is_full, write_zeros};
use crate::ballast::Ballast;
use crate::error::{Damage, StoreError};
use crate::genesis::{Genesis, Page, ZERO_PAGE};
use crate::ids::{PAGE_BYTES, VatId};
use crate::image_check;
use crate::latch::Latch;
use crate::options::PAGE_LIMIT_MAX;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// The folder.
pub(crate) const HEAP_DIR: &str = "heap";
/// Pages read at once.
const CHUNK_PAGES: u64 = 256;
/// From this many pages of zeros on, a hole is worth it.
const HOLE_PAGES_MIN: usize = 8;

pub(crate) fn path(vat: VatId) -> String {
    format!("{HEAP_DIR}/{vat}")
}

/// What happens to the space of pages that become zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ZeroedSpace {
    Released,
    /// A later frame has reserved it.
    Kept,
}

/// Open images.
#[derive(Debug)]
pub(crate) struct Images<B: Backend> {
    backend: B,
    latch: Arc<Latch>,
    ballast: Arc<Ballast<B::File>>,
    open: HashMap<VatId, Open<B::File>>,
    /// Images made with space for the genesis content before the frame that creates the vat; kept
    /// open.
    prepared: HashSet<VatId>,
    clock: u64,
}

#[derive(Debug)]
struct Open<F> {
    file: Arc<F>,
    used: u64,
}

impl<B: Backend> Images<B> {
    pub(crate) fn new(backend: B, latch: Arc<Latch>, ballast: Arc<Ballast<B::File>>) -> Images<B> {
        Images {
            backend,
            latch,
            ballast,
            open: HashMap::new(),
            prepared: HashSet::new(),
            clock: 0,
        }
    }

    /// The open image; opening checks its length.
    pub(crate) fn file(&mut self, vat: VatId, page_limit: u32) -> Result<Arc<B::File>, StoreError> {
        self.clock += 1;
        if let Some(open) = self.open.get_mut(&vat) {
            open.used = self.clock;
            return Ok(open.file.clone());
        }
        let path = path(vat);
        let told = |error| fault(&self.latch, "open", vat, 0, error);
        let file = self.backend.open(&path).map_err(|error| {
            if Latch::is_want(&error) {
                return self.latch.open(&path, error);
            }
            told(error)
        })?;
        let (found, needed) = (file.len().map_err(told)?, bytes_of(page_limit));
        if found < needed || !found.is_multiple_of(PAGE_BYTES as u64) {
            let what = format!("the image has {found} bytes; {needed} or more whole pages are due");
            return Err(Damage::new(path, found.min(needed), what).of(vat).into());
        }
        let file = Arc::new(file);
        self.open.insert(
            vat,
            Open {
                file: file.clone(),
                used: self.clock,
            },
        );
        Ok(file)
    }

    /// Makes the file of a vat that no frame names yet, with space for its first pages (I2). After
    /// a crash before such a frame, the next open removes the file.
    pub(crate) fn prepare(
        &mut self,
        vat: VatId,
        page_limit: u32,
        genesis: &Genesis,
    ) -> Result<(), StoreError> {
        if self.prepared.contains(&vat) {
            return Ok(());
        }
        let path = path(vat);
        let make = || {
            let file = self.backend.create(&path)?;
            file.set_len(bytes_of(page_limit))?;
            for range in ranges(genesis.pages().map(|(page, ..)| page)) {
                allocate(&file, range)?;
            }
            Ok(file)
        };
        let file = make().map_err(|error| {
            // If this fails as well, the next open removes the file.
            let _ = self.backend.remove(&path);
            self.latch.io_or_full("make", &path, error)
        })?;
        self.keep_open(vat, file);
        self.prepared.insert(vat);
        Ok(())
    }

    /// Removes a prepared file whose frame was refused.
    pub(crate) fn discard(&mut self, vat: VatId) {
        if self.prepared.remove(&vat) {
            self.open.remove(&vat);
            // No row names the file; if this fails, the next open removes it.
            let _ = self.backend.remove(&path(vat));
        }
    }

    /// Makes an image longer.
    pub(crate) fn extend(
        &mut self,
        vat: VatId,
        page_limit: u32,
        pages: u32,
    ) -> Result<(), StoreError> {
        let file = self.file(vat, page_limit)?;
        let told = |error| self.latch.io("extend", &path(vat), error);
        if file.len().map_err(told)? < bytes_of(pages) {
            file.set_len(bytes_of(pages)).map_err(told)?;
        }
        Ok(())
    }

    /// Makes an image with the genesis content, also over one that was begun before (I5).
    pub(crate) fn create(
        &mut self,
        vat: VatId,
        page_limit: u32,
        genesis: &Genesis,
    ) -> Result<(), StoreError> {
        let path = path(vat);
        let told = |error| self.latch.io_or_full("create", &path, error);
        if !self.prepared.contains(&vat) {
            let make = || {
                let file = self.backend.create(&path)?;
                file.set_len(bytes_of(page_limit))?;
                Ok(file)
            };
            let file = self.ballast.draw(make).map_err(told)?;
            self.keep_open(vat, file);
        }
        let file = self.file(vat, page_limit)?;
        for (page, content) in genesis.ranges() {
            let write = || file.write_at(bytes_of(page), &content);
            let written = self.ballast.draw(write);
            written.map_err(|error| self.latch.io_or_full("write", &path, error))?;
        }
        self.prepared.remove(&vat);
        Ok(())
    }

    fn keep_open(&mut self, vat: VatId, file: B::File) {
        self.clock += 1;
        let (file, used) = (Arc::new(file), self.clock);
        self.open.insert(vat, Open { file, used });
    }

    /// Reserves space for sorted pages that have none, one call for each run of them (I2).
    pub(crate) fn reserve(
        &mut self,
        vat: VatId,
        page_limit: u32,
        pages: impl Iterator<Item = u32>,
    ) -> Result<(), StoreError> {
        let file = self.file(vat, page_limit)?;
        for range in ranges(pages) {
            allocate(&*file, range)
                .map_err(|error| self.latch.io_or_full("grow", &path(vat), error))?;
        }
        Ok(())
    }

    /// Reads one page, unchecked.
    pub(crate) fn read_page(
        &mut self,
        vat: VatId,
        page_limit: u32,
        page: u32,
    ) -> Result<Arc<Page>, StoreError> {
        let file = self.file(vat, page_limit)?;
        let mut content = Arc::new(ZERO_PAGE);
        file.read_at(bytes_of(page), &mut Arc::make_mut(&mut content)[..])
            .map_err(|error| fault(&self.latch, "read", vat, bytes_of(page), error))?;
        Ok(content)
    }

    pub(crate) fn write(
        &mut self,
        vat: VatId,
        page_limit: u32,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let file = self.file(vat, page_limit)?;
        self.ballast
            .draw(|| file.write_at(offset, bytes))
            .map_err(|error| self.latch.io_or_full("write", &path(vat), error))
    }

    /// Writes zeros to pages. If they are many and no later frame needs their space, they become a
    /// hole and the space is released. Few pages are written, because a hole of one page costs the
    /// file system more than writing it, and it is soon filled again.
    pub(crate) fn zero(
        &mut self,
        vat: VatId,
        page_limit: u32,
        pages: Range<u32>,
        space: ZeroedSpace,
    ) -> Result<(), StoreError> {
        let file = self.file(vat, page_limit)?;
        let (offset, bytes) = (bytes_of(pages.start), bytes_of(pages.len() as u32));
        let written = if space == ZeroedSpace::Kept || pages.len() < HOLE_PAGES_MIN {
            write_zeros(&*file, offset, bytes)
        } else {
            self.ballast.draw(|| file.punch(offset, bytes))
        };
        let written = match written {
            // Pages that were a hole have no space and need none.
            Err(error) if is_full(&error) => self.ballast.draw(|| file.punch(offset, bytes)),
            written => written,
        };
        written.map_err(|error| self.latch.io_or_full("write", &path(vat), error))
    }

    /// Compares every page with its expected checksum; see `check`.
    pub(crate) fn check(
        &mut self,
        vat: VatId,
        page_limit: u32,
        expected: BTreeMap<u32, u32>,
        report: impl FnMut(Damage),
    ) -> Result<u64, StoreError> {
        let file = self.file(vat, page_limit)?;
        check(&*file, &self.latch, vat, expected, report)
    }

    /// The open file, for a fold to sync.
    pub(crate) fn opened(&self, vat: VatId) -> Option<Arc<B::File>> {
        self.open.get(&vat).map(|open| open.file.clone())
    }

    /// Closes images past `max`, least recently used first, except those that `is_written` keeps.
    pub(crate) fn trim(&mut self, max: usize, is_written: impl Fn(VatId) -> bool) {
        if self.open.len() <= max {
            return;
        }
        let prepared = &self.prepared;
        let stays = |vat: &VatId| prepared.contains(vat) || is_written(*vat);
        let clean = self.open.iter().filter(|(vat, _)| !stays(vat));
        let mut clean: Vec<_> = clean.map(|(vat, open)| (open.used, *vat)).collect();
        let surplus = clean.len().saturating_sub(max / 2);
        clean.sort_unstable();
        for (_, vat) in clean.into_iter().take(surplus) {
            self.open.remove(&vat);
        }
    }

    pub(crate) fn forget(&mut self, vat: VatId) {
        self.prepared.remove(&vat);
        self.open.remove(&vat);
    }
}

/// Groups a sorted list of pages into runs of neighbours: first page and number.
fn ranges(pages: impl Iterator<Item = u32>) -> Vec<(u32, u32)> {
    let mut found: Vec<(u32, u32)> = Vec::new();
    for page in pages {
        match found.last_mut() {
            Some((first, count)) if page == *first + *count => *count += 1,
            _ => found.push((page, 1)),
        }
    }
    found
}

fn allocate<F: File>(file: &F, (first, count): (u32, u32)) -> io::Result<()> {
    file.allocate(bytes_of(first), bytes_of(count))
}

/// Writes zeros to pages, or punches a hole if they are many.
pub(crate) fn clear<F: File>(image: &F, pages: Range<u32>) -> io::Result<()> {
    let (offset, bytes) = (bytes_of(pages.start), bytes_of(pages.len() as u32));
    if pages.len() >= HOLE_PAGES_MIN {
        image.punch(offset, bytes)
    } else {
        write_zeros(image, offset, bytes)
    }
}

/// Passes each page with data to `see`, in order, and leaves out holes. Returns the bytes read.
pub(crate) fn walk<F: File>(
    file: &F,
    latch: &Latch,
    vat: VatId,
    mut see: impl FnMut(u32, &Page),
) -> Result<u64, StoreError> {
    let length = file.len();
    let length = length.map_err(|error| fault(latch, "read", vat, 0, error))?;
    let end = (length / PAGE_BYTES as u64).min(u64::from(PAGE_LIMIT_MAX));
    let mut chunk = vec![0; CHUNK_PAGES as usize * PAGE_BYTES];
    let (mut at, mut read) = (0, 0);
    while at < end {
        let told = |error| fault(latch, "read", vat, at * PAGE_BYTES as u64, error);
        let Some(data) = file.next_data(at * PAGE_BYTES as u64).map_err(told)? else {
            break;
        };
        at = at.max(data.start / PAGE_BYTES as u64);
        let stop = data.end.div_ceil(PAGE_BYTES as u64).min(end);
        while at < stop {
            let count = (stop - at).min(CHUNK_PAGES);
            let bytes = chunk
                .get_mut(..count as usize * PAGE_BYTES)
                .unwrap_or_default();
            let offset = at * PAGE_BYTES as u64;
            file.read_at(offset, bytes)
                .map_err(|error| fault(latch, "read", vat, offset, error))?;
            for (page, content) in (at..).zip(bytes.as_chunks::<PAGE_BYTES>().0) {
                // Below the greatest page limit, which is a u32.
                see(page as u32, content);
            }
            read += bytes.len() as u64;
            at += count;
        }
    }
    Ok(read)
}

/// Compares every page with its expected checksum; a page not in `expected` must be zeros. Passes
/// each page that differs to `report`. Returns the bytes read.
pub(crate) fn check<F: File>(
    file: &F,
    latch: &Latch,
    vat: VatId,
    expected: BTreeMap<u32, u32>,
    mut report: impl FnMut(Damage),
) -> Result<u64, StoreError> {
    let told = |(at, error)| fault(latch, "read", vat, at, error);
    let length = file.len().map_err(|error| told((0, error)))?;
    let pages = u32::try_from(length / PAGE_BYTES as u64).unwrap_or(u32::MAX);
    let expected: Vec<(u32, u32)> = expected.into_iter().collect();
    let checked = image_check::check(file, pages.min(PAGE_LIMIT_MAX), &expected);
    let checked = checked.map_err(told)?;
    for (page, what) in checked.wrong {
        let what = format!("page {page} {what}");
        report(Damage::new(path(vat), bytes_of(page), what).of(vat));
    }
    Ok(checked.read_bytes)
}

/// The offset of a page; the length of an image with that many pages.
pub(crate) fn bytes_of(pages: u32) -> u64 {
    u64::from(pages) * PAGE_BYTES as u64
}

/// The checksum of a page of zeros, which a page has that no row names.
pub(crate) fn zero_page_crc() -> u32 {
    static CRC: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    *CRC.get_or_init(|| crc32fast::hash(&ZERO_PAGE))
}

/// Damage of one vat, or an error that latches.
fn fault(latch: &Latch, what: &'static str, vat: VatId, at: u64, error: io::Error) -> StoreError {
    let io_error = rustix::io::Errno::IO.raw_os_error();
    let is_damage = matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof
    ) || error.raw_os_error() == Some(io_error);
    if is_damage {
        let what = match error.kind() {
            io::ErrorKind::NotFound => "the image is missing".to_owned(),
            io::ErrorKind::UnexpectedEof => "the image ends here".to_owned(),
            _ => format!("cannot be read: {error}"),
        };
        return Damage::new(path(vat), at, what).of(vat).into();
    }
    latch.io(what, &path(vat), error)
}
