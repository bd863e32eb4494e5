//! What the simulated host does for each effect of the core.

use kenvat_core::api::VatLimits;
use kenvat_core::apply::{self, Answer, Feed, Performer};
use kenvat_core::event::{Death, Effect, Event};
use kenvat_store::{Durable, Part, VatId};
use kenvat_wire::protocol::ToWorker;

use super::{Folding, Host, Syncs, Told};
use crate::heap::Genesis;
use crate::invariants::broken;
use crate::model::Change;
use crate::rules::Outputs;
use crate::stop::Stop;
use crate::trace::describe;

impl Performer<u64> for Host {
    type Error = Stop;

    fn feed(&mut self) -> Feed<'_, u64> {
        Feed {
            core: &mut self.core,
            ledger: &mut self.disk,
            events: &mut self.events,
            now_ms: self.now_ms,
        }
    }

    fn stage(&mut self, part: Part) -> Result<(), Stop> {
        self.disk.store.stage(part.clone())?;
        let change = match part {
            Part::Create { vat, .. } => Change::Create(vat),
            Part::Heap { vat, delta } => Change::Heap { vat, delta },
            Part::Log { vat, bytes } => Change::Log { vat, bytes },
            Part::Row(row) => Change::Row(row),
            Part::Terminate { vat } => Change::Terminate(vat),
            Part::Spill(side) => {
                self.spilled += 1;
                self.staged.extend(self.spilling.changes(side.number()));
                return Ok(());
            }
        };
        self.staged.push(change);
        Ok(())
    }

    fn seal(&mut self) -> Result<(), Stop> {
        // At the journal's bound commits wait for the fold (J7), and that for spill files.
        while self.disk.store.journal_full() {
            self.begin_fold()?;
            if matches!(self.folding, Folding::No) && self.spilling.files.is_applying() {
                self.spilling.work();
                self.hear_of_spill()?;
            }
            self.go_on_folding()?;
        }
        let sealed = self.disk.store.seal()?;
        if sealed.is_none() || self.sealed.is_some() || self.in_flight.is_some() {
            broken(
                "one frame at a time",
                "the core wants a commit that cannot be",
            )?;
        }
        self.sealed = sealed;
        self.is_newly_sealed = true;
        self.in_flight = Some(std::mem::take(&mut self.staged));
        Ok(())
    }

    fn write(&mut self) -> Result<Option<Durable>, Stop> {
        match self.syncs == Syncs::Here && !self.core.has_turns_out() {
            true => self.write_sealed(),
            false => Ok(None),
        }
    }

    /// Images come later, whoever wrote the frame.
    fn released(&mut self, durable: Durable) -> Option<Durable> {
        self.durable = self.deferred.keep_frame(durable);
        None
    }

    fn apply(&mut self, durable: Durable) -> Result<(), Stop> {
        self.disk.store.apply(durable)?;
        self.spilling.files.apply_files(&mut self.disk.store);
        Ok(())
    }

    fn start_worker(&mut self, vat: VatId, generation: u64) -> Result<(), Stop> {
        let image = self.disk.image(vat)?;
        self.insert_worker(vat, generation, Box::new(image));
        Ok(())
    }

    fn start_deployment(
        &mut self,
        vat: VatId,
        generation: u64,
        _: u32,
        _: VatLimits,
    ) -> Result<(), Stop> {
        self.insert_worker(vat, generation, Box::new(Genesis));
        Ok(())
    }

    fn send(&mut self, generation: u64, message: ToWorker) {
        if let Some(worker) = self.workers.get_mut(&generation)
            && worker.dead.is_none()
        {
            worker.inbox.push_back(message);
            self.sent_to = Some(generation);
        }
    }

    fn kill(&mut self, generation: u64) {
        if let Some(worker) = self.workers.get_mut(&generation) {
            // What it had said is still in the socket.
            worker.dead.get_or_insert(Death::Killed);
        }
    }

    fn flush_workers(&mut self) -> Result<(), Stop> {
        let is_sealed = std::mem::take(&mut self.is_newly_sealed);
        if is_sealed && self.rules.outputs == Outputs::AtSeal {
            let mut effects = Vec::new();
            let now_ms = self.now_ms;
            self.core
                .handle(now_ms, Event::Committed, &mut self.disk, &mut effects)?;
            apply::apply_effects(self, &mut effects)?;
        }
        Ok(())
    }

    fn answer(&mut self, waiter: u64, answer: Answer) {
        let told = match answer {
            Answer::Call(answer) => Told::Call(answer),
            Answer::Ask(answer) => Told::Ask(answer),
            Answer::Deploy(answer) => Told::Deploy(answer),
            Answer::Done(answer) => Told::Done(answer),
        };
        self.told.push((waiter, told));
    }

    fn defer(&mut self, effect: Effect<u64>) -> Option<Effect<u64>> {
        self.log.push(describe(&effect));
        let workers = &self.workers;
        self.deferred
            .defer(effect, |generation| workers.contains_key(&generation))
    }
}
