//! A call arrives, or somebody asks what became of one.

use kenvat_store::VatId;

use crate::api::{CLIENT_BYTES_MAX, Call, REQUEST_ID_BYTES_MAX, RequestKey};
use crate::deployments::Deployments;
use crate::event::LedgerError;
use crate::gate::{Ack, Context, Durable, Output, Refusal, Waiter};
use crate::limits::METHOD_BYTES_MAX;
use crate::requests::{Request, Requests, content_hash};
use crate::rows::{self, AnswerRow, Settled};
use crate::vats::{RequestNo, Vats, Worker};

/// What an arriving request may touch.
pub(crate) struct Calls<'a, W> {
    pub vats: &'a mut Vats<W>,
    pub requests: &'a mut Requests<W>,
    pub deployments: &'a mut Deployments<W>,
    pub cx: Context<'a, W>,
}

/// What the catalog has under a key.
enum Kept {
    Settled(Settled, Durable),
    Refused(Refusal),
}

impl<W> Calls<'_, W> {
    pub fn on_call(&mut self, call: Call, waiter: W) -> Result<(), LedgerError> {
        if let Err(refusal) = check_call(&call, self.cx.limits().message) {
            self.cx.refuse(Waiter::Call(waiter), refusal);
            return Ok(());
        }
        let content = content_hash(&call);
        if let Some(key) = &call.key {
            if let Some(no) = self.requests.with_key(key) {
                self.join(no, content, Waiter::Call(waiter));
                return Ok(());
            }
            if let Some(kept) = self.read_kept(key, Some(content))? {
                self.tell_kept(kept, Waiter::Call(waiter));
                return Ok(());
            }
        }
        if self.deployments.is_pending(&call.vat) {
            let waits = self.deployments.wait_for(call, waiter, self.cx.limits());
            if let Err((waiter, refusal)) = waits {
                self.cx.refuse(Waiter::Call(waiter), refusal);
            }
            return Ok(());
        }
        match self.admit(&call) {
            Ok(vat) => self.enqueue(vat, call, content, waiter),
            Err(refusal) => self.cx.refuse(Waiter::Call(waiter), refusal),
        }
        Ok(())
    }

    pub fn on_ask(&mut self, key: &RequestKey, waiter: W) -> Result<(), LedgerError> {
        if let Err(refusal) = check_key(key) {
            self.cx.refuse(Waiter::Ask(waiter), refusal);
            return Ok(());
        }
        if let Some(no) = self.requests.with_key(key) {
            let content = self.requests.known(no).content();
            self.join(no, content, Waiter::Ask(waiter));
            return Ok(());
        }
        match self.read_kept(key, None)? {
            Some(kept) => self.tell_kept(kept, Waiter::Ask(waiter)),
            None => self.cx.acknowledge(Ack::Unknown(waiter)),
        }
        Ok(())
    }

    /// What is under way is asked for again.
    fn join(&mut self, no: RequestNo, content: [u8; 32], waiter: Waiter<W>) {
        let request = self.requests.known_mut(no);
        if request.content() != content {
            let id = request.key().map_or("", |key| key.id.as_str());
            self.cx.refuse(waiter, Refusal::key_reused(id));
            return;
        }
        if let Some(vat) = self.vats.get(request.vat())
            && let Worker::Broken(why) = vat.worker()
        {
            let why = format!("is broken: {why}");
            self.cx
                .refuse(waiter, Refusal::unavailable(vat.name(), why));
            return;
        }
        let settled = request.settled();
        let settled = settled.and_then(|(frame, it)| Some((self.cx.proof(*frame)?, it.clone())));
        match settled {
            Some((durable, settled)) => self
                .cx
                .release(durable, Output::Settled { waiter, settled }),
            None => request.wait(waiter),
        }
    }

    /// The vat a call is for, where it takes calls now.
    fn admit(&self, call: &Call) -> Result<VatId, Refusal> {
        let Some(id) = self.vats.id_of(&call.vat) else {
            return Err(unknown_vat(self.vats, self.deployments, &call.vat));
        };
        let vat = self.vats.known(id);
        if vat.is_terminating() {
            let why = "is being terminated".to_owned();
            return Err(Refusal::unavailable(&call.vat, why));
        }
        if let Worker::Broken(why) = vat.worker() {
            let why = format!("is broken: {why}");
            return Err(Refusal::unavailable(&call.vat, why));
        }
        let bytes = call.method.len() + call.args.len();
        let (limits, queue) = (self.cx.limits(), vat.queue());
        if queue.len() >= limits.waiting || queue.bytes() + bytes > limits.waiting_bytes {
            return Err(Refusal::overloaded(format!(
                "{} calls wait for vat `{}`",
                queue.len(),
                call.vat
            )));
        }
        if vat.open().len() >= limits.open {
            return Err(Refusal::overloaded(format!(
                "vat `{}` owes {} answers to earlier calls",
                call.vat,
                vat.open().len()
            )));
        }
        Ok(id)
    }

    fn enqueue(&mut self, id: VatId, call: Call, content: [u8; 32], waiter: W) {
        let request = Request::of_call(id, call, content, waiter);
        let bytes = request.bytes();
        let no = self.requests.add(request);
        self.vats.known_mut(id).queue_mut().push(no, bytes);
        self.vats.touch(id);
    }

    fn tell_kept(&mut self, kept: Kept, waiter: Waiter<W>) {
        match kept {
            Kept::Settled(settled, durable) => {
                self.cx
                    .release(durable, Output::Settled { waiter, settled });
            }
            Kept::Refused(refusal) => self.cx.refuse(waiter, refusal),
        }
    }

    /// What the catalog kept for this key; `None` when it was never consumed.
    fn read_kept(
        &self,
        key: &RequestKey,
        content: Option<[u8; 32]>,
    ) -> Result<Option<Kept>, LedgerError> {
        let found = self.cx.read(rows::ANSWERS, &rows::answer_key(key));
        let row = found.and_then(|row| {
            let decode = |(bytes, durable): (Vec<u8>, Durable)| {
                rows::read(rows::ANSWERS, &bytes).map(|row: AnswerRow| (row, durable))
            };
            Ok(row.map(decode).transpose()?)
        });
        let (row, durable) = match row {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(error) if self.cx.ledger().has_stopped() => return Err(error),
            // One row that cannot be read is told to who asks for it; the others go on.
            Err(error) => {
                let why = format!("the answer to `{}` cannot be read: {error}", key.id);
                return Ok(Some(Kept::Refused(Refusal::host(why))));
            }
        };
        Ok(Some(match row {
            AnswerRow::Settled { content: kept, .. } if content.is_some_and(|c| c != kept) => {
                Kept::Refused(Refusal::key_reused(&key.id))
            }
            AnswerRow::Settled { settled, .. } => Kept::Settled(settled, durable),
            AnswerRow::Gone => Kept::Refused(Refusal::answer_gone(&key.id)),
            // Its vat is gone together with the request, or the key would be under way.
            AnswerRow::Open { .. } => Kept::Refused(Refusal::answer_gone(&key.id)),
        }))
    }
}

