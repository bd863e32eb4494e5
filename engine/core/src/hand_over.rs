//! What a worker says, and its hand-overs into frames.
//!
//! Promises: everything of an accepted hand-over is staged before the next event is looked at, so
//! frames take hand-overs in the order received (J8); nothing of one is used before it passed T1.

use kenvat_store::{Part, VatId};

use crate::check::{Checked, check};
use crate::event::{LedgerError, Reserved};
use crate::held_back::{Entry, HeldBack, Said};
use crate::lifecycle::{Lifecycle, undo::Undo};
use crate::requests::{Home, RequestKind};
use crate::rows::{self, Settled, TimerRow};
use crate::space::reservation_of;
use crate::spill::frame_bytes;
use crate::ticks::Ticks;
use crate::vats::RequestNo;
use kenvat_wire::protocol::{
    AbortedBy, FromWorker, HandOver, PROTOCOL_VERSION, Reply, TimerChange,
};

/// What a worker's message may touch.
pub(crate) struct HandOvers<'a, W> {
    pub life: Lifecycle<'a, W>,
    pub held_back: &'a mut HeldBack,
    pub ticks: &'a mut Ticks,
}

impl<W> HandOvers<'_, W> {
    /// A message of a vat's worker. Those of older generations are ignored.
    pub fn on_message(
        &mut self,
        id: VatId,
        generation: u64,
        message: FromWorker,
    ) -> Result<(), LedgerError> {
        if !self.life.vats.is_current(id, generation) {
            return Ok(());
        }
        let violation = match message {
            FromWorker::Ready {
                generation: named,
                protocol,
                ..
            } => {
                if named == generation && protocol == PROTOCOL_VERSION {
                    self.life.on_ready(id);
                    return Ok(());
                }
                format!("it speaks protocol {protocol} as generation {named}")
            }
            FromWorker::HandOver(hand_over) => {
                return self.on_hand_over(id, generation, hand_over);
            }
            FromWorker::Aborted {
                generation: named,
                turn,
                by,
                why,
            } if named == generation => {
                // What it handed over before stays handed over, also where that waits for a frame.
                if self.held_back.is_of(id) {
                    self.hold_back(id, generation, 0, Said::Aborted { turn, by, why });
                } else {
                    self.abort(id, generation, turn, (by, why));
                }
                return Ok(());
            }
            FromWorker::Aborted { .. } => "an abort of another generation".to_owned(),
            FromWorker::Starting { .. } => {
                "it starts a program that has started long since".to_owned()
            }
            FromWorker::Delta { .. } => "a piece of a delta nobody waits for".to_owned(),
        };
        self.life.on_violation(id, generation, violation);
        Ok(())
    }

    /// Takes a hand-over into the frame being filled, or holds it back until one takes it.
    fn on_hand_over(
        &mut self,
        vat: VatId,
        generation: u64,
        hand_over: HandOver,
    ) -> Result<(), LedgerError> {
        let bytes = frame_bytes(
            self.life.vats,
            self.life.requests,
            self.life.cx.limits(),
            (vat, &hand_over),
        );
        if !self.takes(bytes) {
            self.hold_back(vat, generation, bytes, Said::HandOver(hand_over));
            return Ok(());
        }
        self.life.cx.take_in(bytes);
        self.examine(vat, generation, hand_over)
    }

    /// The same of one that was checked when its spill file was made.
    pub fn on_checked(
        &mut self,
        vat: VatId,
        generation: u64,
        checked: Checked,
    ) -> Result<(), LedgerError> {
        let bytes = checked.frame_bytes();
        if !self.takes(bytes) {
            self.hold_back(vat, generation, bytes, Said::Checked(Box::new(checked)));
            return Ok(());
        }
        self.life.cx.take_in(bytes);
        self.accept(vat, generation, checked)
    }

    /// Whether the frame being filled takes a hand-over of this size. Nothing overtakes what is
    /// held back already (J8).
    fn takes(&self, bytes: usize) -> bool {
        self.held_back.is_empty() && self.life.cx.frame_takes(bytes)
    }

    fn hold_back(&mut self, vat: VatId, generation: u64, bytes: usize, said: Said) {
        self.held_back.push(Entry {
            vat,
            generation,
            bytes,
            said,
        });
    }

    /// A new frame begins to fill: what was held back comes first, in its order (J8).
    pub fn let_in(&mut self) -> Result<(), LedgerError> {
        while let Some(entry) = self
            .held_back
            .pop_if(|bytes| self.life.cx.frame_takes(bytes))
        {
            self.life.cx.take_in(entry.bytes);
            let (vat, generation) = (entry.vat, entry.generation);
            if !self.life.vats.is_current(vat, generation) {
                continue;
            }
            match entry.said {
                Said::HandOver(hand_over) => self.examine(vat, generation, hand_over)?,
                Said::Checked(checked) => self.accept(vat, generation, *checked)?,
                Said::Aborted { turn, by, why } => {
                    self.abort(vat, generation, turn, (by, why));
                }
            }
        }
        Ok(())
    }

    /// The worker undid a turn.
    fn abort(&mut self, id: VatId, generation: u64, turn: u64, (by, why): (AbortedBy, String)) {
        let mut undo = Undo {
            vats: self.life.vats,
            requests: self.life.requests,
            timers: self.life.timers,
            ticks: self.ticks,
            cx: self.life.cx.reborrow(),
        };
        if !undo.on_aborted(id, generation, turn, (by, why)) {
            let why = format!("turn {turn} undone, which was not delivered");
            self.life.on_violation(id, generation, why);
        }
    }

    fn examine(
        &mut self,
        id: VatId,
        generation: u64,
        hand_over: HandOver,
    ) -> Result<(), LedgerError> {
        let violation = if hand_over.generation != generation {
            format!("a hand-over of generation {}", hand_over.generation)
        } else {
            let vat = self.life.vats.known(id);
            match check(hand_over, &vat.expected(self.life.timers.of(id))) {
                Ok(checked) => return self.accept(id, generation, checked),
                Err(violation) => violation.to_string(),
            }
        };
        self.life.on_violation(id, generation, violation);
        Ok(())
    }

    /// Stages everything of a hand-over that passed T1.
    fn accept(&mut self, id: VatId, generation: u64, checked: Checked) -> Result<(), LedgerError> {
        let vat = self.life.vats.known(id);
        match self
            .life
            .cx
            .reserve(&reservation_of(vat, self.life.requests, &checked))?
        {
            Reserved::Taken => {}
            Reserved::NoSpace(why) => {
                self.life.on_no_space(id, &why);
                return Ok(());
            }
            Reserved::Damaged(why) => {
                self.life.on_damaged(id, generation, why);
                return Ok(());
            }
        }
        let Checked {
            number,
            last_turn,
            replies,
            log,
            timers,
            used_pages,
            delta,
            side,
            rows_are_spilled,
        } = checked;
        let vat = self.life.vats.known_mut(id);
        let first = vat.progress().handed_turn() + 1;
        let consumed = vat.progress_mut().accept(number, last_turn, used_pages);
        for no in &consumed {
            self.life.requests.known_mut(*no).consumed();
        }
        if !delta.is_empty() {
            self.life.cx.stage(Part::Heap { vat: id, delta });
        }
        if !log.is_empty() {
            let bytes = log;
            self.life.cx.stage(Part::Log { vat: id, bytes });
        }
        let turns = vat.enter_frame(generation, number);
        self.life.cx.count_turns(turns);
        self.life.vats.turns_returned(consumed.len());
        let home = match rows_are_spilled {
            true => Home::Spilled,
            false => Home::Frame,
        };
        self.settle_replies(id, (first, &consumed), (replies, home))?;
        // Behind what the frame itself says of the rows in it.
        if let Some(side) = side {
            self.life.cx.stage(Part::Spill(side));
        }
        self.change_timers(id, timers);
        if let Some(row) = self.life.vats.known_mut(id).forgive() {
            self.life.cx.stage_row(row);
        }
        self.life.vats.touch(id);
        Ok(())
    }

    fn settle_replies(
        &mut self,
        id: VatId,
        (first, consumed): (u64, &[RequestNo]),
        (replies, home): (Vec<Reply>, Home),
    ) -> Result<(), LedgerError> {
        let requests = &mut *self.life.requests;
        let mut answered = vec![false; consumed.len()];
        for Reply { request, outcome } in replies {
            let at = request.checked_sub(first);
            let at = at.and_then(|at| usize::try_from(at).ok());
            let no = match at {
                Some(at) if at < consumed.len() => {
                    answered[at] = true;
                    consumed[at]
                }
                _ => {
                    self.life
                        .cx
                        .stage_row(rows::delete(rows::OPEN, rows::open_key(id, request)));
                    let open = self.life.vats.known_mut(id).open_mut();
                    open.remove(&request).expect("checked: open")
                }
            };
            requests.settle(
                no,
                (Settled::from_outcome(outcome), home),
                &mut self.life.cx,
            )?;
        }
        for (at, no) in consumed.iter().enumerate().filter(|(at, _)| !answered[*at]) {
            match requests.known(*no).kind() {
                RequestKind::Call => {
                    let vat = self.life.vats.known_mut(id);
                    requests.open(vat, first + at as u64, *no, &mut self.life.cx);
                }
                RequestKind::Timer(timer) => {
                    if self.life.timers.remove(id, timer).is_some() {
                        self.life
                            .cx
                            .stage_row(rows::delete(rows::TIMERS, rows::timer_key(id, timer)));
                    }
                    requests.forget(*no);
                }
            }
        }
        Ok(())
    }

    /// Takes over what a checked hand-over set and cleared.
    fn change_timers(&mut self, id: VatId, changes: Vec<TimerChange>) {
        let timers = &mut *self.life.timers;
        for TimerChange { timer, due_ms } in changes {
            let key = rows::timer_key(id, timer);
            if let Some(due_ms) = due_ms {
                self.life
                    .cx
                    .stage_row(rows::put(rows::TIMERS, key, &TimerRow { due_ms }));
                timers.set(id, timer, due_ms);
                continue;
            }
            let Some(removed) = timers.remove(id, timer) else {
                continue;
            };
            self.life.cx.stage_row(rows::delete(rows::TIMERS, key));
            // A message of it that is out already will find nothing to do.
            if let Some(no) = removed.message {
                let bytes = self.life.requests.known(no).bytes();
                let vat = self.life.vats.known_mut(id);
                if vat.queue_mut().remove(no, bytes) {
                    self.life.requests.forget(no);
                }
            }
        }
    }
}
