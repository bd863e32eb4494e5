//! Workers' lives: start, death, sleep, termination.
//!
//! Promises: a new worker starts only after the old process is reaped and every hand-over accepted
//! from it is in the image (T1); a message whose turn killed its worker three times in single steps
//! is answered with an error and never run again (T3); a worker that dies before it is ready three
//! times makes its vat broken instead of a loop.

use kenvat_store::{Part, VatId};

use super::birth::describe;
use super::event::{Death, Effect, Ledger, LedgerError};
use super::limits::{POISON_DEATHS, START_DEATHS};
use super::rows::{self, CountersRow, Settled};
use super::vat::{Ending, Run};
use super::{Core, Slot};
use crate::api::CallError;
use crate::protocol::EXIT_HEAP_LIMIT;

/// What the waiters of a terminated vat are told.
const TERMINATED: &str = "was terminated";

impl<W> Core<W> {
    pub(super) fn on_sleep(
        &mut self,
        name: &str,
        waiter: W,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        if let Some(id) = self.named_or_refuse(name, waiter, out, |vat, waiter| {
            vat.sleepers.push(waiter);
        }) {
            self.touch(id);
        }
        Ok(())
    }

    pub(super) fn on_wake(
        &mut self,
        name: &str,
        waiter: W,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        if let Some(id) = self.named_or_refuse(name, waiter, out, |vat, waiter| {
            vat.wakers.push(waiter);
        }) {
            self.touch(id);
        }
        Ok(())
    }

    pub(super) fn on_terminate(
        &mut self,
        name: &str,
        waiter: W,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        if let Some(id) = self.named_or_refuse(name, waiter, out, |vat, waiter| {
            vat.terminators.push(waiter);
        }) {
            self.touch(id);
        }
        Ok(())
    }

    fn named_or_refuse(
        &mut self,
        name: &str,
        waiter: W,
        out: &mut Vec<Effect<W>>,
        keep: impl FnOnce(&mut super::Vat<W>, W),
    ) -> Option<VatId> {
        match self.vat_id(name) {
            Some(id) => {
                keep(self.vat_mut(id), waiter);
                Some(id)
            }
            None => {
                let nearest = self.nearest_names(name);
                let error = CallError::UnknownVat {
                    name: name.to_owned(),
                    nearest,
                };
                out.push(Effect::AnswerDone {
                    waiter,
                    answer: Err(error),
                });
                None
            }
        }
    }

