//! What the event loop does for each effect of the core; the order is `kenvat_core::apply`'s.

use kenvat_core::api::VatLimits;
use kenvat_core::apply::{Answer, Feed, Performer};
use kenvat_core::event::{Death, Effect, Event};
use kenvat_store::{Delta, Durable, Part, VatId};
use kenvat_wire::protocol::ToWorker;

use super::start_error;
use super::starter::Starter;
use super::{EventLoop, Fatal, Waiter};
use crate::trace::Step;

impl Performer<Waiter> for EventLoop {
    type Error = Fatal;

    fn feed(&mut self) -> Feed<'_, Waiter> {
        Feed {
            core: &mut self.core,
            now_ms: self.clock.now_ms(),
            ledger: &mut self.ledger,
            events: &mut self.events,
        }
    }

    fn stage(&mut self, part: Part) -> Result<(), Fatal> {
        if let Part::Heap { vat, delta } = &part {
            let workers = &self.workers;
            self.tracer.mark(|| Step::Delta {
                bytes: delta.as_bytes().len(),
                pages_changed: pages_changed(delta),
                pages_written: workers.pages_written(*vat),
            });
        }
        Ok(self.ledger.store.stage(part)?)
    }

    /// Where the journal is at its bound, commits wait here for the fold (J7).
    fn seal(&mut self) -> Result<(), Fatal> {
        assert!(
            !self.committer.has_sealed(),
            "the core asks for one commit at a time"
        );
        while self.ledger.store.journal_full() {
            self.fold()?;
            if !self.committer.is_folding() && !self.spill.is_applying() {
                // Folds find no space: the frame goes past the bound, and nothing new is taken.
                continue;
            }
            // No frame is being written now: a fold is finished, or a spill file it waits for.
            let finished = self.committer.wait_finished();
            self.on_finished(finished)?;
        }
        let journal_bytes = self.committer.seal(&mut self.ledger.store)?;
        self.tracer.mark(|| Step::Sealed { journal_bytes });
        Ok(())
    }

    /// On an idle host, and where the disk is quick, the frame is written by the thread that read
    /// the hand-over: no other thread in between (T5). Else workers are fed meanwhile.
    fn write(&mut self) -> Result<Option<Durable>, Fatal> {
        if !self.committer.has_sealed() {
            return Ok(None);
        }
        if self.core.has_turns_out() || !self.committer.is_disk_quick() {
            self.committer.write_elsewhere();
            return Ok(None);
        }
        let Some((durable, took)) = self.committer.write_here()? else {
            return Ok(None);
        };
        self.affinity.synced(took);
        self.committer.synced(took, &self.tracer);
        Ok(Some(durable))
    }

    fn released(&mut self, durable: Durable) -> Option<Durable> {
        self.tracer.mark(|| Step::Answered);
        self.inline.deferred.keep_frame(durable)
    }

    fn apply(&mut self, durable: Durable) -> Result<(), Fatal> {
        self.ledger.store.apply(durable)?;
        self.spill.apply_files(&mut self.ledger.store);
        self.tracer.mark(|| Step::Applied);
        let is_fold_due = self.ledger.store.fold_due();
        if self.inline.deferred.is_inline() {
            self.inline.is_fold_due = is_fold_due;
            return Ok(());
        }
        self.verify_between_frames();
        if self.ledger.store.fold_due() {
            self.fold()?;
        }
        Ok(())
    }

    fn start_worker(&mut self, vat: VatId, generation: u64) -> Result<(), Fatal> {
        let started = self.starter().start(vat, generation);
        start_error::report(&mut self.events, vat, generation, started);
        Ok(())
    }

    fn start_deployment(
        &mut self,
        vat: VatId,
        generation: u64,
        page_limit: u32,
        limits: VatLimits,
    ) -> Result<(), Fatal> {
        let mut starter = self.starter();
        let started = starter.deploy(vat, generation, page_limit, limits);
        start_error::report(&mut self.events, vat, generation, started);
        Ok(())
    }

    fn send(&mut self, generation: u64, message: ToWorker) {
        self.workers.queue(generation, message);
    }

    fn kill(&mut self, generation: u64) {
        if let Some(vat) = self.workers.kill(generation) {
            self.events.push_back(Event::WorkerGone {
                vat,
                generation,
                death: Death::Killed,
                running: None,
            });
        }
    }

    /// A turn that is alone is run near the thread that waits for it (`affinity`).
    fn flush_workers(&mut self) -> Result<(), Fatal> {
        let is_inline = self.inline.deferred.is_inline();
        for generation in self.workers.take_to_send() {
            if !self.workers.is_running(generation) {
                continue;
            }
            self.inline.sent_to = Some(generation);
            if let Some(process) = self.workers.with_output(generation) {
                self.tracer.mark(|| Step::Sent);
                match self.core.turns_out() {
                    0 => {}
                    1 if is_inline => self.affinity.pin_worker(generation, process),
                    1 => self.affinity.pin_pair(generation, process),
                    _ => self.affinity.unpin(),
                }
            }
            self.workers.send(generation, &self.reactor);
            if !is_inline && self.inline.listens_to != Some(generation) {
                self.workers.watch(generation, &self.reactor);
            }
        }
        Ok(())
    }

    fn answer(&mut self, waiter: Waiter, answer: Answer) {
        // A waiter that went away meanwhile needs no answer.
        match (waiter, answer) {
            (Waiter::Call(to), Answer::Call(answer)) => drop(to.send(answer)),
            (Waiter::Ask(to), Answer::Ask(answer)) => drop(to.send(answer)),
            (Waiter::Deploy(to), Answer::Deploy(answer)) => drop(to.send(answer)),
            (Waiter::Done(to), Answer::Done(answer)) => drop(to.send(answer)),
            _ => unreachable!("waiters come back as they went in"),
        }
    }

    fn defer(&mut self, effect: Effect<Waiter>) -> Option<Effect<Waiter>> {
        let workers = &self.workers;
        self.inline
            .deferred
            .defer(effect, |generation| workers.is_known(generation))
    }
}

impl EventLoop {
    pub(super) fn starter(&mut self) -> Starter<'_> {
        Starter {
            core: &self.core,
            store: &mut self.ledger.store,
            engines: &mut self.engines,
            workers: &mut self.workers,
            reactor: &self.reactor,
            committer: &self.committer,
            affinity: &mut self.affinity,
            options: &self.options,
        }
    }
}

/// Pages a delta names.
fn pages_changed(delta: &Delta) -> usize {
    let mut pages: Vec<u32> = delta.runs().flat_map(|run| run.pages()).collect();
    pages.dedup();
    pages.len()
}
