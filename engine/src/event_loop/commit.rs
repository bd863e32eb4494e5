//! Frames to the disk: on the engine's thread when the host is idle, on a thread of their own under
//! load.
//!
//! Promises: one frame at a time (J2); outputs leave before images are written (I1); folding goes
//! on beside commits until the journal's hard bound, where commits wait for it (J7).

use std::io;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use kenvat_store::{
    Backend, Checked, Durable, EngineReading, FileBackend, Folded, Reading, Sealed, StoreError,
    VatId,
};

use super::spill;
use super::{EventLoop, Fatal};
use crate::handle::Answerer;
use crate::notifier::Notifier;
use crate::priority;
use crate::trace::Step;
use kenvat_core::api::CallError;
use kenvat_core::event::Event;

/// A disk slower than this gets its syncs on a thread of their own even when the host is idle.
pub(super) const INLINE_SYNC_MAX: Duration = Duration::from_millis(2);

/// How long after its start a host reads what nothing waits for: a start has other things to do.
const ENGINE_CHECK_AFTER: Duration = Duration::from_secs(2);

/// How often it is looked for room on a full disk, besides at each call that needs some.
const ROOM_LOOK: Duration = Duration::from_secs(1);

/// What another thread finished for the engine's.
pub(super) enum Finished {
    Side(spill::Done),
    Synced(Result<Durable, StoreError>, Duration),
    Folded(Result<Folded<FileBackend>, StoreError>),
    /// The image of a vat whose worker waits for it.
    Checked(u64, Checked),
    Hashed(Hashing, Result<[u8; 32], StoreError>),
    /// What the store's copy of this program's own engine is found to be.
    EngineChecked(Result<(), StoreError>),
}

/// The threads beside the engine's own.
pub(super) struct Background {
    to_sync: mpsc::Sender<Sealed<FileBackend>>,
    finished: mpsc::Receiver<Finished>,
    pub finisher: mpsc::Sender<Finished>,
    notifier: Notifier,
    pub folding: bool,
    /// While the store's copy of this program's own engine is to be read: has it read now.
    engine_check: Option<mpsc::Sender<()>>,
}

/// Somebody waits for the hash of a heap.
pub(super) struct Hashing {
    pub vat: VatId,
    /// Turns committed when the reading began: as many at its end mean that nothing changed.
    pub turns: u64,
    pub tries: u32,
    pub asker: Answerer<Result<String, CallError>>,
}

/// A file of the store's images.
type ImageFile = <FileBackend as Backend>::File;

impl Background {
    /// Checks an image on a thread of its own.
    pub fn check(&self, generation: u64, reading: Reading<ImageFile>) -> io::Result<()> {
        self.beside("kenvat-check", move || {
            Finished::Checked(generation, reading.check())
        })
    }

    /// Hashes an image on a thread of its own.
    pub fn hash(&self, hashing: Hashing, reading: Reading<ImageFile>) -> io::Result<()> {
        self.beside("kenvat-hash", move || {
            Finished::Hashed(hashing, reading.sha256())
        })
    }

    /// Reads an executable on a thread of its own, once the start is over.
    pub fn check_engine(&mut self, reading: EngineReading<FileBackend>) -> io::Result<()> {
        let (now, hurry) = mpsc::channel();
        self.beside("kenvat-check", move || {
            // Ends sooner when the host does.
            let _ = hurry.recv_timeout(ENGINE_CHECK_AFTER);
            Finished::EngineChecked(reading.read().map(drop))
        })?;
        self.engine_check = Some(now);
        Ok(())
    }

    fn beside(
        &self,
        name: &str,
        work: impl FnOnce() -> Finished + Send + 'static,
    ) -> io::Result<()> {
        let (finisher, notifier) = (self.finisher.clone(), self.notifier.clone());
        let thread = std::thread::Builder::new().name(name.to_owned());
        thread.spawn(move || {
            // A closed channel means that the engine ended meanwhile.
            let _ = finisher.send(work());
            notifier.notify();
        })?;
        Ok(())
    }

