//! Writing a spill file: chunks as they come, then page checksums, then one sync, all off the
//! commit path.
//!
//! Promises: changes of a heap are checked before they are written; file and directory entry are
//! durable before a frame can name the file (J8). Memory holds at most one chunk, eight bytes a
//! page and the key of each row. A file that is not finished is removed.

use crate::backend::{Backend, File, is_full};
use crate::codec::SpillRecord;
use crate::delta::{self, DeltaError, Run};
use crate::error::{Damage, ImageError, OpenError, StageError, StoreError};
use crate::genesis::{Genesis, Page, ZERO_PAGE};
use crate::ids::{EngineHash, PAGE_BYTES, VatId};
use crate::images;
use crate::journal::writer::Shared;
use crate::memtable::RowKey;
use crate::spill::{
    self, CHUNK_BYTES_MAX, Contents, Guard, Kind, SPILL_DIR, SpillFile, SpilledRow,
};
use crate::stage;
use crate::store::Store;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// Small chunks are written together, this many bytes at a time.
const WRITE_BYTES: usize = 1 << 20;

/// Why no spill file was made. Nothing of it remains.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpillFileError {
    /// The sender of the chunks is at fault.
    #[error("delta: {0}")]
    Delta(#[from] DeltaError),
    #[error("a chunk of {bytes} bytes; the limit is {CHUNK_BYTES_MAX}")]
    PieceTooLong { bytes: usize },
    /// The disk has no space; nothing else is wrong.
    #[error("there is no space for {file}: {source}")]
    Full { file: String, source: io::Error },
    /// The heap that the file changes is damaged.
    #[error("damaged: {0}")]
    Damaged(Damage),
    /// A row that no frame would accept either.
    #[error(transparent)]
    Row(StageError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A spill file being written.
#[derive(Debug)]
pub struct SpillWriter<B: Backend> {
    shared: Arc<Shared<B>>,
    id: u64,
    vat: VatId,
    page_limit: u32,
    /// Created with the first chunk, because the thread that commits should not create files.
    file: Option<B::File>,
    /// Bytes of the file, and how many of them are written; the others are in `buffer`.
    at: u64,
    written: u64,
    buffer: Vec<u8>,
    chunks: u32,
    has_delta: bool,
    rows: Vec<(RowKey, SpilledRow)>,
    log_bytes: u64,
    sha256: Sha256,
    /// Where the next run may begin.
    after: (u32, usize),
    is_finished: bool,
}

/// The heap before the changes in a spill file.
#[derive(Debug)]
pub struct SpillBase<B: Backend>(Base<B>);

#[derive(Debug)]
enum Base<B: Backend> {
    Image {
        file: Arc<B::File>,
        checksums: BTreeMap<u32, u32>,
    },
    /// Of a vat that does not exist yet.
    Genesis(Arc<Genesis>),
}

impl<B: Backend> Store<B> {
    /// Begins a spill file with changes of this vat, which need not exist yet.
    pub fn begin_spill(
        &mut self,
        vat: VatId,
        page_limit: u32,
    ) -> Result<SpillWriter<B>, StoreError> {
        self.shared.latch.check()?;
        let id = self.next_spill;
        self.next_spill += 1;
        Ok(SpillWriter {
            shared: self.shared.clone(),
            id,
            vat,
            page_limit,
            file: None,
            at: 0,
            written: 0,
            buffer: Vec::new(),
            chunks: 0,
            has_delta: false,
            rows: Vec::new(),
            log_bytes: 0,
            sha256: Sha256::new(),
            after: (0, 0),
            is_finished: false,
        })
    }

    /// The heap of the vat as it is now. No change of it may be staged and not applied, and none
    /// may be staged before the spill file is.
    pub fn spill_base(&mut self, vat: VatId) -> Result<SpillBase<B>, ImageError> {
        let page_limit = self.live(vat)?.page_limit;
        let checksums = self.expected_pages(vat)?;
        let file = self.images.file(vat, page_limit)?;
        Ok(SpillBase(Base::Image { file, checksums }))
    }

    /// The heap of a vat that does not exist yet.
    pub fn spill_base_of(&mut self, engine: EngineHash) -> Result<SpillBase<B>, StoreError> {
        let genesis = self.genesis(engine).map_err(|error| match error {
            OpenError::Damaged(damage) => StoreError::Damaged(damage),
            OpenError::Store(error) => error,
            _ => StoreError::UnknownEngine(engine),
        })?;
        Ok(SpillBase(Base::Genesis(genesis)))
    }
}

impl<B: Backend> SpillWriter<B> {
    pub fn vat(&self) -> VatId {
        self.vat
    }

    /// Adds a part of the delta.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), SpillFileError> {
        if chunk.len() > CHUNK_BYTES_MAX {
            return Err(SpillFileError::PieceTooLong { bytes: chunk.len() });
        }
        self.after = delta::check_after(chunk, self.page_limit, self.after)?;
        self.has_delta = true;
        self.append(Kind::Delta, chunk).map(drop)
    }

    /// Adds a row of the engine, which is set when the frame that names the file is applied.
    pub fn push_row(
        &mut self,
        table: u8,
        key: Vec<u8>,
        value: &[u8],
    ) -> Result<(), SpillFileError> {
        stage::check_row(table, &key, Some(value)).map_err(SpillFileError::Row)?;
        let content = spill::encode_row(table, &key, value);
        let (at, number) = self.append(Kind::Row, &content)?;
        let row = SpilledRow {
            id: self.id,
            at,
            number,
            bytes: content.len() as u32,
        };
        self.rows.push(((table, key), row));
        Ok(())
    }

    /// Adds bytes that are appended to the log when the frame that names the file is applied.
    pub fn push_log(&mut self, bytes: &[u8]) -> Result<(), SpillFileError> {
        for chunk in bytes.chunks(CHUNK_BYTES_MAX) {
            self.append(Kind::Log, chunk)?;
            self.log_bytes += chunk.len() as u64;
        }
        Ok(())
    }

    /// Ends the file: computes the checksums of all pages it names over the heap as it was, and
    /// syncs. The heap is required if a part of a delta was added.
    pub fn finish(mut self, base: Option<&SpillBase<B>>) -> Result<SpillFile, SpillFileError> {
        self.make()?;
        let pages = match base {
            Some(base) => self.checksums(base)?,
            None if self.has_delta => {
                let why = "a delta without the heap it changes";
                return Err(StoreError::Misuse(why).into());
            }
            None => Vec::new(),
        };
        let mut bytes = Vec::with_capacity(pages.len() * 8);
        for (page, crc) in &pages {
            bytes.extend_from_slice(&page.to_le_bytes());
            bytes.extend_from_slice(&crc.to_le_bytes());
        }
        for chunk in bytes.chunks(CHUNK_BYTES_MAX / 8 * 8) {
            self.append(Kind::Checksums, chunk)?;
        }
        self.write_out()?;
        if let Some(base) = base {
            self.reserve(base, &pages)?;
        }
        let path = spill::path(self.id);
        if let Some(file) = &self.file {
            file.sync_data()
                .map_err(|error| self.fault("sync", error))?;
        }
        let synced = self.shared.backend.sync_dir(SPILL_DIR);
        synced.map_err(|error| self.fault("sync", error))?;
        self.is_finished = true;
        let record = SpillRecord {
            vat: self.vat.0,
            id: self.id,
            bytes: self.at,
            sha256: std::mem::take(&mut self.sha256).finalize().into(),
        };
        let shared = self.shared.clone();
        // If the file cannot be removed, the next open removes it, since nothing names it.
        let remove = move || _ = shared.backend.remove(&path);
        let contents = Contents {
            pages,
            rows: std::mem::take(&mut self.rows),
            log_bytes: self.log_bytes,
        };
        Ok(SpillFile {
            record,
            contents: Arc::new(contents),
            guard: Arc::new(Guard::new(remove)),
        })
    }

    /// Adds a chunk; returns its offset and number.
    fn append(&mut self, kind: Kind, content: &[u8]) -> Result<(u64, u32), SpillFileError> {
        self.shared.latch.check()?;
        self.make()?;
        let header = spill::header(&self.shared, self.id, self.chunks, kind, content);
        for bytes in [&header[..], content] {
            self.sha256.update(bytes);
            self.buffer.extend_from_slice(bytes);
        }
        let place = (self.at, self.chunks);
        self.at += (header.len() + content.len()) as u64;
        self.chunks += 1;
        if self.buffer.len() >= WRITE_BYTES {
            self.write_out()?;
        }
        Ok(place)
    }

    fn write_out(&mut self) -> Result<(), SpillFileError> {
        if let Some(file) = self.file.as_ref().filter(|_| !self.buffer.is_empty()) {
            let written = file.write_at(self.written, &self.buffer);
            written.map_err(|error| self.fault("write", error))?;
        }
        self.written = self.at;
        self.buffer.clear();
        Ok(())
    }

    fn make(&mut self) -> Result<(), SpillFileError> {
        if self.file.is_none() {
            let made = self.shared.backend.create(&spill::path(self.id));
            self.file = Some(made.map_err(|error| self.fault("create", error))?);
        }
        Ok(())
    }

    /// A full disk is not a fault: nothing names this file, so it is given up.
    fn fault(&self, what: &'static str, source: io::Error) -> SpillFileError {
        let file = spill::path(self.id);
        if is_full(&source) {
            return SpillFileError::Full { file, source };
        }
        SpillFileError::Store(self.shared.latch.io(what, &file, source))
    }

    /// Reads the chunks back and computes each page as it will be.
    fn checksums(&mut self, base: &SpillBase<B>) -> Result<Vec<(u32, u32)>, SpillFileError> {
        self.write_out()?;
        let mut pages = Vec::new();
        let Some(file) = &self.file else {
            return Ok(pages);
        };
        let mut current: Option<(u32, Box<Page>)> = None;
        let end = |current: Option<(u32, Box<Page>)>, pages: &mut Vec<(u32, u32)>| {
            pages.extend(current.map(|(page, content)| (page, crc32fast::hash(&content[..]))));
        };
        spill::walk(&self.shared, file, (self.id, self.at), |chunk| {
            if chunk.kind != Kind::Delta {
                return Ok(());
            }
            for run in delta::runs(chunk.content) {
                let Run::Words { page, start, bytes } = run else {
                    end(current.take(), &mut pages);
                    pages.extend(run.pages().map(|page| (page, images::zero_page_crc())));
                    continue;
                };
                if current.as_ref().is_none_or(|(at, _)| *at != page) {
                    end(current.take(), &mut pages);
                    let is_whole = bytes.len() == PAGE_BYTES;
                    let content = match is_whole {
                        true => Box::new(ZERO_PAGE),
                        false => self.page_of(base, page)?,
                    };
                    current = Some((page, content));
                }
                if let Some((_, content)) = &mut current {
                    content[start..start + bytes.len()].copy_from_slice(bytes);
                }
            }
            Ok(())
        })
        .map_err(|error| match error {
            StoreError::Damaged(damage) => SpillFileError::Damaged(damage.of(self.vat)),
            error => SpillFileError::Store(error),
        })?;
        end(current, &mut pages);
        Ok(pages)
    }

    /// Reserves space in the image for pages that will be written (I2). A vat that does not exist
    /// yet has no image; if its first pages find no space, they are deferred.
    fn reserve(&self, base: &SpillBase<B>, pages: &[(u32, u32)]) -> Result<(), SpillFileError> {
        let Base::Image { file, .. } = &base.0 else {
            return Ok(());
        };
        let written = pages
            .iter()
            .filter(|(_, crc)| *crc != images::zero_page_crc());
        let written: Vec<u32> = written.map(|&(page, _)| page).collect();
        for range in written.chunk_by(|a, b| a + 1 == *b) {
            let (first, count) = (range.first().copied().unwrap_or(0), range.len() as u32);
            let taken = file.allocate(images::bytes_of(first), images::bytes_of(count));
            taken.map_err(|error| self.fault("grow", error))?;
        }
        Ok(())
    }

    /// A page as it was, checked (I3).
    fn page_of(&self, base: &SpillBase<B>, page: u32) -> Result<Box<Page>, StoreError> {
        let mut content = Box::new(ZERO_PAGE);
        let (file, checksums) = match &base.0 {
            Base::Genesis(genesis) => {
                if let Some(page) = genesis.page(page) {
                    content.copy_from_slice(page);
                }
                return Ok(content);
            }
            Base::Image { file, checksums } => (file, checksums),
        };
        let at = images::bytes_of(page);
        let path = images::path(self.vat);
        let told = |what: String| StoreError::from(Damage::new(path.clone(), at, what));
        file.read_at(at, &mut content[..])
            .map_err(|error| told(format!("cannot be read: {error}")))?;
        let expected = checksums.get(&page).copied();
        if crc32fast::hash(&content[..]) != expected.unwrap_or_else(images::zero_page_crc) {
            return Err(told(format!("page {page} does not match its checksum")));
        }
        Ok(content)
    }
}

impl<B: Backend> Drop for SpillWriter<B> {
    fn drop(&mut self) {
        if !self.is_finished && self.file.take().is_some() {
            // If the file cannot be removed, the next open removes it, since nothing names it.
            let _ = self.shared.backend.remove(&spill::path(self.id));
        }
    }
}
