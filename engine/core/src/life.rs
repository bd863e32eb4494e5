//! Workers' lives: start, death, sleep, termination.
//!
//! Promises: a new worker starts only after the old process is reaped and every hand-over accepted
//! from it is in the image (T1); a message whose turn killed its worker three times in single steps
//! is answered with an error and never run again (T3); a worker that dies before it is ready three
//! times makes its vat broken instead of a loop.

use kenvat_store::{Part, VatId};

use super::answers::Home;
use super::event::{Death, Effect, Ledger, LedgerError, Reserved};
use super::frame::Limited;
use super::limits::{ABORT_REASON_BYTES_MAX, KILLS_MAX, START_DEATHS};
use super::program::describe;
use super::requests::What;
use super::rows::{self, CountersRow, PoisonRow, Settled};
use super::vat::{Ending, RequestNo, Run, Vat};
use super::{Core, Slot};
use crate::api::{CallError, KilledBy, VatLimits};
use kenvat_wire::protocol::{AbortedBy, EXIT_HEAP_LIMIT, ToWorker};
use kenvat_wire::text::beginning;

/// What the waiters of a terminated vat are told.
const TERMINATED: &str = "was terminated";

impl<W> Core<W> {
    /// Somebody wants the vat asleep, awake or gone: `list` names where such waiters stand.
    pub(super) fn on_wish(
        &mut self,
        name: &str,
        waiter: W,
        list: impl FnOnce(&mut Vat<W>) -> &mut Vec<W>,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        match self.vat_id(name) {
            Some(id) => {
                list(self.vat_mut(id)).push(waiter);
                self.touch(id);
            }
            None => {
                let answer = Err(self.unknown_vat(name));
                out.push(Effect::AnswerDone { waiter, answer });
            }
        }
        Ok(())
    }

    /// The vat's own limits are to be these: told when that is durable.
    pub(super) fn on_limit(
        &mut self,
        name: &str,
        limits: VatLimits,
        waiter: W,
        out: &mut Vec<Effect<W>>,
    ) {
        let Some(vat) = self.vat_id(name) else {
            let answer = Err(self.unknown_vat(name));
            out.push(Effect::AnswerDone { waiter, answer });
            return;
        };
        let key = rows::vat_key(vat);
        let row = match limits.is_empty() {
            true => rows::delete(rows::LIMITS, key),
            false => rows::put(rows::LIMITS, key, &limits),
        };
        out.push(Effect::Stage(Part::Row(row)));
        self.filling.limited.push(Limited {
            vat,
            limits,
            waiter,
        });
        self.filling.is_empty = false;
    }

    /// The vat's limits are durable. They count from its next process on, so this one goes soon.
    pub(super) fn limit(
        &mut self,
        id: VatId,
        limits: VatLimits,
        waiter: W,
        out: &mut Vec<Effect<W>>,
    ) {
        // One that was terminated meanwhile has no limits to set any more, and none to refuse.
        if let Some(vat) = self.vats.get_mut(&id) {
            vat.limits = limits;
            vat.yields = matches!(vat.run, Run::Awake { .. });
            self.touch(id);
        }
        let answer = Ok(());
        out.push(Effect::AnswerDone { waiter, answer });
    }

    /// Starts, ends or buries the vat's worker where something asks for it.
    pub(super) fn advance_life(
        &mut self,
        id: VatId,
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        self.consume_undone(id, ledger, out)?;
        let Some(vat) = self.vats.get_mut(&id) else {
            return Ok(());
        };
        match &vat.run {
            Run::Awake { generation, ready } => {
                let (generation, ready) = (*generation, *ready);
                if vat.is_terminating() {
                    self.end(id, generation, Ending::Terminate, out);
                    return Ok(());
                }
                if ready {
                    done(std::mem::take(&mut vat.wakers), &Ok(()), out);
                }
                let drowsy = std::mem::take(&mut vat.drowsy) && vat.queue.is_empty();
                let settled = vat.delivered.is_empty() && vat.unapplied == 0;
                if settled && (drowsy || vat.yields || !vat.sleepers.is_empty()) {
                    self.end(id, generation, Ending::Sleep, out);
                }
            }
            Run::Asleep => self.advance_asleep(id, ledger, out)?,
            Run::Broken(why) => {
                let why = format!("is broken: {why}");
                let error = CallError::Unavailable {
                    name: vat.row.name.clone(),
                    why,
                };
                done(std::mem::take(&mut vat.wakers), &Err(error), out);
                done(std::mem::take(&mut vat.sleepers), &Ok(()), out);
                if vat.is_terminating() {
                    self.stage_termination(id, ledger, out)?;
                }
            }
            Run::Ending { .. } => {}
        }
        Ok(())
    }