    /// Starts, ends or buries the vat's worker where something asks for it.
    pub(super) fn advance_life(
        &mut self,
        id: VatId,
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
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
                if settled && (drowsy || !vat.sleepers.is_empty()) {
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
        ledger: &dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        let now_ms = self.now_ms;
        let vat = self.vats.get_mut(&id).expect("looked up by the caller");
        if vat.is_terminating() {
            return self.stage_termination(id, ledger, out);
        }
        done(std::mem::take(&mut vat.sleepers), &Ok(()), out);
        let wanted = !vat.queue.is_empty() || !vat.wakers.is_empty();
        if wanted && vat.unapplied == 0 {
            let generation = self.next_generation;
            self.next_generation += 1;
            vat.run = Run::Awake {
                generation,
                ready: false,
            };
            vat.idle_since_ms = now_ms;
            out.push(Effect::StartWorker {
                vat: id,
                generation,
            });
        }
        Ok(())
    }

    fn end(&mut self, id: VatId, generation: u64, why: Ending, out: &mut Vec<Effect<W>>) {
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
        } else if self
            .vats
            .get(&id)
            .is_some_and(|vat| vat.is_current(generation))
        {
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
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        if self.births.contains_key(&id) {
            self.on_birth_gone(id, &describe(death), out);
            return Ok(());
        }
        let Some(vat) = self.vats.get_mut(&id) else {
            return Ok(());
        };
        let (was_ready, counted, why) = match &vat.run {
            Run::Awake {
                generation: now,
                ready,
            } if *now == generation => (*ready, death != Death::Killed, describe(death)),
            Run::Ending {
                generation: now,
                why: Ending::Lied(why),
            } if *now == generation => (true, true, format!("broke the rules: {why}")),
            Run::Ending {
                generation: now, ..
            } if *now == generation => (true, false, String::new()),
            _ => return Ok(()),
        };
        let single = vat.single_steps();
        let had_turns = !vat.delivered.is_empty();
        vat.run = Run::Asleep;
        let turns = vat.take_back();
        vat.queue_bytes = vat.queue.iter().map(|no| self.requests[no].bytes()).sum();
        if counted {
            vat.last_error = Some(format!("its worker {why}"));
        }
        self.turns_out -= turns;
        self.touch(id);
        if !counted {
            return Ok(());
        }
        if !was_ready {
            return self.on_start_death(id, &why, out);
        }
        // Among several turns nobody knows which one it was: they are run one by one first.
        if had_turns && single {
            let hopeless = death == Death::Exit(EXIT_HEAP_LIMIT);
            let vat = self.vat_mut(id);
            vat.deaths += 1;
            if vat.deaths >= POISON_DEATHS || hopeless {
                return self.consume_poison(id, &why, ledger, out);
            }
        }
        Ok(())
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
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        if self.births.contains_key(&id) {
            self.on_birth_gone(id, &format!("could not be started: {why}"), out);
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
            self.break_vat(id, why, out);
        }
        Ok(())
    }

    /// The vat runs no more in this life of the host; whoever waits is told why.
    fn break_vat(&mut self, id: VatId, why: String, out: &mut Vec<Effect<W>>) {
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

    /// Message k is consumed with its error, in its place in the order, and not run again (T3).
    fn consume_poison(
        &mut self,
        id: VatId,
        why: &str,
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        let vat = self.vat_mut(id);
        vat.deaths = 0;
        let Some(no) = vat.queue.pop_front() else {
            return Ok(());
        };
        vat.handed_turn += 1;
        let turns = vat.handed_turn;
        let used_pages = vat.committed.used_pages;
        let bytes = self.requests[&no].bytes();
        self.vat_mut(id).queue_bytes -= bytes;
        // Generation 0 never runs: no worker is told of this frame's apply.
        self.count_turns(id, 0, 0, CountersRow { turns, used_pages }, out);
        let text = format!("the worker {why} while it ran this message; its effects are undone");
        self.settle(no, Settled::Killed(text), ledger, out)
    }

    /// Puts the vat's end into the frame being filled.
    fn stage_termination(
        &mut self,
        id: VatId,
        ledger: &dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        let syncing = matches!(&self.slot, Slot::Syncing(f) if f.terminated.contains(&id));
        if syncing || self.filling.terminated.contains(&id) {
            return Ok(());
        }
        let key = rows::vat_key(id);
        for table in [rows::VATS, rows::COUNTERS, rows::SOURCES] {
            out.push(Effect::Stage(Part::Row(rows::delete(table, key.clone()))));
        }
        let vat = self.vat_mut(id);
        let name = vat.row.name.clone();
        for (request, no) in std::mem::take(&mut vat.open) {
            let row = rows::delete(rows::OPEN, rows::open_key(id, request));
            out.push(Effect::Stage(Part::Row(row)));
            let settled = Settled::Unavailable {
                name: name.clone(),
                why: TERMINATED.to_owned(),
            };
            self.settle(no, settled, ledger, out)?;
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

    /// Idle vats go to sleep.
    pub(super) fn on_tick(&mut self) -> Result<(), LedgerError> {
        let Some(after) = self.settings.sleep_after_ms else {
            return Ok(());
        };
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let now_ms = self.now_ms;
        let idle: Vec<VatId> = self
            .vats
            .values()
            .filter(|vat| vat.is_idle() && now_ms - vat.idle_since_ms >= after)
            .filter(|vat| matches!(vat.run, Run::Awake { ready: true, .. }))
            .map(|vat| vat.id)
            .collect();
        for id in idle {
            self.vat_mut(id).drowsy = true;
            self.touch(id);
        }
        Ok(())
    }
}

fn done<W>(waiters: Vec<W>, answer: &Result<(), CallError>, out: &mut Vec<Effect<W>>) {
    for waiter in waiters {
        out.push(Effect::AnswerDone {
            waiter,
            answer: answer.clone(),
        });
    }
}
