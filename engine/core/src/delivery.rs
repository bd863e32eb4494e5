//! Turns to workers.
//!
//! Promises: messages are delivered in the order they were queued; a worker is asked to hand over
//! when the frame slot is free, else it runs on (J2); what a turn is given is fixed at
//! its first delivery (T2).

use kenvat_store::VatId;

use crate::event::LedgerError;
use crate::gate::Context;
use crate::limits::GROUP_BYTES_MAX;
use crate::requests::{Given, Request, RequestKind, Requests};
use crate::vats::{Vat, Vats};
use kenvat_wire::protocol::{Delivery, ToWorker};

/// What a delivery may touch.
pub(crate) struct Deliveries<'a, W> {
    pub vats: &'a mut Vats<W>,
    pub requests: &'a mut Requests<W>,
    pub cx: Context<'a, W>,
}

impl<W> Deliveries<'_, W> {
    /// Sends a worker what waits for it, and asks for a hand-over where one is of use.
    pub fn deliver(&mut self, id: VatId) -> Result<(), LedgerError> {
        let Some(vat) = self.vats.get(id) else {
            return Ok(());
        };
        let Some(life) = vat.worker().life() else {
            return Ok(());
        };
        // Nothing is out: what was came back when the turn was undone.
        if self.cx.now_ms() < vat.faults().paused_until_ms {
            return Ok(());
        }
        let generation = life.generation();
        let takes_turns = vat.wishes().asleep.is_empty() && !life.yields();
        let out = vat.progress().delivered().iter();
        let mut out_bytes: usize = out.map(|no| self.requests.known(*no).bytes()).sum();
        let mut turns = Vec::new();
        while takes_turns && let Some(bytes) = self.next_bytes(id, out_bytes) {
            out_bytes += bytes;
            turns.push(self.deliver_next(id)?);
        }
        self.vats.turns_sent(turns.len());
        let ask = self.is_hand_over_due(id);
        let vat = self.vats.known_mut(id);
        let progress = vat.progress();
        let is_ahead = !progress.delivered().is_empty() && !progress.is_asked() && !ask;
        if !turns.is_empty() || ask {
            vat.worker_mut().note_busy(self.cx.now_ms());
            if ask {
                vat.progress_mut().ask();
            }
            if let Some(number) = vat.progress_mut().take_applied() {
                self.cx.send(id, generation, ToWorker::Applied { number });
            }
            let message = match turns.is_empty() {
                true => ToWorker::HandOver,
                false => ToWorker::Deliver {
                    turns,
                    hand_over: ask,
                },
            };
            self.cx.send(id, generation, message);
        }
        if is_ahead {
            self.vats.note_ahead(id);
        }
        Ok(())
    }

    /// Bytes of the first message that waits, where it is delivered now.
    fn next_bytes(&self, id: VatId, out_bytes: usize) -> Option<usize> {
        let vat = self.vats.known(id);
        let out = vat.progress().delivered().len();
        let most = match vat.single_steps() {
            true => 1,
            false => self.cx.limits().group,
        };
        let next = next_request(vat, self.requests)?;
        if out >= most || next.is_aborted() {
            return None;
        }
        let fits = out == 0 || out_bytes + next.bytes() <= GROUP_BYTES_MAX;
        fits.then(|| next.bytes())
    }

    /// Moves the first message that waits to those that are out.
    fn deliver_next(&mut self, id: VatId) -> Result<Delivery, LedgerError> {
        let vat = self.vats.known_mut(id);
        let no = vat.queue().front().expect("the caller looked");
        let request = self.requests.known_mut(no);
        vat.queue_mut().pop(request.bytes());
        let is_timer = matches!(request.kind(), RequestKind::Timer(_));
        let turn = vat.progress_mut().deliver(no, is_timer);
        if request.given().is_none() {
            request.give(Given {
                time_ms: self.cx.now_ms(),
                seed: self.cx.seed()?,
            });
        }
        let Given { time_ms, seed } = request.given().expect("fixed above").clone();
        Ok(Delivery {
            turn,
            time_ms,
            seed,
            message: request.message(turn),
        })
    }

    /// Whether the worker is to be asked for a hand-over now.
    fn is_hand_over_due(&self, id: VatId) -> bool {
        let vat = self.vats.known(id);
        if vat.progress().is_asked() || vat.progress().delivered().is_empty() {
            return false;
        }
        // An undone turn is consumed in its place: what comes before it must be handed over first.
        let undone = next_request(vat, self.requests).is_some_and(Request::is_aborted);
        self.cx.is_slot_free() || vat.single_steps() || undone
    }
}

fn next_request<'a, W>(vat: &Vat<W>, requests: &'a Requests<W>) -> Option<&'a Request<W>> {
    vat.queue().front().map(|no| requests.known(no))
}
