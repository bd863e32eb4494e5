//! Inline calls: a call that is alone is carried through by the thread that makes it (T5).
//!
//! While nothing else is under way, whoever calls and waits would only be woken by the engine's
//! thread after waking it: two hand-overs between threads for nothing. So that thread does what the
//! engine's would do: it gives the turn to the worker, waits for the hand-over, writes and syncs
//! the frame, and has its answer in hand.
//!
//! Promises: everything the engine owns is behind one lock, which is not held while the worker
//! runs; who finds it taken, or something under way, asks the ordinary way. Nothing that must stay
//! with the engine's thread is done on another: processes are started by the thread whose end would
//! end them. What is left to do afterwards is told to the engine's thread. Does not know more of a
//! turn than whether one is out.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kenvat_store::{Checked, Durable};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::commit::INLINE_SYNC_MAX;
use super::workers::{CLOCK_LOOK, rewatch};
use super::{EventLoop, Fatal, LoopLock, Waiter, lock};
use crate::handle::{self, Answer};
use crate::trace::Step;
use kenvat_core::api::{Call, CallError};
use kenvat_core::event::{Effect, Event};

/// What callers' threads leave for the engine's.
#[derive(Default)]
pub(crate) struct InlineCalls {
    /// A caller's thread is at it now.
    pub is_driving: bool,
    /// The worker that was sent something last.
    pub sent_to: Option<u64>,
    /// The worker a caller's thread waits for: what it says next is that thread's to hear, or it
    /// would wait on.
    pub listens_to: Option<u64>,
    /// What only the engine's thread may do.
    pub left: Vec<Effect<Waiter>>,
    /// A frame whose outputs have left, and which is not in the images yet.
    pub owed: Option<Durable>,
    /// A fold is due.
    pub fold_due: bool,
    /// Images that were checked, whose workers are to be started.
    pub checked: Vec<(u64, Checked)>,
    /// Why the engine ends.
    pub fatal: Option<Fatal>,
    /// Until when the engine's thread waits if nothing wakes it; `None` for ever.
    pub thread_waits_until: Option<Instant>,
}

/// The worker that has the turn.
struct Listening {
    generation: u64,
    socket: Arc<UnixStream>,
}

/// Carries a call through on this thread, as far as that can be done at once, gives the answer to
/// `out`, and only then does what is left to do; gives both back where something else is under way.
pub(crate) fn call<F: FnOnce(Answer<Result<String, CallError>>)>(
    shared: &Arc<LoopLock>,
    call: Call,
    patience: Duration,
    out: F,
) -> Result<(), (Call, F)> {
    let Some(mut engine) = shared.try_lock() else {
        return Err((call, out));
    };
    let (answerer, answer) = handle::answer();
    let Some(run) = engine.as_mut() else {
        return Err((call, out));
    };
    if !run.is_alone() {
        return Err((call, out));
    }
    let listening = run.begin_inline(Event::Call {
        call,
        waiter: Waiter::Call(answerer),
    });
    drop(engine);
    let Some(Listening { generation, socket }) = listening else {
        out(answer);
        return Ok(());
    };
    let is_heard = wait(&socket, patience.min(CLOCK_LOOK));
    if let Some(run) = lock(shared).as_mut() {
        run.end_inline(generation, is_heard);
    }
    let _rest = Rest(shared);
    out(answer);
    Ok(())
}

/// What is left to do once an answer is out. Dropping it does that, so that it is also done when
/// the caller's code that got the answer panics: other vats may wait for it.
struct Rest<'a>(&'a LoopLock);

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        if let Some(run) = lock(self.0).as_mut() {
            run.drive(EventLoop::apply_owed);
            run.leave_the_rest();
        }
    }
}

/// Waits until the worker says something; false when it does not for so long.
fn wait(socket: &UnixStream, patience: Duration) -> bool {
    let mut fds = [PollFd::new(socket, PollFlags::IN)];
    let patience = Timespec {
        tv_sec: 0,
        // Less than a second: the clock over the worker is looked at more often.
        tv_nsec: patience.subsec_nanos().into(),
    };
    // An interrupted wait is given up like one that took too long.
    matches!(poll(&mut fds, Some(&patience)), Ok(1..))
}