    fn advance_asleep(
        &mut self,
        id: VatId,
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        let vat = self.vats.get_mut(&id).expect("looked up by the caller");
        if vat.is_terminating() {
            return self.stage_termination(id, ledger, out);
        }
        done(std::mem::take(&mut vat.sleepers), &Ok(()), out);
        if vat.wants_worker() && !vat.waits {
            vat.waits = true;
            self.places.want(id);
        }
        Ok(())
    }

    pub(super) fn end(
        &mut self,
        id: VatId,
        generation: u64,
        why: Ending,
        out: &mut Vec<Effect<W>>,
    ) {
        self.vat_mut(id).run = Run::Ending { generation, why };
        out.push(Effect::KillWorker {
            vat: id,
            generation,
        });
    }

    pub(super) fn on_ready(&mut self, id: VatId, generation: u64, out: &mut Vec<Effect<W>>) {
        let vat = self.vat_mut(id);
        vat.run = Run::Awake {
            generation,
            ready: true,
        };
        vat.start_deaths = 0;
        self.places.succeeded();
        let vat = self.vat_mut(id);
        done(std::mem::take(&mut vat.wakers), &Ok(()), out);
        self.touch(id);
    }

    /// The worker broke the rules: it is ended, and its message counts as having killed it.
    pub(super) fn on_lie(
        &mut self,
        id: VatId,
        generation: u64,
        why: String,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        if self.births.contains_key(&id) {
            self.on_birth_gone(id, &format!("broke the rules: {why}"), out);
            out.push(Effect::KillWorker {
                vat: id,
                generation,
            });
        } else if self.is_current(id, generation) {
            self.vat_mut(id).last_error = Some(format!("its worker broke the rules: {why}"));
            self.end(id, generation, Ending::Lied(why), out);
        }
        Ok(())
    }

    pub(super) fn on_gone(
        &mut self,
        id: VatId,
        generation: u64,
        death: Death,
        running: Option<u64>,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        if self.births.contains_key(&id) {
            self.on_birth_dead(id, death, out);
            return Ok(());
        }
        let Some(vat) = self.vats.get_mut(&id) else {
            return Ok(());
        };
        let (was_ready, counted, why) = match &vat.run {
            Run::Awake {
                generation: now,
                ready,
            } if *now == generation => {
                let counted = !matches!(death, Death::Killed | Death::NoSpace);
                (*ready, counted, describe(death))
            }
            Run::Ending {
                generation: now,
                why: Ending::Lied(why),
            } if *now == generation => (true, true, format!("broke the rules: {why}")),
            Run::Ending {
                generation: now, ..
            } if *now == generation => (true, false, String::new()),
            _ => return Ok(()),
        };
        let blamed = blame(vat, running);
        if death == Death::NoSpace && matches!(vat.run, Run::Awake { .. }) {
            let why = "the disk is full: there is no room to map the vat's heap";
            self.refuse_delivered(id, why, out);
            if !was_ready {
                self.refuse_waiting(id, why, out);
            }
        }
        let Some(vat) = self.vats.get_mut(&id) else {
            return Ok(());
        };
        let from_outside = matches!(vat.run, Run::Awake { .. }) && death == Death::Killed;
        vat.run = Run::Asleep;
        let turns = vat.take_back();
        vat.queue_bytes = vat.queue.iter().map(|no| self.requests[no].bytes()).sum();
        if counted {
            vat.last_error = Some(format!("its worker {why}"));
        }
        self.turns_out -= turns;
        self.places.give_back(id);
        self.touch(id);
        if from_outside {
            self.on_killed(id, was_ready, blamed, out);
        }
        if !counted {
            return Ok(());
        }
        if !was_ready {
            return self.on_start_death(id, &why, out);
        }
        if let Some((turn, no)) = blamed {
            self.count_death(id, turn, no, death, &why, out);
        }
        Ok(())
    }

