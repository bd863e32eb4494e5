//! Which vats get a worker, which give theirs up, and what time brings.
//!
//! Promises: at the bound the vat that has been idle for longest goes to sleep for the next one,
//! and where none is idle, the one that has been awake for longest (but for `SLICE_MS` at least);
//! an idle vat sleeps after the time that was set; a timer that is due becomes a message.

use kenvat_store::VatId;

use crate::deployments::Deployments;
use crate::gate::Context;
use crate::requests::{Request, Requests};
use crate::ticks::Ticks;
use crate::timers::Timers;
use crate::vats::{Vats, Worker};
use crate::worker_slots::{SLICE_MS, WorkerSlots};

/// What scheduling may touch.
pub(crate) struct Scheduling<'a, W> {
    pub vats: &'a mut Vats<W>,
    pub requests: &'a mut Requests<W>,
    pub timers: &'a mut Timers,
    pub slots: &'a mut WorkerSlots,
    pub ticks: &'a mut Ticks,
    pub deployments: &'a Deployments<W>,
    pub cx: Context<'a, W>,
}

impl<W> Scheduling<'_, W> {
    /// Gives out the slots there are; where there are too few, asks vats to give theirs up. Returns
    /// the vats that got one.
    pub fn fill_slots(&mut self) -> Vec<VatId> {
        let mut started = Vec::new();
        let (awake_max, now_ms) = (self.cx.settings().awake_max, self.cx.now_ms());
        let deployments = self.deployments.running();
        while let Some(id) = self.slots.next(awake_max, deployments, now_ms) {
            if self.start(id) {
                started.push(id);
            }
        }
        if self.slots.take_change() {
            self.evict(now_ms);
        }
        if let Some(due_ms) = self.slots.due_ms(now_ms) {
            self.ticks.by(due_ms);
        }
        started
    }

    /// Starts the vat's worker, where it still wants one.
    fn start(&mut self, id: VatId) -> bool {
        let now_ms = self.cx.now_ms();
        let Some(vat) = self.vats.get_mut(id) else {
            return false;
        };
        if !vat.worker_mut().leave_queue() || !vat.wants_worker() {
            return false;
        }
        let pages = vat.page_limit(self.cx.settings().page_limit);
        let generation = self.slots.next_generation();
        vat.start_worker(generation, pages, now_ms);
        self.slots.take(id);
        self.cx.start_worker(id, generation);
        if let Some(due_ms) = self.sleep_due_ms(now_ms) {
            self.ticks.by(due_ms);
        }
        true
    }

    /// Asks as many vats as others wait for slots to give theirs up: the longest idle first.
    fn evict(&mut self, now_ms: i64) {
        let (mut idle, mut busy, mut leaving) = (Vec::new(), Vec::new(), 0);
        for id in self.slots.taken() {
            let Some(vat) = self.vats.get(id) else {
                continue;
            };
            match vat.worker() {
                Worker::Running(life) if !life.yields() && vat.wishes().awake.is_empty() => {
                    if vat.is_idle() {
                        idle.push((life.idle_since_ms(), id));
                    } else if now_ms - life.since_ms() >= SLICE_MS {
                        busy.push((life.since_ms(), id));
                    }
                }
                Worker::Starting(life) | Worker::Running(life) if !life.yields() => {}
                _ => leaving += 1,
            }
        }
        let wanted = self.slots.waiting();
        idle.sort_unstable();
        busy.sort_unstable();
        let going = idle.into_iter().chain(busy);
        for (_, id) in going.take(wanted.saturating_sub(leaving)) {
            self.vats.known_mut(id).worker_mut().ask_to_yield();
            self.vats.touch(id);
        }
    }

    /// Time went by: timers fire, pauses end, idle vats go to sleep.
    pub fn on_tick(&mut self) {
        let now_ms = self.cx.now_ms();
        self.ticks.begin();
        self.fire_due(now_ms);
        self.end_pauses(now_ms);
        self.slots.note_change();
        let mut idle_too_long = Vec::new();
        for id in self.slots.taken() {
            let Some(vat) = self.vats.get(id) else {
                continue;
            };
            let idle_since = vat.worker().process().filter(|_| vat.is_idle());
            let idle_since = idle_since.map_or(now_ms, |life| life.idle_since_ms());
            match self.sleep_due_ms(idle_since) {
                Some(due_ms) if due_ms > now_ms => self.ticks.by(due_ms),
                Some(_) if vat.worker().is_running() => idle_too_long.push(id),
                Some(_) | None => {}
            }
        }
        for id in idle_too_long {
            self.vats.known_mut(id).worker_mut().note_idle_too_long();
            self.vats.touch(id);
        }
    }

    /// What is due becomes messages.
    fn fire_due(&mut self, now_ms: i64) {
        while let Some((id, timer)) = self.timers.pop_due(now_ms) {
            // A broken vat is looked at again by the next host.
            let Some(vat) = self.vats.get_mut(id).filter(|it| !it.worker().is_broken()) else {
                continue;
            };
            let request = Request::of_timer(id, timer);
            let bytes = request.bytes();
            let no = self.requests.add(request);
            self.timers.note_message(id, timer, no);
            vat.queue_mut().push(no, bytes);
            self.vats.touch(id);
        }
    }

    fn end_pauses(&mut self, now_ms: i64) {
        for id in self.ticks.take_pausing() {
            match self.vats.get(id).map(|vat| vat.faults().paused_until_ms) {
                Some(due_ms) if due_ms > now_ms => self.ticks.go_on_pausing(id, due_ms),
                Some(_) => self.vats.touch(id),
                None => {}
            }
        }
    }

    /// When a vat that has been idle since then goes to sleep.
    fn sleep_due_ms(&self, since_ms: i64) -> Option<i64> {
        let after = self.cx.settings().sleep_after_ms?;
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        Some(since_ms.saturating_add(after))
    }
}
