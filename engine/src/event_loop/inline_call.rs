//! A call that is alone is carried through by the thread that makes it (T5).
//!
//! While nothing else is under way, a caller that waits would only wake the loop's thread and then
//! be woken by it: two hand-overs between threads for nothing. So the caller's thread does what the
//! loop's would do: it gives the turn to the worker, waits for the hand-over, writes and syncs the
//! frame, and has its answer in hand.
//!
//! Promises: everything the loop owns is behind one lock, which is not held while the worker runs;
//! a caller that finds it taken, or something under way, asks the ordinary way. Nothing that must
//! stay with the loop's thread is done on another: processes are started by the thread whose end
//! would end them. What is left to do afterwards is told to the loop's thread. Does not know more
//! of a turn than whether one is out.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use kenvat_core::api::{Call, CallError};
use kenvat_core::apply::{self, Deferred};
use kenvat_core::event::Event;
use kenvat_store::Checked;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::workers::WATCHDOG_PERIOD;
use super::{EventLoop, Fatal, LoopLock, Waiter};
use crate::handle::{self, Answer};
use crate::trace::Step;

/// What callers' threads leave for the loop's.
#[derive(Default)]
pub(super) struct InlineCalls {
    /// Effects only the loop's thread may carry out, and a frame that is not in the images yet.
    pub deferred: Deferred<Waiter>,
    /// The worker that was sent something last.
    pub sent_to: Option<u64>,
    /// The worker a caller's thread waits for: what it says next is for that thread to read, or it
    /// would wait on.
    pub listens_to: Option<u64>,
    pub is_fold_due: bool,
    /// Images that were checked, whose workers are to be started.
    pub checked: Vec<(u64, Checked)>,
    /// Why the engine ends.
    pub fatal: Option<Fatal>,
}

impl InlineCalls {
    /// Whether something waits for the loop's thread.
    fn is_left(&self) -> bool {
        self.deferred.has_effects()
            || !self.checked.is_empty()
            || self.fatal.is_some()
            || self.is_fold_due
    }
}

/// The worker that has the turn.
struct Listening {
    generation: u64,
    socket: Arc<UnixStream>,
}

/// Carries a call through on this thread, as far as that can be done at once, gives the answer to
/// `out`, and only then does what is left to do; gives both back where something else is under way.
pub(crate) fn call<F: FnOnce(Answer<Result<String, CallError>>)>(
    shared: &LoopLock,
    call: Call,
    patience: Duration,
    out: F,
) -> Result<(), (Call, F)> {
    let Some(mut engine) = shared.try_lock() else {
        return Err((call, out));
    };
    let (answerer, answer) = handle::answer();
    let Some(event_loop) = engine.as_mut() else {
        return Err((call, out));
    };
    if !event_loop.is_alone() {
        return Err((call, out));
    }
    let listening = event_loop.begin_inline(Event::Call {
        call,
        waiter: Waiter::Call(answerer),
    });
    drop(engine);
    let Some(Listening { generation, socket }) = listening else {
        out(answer);
        return Ok(());
    };
    let is_heard = wait(&socket, patience.min(WATCHDOG_PERIOD));
    if let Some(event_loop) = shared.lock().as_mut() {
        event_loop.end_inline(generation, is_heard);
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
        if let Some(event_loop) = self.0.lock().as_mut() {
            event_loop.drive(EventLoop::apply_deferred);
            event_loop.leave_the_rest();
        }
    }
}

/// Waits until the worker says something; false when it does not for so long.
fn wait(socket: &UnixStream, patience: Duration) -> bool {
    let mut fds = [PollFd::new(socket, PollFlags::IN)];
    let patience = Timespec {
        tv_sec: 0,
        // Less than a second: the watchdog looks at the worker more often.
        tv_nsec: patience.subsec_nanos().into(),
    };
    // An interrupted wait is given up like one that took too long.
    matches!(poll(&mut fds, Some(&patience)), Ok(1..))
}

impl EventLoop {
    /// Whether nothing is under way, and nothing was asked before.
    fn is_alone(&mut self) -> bool {
        if self.inline.deferred.has_frame() {
            self.drive(EventLoop::apply_deferred);
        }
        self.take_commands();
        if !self.events.is_empty() {
            self.reactor.notify();
            return false;
        }
        self.core.is_idle()
            && !self.committer.has_sealed()
            && self.stopping.is_none()
            && self.inline.fatal.is_none()
            && self.committer.is_disk_quick()
    }

    fn begin_inline(&mut self, call: Event<Waiter>) -> Option<Listening> {
        self.tracer.mark(|| Step::Taken);
        self.inline.sent_to = None;
        self.events.push_back(call);
        self.drive(|_| Ok(()));
        let sent_to = self.inline.sent_to.filter(|_| self.core.turns_out() == 1);
        let listening = sent_to.and_then(|generation| {
            let socket = self.workers.lend_socket(generation, &self.reactor)?;
            self.inline.listens_to = Some(generation);
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
            self.drive(|event_loop| {
                event_loop.on_socket(generation);
                Ok(())
            });
        }
        // Whatever it says next is for the loop's thread.
        if self.core.has_turns_out() {
            self.workers.watch(generation, &self.reactor);
        }
    }

    /// Brings the images up to a frame whose outputs have left.
    fn apply_deferred(&mut self) -> Result<(), Fatal> {
        match self.inline.deferred.take_frame() {
            Some(durable) => apply::apply_frame(self, durable),
            None => Ok(()),
        }
    }

    /// Does something, and all that follows from it and may be done on a caller's thread.
    fn drive(&mut self, begin: impl FnOnce(&mut EventLoop) -> Result<(), Fatal>) {
        self.inline.deferred.set_inline(true);
        let settled = begin(self).and_then(|()| apply::settle(self));
        self.inline.deferred.set_inline(false);
        if let Err(fatal) = settled {
            self.inline.fatal = Some(fatal);
        }
    }

    /// Wakes the loop's thread if there is something for it, or it would wait too long.
    fn leave_the_rest(&mut self) {
        let is_left = self.inline.is_left()
            || self.spill.has_whole()
            || self.ledger.was_refused
            || self.committer.probe_in_ms().is_some()
            || self.stopping.is_some()
            || self.verifier.is_asked()
            || !self.events.is_empty();
        if is_left || self.reactor.waits_too_long_for(self.patience_ms()) {
            self.reactor.notify();
        }
    }

    /// What callers' threads left to the loop's.
    pub(super) fn take_deferred(&mut self) -> Result<(), Fatal> {
        if let Some(fatal) = self.inline.fatal.take() {
            return Err(fatal);
        }
        self.apply_deferred()?;
        let mut effects = self.inline.deferred.take_effects();
        apply::apply_effects(self, &mut effects)?;
        for (generation, checked) in std::mem::take(&mut self.inline.checked) {
            self.resume_start(generation, checked);
        }
        if std::mem::take(&mut self.inline.is_fold_due) && self.ledger.store.fold_due() {
            self.fold()?;
        }
        Ok(())
    }
}
