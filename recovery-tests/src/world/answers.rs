//! What people hear, remembered and judged: answers fit their questions, and asked again they are
//! the same.

use kenvat_core::api::CallError;
use kenvat_store::VatId;

use super::{Waits, World};
use crate::client::{Answer, Clients};
use crate::host::Told;
use crate::invariants::{self, Held, broken};
use crate::program::Token;
use crate::stop::Stop;

impl World {
    /// Hears what the host let out, and now and then looks whether a crash now would make it a lie.
    pub(super) fn listen(&mut self) -> Result<(), Stop> {
        let told = std::mem::take(&mut self.host_mut().told);
        let heard = !told.is_empty();
        for (waiter, told) in told {
            let Some(waits) = self.waiters.remove(&waiter) else {
                return Ok(broken(
                    "answers come once",
                    format!("waiter {waiter}: {told:?}"),
                )?);
            };
            self.hear(waits, told)?;
        }
        if heard && self.chance.one_in(12) {
            self.probe()?;
        }
        Ok(())
    }

    fn hear(&mut self, waits: Waits, told: Told) -> Held {
        match (waits, told) {
            (Waits::Call(token), Told::Call(answer)) => self.hear_answer(token, answer),
            (Waits::Ask(token), Told::Ask(answer)) => hear_of_key(&self.clients, token, answer),
            (Waits::OtherContent(token), Told::Call(answer)) => match answer {
                Err(CallError::KeyReused { .. }) => Ok(()),
                other => broken(
                    "exactly once",
                    format!("{token} with other content: {other:?}"),
                ),
            },
            (Waits::Deploy(name), Told::Deploy(Ok(deployed))) => {
                let old = self.told.made.iter().filter(|(_, other)| **other == name);
                self.told.ended.extend(old.map(|(vat, _)| *vat));
                self.told.ending.remove(&name);
                self.told.made.insert(VatId(deployed.id), name);
                Ok(())
            }
            (Waits::Terminate(id), Told::Done(Ok(()))) => {
                self.told.ended.extend(id);
                Ok(())
            }
            (Waits::Deploy(_), Told::Deploy(Err(_)))
            | (Waits::Terminate(..), Told::Done(Err(_)))
            | (Waits::Done, Told::Done(_)) => Ok(()),
            (waits, told) => broken("answers fit", format!("{waits:?} heard {told:?}")),
        }
    }

    fn hear_answer(&mut self, token: Token, answer: Answer) -> Held {
        self.tally.answers += 1;
        self.trace.line(format!("  {token} is answered {answer:?}"));
        let Some(request) = self.clients.requests.get_mut(&token) else {
            return broken("answers fit", format!("nobody asked {token}"));
        };
        match &request.answer {
            Some(first) => invariants::invariant_same_answer(token, first, &answer),
            None => {
                request.answer = Some(answer);
                Ok(())
            }
        }
    }
}

/// An answer to the question what became of a key.
fn hear_of_key(clients: &Clients, token: Token, answer: Result<Option<String>, CallError>) -> Held {
    let request = &clients.requests[&token];
    match (&request.answer, answer.transpose()) {
        (Some(first), Some(again)) if request.is_kept() => {
            invariants::invariant_same_answer(token, first, &again)
        }
        (Some(first), None) if request.is_kept() => broken(
            "exactly once",
            format!("{token}, answered {first:?}, is not known"),
        ),
        _ => Ok(()),
    }
}
