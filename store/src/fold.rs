//! Folding: catalog, images and logs are made durable up to a frame, and the journal before it
//! becomes free.
//!
//! Promises: a fold sees one instant between two frames, and commits go on while it runs (C2).
//! Images and logs are synced before the one transaction that sets the new fold position. So after
//! a crash either the old position is valid and all frames since it are there, or the new one is
//! valid and everything before it is durable. Segments are reused, and files of ended vats removed,
//! only after that.

use crate::backend::{Backend, is_full};
use crate::catalog::{Batch, meta, table};
use crate::codec::{self, FoldRecord, LostWriteRecord, SegmentRecord, SpillRecord};
use crate::error::{Damage, StoreError};
use crate::ids::VatId;
use crate::images::{self, HEAP_DIR};
use crate::journal::segment::{self, Segment};
use crate::journal::writer::{Draw, Position, Shared};
use crate::latch::Latch;
use crate::logs::{self, Half, LOGS_DIR};
use crate::memtable::Memtable;
use crate::page_rows::{self, GROUP_PAGES};
use crate::spill;
use crate::store::Store;
use crate::vat::Vat;
use crate::write_back;
use crate::write_throttle::SYNC_BYTES;
use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// Free segments kept; a fold removes further ones.
const FREE_SEGMENTS_MAX: usize = 8;

/// A fold that can run on any thread. Dropping it before it ran latches the store.
#[derive(Debug)]
pub struct Fold<B: Backend> {
    shared: Arc<Shared<B>>,
    memtable: Arc<Memtable>,
    files: Vec<(String, Arc<B::File>, Changed)>,
    record: FoldRecord,
    position: Position,
    /// Set if too few segments are free: the number of the one to make.
    makes_segment: Option<u32>,
    /// Surplus segments, no longer in use.
    retired: Vec<Segment<B::File>>,
    is_run: bool,
}

/// What of a file is not durable yet.
#[derive(Debug)]
enum Changed {
    /// The pages of this vat that the memtable names.
    Pages(VatId),
    Range(Range<u64>),
}

/// A fold that is durable.
#[derive(Debug)]
#[must_use = "a fold must be finished"]
pub struct Folded<B: Backend> {
    position: Position,
    made: Option<Segment<B::File>>,
    lost: LostWrites,
}

/// Spill files of which a row could not be read.
type LostWrites = Vec<(SpillRecord, Damage)>;

impl<B: Backend> Store<B> {
    /// Whether there is enough to fold, and no fold is under way.
    pub fn fold_due(&self) -> bool {
        let bytes = self.applied.total - self.folded.total;
        self.immutable.is_none()
            && self.applying.is_empty()
            && (bytes >= self.options.fold_bytes
                || self.active.spill_bytes() >= self.options.fold_spill_bytes
                || self.active.images.len() >= self.options.open_images_max.max(1))
    }

    /// Whether so many bytes of spill files wait for a fold that no further one should be finished
    /// before it. Not while folds wait for space: then a new spill file is refused for lack of
    /// space instead.
    pub fn spill_is_full(&self) -> bool {
        let immutable = self.immutable.as_ref();
        let bytes =
            self.active.spill_bytes() + immutable.map_or(0, |memtable| memtable.spill_bytes());
        bytes >= self.options.spill_bytes_max && !self.space.is_starved
    }

