//! Starts that wait: a start function, `init` or module that awaits a timer settles in a later
//! turn.
//!
//! Promises: until it settles there is no vat: nothing of it is durable, its worker stays and is
//! handed its due timers one a turn, and whatever ends it leaves nothing. It may take
//! limit `start`, its waits included; one that waits for nothing, or for a timer later than that,
//! is refused at once. Calls wait as for any deployment.
//!
//! Does not know what the program waits for: of its timers the worker says the first alone, which
//! is a claim and may be wrong only to its own cost.

use kenvat_store::VatId;

use super::deployment::Stage;
use super::start::Deploying;
use crate::api::DeployError;
use crate::event::LedgerError;
use crate::gate::Ack;
use kenvat_wire::protocol::DueTimer;

impl<W> Deploying<'_, W> {
    /// The worker has run what it was sent, and the start has not settled.
    pub(super) fn on_starting(&mut self, id: VatId, claimed: (u64, u64), next: Option<DueTimer>) {
        let others = self.deployments.under_way.iter();
        let others = others.filter(|(other, _)| **other != id);
        let waiting = others.filter(|(_, it)| it.has_waited()).count();
        let limits = self.cx.limits();
        let now_ms = self.cx.now_ms();
        let deployment = self.known_mut(id);
        let began_ms = deployment.began_ms;
        let late_ms = began_ms.saturating_add_unsigned(limits.start);
        let is_in_turn = claimed == (deployment.generation, deployment.turn);
        let error = match next {
            _ if !is_in_turn || deployment.waits_for().is_some() => {
                let why = "the worker broke the rules: it says twice that it starts".to_owned();
                DeployError::Host(why)
            }
            None => DeployError::of_program(
                "the start function (or init) returned a promise that nothing is left to settle"
                    .to_owned(),
            ),
            Some(due) if due.due_ms.max(now_ms) > late_ms => DeployError::of_program(format!(
                "the start function (or init) may take {} s, and waits for a timer that is \
                     due {} s after it began",
                limits.start / 1000,
                due.due_ms.saturating_sub(began_ms) / 1000
            )),
            Some(_) if waiting >= limits.pending_deployments => {
                DeployError::Overloaded(format!("{waiting} vats wait for timers in their start"))
            }
            Some(due) => {
                deployment.stage = Stage::Waits(due);
                // Its slot may be another's meanwhile.
                self.slots.note_change();
                return;
            }
        };
        self.end(id, error);
    }

    /// Delivers the timers that are due to the starts that wait for them.
    pub fn go_on_starting(&mut self) -> Result<(), LedgerError> {
        let now_ms = self.cx.now_ms();
        for (vat, deployment) in &mut self.deployments.under_way {
            let due = deployment.waits_for().filter(|due| due.due_ms <= now_ms);
            if let Some(DueTimer { timer, .. }) = due {
                let turn = deployment.next_turn(timer, now_ms, self.cx.seed()?);
                self.cx.send(*vat, deployment.generation, turn);
            }
        }
        Ok(())
    }

    /// The vat is terminated before it is one.
    pub fn withdraw(&mut self, id: VatId, waiter: W) {
        let message = "it was terminated before its start had settled".to_owned();
        self.end(id, DeployError::of_program(message));
        self.cx.acknowledge(Ack::Withdrawn(waiter));
    }
}
