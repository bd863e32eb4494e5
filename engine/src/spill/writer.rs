//! The writing of spill files, one piece of work after the other, off the engine's thread.
//!
//! Promises: work is done in the order given; a file whose hand-over is given up goes; an error is
//! kept for whoever asks for the file. Runs on any thread, over any backend: the event loop has a
//! thread for it, the simulation takes it step by step. Does not know workers or frames.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use kenvat_core::limits::SPILL_BYTES_QUEUED;
use kenvat_core::spill::Spill;
use kenvat_core::{Checked, Violation};
use kenvat_store::{
    Backend, SpillApplied, SpillBase, SpillFileError, SpillJob, SpillWriter, StoreError,
};

/// What is to be done. A worker is named by its generation.
pub enum Work<B: Backend> {
    /// A worker's first piece came.
    Begin(u64, Box<SpillWriter<B>>),
    /// A piece of its delta.
    Piece(u64, Vec<u8>),
    /// All of the hand-over came: check it and end its file, over this heap where it has a delta.
    Finish(u64, Box<Spill>, Option<SpillBase<B>>),
    /// The hand-over counts no more.
    GiveUp(u64),
    /// Bring a file whose frame is applied into its image.
    Apply(SpillJob<B>),
}

/// What was done.
pub enum Done {
    /// The hand-over as the core takes it, its file durable; or why there is none.
    Written(u64, Box<Result<Checked, SpillError>>),
    /// A file was brought into its image.
    Applied(Result<SpillApplied, StoreError>),
    /// Fewer bytes are queued than may be, where there were more.
    Drained,
}

/// Why there is no spill file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpillError {
    /// It could not be written.
    #[error(transparent)]
    Side(#[from] SpillFileError),
    /// The hand-over breaks the rules (T1).
    #[error(transparent)]
    Violation(#[from] Violation),
}

/// The files being written.
#[derive(Debug)]
pub struct SpillThread<B: Backend> {
    /// By generation. An error stands in its writer's place until the file is asked for.
    writers: HashMap<u64, Result<SpillWriter<B>, SpillFileError>>,
    /// Bytes of pieces on their way here, counted up by whoever sends them.
    queued: Arc<AtomicUsize>,
}

impl<B: Backend> SpillThread<B> {
    /// A writer that counts down what it was sent.
    pub fn new(queued: Arc<AtomicUsize>) -> SpillThread<B> {
        SpillThread {
            writers: HashMap::new(),
            queued,
        }
    }

    /// Does one piece of work, and says what came of it if somebody waits for that.
    pub fn perform(&mut self, work: Work<B>) -> Option<Done> {
        match work {
            Work::Begin(generation, writer) => _ = self.writers.insert(generation, Ok(*writer)),
            Work::GiveUp(generation) => _ = self.writers.remove(&generation),
            Work::Piece(generation, bytes) => return self.push(generation, &bytes),
            Work::Finish(generation, spill, base) => {
                let writer = self.writers.remove(&generation)?;
                let written = writer
                    .map_err(SpillError::from)
                    .and_then(|writer| write(*spill, writer, base.as_ref()));
                return Some(Done::Written(generation, Box::new(written)));
            }
            Work::Apply(job) => return Some(Done::Applied(job.run())),
        }
        None
    }

    fn push(&mut self, generation: u64, bytes: &[u8]) -> Option<Done> {
        if let Some(Ok(writer)) = self.writers.get_mut(&generation)
            && let Err(error) = writer.push(bytes)
        {
            self.writers.insert(generation, Err(error));
        }
        let before = self.queued.fetch_sub(bytes.len(), Relaxed);
        let is_drained = before > SPILL_BYTES_QUEUED && before - bytes.len() <= SPILL_BYTES_QUEUED;
        is_drained.then_some(Done::Drained)
    }
}

/// Checks the rest of a hand-over, adds what it says to its file and makes the file durable.
fn write<B: Backend>(
    spill: Spill,
    mut writer: SpillWriter<B>,
    base: Option<&SpillBase<B>>,
) -> Result<Checked, SpillError> {
    let contents = spill.check()?;
    for row in contents.rows() {
        let value = row.value.unwrap_or_default();
        writer.push_row(row.table, row.key, &value)?;
    }
    writer.push_log(contents.log())?;
    let side = writer.finish(base)?;
    Ok(contents.with_file(side))
}
