//! The order in which a host carries out what the core wants: written once, for every host.
//!
//! ```text
//! settle:  events -> Core::handle ┐
//!          Core::flush            ├-> effects, in their order -> messages to workers
//!          (until no event is left)
//!          the sealed frame: write and sync ----------------> release
//! release: Committed -> effects (the frame's outputs) -> images -> Applied
//! ```
//!
//! Promises: effects are carried out in the order the core gave them; a sealed frame is written
//! after everything else of the same round, so that workers run while the disk syncs; the outputs
//! of a frame leave only after it is durable (T4) and before its images are written (I1). The event
//! loop and the simulation of `recovery-tests` both run this code through [`Performer`]; what they
//! do for an effect is theirs. Does not know threads, sockets, processes or files.

use std::collections::VecDeque;

use kenvat_store::{Durable, Part, VatId};

use super::Core;
use super::event::{Effect, Event, Ledger, LedgerError};
use crate::api::{CallError, DeployError, Deployed, VatLimits};
use kenvat_wire::protocol::ToWorker;

/// What the core is fed with.
pub struct Feed<'a, W> {
    /// The core itself.
    pub core: &'a mut Core<W>,
    /// What it reads while it works.
    pub ledger: &'a mut dyn Ledger,
    /// What happened and is not handed to it yet.
    pub events: &'a mut VecDeque<Event<W>>,
    /// The time, in milliseconds since 1970.
    pub now_ms: i64,
}

/// An answer to somebody who waits.
#[derive(Debug)]
pub enum Answer {
    /// Of a call.
    Call(Result<String, CallError>),
    /// What became of a key.
    Ask(Result<Option<String>, CallError>),
    /// Of a deployment.
    Deploy(Result<Deployed, DeployError>),
    /// That something was done.
    Done(Result<(), CallError>),
}

/// Carries out what the core wants. `W` is how somebody who waits is answered.
pub trait Performer<W> {
    /// Why the host ends.
    type Error: From<LedgerError>;

    /// The core and what it is fed with.
    fn feed(&mut self) -> Feed<'_, W>;

    /// Puts a part into the frame being filled.
    fn stage(&mut self, part: Part) -> Result<(), Self::Error>;

    /// Closes the frame being filled: what is staged from now on belongs to the next one.
    fn seal(&mut self) -> Result<(), Self::Error>;

    /// Writes and syncs the sealed frame, if there is one and this is to be done here and now.
    /// Whoever has it written elsewhere calls [`release`] once it is durable.
    fn write(&mut self) -> Result<Option<Durable>, Self::Error>;

    /// The outputs of a frame have left. Gives the frame back if its images are to be written now;
    /// whoever keeps it calls [`apply_frame`] later.
    fn released(&mut self, durable: Durable) -> Option<Durable>;

    /// Brings the images up to a frame whose outputs have left.
    fn apply(&mut self, durable: Durable) -> Result<(), Self::Error>;

    /// Starts a worker on a vat's image; a failure is an event.
    fn start_worker(&mut self, vat: VatId, generation: u64) -> Result<(), Self::Error>;

    /// Starts a worker on a copy of the genesis image; a failure is an event.
    fn start_deployment(
        &mut self,
        vat: VatId,
        generation: u64,
        page_limit: u32,
        limits: VatLimits,
    ) -> Result<(), Self::Error>;

    /// Queues a message for a worker, which need not be there any more.
    fn send(&mut self, generation: u64, message: ToWorker);

    /// Ends a worker, which need not be there any more.
    fn kill(&mut self, generation: u64);

    /// Sends what is queued for workers.
    fn flush_workers(&mut self) -> Result<(), Self::Error>;

    /// Gives out an answer. A waiter that went away needs none.
    fn answer(&mut self, waiter: W, answer: Answer);

    /// Gives the effect back, or keeps it for another thread to carry out later.
    fn defer(&mut self, effect: Effect<W>) -> Option<Effect<W>> {
        Some(effect)
    }
}

/// Feeds the core until it wants nothing more that can be done now.
pub fn settle<W, P: Performer<W>>(host: &mut P) -> Result<(), P::Error> {
    let mut effects = Vec::new();
    loop {
        while let Some(event) = host.feed().events.pop_front() {
            handle(host, event, &mut effects)?;
        }
        let Feed { core, ledger, .. } = host.feed();
        core.flush(ledger, &mut effects)?;
        apply_effects(host, &mut effects)?;
        host.flush_workers()?;
        if !host.feed().events.is_empty() {
            continue;
        }
        match host.write()? {
            Some(durable) => release(host, durable)?,
            None => return Ok(()),
        }
    }
}

