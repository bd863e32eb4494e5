//! Staging: parts are checked and appended to the frame being filled.
//!
//! Promises: whatever can refuse a part refuses it here, before its effects are visible (J8); a
//! refused part leaves the frame unchanged; parts stand in the frame in the order in which they
//! were staged.

use crate::backend::Backend;
use crate::codec::{self, PartRecord};
use crate::delta::{self, Delta, DeltaError, Run};
use crate::error::{Damage, OpenError, StageError, StoreError};
use crate::genesis::{Genesis, ZERO_PAGE};
use crate::ids::{EngineHash, VatId};
use crate::images;
use crate::options::{
    ENGINE_TABLES, FRAME_BYTES_MAX, PAGE_LIMIT_MAX, ROW_KEY_BYTES_MAX, ROW_VALUE_BYTES_MAX,
};
use crate::pages::Content;
use crate::spill::SpillFile;
use crate::store::Store;
use crate::vat::{Phase, Vat};
use std::sync::Arc;

/// A row of the engine. Its value is absolute, so writing it twice changes nothing (C2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Below `ENGINE_TABLES`.
    pub table: u8,
    pub key: Vec<u8>,
    /// `None` deletes.
    pub value: Option<Vec<u8>>,
}

/// One part of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Creates a vat with the genesis heap of its engine (I5).
    Create {
        vat: VatId,
        engine: EngineHash,
        page_limit: u32,
    },
    /// What changed in a heap.
    Heap {
        vat: VatId,
        delta: Delta,
    },
    /// Something large in a spill file (J7): changes of a heap, rows, log. If it changes the heap,
    /// it is the only change of that heap in the frame, and no other one is staged until it is
    /// applied (`Store::finish_spill`).
    Spill(SpillFile),
    /// Bytes appended to the log of the vat.
    Log {
        vat: VatId,
        bytes: Vec<u8>,
    },
    Row(Row),
    /// Ends a vat; its files are removed later.
    Terminate {
        vat: VatId,
    },
}

/// What applying a frame does besides writing pages.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    Create(VatId),
    Spill(SpillFile),
    Log(VatId, Vec<u8>),
    Row(Row),
    Terminate(VatId),
}

/// Bytes a part may take besides its content: numbers and lengths.
pub const PART_OVERHEAD_BYTES: usize = 96;
/// Bytes of the checksum of a page at the end of the frame.
const CHECKSUM_BYTES: usize = 8;

/// Bytes of a frame that a delta takes, including the checksums of its pages.
pub(crate) fn cost_of_heap(delta: &Delta, pages: usize) -> usize {
    delta.as_bytes().len() + pages * CHECKSUM_BYTES + PART_OVERHEAD_BYTES
}

impl<B: Backend> Store<B> {
    /// Adds a part to the frame being filled.
    pub fn stage(&mut self, part: Part) -> Result<(), StageError> {
        self.shared.latch.check()?;
        match part {
            Part::Create {
                vat,
                engine,
                page_limit,
            } => self.stage_create(vat, engine, page_limit),
            Part::Heap { vat, delta } => self.stage_heap(vat, &delta),
            Part::Spill(spill) => self.stage_spill(spill),
            Part::Log { vat, bytes } => {
                self.known_vat(vat)?;
                let len = bytes.len() as u64;
                self.redeem_log(vat, len)?;
                self.reserve_in_frame(bytes.len())?;
                self.append(&PartRecord::Log {
                    vat: vat.0,
                    bytes: &bytes,
                });
                self.log_staged(vat, len);
                self.filling.effects.push(Effect::Log(vat, bytes));
                Ok(())
            }
            Part::Row(row) => self.stage_row(row),
            Part::Terminate { vat } => {
                self.known_vat(vat)?;
                self.reserve_in_frame(0)?;
                self.append(&PartRecord::Terminate { vat: vat.0 });
                if let Some(found) = self.vats.get_mut(&vat) {
                    found.phase = Phase::Terminating;
                }
                self.filling.effects.push(Effect::Terminate(vat));
                Ok(())
            }
        }
    }

    /// Bytes of the frame being filled so far.
    pub fn staged_bytes(&self) -> usize {
        self.filling.body.len()
    }

    pub fn staged_is_empty(&self) -> bool {
        self.filling.body.is_empty()
    }

    fn stage_create(
        &mut self,
        vat: VatId,
        engine: EngineHash,
        page_limit: u32,
    ) -> Result<(), StageError> {
        let genesis = self.check_create(vat, engine, page_limit)?;
        self.images.prepare(vat, page_limit, &genesis)?;
        self.reserve_in_frame(0)?;
        self.append(&PartRecord::Create {
            vat: vat.0,
            engine: engine.0,
            page_limit,
        });
        self.note_vat(vat, engine, page_limit);
        self.unused_ids.remove(&vat);
        self.filling.effects.push(Effect::Create(vat));
        Ok(())
    }