    /// Somebody else ended the worker: an operator, whose kills say nothing about the message, or a
    /// machine out of memory, which would do it again for ever.
    fn on_killed(
        &mut self,
        id: VatId,
        was_ready: bool,
        blamed: Option<(u64, RequestNo)>,
        out: &mut Vec<Effect<W>>,
    ) {
        // Before it is ready it is nobody's turn.
        let blamed = match blamed {
            _ if !was_ready => None,
            Some(blamed) => Some(blamed),
            None => return,
        };
        let turn = blamed.map_or(0, |(turn, _)| turn);
        let vat = self.vat_mut(id);
        let (last, times) = vat.killed;
        let times = if last == turn { times + 1 } else { 1 };
        vat.killed = (turn, times);
        if times < KILLS_MAX {
            return;
        }
        vat.killed = (0, 0);
        let doing = if was_ready {
            "while it ran this message"
        } else {
            "before it was ready"
        };
        let why = format!(
            "its worker was killed from outside {times} times in a row {doing}; the machine may be \
             out of memory"
        );
        vat.last_error = Some(why.clone());
        let Some((_, no)) = blamed else {
            return self.give_up_start(id, &why, out);
        };
        let request = self
            .requests
            .get_mut(&no)
            .expect("blamed requests are under way");
        request.aborted = Some((KilledBy::Crash, why));
    }

    /// A message's worker died of it: noted durably before it is tried again, or given up (T3).
    fn count_death(
        &mut self,
        id: VatId,
        turn: u64,
        no: RequestNo,
        death: Death,
        why: &str,
        out: &mut Vec<Effect<W>>,
    ) {
        let content = self.requests[&no].message_hash();
        let most = self.settings.limits.poison;
        let vat = self.vat_mut(id);
        let known = vat
            .poison
            .filter(|known| known.turn == turn && known.content == content);
        let deaths = known.map_or(0, |known| known.deaths) + 1;
        let by = match death {
            Death::Clock => Some(KilledBy::Clock),
            Death::Exit(EXIT_HEAP_LIMIT) => Some(KilledBy::Heap),
            _ if deaths >= most => Some(KilledBy::Crash),
            _ => None,
        };
        if let Some(by) = by {
            let why = format!("its worker {why} while it ran this message");
            let request = self
                .requests
                .get_mut(&no)
                .expect("blamed requests are under way");
            request.aborted = Some((by, why));
            return;
        }
        let poison = PoisonRow {
            turn,
            content,
            deaths,
        };
        vat.poison = Some(poison);
        let counters = CountersRow {
            turns: vat.handed_turn,
            used_pages: vat.handed_pages,
        };
        let row = rows::put(rows::POISON, rows::vat_key(id), &poison);
        out.push(Effect::Stage(Part::Row(row)));
        // Counting the same turns once more makes the next worker wait for this frame.
        self.count_turns(id, 0, 0, counters, out);
    }

    /// The turns up to here are handed over: whatever killed a worker before is settled.
    pub(super) fn forgive(&mut self, id: VatId, out: &mut Vec<Effect<W>>) {
        let vat = self.vat_mut(id);
        let handed = vat.handed_turn;
        if vat.poison.take_if(|poison| poison.turn <= handed).is_some() {
            let row = rows::delete(rows::POISON, rows::vat_key(id));
            out.push(Effect::Stage(Part::Row(row)));
        }
    }

