//! Calls carried through by the threads that make them, in the order of the engine's steps (T5).
//!
//! What a caller's thread does holds the lock and happens at once, up to where it waits for the
//! worker and where it lets go of its answer; what it leaves is a step of the host's own.

use std::io;

use kenvat_core::apply;
use kenvat_core::event::Event;

use super::{Host, Syncs};
use crate::stop::Stop;
use crate::worker::Worker;

impl Host {
    /// Carries a call through, if nothing else is under way; the event back if that is so. The
    /// worker that is waited for does what it was told, or dies of it, in `run`.
    pub fn call_inline(
        &mut self,
        now_ms: i64,
        call: Event<u64>,
        run: impl FnOnce(&mut Worker) -> io::Result<()>,
    ) -> Result<Option<Event<u64>>, Stop> {
        self.now_ms = now_ms;
        if self.deferred.has_frame() {
            self.drive(Host::apply_deferred)?;
        }
        let is_alone = self.core.is_idle()
            && self.sealed.is_none()
            && self.durable.is_none()
            && self.syncs == Syncs::Here;
        if !is_alone {
            return Ok(Some(call));
        }
        self.sent_to = None;
        self.events.push_back(call);
        self.drive(|_| Ok(()))?;
        let sent_to = self.sent_to.filter(|_| self.core.turns_out() == 1);
        let Some(generation) = sent_to.filter(|it| !self.held.contains(it)) else {
            return Ok(None);
        };
        if let Some(worker) = self.workers.get_mut(&generation) {
            run(worker)?;
        }
        // What is left to do is the host's next step, or never done.
        self.drive(|host| host.hear_what_came(generation))?;
        Ok(None)
    }

    /// Reads all there is, but not the worker's end.
    fn hear_what_came(&mut self, generation: u64) -> Result<(), Stop> {
        while !self.held.contains(&generation)
            && let Some(worker) = self.workers.get(&generation)
            && !worker.outbox.is_empty()
        {
            self.hear(generation)?;
        }
        Ok(())
    }

    fn drive(&mut self, begin: impl FnOnce(&mut Host) -> Result<(), Stop>) -> Result<(), Stop> {
        self.deferred.set_inline(true);
        let settled = begin(self).and_then(|()| apply::settle(self));
        self.deferred.set_inline(false);
        settled
    }

    fn apply_deferred(&mut self) -> Result<(), Stop> {
        match self.deferred.take_frame() {
            Some(durable) => apply::apply_frame(self, durable),
            None => Ok(()),
        }
    }

    pub(super) fn has_deferred(&self) -> bool {
        self.deferred.has_frame() || self.deferred.has_effects() || !self.events.is_empty()
    }

    /// What callers' threads left comes before anything else.
    pub(super) fn take_deferred(&mut self) -> Result<(), Stop> {
        self.apply_deferred()?;
        let mut effects = self.deferred.take_effects();
        apply::apply_effects(self, &mut effects)
    }
}
