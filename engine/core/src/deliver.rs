//! Turns to workers, hand-overs back, frames to the disk and their outputs out.
//!
//! Promises: see `turn`'s rules. Everything of an accepted hand-over is staged before the next
//! event is looked at, so frames take hand-overs in the order received (J8).

use kenvat_store::{Part, VatId};

use super::Core;
use super::answers::Home;
use super::check::{Checked, check};
use super::event::{Effect, Ledger, LedgerError, Reserved};
use super::frame::{Frame, Limited, Slot, Turns};
use super::limits::GROUP_BYTES_MAX;
use super::requests::{Given, What};
use super::rows::{self, CountersRow, Settled};
use super::vat::{RequestNo, Run};
use kenvat_wire::protocol::{
    AbortedBy, Delivery, FromWorker, HandOver, Message, PROTOCOL_VERSION, Reply, ToWorker,
};

impl<W> Core<W> {
    /// Sends a running worker what waits for it, and asks for a hand-over where one is of use.
    pub(super) fn deliver(
        &mut self,
        id: VatId,
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        let slot_free = matches!(self.slot, Slot::Free);
        let (now_ms, group) = (self.now_ms, self.settings.limits.group);
        let Some(vat) = self.vats.get_mut(&id) else {
            return Ok(());
        };
        let Run::Awake { generation, .. } = vat.run else {
            return Ok(());
        };
        // Nothing is out: what was came back when the turn was undone.
        if now_ms < vat.pauses_until_ms {
            return Ok(());
        }
        let single = vat.single_steps();
        let mut turns = Vec::new();
        if vat.sleepers.is_empty() && !vat.yields {
            let room = if single { 1 } else { group };
            let mut bytes: usize = vat
                .delivered
                .iter()
                .map(|no| self.requests[no].bytes())
                .sum();
            while vat.delivered.len() < room
                && let Some(no) = vat.queue.front().copied()
            {
                let request = self
                    .requests
                    .get_mut(&no)
                    .expect("queued requests are under way");
                if request.aborted.is_some() {
                    break;
                }
                if !vat.delivered.is_empty() && bytes + request.bytes() > GROUP_BYTES_MAX {
                    break;
                }
                bytes += request.bytes();
                vat.queue.pop_front();
                vat.queue_bytes -= request.bytes();
                vat.delivered.push_back(no);
                self.turns_out += 1;
                let turn = vat.last_turn();
                let message = match request.what {
                    What::Call => Message::Call {
                        request: turn,
                        method: request.method.clone(),
                        args: request.args.clone(),
                    },
                    What::Timer(timer) => {
                        vat.timer_turns.insert(turn);
                        Message::Timer { timer }
                    }
                };
                let Given { time_ms, seed } = match request.given.take() {
                    Some(given) => given,
                    None => Given {
                        time_ms: now_ms,
                        seed: ledger.seed()?,
                    },
                };
                let given = seed.clone();
                request.given = Some(Given {
                    time_ms,
                    seed: given,
                });
                turns.push(Delivery {
                    turn,
                    time_ms,
                    seed,
                    message,
                });
            }
        }
        // An undone turn is consumed in its place: what comes before it must be handed over first.
        let before_undone = vat
            .queue
            .front()
            .is_some_and(|no| self.requests[no].aborted.is_some());
        let urgent = slot_free || single || before_undone;
        let ask = !vat.asked && !vat.delivered.is_empty() && urgent;
        if !vat.delivered.is_empty() && !vat.asked && !ask {
            self.ahead.insert(id);
        }
        if turns.is_empty() && !ask {
            return Ok(());
        }
        vat.idle_since_ms = now_ms;
        vat.asked |= ask;
        if let Some(number) = vat.applied_untold.take() {
            out.push(send(id, generation, ToWorker::Applied { number }));
        }
        let message = if turns.is_empty() {
            ToWorker::HandOver
        } else {
            ToWorker::Deliver {
                turns,
                hand_over: ask,
            }
        };
        out.push(send(id, generation, message));
        Ok(())
    }

    pub(super) fn on_message(
        &mut self,
        id: VatId,
        generation: u64,
        message: FromWorker,
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        if self.births.contains_key(&id) {
            return self.on_birth_message(id, generation, message, ledger, out);
        }
        if !self.is_current(id, generation) {
            return Ok(());
        }
        match message {
            FromWorker::Ready {
                generation: named,
                protocol,
                ..
            } => {
                if named != generation || protocol != PROTOCOL_VERSION {
                    let why = format!("it speaks protocol {protocol} as generation {named}");
                    return self.on_lie(id, generation, why, out);
                }
                self.on_ready(id, generation, out);
                Ok(())
            }
            FromWorker::Starting { .. } => {
                let why = "it starts a program that has started long since".to_owned();
                self.on_lie(id, generation, why, out)
            }
            FromWorker::Delta { .. } => {
                let why = "a piece of a delta nobody waits for".to_owned();
                self.on_lie(id, generation, why, out)
            }
            FromWorker::HandOver(hand_over) => {
                self.on_hand_over(id, generation, hand_over, ledger, out)
            }
            FromWorker::Aborted {
                generation: named,
                turn,
                by,
                why,
            } if named == generation => {
                // What it handed over before stays handed over, also where that waits for room.
                if self.is_held_back(id) {
                    let held = Held::Aborted { turn, by, why };
                    self.hold_back(id, generation, 0, held);
                    return Ok(());
                }
                self.on_aborted(id, generation, turn, (by, why), out)
            }
            FromWorker::Aborted { .. } => {
                let why = "an abort of another generation".to_owned();
                self.on_lie(id, generation, why, out)
            }
        }
    }

