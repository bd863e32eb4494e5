//! Deployment: a vat's start is run on a copy of the genesis image, and the vat exists only if that
//! went well.
//!
//! Promises: the frame that makes the vat holds its whole start; a program that does not parse,
//! throws, never settles or takes too long leaves nothing behind, and neither does the end of the
//! host meanwhile. The start's worker is ended afterwards: it stands on a copy, and the next one on
//! the vat's own image. Turns after the first are those of timers the start waits for (`starts`).

use std::collections::{BTreeMap, BTreeSet};

use kenvat_store::{EngineHash, PART_OVERHEAD_BYTES, Part, Reservation, SpillFile, VatId};

use super::check::{Checked, Expected, check_content, check_place};
use super::event::{Death, Effect, Ledger, LedgerError, Reserved};
use super::frame::{Born, Turns};
use super::program::{check_sources, describe, takes_too_long};
use super::room::TIMER_ROW_BYTES;
use super::rows::{self, CountersRow, SourcesRow, TimerRow, VatRow};
use super::vat::Vat;
use super::{Core, pages_in};
use crate::api::{
    Call, Deploy, DeployError, Deployed, VatLimits, check_deny, check_name, source_sha256,
};
use kenvat_wire::protocol::{
    DEFAULT_POWERS, Delivery, DueTimer, FromWorker, HandOver, Message, Outcome, Program,
    TimerChange, ToWorker,
};

/// A vat whose start runs or waits.
#[derive(Debug)]
pub struct Birth<W> {
    pub generation: u64,
    pub purpose: Purpose,
    pub deploy: Deploy,
    pub limits: VatLimits,
    pub page_limit: u32,
    /// Gone once the birth has failed or is in a frame.
    pub waiter: Option<W>,
    /// Calls for the vat that came meanwhile, and their bytes.
    pub callers: Vec<(Call, W)>,
    pub callers_bytes: usize,
    pub began_ms: i64,
    /// The last turn delivered.
    pub turn: u64,
    /// The timer that the start waits for; `None` while a turn runs.
    pub waits: Option<DueTimer>,
    /// In a frame: the worker may go.
    pub done: bool,
}

/// Why a start is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Vat,
    /// To see whether the program starts: no vat comes of it.
    Trial,
}

impl<W> Birth<W> {
    /// Whether a vat of that name is to come of it.
    pub fn is_of(&self, name: &str) -> bool {
        self.purpose == Purpose::Vat && self.deploy.name == name
    }

    /// Whether it waits for a timer, or has; so one that was let wait once is let wait again.
    pub fn has_waited(&self) -> bool {
        self.waits.is_some() || self.turn > FIRST_TURN
    }

    /// Whether this is its worker, and its hand-over is waited for.
    pub fn expects(&self, generation: u64) -> bool {
        self.generation == generation && !self.done && self.waiter.is_some()
    }

