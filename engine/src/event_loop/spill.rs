//! Large hand-overs on their way: what is large of them to a side file, the file to its frame, the
//! frame to its image (J7).
//!
//! Promises: the engine's thread writes and syncs none of it; a worker whose hand-over is large is
//! not listened to from then until that is in the image, so only its vat waits; what is queued for
//! the disk, and what is heard of long messages, is bounded by not listening either. Does not look
//! into pieces: the store does.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;

use kenvat_store::{
    FileBackend, ImageError, SpillApplied, SpillBase, SpillFileError, SpillJob, SpillWriter,
    StoreError, VatId,
};
use rustix::event::epoll;

use super::commit::Finished;
use super::workers::{interest, socket_mark};
use super::{EventLoop, Fatal};
use crate::notifier::Notifier;
use kenvat_core::Checked;
use kenvat_core::event::{Event, SpillRefusal};
use kenvat_core::limits::SPILL_BYTES_QUEUED;
use kenvat_core::spill::{Spill, SpillError};
use kenvat_wire::protocol::HandOver;

/// What the thread is to do. A worker is named by its generation.
enum Work {
    Begin(u64, Box<SpillWriter<FileBackend>>),
    Piece(u64, Vec<u8>),
    Finish(u64, Box<Spill>, Option<SpillBase<FileBackend>>),
    GiveUp(u64),
    Apply(SpillJob<FileBackend>),
}

/// What the thread has done.
pub(super) enum Done {
    Made(u64, Box<Result<Checked, SpillError>>),
    Applied(Result<SpillApplied, StoreError>),
    /// Less is queued than may be, where there was more.
    Drained,
}

/// Hand-overs under way, and the thread that writes them.
pub(super) struct SpillFiles {
    to_thread: mpsc::Sender<Work>,
    queued: Arc<AtomicUsize>,
    /// By generation.
    pending: HashMap<u64, Pending>,
    /// Bytes of a message longer than a piece that a worker began, until all of it is where it
    /// belongs, by generation.
    heard: HashMap<u64, usize>,
    /// Workers that are not listened to until such messages of others are.
    waiting: VecDeque<u64>,
    /// The one of those whose turn it is.
    next: Option<u64>,
    /// Workers that are not listened to until less is queued.
    held: Vec<u64>,
    /// Files on their way into images.
    applying: usize,
}

/// A worker's large hand-over.
struct Pending {
    vat: VatId,
    /// Those of its delta that came.
    pieces: u32,
    state: State,
}

enum State {
    /// Only pieces came.
    Begun,
    /// All of it came; the file is to be asked for.
    Whole(Box<HandOver>),
    Finishing,
}

impl SpillFiles {
    pub fn start(finisher: mpsc::Sender<Finished>, notifier: Notifier) -> io::Result<SpillFiles> {
        let (to_thread, work) = mpsc::channel();
        let queued = Arc::new(AtomicUsize::new(0));
        let counter = queued.clone();
        let tell = move |done| {
            // A closed channel means that the engine ended with an error of its own.
            let _ = finisher.send(Finished::Side(done));
            notifier.notify();
        };
        std::thread::Builder::new()
            .name("kenvat-side".to_owned())
            .spawn(move || write(&work, &counter, tell))?;
        Ok(SpillFiles {
            to_thread,
            queued,
            pending: HashMap::new(),
            heard: HashMap::new(),
            waiting: VecDeque::new(),
            next: None,
            held: Vec::new(),
            applying: 0,
        })
    }

    /// Whether a fold has to wait for a side file.
    pub fn is_applying(&self) -> bool {
        self.applying > 0
    }

    /// Whether the engine's thread has to ask for a file.
    pub fn is_asked(&self) -> bool {
        let mut pending = self.pending.values();
        pending.any(|pending| matches!(pending.state, State::Whole(_)))
    }

    fn send(&self, work: Work) {
        // The thread ends only with the channel's other end, which is ours.
        let _ = self.to_thread.send(work);
    }

    /// Forgets a worker's delta: the worker is gone.
    pub fn give_up(&mut self, generation: u64) {
        if self.pending.remove(&generation).is_some() {
            self.send(Work::GiveUp(generation));
        }
    }
}

/// The thread: one piece of work after the other.
fn write(work: &mpsc::Receiver<Work>, queued: &AtomicUsize, tell: impl Fn(Done)) {
    // An error is kept in the writer's place, for whoever asks for the file.
    let mut writers: HashMap<u64, Result<SpillWriter<FileBackend>, SpillFileError>> =
        HashMap::new();
    for work in work {
        match work {
            Work::Begin(generation, writer) => _ = writers.insert(generation, Ok(*writer)),
            Work::GiveUp(generation) => _ = writers.remove(&generation),
            Work::Piece(generation, bytes) => {
                if let Some(Ok(writer)) = writers.get_mut(&generation)
                    && let Err(error) = writer.push(&bytes)
                {
                    writers.insert(generation, Err(error));
                }
                let before = queued.fetch_sub(bytes.len(), Relaxed);
                if before > SPILL_BYTES_QUEUED && before - bytes.len() <= SPILL_BYTES_QUEUED {
                    tell(Done::Drained);
                }
            }
            Work::Finish(generation, aside, base) => {
                let Some(writer) = writers.remove(&generation) else {
                    continue;
                };
                let writer = writer.map_err(SpillError::from);
                let made = writer.and_then(|writer| aside.write(writer, base.as_ref()));
                tell(Done::Made(generation, Box::new(made)));
            }
            Work::Apply(job) => tell(Done::Applied(job.run())),
        }
    }
}