    pub fn start(notifier: Notifier) -> io::Result<Background> {
        let (to_sync, frames) = mpsc::channel::<Sealed<FileBackend>>();
        let (finisher, finished) = mpsc::channel();
        let (sender, to_wake) = (finisher.clone(), notifier.clone());
        std::thread::Builder::new()
            .name("kenvat-sync".to_owned())
            .spawn(move || {
                priority::raise();
                for sealed in frames {
                    let begun = Instant::now();
                    let written = sealed.write();
                    // A closed channel means that the engine ended with an error of its own.
                    if sender
                        .send(Finished::Synced(written, begun.elapsed()))
                        .is_err()
                    {
                        return;
                    }
                    to_wake.notify();
                }
            })?;
        Ok(Background {
            to_sync,
            finished,
            finisher,
            notifier,
            folding: false,
            engine_check: None,
        })
    }
}

impl EventLoop {
    /// Closes the staged frame: what is staged from now on belongs to the next one. Where the
    /// journal is at its bound, commits wait here for the fold (J7).
    pub(super) fn seal(&mut self) -> Result<(), Fatal> {
        assert!(
            self.sealed.is_none(),
            "the core asks for one commit at a time"
        );
        while self.ledger.store.journal_full() {
            self.fold()?;
            if !self.background.folding && !self.spill.is_applying() {
                // Folds find no room: the frame goes past the bound, and nothing new is taken.
                continue;
            }
            // No frame is being written now: a fold is finished, or a side file that it waits for.
            let finished = self.background.finished.recv();
            self.on_finished(finished.expect("this end keeps a sender"))?;
        }
        self.sealed = self.ledger.store.seal()?;
        assert!(
            self.sealed.is_some(),
            "the core commits frames that hold something"
        );
        self.mark(|run| Step::Sealed {
            journal_bytes: run.sealed.as_ref().map_or(0, Sealed::journal_bytes),
        });
        Ok(())
    }

    /// Writes the sealed frame, here or on a thread. True when events came of it.
    pub(super) fn commit(&mut self) -> Result<bool, Fatal> {
        let Some(sealed) = self.sealed.take() else {
            return Ok(false);
        };
        if !self.core.has_turns_out() && self.last_sync < INLINE_SYNC_MAX {
            let begun = Instant::now();
            let durable = sealed.write()?;
            let took = begun.elapsed();
            self.affinity.synced(took);
            self.durable_after(took);
            self.release(durable)?;
            return Ok(true);
        }
        // The thread ends only with the channel's other end, which is ours.
        let _ = self.background.to_sync.send(sealed);
        Ok(false)
    }

    fn durable_after(&mut self, took: Duration) {
        self.last_sync = took;
        self.mark(|_| Step::Durable {
            took,
            syncs: kenvat_store::syncs(),
        });
    }

    /// The frame is durable: outputs first, then the images (I1).
    fn release(&mut self, durable: Durable) -> Result<(), Fatal> {
        let (now, core) = (self.clock.now_ms(), &mut self.core);
        core.handle(now, Event::Committed, &mut self.ledger, &mut self.effects)?;
        self.apply_effects()?;
        self.mark(|_| Step::Answered);
        if self.inline.is_driving {
            self.inline.owed = Some(durable);
            return Ok(());
        }
        self.apply(durable)
    }

    /// The images are brought up to a frame whose outputs have left.
    pub(super) fn apply(&mut self, durable: Durable) -> Result<(), Fatal> {
        self.ledger.store.apply(durable)?;
        self.apply_sides();
        self.mark(|_| Step::Applied);
        self.events.push_back(Event::Applied);
        if self.inline.is_driving {
            self.inline.fold_due = self.ledger.store.fold_due();
            return Ok(());
        }
        self.verify_between_frames();
        if self.ledger.store.fold_due() {
            self.fold()?;
        }
        Ok(())
    }

