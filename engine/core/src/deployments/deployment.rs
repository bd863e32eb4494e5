//! One deployment: a program whose start runs on a copy of the genesis image, or waits.

use std::collections::{BTreeMap, BTreeSet};

use kenvat_store::{EngineHash, PART_OVERHEAD_BYTES, Reservation, SpillFile, VatId};

use super::{FIRST_TURN, Purpose};
use crate::api::{Call, Deploy, VatLimits};
use crate::check::{Checked, Expected, Violation, check_place};
use crate::rows::SourcesRow;
use crate::space::TIMER_ROW_BYTES;
use kenvat_wire::protocol::{Delivery, DueTimer, HandOver, Message, Program, ToWorker};
use kenvat_wire::seed::Seed;

/// Bytes of a new vat's rows besides its sources and what it is given.
const VAT_ROWS_BYTES: usize = 4 << 10;

/// A program whose start runs or waits.
#[derive(Debug)]
pub(crate) struct Deployment<W> {
    pub(super) generation: u64,
    pub(super) purpose: Purpose,
    pub(super) deploy: Deploy,
    pub(super) limits: VatLimits,
    pub(super) page_limit: u32,
    /// Gone once the deployment is in a frame.
    pub(super) waiter: Option<W>,
    /// Calls for the vat that came meanwhile, and their bytes.
    pub(super) callers: Vec<(Call, W)>,
    pub(super) callers_bytes: usize,
    pub(super) began_ms: i64,
    /// The last turn delivered.
    pub(super) turn: u64,
    pub(super) stage: Stage,
}

/// How far a deployment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its worker runs a turn.
    Runs,
    /// Its start waits for this timer.
    Waits(DueTimer),
    /// Its vat is in a frame: the worker may go.
    InFrame,
}

/// What a worker's first hand-over has against it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FirstViolation {
    /// It names another generation than the worker's.
    #[error("it hands over as generation {0}")]
    Generation(u64),
    /// It is not what was due from this worker.
    #[error(transparent)]
    Place(#[from] Violation),
    /// No start is under way that could end with it.
    #[error("it hands over what nobody asked for")]
    Unasked,
    /// It answers another request than the start's.
    #[error("it answers what nobody asked")]
    UnaskedAnswer,
}

impl<W> Deployment<W> {
    /// Whether a vat of that name is to come of it.
    pub fn is_of(&self, name: &str) -> bool {
        self.purpose == Purpose::Vat && self.deploy.name == name
    }

    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    pub fn page_limit(&self) -> u32 {
        self.page_limit
    }

    /// Whether it waits for a timer, or has; so one that was let wait once is let wait again.
    pub(super) fn has_waited(&self) -> bool {
        matches!(self.stage, Stage::Waits(_)) || self.turn > FIRST_TURN
    }

    /// Whether this is its worker, and its hand-over is waited for.
    pub fn expects(&self, generation: u64) -> bool {
        self.generation == generation && self.stage != Stage::InFrame
    }

    /// Whether a turn of it runs.
    pub(super) fn is_running(&self) -> bool {
        self.stage == Stage::Runs
    }

    /// Whether its vat is in a frame.
    pub(super) fn is_in_frame(&self) -> bool {
        self.stage == Stage::InFrame
    }

    /// The timer that the start waits for.
    pub(super) fn waits_for(&self) -> Option<DueTimer> {
        match self.stage {
            Stage::Waits(due) => Some(due),
            Stage::Runs | Stage::InFrame => None,
        }
    }

    /// Bytes of what its vat is made from, where one is.
    pub fn source_bytes(&self) -> usize {
        let texts = self.deploy.files.iter().chain(&self.deploy.give);
        match self.purpose {
            Purpose::Vat => texts.map(|(name, text)| name.len() + text.len()).sum(),
            Purpose::DryRun => 0,
        }
    }

    pub fn sources(&self) -> SourcesRow {
        let deploy = &self.deploy;
        SourcesRow {
            entry: deploy.entry.clone(),
            files: deploy.files.clone(),
            give: deploy.give.clone(),
            deny: deploy.deny.clone(),
        }
    }

    /// Its first turn.
    pub(super) fn first_turn(&self, seed: Seed) -> ToWorker {
        let deploy = &self.deploy;
        let program = Program {
            entry: deploy.entry.clone(),
            files: deploy.files.clone(),
            give: deploy.give.clone(),
            deny: deploy.deny.clone(),
        };
        let message = Message::Deploy {
            request: FIRST_TURN,
            program,
        };
        self.delivery(self.began_ms, seed, message)
    }

    /// Its next turn, the timer's that its start waited for.
    pub(super) fn next_turn(&mut self, timer: u64, time_ms: i64, seed: Seed) -> ToWorker {
        self.turn += 1;
        self.stage = Stage::Runs;
        self.delivery(time_ms, seed, Message::Timer { timer })
    }

    fn delivery(&self, time_ms: i64, seed: Seed, message: Message) -> ToWorker {
        ToWorker::Deliver {
            turns: vec![Delivery {
                turn: self.turn,
                time_ms,
                seed,
                message,
            }],
            hand_over: true,
        }
    }

    /// What can be said against its worker's hand-over without a look at every byte.
    pub fn check_place(&self, hand_over: &HandOver) -> Result<(), FirstViolation> {
        if hand_over.generation != self.generation {
            return Err(FirstViolation::Generation(hand_over.generation));
        }
        let (open, timers, timer_turns) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let expected = Expected {
            number: 0,
            handed_turn: 0,
            last_turn: self.turn,
            open: &open,
            timers: &timers,
            timer_turns: &timer_turns,
            page_limit: self.page_limit,
        };
        check_place(hand_over, &expected)?;
        if self.waits_for().is_some() || hand_over.last_turn != self.turn {
            return Err(FirstViolation::Unasked);
        }
        if hand_over.replies.iter().any(|it| it.request != FIRST_TURN) {
            return Err(FirstViolation::UnaskedAnswer);
        }
        Ok(())
    }

    /// What the frame that creates the vat needs.
    pub(super) fn reservation<'a>(
        &self,
        vat: VatId,
        engine: EngineHash,
        checked: &'a Checked,
    ) -> Reservation<'a> {
        let count = self.deploy.files.len() + self.deploy.give.len();
        let sources = match checked.rows_are_spilled {
            true => 0,
            false => self.source_bytes() + count * PART_OVERHEAD_BYTES,
        };
        Reservation {
            vat,
            creates: Some((engine, self.page_limit)),
            delta: (!checked.delta.is_empty()).then_some(&checked.delta),
            log_bytes: checked.log.len(),
            spill_log_bytes: checked.side.as_ref().map_or(0, SpillFile::log_bytes),
            row_bytes: VAT_ROWS_BYTES
                + sources
                + checked.timers.len() * (TIMER_ROW_BYTES + PART_OVERHEAD_BYTES),
        }
    }
}
