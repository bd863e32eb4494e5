//! What may leave the host: outputs of turns for a proof of durability, refusals of what ran no
//! turn, confirmations of what changed nothing durable.

use super::Durable;
use crate::api::{CallError, Deployed};
use crate::event::Effect;
use crate::rows::Settled;

/// Who waits, and in which form the answer is wanted.
#[derive(Debug)]
pub enum Waiter<W> {
    /// For the outcome of a call.
    Call(W),
    /// For what became of a key.
    Ask(W),
    /// For a vat to be asleep, awake or gone.
    Done(W),
}

/// What a turn or another durable change lets out. It is an effect only for a [`Durable`].
#[derive(Debug)]
pub enum Output<W> {
    /// The outcome of a request.
    Settled {
        /// Who waits for it.
        waiter: Waiter<W>,
        /// How the request ended.
        settled: Settled,
    },
    /// The vat exists.
    Deployed {
        /// Its deployer.
        waiter: W,
        /// Which vat it is.
        deployed: Deployed,
    },
    /// The change that was asked for is durable.
    Done {
        /// Who asked for it.
        waiter: W,
    },
}

/// An error that ran no turn, and may be told at once.
///
/// The outcome of a turn cannot be put into one: there is no constructor for an exception
/// ([`CallError::Thrown`]) or for a turn that was undone ([`CallError::TurnKilled`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(CallError);

/// A confirmation of something that changed nothing durable, and needs no frame.
#[derive(Debug)]
pub enum Ack<W> {
    /// The vat's worker is ready.
    Awake(W),
    /// The vat has no worker.
    Asleep(W),
    /// The key is not known.
    Unknown(W),
    /// The deployment was given up before anything of it was durable.
    Withdrawn(W),
    /// The dry run went well; nothing of it remains.
    DryRun(W, Deployed),
}

impl<W> Output<W> {
    /// Lets it out.
    pub fn release(self, _durable: Durable) -> Effect<W> {
        match self {
            Output::Settled { waiter, settled } => waiter.answer(settled.into_result()),
            Output::Deployed { waiter, deployed } => {
                let answer = Ok(deployed);
                Effect::AnswerDeploy { waiter, answer }
            }
            Output::Done { waiter } => {
                let answer = Ok(());
                Effect::AnswerDone { waiter, answer }
            }
        }
    }
}

impl<W> Waiter<W> {
    pub(super) fn answer(self, answer: Result<String, CallError>) -> Effect<W> {
        match self {
            Waiter::Call(waiter) => Effect::AnswerCall { waiter, answer },
            Waiter::Ask(waiter) => {
                let answer = answer.map(Some);
                Effect::AnswerAsk { waiter, answer }
            }
            Waiter::Done(waiter) => {
                let answer = answer.map(drop);
                Effect::AnswerDone { waiter, answer }
            }
        }
    }
}

impl<W> Ack<W> {
    pub(super) fn into_effect(self) -> Effect<W> {
        match self {
            Ack::Awake(waiter) | Ack::Asleep(waiter) | Ack::Withdrawn(waiter) => {
                let answer = Ok(());
                Effect::AnswerDone { waiter, answer }
            }
            Ack::Unknown(waiter) => {
                let answer = Ok(None);
                Effect::AnswerAsk { waiter, answer }
            }
            Ack::DryRun(waiter, deployed) => {
                let answer = Ok(deployed);
                Effect::AnswerDeploy { waiter, answer }
            }
        }
    }
}

impl Refusal {
    /// No vat has that name.
    pub fn unknown_vat(name: &str, nearest: Vec<String>) -> Refusal {
        let name = name.to_owned();
        Refusal(CallError::UnknownVat { name, nearest })
    }

    /// The arguments are not a JSON array.
    pub fn bad_arguments(why: String) -> Refusal {
        Refusal(CallError::BadArguments(why))
    }

    /// Something in the request is malformed or too long.
    pub fn bad_request(why: String) -> Refusal {
        Refusal(CallError::BadRequest(why))
    }

    /// The key came before with another content.
    pub fn key_reused(id: &str) -> Refusal {
        let id = id.to_owned();
        Refusal(CallError::KeyReused { id })
    }

    /// The key was answered too long ago.
    pub fn answer_gone(id: &str) -> Refusal {
        let id = id.to_owned();
        Refusal(CallError::AnswerGone { id })
    }

    /// Too much waits.
    pub fn overloaded(why: String) -> Refusal {
        Refusal(CallError::Overloaded(why))
    }

    /// The disk has no space for what the request changed, so nothing of it counts.
    pub fn no_space(why: &str) -> Refusal {
        Refusal(CallError::NoSpace(why.to_owned()))
    }

    /// The vat takes no requests.
    pub fn unavailable(name: &str, why: String) -> Refusal {
        let name = name.to_owned();
        Refusal(CallError::Unavailable { name, why })
    }

    /// The host or its disk is at fault.
    pub fn host(why: String) -> Refusal {
        Refusal(CallError::Host(why))
    }

    /// What the caller is told.
    pub fn into_error(self) -> CallError {
        self.0
    }
}
