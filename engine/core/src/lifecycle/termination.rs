//! The end of a vat: staged once its worker is gone, told once that is durable.

use kenvat_store::{Part, VatId};

use crate::event::{LedgerError, Reserved};
use crate::gate::{Ack, Context, Durable, OnCommit, Output, Refusal};
use crate::requests::{Home, Requests};
use crate::rows::{self, Settled};
use crate::space::reservation_of_end;
use crate::timers::Timers;
use crate::vats::Vats;

/// What the waiters of a terminated vat are told.
const TERMINATED: &str = "was terminated";

/// What the end of a vat may touch.
pub(crate) struct Termination<'a, W> {
    pub vats: &'a mut Vats<W>,
    pub requests: &'a mut Requests<W>,
    pub timers: &'a mut Timers,
    pub cx: Context<'a, W>,
}

impl<W> Termination<'_, W> {
    /// Puts the vat's end into the frame being filled. Without space for it the vat lives on, and
    /// whoever wanted its end is told.
    pub fn stage(&mut self, id: VatId) -> Result<(), LedgerError> {
        if self.cx.is_removing(id) {
            return Ok(());
        }
        let vat = self.vats.known_mut(id);
        let timers = self.timers.of(id).len();
        let needed = reservation_of_end(vat, timers, self.requests);
        let reserved = needed.map_or(Ok(Reserved::Taken), |needed| self.cx.reserve(&needed));
        let refused = match reserved? {
            Reserved::Taken => None,
            Reserved::NoSpace(why) => Some(Refusal::no_space(&why)),
            Reserved::Damaged(why) => Some(Refusal::host(why)),
        };
        if let Some(refusal) = refused {
            self.cx
                .refuse_all(std::mem::take(&mut vat.wishes_mut().gone), &refusal);
            self.vats.touch(id);
            return Ok(());
        }
        for table in [
            rows::VATS,
            rows::COUNTERS,
            rows::SOURCES,
            rows::POISON,
            rows::LIMITS,
        ] {
            self.cx.stage_row(rows::delete(table, rows::vat_key(id)));
        }
        for timer in self.timers.remove_all(id) {
            self.cx
                .stage_row(rows::delete(rows::TIMERS, rows::timer_key(id, timer)));
        }
        let name = vat.name().to_owned();
        for (request, no) in std::mem::take(vat.open_mut()) {
            self.cx
                .stage_row(rows::delete(rows::OPEN, rows::open_key(id, request)));
            let settled = Settled::Unavailable {
                name: name.clone(),
                why: TERMINATED.to_owned(),
            };
            self.requests
                .settle(no, (settled, Home::Frame), &mut self.cx)?;
        }
        self.cx.stage(Part::Terminate { vat: id });
        self.cx.on_commit(OnCommit::Remove(id));
        Ok(())
    }

    /// The vat's end is durable: whoever waits for it or for its answers is told.
    pub fn remove(&mut self, id: VatId, durable: Durable) {
        let Some(vat) = self.vats.remove(id) else {
            return;
        };
        let (name, queue, wishes) = vat.into_rest();
        let refusal = Refusal::unavailable(&name, TERMINATED.to_owned());
        for no in queue {
            self.requests
                .refuse(no, &refusal, self.timers, &mut self.cx);
        }
        for waiter in wishes.gone {
            self.cx.release(durable, Output::Done { waiter });
        }
        self.cx.acknowledge_all(wishes.asleep, Ack::Asleep);
        self.cx.refuse_all(wishes.awake, &refusal);
    }
}
