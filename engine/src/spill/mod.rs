//! Hand-overs too large for a frame on their way: what is large of them to a spill file, the file
//! to its frame, the frame to its image (J7).
//!
//! ```text
//! worker --pieces, hand-over--> SpillFiles --Work--> SpillThread (another thread)
//!                                   │  <--Done-----
//!                                   └─ LargeHandOver, SpillFailed, Space --> the core
//! ```
//!
//! Promises: the thread that commits writes and syncs none of it; a worker whose hand-over is large
//! is not read from until that is in the image, so only its vat waits; what is queued for the disk
//! is bounded, again by not reading. A file is asked for only once everything its vat handed over
//! before is in the image: checksums are worked out over that. The event loop and the simulation
//! both run this code. Does not look into pieces: the store does. Does not know sockets.

mod writer;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;

use kenvat_core::event::{Event, SpillRefusal};
use kenvat_core::limits::SPILL_BYTES_QUEUED;
use kenvat_core::{Checked, Core};
use kenvat_store::{
    Backend, FileBackend, ImageError, SpillApplied, SpillBase, SpillFileError, Store, StoreError,
    VatId,
};
use kenvat_wire::protocol::HandOver;

pub use self::writer::{Done, SpillError, SpillThread, Work};

/// A worker that hands over.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// Its vat.
    pub vat: VatId,
    /// Which of the vat's workers it is.
    pub generation: u64,
    /// Pages its heap may grow to.
    pub page_limit: u32,
}

/// Whether a worker is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Go on.
    Goes,
    /// Stop, until [`SpillFiles::on_done`] names the worker.
    Stops,
}

/// Why a worker's large hand-over is not taken: the worker is ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpillFault {
    /// The store takes no more files.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The worker names another number of pieces than it sent.
    #[error("a delta of {named} pieces, of which {came} came")]
    Pieces {
        /// By the hand-over.
        named: u32,
        /// What was read.
        came: u32,
    },
}

/// Whose messages may be read again.
#[derive(Debug, PartialEq, Eq)]
pub enum Resumed {
    /// Nobody's.
    Nobody,
    /// Those of these workers.
    Workers(Vec<u64>),
    /// Those of this vat's workers: its hand-over is in the image.
    Vat(VatId),
}

/// What came of finished work.
#[derive(Debug)]
pub struct Outcome {
    /// Whose messages may be read again.
    pub resumed: Resumed,
    /// The disk had no room for a file: a fold may free some.
    pub was_refused: bool,
}

/// Large hand-overs under way.
#[derive(Debug)]
pub struct SpillFiles<B: Backend> {
    to_writer: mpsc::Sender<Work<B>>,
    /// Bytes of pieces that are sent and not written.
    queued: Arc<AtomicUsize>,
    /// By generation, in order: the same events give the same work.
    pending: BTreeMap<u64, Pending>,
    /// Workers that are not read from until fewer bytes are queued.
    held: Vec<u64>,
    /// Files on their way into images.
    applying: usize,
    /// Vats whose file the disk had no space to apply. Until it is, nothing more of theirs may be
    /// staged: their pages are worked out over the image.
    behind: BTreeSet<VatId>,
}

/// A worker's large hand-over.
#[derive(Debug)]
struct Pending {
    vat: VatId,
    /// Pieces of its delta that came.
    pieces: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Only pieces came.
    Begun,
    /// All of it came; the file is to be asked for.
    Whole(Box<HandOver>),
    Finishing,
}

impl SpillFiles<FileBackend> {
    /// Files written by a thread of their own, which says what it has done to `tell`; it ends when
    /// that gives false, or with this.
    pub(crate) fn start(
        tell: impl Fn(Done) -> bool + Send + 'static,
    ) -> io::Result<SpillFiles<FileBackend>> {
        let (to_writer, work) = mpsc::channel();
        let queued = Arc::new(AtomicUsize::new(0));
        let mut writer = SpillThread::new(queued.clone());
        std::thread::Builder::new()
            .name("kenvat-side".to_owned())
            .spawn(move || {
                for work in work {
                    if let Some(done) = writer.perform(work)
                        && !tell(done)
                    {
                        return;
                    }
                }
            })?;
        Ok(SpillFiles::new(to_writer, queued))
    }
}

