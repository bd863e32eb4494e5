//! Timers: set by turns, durable with them, due as messages.
//!
//! Promises: a timer exists exactly when the turn that set it is committed or will be, and fires
//! once, as a turn whose time is not before it was due, after which it is gone together with that
//! turn; one that fell due while no host ran fires when one does. A sleeping vat wakes for it.
//! Does not know what a timer is for.
//!
//! Invariant: a timer is in `due`, or its message waits or is out, or its vat is broken.

use kenvat_store::{Part, Reservation, VatId};

use super::Core;
use super::event::{Effect, Ledger, LedgerError, Reserved};
use super::limits::START_PAUSE_MS_MAX;
use super::requests::{Request, What};
use super::rows::{self, TimerRow};
use super::vat::{RequestNo, Run};
use crate::api::KilledBy;
use kenvat_wire::protocol::TimerChange;

/// A timer of a vat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer {
    pub due_ms: i64,
    /// Its message, once it fell due.
    pub message: Option<RequestNo>,
}

impl<W> Core<W> {
    /// A timer of a vat that exists, from the catalog or a first turn.
    pub(super) fn load_timer(&mut self, vat: VatId, timer: u64, row: TimerRow) {
        if let Some(of) = self.vats.get_mut(&vat) {
            let TimerRow { due_ms } = row;
            let message = None;
            of.timers.insert(timer, Timer { due_ms, message });
            self.due.insert((due_ms, vat, timer));
        }
    }

    /// Takes over what a checked hand-over set and cleared.
    pub(super) fn change_timers(
        &mut self,
        vat: VatId,
        changes: Vec<TimerChange>,
        out: &mut Vec<Effect<W>>,
    ) {
        for TimerChange { timer, due_ms } in changes {
            match due_ms {
                Some(due_ms) => {
                    let row = TimerRow { due_ms };
                    let part = rows::put(rows::TIMERS, rows::timer_key(vat, timer), &row);
                    out.push(Effect::Stage(Part::Row(part)));
                    self.load_timer(vat, timer, row);
                }
                None => self.clear_timer(vat, timer, out),
            }
        }
    }

    /// The timer is no more. A message of it that is out already will find nothing to do.
    fn clear_timer(&mut self, id: VatId, timer: u64, out: &mut Vec<Effect<W>>) {
        let vat = self.vat_mut(id);
        let Some(Timer { due_ms, message }) = vat.timers.remove(&timer) else {
            return;
        };
        let row = rows::delete(rows::TIMERS, rows::timer_key(id, timer));
        out.push(Effect::Stage(Part::Row(row)));
        match message {
            None => drop(self.due.remove(&(due_ms, id, timer))),
            Some(no) => {
                let bytes = self.requests.get(&no).map_or(0, Request::bytes);
                let vat = self.vat_mut(id);
                if let Some(at) = vat.queue.iter().position(|waiting| *waiting == no) {
                    vat.queue.remove(at);
                    vat.queue_bytes -= bytes;
                    self.forget(no);
                }
            }
        }
    }

    /// What is due becomes messages.
    pub(super) fn fire_due(&mut self) {
        while let Some((due_ms, id, timer)) = self.due.first().copied() {
            if due_ms > self.now_ms {
                return;
            }
            self.due.pop_first();
            let no = self.next_request;
            let Some(vat) = self.vats.get_mut(&id) else {
                continue;
            };
            // A broken vat is looked at again by the next host.
            let (Some(of), false) = (
                vat.timers.get_mut(&timer),
                matches!(vat.run, Run::Broken(_)),
            ) else {
                continue;
            };
            let request = Request::of_timer(id, timer);
            of.message = Some(no);
            vat.queue.push_back(no);
            vat.queue_bytes += request.bytes();
            self.next_request += 1;
            self.requests.insert(no, request);
            self.touch(id);
        }
    }

    /// When the next timer falls due.
    pub fn next_timer_ms(&self) -> Option<i64> {
        let of_vats = self.due.first().map(|(due_ms, ..)| *due_ms);
        of_vats.into_iter().chain(self.next_start_ms()).min()
    }

    /// The turn of a timer's message is in the frame being filled.
    pub(super) fn fired(&mut self, id: VatId, no: RequestNo, timer: u64, out: &mut Vec<Effect<W>>) {
        if self.vat_mut(id).timers.remove(&timer).is_some() {
            let row = rows::delete(rows::TIMERS, rows::timer_key(id, timer));
            out.push(Effect::Stage(Part::Row(row)));
        }
        self.forget(no);
    }

    /// The turn of a timer's message was undone: nobody waits for an answer, so the log says it.
    /// Where the disk has no room for the line, it is not said.
    pub(super) fn say_undone(
        &self,
        vat: VatId,
        turn: u64,
        (by, why): (KilledBy, &str),
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        let mut line = String::new();
        let text = format!("a timer's turn was undone ({by:?}): {why}");
        super::check::write_line(&mut line, turn, "error", &text);
        let bytes = line.into_bytes();
        let wish = Reservation {
            vat,
            creates: None,
            delta: None,
            log_bytes: bytes.len(),
            spill_log_bytes: 0,
            row_bytes: 0,
        };
        if ledger.reserve(&wish)? == Reserved::Taken {
            out.push(Effect::Stage(Part::Log { vat, bytes }));
        }
        Ok(())
    }

    /// The message of a timer could not be delivered: the timer is due again soon.
    pub(super) fn put_off(&mut self, no: RequestNo) {
        let due_ms = self.now_ms.saturating_add(START_PAUSE_MS_MAX);
        let Some(Request { vat, what, .. }) = self.requests.get(&no) else {
            return;
        };
        let (id, What::Timer(timer)) = (*vat, *what) else {
            return;
        };
        if let Some(vat) = self.vats.get_mut(&id)
            && let Some(of) = vat.timers.get_mut(&timer)
        {
            *of = Timer {
                due_ms,
                message: None,
            };
            self.due.insert((due_ms, id, timer));
        }
    }

    /// The vat ends, and its timers with it.
    pub(super) fn drop_timers(&mut self, id: VatId, out: &mut Vec<Effect<W>>) {
        for (timer, Timer { due_ms, .. }) in std::mem::take(&mut self.vat_mut(id).timers) {
            self.due.remove(&(due_ms, id, timer));
            let row = rows::delete(rows::TIMERS, rows::timer_key(id, timer));
            out.push(Effect::Stage(Part::Row(row)));
        }
    }
}
