//! Turns that were undone: past a limit, at their own request, or because a worker died of them.
//!
//! Promises: an undone turn is consumed with its error in its place in the order, behind the gate,
//! and never run again (T2).

use kenvat_store::{Part, Reservation, VatId};

use crate::api::KilledBy;
use crate::check::write_line;
use crate::event::{LedgerError, Reserved};
use crate::gate::Context;
use crate::limits::ABORT_REASON_BYTES_MAX;
use crate::requests::{Home, RequestKind, Requests};
use crate::rows::{self, Settled};
use crate::ticks::Ticks;
use crate::timers::Timers;
use crate::vats::Vats;
use kenvat_wire::protocol::{AbortedBy, ToWorker};
use kenvat_wire::text::beginning;

/// What an undone turn may touch.
pub(crate) struct Undo<'a, W> {
    pub vats: &'a mut Vats<W>,
    pub requests: &'a mut Requests<W>,
    pub timers: &'a mut Timers,
    pub ticks: &'a mut Ticks,
    pub cx: Context<'a, W>,
}

impl<W> Undo<'_, W> {
    /// The worker undid a turn, and waits for everything after its last hand-over to be delivered
    /// again (T2). False where that turn is not out.
    pub fn on_aborted(
        &mut self,
        id: VatId,
        generation: u64,
        turn: u64,
        (by, why): (AbortedBy, String),
    ) -> bool {
        let vat = self.vats.known_mut(id);
        let Some(no) = vat.progress().delivered_at(turn) else {
            return false;
        };
        let requests = &*self.requests;
        let turns = vat.recall(|no| requests.known(no).bytes());
        self.vats.turns_returned(turns);
        let why = beginning(&why, ABORT_REASON_BYTES_MAX).to_owned();
        let by = match by {
            AbortedBy::Gas => KilledBy::Gas,
            AbortedBy::Heap => KilledBy::Heap,
            AbortedBy::Request => KilledBy::Request,
            AbortedBy::Sent => KilledBy::Sent,
            AbortedBy::Stack => KilledBy::Stack,
        };
        self.requests.known_mut(no).abort(by, why);
        self.cx.send(id, generation, ToWorker::AbortSeen);
        self.vats.touch(id);
        true
    }

    /// Consumes the undone messages at the head of the queue with their errors.
    pub fn consume(&mut self, id: VatId) -> Result<(), LedgerError> {
        while let Some(vat) = self.vats.get_mut(id)
            && vat.progress().delivered().is_empty()
            && let Some(no) = vat.queue().front()
            && let request = self.requests.known_mut(no)
            && let Some((by, why)) = request.take_abort()
        {
            let kind = request.kind();
            vat.queue_mut().pop(request.bytes());
            let turn = vat.progress_mut().skip_turn();
            self.cx.count_turns(vat.enter_frame(0, 0));
            if let Some(row) = vat.forgive() {
                self.cx.stage_row(row);
            }
            if is_limit(by) {
                let due_ms = self
                    .ticks
                    .pause(id, self.cx.limits().pause, self.cx.now_ms());
                vat.faults_mut().paused_until_ms = due_ms;
            }
            match kind {
                RequestKind::Call => {
                    let settled = Settled::Killed { by, why };
                    self.requests
                        .settle(no, (settled, Home::Frame), &mut self.cx)?;
                }
                RequestKind::Timer(timer) => {
                    self.log_undone(id, turn, (by, &why))?;
                    if self.timers.remove(id, timer).is_some() {
                        self.cx
                            .stage_row(rows::delete(rows::TIMERS, rows::timer_key(id, timer)));
                    }
                    self.requests.forget(no);
                }
            }
        }
        Ok(())
    }

    /// The turn of a timer's message was undone: it has no answer, so the log says it. Where the
    /// disk has no space for the line, it is not logged.
    fn log_undone(
        &mut self,
        vat: VatId,
        turn: u64,
        (by, why): (KilledBy, &str),
    ) -> Result<(), LedgerError> {
        let mut line = String::new();
        let text = format!("a timer's turn was undone ({by:?}): {why}");
        write_line(&mut line, turn, "error", &text);
        let bytes = line.into_bytes();
        let reservation = Reservation {
            vat,
            creates: None,
            delta: None,
            log_bytes: bytes.len(),
            spill_log_bytes: 0,
            row_bytes: 0,
        };
        if self.cx.reserve(&reservation)? == Reserved::Taken {
            self.cx.stage(Part::Log { vat, bytes });
        }
        Ok(())
    }
}

/// Whether it was a limit the worker keeps by itself: such turns can come one right after another.
fn is_limit(by: KilledBy) -> bool {
    use KilledBy::{Gas, Heap, Sent, Stack};
    matches!(by, Gas | Heap | Sent | Stack)
}
