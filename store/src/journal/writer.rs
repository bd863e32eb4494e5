//! The writer: appends frames, one at a time, and rolls from segment to segment.
//!
//! Promises: no byte of a frame is written before the sync of the one before returned (J2); a frame
//! costs one write and one sync, and where a segment is full one more of each, for the end frame
//! that sends the reader on; a segment is used only after it is registered and durable (J5).

use super::frame::{self, Kind};
use super::sector::{SECTOR_BYTES, StampKey};
use super::segment::{self, FIRST_FRAME, Segment};
use crate::backend::{Backend, File};
use crate::catalog::{Catalog, table};
use crate::codec::SegmentRecord;
use crate::error::StoreError;
use crate::latch::Latch;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What every part of an open store shares, whatever thread it is on.
#[derive(Debug)]
pub(crate) struct Shared<B: Backend> {
    pub backend: B,
    pub latch: Arc<Latch>,
    pub catalog: Catalog,
    pub store_id: [u8; 16],
    pub key: StampKey,
    pub segment_bytes: u64,
    pub journal: Mutex<Journal<B::File>>,
    /// Last: the folder is let go of when everything that writes to it has ended.
    pub _lock: B::Lock,
}

impl<B: Backend> Shared<B> {
    pub(crate) fn lock_journal(&self) -> MutexGuard<'_, Journal<B::File>> {
        // A panic while it was held left a frame half written; the latch is what says so, and it
        // is tripped by the drop of the sealed frame.
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a segment durable; the caller registers it.
    pub(crate) fn create_segment(
        &self,
        number: u32,
        bytes: u64,
    ) -> Result<Segment<B::File>, StoreError> {
        self.latch.check()?;
        segment::create(&self.backend, &self.store_id, number, bytes)
            .map_err(|error| self.latch.io("create", &segment::path(number), error))
    }
}

/// Where the journal stands after a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub sequence: u64,
    pub segment: u32,
    pub offset: u64,
    /// Bytes of journal up to here, counted from when the store was opened; for bounds only.
    pub total: u64,
}

/// The segments and the end of the journal.
#[derive(Debug)]
pub(crate) struct Journal<F> {
    /// Segments left behind that a fold has not covered, oldest first.
    pub left: VecDeque<Segment<F>>,
    pub current: Segment<F>,
    /// Segments to go on in.
    pub free: Vec<Segment<F>>,
    /// Where the next frame begins in `current`.
    pub offset: u64,
    /// The last frame written.
    pub sequence: u64,
    pub next_sequence: u64,
    pub next_segment: u32,
    /// Bytes written, and up to where a fold covers them.
    pub total: u64,
    pub folded_total: u64,
    /// A frame is sealed and its write has not returned.
    pub is_writing: bool,
    /// The last frame's sectors, kept to spare an allocation a frame.
    pub buffer: Vec<u8>,
}

impl<F: File> Journal<F> {
    /// Whether a frame of that many sectors, and an end frame after it, fit in the current segment.
    fn has_room(&self, sectors: usize) -> bool {
        let needed = (sectors as u64 + 1) * SECTOR_BYTES as u64;
        self.current.bytes.saturating_sub(self.offset) >= needed
    }

    /// Takes the numbers for a frame: the end frame's, if the segment must be left first, and the
    /// frame's own.
    pub(crate) fn reserve(&mut self, sectors: usize) -> (Option<u64>, u64) {
        let mut take = || {
            let sequence = self.next_sequence;
            self.next_sequence += 1;
            sequence
        };
        let first = take();
        let numbers = if self.has_room(sectors) {
            (None, first)
        } else {
            self.next_sequence += 1;
            (Some(first), first + 1)
        };
        self.is_writing = true;
        numbers
    }

    pub(crate) fn position(&self) -> Position {
        Position {
            sequence: self.sequence,
            segment: self.current.number,
            offset: self.offset,
            total: self.total,
        }
    }

