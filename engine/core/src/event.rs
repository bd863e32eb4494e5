//! What happens to the core, and what the core wants done: plain data.
//!
//! `W` is whatever the shell needs to answer somebody who waits; the core only keeps it and gives
//! it back. A simulation uses a number there.

use kenvat_store::{Part, Reservation, StageError, VatId};

use crate::api::{Call, CallError, Deploy, DeployError, Deployed, RequestKey, VatLimits};
use crate::check::Checked;
use kenvat_wire::protocol::{FromWorker, ToWorker};
use kenvat_wire::seed::Seed;

/// Something that happened.
#[derive(Debug)]
pub enum Event<W> {
    Call {
        call: Call,
        waiter: W,
    },
    /// What became of this key? Runs nothing.
    Ask {
        key: RequestKey,
        waiter: W,
    },
    Deploy {
        deploy: Deploy,
        limits: VatLimits,
        waiter: W,
    },
    /// Run the start of a program as for a vat, and make none.
    DryRun {
        deploy: Deploy,
        waiter: W,
    },
    /// The vat's own limits are to be these, from its next process on.
    Limit {
        vat: String,
        limits: VatLimits,
        waiter: W,
    },
    Sleep {
        vat: String,
        waiter: W,
    },
    Wake {
        vat: String,
        waiter: W,
    },
    Terminate {
        vat: String,
        waiter: W,
    },
    /// A whole message of a worker, decoded.
    FromWorker {
        vat: VatId,
        generation: u64,
        message: FromWorker,
    },
    /// A hand-over that was too large for a frame, checked and durable in a side file (J7). Nothing
    /// else of that worker is handed in before that is in the image.
    LargeHandOver {
        vat: VatId,
        generation: u64,
        checked: Box<Checked>,
    },
    /// No side file could be made of what a worker handed over: nothing of it counts.
    SpillFailed {
        vat: VatId,
        generation: u64,
        refusal: SpillRefusal,
    },
    /// A worker sent bytes that are no message. It is ended like one that lied.
    WorkerUnintelligible {
        vat: VatId,
        generation: u64,
        why: String,
    },
    /// The process is reaped, and everything whole that it had sent was handed in before.
    /// `running` is the turn it says it was running, a claim.
    WorkerGone {
        vat: VatId,
        generation: u64,
        death: Death,
        running: Option<u64>,
    },
    /// The worker could not be started: its image is damaged, say.
    WorkerNotStarted {
        vat: VatId,
        generation: u64,
        why: String,
        /// The machine lacks something now that it may have again: descriptors, memory.
        transient: bool,
    },
    /// The frame that was being committed is durable.
    Committed,
    /// The durable frame's heap changes are in the images.
    Applied,
    /// The images of these vats are whole again; there is room on the disk where `has_space`.
    Space {
        caught_up: Vec<VatId>,
        has_space: bool,
    },
    /// Time went by.
    Tick,
}

/// Why there is no side file.
#[derive(Clone, Debug)]
pub enum SpillRefusal {
    /// The disk is full.
    NoSpace(String),
    /// The vat's own files hinder it.
    Damaged(String),
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// By the host's own hand, or an operator's SIGKILL: says nothing about the message it ran.
    Killed,
    /// A fatal signal of its own making: SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS.
    Signal(i32),
    Exit(i32),
    /// The host ended it: one turn ran longer than a turn may.
    Clock,
    /// SIGBUS while the disk was full: a file system in memory had no page for a hole of its image.
    NoSpace,
}

/// Something the core wants done, in the order given.
#[derive(Debug)]
pub enum Effect<W> {
    /// Start a worker on the vat's image.
    StartWorker { vat: VatId, generation: u64 },
    /// Start a worker on a copy of the genesis image: the vat is being born and has no image yet.
    StartDeployment {
        vat: VatId,
        generation: u64,
        page_limit: u32,
        limits: VatLimits,
    },
    SendToWorker {
        vat: VatId,
        generation: u64,
        message: ToWorker,
    },
    /// End the process; `WorkerGone` follows when it is reaped.
    KillWorker { vat: VatId, generation: u64 },
    /// Put this into the frame being filled.
    Stage(Part),
    /// Make the staged frame durable; `Committed` follows, and after the core's answers to it are
    /// out, the frame is applied and `Applied` follows. Never asked for while one is under way.
    Commit,
    AnswerCall {
        waiter: W,
        answer: Result<String, CallError>,
    },
    AnswerAsk {
        waiter: W,
        answer: Result<Option<String>, CallError>,
    },
    AnswerDeploy {
        waiter: W,
        answer: Result<Deployed, DeployError>,
    },
    AnswerDone {
        waiter: W,
        answer: Result<(), CallError>,
    },
}

/// What the core asks while it works: committed rows it does not keep in memory, room, numbers, and
/// the chance of turns.
pub trait Ledger {
    fn get(&self, table: u8, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError>;
    /// A number no vat ever had.
    fn next_vat_id(&mut self) -> VatId;
    /// The chance of one more turn: bytes nobody could guess and nobody else gets.
    fn seed(&mut self) -> Result<Seed, LedgerError>;
    /// Asks room for everything of a hand-over before anything of it is staged (J8): what is taken
    /// here is not refused afterwards.
    fn reserve(&mut self, _wish: &Reservation<'_>) -> Result<Reserved, LedgerError> {
        Ok(Reserved::Taken)
    }
    /// Whether frames of the vat that were applied are not in its image yet: for want of room (I2),
    /// or because a side file takes its time (J7).
    fn is_behind(&self, _vat: VatId) -> bool {
        false
    }
    /// Whether nothing can be read any more; else it was that row alone.
    fn has_stopped(&self) -> bool {
        true
    }
}

/// What became of a wish for room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reserved {
    Taken,
    /// Nothing of it is done; there may be room another time.
    NoSpace(String),
    /// The vat's own files hinder it.
    Damaged(String),
}

/// The store's answer in the core's words.
pub fn reserved(answer: Result<(), StageError>) -> Result<Reserved, LedgerError> {
    match answer {
        Ok(()) => Ok(Reserved::Taken),
        Err(StageError::NoSpace(no_room)) => Ok(Reserved::NoSpace(no_room.to_string())),
        Err(StageError::Store(error)) => Err(LedgerError(error.to_string())),
        Err(other) => Ok(Reserved::Damaged(other.to_string())),
    }
}

/// The store could not be read, or there is no chance to be had; the engine stops.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LedgerError(pub String);

impl From<crate::rows::RowError> for LedgerError {
    fn from(error: crate::rows::RowError) -> LedgerError {
        LedgerError(error.to_string())
    }
}
