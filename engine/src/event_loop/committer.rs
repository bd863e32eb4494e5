//! Frames to the disk, and the threads that do the loop's slow work: syncing under load, folding,
//! reading images.
//!
//! Promises: one frame is sealed and not durable at a time (J2); a fold goes on beside commits, one
//! at a time; whatever another thread finishes arrives here, and wakes the loop. Does not know the
//! core.

use std::io;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use kenvat_core::api::CallError;
use kenvat_store::{
    Backend, Checked, Durable, EngineReading, FileBackend, Fold, Folded, Reading, Sealed, Store,
    StoreError, VatId,
};

use crate::handle::Answerer;
use crate::notifier::Notifier;
use crate::priority;
use crate::spill;
use crate::trace::{Step, Tracer};

/// A disk slower than this gets its syncs on a thread of their own even when the host is idle.
const INLINE_SYNC_MAX: Duration = Duration::from_millis(2);

/// How long after its start a host reads what nothing waits for: a start has other things to do.
const ENGINE_CHECK_AFTER: Duration = Duration::from_secs(2);

/// How often the disk is probed for space, besides at each call that needs some.
const SPACE_PROBE_PERIOD: Duration = Duration::from_secs(1);

/// What another thread finished for the loop's.
pub(super) enum Finished {
    Spill(spill::Done),
    Synced(Result<Durable, StoreError>, Duration),
    Folded(Result<Folded<FileBackend>, StoreError>),
    /// The image of a vat whose worker waits for it.
    Checked(u64, Checked),
    Hashed(Hashing, Result<[u8; 32], StoreError>),
    /// What the store's copy of this program's own engine is found to be.
    EngineChecked(Result<(), StoreError>),
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

/// The sealed frame, and the threads beside the loop's own.
pub(super) struct Committer {
    /// The frame the core wants committed, until it is written.
    sealed: Option<Sealed<FileBackend>>,
    /// How long the last sync took.
    last_sync: Duration,
    is_folding: bool,
    /// When the disk is probed for space next; nobody waits for any otherwise.
    next_probe: Option<Instant>,
    /// While the store's copy of this program's own engine is to be read: has it read now.
    engine_check: Option<mpsc::Sender<()>>,
    to_sync: mpsc::Sender<Sealed<FileBackend>>,
    finished: mpsc::Receiver<Finished>,
    finisher: Finisher,
}

/// How another thread hands over what it finished.
#[derive(Clone)]
pub(super) struct Finisher {
    finished: mpsc::Sender<Finished>,
    notifier: Notifier,
}

impl Finisher {
    /// False where the engine ended meanwhile, with an error of its own.
    pub fn send(&self, finished: Finished) -> bool {
        let is_heard = self.finished.send(finished).is_ok();
        self.notifier.notify();
        is_heard
    }
}

impl Committer {
    pub fn start(notifier: Notifier) -> io::Result<Committer> {
        let (to_sync, frames) = mpsc::channel::<Sealed<FileBackend>>();
        let (sender, finished) = mpsc::channel();
        let finisher = Finisher {
            finished: sender,
            notifier,
        };
        let synced = finisher.clone();
        std::thread::Builder::new()
            .name("kenvat-sync".to_owned())
            .spawn(move || {
                priority::raise();
                for sealed in frames {
                    let begun = Instant::now();
                    let written = sealed.write();
                    if !synced.send(Finished::Synced(written, begun.elapsed())) {
                        return;
                    }
                }
            })?;
        Ok(Committer {
            sealed: None,
            last_sync: Duration::ZERO,
            is_folding: false,
            next_probe: None,
            engine_check: None,
            to_sync,
            finished,
            finisher,
        })
    }

    /// For the threads of others.
    pub fn finisher(&self) -> Finisher {
        self.finisher.clone()
    }

    /// Closes the staged frame: what is staged from now on belongs to the next one. Bytes of the
    /// journal it takes.
    pub fn seal(&mut self, store: &mut Store<FileBackend>) -> Result<u64, StoreError> {
        assert!(
            self.sealed.is_none(),
            "the core asks for one commit at a time"
        );
        let sealed = store.seal()?;
        let sealed = sealed.expect("the core commits frames that hold something");
        let bytes = sealed.journal_bytes();
        self.sealed = Some(sealed);
        Ok(bytes)
    }

    pub fn has_sealed(&self) -> bool {
        self.sealed.is_some()
    }

    /// Whether syncs are quick enough to wait for on the loop's thread.
    pub fn is_disk_quick(&self) -> bool {
        self.last_sync < INLINE_SYNC_MAX
    }