    /// Bytes of what its vat is made from, where one is.
    pub fn source_bytes(&self) -> usize {
        let texts = self.deploy.files.iter().chain(&self.deploy.give);
        match self.purpose {
            Purpose::Vat => texts.map(|(name, text)| name.len() + text.len()).sum(),
            Purpose::Trial => 0,
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

    /// What can be said against its worker's hand-over without a look at every byte.
    pub fn check_place(&self, hand_over: &HandOver) -> Result<(), String> {
        if hand_over.generation != self.generation {
            let generation = hand_over.generation;
            return Err(format!("it hands over as generation {generation}"));
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
        check_place(hand_over, &expected).map_err(|violation| violation.to_string())?;
        if self.waits.is_some() || hand_over.last_turn != self.turn {
            return Err("it hands over what nobody asked for".to_owned());
        }
        if hand_over.replies.iter().any(|it| it.request != FIRST_TURN) {
            return Err("it answers what nobody asked".to_owned());
        }
        Ok(())
    }

    /// Whether a turn of it runs.
    pub fn is_running(&self) -> bool {
        !self.done && self.waits.is_none()
    }
}

/// The first turn is turn 1, and its request as well.
pub(super) const FIRST_TURN: u64 = 1;

/// Bytes of a new vat's rows besides its sources and what it is given.
const VAT_ROWS_BYTES: usize = 4 << 10;

impl<W> Birth<W> {
    /// What the frame that makes the vat needs.
    fn wish<'a>(&self, vat: VatId, engine: EngineHash, checked: &'a Checked) -> Reservation<'a> {
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

impl<W> Core<W> {
    pub(super) fn on_deploy(
        &mut self,
        deploy: Deploy,
        limits: VatLimits,
        purpose: Purpose,
        waiter: W,
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        if let Err(error) = self.check_deploy(&deploy, purpose) {
            out.push(Effect::AnswerDeploy {
                waiter,
                answer: Err(error),
            });
            return Ok(());
        }
        let most = self.settings.limits.deployments;
        if self.births.len() >= most {
            let why = format!("{most} vats are being made");
            let answer = Err(DeployError::Overloaded(why));
            out.push(Effect::AnswerDeploy { waiter, answer });
            return Ok(());
        }
        let id = ledger.next_vat_id();
        let generation = self.next_generation;
        self.next_generation += 1;
        let page_limit = limits.heap.map_or(self.settings.page_limit, pages_in);
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
        let turn = Delivery {
            turn: FIRST_TURN,
            time_ms: self.now_ms,
            seed: ledger.seed()?,
            message,
        };
        let waiter = Some(waiter);
        let birth = Birth {
            generation,
            purpose,
            deploy,
            limits,
            page_limit,
            waiter,
            callers: Vec::new(),
            callers_bytes: 0,
            began_ms: self.now_ms,
            turn: FIRST_TURN,
            waits: None,
            done: false,
        };
        self.births.insert(id, birth);
        out.push(Effect::StartDeployment {
            vat: id,
            generation,
            page_limit,
            limits,
        });
        let message = ToWorker::Deliver {
            turns: vec![turn],
            hand_over: true,
        };
        out.push(Effect::SendToWorker {
            vat: id,
            generation,
            message,
        });
        Ok(())
    }

    fn check_deploy(&self, deploy: &Deploy, purpose: Purpose) -> Result<(), DeployError> {
        check_name(&deploy.name).map_err(DeployError::BadRequest)?;
        if deploy.deny.len() > DEFAULT_POWERS.len() {
            let why = "more powers are withheld than there are".to_owned();
            return Err(DeployError::BadRequest(why));
        }
        for power in &deploy.deny {
            check_deny(power).map_err(DeployError::BadRequest)?;
        }
        let born = self.births.values().any(|birth| birth.is_of(&deploy.name));
        let taken = born || self.names.contains_key(&deploy.name);
        if taken && purpose == Purpose::Vat {
            return Err(DeployError::NameTaken(deploy.name.clone()));
        }
        let most = self.settings.limits.source;
        check_sources(&deploy.entry, &deploy.files, &deploy.give, most)
    }

    pub(super) fn on_birth_message(
        &mut self,
        id: VatId,
        generation: u64,
        message: FromWorker,
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        let birth = self.births.get(&id).expect("asked for by the caller");
        // Ready says nothing more here; what follows the hand-over does not count.
        match message {
            FromWorker::Starting {
                generation: named,
                last_turn,
                next,
            } => {
                if birth.generation == generation && birth.waiter.is_some() && !birth.done {
                    self.on_starting(id, (named, last_turn), next, out);
                }
            }
            FromWorker::HandOver(hand_over) => {
                return self.on_first_hand_over(id, generation, hand_over, ledger, out);
            }
            FromWorker::Aborted { why, .. } => {
                if birth.generation == generation && birth.waiter.is_some() {
                    let message = format!("the start function was ended: {why}");
                    self.miscarry(id, DeployError::of_program(message), out);
                    out.push(Effect::KillWorker {
                        vat: id,
                        generation,
                    });
                }
            }
            FromWorker::Ready { .. } | FromWorker::Delta { .. } => {}
        }
        Ok(())
    }

    /// The start function is done.
    fn on_first_hand_over(
        &mut self,
        id: VatId,
        generation: u64,
        hand_over: HandOver,
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        let birth = self.births.get(&id).expect("asked for by the caller");
        if !birth.expects(generation) {
            return Ok(());
        }
        let checked = birth.check_place(&hand_over).and_then(|()| {
            let checked = check_content(hand_over, 0, birth.page_limit);
            checked.map_err(|violation| violation.to_string())
        });
        match checked {
            Ok(checked) => self.on_first_checked(id, generation, checked, ledger, out),
            Err(why) => {
                let why = format!("the worker broke the rules: {why}");
                self.miscarry(id, DeployError::Host(why), out);
                out.push(Effect::KillWorker {
                    vat: id,
                    generation,
                });
                Ok(())
            }
        }
    }

    /// And what it handed over was checked; what is large of it is in a side file already.
    pub(super) fn on_first_checked(
        &mut self,
        id: VatId,
        generation: u64,
        mut checked: Checked,
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        let birth = self.births.get(&id).expect("asked for by the caller");
        match checked.replies.pop().map(|reply| reply.outcome) {
            Some(Outcome::Value(_)) if birth.purpose == Purpose::Trial => self.pass(id, out),
            Some(Outcome::Value(_)) => self.bear(id, checked, ledger, out)?,
            Some(Outcome::Thrown(thrown)) => self.miscarry(id, thrown.into(), out),
            None => {
                let why = "the worker broke the rules: its start is not answered".to_owned();
                self.miscarry(id, DeployError::Host(why), out);
            }
        }
        out.push(Effect::KillWorker {
            vat: id,
            generation,
        });
        Ok(())
    }

    /// The trial went well: nothing of it remains.
    fn pass(&mut self, id: VatId, out: &mut Vec<Effect<W>>) {
        let birth = self.births.remove(&id).expect("checked by the caller");
        if let Some(waiter) = birth.waiter {
            let name = birth.deploy.name;
            let answer = Ok(Deployed { name, id: id.0 });
            out.push(Effect::AnswerDeploy { waiter, answer });
        }
    }

    /// The start went well: the vat is in the frame being filled.
    fn bear(
        &mut self,
        id: VatId,
        checked: Checked,
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        let engine = self.settings.engine;
        let birth = self.births.get_mut(&id).expect("checked by the caller");
        match ledger.reserve(&birth.wish(id, engine, &checked))? {
            Reserved::Taken => {}
            Reserved::NoSpace(why) => {
                self.miscarry(id, DeployError::NoSpace(why), out);
                return Ok(());
            }
            Reserved::Damaged(why) => {
                self.miscarry(id, DeployError::Host(why), out);
                return Ok(());
            }
        }
        let birth = self.births.get_mut(&id).expect("there a moment ago");
        birth.done = true;
        let deploy = &mut birth.deploy;
        let row = VatRow {
            name: deploy.name.clone(),
            engine: self.settings.engine.0,
            page_limit: birth.page_limit,
            source_sha256: source_sha256(&deploy.entry, &deploy.files),
            created_ms: self.now_ms,
        };
        let sources = SourcesRow {
            entry: deploy.entry.clone(),
            files: std::mem::take(&mut deploy.files),
            give: std::mem::take(&mut deploy.give),
            deny: std::mem::take(&mut deploy.deny),
        };
        let are_aside = checked.rows_are_spilled;
        let sources = (!are_aside).then(|| rows::put(rows::SOURCES, rows::vat_key(id), &sources));
        let counters = CountersRow {
            turns: birth.turn,
            used_pages: checked.used_pages,
        };
        let engine = self.settings.engine;
        let page_limit = birth.page_limit;
        out.push(Effect::Stage(Part::Create {
            vat: id,
            engine,
            page_limit,
        }));
        if !checked.delta.is_empty() {
            out.push(Effect::Stage(Part::Heap {
                vat: id,
                delta: checked.delta,
            }));
        }
        if !checked.log.is_empty() {
            out.push(Effect::Stage(Part::Log {
                vat: id,
                bytes: checked.log,
            }));
        }
        let key = rows::vat_key(id);
        let limits = birth.limits;
        if !limits.is_empty() {
            let row = rows::put(rows::LIMITS, key.clone(), &limits);
            out.push(Effect::Stage(Part::Row(row)));
        }
        let of_vat = [
            rows::put(rows::VATS, key.clone(), &row),
            rows::put(rows::COUNTERS, key, &counters),
        ];
        for row in of_vat.into_iter().chain(sources) {
            out.push(Effect::Stage(Part::Row(row)));
        }
        if let Some(side) = checked.side {
            out.push(Effect::Stage(Part::Spill(side)));
        }
        let set = |change: TimerChange| {
            let due_ms = change.due_ms?;
            Some((change.timer, TimerRow { due_ms }))
        };
        let timers: Vec<(u64, TimerRow)> = checked.timers.into_iter().filter_map(set).collect();
        for (timer, row) in &timers {
            let row = rows::put(rows::TIMERS, rows::timer_key(id, *timer), row);
            out.push(Effect::Stage(Part::Row(row)));
        }
        let deployed = Deployed {
            name: row.name.clone(),
            id: id.0,
        };
        let waiter = birth.waiter.take().expect("checked by the caller");
        self.filling.born.push(Born {
            id,
            row,
            counters,
            limits,
            deployed,
            timers,
            waiter,
        });
        // Generation 0 never runs: no worker is told of this hand-over's apply.
        self.filling.turns.push(Turns {
            vat: id,
            generation: 0,
            hand_over: 0,
            counters,
        });
        self.filling.is_empty = false;
        Ok(())
    }

    /// The vat is durable: it exists from now on, and the calls that waited for it are let in.
    pub(super) fn settle_in(
        &mut self,
        born: Born<W>,
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        let Born {
            id,
            row,
            counters,
            limits,
            deployed,
            timers,
            waiter,
        } = born;
        self.names.insert(row.name.clone(), id);
        let mut vat = Vat::new(id, row, counters);
        vat.limits = limits;
        vat.unapplied = 1;
        vat.idle_since_ms = self.now_ms;
        self.vats.insert(id, vat);
        for (timer, row) in timers {
            self.load_timer(id, timer, row);
        }
        out.push(Effect::AnswerDeploy {
            waiter,
            answer: Ok(deployed),
        });
        let callers = match self.births.get_mut(&id) {
            Some(birth) => std::mem::take(&mut birth.callers),
            None => Vec::new(),
        };
        self.births.remove(&id);
        for (call, waiter) in callers {
            self.on_call(call, waiter, ledger, out)?;
        }
        Ok(())
    }

    /// The start failed: nothing of the vat remains.
    pub(super) fn miscarry(&mut self, id: VatId, error: DeployError, out: &mut Vec<Effect<W>>) {
        let Some(birth) = self.births.remove(&id) else {
            return;
        };
        if let Some(waiter) = birth.waiter {
            out.push(Effect::AnswerDeploy {
                waiter,
                answer: Err(error),
            });
        }
        for (call, waiter) in birth.callers {
            let error = self.unknown_vat(&call.vat);
            out.push(Effect::AnswerCall {
                waiter,
                answer: Err(error),
            });
        }
    }

    /// The first turn's worker could not be started. What its maker may try again is said to be so.
    pub(super) fn on_birth_not_started(
        &mut self,
        id: VatId,
        why: &str,
        transient: bool,
        out: &mut Vec<Effect<W>>,
    ) {
        if !transient {
            return self.on_birth_gone(id, &format!("could not be started: {why}"), out);
        }
        let why = format!("no worker can be started now: {why}");
        self.miscarry(id, DeployError::Overloaded(why), out);
    }

    /// The worker of a first turn ended.
    pub(super) fn on_birth_dead(&mut self, id: VatId, death: Death, out: &mut Vec<Effect<W>>) {
        match death {
            Death::Clock => self.miscarry(id, takes_too_long(), out),
            _ => self.on_birth_gone(id, &describe(death), out),
        }
    }

    /// The worker of a first turn is no more, or never was.
    pub(super) fn on_birth_gone(&mut self, id: VatId, why: &str, out: &mut Vec<Effect<W>>) {
        let waits = self
            .births
            .get(&id)
            .is_some_and(|birth| birth.waiter.is_some());
        if waits {
            let error = DeployError::Host(format!("the worker of the start function {why}"));
            self.miscarry(id, error, out);
        }
    }
}
