//! One message for a vat under way: a call, or what a timer says.

use kenvat_store::VatId;
use sha2::{Digest, Sha256};

use crate::api::{Call, KilledBy, RequestKey};
use crate::content::without_blanks;
use crate::gate::{FrameNo, Waiter};
use crate::rows::Settled;
use kenvat_wire::protocol::Message;
use kenvat_wire::seed::Seed;

/// What a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestKind {
    Call,
    /// The message of this timer, whose turn has no answer.
    Timer(u64),
}

/// One message for a vat under way.
#[derive(Debug)]
pub(crate) struct Request<W> {
    vat: VatId,
    kind: RequestKind,
    method: String,
    args: String,
    key: Option<RequestKey>,
    /// Hash of what was asked, where there is a key.
    content: [u8; 32],
    waiters: Vec<Waiter<W>>,
    /// How the turn ended that ran it: it is undone, and this is consumed with its error.
    aborted: Option<(KilledBy, String)>,
    /// Fixed at its first delivery, until its turn is handed over.
    given: Option<Given>,
    /// How it ended, and the frame that says so.
    settled: Option<(FrameNo, Settled)>,
}

/// What a turn is given besides its message: the same however often it is delivered (T2). What is
/// not committed when the host ends never was, so it need not be found again after that.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub time_ms: i64,
    pub seed: Seed,
}

impl<W> Request<W> {
    /// A call, and who waits for its answer.
    pub fn of_call(vat: VatId, call: Call, content: [u8; 32], waiter: W) -> Request<W> {
        Request {
            method: call.method,
            args: call.args,
            key: call.key,
            content,
            waiters: vec![Waiter::Call(waiter)],
            ..Request::empty(vat, RequestKind::Call)
        }
    }

    /// A call that an earlier life of the host consumed and that is still open.
    pub fn of_open(vat: VatId, key: Option<RequestKey>, content: [u8; 32]) -> Request<W> {
        Request {
            key,
            content,
            ..Request::empty(vat, RequestKind::Call)
        }
    }

    /// The message of a timer that fell due.
    pub fn of_timer(vat: VatId, timer: u64) -> Request<W> {
        Request {
            args: timer.to_string(),
            ..Request::empty(vat, RequestKind::Timer(timer))
        }
    }

    fn empty(vat: VatId, kind: RequestKind) -> Request<W> {
        Request {
            vat,
            kind,
            method: String::new(),
            args: String::new(),
            key: None,
            content: [0; 32],
            waiters: Vec::new(),
            aborted: None,
            given: None,
            settled: None,
        }
    }

    pub fn vat(&self) -> VatId {
        self.vat
    }

    pub fn kind(&self) -> RequestKind {
        self.kind
    }

    pub fn key(&self) -> Option<&RequestKey> {
        self.key.as_ref()
    }

    pub fn content(&self) -> [u8; 32] {
        self.content
    }

    pub fn bytes(&self) -> usize {
        self.method.len() + self.args.len()
    }

    /// What its turn is told.
    pub fn message(&self, turn: u64) -> Message {
        match self.kind {
            RequestKind::Call => Message::Call {
                request: turn,
                method: self.method.clone(),
                args: self.args.clone(),
            },
            RequestKind::Timer(timer) => Message::Timer { timer },
        }
    }

    /// What tells this message from another that may get its turn after a crash.
    pub fn message_hash(&self) -> [u8; 32] {
        hash_of([&self.method, &self.args, ""])
    }

    /// What its turn is given, where that is fixed already.
    pub fn given(&self) -> Option<&Given> {
        self.given.as_ref()
    }

    /// Fixes what its turn is given, until that is handed over.
    pub fn give(&mut self, given: Given) {
        debug_assert!(self.given.is_none(), "fixed at the first delivery");
        self.given = Some(given);
    }

    /// Its turn was handed over.
    pub fn consumed(&mut self) {
        self.given = None;
    }

    pub fn is_aborted(&self) -> bool {
        self.aborted.is_some()
    }

    /// The turn that ran it is undone: it will be consumed with that error.
    pub fn abort(&mut self, by: KilledBy, why: String) {
        self.aborted = Some((by, why));
    }

    pub fn take_abort(&mut self) -> Option<(KilledBy, String)> {
        self.aborted.take()
    }

    /// Its turn is over and its promise pending. It is never delivered again: a promise may stay
    /// pending for years, its arguments need not.
    pub fn forget_message(&mut self) {
        self.method = String::new();
        self.args = String::new();
    }

    /// How it ended is in that frame.
    pub fn settle(&mut self, frame: FrameNo, settled: Settled) {
        debug_assert!(self.settled.is_none(), "a request ends once");
        self.settled = Some((frame, settled));
    }

    pub fn settled(&self) -> Option<&(FrameNo, Settled)> {
        self.settled.as_ref()
    }

    pub fn wait(&mut self, waiter: Waiter<W>) {
        self.waiters.push(waiter);
    }

    pub fn take_waiters(&mut self) -> Vec<Waiter<W>> {
        std::mem::take(&mut self.waiters)
    }
}

/// What tells one request under a key from another.
pub(crate) fn content_hash(call: &Call) -> [u8; 32] {
    // Only asked for with a key; without one nothing is ever compared.
    if call.key.is_none() {
        return [0; 32];
    }
    hash_of([&call.vat, &call.method, &without_blanks(&call.args)])
}

fn hash_of(parts: [&str; 3]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}