impl EventLoop {
    /// A piece of a delta came.
    pub(super) fn on_piece(
        &mut self,
        vat: VatId,
        generation: u64,
        bytes: Vec<u8>,
    ) -> Result<(), String> {
        let pending = self.begin(vat, generation)?;
        pending.pieces = pending.pieces.saturating_add(1);
        let queued = self.spill.queued.fetch_add(bytes.len(), Relaxed) + bytes.len();
        self.spill.send(Work::Piece(generation, bytes));
        if queued > SPILL_BYTES_QUEUED {
            self.spill.held.push(generation);
            self.hold(generation);
        }
        Ok(())
    }

    /// What is under way of a worker's large hand-over, which may begin here.
    fn begin(&mut self, vat: VatId, generation: u64) -> Result<&mut Pending, String> {
        let spill = &mut self.spill;
        match spill.pending.entry(generation) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let worker = self.workers.get(&generation);
                let page_limit = worker.map_or(0, |(_, worker)| worker.page_limit);
                let begun = self.ledger.store.begin_spill(vat, page_limit);
                let writer = begun.map_err(|error| error.to_string())?;
                // The thread ends only with the channel's other end, which is ours.
                let _ = spill
                    .to_thread
                    .send(Work::Begin(generation, Box::new(writer)));
                Ok(entry.insert(Pending {
                    vat,
                    pieces: 0,
                    state: State::Begun,
                }))
            }
        }
    }

    /// A large hand-over came whole: its worker is not listened to until it is in the image.
    pub(super) fn on_large(
        &mut self,
        vat: VatId,
        generation: u64,
        hand_over: HandOver,
    ) -> Result<(), String> {
        let pending = self.begin(vat, generation)?;
        let (said, came) = (hand_over.pieces, pending.pieces);
        if came != said || (said > 0 && !hand_over.delta.is_empty()) {
            return Err(format!("a delta of {said} pieces, of which {came} came"));
        }
        pending.state = State::Whole(Box::new(hand_over));
        self.hold(generation);
        Ok(())
    }

    /// Asks for the files of hand-overs that came whole, once what was handed over before is in the
    /// image: checksums are worked out over it. Where there are many files, once a fold has let go
    /// of them.
    pub(super) fn finish_sides(&mut self) -> Result<(), Fatal> {
        if !self.spill.is_asked() {
            return Ok(());
        }
        if self.ledger.store.spill_is_full() {
            self.fold()?;
            if self.ledger.store.spill_is_full() {
                return Ok(());
            }
        }
        let core = &self.core;
        let pending = self.spill.pending.iter_mut();
        let mut ready = Vec::new();
        for (generation, pending) in pending.filter(|(_, it)| !core.is_image_behind(it.vat)) {
            match std::mem::replace(&mut pending.state, State::Finishing) {
                State::Whole(hand_over) => ready.push((*generation, pending.vat, *hand_over)),
                state => pending.state = state,
            }
        }
        for (generation, vat, hand_over) in ready {
            self.finish_side(vat, generation, hand_over)?;
        }
        Ok(())
    }

    fn finish_side(
        &mut self,
        vat: VatId,
        generation: u64,
        hand_over: HandOver,
    ) -> Result<(), Fatal> {
        let has_pieces = hand_over.pieces > 0;
        let aside = match self.core.spill(vat, generation, hand_over) {
            None => {
                self.spill.give_up(generation);
                return Ok(());
            }
            Some(Err(why)) => {
                self.spill.give_up(generation);
                self.events.push_back(Event::WorkerUnintelligible {
                    vat,
                    generation,
                    why,
                });
                return Ok(());
            }
            Some(Ok(aside)) => Box::new(aside),
        };
        let base = match has_pieces {
            false => Ok(None),
            true if self.core.is_deploying(vat) => {
                let base = self.ledger.store.spill_base_of(self.core.engine());
                base.map(Some).map_err(ImageError::from)
            }
            true => self.ledger.store.spill_base(vat).map(Some),
        };
        match base {
            Ok(base) => self.spill.send(Work::Finish(generation, aside, base)),
            Err(ImageError::Store(error)) => return Err(error.into()),
            Err(error) => {
                self.spill.give_up(generation);
                let refusal = SpillRefusal::Damaged(error.to_string());
                self.refuse_side(vat, generation, refusal);
            }
        }
        Ok(())
    }

    fn refuse_side(&mut self, vat: VatId, generation: u64, refusal: SpillRefusal) {
        self.events.push_back(Event::SpillFailed {
            vat,
            generation,
            refusal,
        });
    }

    /// Side files whose frame is applied are brought into their images.
    pub(super) fn apply_sides(&mut self) {
        for job in self.ledger.store.take_spill_jobs() {
            self.spill.applying += 1;
            self.spill.send(Work::Apply(job));
        }
    }

    pub(super) fn on_side_done(&mut self, done: Done) -> Result<(), Fatal> {
        match done {
            Done::Drained => {
                for generation in std::mem::take(&mut self.spill.held) {
                    self.listen(generation);
                }
            }
            Done::Made(generation, made) => return self.on_made(generation, *made),
            Done::Applied(applied) => {
                let applied = applied?;
                let vat = applied.vat();
                self.spill.applying -= 1;
                self.ledger.store.finish_spill(applied)?;
                // Unless the disk had no room: then it is tried again, and told of then.
                if !self.ledger.store.has_backlog(vat) {
                    let (caught_up, has_space) = (vec![vat], false);
                    self.events.push_back(Event::Space {
                        caught_up,
                        has_space,
                    });
                }
                let of_vat = self.workers.iter().filter(|(_, (id, _))| *id == vat);
                let generations: Vec<u64> = of_vat.map(|(generation, _)| *generation).collect();
                for generation in generations {
                    self.let_go_of(generation);
                    self.listen(generation);
                }
                // There was none while it was under way.
                if self.ledger.store.fold_due() {
                    self.fold()?;
                }
                self.verify_between_frames();
            }
        }
        Ok(())
    }

    fn on_made(&mut self, generation: u64, made: Result<Checked, SpillError>) -> Result<(), Fatal> {
        // A worker that is gone: the file goes with what names it here.
        let Some(Pending { vat, .. }) = self.spill.pending.remove(&generation) else {
            return Ok(());
        };
        match made {
            Ok(checked) => self.events.push_back(Event::LargeHandOver {
                vat,
                generation,
                checked: Box::new(checked),
            }),
            Err(SpillError::Side(SpillFileError::Store(error))) => return Err(error.into()),
            Err(SpillError::Side(error @ SpillFileError::Full { .. })) => {
                self.ledger.was_refused = true;
                self.refuse_side(vat, generation, SpillRefusal::NoSpace(error.to_string()));
            }
            Err(SpillError::Side(SpillFileError::Damaged(damage))) => {
                let refusal = SpillRefusal::Damaged(format!("damaged: {damage}"));
                self.refuse_side(vat, generation, refusal);
            }
            Err(error) => self.events.push_back(Event::WorkerUnintelligible {
                vat,
                generation,
                why: error.to_string(),
            }),
        }
        Ok(())
    }

    /// A worker has begun a message longer than a piece. There is memory for some at a time; the
    /// others are not listened to meanwhile.
    pub(super) fn on_long(&mut self, generation: u64, bytes: usize) {
        let spill = &mut self.spill;
        if spill.heard.contains_key(&generation) {
            return;
        }
        let sum: usize = spill.heard.values().sum();
        // Nobody goes ahead of who waits, or the longest would wait for ever.
        let is_in_order = spill.waiting.is_empty() || spill.next == Some(generation);
        if is_in_order && (sum == 0 || sum + bytes <= SPILL_BYTES_QUEUED) {
            spill.heard.insert(generation, bytes);
            return;
        }
        spill.waiting.push_back(generation);
        self.hold(generation);
    }

    /// What a worker said at length is where it belongs, or nobody's.
    pub(super) fn let_go_of(&mut self, generation: u64) {
        if self.spill.heard.remove(&generation).is_none() {
            return;
        }
        while let Some(next) = self.spill.waiting.pop_front() {
            self.spill.next = Some(next);
            self.listen(next);
            self.spill.next = None;
            if self.spill.waiting.back() == Some(&next) {
                self.spill.waiting.rotate_right(1);
                break;
            }
        }
    }

    /// Stops listening to a worker. What it sends waits, and so does it, once the socket is full.
    fn hold(&mut self, generation: u64) {
        if let Some((_, worker)) = self.workers.get_mut(&generation)
            && worker.hold()
        {
            // Fails where the socket is no longer watched: the process is ending.
            let _ = epoll::delete(&self.epoll, worker.socket());
        }
    }

    /// Listens again, unless the worker's hand-over is still under way.
    fn listen(&mut self, generation: u64) {
        let pending = self.spill.pending.get(&generation);
        if pending.is_some_and(|pending| !matches!(pending.state, State::Begun)) {
            return;
        }
        let Some((_, worker)) = self.workers.get_mut(&generation) else {
            return;
        };
        if !worker.release() {
            return;
        }
        worker.is_unwatched = false;
        let mark = socket_mark(generation);
        // Fails where the process is ending.
        let _ = epoll::add(&self.epoll, worker.socket(), mark, interest(worker));
        self.take_messages(generation);
        self.to_send.push(generation);
    }
}
