//! Disk space: everything a frame needs on the disk is reserved before its effects are visible (I2,
//! J8).
//!
//! Promises: an accepted part has its place in the journal, its pages in the image and its bytes in
//! the log; a part without space is refused, and nothing latches. A turn in a steady state makes no
//! system call for this: cached pages have their space, logs reserve whole blocks, and the place in
//! the journal is counted here.
//!
//! The count relies on one fact: only the owner of the store seals frames and adds segments to the
//! journal.

use crate::backend::{Backend, File};
use crate::catalog::{CATALOG_FILE, table};
use crate::codec::{LogRecord, SegmentRecord};
use crate::delta::{Delta, Run};
use crate::error::{NoSpace, StageError, StoreError};
use crate::ids::{EngineHash, VatId};
use crate::journal::frame;
use crate::journal::segment::{self, Segment};
use crate::journal::writer::{Draw, sectors_in_free};
use crate::stage::{PART_OVERHEAD_BYTES, cost_of_heap};
use crate::store::Store;
use std::io;

/// Bytes of journal kept for rows that were not reserved: counters, ends of vats.
const MARGIN_BYTES: usize = 256 << 10;
/// Reserved parts may end up in two frames, each rounded up and with its own head.
const SLACK_SECTORS: usize = 4;
/// What one small transaction of the catalog may take: a few pages from root to leaf, and the lists
/// of free pages.
pub(crate) const CATALOG_STEP_BYTES: u64 = 1 << 20;
/// A disk with less than this left counts as full.
const FULL_BYTES: u64 = 1 << 20;

/// What the parts of one vat will need, reserved before any of them is staged.
#[derive(Debug)]
pub struct Reservation<'a> {
    pub vat: VatId,
    /// If this frame creates the vat: its engine and its page limit.
    pub creates: Option<(EngineHash, u32)>,
    pub delta: Option<&'a Delta>,
    /// Bytes of log in the frame, and in the spill file it names.
    pub log_bytes: usize,
    pub spill_log_bytes: u64,
    /// Keys and values of rows, plus `PART_OVERHEAD_BYTES` for each.
    pub row_bytes: usize,
}

impl Reservation<'_> {
    fn all_log_bytes(&self) -> u64 {
        self.log_bytes as u64 + self.spill_log_bytes
    }
}

/// What is known about the space in the journal without locking it.
#[derive(Debug, Default)]
pub(crate) struct Space {
    /// Sectors the next frame may have after the sealed ones, and in a free segment.
    pub after_sealed: usize,
    pub in_free: usize,
    /// Bytes of journal that no fold covers, including the sealed frame.
    pub journal_bytes: u64,
    /// Bytes of parts that are reserved and not staged: since the last seal, and before it.
    promised: (usize, usize),
    /// A fold found no space.
    pub is_starved: bool,
    /// The last probe found no space besides the ballast.
    pub is_full: bool,
}

impl Space {
    fn promised_bytes(&self) -> usize {
        self.promised.0.saturating_add(self.promised.1)
    }

    /// A part is staged. Nearly all parts were reserved before; the few others count as well.
    pub(crate) fn redeem(&mut self, bytes: usize) {
        let before = self.promised.1.min(bytes);
        self.promised.1 -= before;
        self.promised.0 = self.promised.0.saturating_sub(bytes - before);
    }

    /// A frame is sealed. What is still reserved is meant for the next frame; what was reserved
    /// before the previous seal will not be staged any more.
    pub(crate) fn sealed(&mut self, sectors_after: usize, in_free: usize, journal_bytes: u64) {
        self.promised = (0, self.promised.0);
        self.after_sealed = sectors_after;
        self.in_free = in_free;
        self.journal_bytes = journal_bytes;
    }

    /// Sectors of a frame with a body of this length and everything that is reserved besides.
    fn sectors_for(&self, body_bytes: usize) -> usize {
        let promised = self.promised_bytes();
        let slack = if promised > 0 { SLACK_SECTORS } else { 0 };
        frame::sectors_of_body(body_bytes.saturating_add(promised)) + slack
    }

    fn sectors(&self) -> usize {
        self.after_sealed.max(self.in_free)
    }
}

