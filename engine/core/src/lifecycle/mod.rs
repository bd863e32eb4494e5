//! Workers' lives: wanted, ready, put to sleep, ended, broken.
//!
//! Promises: a new worker starts only after the old process is reaped and every hand-over accepted
//! from it is in the image (T1); a message whose turn killed its worker three times in single steps
//! is answered with an error and never run again (T3); a worker that dies before it is ready three
//! times makes its vat broken instead of a loop.
//!
//! Files: `deaths` what the end of a process means; `space` a full disk; `undo` turns that were
//! undone; `termination` the end of a vat.

mod deaths;
mod space;
pub(crate) mod termination;
pub(crate) mod undo;

use kenvat_store::VatId;

use crate::api::VatLimits;
use crate::gate::{Ack, Context, Durable, Limited, OnCommit, Output, Refusal};
use crate::requests::Requests;
use crate::rows;
use crate::timers::Timers;
use crate::vats::{Ending, Vats, Wishes, Worker};
use crate::worker_slots::WorkerSlots;

/// What the life of a worker may touch.
pub(crate) struct Lifecycle<'a, W> {
    pub vats: &'a mut Vats<W>,
    pub requests: &'a mut Requests<W>,
    pub timers: &'a mut Timers,
    pub slots: &'a mut WorkerSlots,
    pub cx: Context<'a, W>,
}

impl<W> Lifecycle<'_, W> {
    /// Somebody wants the vat asleep, awake or gone: `list` names where such waiters stand.
    pub fn on_wish(
        &mut self,
        id: VatId,
        waiter: W,
        list: impl FnOnce(&mut Wishes<W>) -> &mut Vec<W>,
    ) {
        list(self.vats.known_mut(id).wishes_mut()).push(waiter);
        self.vats.touch(id);
    }

    /// The vat's own limits are to be these: told when that is durable.
    pub fn on_limit(&mut self, vat: VatId, limits: VatLimits, waiter: W) {
        let key = rows::vat_key(vat);
        let row = match limits.is_empty() {
            true => rows::delete(rows::LIMITS, key),
            false => rows::put(rows::LIMITS, key, &limits),
        };
        self.cx.stage_row(row);
        self.cx.on_commit(OnCommit::Limit(Limited {
            vat,
            limits,
            waiter,
        }));
    }

    /// The vat's limits are durable. They count from its next process on, so this one goes soon.
    pub fn limited(&mut self, limited: Limited<W>, durable: Durable) {
        let Limited {
            vat: id,
            limits,
            waiter,
        } = limited;
        // One that was terminated meanwhile has no limits to set any more, and none to refuse.
        if let Some(vat) = self.vats.get_mut(id) {
            vat.set_limits(limits);
            vat.worker_mut().ask_to_yield();
            self.vats.touch(id);
        }
        self.cx.release(durable, Output::Done { waiter });
    }

    /// Asks for a worker or ends it, where something asks for it, and tells those who waited for
    /// the state the vat is in. Whether the vat's end is to be staged.
    pub fn advance(&mut self, id: VatId) -> bool {
        let Some(vat) = self.vats.get_mut(id) else {
            return false;
        };
        let is_terminating = vat.is_terminating();
        match vat.worker() {
            Worker::Starting(_) | Worker::Running(_) if is_terminating => {
                self.end(id, Ending::Terminate);
                false
            }
            Worker::Starting(_) | Worker::Running(_) => {
                self.advance_awake(id);
                false
            }
            Worker::Asleep | Worker::Queued if is_terminating => true,
            Worker::Asleep | Worker::Queued => {
                self.cx
                    .acknowledge_all(std::mem::take(&mut vat.wishes_mut().asleep), Ack::Asleep);
                if vat.wants_worker() && vat.worker_mut().queue() {
                    self.slots.want(id);
                }
                false
            }
            Worker::Broken(why) => {
                let refusal = Refusal::unavailable(vat.name(), format!("is broken: {why}"));
                self.cx
                    .refuse_all(std::mem::take(&mut vat.wishes_mut().awake), &refusal);
                self.cx
                    .acknowledge_all(std::mem::take(&mut vat.wishes_mut().asleep), Ack::Asleep);
                is_terminating
            }
            Worker::Ending { .. } => false,
        }
    }

    fn advance_awake(&mut self, id: VatId) {
        let vat = self.vats.known_mut(id);
        if vat.worker().is_running() {
            self.cx
                .acknowledge_all(std::mem::take(&mut vat.wishes_mut().awake), Ack::Awake);
        }
        let idle_too_long = vat.worker_mut().take_idle_too_long() && vat.queue().is_empty();
        let yields = vat.worker().life().is_some_and(|life| life.yields());
        let is_to_go = idle_too_long || yields || !vat.wishes().asleep.is_empty();
        if is_to_go && vat.progress().is_settled() {
            self.end(id, Ending::Sleep);
        }
    }

    /// Ends the worker that counts.
    fn end(&mut self, id: VatId, why: Ending) {
        let generation = self.vats.known_mut(id).worker_mut().end(why);
        self.cx.kill(id, generation);
    }

    /// The worker's heap is mapped.
    pub fn on_ready(&mut self, id: VatId) {
        let vat = self.vats.known_mut(id);
        vat.worker_mut().ready();
        vat.faults_mut().start_deaths = 0;
        self.slots.succeeded();
        self.cx
            .acknowledge_all(std::mem::take(&mut vat.wishes_mut().awake), Ack::Awake);
        self.vats.touch(id);
    }

    /// The worker broke the rules: it is ended, and its message counts as having killed it.
    pub fn on_violation(&mut self, id: VatId, generation: u64, why: String) {
        if self.vats.is_current(id, generation) {
            let error = format!("its worker broke the rules: {why}");
            self.vats.known_mut(id).faults_mut().last_error = Some(error);
            self.end(id, Ending::Lied(why));
        }
    }

    /// The vat runs no more in this life of the host; whoever waits is told why.
    fn break_vat(&mut self, id: VatId, why: String) {
        let vat = self.vats.known_mut(id);
        vat.worker_mut().fail(why.clone());
        let refusal = Refusal::unavailable(vat.name(), format!("is broken: {why}"));
        vat.faults_mut().last_error = Some(why);
        for no in vat.queue_mut().take() {
            self.requests
                .refuse(no, &refusal, self.timers, &mut self.cx);
        }
        // Open requests stay known, since their turns were consumed; only their waiters go.
        for no in vat.open().values() {
            self.requests.refuse_waiters(*no, &refusal, &mut self.cx);
        }
        self.vats.touch(id);
    }
}
