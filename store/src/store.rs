//! The open store: its state, reads, and helpers that several of its modules use.
//!
//! Promises: reads return only what is committed and applied; staged and sealed parts are not
//! visible. Staging is in `stage`, committing in `commit`, folding in `fold`, opening in `recover`.

use crate::backend::{Backend, file::FileBackend};
use crate::catalog::{Reader, decode_row, table};
use crate::codec::{self, LogRecord, LostWriteRecord, VatRecord};
use crate::commit::InFlight;
use crate::deferred::Deferred;
use crate::engines::Engine;
use crate::error::{Damage, ImageError, OpenError, StoreError};
use crate::ids::{EngineHash, VatId};
use crate::images::{self, Images};
use crate::journal::writer::{Position, Shared};
use crate::logs::{LogSlice, Logs};
use crate::memtable::{Memtable, Value};
use crate::options::Options;
use crate::page_rows;
use crate::pages::PageCache;
use crate::recover::{self, Recovery};
use crate::space::Space;
use crate::spill::{self, SpillJob};
use crate::stage::Effect;
use crate::vat::{Phase, Vat};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

/// An open store. It has one owner; `Sealed` and `Fold` can be sent to other threads, which write
/// frames and run folds.
#[derive(Debug)]
pub struct Store<B: Backend = FileBackend> {
    pub(crate) shared: Arc<Shared<B>>,
    pub(crate) options: Options,
    /// The catalog as of the last fold.
    pub(crate) reader: Reader,
    pub(crate) vats: BTreeMap<VatId, Vat>,
    pub(crate) next_vat: u64,
    /// Ids below `next_vat` that `next_vat_id` gave out and no frame has created yet.
    pub(crate) unused_ids: BTreeSet<VatId>,
    pub(crate) engines: BTreeMap<EngineHash, Engine>,
    pub(crate) cache: PageCache,
    pub(crate) images: Images<B>,
    pub(crate) logs: Logs<B>,
    pub(crate) active: Memtable,
    pub(crate) immutable: Option<Arc<Memtable>>,
    pub(crate) filling: Filling,
    /// The buffer of an applied frame, reused for the next one.
    pub(crate) spare_body: Option<Vec<u8>>,
    /// Frames that are sealed and not applied, oldest first.
    pub(crate) in_flight: VecDeque<InFlight>,
    /// Vats to whose image a spill file is being applied.
    pub(crate) applying: BTreeSet<VatId>,
    pub(crate) spill_jobs: Vec<SpillJob<B>>,
    pub(crate) next_spill: u64,
    pub(crate) applied: Position,
    pub(crate) folded: Position,
    /// Work of committed frames that is deferred until the disk has space.
    pub(crate) backlog: BTreeMap<VatId, VecDeque<Deferred>>,
    pub(crate) space: Space,
}

/// The frame being filled.
#[derive(Debug, Default)]
pub(crate) struct Filling {
    pub body: Vec<u8>,
    pub effects: Vec<Effect>,
    /// An upper bound of what the checksums at the end of the frame will take.
    pub checksum_bytes: usize,
}

/// A vat as described by the catalog and the applied frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VatMeta {
    pub id: VatId,
    pub engine: EngineHash,
    pub page_limit: u32,
    /// Why no worker starts on it; found at open or when its image was requested.
    pub damaged: Option<String>,
}

/// The checked image of a vat, for a worker to start on.
#[derive(Debug)]
pub struct Image<R> {
    /// Opened read-only (I1). Its length is `page_limit` pages.
    pub file: R,
    pub page_limit: u32,
    pub engine: EngineHash,
}

/// A row as a scan returns it.
pub type KeyValue = (Vec<u8>, Vec<u8>);

impl<B: Backend> Store<B> {
    /// Opens a store, or creates it in an empty folder, and recovers it to the last commit.
    pub fn open(backend: B, options: Options) -> Result<(Store<B>, Recovery), OpenError> {
        recover::open::open(backend, options)
    }

    /// The value of a row.
    pub fn get(&self, table: u8, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.shared.latch.check()?;
        let immutable = self.immutable.as_deref();
        let row = self.active.row(table, key);
        match row.or_else(|| immutable.and_then(|memtable| memtable.row(table, key))) {
            Some(row) => row.map(|value| self.value(table, key, value)).transpose(),
            None => self.reader.get(table, key),
        }
    }

