//! The end of a process: who is to blame, and what is tried again (T3).

use kenvat_store::VatId;

use super::Lifecycle;
use crate::api::KilledBy;
use crate::event::Death;
use crate::gate::Refusal;
use crate::limits::{KILLS_MAX, START_DEATHS, START_TRIES_MAX};
use crate::program::describe;
use crate::rows::{self, PoisonRow};
use crate::vats::{Ending, RequestNo, Vat, Worker};
use kenvat_wire::protocol::EXIT_HEAP_LIMIT;

impl<W> Lifecycle<'_, W> {
    /// The process of a worker is reaped.
    pub fn on_gone(&mut self, id: VatId, generation: u64, death: Death, running: Option<u64>) {
        let Some(vat) = self.vats.get(id) else {
            return;
        };
        if !vat.worker().is_process(generation) {
            return;
        }
        let counts = vat.is_current(generation);
        let (was_ready, counted) = match vat.worker() {
            Worker::Ending {
                why: Ending::Lied(why),
                ..
            } => (true, Some(format!("broke the rules: {why}"))),
            Worker::Ending { .. } => (true, None),
            worker => {
                let is_fault = !matches!(death, Death::Killed | Death::NoSpace);
                (worker.is_running(), is_fault.then(|| describe(death)))
            }
        };
        let blamed = blame(vat, running);
        if death == Death::NoSpace && counts {
            let why = "the disk is full: there is no room to map the vat's heap";
            self.refuse_delivered(id, why);
            if !was_ready {
                self.refuse_waiting(id, why);
            }
        }
        self.vats.known_mut(id).worker_mut().gone();
        self.take_back(id);
        if let Some(why) = &counted {
            let error = format!("its worker {why}");
            self.vats.known_mut(id).faults_mut().last_error = Some(error);
        }
        self.slots.give_back(id);
        self.vats.touch(id);
        if counts && death == Death::Killed {
            self.on_killed(id, was_ready, blamed);
        }
        match (counted, blamed) {
            (Some(why), _) if !was_ready => self.on_start_death(id, &why),
            (Some(why), Some((turn, no))) => self.count_death(id, turn, no, death, &why),
            _ => {}
        }
    }

    /// What the worker had not handed over waits again.
    pub(super) fn take_back(&mut self, id: VatId) {
        let requests = &*self.requests;
        let bytes = |no| requests.known(no).bytes();
        let turns = self.vats.known_mut(id).take_back(bytes);
        self.vats.turns_returned(turns);
    }

    /// The worker was ended by somebody else: an operator, whose kills say nothing about the
    /// message, or a machine out of memory, which would do it again for ever.
    fn on_killed(&mut self, id: VatId, was_ready: bool, blamed: Option<(u64, RequestNo)>) {
        // Before it is ready no turn runs.
        let blamed = blamed.filter(|_| was_ready);
        if was_ready && blamed.is_none() {
            return;
        }
        let turn = blamed.map_or(0, |(turn, _)| turn);
        let faults = self.vats.known_mut(id).faults_mut();
        let (last, times) = faults.killed;
        let times = if last == turn { times + 1 } else { 1 };
        faults.killed = (turn, times);
        if times < KILLS_MAX {
            return;
        }
        faults.killed = (0, 0);
        let doing = if was_ready {
            "while it ran this message"
        } else {
            "before it was ready"
        };
        let why = format!(
            "its worker was killed from outside {times} times in a row {doing}; the machine may be \
             out of memory"
        );
        faults.last_error = Some(why.clone());
        match blamed {
            Some((_, no)) => self.requests.known_mut(no).abort(KilledBy::Crash, why),
            None => self.give_up_start(id, &why),
        }
    }

    /// A message's worker died of it: noted durably before it is tried again, or given up (T3).
    fn count_death(&mut self, id: VatId, turn: u64, no: RequestNo, death: Death, why: &str) {
        let request = self.requests.known_mut(no);
        let content = request.message_hash();
        let vat = self.vats.known_mut(id);
        let known = vat.faults().poison;
        let known = known.filter(|known| known.turn == turn && known.content == content);
        let deaths = known.map_or(0, |known| known.deaths) + 1;
        let by = match death {
            Death::Clock => Some(KilledBy::Clock),
            Death::Exit(EXIT_HEAP_LIMIT) => Some(KilledBy::Heap),
            _ if deaths >= self.cx.limits().poison => Some(KilledBy::Crash),
            _ => None,
        };
        if let Some(by) = by {
            request.abort(by, format!("its worker {why} while it ran this message"));
            return;
        }
        let poison = PoisonRow {
            turn,
            content,
            deaths,
        };
        vat.faults_mut().poison = Some(poison);
        self.cx
            .stage_row(rows::put(rows::POISON, rows::vat_key(id), &poison));
        // Counting the same turns once more makes the next worker wait for this frame.
        let turns = vat.enter_frame(0, 0);
        self.cx.count_turns(turns);
    }

    fn on_start_death(&mut self, id: VatId, why: &str) {
        let faults = self.vats.known_mut(id).faults_mut();
        faults.start_deaths += 1;
        if faults.start_deaths >= START_DEATHS {
            let why = format!("its worker {why} {START_DEATHS} times before it took any message");
            self.break_vat(id, why);
        }
    }

    /// A worker could not be started. `deployments` of others have a process of their own.
    pub fn on_not_started(
        &mut self,
        id: VatId,
        generation: u64,
        (why, transient): (String, bool),
        deployments: usize,
    ) {
        let vat = self.vats.get(id);
        if !vat.is_some_and(|vat| vat.worker().is_process(generation)) {
            return;
        }
        self.take_back(id);
        if transient {
            self.vats.known_mut(id).worker_mut().gone();
            self.vats.touch(id);
            self.on_no_slot(id, &why, deployments);
        } else {
            self.slots.give_back(id);
            self.break_vat(id, why);
        }
    }

    /// The machine had nothing left to start this vat's worker with: it waits at the head, and
    /// others make way. After too many tries its callers are told.
    fn on_no_slot(&mut self, id: VatId, why: &str, deployments: usize) {
        self.slots.give_back(id);
        let tries = self.slots.note_refused(deployments, self.cx.now_ms());
        if tries <= START_TRIES_MAX {
            let joins = self.vats.known_mut(id).worker_mut().queue();
            debug_assert!(joins, "its process is gone");
            self.slots.want_first(id);
        } else {
            self.give_up_start(id, why);
        }
    }

    /// Whoever waits for this vat's worker is told that there is none to be had now.
    fn give_up_start(&mut self, id: VatId, why: &str) {
        let refusal = Refusal::overloaded(format!("no worker can be started now: {why}"));
        let vat = self.vats.known_mut(id);
        let wakers = std::mem::take(&mut vat.wishes_mut().awake);
        let mut untried = Vec::new();
        for no in vat.queue_mut().take() {
            let request = self.requests.known(no);
            // What a limit ended is over: it is consumed with its error, which takes no worker.
            if request.is_aborted() {
                vat.queue_mut().push(no, request.bytes());
            } else {
                untried.push(no);
            }
        }
        self.vats.touch(id);
        for no in untried {
            self.requests
                .refuse(no, &refusal, self.timers, &mut self.cx);
        }
        self.cx.refuse_all(wakers, &refusal);
    }
}

/// Which message a worker died of: the one it says it ran, if that was out, else the only one out.
fn blame<W>(vat: &Vat<W>, running: Option<u64>) -> Option<(u64, RequestNo)> {
    let progress = vat.progress();
    let said = running.and_then(|turn| Some((turn, progress.delivered_at(turn)?)));
    let first = progress.handed_turn() + 1;
    let only = progress.delivered().front().map(|no| (first, *no));
    said.or(only.filter(|_| progress.delivered().len() == 1))
}