    /// The worker undid a turn that went past a limit, and waits for everything after its last
    /// hand-over to be delivered again (T2).
    pub(super) fn on_aborted(
        &mut self,
        id: VatId,
        generation: u64,
        turn: u64,
        (by, why): (AbortedBy, String),
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        let vat = self.vat_mut(id);
        let place = turn
            .checked_sub(vat.handed_turn + 1)
            .and_then(|at| usize::try_from(at).ok());
        let Some(no) = place.and_then(|at| vat.delivered.get(at).copied()) else {
            let why = format!("turn {turn} undone, which was not delivered");
            return self.on_lie(id, generation, why, out);
        };
        let turns = vat.recall();
        let bytes = self.vats[&id]
            .queue
            .iter()
            .map(|no| self.requests[no].bytes())
            .sum();
        self.vat_mut(id).queue_bytes = bytes;
        self.turns_out -= turns;
        let why = beginning(&why, ABORT_REASON_BYTES_MAX).to_owned();
        let by = match by {
            AbortedBy::Gas => KilledBy::Gas,
            AbortedBy::Heap => KilledBy::Heap,
            AbortedBy::Request => KilledBy::Request,
            AbortedBy::Sent => KilledBy::Sent,
            AbortedBy::Stack => KilledBy::Stack,
        };
        let request = self
            .requests
            .get_mut(&no)
            .expect("delivered requests are under way");
        request.aborted = Some((by, why));
        let message = ToWorker::AbortSeen;
        out.push(Effect::SendToWorker {
            vat: id,
            generation,
            message,
        });
        self.touch(id);
        Ok(())
    }

    /// Undone messages at the head of the queue are consumed with their error, each in its place in
    /// the order, behind the gate, and not run again (T2).
    fn consume_undone(
        &mut self,
        id: VatId,
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        loop {
            let Some(vat) = self.vats.get_mut(&id) else {
                return Ok(());
            };
            if !vat.delivered.is_empty() {
                return Ok(());
            }
            let Some(no) = vat.queue.front().copied() else {
                return Ok(());
            };
            let request = self
                .requests
                .get_mut(&no)
                .expect("queued requests are under way");
            let Some((by, why)) = request.aborted.take() else {
                return Ok(());
            };
            let what = request.what;
            vat.queue.pop_front();
            vat.queue_bytes -= request.bytes();
            vat.handed_turn += 1;
            let turn = vat.handed_turn;
            let counters = CountersRow {
                turns: vat.handed_turn,
                used_pages: vat.handed_pages,
            };
            // Generation 0 never runs: no worker is told of this frame's apply.
            self.count_turns(id, 0, 0, counters, out);
            self.forgive(id, out);
            if is_limit(by) {
                self.pause(id);
            }
            match what {
                What::Call => {
                    let settled = Settled::Killed { by, why };
                    self.settle(no, (settled, Home::Frame), ledger, out)?;
                }
                What::Timer(timer) => {
                    self.say_undone(id, turn, (by, &why), ledger, out)?;
                    self.fired(id, no, timer, out);
                }
            }
        }
    }

    fn on_start_death(
        &mut self,
        id: VatId,
        why: &str,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        let vat = self.vat_mut(id);
        vat.start_deaths += 1;
        if vat.start_deaths >= START_DEATHS {
            let why = format!("its worker {why} {START_DEATHS} times before it took any message");
            self.break_vat(id, why, out);
        }
        Ok(())
    }

    pub(super) fn on_not_started(
        &mut self,
        id: VatId,
        generation: u64,
        why: String,
        transient: bool,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        if self.births.contains_key(&id) {
            self.on_birth_not_started(id, &why, transient, out);
            return Ok(());
        }
        let named = self.vats.get(&id).is_some_and(|vat| match &vat.run {
            Run::Awake {
                generation: now, ..
            }
            | Run::Ending {
                generation: now, ..
            } => *now == generation,
            _ => false,
        });
        if named {
            let taken_back = self.vat_mut(id).take_back();
            self.turns_out -= taken_back;
            let vat = &self.vats[&id];
            let bytes = vat.queue.iter().map(|no| self.requests[no].bytes()).sum();
            self.vat_mut(id).queue_bytes = bytes;
            if transient {
                self.vat_mut(id).run = Run::Asleep;
                self.touch(id);
                self.on_no_place(id, &why, out);
            } else {
                self.places.give_back(id);
                self.break_vat(id, why, out);
            }
        }
        Ok(())
    }