    /// The value of a row, read from its spill file if it is there.
    fn value(&self, table: u8, key: &[u8], value: Value<'_>) -> Result<Vec<u8>, StoreError> {
        match value {
            Value::Here(bytes) => Ok(bytes.into_owned()),
            Value::Spill(row) => spill::read_row(&self.shared, (table, key), &row),
        }
    }

    /// Rows of a table whose keys begin with `prefix`, in order of keys.
    pub fn scan(&self, table: u8, prefix: &[u8]) -> Result<Vec<KeyValue>, StoreError> {
        self.scan_from(table, prefix, Bound::Unbounded, usize::MAX)
    }

    /// The same, from `start` on, with at most `limit` rows.
    pub fn scan_from(
        &self,
        table: u8,
        prefix: &[u8],
        start: Bound<&[u8]>,
        limit: usize,
    ) -> Result<Vec<KeyValue>, StoreError> {
        self.shared.latch.check()?;
        let mut found = BTreeMap::new();
        for memtable in [self.immutable.as_deref(), Some(&self.active)]
            .into_iter()
            .flatten()
        {
            memtable.lay_over(table, prefix, start, &mut found);
        }
        // Rows that the memtables delete must not count among the rows the catalog is asked for.
        let deleted = found.values().filter(|value| value.is_none()).count();
        let below = self
            .reader
            .scan(table, prefix, start, limit.saturating_add(deleted))?;
        for (key, value) in below {
            found.entry(key).or_insert(Some(Value::Here(value.into())));
        }
        let rows = found
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)));
        let read = |(key, value): (Vec<u8>, Value<'_>)| {
            let value = self.value(table, &key, value)?;
            Ok((key, value))
        };
        rows.take(limit).map(read).collect()
    }

    /// Vats that are committed, in order of ids.
    pub fn vats(&self) -> Vec<VatMeta> {
        let committed = self
            .vats
            .iter()
            .filter(|(_, vat)| vat.phase != Phase::Creating);
        committed.map(|(&id, vat)| meta_of(id, vat)).collect()
    }

    /// One vat, if it is committed.
    pub fn vat(&self, id: VatId) -> Option<VatMeta> {
        let vat = self
            .vats
            .get(&id)
            .filter(|vat| vat.phase != Phase::Creating)?;
        Some(meta_of(id, vat))
    }

    /// An id that no vat has or had. Each call returns another one; the frame that creates the vat
    /// makes it permanent.
    pub fn next_vat_id(&mut self) -> VatId {
        let id = VatId(self.next_vat);
        self.next_vat += 1;
        self.unused_ids.insert(id);
        id
    }

    /// Why the store latched, if it did.
    pub fn latched(&self) -> Option<StoreError> {
        self.shared.latch.check().err()
    }

    /// Makes the image at least `pages` pages long, for a worker that may use more pages than the
    /// image was made for. This is not durable and need not be: recovery makes the image longer
    /// again if a frame names a page beyond the end. An image never gets shorter.
    pub fn extend(&mut self, vat: VatId, pages: u32) -> Result<(), ImageError> {
        let found = self.live(vat)?;
        let (page_limit, known) = (found.page_limit, found.pages());
        if pages <= known {
            return Ok(());
        }
        self.images.extend(vat, page_limit, pages)?;
        if let Some(found) = self.vats.get_mut(&vat) {
            found.extended = pages;
        }
        Ok(())
    }

    /// A range of the committed log of the vat, at most `max` bytes.
    pub fn log_read(&self, vat: VatId, from: u64, max: usize) -> Result<LogSlice, StoreError> {
        self.shared.latch.check()?;
        let found = self.vats.get(&vat).ok_or(StoreError::UnknownVat(vat))?;
        self.logs.read(vat, &found.log, from, max)
    }

    pub(crate) fn live(&self, vat: VatId) -> Result<&Vat, ImageError> {
        self.shared.latch.check()?;
        match self.vats.get(&vat) {
            None => Err(ImageError::UnknownVat(vat)),
            Some(found) if found.phase == Phase::Creating => Err(ImageError::NotCommitted(vat)),
            Some(_) if self.applying.contains(&vat) => Err(ImageError::BeingApplied(vat)),
            Some(found) => Ok(found),
        }
    }

    /// The checksum a page should have: that of the newest applied frame that names it, else that
    /// of the catalog, else that of zeros.
    pub(crate) fn expected_page(&self, vat: VatId, page: u32) -> Result<u32, StoreError> {
        if let Some(crc) = self.active.page(vat, page) {
            return Ok(crc);
        }
        if let Some(crc) = self
            .immutable
            .as_ref()
            .and_then(|memtable| memtable.page(vat, page))
        {
            return Ok(crc);
        }
        let row = self.reader.get(table::PAGES, &page_rows::key(vat, page))?;
        page_rows::checksum(vat, row.as_deref(), page)
    }

    /// The same for all pages that are not expected to be zeros.
    pub(crate) fn expected_pages(&self, vat: VatId) -> Result<BTreeMap<u32, u32>, StoreError> {
        let mut expected = BTreeMap::new();
        let prefix = codec::vat_key(vat);
        let rows = self
            .reader
            .scan(table::PAGES, &prefix, Bound::Unbounded, usize::MAX)?;
        for (key, row) in rows {
            page_rows::collect(vat, &key, &row, &mut expected)?;
        }
        for memtable in [self.immutable.as_deref(), Some(&self.active)]
            .into_iter()
            .flatten()
        {
            if let Some(pages) = memtable.pages.get(&vat) {
                expected.extend(pages);
            }
        }
        Ok(expected)
    }

    /// Records a vat that a frame creates.
    pub(crate) fn note_vat(&mut self, vat: VatId, engine: EngineHash, page_limit: u32) {
        let (phase, log) = (Phase::Creating, LogRecord::default());
        self.vats.insert(
            vat,
            Vat {
                engine,
                page_limit,
                extended: 0,
                phase,
                damaged: None,
                log,
                log_staged: 0,
                log_promised: 0,
            },
        );
        self.next_vat = self.next_vat.max(vat.0.saturating_add(1));
    }

    /// Makes the image of a vat recorded before, and its rows.
    pub(crate) fn make_image(&mut self, vat: VatId) -> Result<(), StoreError> {
        let found = self.vats.get_mut(&vat).ok_or(StoreError::UnknownVat(vat))?;
        let engine = self.engines.get(&found.engine);
        let genesis = engine.and_then(|engine| engine.genesis.clone());
        // Loaded when the vat was staged or replayed.
        let genesis = genesis.ok_or(StoreError::UnknownEngine(found.engine))?;
        self.images.create(vat, found.page_limit, &genesis)?;
        found.phase = Phase::Live;
        let record = VatRecord {
            engine: found.engine.0,
            page_limit: found.page_limit,
        };
        let (key, row) = (codec::vat_key(vat), codec::encode(&record));
        self.active.put(table::VATS, &key, Some(&row));
        let pages = self.active.pages.entry(vat).or_default();
        for (page, crc, _) in genesis.pages() {
            // If the image was deferred, later frames may have set checksums already.
            pages.entry(page).or_insert(crc);
        }
        self.active.images.insert(vat);
        self.active.entries_made = true;
        Ok(())
    }

    /// Skips bytes of a log that no file would keep.
    pub(crate) fn skip_log(&mut self, vat: VatId, bytes: u64) {
        if let Some(found) = self.vats.get_mut(&vat).filter(|_| bytes > 0) {
            self.logs.skip(&mut found.log, bytes);
            found.log_staged = found.log_staged.saturating_sub(bytes);
        }
    }

    /// How many of the next `bytes` of a log no file would keep.
    pub(crate) fn log_skipped(&self, vat: VatId, bytes: u64) -> u64 {
        let end = self.vats.get(&vat).map_or(0, |found| found.log.end);
        self.logs.oldest(end + bytes).saturating_sub(end)
    }

    pub(crate) fn append_log(&mut self, vat: VatId, bytes: &[u8]) -> Result<(), StoreError> {
        let found = self.vats.get_mut(&vat).ok_or(StoreError::UnknownVat(vat))?;
        let before = found.log.end;
        let appended = self.logs.append(vat, &mut found.log, bytes);
        found.log_staged = found.log_staged.saturating_sub(found.log.end - before);
        self.active.logs.insert(vat);
        self.active.entries_made |= appended?;
        Ok(())
    }

    /// The last frame of a vat is applied. The next fold removes its files, when no frame needs
    /// them.
    pub(crate) fn forget_vat(&mut self, vat: VatId) {
        if self.vats.remove(&vat).is_none() {
            return;
        }
        let key = codec::vat_key(vat);
        self.active.put(table::VATS, &key, None);
        self.active.pages.remove(&vat);
        self.active.images.remove(&vat);
        self.active.logs.remove(&vat);
        for deferred in self.backlog.remove(&vat).unwrap_or_default() {
            // The fold that writes its rows to the catalog removes the file.
            if let Deferred::Spill(spill) = deferred {
                self.active.spills.push(spill.record);
            }
        }
        self.active.terminated.push(vat);
    }

    pub(crate) fn mark_damaged(&mut self, vat: VatId, damage: &Damage) {
        if let Some(found) = self.vats.get_mut(&vat) {
            found.damaged.get_or_insert_with(|| damage.clone());
        }
    }

    /// Marks vats whose image is missing as damaged, so that the others can go on.
    pub(crate) fn mark_missing_images(&mut self) -> Result<(), StoreError> {
        let vats: Vec<VatId> = self.vats.keys().copied().collect();
        let names = self.shared.backend.list(images::HEAP_DIR);
        let names = names.map_err(|error| self.shared.latch.io("list", images::HEAP_DIR, error))?;
        let there: BTreeSet<VatId> = names.iter().filter_map(|name| name.parse().ok()).collect();
        for vat in vats.into_iter().filter(|vat| !there.contains(vat)) {
            let damage = Damage::new(images::path(vat), 0, "the image is missing").of(vat);
            self.mark_damaged(vat, &damage);
        }
        Ok(())
    }

    /// Marks vats for which an earlier open recorded a lost write.
    pub(crate) fn mark_lost_writes(&mut self) -> Result<(), StoreError> {
        for (vat, lost) in self.lost_writes()? {
            let file = spill::path(lost.spill);
            let damage = Damage::new(file, lost.offset, lost.what).of(vat);
            self.mark_damaged(vat, &damage);
        }
        Ok(())
    }

    fn lost_writes(&self) -> Result<Vec<(VatId, LostWriteRecord)>, StoreError> {
        let rows = self.scan(table::LOST_WRITES, &[])?;
        let decoded = rows.into_iter().map(|(key, row)| {
            let vat = codec::vat_of_key(&key).unwrap_or(VatId(0));
            decode_row(table::LOST_WRITES, &key, &row).map(|lost| (vat, lost))
        });
        decoded.collect()
    }

    /// Numbers of the spill files that are still needed, or kept because they are damaged.
    pub(crate) fn named_spills(&self) -> Result<BTreeSet<u64>, StoreError> {
        let lost = self.lost_writes()?;
        let mut named: BTreeSet<u64> = lost.iter().map(|(_, lost)| lost.spill).collect();
        named.extend(self.active.spills.iter().map(|spill| spill.id));
        Ok(named)
    }

    pub(crate) fn known_damages(&self) -> Vec<Damage> {
        self.vats
            .values()
            .filter_map(|vat| vat.damaged.clone())
            .collect()
    }

    /// Closes images past the bound, but none that a fold has yet to sync (I4).
    pub(crate) fn trim_images(&mut self) {
        let (active, immutable) = (&self.active, &self.immutable);
        let is_written = |vat| is_written(active, immutable.as_deref(), vat);
        self.images.trim(self.options.open_images_max, is_written);
    }

    /// Whether an image was written to since the last fold.
    pub(crate) fn is_written(&self, vat: VatId) -> bool {
        is_written(&self.active, self.immutable.as_deref(), vat)
    }
}

fn is_written(active: &Memtable, immutable: Option<&Memtable>, vat: VatId) -> bool {
    let mut memtables = [Some(active), immutable].into_iter().flatten();
    memtables.any(|memtable| memtable.images.contains(&vat))
}

fn meta_of(id: VatId, vat: &Vat) -> VatMeta {
    VatMeta {
        id,
        engine: vat.engine,
        page_limit: vat.pages(),
        damaged: vat.damaged.as_ref().map(Damage::to_string),
    }
}
