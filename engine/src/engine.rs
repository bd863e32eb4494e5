//! The handle a host program holds: every question is one command to the engine's own thread.
//!
//! Promises: no method blocks; an `Answer` arrives once, after the output gate; when the engine has
//! stopped, questions are answered with an error that says so. Does not know how answers are made.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::event_loop::{LoopLock, inline_call};
use crate::notifier::Notifier;
use crate::trace::Trace;
use kenvat_core::api::{
    Call, CallError, Deploy, DeployError, Deployed, Limit, LogChunk, RequestKey, StoreReport,
    VatInfo, VatLimits,
};
use kenvat_core::limits::{self, CoreLimits, GAS_MAX, HEAP_BYTES_MAX, SLEEP_AFTER_MS, TURN_MS_MAX};

/// How an engine is run.
#[derive(Clone)]
pub struct EngineOptions {
    /// The store's folder; made if it is not there.
    pub dir: PathBuf,
    /// An idle vat's process is ended after this long; `None` never does.
    pub sleep_after_ms: Option<u64>,
    /// Vats that may be awake at once; `None` takes what this process's descriptors allow.
    pub awake_max: Option<usize>,
    /// The limits of the core.
    pub limits: CoreLimits,
    /// Names of the limits that somebody set.
    pub set: BTreeSet<String>,
    /// Limits of the program around the engine, which are shown with its own.
    pub others: Vec<Limit>,
    /// Bytes a vat's heap may grow to, where it has no limit of its own.
    pub heap_limit: u64,
    /// Gas a turn may use.
    pub gas: u64,
    /// Milliseconds a turn may run.
    pub turn_ms: u64,
    /// How workers find written pages; `None` takes the best there is.
    pub tracker: Option<kenvat_wire::protocol::TrackerKind>,
    /// The worker executable new vats are born with: this build's own unless told otherwise. Vats
    /// that exist go on with theirs, whatever stands here.
    pub worker: Cow<'static, [u8]>,
    /// Where the steps of turns are noted; `None` notes nothing and costs nothing.
    pub trace: Option<Arc<Trace>>,
}

impl EngineOptions {
    /// The defaults of `docs/interfaces.md` section 4 for a store in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> EngineOptions {
        EngineOptions {
            dir: dir.into(),
            sleep_after_ms: Some(SLEEP_AFTER_MS),
            awake_max: None,
            limits: CoreLimits::default(),
            set: BTreeSet::new(),
            others: Vec::new(),
            heap_limit: HEAP_BYTES_MAX,
            gas: GAS_MAX,
            turn_ms: TURN_MS_MAX,
            tracker: None,
            worker: Cow::Borrowed(crate::worker_bytes::WORKER),
            trace: None,
        }
    }

    /// Sets a limit by its name, in its own unit; the error says why it cannot be.
    pub fn set_limit(&mut self, name: &str, value: u64) -> Result<(), String> {
        limits::check_settable(name, value)?;
        match name {
            "heap" => self.heap_limit = value,
            "gas" => self.gas = value,
            "turn" => self.turn_ms = value,
            "sleep-after" => self.sleep_after_ms = Some(value).filter(|after| *after > 0),
            "awake" => self.awake_max = Some(usize::try_from(value).unwrap_or(usize::MAX)),
            _ => self.limits.set(name, value),
        }
        self.set.insert(name.to_owned());
        Ok(())
    }

    /// Every limit as it is here, for a vat with these of its own.
    pub(crate) fn table(&self, own: VatLimits) -> Vec<Limit> {
        let mut table = limits::table();
        for limit in &mut table {
            let (value, own) = match limit.name {
                "heap" => (self.heap_limit, own.heap),
                "gas" => (self.gas, own.gas),
                "turn" => (self.turn_ms, own.turn_ms),
                "sleep-after" => (self.sleep_after_ms.unwrap_or(0), None),
                "awake" => (self.awake_max.map_or(limit.value, |most| most as u64), None),
                name => match self.limits.get(name) {
                    Some(value) => (value, None),
                    None => continue,
                },
            };
            if own.is_some() {
                limit.set_by = "vat".to_owned();
            } else if self.set.contains(limit.name) {
                limit.set_by = "host".to_owned();
            } else if value != limit.value {
                limit.set_by = "machine".to_owned();
            }
            limit.value = own.unwrap_or(value);
        }
        table.extend(self.others.iter().cloned());
        table
    }
}

/// A running engine. Cheap to clone; the engine stops when told to, not when handles go.
#[derive(Clone)]
pub struct Engine {
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

/// The asking half of an answer that comes once.
pub(crate) type Answerer<T> = oneshot::Sender<T>;

/// An answer that comes once: a future, or something to wait for.
pub struct Answer<T>(oneshot::Receiver<T>);

/// The engine stopped before it answered. What was asked may or may not have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the host stopped before it answered")]
pub struct Stopped;

impl<T> Answer<T> {
    pub(crate) fn new(answer: oneshot::Receiver<T>) -> Answer<T> {
        Answer(answer)
    }

    /// Blocks until the answer is there. Not for async code.
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

impl Engine {
    pub(crate) fn new(
        commands: mpsc::Sender<Command>,
        notifier: Notifier,
        shared: Arc<LoopLock>,
        recovered: String,
    ) -> Engine {
        let recovered = recovered.into();
        Engine {
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

    /// The same, by this thread where nothing else is under way: it then waits for the worker
    /// itself, so long at most (and a quarter of a second), and for the disk. Otherwise it is
    /// `call`. `out` is called once, by this thread, with an answer that is there if all went well;
    /// what is left to do after it is done when it returns, so it should do no more than send it.
    /// Whoever has nothing else to do meanwhile is answered sooner so.
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
        let (answerer, answer) = oneshot::channel();
        // A failed send drops the answerer, which the caller sees as `Stopped`.
        if self.commands.send(command(answerer)).is_ok() {
            self.notifier.notify();
        }
        Answer(answer)
    }
}
