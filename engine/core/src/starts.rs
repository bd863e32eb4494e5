//! Starts that wait: a start function, `init` or module that awaits a timer settles in a later
//! turn.
//!
//! Promises: until it settles there is no vat: nothing of it is durable, its worker stays and is
//! handed its due timers one a turn, and whatever ends it leaves nothing. It may take
//! limit `start`, its waits included; one that waits for nothing, or for a timer later than that,
//! is refused at once. Calls wait as for any birth.
//!
//! Does not know what the program waits for: of its timers the worker says the first alone, which
//! is a claim and may be wrong only to its own cost.

use kenvat_store::VatId;

use super::Core;
use super::birth::Birth;
use super::event::{Effect, Ledger, LedgerError};
use crate::api::DeployError;
use kenvat_wire::protocol::{Delivery, DueTimer, Message, ToWorker};

impl<W> Core<W> {
    /// The worker has run what it was sent, and the start has not settled.
    pub(super) fn on_starting(
        &mut self,
        id: VatId,
        said: (u64, u64),
        next: Option<DueTimer>,
        out: &mut Vec<Effect<W>>,
    ) {
        let others = self.births.iter().filter(|(other, _)| **other != id);
        let waiting = others.filter(|(_, it)| it.has_waited()).count();
        let now_ms = self.now_ms;
        let limits = self.settings.limits;
        let Some(birth) = self.births.get_mut(&id) else {
            return;
        };
        let generation = birth.generation;
        let late_ms = birth.began_ms.saturating_add_unsigned(limits.start);
        let error = match next {
            _ if said != (generation, birth.turn) || birth.waits.is_some() => {
                let why = "the worker broke the rules: it says twice that it starts".to_owned();
                DeployError::Host(why)
            }
            None => DeployError::of_program(
                "the start function (or init) returned a promise that nothing is left to settle"
                    .to_owned(),
            ),
            Some(due) if due.due_ms.max(now_ms) > late_ms => DeployError::of_program(format!(
                "the start function (or init) may take {} s, and waits for a timer that is due {} \
                 s after it began",
                limits.start / 1000,
                due.due_ms.saturating_sub(birth.began_ms) / 1000
            )),
            Some(_) if waiting >= limits.pending_deployments => {
                DeployError::Overloaded(format!("{waiting} vats wait for timers in their start"))
            }
            Some(due) => {
                birth.waits = Some(due);
                // Its place may be another's meanwhile.
                self.places.look_again();
                return;
            }
        };
        self.end_birth(id, error, out);
    }

    /// Delivers the timers that are due to the starts that wait for them.
    pub(super) fn go_on_starting(
        &mut self,
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        let now_ms = self.now_ms;
        for (vat, birth) in &mut self.births {
            let Some(DueTimer { timer, .. }) = birth.waits.take_if(|due| due.due_ms <= now_ms)
            else {
                continue;
            };
            birth.turn += 1;
            let turn = Delivery {
                turn: birth.turn,
                time_ms: now_ms,
                seed: ledger.seed()?,
                message: Message::Timer { timer },
            };
            out.push(Effect::SendToWorker {
                vat: *vat,
                generation: birth.generation,
                message: ToWorker::Deliver {
                    turns: vec![turn],
                    hand_over: true,
                },
            });
        }
        Ok(())
    }

    /// When the next start that waits goes on.
    pub(super) fn next_start_ms(&self) -> Option<i64> {
        let waits = self.births.values().filter_map(|birth| birth.waits);
        waits.map(|due| due.due_ms).min()
    }

    /// Births that run a turn. The others have a process as well, but none of the places of vats,
    /// which they would keep for minutes.
    pub(super) fn births_running(&self) -> usize {
        let is_waiting = |birth: &&Birth<W>| birth.waits.is_none();
        self.births.values().filter(is_waiting).count()
    }

    /// Whether a vat of that name is being made and not in a frame yet.
    pub(super) fn is_starting(&self, name: &str) -> bool {
        let mut births = self.births.values();
        births.any(|birth| birth.is_of(name) && !birth.done)
    }

    /// Somebody terminates the vat before it is one.
    pub(super) fn give_up_birth(&mut self, name: &str, waiter: W, out: &mut Vec<Effect<W>>) {
        let of_name = self.births.iter().find(|(_, birth)| birth.is_of(name));
        if let Some(id) = of_name.map(|(id, _)| *id) {
            let message = "it was terminated before its start had settled".to_owned();
            self.end_birth(id, DeployError::of_program(message), out);
        }
        let answer = Ok(());
        out.push(Effect::AnswerDone { waiter, answer });
    }

    /// The start failed, and its worker goes.
    fn end_birth(&mut self, vat: VatId, error: DeployError, out: &mut Vec<Effect<W>>) {
        let Some(generation) = self.births.get(&vat).map(|birth| birth.generation) else {
            return;
        };
        self.miscarry(vat, error, out);
        out.push(Effect::KillWorker { vat, generation });
    }
}