/// A frame is durable: its outputs leave first, and its images are written afterwards (I1).
pub fn release<W, P: Performer<W>>(host: &mut P, durable: Durable) -> Result<(), P::Error> {
    let mut effects = Vec::new();
    handle(host, Event::Committed, &mut effects)?;
    apply_effects(host, &mut effects)?;
    match host.released(durable) {
        Some(durable) => apply_frame(host, durable),
        None => Ok(()),
    }
}

/// Brings the images up to a frame whose outputs have left, and tells the core at its next event.
pub fn apply_frame<W, P: Performer<W>>(host: &mut P, durable: Durable) -> Result<(), P::Error> {
    host.apply(durable)?;
    host.feed().events.push_back(Event::Applied);
    Ok(())
}

/// Carries out effects in their order.
pub fn apply_effects<W, P: Performer<W>>(
    host: &mut P,
    effects: &mut Vec<Effect<W>>,
) -> Result<(), P::Error> {
    for effect in effects.drain(..) {
        let Some(effect) = host.defer(effect) else {
            continue;
        };
        match effect {
            Effect::Stage(part) => host.stage(part)?,
            Effect::Commit => host.seal()?,
            Effect::StartWorker { vat, generation } => host.start_worker(vat, generation)?,
            Effect::StartDeployment {
                vat,
                generation,
                page_limit,
                limits,
            } => host.start_deployment(vat, generation, page_limit, limits)?,
            Effect::SendToWorker {
                generation,
                message,
                ..
            } => host.send(generation, message),
            Effect::KillWorker { generation, .. } => host.kill(generation),
            Effect::AnswerCall { waiter, answer } => host.answer(waiter, Answer::Call(answer)),
            Effect::AnswerAsk { waiter, answer } => host.answer(waiter, Answer::Ask(answer)),
            Effect::AnswerDeploy { waiter, answer } => host.answer(waiter, Answer::Deploy(answer)),
            Effect::AnswerDone { waiter, answer } => host.answer(waiter, Answer::Done(answer)),
        }
    }
    Ok(())
}

fn handle<W, P: Performer<W>>(
    host: &mut P,
    event: Event<W>,
    effects: &mut Vec<Effect<W>>,
) -> Result<(), P::Error> {
    let Feed {
        core,
        ledger,
        now_ms,
        ..
    } = host.feed();
    Ok(core.handle(now_ms, event, ledger, effects)?)
}

/// What a thread that carries a call through by itself leaves for the host's own thread: while
/// nothing else is under way, the caller's thread runs [`settle`] too (T5).
///
/// Promises: nothing is started on a caller's thread, since a process ends with the thread that
/// started it; what such a process is told waits behind its start; a frame whose outputs have left
/// is applied before anything else happens.
#[derive(Debug)]
pub struct Deferred<W> {
    is_inline: bool,
    effects: Vec<Effect<W>>,
    frame: Option<Durable>,
}

impl<W> Default for Deferred<W> {
    fn default() -> Deferred<W> {
        Deferred {
            is_inline: false,
            effects: Vec::new(),
            frame: None,
        }
    }
}

impl<W> Deferred<W> {
    /// A caller's thread begins to feed the core, or has done so.
    pub fn set_inline(&mut self, is_inline: bool) {
        self.is_inline = is_inline;
    }

    /// Whether a caller's thread feeds the core now.
    pub fn is_inline(&self) -> bool {
        self.is_inline
    }

    /// Keeps an effect that only the host's own thread may carry out: the start of a process, and
    /// what concerns that process. `is_known` says whether there is a worker of this generation.
    pub fn defer(
        &mut self,
        effect: Effect<W>,
        is_known: impl Fn(u64) -> bool,
    ) -> Option<Effect<W>> {
        let is_deferred = self.is_inline
            && match &effect {
                Effect::StartWorker { .. } | Effect::StartDeployment { .. } => true,
                Effect::SendToWorker { generation, .. } | Effect::KillWorker { generation, .. } => {
                    !self.effects.is_empty() && !is_known(*generation)
                }
                _ => false,
            };
        if !is_deferred {
            return Some(effect);
        }
        self.effects.push(effect);
        None
    }

    /// Keeps a frame whose outputs have left, if a caller's thread is at work: its answer comes
    /// before the images are written.
    pub fn keep_frame(&mut self, durable: Durable) -> Option<Durable> {
        if !self.is_inline {
            return Some(durable);
        }
        self.frame = Some(durable);
        None
    }

    /// Whether a frame is to be applied.
    pub fn has_frame(&self) -> bool {
        self.frame.is_some()
    }

    /// Whether effects were left.
    pub fn has_effects(&self) -> bool {
        !self.effects.is_empty()
    }

    /// The frame to be applied.
    pub fn take_frame(&mut self) -> Option<Durable> {
        self.frame.take()
    }

    /// The effects that were left, in their order.
    pub fn take_effects(&mut self) -> Vec<Effect<W>> {
        std::mem::take(&mut self.effects)
    }
}