    /// Whether this is the vat's worker. Older generations are ignored: their process is dead or
    /// being ended (T1).
    pub(super) fn is_current(&self, id: VatId, generation: u64) -> bool {
        let vat = self.vats.get(&id);
        vat.is_some_and(|vat| vat.is_current(generation))
    }

    /// Takes a hand-over into the frame being filled, or holds it back until there is room.
    fn on_hand_over(
        &mut self,
        vat: VatId,
        generation: u64,
        hand_over: HandOver,
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        let bytes = self.frame_bytes(vat, &hand_over);
        if self.is_full(bytes) {
            self.hold_back(vat, generation, bytes, Held::HandOver(hand_over));
            return Ok(());
        }
        self.filling.bytes += bytes;
        self.examine(vat, generation, hand_over, ledger, out)
    }

    /// The same of one that was checked when its side file was made.
    pub(super) fn on_checked(
        &mut self,
        vat: VatId,
        generation: u64,
        checked: Checked,
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        let bytes = checked.frame_bytes();
        if self.is_full(bytes) {
            self.hold_back(vat, generation, bytes, Held::Checked(Box::new(checked)));
            return Ok(());
        }
        self.filling.bytes += bytes;
        self.accept(vat, generation, checked, ledger, out)
    }

    fn is_full(&self, bytes: usize) -> bool {
        let is_over =
            self.filling.bytes > 0 && self.filling.bytes + bytes > self.settings.limits.frame;
        is_over || !self.held_back.is_empty()
    }

    /// Whether something a vat's worker said waits for room in a frame.
    pub(super) fn is_held_back(&self, vat: VatId) -> bool {
        self.held_back.iter().any(|held| held.vat == vat)
    }

    fn hold_back(&mut self, vat: VatId, generation: u64, bytes: usize, held: Held) {
        self.held_back.push_back(HeldBack {
            vat,
            generation,
            bytes,
            held,
        });
    }

    /// A new frame begins to fill: what was held back comes first, in its order (J8).
    pub(super) fn let_in(
        &mut self,
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        while let Some(next) = self.held_back.front() {
            let bytes = next.bytes;
            if self.filling.bytes > 0 && self.filling.bytes + bytes > self.settings.limits.frame {
                break;
            }
            self.filling.bytes += bytes;
            let Some(HeldBack {
                vat,
                generation,
                held,
                ..
            }) = self.held_back.pop_front()
            else {
                break;
            };
            match held {
                _ if !self.is_current(vat, generation) => {}
                Held::HandOver(hand_over) => {
                    self.examine(vat, generation, hand_over, ledger, out)?;
                }
                Held::Checked(checked) => self.accept(vat, generation, *checked, ledger, out)?,
                Held::Aborted { turn, by, why } => {
                    self.on_aborted(vat, generation, turn, (by, why), out)?;
                }
            }
        }
        Ok(())
    }

    fn examine(
        &mut self,
        id: VatId,
        generation: u64,
        hand_over: HandOver,
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        let vat = self.vat_mut(id);
        if hand_over.generation != generation {
            let why = format!("a hand-over of generation {}", hand_over.generation);
            return self.on_lie(id, generation, why, out);
        }
        match check(hand_over, &vat.expected()) {
            Ok(checked) => self.accept(id, generation, checked, ledger, out),
            Err(violation) => self.on_lie(id, generation, violation.to_string(), out),
        }
    }

