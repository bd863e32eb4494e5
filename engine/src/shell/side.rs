//! Large hand-overs on their way: pieces to a side file, the file to its frame, the frame to its
//! image (J7).
//!
//! Promises: the engine's thread writes and syncs none of it; a worker whose delta is large is not
//! listened to from its hand-over until that is in the image, so only its vat waits; what is queued
//! for the disk is bounded by not listening either. Does not look into pieces: the store does.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;

use kenvat_store::{
    FileBackend, ImageError, Side, SideApplied, SideBase, SideError, SideJob, SideWriter,
    StoreError, VatId,
};
use rustix::event::epoll;

use super::children::{interest, socket_mark};
use super::commit::Finished;
use super::run::{Fatal, Run};
use super::wake::Waker;
use crate::protocol::HandOver;
use crate::turn::event::{Event, SideRefusal};
use crate::turn::limits::SIDE_BYTES_QUEUED;

/// What the thread is to do. A worker is named by its generation.
enum Work {
    Begin(u64, SideWriter<FileBackend>),
    Piece(u64, Vec<u8>),
    Finish(u64, SideBase<FileBackend>),
    GiveUp(u64),
    Apply(SideJob<FileBackend>),
}

/// What the thread has done.
pub(super) enum Done {
    Made(u64, Box<Result<Side, SideError>>),
    Applied(Result<SideApplied, StoreError>),
    /// Less is queued than may be, where there was more.
    Drained,
}

/// Hand-overs under way, and the thread that writes them.
pub(super) struct Sides {
    to_thread: mpsc::Sender<Work>,
    queued: Arc<AtomicUsize>,
    /// By generation.
    pending: HashMap<u64, Pending>,
    /// Workers that are not listened to until less is queued.
    held: Vec<u64>,
    /// Files on their way into images.
    applying: usize,
}

/// A worker's delta of which pieces came.
struct Pending {
    vat: VatId,
    pieces: u32,
    /// The hand-over they belong to, until the file is asked for.
    hand_over: Option<Box<HandOver>>,
    is_finishing: bool,
}

impl Sides {
    pub fn start(finisher: mpsc::Sender<Finished>, waker: Waker) -> io::Result<Sides> {
        let (to_thread, work) = mpsc::channel();
        let queued = Arc::new(AtomicUsize::new(0));
        let counter = queued.clone();
        let tell = move |done| {
            // A closed channel means that the engine ended with an error of its own.
            let _ = finisher.send(Finished::Side(done));
            waker.wake();
        };
        std::thread::Builder::new()
            .name("kenvat-side".to_owned())
            .spawn(move || write(&work, &counter, tell))?;
        Ok(Sides {
            to_thread,
            queued,
            pending: HashMap::new(),
            held: Vec::new(),
            applying: 0,
        })
    }

    /// Whether a fold has to wait for a side file.
    pub fn is_applying(&self) -> bool {
        self.applying > 0
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
    let mut writers: HashMap<u64, Result<SideWriter<FileBackend>, SideError>> = HashMap::new();
    for work in work {
        match work {
            Work::Begin(generation, writer) => _ = writers.insert(generation, Ok(writer)),
            Work::GiveUp(generation) => _ = writers.remove(&generation),
            Work::Piece(generation, bytes) => {
                if let Some(Ok(writer)) = writers.get_mut(&generation)
                    && let Err(error) = writer.push(&bytes)
                {
                    writers.insert(generation, Err(error));
                }
                let before = queued.fetch_sub(bytes.len(), Relaxed);
                if before > SIDE_BYTES_QUEUED && before - bytes.len() <= SIDE_BYTES_QUEUED {
                    tell(Done::Drained);
                }
            }
            Work::Finish(generation, base) => {
                let Some(writer) = writers.remove(&generation) else {
                    continue;
                };
                let made = writer.and_then(|writer| writer.finish(&base));
                tell(Done::Made(generation, Box::new(made)));
            }
            Work::Apply(job) => tell(Done::Applied(job.run())),
        }
    }
}

impl Run {
    /// A piece of a delta came.
    pub(super) fn on_piece(
        &mut self,
        vat: VatId,
        generation: u64,
        bytes: Vec<u8>,
    ) -> Result<(), String> {
        if !self.sides.pending.contains_key(&generation) {
            let Some((_, worker)) = self.workers.get(&generation) else {
                return Ok(());
            };
            let begun = self.disk.store.begin_side(vat, worker.page_limit);
            let writer = begun.map_err(|error| error.to_string())?;
            self.sides.send(Work::Begin(generation, writer));
            let pending = Pending {
                vat,
                pieces: 0,
                hand_over: None,
                is_finishing: false,
            };
            self.sides.pending.insert(generation, pending);
        }
        if let Some(pending) = self.sides.pending.get_mut(&generation) {
            pending.pieces = pending.pieces.saturating_add(1);
        }
        let queued = self.sides.queued.fetch_add(bytes.len(), Relaxed) + bytes.len();
        self.sides.send(Work::Piece(generation, bytes));
        if queued > SIDE_BYTES_QUEUED {
            self.sides.held.push(generation);
            self.hold(generation);
        }
        Ok(())
    }