    /// Checks whether a vat can be created.
    pub(crate) fn check_create(
        &mut self,
        vat: VatId,
        engine: EngineHash,
        page_limit: u32,
    ) -> Result<Arc<Genesis>, StageError> {
        // Below `next_vat`, only an id that `next_vat_id` gave out is known to be unused.
        if vat.0 < self.next_vat && !self.unused_ids.contains(&vat) {
            return Err(StageError::VatExists(vat));
        }
        if !self.engines.contains_key(&engine) {
            return Err(StageError::UnknownEngine(engine));
        }
        let genesis = self.genesis(engine).map_err(|error| match error {
            OpenError::Damaged(damage) => StageError::Store(damage.into()),
            OpenError::Store(error) => StageError::Store(error),
            other => StageError::Store(Damage::new("engines", 0, other.to_string()).into()),
        })?;
        let bad = |why| StageError::BadPageLimit {
            pages: page_limit,
            why,
        };
        if page_limit < genesis.extent().max(1) {
            return Err(bad("the genesis image is larger"));
        }
        if page_limit > PAGE_LIMIT_MAX {
            return Err(bad("more than a worker can reserve"));
        }
        Ok(genesis)
    }

    fn stage_heap(&mut self, vat: VatId, delta: &Delta) -> Result<(), StageError> {
        let pages = self.check_heap(vat, delta)?;
        self.reserve_in_frame(cost_of_heap(delta, pages))?;
        self.append(&PartRecord::Heap {
            vat: vat.0,
            delta: delta.as_bytes(),
        });
        self.filling.checksum_bytes += pages * CHECKSUM_BYTES + PART_OVERHEAD_BYTES;
        delta.runs().for_each(|run| self.cache.stage(vat, &run));
        self.cache.trim();
        Ok(())
    }

    /// Checks a delta and loads its pages. Returns how many pages it names; all of them are in
    /// memory then and have their space in the image.
    pub(crate) fn check_heap(&mut self, vat: VatId, delta: &Delta) -> Result<usize, StageError> {
        let page_limit = self.sound_vat(vat)?.pages();
        // The delta was checked against a limit when it was made, which need not be the limit of
        // this vat.
        if delta.end() > page_limit {
            delta::check(delta.as_bytes(), page_limit)?;
        }
        self.load_pages(vat, delta)
    }

    fn stage_spill(&mut self, spill: SpillFile) -> Result<(), StageError> {
        let vat = VatId(spill.record.vat);
        let limit = self.sound_vat(vat)?.pages();
        let last = spill.contents.pages.last().map(|&(page, _)| page);
        if let Some(page) = last.filter(|&page| page >= limit) {
            let at = 0;
            return Err(DeltaError::BeyondLimit { at, page, limit }.into());
        }
        if spill.log_bytes() > 0 {
            self.redeem_log(vat, spill.log_bytes())?;
        }
        self.reserve_in_frame(0)?;
        self.append(&PartRecord::Spill(spill.record));
        spill.guard.keep();
        if last.is_some() {
            self.cache.forget(vat);
        }
        self.log_staged(vat, spill.log_bytes());
        self.filling.effects.push(Effect::Spill(spill));
        Ok(())
    }

    /// Reserves space in the log; where a reservation was made before, that costs nothing.
    fn redeem_log(&mut self, vat: VatId, bytes: u64) -> Result<(), StageError> {
        if let Some(found) = self.vats.get_mut(&vat) {
            found.log_promised = found.log_promised.saturating_sub(bytes);
        }
        self.reserve_log(vat, bytes)
    }

    fn log_staged(&mut self, vat: VatId, bytes: u64) {
        if let Some(found) = self.vats.get_mut(&vat) {
            found.log_staged += bytes;
        }
    }

    fn stage_row(&mut self, row: Row) -> Result<(), StageError> {
        let value = row.value.as_deref();
        check_row(row.table, &row.key, value)?;
        self.reserve_in_frame(row.key.len() + value.map_or(0, <[u8]>::len))?;
        self.append(&PartRecord::Row {
            table: row.table,
            key: &row.key,
            value,
        });
        self.filling.effects.push(Effect::Row(row));
        Ok(())
    }

