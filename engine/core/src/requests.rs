//! Calls: what is asked, by whom, under which key, and how the answer finds its way back.
//!
//! Promises: a key runs once, whatever is asked again and whenever; an error that ran no turn is
//! never kept under a key (T4). A request lives here from its arrival until the frame that settles
//! it is applied; after that a key's answer is the catalog's.

use kenvat_store::{Part, VatId};
use sha2::{Digest, Sha256};

use super::Core;
use super::answers::Home;
use super::event::{Effect, Ledger, LedgerError};
use super::limits::METHOD_BYTES_MAX;
use super::rows::{self, AnswerRow, OpenRow, Settled};
use super::vat::{RequestNo, Run};
use crate::api::{CLIENT_BYTES_MAX, Call, CallError, KilledBy, REQUEST_ID_BYTES_MAX, RequestKey};
use crate::content::without_blanks;
use kenvat_wire::seed::Seed;

/// What a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Call,
    /// The message of this timer: nobody waits for it.
    Timer(u64),
}

/// One message for a vat under way: a call, or what a timer says.
#[derive(Debug)]
pub struct Request<W> {
    pub vat: VatId,
    pub what: What,
    pub method: String,
    pub args: String,
    pub key: Option<RequestKey>,
    pub content: [u8; 32],
    pub waiters: Vec<Waiter<W>>,
    /// How the turn ended that ran it: it is undone, and this is consumed with its error.
    pub aborted: Option<(KilledBy, String)>,
    /// Fixed at its first delivery, until its turn is handed over.
    pub given: Option<Given>,
    /// How it ended; told once `committed`.
    pub settled: Option<Settled>,
    pub committed: bool,
}

/// What a turn is given besides its message: the same however often it is delivered (T2). What is
/// not committed when the host ends never was, so nobody need find it again after that.
#[derive(Clone, Debug)]
pub struct Given {
    pub time_ms: i64,
    pub seed: Seed,
}

/// Who waits, and in which form the answer is wanted.
#[derive(Debug)]
pub enum Waiter<W> {
    Call(W),
    Ask(W),
}

impl<W> Request<W> {
    /// The message of a timer that fell due.
    pub fn of_timer(vat: VatId, timer: u64) -> Request<W> {
        Request {
            vat,
            what: What::Timer(timer),
            method: String::new(),
            args: timer.to_string(),
            key: None,
            content: [0; 32],
            waiters: Vec::new(),
            aborted: None,
            given: None,
            settled: None,
            committed: false,
        }
    }

    pub fn bytes(&self) -> usize {
        self.method.len() + self.args.len()
    }

    /// What tells this message from another that may get its turn after a crash.
    pub fn message_hash(&self) -> [u8; 32] {
        hash_of([&self.method, &self.args, ""])
    }
}

impl<W> Waiter<W> {
    pub fn answer(self, answer: Result<String, CallError>) -> Effect<W> {
        match self {
            Waiter::Call(waiter) => Effect::AnswerCall { waiter, answer },
            Waiter::Ask(waiter) => Effect::AnswerAsk {
                waiter,
                answer: answer.map(Some),
            },
        }
    }
}

impl<W> Core<W> {
    pub(super) fn on_call(
        &mut self,
        call: Call,
        waiter: W,
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        if let Err(error) = check_call(&call, self.settings.limits.message) {
            out.push(Effect::AnswerCall {
                waiter,
                answer: Err(error),
            });
            return Ok(());
        }
        let content = content_hash(&call);
        if let Some(key) = &call.key {
            if let Some(no) = self.keys.get(key).copied() {
                self.join(no, content, Waiter::Call(waiter), out);
                return Ok(());
            }
            if let Some(answer) = kept_answer(key, Some(content), ledger)? {
                out.push(Effect::AnswerCall { waiter, answer });
                return Ok(());
            }
        }
        let mut births = self.births.values_mut();
        if let Some(birth) = births.find(|birth| birth.is_of(&call.vat)) {
            let limits = &self.settings.limits;
            let bytes = birth.callers_bytes + call.method.len() + call.args.len();
            if birth.callers.len() >= limits.waiting || bytes > limits.waiting_bytes {
                let count = birth.callers.len();
                let why = format!("{count} calls wait for the start of vat `{}`", call.vat);
                let answer = Err(CallError::Overloaded(why));
                out.push(Effect::AnswerCall { waiter, answer });
                return Ok(());
            }
            birth.callers_bytes = bytes;
            birth.callers.push((call, waiter));
            return Ok(());
        }
        match self.admit(&call) {
            Ok(vat) => self.enqueue(vat, call, content, waiter),
            Err(error) => out.push(Effect::AnswerCall {
                waiter,
                answer: Err(error),
            }),
        }
        Ok(())
    }