impl<B: Backend> Store<B> {
    /// Reserves space for parts, so that staging them does not fail for lack of it. The parts must
    /// be staged before the frame after the next one is sealed; then the reservation expires.
    pub fn reserve(&mut self, reservation: &Reservation<'_>) -> Result<(), StageError> {
        self.shared.latch.check()?;
        let reserved = self.reserve_files(reservation).and_then(|pages| {
            let heap = reservation
                .delta
                .map_or(0, |delta| cost_of_heap(delta, pages));
            let bytes = heap
                .saturating_add(reservation.log_bytes)
                .saturating_add(reservation.row_bytes)
                .saturating_add(2 * PART_OVERHEAD_BYTES);
            self.check_frame_bytes(bytes)?;
            self.check_bound()?;
            let staged = self.filling.body.len() + self.filling.checksum_bytes;
            let margin = MARGIN_BYTES.min(self.options.segment_bytes as usize / 8);
            self.space.promised.0 += bytes;
            let provided = self.provide_in_journal(staged + margin);
            provided.inspect_err(|_| self.space.promised.0 -= bytes)?;
            Ok(())
        });
        match reserved {
            Ok(()) => {
                if let Some(vat) = self.vats.get_mut(&reservation.vat) {
                    vat.log_promised += reservation.all_log_bytes();
                }
                Ok(())
            }
            Err(error) => {
                if reservation.creates.is_some() {
                    self.images.discard(reservation.vat);
                    self.logs.discard(reservation.vat);
                }
                Err(error)
            }
        }
    }

    /// Reserves space in image and log. Returns the number of pages the delta names.
    fn reserve_files(&mut self, reservation: &Reservation<'_>) -> Result<usize, StageError> {
        let Some((engine, page_limit)) = reservation.creates else {
            let pages = match reservation.delta {
                Some(delta) => self.check_heap(reservation.vat, delta)?,
                None => 0,
            };
            if reservation.all_log_bytes() > 0 {
                self.reserve_log(reservation.vat, reservation.all_log_bytes())?;
            }
            return Ok(pages);
        };
        let genesis = self.check_create(reservation.vat, engine, page_limit)?;
        self.images.prepare(reservation.vat, page_limit, &genesis)?;
        let log = LogRecord::default();
        self.logs
            .reserve(reservation.vat, &log, 0, reservation.all_log_bytes())?;
        let Some(delta) = reservation.delta else {
            return Ok(0);
        };
        crate::delta::check(delta.as_bytes(), page_limit)?;
        let (mut count, mut last) = (0, None);
        let mut without_space = Vec::new();
        for run in delta.runs() {
            let pages = run.pages();
            if last.replace(pages.start) == Some(pages.start) {
                continue;
            }
            count += pages.len();
            // Pages of the genesis image have their space, and zeros need none.
            if matches!(run, Run::Words { .. }) && genesis.page(pages.start).is_none() {
                without_space.push(pages.start);
            }
        }
        self.images
            .reserve(reservation.vat, page_limit, without_space.into_iter())?;
        Ok(count)
    }

    /// Reserves space in the log for what is staged next.
    pub(crate) fn reserve_log(&mut self, vat: VatId, bytes: u64) -> Result<(), StageError> {
        let found = self.vats.get(&vat).ok_or(StageError::UnknownVat(vat))?;
        let from = found.log.end + found.log_staged + found.log_promised;
        Ok(self.logs.reserve(vat, &found.log, from, bytes)?)
    }

    /// While folds find no space, the journal grows to its bound and no further.
    fn check_bound(&self) -> Result<(), StageError> {
        let (bytes, limit) = (self.space.journal_bytes, self.options.journal_bytes_max);
        if self.space.is_starved && bytes >= limit {
            let why = format!("the journal holds {bytes} bytes that wait for it, {limit} at most");
            return Err(StageError::NoSpace(self.fold_refused(why)));
        }
        Ok(())
    }

    fn fold_refused(&self, why: String) -> NoSpace {
        NoSpace {
            what: "fold into",
            file: CATALOG_FILE.to_owned(),
            why,
        }
    }

    /// Makes sure that a frame with a body of this length has a place in the journal.
    pub(crate) fn provide_in_journal(&mut self, body_bytes: usize) -> Result<(), StoreError> {
        self.provide_sectors(self.space.sectors_for(body_bytes))
    }

    /// The same for a frame of this many sectors.
    pub(crate) fn provide_sectors(&mut self, sectors: usize) -> Result<(), StoreError> {
        if sectors <= self.space.sectors() {
            return Ok(());
        }
        let shared = self.shared.clone();
        let (number, segments) = {
            let mut journal = shared.lock_journal();
            self.space.in_free = journal.sectors_free();
            if sectors <= self.space.sectors() {
                return Ok(());
            }
            let number = journal.next_segment;
            journal.next_segment += 1;
            (number, 1 + journal.left.len() + journal.free.len())
        };
        // With a single segment the journal could never leave it, and no fold could free it.
        let draw = if segments < 2 {
            Draw::Ballast
        } else {
            Draw::Nothing
        };
        let bytes = segment::bytes_for(sectors, shared.segment_bytes);
        // A frame that grows row by row must not need another segment for each row.
        let bytes = bytes.next_multiple_of(shared.segment_bytes.max(1));
        let segment = shared.create_segment(number, bytes, draw, None)?;
        if let Err(error) = self.reserve_for_catalog(CATALOG_STEP_BYTES) {
            // The segment is not registered; if this fails as well, the next open removes it.
            let _ = shared.backend.remove(&segment::path(number));
            return Err(error);
        }
        shared.catalog.write(|batch| {
            let record = SegmentRecord { bytes };
            batch.put_record(table::SEGMENTS, &number.to_be_bytes(), &record)
        })?;
        let mut journal = shared.lock_journal();
        journal.free.push(segment);
        self.space.in_free = journal.sectors_free();
        Ok(())
    }

