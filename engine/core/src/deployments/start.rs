//! Deployment: a vat's start is run on a copy of the genesis image, and the vat exists only if that
//! went well.
//!
//! Promises: the frame that creates the vat holds its whole start; a program that does not parse,
//! throws, never settles or takes too long leaves nothing behind, and neither does the end of the
//! host meanwhile. The start's worker is ended afterwards: it stands on a copy, and the next one on
//! the vat's own image. Turns after the first are those of timers the start waits for (`pending`).

use kenvat_store::{Part, VatId};

use super::deployment::{Deployment, Stage};
use super::{Deployments, FIRST_TURN, Purpose};
use crate::api::{
    Call, Deploy, DeployError, Deployed, VatLimits, check_deny, check_name, source_sha256,
};
use crate::calls::unknown_vat;
use crate::check::{Checked, check_content};
use crate::event::{Death, LedgerError, Reserved, SpillRefusal};
use crate::gate::{Ack, Context, Created, Durable, HandedOver, OnCommit, Output, Waiter};
use crate::pages_in;
use crate::program::{check_sources, describe, takes_too_long};
use crate::rows::{self, CountersRow, SourcesRow, TimerRow, VatRow};
use crate::timers::Timers;
use crate::vats::{Vat, Vats};
use crate::worker_slots::WorkerSlots;
use kenvat_wire::protocol::{DEFAULT_POWERS, FromWorker, HandOver, Outcome, TimerChange};

/// What a deployment may touch.
pub(crate) struct Deploying<'a, W> {
    pub deployments: &'a mut Deployments<W>,
    pub vats: &'a mut Vats<W>,
    pub timers: &'a mut Timers,
    pub slots: &'a mut WorkerSlots,
    pub cx: Context<'a, W>,
}

