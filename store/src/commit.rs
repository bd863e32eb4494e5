//! Committing: a frame is sealed, written (see `journal::writer`) and, after its outputs were
//! released, applied.
//!
//! Promises: frames are applied in the order in which they were sealed; images get words of durable
//! frames only (I1). An error while applying latches the store, because the frame is committed and
//! only opening again can bring the images up to it. Missing space is no such error (see
//! `deferred`).

use crate::backend::Backend;
use crate::catalog::table;
use crate::codec::{self, LostWriteRecord, PartRecord, SpillRecord};
use crate::deferred::Deferred;
use crate::error::{Damage, StoreError};
use crate::ids::VatId;
use crate::images::{self, ZeroedSpace};
use crate::journal::frame;
use crate::journal::sector::SECTOR_BYTES;
use crate::journal::writer::{Durable, Reserved, Sealed};
use crate::pages::DirtyPage;
use crate::spill::{self, SpillApplied, SpillFile, SpillJob, SpillOutcome};
use crate::stage::Effect;
use crate::store::{Filling, Store};

/// At most this many frames are sealed and not applied: one being written and one being applied.
const IN_FLIGHT_MAX: usize = 2;

/// What applying a frame will do.
#[derive(Debug)]
pub(crate) struct InFlight {
    sequence: u64,
    effects: Vec<Effect>,
    pages: Vec<DirtyPage>,
}

impl<B: Backend> Store<B> {
    /// Ends the frame being filled and gives it its number; `None` if it is empty. Refused while
    /// the frame before is not written (J2) and while the journal is at its bound. What is staged
    /// stays staged then.
    pub fn seal(&mut self) -> Result<Option<Sealed<B>>, StoreError> {
        self.shared.latch.check()?;
        if self.staged_is_empty() {
            return Ok(None);
        }
        // There is a place already, because staging each part provided it.
        let most = self.filling.body.len() + self.filling.checksum_bytes;
        self.provide_sectors(frame::sectors_of_body(most))?;
        let shared = self.shared.clone();
        let mut journal = shared.lock_journal();
        if journal.is_writing || self.in_flight.len() >= IN_FLIGHT_MAX {
            return Err(StoreError::FrameInFlight);
        }
        let (bytes, limit) = (
            journal.total - journal.folded_total,
            self.options.journal_bytes_max,
        );
        // Parts accepted while folds find no space may pass the bound; refusing them now would lose
        // them.
        if bytes >= limit && !self.space.is_starved {
            return Err(StoreError::JournalFull { bytes, limit });
        }
        let pages = self.cache.take_staged();
        let spare = self.spare_body.take().unwrap_or_default();
        let next = Filling {
            body: spare,
            ..Filling::default()
        };
        let Filling {
            mut body, effects, ..
        } = std::mem::replace(&mut self.filling, next);
        append_checksums(&pages, &mut body);
        let sectors = frame::sectors_of_body(body.len());
        let reserved = journal.reserve(sectors);
        let reserved = reserved.expect("a place was provided for at least so many sectors");
        let frame_bytes = (sectors * SECTOR_BYTES) as u64;
        let (after, in_free) = (reserved.sectors_after, journal.sectors_free());
        self.space.sealed(after, in_free, bytes + frame_bytes);
        shared.throttle.set_bypass(bytes + frame_bytes >= limit / 2);
        let Reserved { sequence, end, .. } = reserved;
        drop(journal);
        self.in_flight.push_back(InFlight {
            sequence,
            effects,
            pages,
        });
        Ok(Some(Sealed {
            shared,
            sequence,
            end,
            body,
            is_written: false,
        }))
    }

    /// Whether no frame is sealed and not applied and no fold is under way, so that `verify` may
    /// read.
    pub fn is_between_frames(&self) -> bool {
        self.in_flight.is_empty() && self.immutable.is_none() && self.applying.is_empty()
    }

    /// Whether a fold must finish before a frame may be sealed.
    pub fn journal_full(&self) -> bool {
        let journal = self.shared.lock_journal();
        let is_at_bound = journal.total - journal.folded_total >= self.options.journal_bytes_max;
        is_at_bound && !self.space.is_starved
    }