    pub(super) fn on_ask(
        &mut self,
        key: RequestKey,
        waiter: W,
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        if let Err(error) = check_key(&key) {
            out.push(Effect::AnswerAsk {
                waiter,
                answer: Err(error),
            });
            return Ok(());
        }
        if let Some(no) = self.keys.get(&key).copied() {
            let content = self.requests.get(&no).map(|request| request.content);
            self.join(no, content.unwrap_or_default(), Waiter::Ask(waiter), out);
            return Ok(());
        }
        let answer = kept_answer(&key, None, ledger)?;
        out.push(Effect::AnswerAsk {
            waiter,
            answer: answer.transpose(),
        });
        Ok(())
    }

    /// Somebody asks again for what is under way.
    fn join(
        &mut self,
        no: RequestNo,
        content: [u8; 32],
        waiter: Waiter<W>,
        out: &mut Vec<Effect<W>>,
    ) {
        let request = self
            .requests
            .get_mut(&no)
            .expect("a key names a request under way");
        if request.content != content {
            let id = request
                .key
                .as_ref()
                .map(|key| key.id.clone())
                .unwrap_or_default();
            out.push(waiter.answer(Err(CallError::KeyReused { id })));
            return;
        }
        if let Some(Run::Broken(why)) = self.vats.get(&request.vat).map(|vat| &vat.run) {
            let name = self.vats[&request.vat].row.name.clone();
            let why = format!("is broken: {why}");
            out.push(waiter.answer(Err(CallError::Unavailable { name, why })));
            return;
        }
        match (&request.settled, request.committed) {
            (Some(settled), true) => out.push(waiter.answer(settled.clone().into_result())),
            _ => request.waiters.push(waiter),
        }
    }

    /// The vat a call is for, where it takes calls now.
    fn admit(&self, call: &Call) -> Result<VatId, CallError> {
        let Some(id) = self.names.get(&call.vat) else {
            return Err(self.unknown_vat(&call.vat));
        };
        let vat = &self.vats[id];
        let unavailable = |why: String| CallError::Unavailable {
            name: call.vat.clone(),
            why,
        };
        if vat.is_terminating() {
            return Err(unavailable("is being terminated".to_owned()));
        }
        if let Run::Broken(why) = &vat.run {
            return Err(unavailable(format!("is broken: {why}")));
        }
        let bytes = call.method.len() + call.args.len();
        let limits = &self.settings.limits;
        if vat.queue.len() >= limits.waiting || vat.queue_bytes + bytes > limits.waiting_bytes {
            return Err(CallError::Overloaded(format!(
                "{} calls wait for vat `{}`",
                vat.queue.len(),
                call.vat
            )));
        }
        if vat.open.len() >= limits.open {
            return Err(CallError::Overloaded(format!(
                "vat `{}` owes {} answers to earlier calls",
                call.vat,
                vat.open.len()
            )));
        }
        Ok(*id)
    }

    fn enqueue(&mut self, id: VatId, call: Call, content: [u8; 32], waiter: W) {
        let no = self.next_request;
        self.next_request += 1;
        if let Some(key) = &call.key {
            self.keys.insert(key.clone(), no);
        }
        let request = Request {
            vat: id,
            what: What::Call,
            method: call.method,
            args: call.args,
            key: call.key,
            content,
            waiters: vec![Waiter::Call(waiter)],
            aborted: None,
            given: None,
            settled: None,
            committed: false,
        };
        let bytes = request.bytes();
        self.requests.insert(no, request);
        let vat = self.vat_mut(id);
        vat.queue.push_back(no);
        vat.queue_bytes += bytes;
        self.touch(id);
    }

    /// A request that an earlier life of the host consumed and that is still open.
    pub(super) fn load_open(&mut self, id: VatId, turn: u64, row: OpenRow) {
        let Some(vat) = self.vats.get_mut(&id) else {
            return;
        };
        let no = self.next_request;
        self.next_request += 1;
        vat.open.insert(turn, no);
        let key = row.key.map(|(client, id)| RequestKey { client, id });
        if let Some(key) = &key {
            self.keys.insert(key.clone(), no);
        }
        let request = Request {
            vat: id,
            what: What::Call,
            method: String::new(),
            args: String::new(),
            key,
            content: row.content,
            waiters: Vec::new(),
            aborted: None,
            given: None,
            settled: None,
            committed: false,
        };
        self.requests.insert(no, request);
    }

    /// Notes that the request's turn is over and its promise pending.
    pub(super) fn open(&mut self, vat: VatId, turn: u64, no: RequestNo, out: &mut Vec<Effect<W>>) {
        let request = self
            .requests
            .get_mut(&no)
            .expect("delivered requests are under way");
        let key = request.key.clone();
        let content = request.content;
        // Never delivered again: a promise may stay pending for years, its arguments need not.
        request.method = String::new();
        request.args = String::new();
        if let Some(key) = &key {
            let row = AnswerRow::Open {
                vat: vat.0,
                request: turn,
                content,
            };
            let row = rows::put(rows::ANSWERS, rows::answer_key(key), &row);
            out.push(Effect::Stage(Part::Row(row)));
        }
        let row = OpenRow {
            key: key.map(|key| (key.client, key.id)),
            content,
        };
        let row = rows::put(rows::OPEN, rows::open_key(vat, turn), &row);
        out.push(Effect::Stage(Part::Row(row)));
        self.vat_mut(vat).open.insert(turn, no);
    }