    /// Begins a fold of what is applied. `None` if a fold is under way, if there is nothing to
    /// fold, or if a spill file is being applied: the frame that names it must stay until that is
    /// done. Refused with `NoSpace`, and nothing is done, if the disk has no space for what the
    /// fold will write.
    pub fn begin_fold(&mut self) -> Result<Option<Fold<B>>, StoreError> {
        self.shared.latch.check()?;
        let is_empty = self.active.is_empty() && self.applied.sequence == self.folded.sequence;
        if self.immutable.is_some() || is_empty || !self.applying.is_empty() {
            return Ok(None);
        }
        let has_space = self.reserve_for_fold();
        self.space.is_starved = matches!(has_space, Err(StoreError::NoSpace(_)));
        has_space?;
        let mut memtable = std::mem::take(&mut self.active);
        let logs: Vec<VatId> = memtable.logs.iter().copied().collect();
        for vat in logs {
            if let Some(found) = self.vats.get(&vat) {
                let log = codec::encode(&found.log);
                memtable.put(table::LOGS, &codec::vat_key(vat), Some(&log));
            }
        }
        let images = memtable.images.iter().filter_map(|&vat| {
            let file = self.images.opened(vat)?;
            Some((images::path(vat), file, Changed::Pages(vat)))
        });
        let mut files: Vec<_> = images.collect();
        for &vat in &memtable.logs {
            let unsynced = self.logs.take_unsynced(vat);
            files.extend(unsynced.map(|(path, file, appended)| {
                let appended = Changed::Range(appended);
                (path, file, appended)
            }));
        }
        let memtable = Arc::new(memtable);
        self.immutable = Some(memtable.clone());
        let (makes_segment, retired) = self.plan_segments();
        self.count_place();
        let position = self.applied;
        let record = FoldRecord {
            sequence: position.sequence,
            segment: position.segment,
            offset: position.offset,
            next_vat: self.next_vat,
        };
        let shared = self.shared.clone();
        let is_run = false;
        let fold = Fold {
            shared,
            memtable,
            files,
            record,
            position,
            makes_segment,
            retired,
            is_run,
        };
        Ok(Some(fold))
    }

    /// Decides which segment to make and which ones to remove.
    fn plan_segments(&self) -> (Option<u32>, Vec<Segment<B::File>>) {
        let mut journal = self.shared.lock_journal();
        let usual = self.shared.segment_bytes;
        let (mut kept, mut retired): (Vec<_>, Vec<_>) = journal
            .free
            .drain(..)
            .partition(|segment| segment.bytes <= segment::bytes_for(2, usual));
        if kept.len() > FREE_SEGMENTS_MAX {
            retired.extend(kept.split_off(FREE_SEGMENTS_MAX));
        }
        // The frame being filled may need one of them.
        if !self.is_placed_in(&kept) {
            kept.append(&mut retired);
        }
        journal.free = kept;
        // Segments that this fold frees count as well; together they should last until the next
        // fold.
        let wanted = (self.options.fold_bytes / usual.max(1)).clamp(1, FREE_SEGMENTS_MAX as u64);
        let makes = ((journal.free.len() + journal.left.len()) as u64) < wanted;
        let number = makes.then(|| {
            let number = journal.next_segment;
            journal.next_segment += 1;
            number
        });
        (number, retired)
    }

    /// Ends a fold: its memtable is in the catalog now, and its part of the journal is free.
    pub fn finish_fold(&mut self, folded: Folded<B>) -> Result<(), StoreError> {
        self.shared.latch.check()?;
        let Some(memtable) = self.immutable.take() else {
            return Err(StoreError::Misuse("no fold is under way"));
        };
        self.reader = self.shared.catalog.reader()?;
        self.folded = folded.position;
        {
            let mut journal = self.shared.lock_journal();
            journal.folded(&folded.position);
            journal.free.extend(folded.made);
        }
        self.count_place();
        self.fill_ballast()?;
        for &vat in memtable
            .logs
            .iter()
            .filter(|vat| !self.active.logs.contains(vat))
        {
            // Closing a file would lose the space reserved for bytes in flight.
            let is_growing = |found: &Vat| found.log_staged > 0 || found.log_promised > 0;
            if !self.vats.get(&vat).is_some_and(is_growing) {
                self.logs.forget(vat);
            }
        }
        for &vat in &memtable.terminated {
            self.remove_files(vat)?;
        }
        for (spill, damage) in &folded.lost {
            self.mark_damaged(VatId(spill.vat), damage);
        }
        let is_lost = |spill: &SpillRecord| folded.lost.iter().any(|(lost, _)| lost == spill);
        for spill in memtable.spills.iter().filter(|spill| !is_lost(spill)) {
            remove(
                &self.shared.backend,
                &self.shared.latch,
                &spill::path(spill.id),
            )?;
        }
        self.trim_images();
        Ok(())
    }