impl<W> Deploying<'_, W> {
    /// Somebody wants a vat, or to know whether its program starts.
    pub fn on_deploy(
        &mut self,
        (deploy, limits, purpose): (Deploy, VatLimits, Purpose),
        waiter: W,
    ) -> Result<(), LedgerError> {
        if let Err(error) = self.check_deploy(&deploy, purpose) {
            self.cx.refuse_deployment(waiter, error);
            return Ok(());
        }
        let id = self.cx.next_vat_id();
        let generation = self.slots.next_generation();
        let page_limit = limits.heap.map_or(self.cx.settings().page_limit, pages_in);
        let deployment = Deployment {
            generation,
            purpose,
            deploy,
            limits,
            page_limit,
            waiter: Some(waiter),
            callers: Vec::new(),
            callers_bytes: 0,
            began_ms: self.cx.now_ms(),
            turn: FIRST_TURN,
            stage: Stage::Runs,
        };
        let first_turn = deployment.first_turn(self.cx.seed()?);
        self.deployments.under_way.insert(id, deployment);
        self.cx.start_deployment(id, generation, page_limit, limits);
        self.cx.send(id, generation, first_turn);
        Ok(())
    }

    fn check_deploy(&self, deploy: &Deploy, purpose: Purpose) -> Result<(), DeployError> {
        let bad = |why: String| DeployError::BadRequest(why);
        check_name(&deploy.name).map_err(|error| bad(error.to_string()))?;
        if deploy.deny.len() > DEFAULT_POWERS.len() {
            return Err(bad("more powers are withheld than there are".to_owned()));
        }
        for power in &deploy.deny {
            check_deny(power).map_err(|error| bad(error.to_string()))?;
        }
        let name = &deploy.name;
        let is_taken = self.deployments.is_pending(name) || self.vats.id_of(name).is_some();
        if is_taken && purpose == Purpose::Vat {
            return Err(DeployError::NameTaken(name.clone()));
        }
        check_sources(
            &deploy.entry,
            &deploy.files,
            &deploy.give,
            self.cx.limits().source,
        )?;
        let most = self.cx.limits().deployments;
        if self.deployments.under_way.len() >= most {
            let why = format!("{most} vats are being made");
            return Err(DeployError::Overloaded(why));
        }
        Ok(())
    }

    /// A message of a deployment's worker.
    pub fn on_message(
        &mut self,
        id: VatId,
        generation: u64,
        message: FromWorker,
    ) -> Result<(), LedgerError> {
        let Some(deployment) = self.deployments.get(id) else {
            return Ok(());
        };
        let expects = deployment.expects(generation);
        match message {
            FromWorker::Starting {
                generation: named,
                last_turn,
                next,
            } if expects => self.on_starting(id, (named, last_turn), next),
            FromWorker::HandOver(hand_over) if expects => {
                return self.on_first_hand_over(id, hand_over);
            }
            FromWorker::Aborted { why, .. } if expects => {
                let message = format!("the start function was ended: {why}");
                self.end(id, DeployError::of_program(message));
            }
            // That it is ready says nothing more here; what follows the hand-over does not count.
            _ => {}
        }
        Ok(())
    }

    /// The start function is done.
    fn on_first_hand_over(&mut self, id: VatId, hand_over: HandOver) -> Result<(), LedgerError> {
        let deployment = self.known(id);
        let checked = match deployment.check_place(&hand_over) {
            Ok(()) => check_content(hand_over, 0, deployment.page_limit)
                .map_err(|violation| violation.to_string()),
            Err(violation) => Err(violation.to_string()),
        };
        match checked {
            Ok(checked) => self.on_first_checked(id, checked),
            Err(why) => {
                let why = format!("the worker broke the rules: {why}");
                self.end(id, DeployError::Host(why));
                Ok(())
            }
        }
    }

    /// And what it handed over was checked; what is large of it is in a spill file already.
    pub fn on_first_checked(&mut self, id: VatId, mut checked: Checked) -> Result<(), LedgerError> {
        let deployment = self.known(id);
        let generation = deployment.generation;
        match checked.replies.pop().map(|reply| reply.outcome) {
            Some(Outcome::Value(_)) if deployment.purpose == Purpose::DryRun => {
                self.end_dry_run(id);
            }
            Some(Outcome::Value(_)) => self.commit(id, checked)?,
            Some(Outcome::Thrown(thrown)) => self.fail(id, thrown.into()),
            None => {
                let why = "the worker broke the rules: its start is not answered".to_owned();
                self.fail(id, DeployError::Host(why));
            }
        }
        self.cx.kill(id, generation);
        Ok(())
    }

    /// The dry run went well: nothing of it remains.
    fn end_dry_run(&mut self, id: VatId) {
        let deployment = self.deployments.under_way.remove(&id);
        if let Some(deployment) = deployment
            && let Some(waiter) = deployment.waiter
        {
            let name = deployment.deploy.name;
            self.cx
                .acknowledge(Ack::DryRun(waiter, Deployed { name, id: id.0 }));
        }
    }

    /// The start went well: the vat is in the frame being filled.
    fn commit(&mut self, id: VatId, checked: Checked) -> Result<(), LedgerError> {
        let engine = self.cx.settings().engine;
        match self
            .cx
            .reserve(&self.known(id).reservation(id, engine, &checked))?
        {
            Reserved::Taken => {}
            Reserved::NoSpace(why) => {
                self.fail(id, DeployError::NoSpace(why));
                return Ok(());
            }
            Reserved::Damaged(why) => {
                self.fail(id, DeployError::Host(why));
                return Ok(());
            }
        }
        let created_ms = self.cx.now_ms();
        let deployment = self.known_mut(id);
        deployment.stage = Stage::InFrame;
        let waiter = deployment.waiter.take().expect("it waits until its frame");
        let row = VatRow {
            name: deployment.deploy.name.clone(),
            engine: engine.0,
            page_limit: deployment.page_limit,
            source_sha256: source_sha256(&deployment.deploy.entry, &deployment.deploy.files),
            created_ms,
        };
        let counters = CountersRow {
            turns: deployment.turn,
            used_pages: checked.used_pages,
        };
        let created = Created {
            id,
            counters,
            limits: deployment.limits,
            deployed: Deployed {
                name: row.name.clone(),
                id: id.0,
            },
            timers: checked.timers.iter().filter_map(set_timer).collect(),
            row,
            waiter,
        };
        let page_limit = deployment.page_limit;
        let sources = take_sources(&mut deployment.deploy);
        self.cx.stage(Part::Create {
            vat: id,
            engine,
            page_limit,
        });
        self.stage_created(&created, sources, checked);
        self.cx.on_commit(OnCommit::Create(Box::new(created)));
        // Generation 0 never runs: no worker is notified of this hand-over's apply.
        self.cx.on_commit(OnCommit::Progress(HandedOver {
            vat: id,
            generation: 0,
            hand_over: 0,
            counters,
        }));
        Ok(())
    }

    /// Stages what a new vat's start left, and its rows.
    fn stage_created(&mut self, created: &Created<W>, sources: SourcesRow, checked: Checked) {
        let vat = created.id;
        let delta = checked.delta;
        if !delta.is_empty() {
            self.cx.stage(Part::Heap { vat, delta });
        }
        let bytes = checked.log;
        if !bytes.is_empty() {
            self.cx.stage(Part::Log { vat, bytes });
        }
        let key = rows::vat_key(vat);
        if !created.limits.is_empty() {
            self.cx
                .stage_row(rows::put(rows::LIMITS, key.clone(), &created.limits));
        }
        self.cx
            .stage_row(rows::put(rows::VATS, key.clone(), &created.row));
        self.cx
            .stage_row(rows::put(rows::COUNTERS, key.clone(), &created.counters));
        if !checked.rows_are_spilled {
            self.cx.stage_row(rows::put(rows::SOURCES, key, &sources));
        }
        if let Some(side) = checked.side {
            self.cx.stage(Part::Spill(side));
        }
        for (timer, row) in &created.timers {
            self.cx
                .stage_row(rows::put(rows::TIMERS, rows::timer_key(vat, *timer), row));
        }
    }

    /// The vat is durable: it exists from now on. The calls that waited for it are to be let in.
    pub fn publish(&mut self, created: Created<W>, durable: Durable) -> Vec<(Call, W)> {
        let Created {
            id,
            row,
            counters,
            limits,
            deployed,
            timers,
            waiter,
        } = created;
        let mut vat = Vat::new(id, row, counters, limits);
        vat.progress_mut().in_frame();
        self.vats.insert(vat);
        for (timer, TimerRow { due_ms }) in timers {
            self.timers.set(id, timer, due_ms);
        }
        self.cx
            .release(durable, Output::Deployed { waiter, deployed });
        let deployment = self.deployments.under_way.remove(&id);
        deployment.map_or_else(Vec::new, |deployment| deployment.callers)
    }

    /// The start failed: nothing of the vat remains.
    fn fail(&mut self, id: VatId, error: DeployError) {
        let Some(deployment) = self.deployments.under_way.remove(&id) else {
            return;
        };
        if let Some(waiter) = deployment.waiter {
            self.cx.refuse_deployment(waiter, error);
        }
        for (call, waiter) in deployment.callers {
            let refusal = unknown_vat(self.vats, self.deployments, &call.vat);
            self.cx.refuse(Waiter::Call(waiter), refusal);
        }
    }

    /// The start failed, and its worker goes.
    pub(super) fn end(&mut self, id: VatId, error: DeployError) {
        if let Some(deployment) = self.deployments.get(id) {
            let generation = deployment.generation;
            self.fail(id, error);
            self.cx.kill(id, generation);
        }
    }

    /// No spill file could be made of what the worker handed over.
    pub fn on_spill_failed(&mut self, id: VatId, generation: u64, refusal: SpillRefusal) {
        let error = match refusal {
            SpillRefusal::NoSpace(why) => DeployError::NoSpace(why),
            SpillRefusal::Damaged(why) => DeployError::Host(why),
        };
        self.fail(id, error);
        self.cx.kill(id, generation);
    }

    /// The worker sent bytes that are no message.
    pub fn on_violation(&mut self, id: VatId, generation: u64, why: &str) {
        self.on_worker_lost(id, &format!("broke the rules: {why}"));
        self.cx.kill(id, generation);
    }

    /// The worker could not be started. What its deployer may try again is told so.
    pub fn on_not_started(&mut self, id: VatId, (why, transient): (&str, bool)) {
        if !transient {
            return self.on_worker_lost(id, &format!("could not be started: {why}"));
        }
        let why = format!("no worker can be started now: {why}");
        self.fail(id, DeployError::Overloaded(why));
    }

    /// The worker ended.
    pub fn on_gone(&mut self, id: VatId, death: Death) {
        let is_in_frame = self
            .deployments
            .get(id)
            .is_some_and(Deployment::is_in_frame);
        match death {
            Death::Clock if !is_in_frame => self.fail(id, takes_too_long()),
            _ => self.on_worker_lost(id, &describe(death)),
        }
    }

    /// The worker is no more, or never was. Once the vat is in a frame it is not needed.
    fn on_worker_lost(&mut self, id: VatId, why: &str) {
        let deployment = self.deployments.get(id);
        if deployment.is_some_and(|it| !it.is_in_frame()) {
            let error = DeployError::Host(format!("the worker of the start function {why}"));
            self.fail(id, error);
        }
    }

    fn known(&self, id: VatId) -> &Deployment<W> {
        let deployment = self.deployments.under_way.get(&id);
        deployment.expect("looked up by the caller")
    }

    pub(super) fn known_mut(&mut self, id: VatId) -> &mut Deployment<W> {
        let deployment = self.deployments.under_way.get_mut(&id);
        deployment.expect("looked up by the caller")
    }
}

fn set_timer(change: &TimerChange) -> Option<(u64, TimerRow)> {
    let due_ms = change.due_ms?;
    Some((change.timer, TimerRow { due_ms }))
}

fn take_sources(deploy: &mut Deploy) -> SourcesRow {
    SourcesRow {
        entry: deploy.entry.clone(),
        files: std::mem::take(&mut deploy.files),
        give: std::mem::take(&mut deploy.give),
        deny: std::mem::take(&mut deploy.deny),
    }
}