    /// Writes one frame where the journal ends and makes it durable.
    fn append(
        &mut self,
        latch: &Latch,
        key: &StampKey,
        sequence: u64,
        kind: Kind,
        body: &[u8],
    ) -> Result<(), StoreError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        frame::encode(key, sequence, kind, self.sequence, body, &mut buffer);
        let path = || segment::path(self.current.number);
        self.current
            .file
            .write_at(self.offset, &buffer)
            .map_err(|error| latch.io("write", &path(), error))?;
        self.current
            .file
            .sync_data()
            .map_err(|error| latch.io("sync", &path(), error))?;
        self.offset += buffer.len() as u64;
        self.total += buffer.len() as u64;
        self.sequence = sequence;
        self.buffer = buffer;
        Ok(())
    }

    /// The smallest free segment that holds such a frame.
    fn take_free(&mut self, sectors: usize) -> Option<Segment<F>> {
        let needed = segment::bytes_for(sectors, 0);
        let fitting = self
            .free
            .iter()
            .enumerate()
            .filter(|(_, free)| free.bytes >= needed);
        let (place, _) = fitting.min_by_key(|(_, free)| (free.bytes, free.number))?;
        Some(self.free.swap_remove(place))
    }

    /// A fold covers everything up to `position`: segments before it are free again.
    pub(crate) fn folded(&mut self, position: &Position) {
        self.folded_total = position.total;
        while self.current.number != position.segment || !self.left.is_empty() {
            match self.left.front() {
                Some(first) if first.number != position.segment => {
                    self.free.extend(self.left.pop_front());
                }
                _ => break,
            }
        }
    }
}

/// A frame that has its number and is not written yet. Dropping it unwritten latches the store,
/// since what was staged in it would be lost without anyone being told.
#[derive(Debug)]
pub struct Sealed<B: Backend> {
    pub(crate) shared: Arc<Shared<B>>,
    pub(crate) sequence: u64,
    pub(crate) end_sequence: Option<u64>,
    pub(crate) body: Vec<u8>,
    pub(crate) is_written: bool,
}

/// A frame that is durable: what it holds is committed, and its outputs may leave.
#[derive(Debug)]
#[must_use = "a durable frame must be applied"]
pub struct Durable {
    pub(crate) position: Position,
    /// The body's memory, to be filled again.
    pub(crate) body: Vec<u8>,
}

impl Durable {
    /// The frame's number.
    pub fn sequence(&self) -> u64 {
        self.position.sequence
    }
}

impl<B: Backend> Sealed<B> {
    /// The frame's number.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Bytes of journal it takes.
    pub fn journal_bytes(&self) -> u64 {
        (frame::sectors_of_body(self.body.len()) * SECTOR_BYTES) as u64
    }

    /// Makes the frame durable. Any error latches the whole store; whether the frame is durable is
    /// then known only after the store was opened again.
    pub fn write(mut self) -> Result<Durable, StoreError> {
        let shared = self.shared.clone();
        shared.latch.check()?;
        let mut journal = shared.lock_journal();
        if let Some(end_sequence) = self.end_sequence {
            roll(
                &shared,
                &mut journal,
                end_sequence,
                frame::sectors_of_body(self.body.len()),
            )?;
        }
        journal.append(
            &shared.latch,
            &shared.key,
            self.sequence,
            Kind::Parts,
            &self.body,
        )?;
        journal.is_writing = false;
        self.is_written = true;
        let mut body = std::mem::take(&mut self.body);
        body.clear();
        Ok(Durable {
            position: journal.position(),
            body,
        })
    }
}

impl<B: Backend> Drop for Sealed<B> {
    fn drop(&mut self) {
        if !self.is_written {
            self.shared
                .latch
                .trip(format!("frame {} was not written", self.sequence));
        }
    }
}

/// Leaves the current segment for one that holds a frame of that many sectors.
fn roll<B: Backend>(
    shared: &Shared<B>,
    journal: &mut Journal<B::File>,
    end_sequence: u64,
    sectors: usize,
) -> Result<(), StoreError> {
    let next = match journal.take_free(sectors) {
        Some(next) => next,
        None => {
            let number = journal.next_segment;
            let bytes = segment::bytes_for(sectors, shared.segment_bytes);
            let next = shared.create_segment(number, bytes)?;
            shared.catalog.write(|batch| {
                let record = SegmentRecord { bytes };
                batch.put_record(table::SEGMENTS, &number.to_be_bytes(), &record)
            })?;
            journal.next_segment += 1;
            next
        }
    };
    let body = next.number.to_le_bytes();
    journal.append(&shared.latch, &shared.key, end_sequence, Kind::End, &body)?;
    let left = std::mem::replace(&mut journal.current, next);
    journal.left.push_back(left);
    journal.offset = FIRST_FRAME;
    Ok(())
}