    /// The vat runs no more in this life of the host; whoever waits is told why.
    pub(super) fn break_vat(&mut self, id: VatId, why: String, out: &mut Vec<Effect<W>>) {
        let vat = self.vat_mut(id);
        vat.run = Run::Broken(why.clone());
        vat.last_error = Some(why.clone());
        vat.queue_bytes = 0;
        let name = vat.row.name.clone();
        let queue = std::mem::take(&mut vat.queue);
        let open: Vec<u64> = vat.open.values().copied().collect();
        let error = CallError::Unavailable {
            name,
            why: format!("is broken: {why}"),
        };
        for no in queue {
            self.refuse(no, &error, out);
        }
        // Open requests stay known, since their turns were consumed; only their waiters go.
        for no in open {
            if let Some(request) = self.requests.get_mut(&no) {
                for waiter in std::mem::take(&mut request.waiters) {
                    out.push(waiter.answer(Err(error.clone())));
                }
            }
        }
        self.touch(id);
    }

    /// Puts the vat's end into the frame being filled. Without room for it the vat lives on, and
    /// whoever wanted its end is told.
    fn stage_termination(
        &mut self,
        id: VatId,
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        let syncing = matches!(&self.slot, Slot::Syncing(f) if f.terminated.contains(&id));
        if syncing || self.filling.terminated.contains(&id) {
            return Ok(());
        }
        let refused = match self.reserve_end(id, ledger)? {
            Reserved::Taken => None,
            Reserved::NoSpace(why) => Some(CallError::NoSpace(why)),
            Reserved::Damaged(why) => Some(CallError::Host(why)),
        };
        if let Some(error) = refused {
            let waiters = std::mem::take(&mut self.vat_mut(id).terminators);
            done(waiters, &Err(error), out);
            self.touch(id);
            return Ok(());
        }
        let key = rows::vat_key(id);
        for table in [
            rows::VATS,
            rows::COUNTERS,
            rows::SOURCES,
            rows::POISON,
            rows::LIMITS,
        ] {
            out.push(Effect::Stage(Part::Row(rows::delete(table, key.clone()))));
        }
        self.drop_timers(id, out);
        let vat = self.vat_mut(id);
        let name = vat.row.name.clone();
        for (request, no) in std::mem::take(&mut vat.open) {
            let row = rows::delete(rows::OPEN, rows::open_key(id, request));
            out.push(Effect::Stage(Part::Row(row)));
            let settled = Settled::Unavailable {
                name: name.clone(),
                why: TERMINATED.to_owned(),
            };
            self.settle(no, (settled, Home::Frame), ledger, out)?;
        }
        out.push(Effect::Stage(Part::Terminate { vat: id }));
        self.filling.terminated.push(id);
        self.filling.is_empty = false;
        Ok(())
    }

    /// The vat's end is durable: whoever waits for it or for its answers is told.
    pub(super) fn bury(&mut self, id: VatId, out: &mut Vec<Effect<W>>) {
        let Some(vat) = self.vats.remove(&id) else {
            return;
        };
        self.names.remove(&vat.row.name);
        let error = CallError::Unavailable {
            name: vat.row.name,
            why: TERMINATED.to_owned(),
        };
        for no in &vat.queue {
            self.refuse(*no, &error, out);
        }
        done(vat.terminators, &Ok(()), out);
        done(vat.sleepers, &Ok(()), out);
        done(vat.wakers, &Err(error), out);
    }
}

pub(super) fn done<W>(waiters: Vec<W>, answer: &Result<(), CallError>, out: &mut Vec<Effect<W>>) {
    for waiter in waiters {
        out.push(Effect::AnswerDone {
            waiter,
            answer: answer.clone(),
        });
    }
}

/// Whether it was a limit the worker keeps by itself: such turns can come one right after another.
fn is_limit(by: KilledBy) -> bool {
    use KilledBy::{Gas, Heap, Sent, Stack};
    matches!(by, Gas | Heap | Sent | Stack)
}

/// Which message a worker died of: the one it says it ran, if that was out, else the only one out.
fn blame<W>(vat: &Vat<W>, running: Option<u64>) -> Option<(u64, RequestNo)> {
    let first = vat.handed_turn + 1;
    let said = running.and_then(|turn| usize::try_from(turn.checked_sub(first)?).ok());
    let said = said.filter(|at| *at < vat.delivered.len());
    let only = (vat.delivered.len() == 1).then_some(0);
    let at = said.or(only)?;
    Some((first + at as u64, vat.delivered[at]))
}