/// The refusal for a name that no vat has, with the names that may have been meant; for one whose
/// deployment is pending it says so.
pub(crate) fn unknown_vat<W>(vats: &Vats<W>, deployments: &Deployments<W>, name: &str) -> Refusal {
    if deployments.is_pending(name) {
        let why = "is not there yet: its start has not settled".to_owned();
        return Refusal::unavailable(name, why);
    }
    Refusal::unknown_vat(name, vats.nearest(name))
}

fn check_call(call: &Call, bytes_max: usize) -> Result<(), Refusal> {
    if call.method.len() > METHOD_BYTES_MAX {
        return Err(Refusal::bad_request(format!(
            "a method's name has at most {METHOD_BYTES_MAX} bytes, this one {}",
            call.method.len()
        )));
    }
    let bytes = call.method.len() + call.args.len();
    if bytes > bytes_max {
        return Err(Refusal::bad_request(format!(
            "a call has at most {bytes_max} bytes, this one {bytes}"
        )));
    }
    if let Some(key) = &call.key {
        check_key(key)?;
    }
    serde_json::from_str::<Vec<serde::de::IgnoredAny>>(&call.args)
        .map(drop)
        .map_err(|error| Refusal::bad_arguments(error.to_string()))
}

fn check_key(key: &RequestKey) -> Result<(), Refusal> {
    if key.client.len() > CLIENT_BYTES_MAX || key.id.len() > REQUEST_ID_BYTES_MAX {
        return Err(Refusal::bad_request(format!(
            "a client's name has at most {CLIENT_BYTES_MAX} bytes and a request's id at most \
             {REQUEST_ID_BYTES_MAX}"
        )));
    }
    Ok(())
}