    /// The hand-over the pieces belong to: its worker is not listened to until it is in the image.
    pub(super) fn on_large(&mut self, generation: u64, hand_over: HandOver) -> Result<(), String> {
        let found = self.sides.pending.get_mut(&generation);
        let came = found.as_ref().map_or(0, |pending| pending.pieces);
        let said = hand_over.pieces;
        let Some(pending) = found.filter(|_| came == said && hand_over.delta.is_empty()) else {
            return Err(format!("a delta of {said} pieces, of which {came} came"));
        };
        pending.hand_over = Some(Box::new(hand_over));
        self.hold(generation);
        Ok(())
    }

    /// Asks for the files of deltas that came whole, once what was handed over before is in the
    /// image: their checksums are worked out over it.
    pub(super) fn finish_sides(&mut self) -> Result<(), Fatal> {
        if self.sides.pending.is_empty() {
            return Ok(());
        }
        let core = &self.core;
        let is_ready = |(_, pending): &(&u64, &Pending)| {
            let waits = pending.hand_over.is_some() && !pending.is_finishing;
            waits && core.unapplied(pending.vat) == 0
        };
        let ready = self.sides.pending.iter().filter(is_ready);
        let ready: Vec<(u64, VatId)> = ready.map(|(at, pending)| (*at, pending.vat)).collect();
        for (generation, vat) in ready {
            let base = if self.core.is_being_born(vat) {
                let base = self.disk.store.side_base_of(self.core.engine());
                base.map_err(ImageError::from)
            } else {
                self.disk.store.side_base(vat)
            };
            match base {
                Ok(base) => {
                    self.sides.send(Work::Finish(generation, base));
                    if let Some(pending) = self.sides.pending.get_mut(&generation) {
                        pending.is_finishing = true;
                    }
                }
                Err(ImageError::Store(error)) => return Err(error.into()),
                Err(error) => {
                    self.sides.give_up(generation);
                    let refusal = SideRefusal::Damaged(error.to_string());
                    self.refuse_side(vat, generation, refusal);
                }
            }
        }
        Ok(())
    }

    fn refuse_side(&mut self, vat: VatId, generation: u64, refusal: SideRefusal) {
        self.events.push_back(Event::NoSide {
            vat,
            generation,
            refusal,
        });
    }

    /// Side files whose frame is applied are brought into their images.
    pub(super) fn apply_sides(&mut self) {
        for job in self.disk.store.take_side_jobs() {
            self.sides.applying += 1;
            self.sides.send(Work::Apply(job));
        }
    }

    pub(super) fn on_side_done(&mut self, done: Done) -> Result<(), Fatal> {
        match done {
            Done::Drained => {
                for generation in std::mem::take(&mut self.sides.held) {
                    self.listen(generation);
                }
            }
            Done::Made(generation, made) => return self.on_made(generation, *made),
            Done::Applied(applied) => {
                let applied = applied?;
                let vat = applied.vat();
                self.sides.applying -= 1;
                self.disk.store.finish_side(applied)?;
                // Unless the disk had no room: then it is tried again, and told of then.
                if !self.disk.store.is_behind(vat) {
                    let (caught_up, is_eased) = (vec![vat], false);
                    self.events.push_back(Event::Room {
                        caught_up,
                        is_eased,
                    });
                }
                let of_vat = self.workers.iter().filter(|(_, (id, _))| *id == vat);
                let generations: Vec<u64> = of_vat.map(|(generation, _)| *generation).collect();
                for generation in generations {
                    self.listen(generation);
                }
                self.verify_between_frames();
            }
        }
        Ok(())
    }

    fn on_made(&mut self, generation: u64, made: Result<Side, SideError>) -> Result<(), Fatal> {
        // A worker that is gone: the file goes with what names it here.
        let Some(pending) = self.sides.pending.remove(&generation) else {
            return Ok(());
        };
        let (vat, Some(hand_over)) = (pending.vat, pending.hand_over) else {
            return Ok(());
        };
        match made {
            Ok(side) => {
                let hand_over = *hand_over;
                self.events.push_back(Event::LargeHandOver {
                    vat,
                    generation,
                    hand_over,
                    side,
                });
            }
            Err(SideError::Store(error)) => return Err(error.into()),
            Err(error @ SideError::Full { .. }) => {
                self.disk.was_refused = true;
                self.refuse_side(vat, generation, SideRefusal::NoRoom(error.to_string()));
            }
            Err(SideError::Damaged(damage)) => {
                let refusal = SideRefusal::Damaged(format!("damaged: {damage}"));
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
        let pending = self.sides.pending.get(&generation);
        if pending.is_some_and(|pending| pending.hand_over.is_some()) {
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