    /// Makes sure the ballast holds what a transaction may take: redb cannot recover from running
    /// out of space halfway.
    pub(crate) fn reserve_for_catalog(&self, bytes: u64) -> Result<(), StoreError> {
        let shared = &self.shared;
        match shared.ballast.reserve(bytes) {
            Ok(true) => Ok(()),
            Ok(false) => {
                let why = format!("{bytes} bytes are kept for a transaction");
                Err(self.fold_refused(why).into())
            }
            Err(error) => Err(shared.latch.io("use", crate::ballast::BALLAST_FILE, error)),
        }
    }

    /// The same for a fold, by the size of the active memtable.
    pub(crate) fn reserve_for_fold(&self) -> Result<(), StoreError> {
        if let Some((vat, _)) = self.backlog.iter().next() {
            let why = format!("the image of vat {vat} lacks committed changes");
            return Err(self.fold_refused(why).into());
        }
        let (rows, bytes) = self.active.catalog_load();
        // Each row may rewrite and split a leaf; the whole tree is written at most once.
        let mut pages = rows.saturating_mul(3 * 4096);
        if pages > self.options.ballast_bytes {
            let file = self.shared.backend.open(CATALOG_FILE);
            let len = file.and_then(|file| file.len());
            let len = len.map_err(|error| self.shared.latch.io("measure", CATALOG_FILE, error))?;
            pages = pages.min(2 * len);
        }
        // Values are rounded up to powers of two of a page, and sectors have checksums.
        self.reserve_for_catalog(CATALOG_STEP_BYTES + pages + 3 * bytes)
    }

    /// Whether the frame being filled, and everything reserved, fits into one of these segments or
    /// the current one.
    pub(crate) fn is_placed_in(&self, free: &[Segment<B::File>]) -> bool {
        let staged = self.filling.body.len() + self.filling.checksum_bytes;
        if staged == 0 && self.space.promised_bytes() == 0 {
            return true;
        }
        let sectors = self.space.sectors_for(staged);
        sectors <= self.space.after_sealed.max(sectors_in_free(free))
    }

    /// Counts the free segments of the journal again, after a fold added or removed some.
    pub(crate) fn count_place(&mut self) {
        let journal = self.shared.lock_journal();
        self.space.in_free = journal.sectors_free();
        self.space.journal_bytes = journal.total - journal.folded_total;
    }

    /// Whether space is low: folds or deferred work wait for it, the ballast is not complete, or
    /// the last probe found none besides it.
    pub fn is_space_low(&self) -> bool {
        let is_whole = self.shared.ballast.is_whole();
        self.space.is_starved || self.space.is_full || !self.backlog.is_empty() || !is_whole
    }

    /// Whether there is practically no space: folds or deferred work wait for it, or the disk is
    /// full according to the last probe or to itself.
    pub fn is_space_exhausted(&self) -> bool {
        let is_waited_for = self.space.is_starved || !self.backlog.is_empty();
        is_waited_for || self.space.is_full || self.is_disk_full()
    }

    /// Retries what waits for space, and probes whether there is any besides the ballast. True if
    /// nothing waits any more. Adds to `caught_up` the vats whose backlog is done.
    pub fn find_space(&mut self, caught_up: &mut Vec<VatId>) -> Result<bool, StoreError> {
        self.shared.latch.check()?;
        self.retry_backlogs(caught_up)?;
        if !self.backlog.is_empty() {
            return Ok(false);
        }
        if self.space.is_starved {
            match self.reserve_for_fold() {
                Ok(()) => self.space.is_starved = false,
                Err(StoreError::NoSpace(_)) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        let is_whole = self.fill_ballast()?;
        let has_space = self.shared.ballast.has_besides(FULL_BYTES);
        self.space.is_full = !has_space.map_err(|error| self.ballast_failed(error))?;
        Ok(is_whole)
    }

    pub(crate) fn fill_ballast(&self) -> Result<bool, StoreError> {
        let filled = self.shared.ballast.fill();
        filled.map_err(|error| self.ballast_failed(error))
    }

    fn ballast_failed(&self, error: io::Error) -> StoreError {
        let latch = &self.shared.latch;
        latch.io("fill", crate::ballast::BALLAST_FILE, error)
    }

    /// Whether the disk reports that it has next to nothing left. A disk that reports nothing has
    /// space.
    pub fn is_disk_full(&self) -> bool {
        let free = self.shared.backend.free_bytes();
        free.is_ok_and(|free| free < FULL_BYTES)
    }
}