    /// Puts the request's end into the frame being filled; told when that is committed.
    pub(super) fn settle(
        &mut self,
        no: RequestNo,
        (settled, home): (Settled, Home),
        ledger: &dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        let request = self
            .requests
            .get_mut(&no)
            .expect("settled requests are under way");
        if let Some(key) = &request.key {
            for row in self
                .answers
                .keep((key, request.content), (&settled, home), ledger)?
            {
                out.push(Effect::Stage(Part::Row(row)));
            }
        }
        request.settled = Some(settled);
        self.filling.settled.push(no);
        self.filling.is_empty = false;
        Ok(())
    }

    /// The frame that settles the request is durable: everybody who waits is told.
    pub(super) fn tell(&mut self, no: RequestNo, out: &mut Vec<Effect<W>>) {
        let request = self
            .requests
            .get_mut(&no)
            .expect("requests stay until applied");
        request.committed = true;
        let settled = request
            .settled
            .clone()
            .expect("only settled requests are in a frame");
        let mut waiters = std::mem::take(&mut request.waiters);
        // Nearly always there is one, and the text need not be copied for it.
        if let Some(last) = waiters.pop() {
            for waiter in waiters {
                out.push(waiter.answer(settled.clone().into_result()));
            }
            out.push(last.answer(settled.into_result()));
        }
    }

    /// The request's answer is the catalog's now, or nobody's.
    pub(super) fn forget(&mut self, no: RequestNo) {
        if let Some(request) = self.requests.remove(&no)
            && let Some(key) = request.key
        {
            self.keys.remove(&key);
        }
    }

    /// Answers a request that ran no turn, and forgets it.
    pub(super) fn refuse(&mut self, no: RequestNo, error: &CallError, out: &mut Vec<Effect<W>>) {
        if let Some(request) = self.requests.get_mut(&no) {
            for waiter in std::mem::take(&mut request.waiters) {
                out.push(waiter.answer(Err(error.clone())));
            }
        }
        self.put_off(no);
        self.forget(no);
    }
}

/// What the catalog kept for this key; `None` when it was never consumed.
fn kept_answer(
    key: &RequestKey,
    content: Option<[u8; 32]>,
    ledger: &dyn Ledger,
) -> Result<Option<Result<String, CallError>>, LedgerError> {
    let found = ledger.get(rows::ANSWERS, &rows::answer_key(key));
    let row = found.and_then(|bytes| {
        let row = bytes.map(|bytes| rows::read(rows::ANSWERS, &bytes));
        Ok(row.transpose()?)
    });
    let row = match row {
        Ok(Some(row)) => row,
        Ok(None) => return Ok(None),
        Err(error) if ledger.has_stopped() => return Err(error),
        // One row that cannot be read is told to who asks for it; the others go on.
        Err(error) => {
            let why = format!("the answer to `{}` cannot be read: {error}", key.id);
            return Ok(Some(Err(CallError::Host(why))));
        }
    };
    Ok(Some(match row {
        AnswerRow::Settled { content: kept, .. } if content.is_some_and(|c| c != kept) => {
            Err(CallError::KeyReused { id: key.id.clone() })
        }
        AnswerRow::Settled { settled, .. } => settled.into_result(),
        AnswerRow::Gone => Err(CallError::AnswerGone { id: key.id.clone() }),
        // Its vat is gone together with the open request, or it would be among the keys under way.
        AnswerRow::Open { .. } => Err(CallError::AnswerGone { id: key.id.clone() }),
    }))
}

fn content_hash(call: &Call) -> [u8; 32] {
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

fn check_call(call: &Call, bytes_max: usize) -> Result<(), CallError> {
    if call.method.len() > METHOD_BYTES_MAX {
        return Err(CallError::BadRequest(format!(
            "a method's name has at most {METHOD_BYTES_MAX} bytes, this one {}",
            call.method.len()
        )));
    }
    let bytes = call.method.len() + call.args.len();
    if bytes > bytes_max {
        return Err(CallError::BadRequest(format!(
            "a call has at most {bytes_max} bytes, this one {bytes}"
        )));
    }
    if let Some(key) = &call.key {
        check_key(key)?;
    }
    serde_json::from_str::<Vec<serde::de::IgnoredAny>>(&call.args)
        .map(drop)
        .map_err(|error| CallError::BadArguments(error.to_string()))
}

fn check_key(key: &RequestKey) -> Result<(), CallError> {
    if key.client.len() > CLIENT_BYTES_MAX || key.id.len() > REQUEST_ID_BYTES_MAX {
        return Err(CallError::BadRequest(format!(
            "a client's name has at most {CLIENT_BYTES_MAX} bytes and a request's id at most \
             {REQUEST_ID_BYTES_MAX}"
        )));
    }
    Ok(())
}