impl<B: Backend> SpillFiles<B> {
    /// Work goes to `to_writer`, whose other end counts `queued` down.
    pub fn new(to_writer: mpsc::Sender<Work<B>>, queued: Arc<AtomicUsize>) -> SpillFiles<B> {
        SpillFiles {
            to_writer,
            queued,
            pending: BTreeMap::new(),
            held: Vec::new(),
            applying: 0,
            behind: BTreeSet::new(),
        }
    }

    /// Whether a fold has to wait for a spill file.
    pub fn is_applying(&self) -> bool {
        self.applying > 0
    }

    /// Whether [`SpillFiles::ask_for_files`] has something to do.
    pub fn has_whole(&self) -> bool {
        let mut pending = self.pending.values();
        pending.any(|pending| matches!(pending.state, State::Whole(_)))
    }

    /// Whether a worker's next message may be read: none is while its large hand-over is on its
    /// way.
    pub fn may_read(&self, generation: u64) -> bool {
        let pending = self.pending.get(&generation);
        pending.is_none_or(|pending| matches!(pending.state, State::Begun))
    }

    /// A piece of a delta came.
    pub fn on_piece(
        &mut self,
        store: &mut Store<B>,
        from: Origin,
        bytes: Vec<u8>,
    ) -> Result<Reading, SpillFault> {
        let pending = self.begin(store, from)?;
        pending.pieces = pending.pieces.saturating_add(1);
        let queued = self.queued.fetch_add(bytes.len(), Relaxed) + bytes.len();
        self.send(Work::Piece(from.generation, bytes));
        if queued <= SPILL_BYTES_QUEUED {
            return Ok(Reading::Goes);
        }
        self.held.push(from.generation);
        Ok(Reading::Stops)
    }

    /// A large hand-over came whole: its worker is not read from until it is in the image.
    pub fn on_large(
        &mut self,
        store: &mut Store<B>,
        from: Origin,
        hand_over: HandOver,
    ) -> Result<Reading, SpillFault> {
        let pending = self.begin(store, from)?;
        let (named, came) = (hand_over.pieces, pending.pieces);
        if came != named || (named > 0 && !hand_over.delta.is_empty()) {
            return Err(SpillFault::Pieces { named, came });
        }
        pending.state = State::Whole(Box::new(hand_over));
        Ok(Reading::Stops)
    }

