//! The writer: appends frames, one at a time, and moves from segment to segment.
//!
//! Promises: no byte of a frame is written before the sync of the frame before has returned (J2). A
//! frame costs one write and one sync, and one more of each for an end frame when a segment is
//! full. A segment is used only after it is registered and durable (J5), and it exists before the
//! frame that goes into it is sealed, so a full disk cannot separate the two.

use super::frame::{self, Kind};
use super::sector::{SECTOR_BYTES, StampKey};
use super::segment::{self, FIRST_FRAME, Segment};
use crate::backend::{Backend, File};
use crate::ballast::Ballast;
use crate::catalog::Catalog;
use crate::error::StoreError;
use crate::latch::Latch;
use crate::write_throttle::WriteThrottle;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// State that all parts of an open store share across threads.
#[derive(Debug)]
pub(crate) struct Shared<B: Backend> {
    pub backend: B,
    pub latch: Arc<Latch>,
    pub ballast: Arc<Ballast<B::File>>,
    pub throttle: Arc<WriteThrottle>,
    pub catalog: Catalog,
    pub store_id: [u8; 16],
    pub key: StampKey,
    pub segment_bytes: u64,
    pub journal: Mutex<Journal<B::File>>,
    /// Dropped last, so that the folder is locked until nothing writes to it any more.
    pub _lock: B::Lock,
}

impl<B: Backend> Shared<B> {
    pub(crate) fn lock_journal(&self) -> MutexGuard<'_, Journal<B::File>> {
        // A panic while it was held left a frame half written; dropping the sealed frame has
        // latched the store then.
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a durable segment; the caller registers it. If there is no space, nothing of it
    /// remains. With a throttle commits go on meanwhile; without one a commit waits for it.
    pub(crate) fn create_segment(
        &self,
        number: u32,
        bytes: u64,
        draw: Draw,
        throttle: Option<&WriteThrottle>,
    ) -> Result<Segment<B::File>, StoreError> {
        self.latch.check()?;
        let path = segment::path(number);
        let fill = || segment::fill(&self.backend, &self.store_id, number, bytes, throttle);
        let filled = match draw {
            Draw::Ballast => self.ballast.draw(fill),
            Draw::Nothing => fill(),
        };
        let filled = filled.map_err(|error| {
            let error = self.latch.io_or_full("make", &path, error);
            if matches!(error, StoreError::NoSpace(_)) {
                // Not registered; if this fails as well, the next open removes it.
                let _ = self.backend.remove(&path);
            }
            error
        })?;
        segment::settle(&self.backend, filled).map_err(|error| self.latch.io("sync", &path, error))
    }
}

/// Whether the ballast may be used if the disk is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Draw {
    Ballast,
    Nothing,
}

/// Where the journal stands after a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub sequence: u64,
    pub segment: u32,
    pub offset: u64,
    /// Bytes of journal up to here since the store was opened; for bounds only.
    pub total: u64,
}

/// The segments and the end of the journal.
#[derive(Debug)]
pub(crate) struct Journal<F> {
    /// Full segments that no fold has covered, oldest first.
    pub left: VecDeque<Segment<F>>,
    pub current: Segment<F>,
    /// Segments that may be used next.
    pub free: Vec<Segment<F>>,
    /// Where the next frame begins in `current`.
    pub offset: u64,
    /// The last frame written.
    pub sequence: u64,
    pub next_sequence: u64,
    pub next_segment: u32,
    /// Bytes written, and how many of them a fold covers.
    pub total: u64,
    pub folded_total: u64,
    /// A frame is sealed and its write has not returned.
    pub is_writing: bool,
    /// The buffer of the last frame, kept to save an allocation a frame.
    pub buffer: Vec<u8>,
}

impl<F: File> Journal<F> {
    /// Sectors that a frame in the current segment may have, with an end frame after it.
    pub(crate) fn sectors_left(&self) -> usize {
        sectors_in(self.current.bytes.saturating_sub(self.offset))
    }

    /// Sectors that a frame in a free segment may have.
    pub(crate) fn sectors_free(&self) -> usize {
        sectors_in_free(&self.free)
    }

