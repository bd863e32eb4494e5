//! The interface of programs that serve many clients: each question is one command to the engine's
//! own thread, and its answer is a future.
//!
//! Promises: no method blocks but `call_inline`; an [`Answer`] arrives once, after the output gate;
//! when the engine has stopped, questions are answered with an error that says so; code of the
//! caller that panics when it is woken ends no other caller's wait. Does not know how answers are
//! made.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::event_loop::{LoopLock, inline_call};
use crate::notifier::Notifier;
use kenvat_core::api::{
    Call, CallError, Deploy, DeployError, Deployed, Limit, LogChunk, RequestKey, StoreReport,
    VatInfo, VatLimits,
};

/// A way to ask a running engine: the interface for programs that serve many clients.
///
/// Cheap to clone. [`crate::Engine::handle`] lends one, and its engine stops when the
/// [`crate::Engine`] goes, whatever handles there are; [`crate::Engine::into_handle`] gives up that
/// owner, and then the engine stops when it is told to or when the last handle goes.
#[derive(Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    notifier: Notifier,
    shared: Arc<LoopLock>,
    recovered: Arc<str>,
}

/// One question, and where its answer goes.
pub(crate) enum Command {
    Call(Call, Answerer<Result<String, CallError>>),
    Ask(RequestKey, Answerer<Result<Option<String>, CallError>>),
    Deploy(Deploy, VatLimits, Answerer<Result<Deployed, DeployError>>),
    TryOut(Deploy, Answerer<Result<Deployed, DeployError>>),
    SetLimits(String, VatLimits, Answerer<Result<(), CallError>>),
    LimitsOf(String, Answerer<Result<Vec<Limit>, CallError>>),
    List(Answerer<Vec<VatInfo>>),
    Show(String, Answerer<Result<VatInfo, CallError>>),
    HeapHash(String, Answerer<Result<String, CallError>>),
    Sleep(String, Answerer<Result<(), CallError>>),
    Wake(String, Answerer<Result<(), CallError>>),
    Terminate(String, Answerer<Result<(), CallError>>),
    Logs {
        vat: String,
        from: u64,
        bytes_max: usize,
        answer: Answerer<Result<LogChunk, CallError>>,
    },
    Verify(Answerer<Result<StoreReport, CallError>>),
    Pressed(Answerer<bool>),
    Limits(Answerer<Vec<Limit>>),
    Stop(Answerer<Result<(), CallError>>),
    Watch(Answerer<Infallible>),
}

/// The engine's half of an answer.
///
/// Sending it, and dropping it unsent, wakes whoever waits: code of the caller (a `Waker`) that
/// runs on the engine's thread, with the engine locked. If that code panics, the panic ends here,
/// because it would poison the lock and end every vat.
#[derive(Debug)]
pub(crate) struct Answerer<T>(Option<oneshot::Sender<T>>);

impl<T> Answerer<T> {
    /// Answers; gives the value back where nobody waits for it any more.
    pub(crate) fn send(mut self, value: T) -> Result<(), T> {
        let sender = self.0.take().expect("only this and drop take it");
        catch_unwind(AssertUnwindSafe(|| sender.send(value))).unwrap_or(Ok(()))
    }
}

impl<T> Drop for Answerer<T> {
    fn drop(&mut self) {
        if let Some(sender) = self.0.take() {
            // The panic was reported where it happened.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(sender)));
        }
    }
}

/// An answer that comes once: a future, or something to wait for.
#[derive(Debug)]
pub struct Answer<T>(oneshot::Receiver<T>);

/// Both halves of an answer.
pub(crate) fn answer<T>() -> (Answerer<T>, Answer<T>) {
    let (sender, receiver) = oneshot::channel();
    (Answerer(Some(sender)), Answer(receiver))
}

/// The engine stopped before it answered. What was asked may or may not have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the host stopped before it answered")]
pub struct Stopped;

impl From<Stopped> for CallError {
    fn from(_: Stopped) -> CallError {
        CallError::Stopped
    }
}

impl From<Stopped> for DeployError {
    fn from(_: Stopped) -> DeployError {
        DeployError::Stopped
    }
}

impl<T> Answer<T> {
    /// Blocks until the answer is there.
    ///
    /// # Panics
    ///
    /// Inside async code of tokio, whose other tasks it would keep from running: await the answer
    /// there.
    pub fn wait(self) -> Result<T, Stopped> {
        self.0.blocking_recv().map_err(|_| Stopped)
    }
}