    /// What is under way of a worker's large hand-over, which may begin here.
    fn begin(&mut self, store: &mut Store<B>, from: Origin) -> Result<&mut Pending, StoreError> {
        match self.pending.entry(from.generation) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let writer = store.begin_spill(from.vat, from.page_limit)?;
                // The writer ends only with the channel's other end, which is ours.
                let begin = Work::Begin(from.generation, Box::new(writer));
                let _ = self.to_writer.send(begin);
                Ok(entry.insert(Pending {
                    vat: from.vat,
                    pieces: 0,
                    state: State::Begun,
                }))
            }
        }
    }

    /// Forgets what a worker was handing over, as far as its file is not durable: the worker is
    /// gone, or nothing it says counts.
    pub fn give_up(&mut self, generation: u64) {
        if self.pending.remove(&generation).is_some() {
            self.send(Work::GiveUp(generation));
        }
    }

    /// Asks for the files of hand-overs that came whole, where everything their vats handed over
    /// before is in the image. With too many files there already, a fold must let go of some first.
    pub fn ask_for_files<W>(
        &mut self,
        core: &Core<W>,
        store: &mut Store<B>,
        events: &mut VecDeque<Event<W>>,
    ) -> Result<(), StoreError> {
        let mut ready = Vec::new();
        let pending = self.pending.iter_mut();
        for (generation, pending) in pending.filter(|(_, it)| !core.is_image_behind(it.vat)) {
            match std::mem::replace(&mut pending.state, State::Finishing) {
                State::Whole(hand_over) => ready.push((*generation, pending.vat, *hand_over)),
                state => pending.state = state,
            }
        }
        for (generation, vat, hand_over) in ready {
            let has_delta = hand_over.pieces > 0;
            let spill = match core.spill(vat, generation, hand_over) {
                None => {
                    self.give_up(generation);
                    continue;
                }
                Some(Err(why)) => {
                    self.give_up(generation);
                    events.push_back(Event::WorkerUnintelligible {
                        vat,
                        generation,
                        why: why.to_string(),
                    });
                    continue;
                }
                Some(Ok(spill)) => Box::new(spill),
            };
            match has_delta.then(|| base_of(core, store, vat)).transpose() {
                Ok(base) => self.send(Work::Finish(generation, spill, base)),
                Err(ImageError::Store(error)) => return Err(error),
                Err(error) => {
                    self.give_up(generation);
                    let refusal = SpillRefusal::Damaged(error.to_string());
                    events.push_back(Event::SpillFailed {
                        vat,
                        generation,
                        refusal,
                    });
                }
            }
        }
        Ok(())
    }

    /// Frames were applied: the spill files they name are brought into their images.
    pub fn apply_files(&mut self, store: &mut Store<B>) {
        for job in store.take_spill_jobs() {
            self.applying += 1;
            self.send(Work::Apply(job));
        }
    }

    /// Work was done. An error is the store's, which ends the host.
    pub fn on_done<W>(
        &mut self,
        done: Done,
        store: &mut Store<B>,
        events: &mut VecDeque<Event<W>>,
    ) -> Result<Outcome, StoreError> {
        let mut was_refused = false;
        let resumed = match done {
            Done::Drained => Resumed::Workers(std::mem::take(&mut self.held)),
            Done::Written(generation, written) => {
                was_refused = self.on_written(generation, *written, events)?;
                Resumed::Nobody
            }
            Done::Applied(applied) => self.on_applied(applied?, store, events)?,
        };
        Ok(Outcome {
            resumed,
            was_refused,
        })
    }

    fn on_applied<W>(
        &mut self,
        applied: SpillApplied,
        store: &mut Store<B>,
        events: &mut VecDeque<Event<W>>,
    ) -> Result<Resumed, StoreError> {
        let vat = applied.vat();
        self.applying -= 1;
        store.finish_spill(applied)?;
        if store.has_backlog(vat) {
            // The disk had no space: it is tried again, and told of then.
            self.behind.insert(vat);
            return Ok(Resumed::Nobody);
        }
        self.behind.remove(&vat);
        events.push_back(Event::Space {
            caught_up: vec![vat],
            has_space: false,
        });
        Ok(Resumed::Vat(vat))
    }

    /// There was space to bring these vats' images up: those whose workers may be read from again.
    pub fn on_caught_up(&mut self, caught_up: &[VatId]) -> Vec<VatId> {
        let resumed = caught_up.iter().filter(|vat| self.behind.remove(vat));
        resumed.copied().collect()
    }

    /// Whether the disk had no room for it.
    fn on_written<W>(
        &mut self,
        generation: u64,
        written: Result<Checked, SpillError>,
        events: &mut VecDeque<Event<W>>,
    ) -> Result<bool, StoreError> {
        // Of a worker that is gone: the file goes with what names it here.
        let Some(Pending { vat, .. }) = self.pending.remove(&generation) else {
            return Ok(false);
        };
        let (refusal, is_full) = match written {
            Ok(checked) => {
                events.push_back(Event::LargeHandOver {
                    vat,
                    generation,
                    checked: Box::new(checked),
                });
                return Ok(false);
            }
            Err(SpillError::Side(SpillFileError::Store(error))) => return Err(error),
            Err(SpillError::Side(error @ SpillFileError::Full { .. })) => {
                (SpillRefusal::NoSpace(error.to_string()), true)
            }
            Err(SpillError::Side(SpillFileError::Damaged(damage))) => {
                (SpillRefusal::Damaged(format!("damaged: {damage}")), false)
            }
            Err(error) => {
                let why = error.to_string();
                events.push_back(Event::WorkerUnintelligible {
                    vat,
                    generation,
                    why,
                });
                return Ok(false);
            }
        };
        events.push_back(Event::SpillFailed {
            vat,
            generation,
            refusal,
        });
        Ok(is_full)
    }

    fn send(&self, work: Work<B>) {
        // The writer ends only with the channel's other end, which is ours.
        let _ = self.to_writer.send(work);
    }
}

/// The heap a delta is over: the vat's image, or genesis for a vat that is not there yet.
fn base_of<W, B: Backend>(
    core: &Core<W>,
    store: &mut Store<B>,
    vat: VatId,
) -> Result<SpillBase<B>, ImageError> {
    match core.is_deploying(vat) {
        true => Ok(store.spill_base_of(core.engine())?),
        false => store.spill_base(vat),
    }
}