    /// Loads the pages that a delta names and that are not in memory, checks each, and reserves
    /// space for those that have none (I2). Returns how many pages the delta names.
    fn load_pages(&mut self, vat: VatId, delta: &Delta) -> Result<usize, StageError> {
        let (mut count, mut last) = (0, None);
        let mut without_space = Vec::new();
        for run in delta.runs() {
            let pages = run.pages();
            if last.replace(pages.start) == Some(pages.start) {
                continue;
            }
            count += pages.len();
            // Zeros replace the old content and need no space.
            if matches!(run, Run::Zeros { .. }) {
                continue;
            }
            let key = (vat, pages.start);
            let loaded = match self.cache.contains(key) {
                true => Ok(()),
                false => self.load_page(vat, pages.start),
            };
            match loaded {
                Ok(()) if self.cache.has_space(key) => {}
                Ok(()) => without_space.push(pages.start),
                Err(StoreError::Damaged(damage)) => {
                    self.mark_damaged(vat, &damage);
                    return Err(StageError::VatDamaged {
                        vat,
                        what: damage.to_string(),
                    });
                }
                Err(error) => return Err(error.into()),
            }
        }
        if !without_space.is_empty() {
            let page_limit = self.known_vat(vat)?.page_limit;
            let pages = without_space.iter().copied();
            self.images.reserve(vat, page_limit, pages)?;
            for page in without_space {
                self.cache.note_space((vat, page));
            }
        }
        Ok(count)
    }

    fn load_page(&mut self, vat: VatId, page: u32) -> Result<(), StoreError> {
        let found = self.vats.get(&vat).ok_or(StoreError::UnknownVat(vat))?;
        let page_limit = found.page_limit;
        let (content, has_space) = if found.phase == Phase::Creating {
            // There is no image yet, but its first content is known.
            let engine = self.engines.get(&found.engine);
            let genesis = engine.and_then(|engine| engine.genesis.as_ref());
            let page = genesis.and_then(|genesis| genesis.page(page)).copied();
            // Staging the vat reserved space for the genesis content.
            (Arc::new(page.unwrap_or(ZERO_PAGE)), page.is_some())
        } else {
            let content = self.images.read_page(vat, page_limit, page)?;
            let expected = self.expected_page(vat, page)?;
            if crc32fast::hash(&content[..]) != expected {
                let what = format!("page {page} does not match its checksum");
                return Err(Damage::new(images::path(vat), images::bytes_of(page), what)
                    .of(vat)
                    .into());
            }
            // A page that is not zeros was written, so it has its space; a page of zeros may be a
            // hole.
            (content, expected != images::zero_page_crc())
        };
        let key = (vat, page);
        self.cache.insert(key, Content::Bytes(content));
        if has_space {
            self.cache.note_space(key);
        }
        Ok(())
    }

    /// A vat, damaged or not, that accepts parts other than heap changes.
    fn known_vat(&self, vat: VatId) -> Result<&Vat, StageError> {
        let found = self
            .vats
            .get(&vat)
            .filter(|found| found.phase != Phase::Terminating);
        found.ok_or(StageError::UnknownVat(vat))
    }

    /// A vat whose heap may change.
    fn sound_vat(&self, vat: VatId) -> Result<&Vat, StageError> {
        let found = self.known_vat(vat)?;
        match &found.damaged {
            None => Ok(found),
            Some(damage) => Err(StageError::VatDamaged {
                vat,
                what: damage.to_string(),
            }),
        }
    }

    /// Refuses a part for which the frame or the journal has no space.
    fn reserve_in_frame(&mut self, part_bytes: usize) -> Result<(), StageError> {
        let staged = self.filling.body.len() + self.filling.checksum_bytes;
        let part_bytes = part_bytes.saturating_add(PART_OVERHEAD_BYTES);
        let bytes = staged.saturating_add(part_bytes);
        self.check_frame_bytes(bytes)?;
        self.space.redeem(part_bytes);
        Ok(self.provide_in_journal(bytes)?)
    }

    /// Refuses a frame, or a part alone, that exceeds the length of any frame.
    pub(crate) fn check_frame_bytes(&self, bytes: usize) -> Result<(), StageError> {
        let limit = self.options.frame_bytes_max.min(FRAME_BYTES_MAX);
        if bytes > limit {
            return Err(StageError::FrameFull { bytes, limit });
        }
        Ok(())
    }

    fn append(&mut self, part: &PartRecord<'_>) {
        codec::encode_onto(part, &mut self.filling.body);
    }
}

/// Checks a row of the engine.
pub(crate) fn check_row(table: u8, key: &[u8], value: Option<&[u8]>) -> Result<(), StageError> {
    if table >= ENGINE_TABLES {
        return Err(StageError::ReservedTable(table));
    }
    let too_long = |what, bytes, limit| StageError::RowTooLong { what, bytes, limit };
    if key.len() > ROW_KEY_BYTES_MAX {
        return Err(too_long("key", key.len(), ROW_KEY_BYTES_MAX));
    }
    let value_bytes = value.map_or(0, <[u8]>::len);
    if value_bytes > ROW_VALUE_BYTES_MAX {
        return Err(too_long("value", value_bytes, ROW_VALUE_BYTES_MAX));
    }
    Ok(())
}