    /// Runs a whole fold on this thread.
    pub fn fold(&mut self) -> Result<(), StoreError> {
        match self.begin_fold()? {
            Some(fold) => self.finish_fold(fold.run()?),
            None => Ok(()),
        }
    }

    /// Folds what is applied and closes the store. Refused while a frame or fold is under way.
    pub fn close(mut self) -> Result<(), StoreError> {
        if !self.staged_is_empty() || !self.is_between_frames() {
            return Err(StoreError::Misuse(
                "closed while a frame or fold was under way",
            ));
        }
        match self.fold() {
            // The journal holds everything, and the next open folds.
            Err(StoreError::NoSpace(_)) => Ok(()),
            folded => folded,
        }
    }

    fn remove_files(&mut self, vat: VatId) -> Result<(), StoreError> {
        self.images.forget(vat);
        self.logs.forget(vat);
        let paths = [
            images::path(vat),
            logs::path(vat, Half::Even),
            logs::path(vat, Half::Odd),
        ];
        for path in paths {
            remove(&self.shared.backend, &self.shared.latch, &path)?;
        }
        Ok(())
    }
}

impl<B: Backend> Fold<B> {
    /// Makes everything up to the fold's frame durable outside the journal.
    pub fn run(mut self) -> Result<Folded<B>, StoreError> {
        let shared = self.shared.clone();
        shared.latch.check()?;
        self.sync_files()?;
        if self.memtable.entries_made {
            for dir in [HEAP_DIR, LOGS_DIR] {
                shared.throttle.before(SYNC_BYTES);
                let synced = shared.backend.sync_dir(dir);
                synced.map_err(|error| shared.latch.io("sync", dir, error))?;
            }
        }
        let made = match self.makes_segment {
            None => None,
            Some(number) => {
                let bytes = segment::bytes_for(2, shared.segment_bytes);
                match shared.create_segment(number, bytes, Draw::Nothing, Some(&shared.throttle)) {
                    // There is one free segment less; the frame that needs it tries again.
                    Err(StoreError::NoSpace(_)) => None,
                    made => Some(made?),
                }
            }
        };
        let mut lost = Vec::new();
        shared.catalog.write(|batch| {
            lost = self.write_rows(batch)?;
            for segment in &self.retired {
                batch.put(table::SEGMENTS, &segment.number.to_be_bytes(), None)?;
            }
            if let Some(segment) = &made {
                let record = SegmentRecord {
                    bytes: segment.bytes,
                };
                batch.put_record(table::SEGMENTS, &segment.number.to_be_bytes(), &record)?;
            }
            batch.put_record(table::META, meta::FOLD, &self.record)
        })?;
        for segment in &self.retired {
            let path = segment::path(segment.number);
            remove(&shared.backend, &shared.latch, &path)?;
        }
        self.is_run = true;
        Ok(Folded {
            position: self.position,
            made,
            lost,
        })
    }

    /// Syncs images and logs in chunks between frames, so that no frame waits for more than one
    /// (C3).
    fn sync_files(&self) -> Result<(), StoreError> {
        let (latch, throttle) = (&self.shared.latch, &self.shared.throttle);
        for (path, file, changed) in &self.files {
            let synced = match changed {
                Changed::Pages(vat) => {
                    let pages = self.memtable.pages.get(vat);
                    let pages = pages.map(|pages| pages.keys().copied().collect());
                    let pages = pages.unwrap_or_default();
                    write_back::sync_pages(&**file, pages, throttle)
                }
                Changed::Range(appended) => {
                    write_back::sync_range(&**file, appended.clone(), throttle)
                }
            };
            synced.map_err(|error| latch.io("sync", path, error))?;
        }
        Ok(())
    }