    pub(super) fn fold(&mut self) -> Result<(), Fatal> {
        if self.background.folding {
            return Ok(());
        }
        let fold = match self.ledger.store.begin_fold() {
            // Until there is room: everything is in the journal.
            Err(StoreError::NoSpace(_)) | Ok(None) => return Ok(()),
            Ok(Some(fold)) => fold,
            Err(error) => return Err(error.into()),
        };
        self.background.folding = true;
        self.mark(|_| Step::FoldBegun);
        let finisher = self.background.finisher.clone();
        let notifier = self.background.notifier.clone();
        // So does a thread: where the one that starts it may be.
        self.affinity.unpin();
        std::thread::Builder::new()
            .name("kenvat-fold".to_owned())
            .spawn(move || {
                let _ = finisher.send(Finished::Folded(fold.run()));
                notifier.notify();
            })?;
        Ok(())
    }

    /// Tries what waits for room on the disk, now and then while something does.
    pub(super) fn look_for_room(&mut self) -> Result<(), Fatal> {
        if self.ledger.was_refused {
            self.ledger.was_refused = false;
            // Segments a fold would free may be all that is missing.
            self.fold()?;
        }
        if !self.seeks_room() {
            self.next_room = None;
            return Ok(());
        }
        let now = Instant::now();
        match self.next_room {
            Some(due) if due > now => return Ok(()),
            Some(_) => {}
            // What was refused just now has tried.
            None => {
                self.next_room = Some(now + ROOM_LOOK);
                return Ok(());
            }
        }
        self.next_room = Some(now + ROOM_LOOK);
        let mut caught_up = Vec::new();
        self.ledger.store.find_space(&mut caught_up)?;
        // What is a side file's is only begun; it is told of when it is done.
        self.apply_sides();
        caught_up.retain(|vat| !self.ledger.store.is_applying(*vat));
        if self.ledger.store.fold_due() {
            self.fold()?;
        }
        let has_space = !self.ledger.store.is_space_exhausted();
        if has_space || !caught_up.is_empty() {
            self.events.push_back(Event::Space {
                caught_up,
                has_space,
            });
            self.settle()?;
        }
        Ok(())
    }

    /// Whether anything waits for room.
    fn seeks_room(&self) -> bool {
        self.ledger.store.is_space_low() || self.core.lacks_space()
    }

    /// Waits until the store's copy of this program's own engine is read, where it is.
    pub(super) fn await_engine_check(&mut self) -> Result<(), Fatal> {
        while let Some(now) = &self.background.engine_check {
            // It is being read where nobody listens any more.
            let _ = now.send(());
            let finished = self.background.finished.recv();
            self.on_finished(finished.expect("this end keeps a sender"))?;
        }
        Ok(())
    }

    pub(super) fn take_finished(&mut self) -> Result<(), Fatal> {
        while let Ok(finished) = self.background.finished.try_recv() {
            self.on_finished(finished)?;
        }
        Ok(())
    }

    fn on_finished(&mut self, finished: Finished) -> Result<(), Fatal> {
        match finished {
            Finished::Synced(durable, took) => {
                let durable = durable?;
                self.durable_after(took);
                self.release(durable)
            }
            Finished::Side(done) => self.on_side_done(done),
            Finished::Folded(folded) => {
                self.background.folding = false;
                self.mark(|_| Step::FoldEnded);
                self.ledger.store.finish_fold(folded?)?;
                self.verify_between_frames();
                Ok(())
            }
            // No process starts on a caller's thread.
            Finished::Checked(generation, checked) if self.inline.is_driving => {
                self.inline.checked.push((generation, checked));
                Ok(())
            }
            Finished::Checked(generation, checked) => {
                self.go_on_starting(generation, checked);
                Ok(())
            }
            Finished::Hashed(hashing, hash) => {
                self.hashed(hashing, hash);
                Ok(())
            }
            Finished::EngineChecked(found) => {
                self.background.engine_check = None;
                self.own_engine_checked(found);
                Ok(())
            }
        }
    }
}