impl<T> Future for Answer<T> {
    type Output = Result<T, Stopped>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(context)
            .map(|got| got.map_err(|_| Stopped))
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl Handle {
    pub(crate) fn new(
        commands: mpsc::Sender<Command>,
        notifier: Notifier,
        shared: Arc<LoopLock>,
        recovered: String,
    ) -> Handle {
        let recovered = recovered.into();
        Handle {
            commands,
            notifier,
            shared,
            recovered,
        }
    }

    /// What opening the store found, in words.
    pub fn recovered(&self) -> &str {
        &self.recovered
    }

    /// Calls a method; the answer is the result's JSON text.
    pub fn call(&self, call: Call) -> Answer<Result<String, CallError>> {
        self.send(|answer| Command::Call(call, answer))
    }

    /// Calls a method, and where nothing else is under way lets this thread do what the engine's
    /// thread would: it waits for the worker, for `patience` and a quarter of a second at most, and
    /// for the disk. That saves waking two threads, so a program that has nothing else to do
    /// meanwhile is answered sooner. Otherwise this is [`Handle::call`].
    ///
    /// `out` is called once, by this thread, with an answer that has usually arrived. The engine's
    /// work after an answer is done once `out` returns, so `out` should do no more than pass the
    /// answer on. It may panic: that work is done all the same.
    pub fn call_inline(
        &self,
        call: Call,
        patience: Duration,
        out: impl FnOnce(Answer<Result<String, CallError>>),
    ) {
        if let Err((call, out)) = inline_call::call(&self.shared, call, patience, out) {
            out(self.call(call));
        }
    }

    /// What became of a keyed call, without running anything: its result's JSON text or its error;
    /// `None` when the key was never seen. Waits while the call is still open.
    pub fn ask(&self, key: RequestKey) -> Answer<Result<Option<String>, CallError>> {
        self.send(|answer| Command::Ask(key, answer))
    }

    /// Makes a vat; answered when its start function and `init` have settled.
    pub fn deploy(&self, deploy: Deploy) -> Answer<Result<Deployed, DeployError>> {
        self.deploy_within(deploy, VatLimits::default())
    }

    /// The same, with limits of its own.
    pub fn deploy_within(
        &self,
        deploy: Deploy,
        limits: VatLimits,
    ) -> Answer<Result<Deployed, DeployError>> {
        self.send(|answer| Command::Deploy(deploy, limits, answer))
    }

    /// Runs a program's start and `init` as `deploy` would, and makes no vat of it. The id is
    /// nobody's.
    pub fn try_out(&self, deploy: Deploy) -> Answer<Result<Deployed, DeployError>> {
        self.send(|answer| Command::TryOut(deploy, answer))
    }

    /// Gives a vat these limits and no other of its own; they count from its next process on.
    /// Answered when that is durable.
    pub fn set_limits(&self, vat: &str, limits: VatLimits) -> Answer<Result<(), CallError>> {
        self.send(|answer| Command::SetLimits(vat.to_owned(), limits, answer))
    }

    /// Every limit as it is for this vat.
    pub fn limits_of(&self, vat: &str) -> Answer<Result<Vec<Limit>, CallError>> {
        self.send(|answer| Command::LimitsOf(vat.to_owned(), answer))
    }

    /// Every vat, by name.
    pub fn list(&self) -> Answer<Vec<VatInfo>> {
        self.send(Command::List)
    }

    /// One vat.
    pub fn show(&self, vat: &str) -> Answer<Result<VatInfo, CallError>> {
        self.send(|answer| Command::Show(vat.to_owned(), answer))
    }

    /// SHA-256 in hex of a vat's committed heap; reads the whole of it.
    pub fn heap_sha256(&self, vat: &str) -> Answer<Result<String, CallError>> {
        self.send(|answer| Command::HeapHash(vat.to_owned(), answer))
    }

    /// Ends a vat's process once it is idle; its next message wakes it.
    pub fn sleep(&self, vat: &str) -> Answer<Result<(), CallError>> {
        self.send(|answer| Command::Sleep(vat.to_owned(), answer))
    }

    /// Starts a vat's process now; answered when it is ready.
    pub fn wake(&self, vat: &str) -> Answer<Result<(), CallError>> {
        self.send(|answer| Command::Wake(vat.to_owned(), answer))
    }

    /// Ends a vat for good; answered when that is durable.
    pub fn terminate(&self, vat: &str) -> Answer<Result<(), CallError>> {
        self.send(|answer| Command::Terminate(vat.to_owned(), answer))
    }

    /// Committed log text of a vat from byte `from` of its log (which counts from the vat's birth).
    pub fn logs(
        &self,
        vat: &str,
        from: u64,
        bytes_max: usize,
    ) -> Answer<Result<LogChunk, CallError>> {
        let vat = vat.to_owned();
        self.send(|answer| Command::Logs {
            vat,
            from,
            bytes_max,
            answer,
        })
    }

    /// Whether the disk is full, so that what needs room is refused.
    pub fn lacks_room(&self) -> Answer<bool> {
        self.send(Command::Pressed)
    }

    /// Reads every byte of the store against its checksums.
    pub fn verify(&self) -> Answer<Result<StoreReport, CallError>> {
        self.send(Command::Verify)
    }

    /// Every limit, with its value and what set it.
    pub fn limits(&self) -> Answer<Vec<Limit>> {
        self.send(Command::Limits)
    }

    /// Ends workers, folds, and lets go of the store; answered when all that is done.
    pub fn stop(&self) -> Answer<Result<(), CallError>> {
        self.send(Command::Stop)
    }

    /// Returns when the engine has ended, whether it was told to or its disk failed.
    pub async fn ended(&self) {
        // Nothing is ever sent; the engine's end is what drops the other half.
        let _ = self.send(Command::Watch).await;
    }

    fn send<T>(&self, command: impl FnOnce(Answerer<T>) -> Command) -> Answer<T> {
        let (answerer, answer) = answer();
        // A failed send drops the answerer, which the caller sees as `Stopped`.
        drop(self.commands.send(command(answerer)));
        self.notifier.notify();
        answer
    }
}