    fn write_rows(&self, batch: &mut Batch<'_>) -> Result<LostWrites, StoreError> {
        let mut lost = Vec::new();
        for (table, key, value) in self.memtable.rows_in_memory() {
            batch.put(table, key, value)?;
        }
        for ((table, key), row) in self.memtable.rows_spilled() {
            match spill::read_row(&self.shared, (*table, key), row) {
                Ok(value) => batch.put(*table, key, Some(&value))?,
                Err(StoreError::Damaged(damage)) => {
                    if let Some(before) = self.memtable.row_in_memory(*table, key) {
                        batch.put(*table, key, before)?;
                    }
                    self.lose(row.id, damage, batch, &mut lost)?;
                }
                Err(error) => return Err(error),
            }
        }
        for (&vat, pages) in &self.memtable.pages {
            write_pages(batch, vat, pages)?;
        }
        for &vat in &self.memtable.terminated {
            let key = codec::vat_key(vat);
            batch.delete_prefix(table::PAGES, &key)?;
            batch.put(table::LOGS, &key, None)?;
            batch.put(table::LOST_WRITES, &key, None)?;
        }
        Ok(lost)
    }

    /// A commit is lost in part. This is recorded for the vat for good, and the file stays.
    fn lose(
        &self,
        id: u64,
        damage: Damage,
        batch: &mut Batch<'_>,
        lost: &mut LostWrites,
    ) -> Result<(), StoreError> {
        let spill = self.memtable.spills.iter().find(|spill| spill.id == id);
        // An ended vat needs no record, and one row of the file is enough.
        let Some(&spill) = spill.filter(|spill| {
            let is_known = lost.iter().any(|(known, _)| known.vat == spill.vat);
            !is_known && !self.memtable.terminated.contains(&VatId(spill.vat))
        }) else {
            return Ok(());
        };
        let record = LostWriteRecord {
            spill: id,
            offset: damage.offset,
            what: damage.what.clone(),
        };
        batch.put_record(
            table::LOST_WRITES,
            &codec::vat_key(VatId(spill.vat)),
            &record,
        )?;
        lost.push((spill, damage.of(VatId(spill.vat))));
        Ok(())
    }
}

impl<B: Backend> Drop for Fold<B> {
    fn drop(&mut self) {
        if !self.is_run {
            self.shared
                .latch
                .trip("a fold was begun and not run to its end");
        }
    }
}

/// Removes a file that no row names any more. If that fails for lack of space (some file systems
/// need space to remove), the next open removes it.
fn remove<B: Backend>(backend: &B, latch: &Latch, path: &str) -> Result<(), StoreError> {
    match backend.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound || is_full(&error) => Ok(()),
        Err(error) => Err(latch.io("remove", path, error)),
        Ok(()) => Ok(()),
    }
}

fn write_pages(
    batch: &mut Batch<'_>,
    vat: VatId,
    pages: &HashMap<u32, u32>,
) -> Result<(), StoreError> {
    let mut sorted: Vec<(u32, u32)> = pages.iter().map(|(&page, &crc)| (page, crc)).collect();
    sorted.sort_unstable();
    for group in sorted.chunk_by(|a, b| a.0 / GROUP_PAGES == b.0 / GROUP_PAGES) {
        let Some(&(page, _)) = group.first() else {
            continue;
        };
        let key = page_rows::key(vat, page);
        let before = batch.get(table::PAGES, &key)?;
        let row = page_rows::changed(vat, before.as_deref(), group.iter().copied())?;
        batch.put(table::PAGES, &key, Some(&row))?;
    }
    Ok(())
}