    /// Takes the number of a frame and, if it does not fit into the current segment, the number of
    /// an end frame and the next segment. `None` if no segment is large enough.
    pub(crate) fn reserve(&mut self, sectors: usize) -> Option<Reserved<F>> {
        let next = if self.sectors_left() >= sectors {
            None
        } else {
            Some(self.take_free(sectors)?)
        };
        let mut take = || {
            let sequence = self.next_sequence;
            self.next_sequence += 1;
            sequence
        };
        let end = next.map(|next| (take(), next));
        let sequence = take();
        self.is_writing = true;
        let (left, sectors) = match &end {
            None => (self.sectors_left(), sectors),
            Some((_, next)) => (sectors_in(next.bytes.saturating_sub(FIRST_FRAME)), sectors),
        };
        Some(Reserved {
            sequence,
            end,
            sectors_after: left.saturating_sub(sectors),
        })
    }

    pub(crate) fn position(&self) -> Position {
        Position {
            sequence: self.sequence,
            segment: self.current.number,
            offset: self.offset,
            total: self.total,
        }
    }

    /// Writes one frame at the end of the journal and syncs it.
    fn append<B: Backend<File = F>>(
        &mut self,
        shared: &Shared<B>,
        sequence: u64,
        kind: Kind,
        body: &[u8],
    ) -> Result<(), StoreError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        frame::encode(
            &shared.key,
            sequence,
            kind,
            self.sequence,
            body,
            &mut buffer,
        );
        let path = || segment::path(self.current.number);
        let file = &self.current.file;
        // The sectors are allocated, but a file system that copies on write may need space all the
        // same.
        let written = shared
            .ballast
            .draw(|| file.write_sectors(self.offset, &buffer));
        if let Err(error) = written {
            let error = shared.latch.io("write", &path(), error);
            // A write that stopped inside a sector would read as rot. Nobody was told of the frame,
            // so zeros take its place; if they do not arrive, opening reports what it finds.
            buffer.fill(0);
            let _ = file
                .write_at(self.offset, &buffer)
                .and_then(|()| file.sync_data());
            return Err(error);
        }
        file.sync_data()
            .map_err(|error| shared.latch.io("sync", &path(), error))?;
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

    /// A fold covers everything up to `position`; segments before it are free again.
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

/// What sealing reserves for a frame.
#[derive(Debug)]
pub(crate) struct Reserved<F> {
    pub sequence: u64,
    /// The number of the end frame, and the segment that the frame itself goes into.
    pub end: Option<(u64, Segment<F>)>,
    /// Sectors that the next frame in the same segment may have.
    pub sectors_after: usize,
}

/// Sectors that a frame in the largest of these may have.
pub(crate) fn sectors_in_free<F>(free: &[Segment<F>]) -> usize {
    let most = free.iter().map(|segment| segment.bytes).max();
    sectors_in(most.unwrap_or(0).saturating_sub(FIRST_FRAME))
}

/// Sectors that a frame in this many bytes may have, with an end frame after it.
fn sectors_in(bytes: u64) -> usize {
    (bytes / SECTOR_BYTES as u64).saturating_sub(1) as usize
}

/// A frame that has its number and is not written yet. Dropping it unwritten latches the store,
/// because staged parts would be lost silently.
#[derive(Debug)]
pub struct Sealed<B: Backend> {
    pub(crate) shared: Arc<Shared<B>>,
    pub(crate) sequence: u64,
    /// Set if the current segment is full.
    pub(crate) end: Option<(u64, Segment<B::File>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) is_written: bool,
}

/// A durable frame: its parts are committed, and its outputs may leave.
#[derive(Debug)]
#[must_use = "a durable frame must be applied"]
pub struct Durable {
    pub(crate) position: Position,
    /// The buffer of the body, for the next frame.
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

    /// Makes the frame durable. Any error latches the store; then only opening it again tells
    /// whether the frame is durable.
    pub fn write(mut self) -> Result<Durable, StoreError> {
        let shared = self.shared.clone();
        shared.latch.check()?;
        let mut journal = shared.lock_journal();
        let writing = shared.throttle.write_frame();
        if let Some((end_sequence, next)) = self.end.take() {
            roll(&shared, &mut journal, end_sequence, next)?;
        }
        journal.append(&shared, self.sequence, Kind::Parts, &self.body)?;
        drop(writing);
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

/// Moves from the current segment to another.
fn roll<B: Backend>(
    shared: &Shared<B>,
    journal: &mut Journal<B::File>,
    end_sequence: u64,
    next: Segment<B::File>,
) -> Result<(), StoreError> {
    let body = next.number.to_le_bytes();
    journal.append(shared, end_sequence, Kind::End, &body)?;
    let left = std::mem::replace(&mut journal.current, next);
    journal.left.push_back(left);
    journal.offset = FIRST_FRAME;
    Ok(())
}