    /// Applies a durable frame to images, rows and logs. It must be the oldest one not applied yet.
    pub fn apply(&mut self, durable: Durable) -> Result<(), StoreError> {
        self.shared.latch.check()?;
        if self.in_flight.front().map(|frame| frame.sequence) != Some(durable.position.sequence) {
            return Err(StoreError::Misuse(
                "frames are applied in the order they were sealed",
            ));
        }
        let Some(frame) = self.in_flight.pop_front() else {
            return Ok(());
        };
        let InFlight { effects, pages, .. } = frame;
        for effect in effects {
            self.apply_effect(effect)?;
        }
        let joins = |a: &DirtyPage, b: &DirtyPage| {
            let are_zeros = a.content.is_zeros() && b.content.is_zeros();
            are_zeros && a.vat == b.vat && a.page + 1 == b.page
        };
        let mut pages = pages.into_iter().peekable();
        while let Some(first) = pages.next() {
            let mut range = vec![first];
            while let Some(next) =
                pages.next_if(|next| range.last().is_some_and(|a| joins(a, next)))
            {
                range.push(next);
            }
            self.apply_pages(range)?;
        }
        self.applied = durable.position;
        self.spare_body = Some(durable.body);
        self.cache.trim();
        self.trim_images();
        Ok(())
    }

    fn apply_effect(&mut self, effect: Effect) -> Result<(), StoreError> {
        match effect {
            Effect::Create(vat) => self.apply_or_defer(vat, Deferred::Image),
            Effect::Spill(spill) => {
                for (key, row) in &spill.contents.rows {
                    self.active.put_spilled(key.clone(), *row);
                }
                self.apply_or_defer(VatId(spill.record.vat), Deferred::Spill(spill))
            }
            Effect::Log(vat, bytes) => self.apply_or_defer(vat, Deferred::Log(bytes)),
            Effect::Row(row) => {
                let value = row.value.as_deref();
                self.active.put(row.table, &row.key, value);
                Ok(())
            }
            Effect::Terminate(vat) => {
                self.forget_vat(vat);
                Ok(())
            }
        }
    }

    /// The frame of a spill file is durable: a separate job updates image and log.
    pub(crate) fn begin_applying(&mut self, spill: SpillFile) -> Result<(), StoreError> {
        let vat = VatId(spill.record.vat);
        let found = self.vats.get(&vat);
        let found = found.map(|found| (found.page_limit, found.pages()));
        let Some((page_limit, pages)) = found else {
            self.active.spills.push(spill.record);
            return Ok(());
        };
        let image = match self.images.file(vat, page_limit) {
            _ if spill.pages() == 0 => None,
            Err(StoreError::Damaged(damage)) => {
                self.mark_damaged(vat, &damage);
                None
            }
            image => Some(image?),
        };
        if image.is_some() {
            self.active.images.insert(vat);
        }
        self.applying.insert(vat);
        let log_skipped = self.log_skipped(vat, spill.log_bytes());
        self.spill_jobs.push(SpillJob {
            shared: self.shared.clone(),
            spill,
            page_limit: pages,
            image,
            log_skipped,
            is_done: false,
        });
        Ok(())
    }

    /// Jobs for the spill files whose frame is otherwise applied. Each must be run and finished.
    /// Until then there is no fold, and those heaps must not change otherwise.
    pub fn take_spill_jobs(&mut self) -> Vec<SpillJob<B>> {
        std::mem::take(&mut self.spill_jobs)
    }

    /// Whether a spill file is being applied to the image of a vat.
    pub fn is_applying(&self, vat: VatId) -> bool {
        self.applying.contains(&vat)
    }