    /// Stages everything of a hand-over that passed T1.
    fn accept(
        &mut self,
        id: VatId,
        generation: u64,
        checked: Checked,
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        match self.reserve(id, &checked, ledger)? {
            Reserved::Taken => {}
            Reserved::NoSpace(why) => {
                self.on_no_room(id, generation, &why, out);
                return Ok(());
            }
            Reserved::Damaged(why) => {
                self.on_damaged(id, generation, why, out);
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
        let vat = self.vat_mut(id);
        let first = vat.handed_turn + 1;
        let consumed = usize::try_from(last_turn - vat.handed_turn).expect("checked: in the group");
        let consumed: Vec<RequestNo> = vat.delivered.drain(..consumed).collect();
        for no in &consumed {
            self.requests.get_mut(no).expect("under way").given = None;
        }
        self.turns_out -= consumed.len();
        let vat = self.vat_mut(id);
        vat.handed_turn = last_turn;
        vat.hand_over = number;
        vat.asked = false;
        vat.handed_pages = used_pages;
        vat.timer_turns = vat.timer_turns.split_off(&(last_turn + 1));
        if !delta.is_empty() {
            out.push(Effect::Stage(Part::Heap { vat: id, delta }));
        }
        if !log.is_empty() {
            out.push(Effect::Stage(Part::Log {
                vat: id,
                bytes: log,
            }));
        }
        self.count_turns(
            id,
            generation,
            number,
            CountersRow {
                turns: last_turn,
                used_pages,
            },
            out,
        );
        let home = match rows_are_spilled {
            true => Home::Side,
            false => Home::Frame,
        };
        self.settle_replies(id, (first, &consumed), (replies, home), ledger, out)?;
        // Behind what the frame itself says of the rows in it.
        if let Some(side) = side {
            out.push(Effect::Stage(Part::Spill(side)));
        }
        self.change_timers(id, timers, out);
        self.forgive(id, out);
        self.touch(id);
        Ok(())
    }

    fn settle_replies(
        &mut self,
        id: VatId,
        (first, consumed): (u64, &[RequestNo]),
        (replies, home): (Vec<Reply>, Home),
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        let mut answered = vec![false; consumed.len()];
        for Reply { request, outcome } in replies {
            let here = request
                .checked_sub(first)
                .and_then(|at| usize::try_from(at).ok());
            let no = match here {
                Some(at) if at < consumed.len() => {
                    answered[at] = true;
                    consumed[at]
                }
                _ => {
                    let row = rows::delete(rows::OPEN, rows::open_key(id, request));
                    out.push(Effect::Stage(Part::Row(row)));
                    self.vat_mut(id)
                        .open
                        .remove(&request)
                        .expect("checked: open")
                }
            };
            self.settle(no, (Settled::from_outcome(outcome), home), ledger, out)?;
        }
        for (at, no) in consumed.iter().enumerate().filter(|(at, _)| !answered[*at]) {
            match self.requests[no].what {
                What::Call => self.open(id, first + at as u64, *no, out),
                What::Timer(timer) => self.fired(id, *no, timer, out),
            }
        }
        Ok(())
    }

    /// Notes in the frame being filled that the vat has come this far.
    pub(super) fn count_turns(
        &mut self,
        vat: VatId,
        generation: u64,
        hand_over: u64,
        counters: CountersRow,
        out: &mut Vec<Effect<W>>,
    ) {
        let row = rows::put(rows::COUNTERS, rows::vat_key(vat), &counters);
        out.push(Effect::Stage(Part::Row(row)));
        self.filling.turns.push(Turns {
            vat,
            generation,
            hand_over,
            counters,
        });
        self.filling.is_empty = false;
        self.vat_mut(vat).unapplied += 1;
    }

    /// The frame is durable: what waited for it leaves.
    pub(super) fn on_committed(
        &mut self,
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        let slot = std::mem::replace(&mut self.slot, Slot::Free);
        let Slot::Syncing(mut frame) = slot else {
            panic!("a commit nobody asked for");
        };
        for no in &frame.settled {
            self.tell(*no, out);
        }
        for Limited {
            vat,
            limits,
            waiter,
        } in std::mem::take(&mut frame.limited)
        {
            self.limit(vat, limits, waiter, out);
        }
        for Turns { vat, counters, .. } in &frame.turns {
            if let Some(vat) = self.vats.get_mut(vat) {
                vat.committed = *counters;
            }
        }
        for id in std::mem::take(&mut frame.terminated) {
            self.bury(id, out);
        }
        for born in std::mem::take(&mut frame.born) {
            self.settle_in(born, ledger, out)?;
        }
        self.slot = Slot::Applying(frame);
        Ok(())
    }

    /// The frame's heap changes are in the images: the slot is free, workers may forget their
    /// copies.
    pub(super) fn on_applied(&mut self, ledger: &dyn Ledger) -> Result<(), LedgerError> {
        let slot = std::mem::replace(&mut self.slot, Slot::Free);
        let Slot::Applying(Frame { settled, turns, .. }) = slot else {
            panic!("an apply nobody asked for");
        };
        for no in settled {
            self.forget(no);
        }
        for turns in turns {
            // Its worker must not drop copies of what the image does not have (H1).
            if ledger.is_behind(turns.vat) {
                self.lagging.push(turns);
            } else {
                self.on_vat_applied(turns);
            }
        }
        // The slot is free now: whoever ran ahead meanwhile may hand over.
        for id in std::mem::take(&mut self.ahead) {
            self.touch(id);
        }
        self.places.look_again();
        Ok(())
    }
}

/// A hand-over that waits for room in a frame, or what its worker said after it.
#[derive(Debug)]
pub struct HeldBack {
    vat: VatId,
    generation: u64,
    /// Of a frame.
    bytes: usize,
    held: Held,
}

#[derive(Debug)]
enum Held {
    HandOver(HandOver),
    Checked(Box<Checked>),
    Aborted {
        turn: u64,
        by: AbortedBy,
        why: String,
    },
}

fn send<W>(vat: VatId, generation: u64, message: ToWorker) -> Effect<W> {
    Effect::SendToWorker {
        vat,
        generation,
        message,
    }
}