    /// Writes and syncs the sealed frame on this thread.
    pub fn write_here(&mut self) -> Result<Option<(Durable, Duration)>, StoreError> {
        let Some(sealed) = self.sealed.take() else {
            return Ok(None);
        };
        let begun = Instant::now();
        let durable = sealed.write()?;
        Ok(Some((durable, begun.elapsed())))
    }

    /// Has the sealed frame written by the thread for it.
    pub fn write_elsewhere(&mut self) {
        if let Some(sealed) = self.sealed.take() {
            // The thread ends only with the channel's other end, which is ours.
            let _ = self.to_sync.send(sealed);
        }
    }

    /// A frame became durable in that time.
    pub fn synced(&mut self, took: Duration, tracer: &Tracer) {
        self.last_sync = took;
        tracer.mark(|| Step::Durable {
            took,
            syncs: kenvat_store::syncs(),
        });
    }

    pub fn is_folding(&self) -> bool {
        self.is_folding
    }

    /// Begins a fold, if there is anything to fold and none is under way.
    pub fn begin_fold(
        &mut self,
        store: &mut Store<FileBackend>,
    ) -> Result<Option<Fold<FileBackend>>, StoreError> {
        if self.is_folding {
            return Ok(None);
        }
        let fold = match store.begin_fold() {
            // Until there is space: everything is in the journal.
            Err(StoreError::NoSpace(_)) => None,
            begun => begun?,
        };
        self.is_folding = fold.is_some();
        Ok(fold)
    }

    /// Goes on with a fold on a thread of its own; `end_fold` follows.
    pub fn run_fold(&self, fold: Fold<FileBackend>) -> io::Result<()> {
        self.spawn("kenvat-fold", move || Finished::Folded(fold.run()))
    }

    pub fn end_fold(&mut self) {
        self.is_folding = false;
    }

    /// Checks an image on a thread of its own.
    pub fn check_image(&self, generation: u64, reading: Reading<ImageFile>) -> io::Result<()> {
        self.spawn("kenvat-check", move || {
            Finished::Checked(generation, reading.check())
        })
    }

    /// Hashes an image on a thread of its own.
    pub fn hash(&self, hashing: Hashing, reading: Reading<ImageFile>) -> io::Result<()> {
        self.spawn("kenvat-hash", move || {
            Finished::Hashed(hashing, reading.sha256())
        })
    }

    /// Reads this program's own engine on a thread of its own, once the start is over.
    pub fn check_engine(&mut self, reading: EngineReading<FileBackend>) -> io::Result<()> {
        let (now, hurry) = mpsc::channel();
        self.spawn("kenvat-check", move || {
            // Ends sooner when the host does.
            let _ = hurry.recv_timeout(ENGINE_CHECK_AFTER);
            Finished::EngineChecked(reading.read().map(drop))
        })?;
        self.engine_check = Some(now);
        Ok(())
    }

    pub fn end_engine_check(&mut self) {
        self.engine_check = None;
    }

    /// Has the own engine's file read now; whether that is still to be done.
    pub fn hurry_engine_check(&self) -> bool {
        // It may be being read, where nobody listens any more.
        self.engine_check.as_ref().map(|now| now.send(())).is_some()
    }

    fn spawn(
        &self,
        name: &str,
        work: impl FnOnce() -> Finished + Send + 'static,
    ) -> io::Result<()> {
        let finisher = self.finisher.clone();
        let thread = std::thread::Builder::new().name(name.to_owned());
        thread.spawn(move || finisher.send(work()))?;
        Ok(())
    }

    /// What another thread has finished, if anything.
    pub fn next_finished(&self) -> Option<Finished> {
        self.finished.try_recv().ok()
    }

    /// Waits for another thread to finish something.
    pub fn wait_finished(&self) -> Finished {
        self.finished.recv().expect("this end keeps a sender")
    }

    /// Whether the disk is to be probed for space now, where something waits for it.
    pub fn is_probe_due(&mut self, is_sought: bool) -> bool {
        if !is_sought {
            self.next_probe = None;
            return false;
        }
        let now = Instant::now();
        let is_due = match self.next_probe {
            Some(due) if due > now => return false,
            due => due.is_some(),
        };
        // What was refused just now has tried.
        self.next_probe = Some(now + SPACE_PROBE_PERIOD);
        is_due
    }

    /// Milliseconds until the disk is to be probed.
    pub fn probe_in_ms(&self) -> Option<i64> {
        self.next_probe.map(|due| {
            let left = due.saturating_duration_since(Instant::now());
            // Rounded up, or it would be looked at a moment before it is due.
            left.as_millis() as i64 + 1
        })
    }
}