    /// Takes the outcome of a job: the spill file is applied, deferred for lack of space, or
    /// damaged.
    pub fn finish_spill(&mut self, applied: SpillApplied) -> Result<(), StoreError> {
        self.shared.latch.check()?;
        let SpillApplied { spill, end } = applied;
        let vat = VatId(spill.record.vat);
        if !self.applying.remove(&vat) {
            return Err(StoreError::Misuse("no spill file is being applied"));
        }
        if !self.vats.contains_key(&vat) {
            self.active.spills.push(spill.record);
            return Ok(());
        }
        match end {
            SpillOutcome::Done(log) => {
                if spill.pages() > 0 {
                    let checksums = self.active.pages.entry(vat).or_default();
                    checksums.extend(spill.contents.pages.iter().copied());
                }
                self.active.spills.push(spill.record);
                self.skip_log(vat, spill.log_bytes() - log.len() as u64);
                // Its log precedes what is deferred already.
                if let Some(deferred) = self.try_apply(vat, Deferred::Log(log))? {
                    self.backlog.entry(vat).or_default().push_front(deferred);
                    return Ok(());
                }
            }
            SpillOutcome::Damaged(damage) if damage.file == spill::path(spill.record.id) => {
                self.lose_write(&spill.record, damage);
            }
            SpillOutcome::Damaged(damage) => {
                self.mark_damaged(vat, &damage);
                self.active.spills.push(spill.record);
            }
            SpillOutcome::NoSpace => {
                let waiting = self.backlog.entry(vat).or_default();
                waiting.push_front(Deferred::Spill(spill));
                return Ok(());
            }
        }
        self.retry_backlog(vat).map(drop)
    }

    /// A spill file can never be applied: recorded as a lost write of the vat for good.
    pub(crate) fn lose_write(&mut self, record: &SpillRecord, damage: Damage) {
        let vat = VatId(record.vat);
        if !self.vats.contains_key(&vat) {
            return self.active.spills.push(*record);
        }
        let lost = LostWriteRecord {
            spill: record.id,
            offset: damage.offset,
            what: damage.what.clone(),
        };
        let (key, row) = (codec::vat_key(vat), codec::encode(&lost));
        self.active.put(table::LOST_WRITES, &key, Some(&row));
        self.mark_damaged(vat, &damage);
    }

    /// Applies one page, or consecutive pages of zeros.
    fn apply_pages(&mut self, pages: Vec<DirtyPage>) -> Result<(), StoreError> {
        let Some(vat) = pages.first().map(|page| page.vat) else {
            return Ok(());
        };
        // A vat that this frame or a later part of it terminated has no image.
        if !self.vats.contains_key(&vat) {
            return Ok(());
        }
        let checksums = self.active.pages.entry(vat).or_default();
        checksums.extend(pages.iter().map(|page| (page.page, page.crc)));
        self.active.images.insert(vat);
        self.apply_or_defer(vat, Deferred::Pages(pages))
    }

    /// Writes the bytes of a page that the deltas of a frame name, or pages of zeros.
    pub(crate) fn write_pages(&mut self, pages: &[DirtyPage]) -> Result<(), StoreError> {
        let Some(first) = pages.first() else {
            return Ok(());
        };
        let vat = first.vat;
        let Some(page_limit) = self.vats.get(&vat).map(|found| found.page_limit) else {
            return Ok(());
        };
        let first_page = first.page;
        let written = if first.content.is_zeros() {
            // A vat has fewer pages than a u32 counts.
            let range = first_page..first_page + pages.len() as u32;
            // Space reserved for a later frame must not be released with the hole.
            let is_kept = range.clone().any(|page| self.cache.has_space((vat, page)));
            let space = if is_kept {
                ZeroedSpace::Kept
            } else {
                ZeroedSpace::Released
            };
            self.images.zero(vat, page_limit, range, space)
        } else {
            let offset = images::bytes_of(first_page) + first.start as u64;
            let bytes = first.content.bytes().get(first.start..first.end);
            let bytes = bytes.unwrap_or_default();
            self.images.write(vat, page_limit, offset, bytes)
        };
        match written {
            Err(StoreError::Damaged(damage)) => {
                self.mark_damaged(vat, &damage);
                Ok(())
            }
            result => result,
        }
    }
}

/// Appends the page checksums of the frame, one part for each vat.
fn append_checksums(pages: &[DirtyPage], body: &mut Vec<u8>) {
    let mut checksums = Vec::new();
    for of_vat in pages.chunk_by(|a, b| a.vat == b.vat) {
        let Some(VatId(vat)) = of_vat.first().map(|page| page.vat) else {
            continue;
        };
        checksums.clear();
        for page in of_vat {
            checksums.extend_from_slice(&page.page.to_le_bytes());
            checksums.extend_from_slice(&page.crc.to_le_bytes());
        }
        codec::encode_onto(
            &PartRecord::Pages {
                vat,
                checksums: &checksums,
            },
            body,
        );
    }
}
