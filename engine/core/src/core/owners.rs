//! The owners of the core's state, and which procedure borrows which of them for which event.

use kenvat_store::VatId;

use crate::api::{Deploy, VatLimits};
use crate::calls::{Calls, unknown_vat};
use crate::check::Checked;
use crate::delivery::Deliveries;
use crate::deployments::{Deploying, Deployments, Purpose};
use crate::event::{Event, LedgerError, SpillRefusal};
use crate::gate::{Context, DurableFrame, HandedOver, Waiter};
use crate::hand_over::HandOvers;
use crate::held_back::HeldBack;
use crate::lifecycle::Lifecycle;
use crate::lifecycle::termination::Termination;
use crate::lifecycle::undo::Undo;
use crate::limits::CoreLimits;
use crate::requests::Requests;
use crate::scheduling::Scheduling;
use crate::spill::Spilling;
use crate::ticks::Ticks;
use crate::timers::Timers;
use crate::vats::{Vat, Vats, Wishes};
use crate::worker_slots::WorkerSlots;
use crate::{Loaded, LoadedVat, Settings};
use kenvat_wire::protocol::FromWorker;

/// The owners of the core's state, which procedures borrow from.
#[derive(Debug)]
pub(super) struct Owners<W> {
    pub(super) vats: Vats<W>,
    pub(super) requests: Requests<W>,
    pub(super) deployments: Deployments<W>,
    pub(super) timers: Timers,
    slots: WorkerSlots,
    pub(super) held_back: HeldBack,
    pub(super) ticks: Ticks,
}

impl<W> Owners<W> {
    pub(super) fn new(settings: &Settings, loaded: Loaded) -> Owners<W> {
        let mut vats = Vats::new();
        let mut requests = Requests::new(loaded.clients, settings.limits);
        let mut timers = Timers::default();
        for LoadedVat {
            id,
            row,
            counters,
            limits,
            poison,
            damage,
        } in loaded.vats
        {
            let mut vat = Vat::new(id, row, counters, limits);
            vat.faults_mut().poison = poison;
            if let Some(why) = damage {
                vat.faults_mut().last_error = Some(why.clone());
                vat.worker_mut().fail(why);
            }
            vats.insert(vat);
        }
        for (id, turn, row) in loaded.open {
            if let Some(vat) = vats.get_mut(id) {
                vat.open_mut().insert(turn, requests.load_open(id, row));
            }
        }
        for (vat, timer, row) in loaded.timers {
            if vats.get(vat).is_some() {
                timers.set(vat, timer, row.due_ms);
            }
        }
        Owners {
            vats,
            requests,
            deployments: Deployments::new(),
            timers,
            slots: WorkerSlots::new(),
            held_back: HeldBack::default(),
            ticks: Ticks::default(),
        }
    }

    pub(super) fn spilling<'a>(&'a self, limits: &'a CoreLimits) -> Spilling<'a, W> {
        Spilling {
            vats: &self.vats,
            requests: &self.requests,
            timers: &self.timers,
            deployments: &self.deployments,
            limits,
        }
    }
}

/// One event under way: the owners, and what surrounds it.
pub(super) struct Dispatch<'a, W> {
    pub(super) owners: &'a mut Owners<W>,
    pub(super) cx: Context<'a, W>,
}

