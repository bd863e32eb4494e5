//! When the steps of turns happened and what they carried: for benches, which ask for it.
//!
//! Promises: where no `Trace` is given, no clock is read and nothing is kept. Where one is given it
//! grows until it is drained. Does not know which call a step belongs to: with one call at a time
//! the order tells, and with many the frames are what is looked at.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Steps of an engine's thread, in the order they happened.
#[derive(Debug, Default)]
pub struct Trace(Mutex<Vec<Mark>>);

/// One step and its time.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// Its time.
    pub at: Instant,
    /// The step.
    pub step: Step,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// The engine's thread took a call from whoever made it.
    Taken,
    /// Turns are about to be written to a worker's socket.
    Sent,
    /// A worker's socket has bytes: a hand-over, when all is well.
    Heard,
    /// A heap delta was staged.
    Delta {
        /// Bytes of the delta.
        bytes: usize,
        /// Pages it changes.
        pages_changed: usize,
        /// What the worker's tracker named for it; the worker says so.
        pages_written: u64,
    },
    /// A frame was closed.
    Sealed {
        /// Bytes it takes in the journal.
        journal_bytes: u64,
    },
    /// It is durable.
    Durable {
        /// How long its write and sync took.
        took: Duration,
        /// How many syncs the process has done.
        syncs: u64,
    },
    /// Its outputs have left.
    Answered,
    /// Images and rows are brought up to it.
    Applied,
    /// A fold began beside the commits.
    FoldBegun,
    /// That fold is done.
    FoldEnded,
}

/// Where an engine's thread notes its steps, if somebody wants to know.
pub(crate) struct Tracer(Option<Arc<Trace>>);

impl Tracer {
    pub fn new(trace: Option<Arc<Trace>>) -> Tracer {
        Tracer(trace)
    }

    /// Notes a step, which is made up only where somebody wants to know.
    pub fn mark(&self, step: impl FnOnce() -> Step) {
        if let Some(trace) = &self.0 {
            trace.mark(step());
        }
    }
}

impl Trace {
    /// The steps since the last time.
    pub fn drain(&self) -> Vec<Mark> {
        std::mem::take(&mut *self.marks())
    }

    fn mark(&self, step: Step) {
        let at = Instant::now();
        self.marks().push(Mark { at, step });
    }

    fn marks(&self) -> std::sync::MutexGuard<'_, Vec<Mark>> {
        // A push that panicked left a list that is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