impl EventLoop {
    /// Whether nothing is under way, and nothing was asked before.
    fn is_alone(&mut self) -> bool {
        if self.inline.owed.is_some() {
            self.drive(EventLoop::apply_owed);
        }
        self.take_commands();
        if !self.events.is_empty() {
            self.notifier.notify();
            return false;
        }
        self.core.is_idle()
            && self.sealed.is_none()
            && self.stopping.is_none()
            && self.inline.fatal.is_none()
            && self.last_sync < INLINE_SYNC_MAX
    }

    fn begin_inline(&mut self, call: Event<Waiter>) -> Option<Listening> {
        self.mark(|_| Step::Taken);
        self.inline.sent_to = None;
        self.events.push_back(call);
        self.drive(|_| Ok(()));
        let sent_to = self.inline.sent_to.filter(|_| self.core.turns_out() == 1);
        let listening = sent_to.and_then(|generation| {
            let (_, worker) = self.workers.get_mut(&generation)?;
            if worker.blocked || worker.is_held() {
                return None;
            }
            if !worker.is_unwatched {
                worker.is_unwatched = true;
                rewatch(&self.epoll, generation, worker);
            }
            self.inline.listens_to = Some(generation);
            let socket = worker.socket_shared();
            Some(Listening { generation, socket })
        });
        if listening.is_none() {
            self.leave_the_rest();
        }
        listening
    }

    fn end_inline(&mut self, generation: u64, is_heard: bool) {
        self.inline.listens_to = None;
        if is_heard {
            self.drive(|run| {
                run.on_socket(generation);
                Ok(())
            });
        }
        // Whatever it says next is for the engine's thread.
        if self.core.has_turns_out() {
            self.watch(generation);
        }
    }

    /// Brings the images up to a frame whose outputs have left.
    pub(super) fn apply_owed(&mut self) -> Result<(), Fatal> {
        match self.inline.owed.take() {
            Some(durable) => self.apply(durable),
            None => Ok(()),
        }
    }

    /// Does something, and all that follows from it and may be done here.
    fn drive(&mut self, begin: impl FnOnce(&mut EventLoop) -> Result<(), Fatal>) {
        self.inline.is_driving = true;
        let settled = begin(self).and_then(|()| self.settle());
        self.inline.is_driving = false;
        if let Err(fatal) = settled {
            self.inline.fatal = Some(fatal);
        }
    }

    /// The engine's thread listens to this worker again.
    pub(super) fn watch(&mut self, generation: u64) {
        if let Some((_, worker)) = self.workers.get_mut(&generation)
            && worker.is_unwatched
        {
            worker.is_unwatched = false;
            rewatch(&self.epoll, generation, worker);
        }
    }

    /// Whether a caller's thread must leave an effect to the engine's: the start of a process, and
    /// what that process is told.
    pub(super) fn is_for_the_thread(&self, effect: &Effect<Waiter>) -> bool {
        if !self.inline.is_driving {
            return false;
        }
        match effect {
            Effect::StartWorker { .. } | Effect::StartDeployment { .. } => true,
            Effect::SendToWorker { generation, .. } | Effect::KillWorker { generation, .. } => {
                !self.inline.left.is_empty()
                    && !self.workers.contains_key(generation)
                    && !self.starting.contains_key(generation)
            }
            _ => false,
        }
    }

    /// Wakes the engine's thread if there is something for it, or it would sleep too long.
    fn leave_the_rest(&mut self) {
        let is_sooner = match (self.patience_ms(), self.inline.thread_waits_until) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(ms), Some(until)) => {
                Instant::now() + Duration::from_millis(ms.unsigned_abs()) < until
            }
        };
        let is_left = !self.inline.left.is_empty()
            || !self.inline.checked.is_empty()
            || self.inline.fatal.is_some()
            || self.inline.fold_due
            || self.spill.is_asked()
            || self.ledger.was_refused
            || self.next_room.is_some()
            || self.stopping.is_some()
            || self.is_verifying()
            || !self.events.is_empty();
        if is_sooner || is_left {
            self.notifier.notify();
        }
    }

    /// What callers' threads left to this one.
    pub(super) fn take_what_was_left(&mut self) -> Result<(), Fatal> {
        if let Some(fatal) = self.inline.fatal.take() {
            return Err(fatal);
        }
        self.apply_owed()?;
        self.effects.append(&mut self.inline.left);
        self.apply_effects()?;
        for (generation, checked) in std::mem::take(&mut self.inline.checked) {
            self.go_on_starting(generation, checked);
        }
        if std::mem::take(&mut self.inline.fold_due) && self.ledger.store.fold_due() {
            self.fold()?;
        }
        Ok(())
    }
}