impl<W> Dispatch<'_, W> {
    pub(super) fn on_event(&mut self, event: Event<W>) -> Result<(), LedgerError> {
        match event {
            Event::Call { call, waiter } => return self.calls().on_call(call, waiter),
            Event::Ask { key, waiter } => return self.calls().on_ask(&key, waiter),
            Event::Deploy {
                deploy,
                limits,
                waiter,
            } => return self.on_deploy((deploy, limits, Purpose::Vat), waiter),
            Event::DryRun { deploy, waiter } => {
                let dry_run = (deploy, VatLimits::default(), Purpose::DryRun);
                return self.on_deploy(dry_run, waiter);
            }
            Event::Limit {
                vat,
                limits,
                waiter,
            } => {
                if let Some((id, waiter)) = self.named(&vat, waiter) {
                    self.lifecycle().on_limit(id, limits, waiter);
                }
            }
            Event::Sleep { vat, waiter } => self.on_wish(&vat, waiter, |it| &mut it.asleep),
            Event::Wake { vat, waiter } => self.on_wish(&vat, waiter, |it| &mut it.awake),
            Event::Terminate { vat, waiter } => match self.owners.deployments.starting(&vat) {
                Some(id) => self.deploying().withdraw(id, waiter),
                None => self.on_wish(&vat, waiter, |it| &mut it.gone),
            },
            Event::Tick => {
                self.scheduling().on_tick();
                return self.deploying().go_on_starting();
            }
            Event::Committed | Event::Applied | Event::Space { .. } => {
                unreachable!("the core handles what changes its gate")
            }
            of_worker => return self.on_worker_event(of_worker),
        }
        Ok(())
    }

    /// An event of a worker, which is a deployment's or a vat's.
    fn on_worker_event(&mut self, event: Event<W>) -> Result<(), LedgerError> {
        match event {
            Event::FromWorker {
                vat,
                generation,
                message,
            } => return self.on_message(vat, generation, message),
            Event::LargeHandOver {
                vat,
                generation,
                checked,
            } => return self.on_large_hand_over(vat, generation, *checked),
            Event::SpillFailed {
                vat,
                generation,
                refusal,
            } => self.on_spill_failed(vat, generation, refusal),
            Event::WorkerUnintelligible {
                vat,
                generation,
                why,
            } => match self.owners.deployments.contains(vat) {
                true => self.deploying().on_violation(vat, generation, &why),
                false => self.lifecycle().on_violation(vat, generation, why),
            },
            Event::WorkerGone {
                vat,
                generation,
                death,
                running,
            } => match self.owners.deployments.contains(vat) {
                true => self.deploying().on_gone(vat, death),
                false => self.lifecycle().on_gone(vat, generation, death, running),
            },
            Event::WorkerNotStarted {
                vat,
                generation,
                why,
                transient,
            } => {
                if self.owners.deployments.contains(vat) {
                    self.deploying().on_not_started(vat, (&why, transient));
                } else {
                    let others = self.owners.deployments.running();
                    let failure = (why, transient);
                    let mut life = self.lifecycle();
                    life.on_not_started(vat, generation, failure, others);
                }
            }
            _ => unreachable!("every other event is the host's"),
        }
        Ok(())
    }

    fn on_deploy(
        &mut self,
        deploy: (Deploy, VatLimits, Purpose),
        waiter: W,
    ) -> Result<(), LedgerError> {
        self.deploying().on_deploy(deploy, waiter)
    }

    /// Somebody wants the vat of that name to be in some state.
    fn on_wish(&mut self, name: &str, waiter: W, list: impl FnOnce(&mut Wishes<W>) -> &mut Vec<W>) {
        if let Some((id, waiter)) = self.named(name, waiter) {
            self.lifecycle().on_wish(id, waiter, list);
        }
    }

    /// The vat of that name; where there is none, the waiter is told.
    fn named(&mut self, name: &str, waiter: W) -> Option<(VatId, W)> {
        if let Some(id) = self.owners.vats.id_of(name) {
            return Some((id, waiter));
        }
        let refusal = unknown_vat(&self.owners.vats, &self.owners.deployments, name);
        self.cx.refuse(Waiter::Done(waiter), refusal);
        None
    }

    fn on_message(
        &mut self,
        vat: VatId,
        generation: u64,
        message: FromWorker,
    ) -> Result<(), LedgerError> {
        match self.owners.deployments.contains(vat) {
            true => self.deploying().on_message(vat, generation, message),
            false => self.hand_overs().on_message(vat, generation, message),
        }
    }

    fn on_large_hand_over(
        &mut self,
        vat: VatId,
        generation: u64,
        checked: Checked,
    ) -> Result<(), LedgerError> {
        match self.owners.deployments.get(vat) {
            Some(deployment) if !deployment.expects(generation) => Ok(()),
            Some(_) => self.deploying().on_first_checked(vat, checked),
            None if !self.owners.vats.is_current(vat, generation) => Ok(()),
            None => self.hand_overs().on_checked(vat, generation, checked),
        }
    }

    /// No spill file could be made: as if the worker had not run since its last hand-over.
    fn on_spill_failed(&mut self, vat: VatId, generation: u64, refusal: SpillRefusal) {
        if self.owners.deployments.contains(vat) {
            let mut deploying = self.deploying();
            deploying.on_spill_failed(vat, generation, refusal);
        } else if self.owners.vats.is_current(vat, generation) {
            let mut life = self.lifecycle();
            match refusal {
                SpillRefusal::Damaged(why) => life.on_damaged(vat, generation, why),
                SpillRefusal::NoSpace(why) => life.on_no_space(vat, &why),
            }
        }
    }

    /// The frame is durable: what waited for it leaves.
    pub(super) fn on_committed(&mut self, frame: &mut DurableFrame<W>) -> Result<(), LedgerError> {
        let durable = frame.proof();
        for no in frame.settled() {
            self.owners.requests.release(*no, durable, &mut self.cx);
        }
        for limited in frame.take_limited() {
            self.lifecycle().limited(limited, durable);
        }
        for HandedOver { vat, counters, .. } in frame.turns() {
            if let Some(vat) = self.owners.vats.get_mut(*vat) {
                vat.set_committed(*counters);
            }
        }
        for id in frame.take_removed() {
            self.termination().remove(id, durable);
        }
        for created in frame.take_created() {
            for (call, waiter) in self.deploying().publish(created, durable) {
                self.calls().on_call(call, waiter)?;
            }
        }
        Ok(())
    }

    /// The frame's heap changes are in the images: the slot is free, workers may forget their
    /// copies.
    pub(super) fn on_applied(&mut self, settled: Vec<u64>, turns: Vec<HandedOver>) {
        for no in settled {
            self.owners.requests.forget(no);
        }
        for turns in turns {
            // Its worker must not drop copies of what the image does not have (H1).
            if self.cx.ledger().is_behind(turns.vat) {
                self.cx.lag(turns);
            } else {
                self.lifecycle().on_vat_applied(turns);
            }
        }
        self.owners.vats.touch_ahead();
        self.owners.slots.note_change();
    }

    /// Images caught up, or there is space again.
    pub(super) fn on_space(&mut self, caught_up: Vec<HandedOver>, has_space: bool) {
        let mut life = self.lifecycle();
        for turns in caught_up {
            life.on_vat_applied(turns);
        }
        if has_space {
            life.on_space();
        }
    }

    /// Brings everything forward that the events since the last call made possible.
    pub(super) fn flush(&mut self) -> Result<(), LedgerError> {
        let mut moved = Vec::new();
        loop {
            let touched = self.owners.vats.take_touched();
            for id in &touched {
                self.advance(*id)?;
            }
            moved.extend(touched);
            if !self.owners.vats.has_touched() {
                moved.extend(self.scheduling().fill_slots());
            }
            if !self.owners.vats.has_touched() {
                break;
            }
        }
        if self.cx.is_frame_due() {
            // Space for them was reserved with each answer.
            for row in self.owners.requests.take_moved_windows() {
                self.cx.stage_row(row);
            }
            self.cx.commit();
            self.hand_overs().let_in()?;
        }
        for id in moved {
            self.deliveries().deliver(id)?;
        }
        Ok(())
    }

    /// Something happened to the vat: what follows from it.
    pub(super) fn advance(&mut self, id: VatId) -> Result<(), LedgerError> {
        let mut undo = Undo {
            vats: &mut self.owners.vats,
            requests: &mut self.owners.requests,
            timers: &mut self.owners.timers,
            ticks: &mut self.owners.ticks,
            cx: self.cx.reborrow(),
        };
        undo.consume(id)?;
        let is_ending = self.lifecycle().advance(id);
        match is_ending {
            true => self.termination().stage(id),
            false => Ok(()),
        }
    }

    fn calls(&mut self) -> Calls<'_, W> {
        Calls {
            vats: &mut self.owners.vats,
            requests: &mut self.owners.requests,
            deployments: &mut self.owners.deployments,
            cx: self.cx.reborrow(),
        }
    }

    fn deploying(&mut self) -> Deploying<'_, W> {
        Deploying {
            deployments: &mut self.owners.deployments,
            vats: &mut self.owners.vats,
            timers: &mut self.owners.timers,
            slots: &mut self.owners.slots,
            cx: self.cx.reborrow(),
        }
    }

    pub(super) fn lifecycle(&mut self) -> Lifecycle<'_, W> {
        Lifecycle {
            vats: &mut self.owners.vats,
            requests: &mut self.owners.requests,
            timers: &mut self.owners.timers,
            slots: &mut self.owners.slots,
            cx: self.cx.reborrow(),
        }
    }

    pub(super) fn hand_overs(&mut self) -> HandOvers<'_, W> {
        HandOvers {
            life: Lifecycle {
                vats: &mut self.owners.vats,
                requests: &mut self.owners.requests,
                timers: &mut self.owners.timers,
                slots: &mut self.owners.slots,
                cx: self.cx.reborrow(),
            },
            held_back: &mut self.owners.held_back,
            ticks: &mut self.owners.ticks,
        }
    }

    fn termination(&mut self) -> Termination<'_, W> {
        Termination {
            vats: &mut self.owners.vats,
            requests: &mut self.owners.requests,
            timers: &mut self.owners.timers,
            cx: self.cx.reborrow(),
        }
    }

    pub(super) fn scheduling(&mut self) -> Scheduling<'_, W> {
        Scheduling {
            vats: &mut self.owners.vats,
            requests: &mut self.owners.requests,
            timers: &mut self.owners.timers,
            slots: &mut self.owners.slots,
            ticks: &mut self.owners.ticks,
            deployments: &self.owners.deployments,
            cx: self.cx.reborrow(),
        }
    }

    pub(super) fn deliveries(&mut self) -> Deliveries<'_, W> {
        Deliveries {
            vats: &mut self.owners.vats,
            requests: &mut self.owners.requests,
            cx: self.cx.reborrow(),
        }
    }
}
