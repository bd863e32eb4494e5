//! Requests under way, by number and by key, and how each answer finds its way back.
//!
//! Promises: a key runs once, whatever is asked again and whenever; an error that ran no turn is
//! never kept under a key (T4). A request lives here from its arrival until the frame that settles
//! it is applied; after that a key's answer is the catalog's.

pub(crate) mod answers;
mod request;

use std::collections::HashMap;

use kenvat_store::{Row, VatId};

use self::answers::Answers;
pub(crate) use self::answers::Home;
pub(crate) use self::request::{Given, Request, RequestKind, content_hash};
use crate::api::RequestKey;
use crate::event::LedgerError;
use crate::gate::{Context, Durable, OnCommit, Output, Refusal};
use crate::limits::{CoreLimits, START_PAUSE_MS_MAX};
use crate::rows::{self, AnswerRow, ClientRow, OpenRow, Settled};
use crate::timers::Timers;
use crate::vats::{RequestNo, Vat};

/// All requests under way, and the answers kept of earlier ones.
#[derive(Debug)]
pub(crate) struct Requests<W> {
    under_way: HashMap<RequestNo, Request<W>>,
    keys: HashMap<RequestKey, RequestNo>,
    next: RequestNo,
    answers: Answers,
}

impl<W> Requests<W> {
    /// None, and the windows of answers as the catalog holds them.
    pub fn new(clients: Vec<(String, ClientRow)>, limits: CoreLimits) -> Requests<W> {
        Requests {
            under_way: HashMap::new(),
            keys: HashMap::new(),
            next: 1,
            answers: Answers::new(clients, limits),
        }
    }

    /// A request came: its number.
    pub fn add(&mut self, request: Request<W>) -> RequestNo {
        let no = self.next;
        self.next += 1;
        if let Some(key) = request.key() {
            let known = self.keys.insert(key.clone(), no);
            debug_assert!(known.is_none(), "a key is under way once");
        }
        self.under_way.insert(no, request);
        no
    }

    /// A request that the core itself named.
    pub fn known(&self, no: RequestNo) -> &Request<W> {
        self.under_way.get(&no).expect(KNOWN)
    }

    /// The same, to be changed.
    pub fn known_mut(&mut self, no: RequestNo) -> &mut Request<W> {
        self.under_way.get_mut(&no).expect(KNOWN)
    }

    /// The request under way that has this key.
    pub fn with_key(&self, key: &RequestKey) -> Option<RequestNo> {
        self.keys.get(key).copied()
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Notes that the request's turn is over and its promise pending.
    pub fn open(&mut self, vat: &mut Vat<W>, turn: u64, no: RequestNo, cx: &mut Context<'_, W>) {
        let request = self.known_mut(no);
        request.forget_message();
        let content = request.content();
        let key = request.key().cloned();
        if let Some(key) = &key {
            let row = AnswerRow::Open {
                vat: vat.id().0,
                request: turn,
                content,
            };
            cx.stage_row(rows::put(rows::ANSWERS, rows::answer_key(key), &row));
        }
        let row = OpenRow {
            key: key.map(|key| (key.client, key.id)),
            content,
        };
        let key = rows::open_key(vat.id(), turn);
        cx.stage_row(rows::put(rows::OPEN, key, &row));
        vat.open_mut().insert(turn, no);
    }

    /// Puts the request's end into the frame being filled; told when that is durable.
    pub fn settle(
        &mut self,
        no: RequestNo,
        (settled, home): (Settled, Home),
        cx: &mut Context<'_, W>,
    ) -> Result<(), LedgerError> {
        let request = self.under_way.get_mut(&no).expect(KNOWN);
        if let Some(key) = request.key() {
            let asked = (key, request.content());
            let kept = self.answers.keep(asked, (&settled, home), cx.ledger())?;
            for row in kept {
                cx.stage_row(row);
            }
        }
        let frame = cx.on_commit(OnCommit::Settle(no));
        request.settle(frame, settled);
        Ok(())
    }

    /// The frame that settles the request is durable: everybody who waits is told.
    pub fn release(&mut self, no: RequestNo, durable: Durable, cx: &mut Context<'_, W>) {
        let request = self.known_mut(no);
        let mut waiters = request.take_waiters();
        let (frame, settled) = request
            .settled()
            .expect("only settled requests are in a frame");
        debug_assert_eq!(*frame, durable.frame(), "it is that frame which is durable");
        // Nearly always there is one, and the text need not be copied for it.
        if let Some(last) = waiters.pop() {
            let settled = settled.clone();
            for waiter in waiters {
                let settled = settled.clone();
                cx.release(durable, Output::Settled { waiter, settled });
            }
            let waiter = last;
            cx.release(durable, Output::Settled { waiter, settled });
        }
    }

    /// The request's answer is the catalog's now, or there is none.
    pub fn forget(&mut self, no: RequestNo) {
        if let Some(request) = self.under_way.remove(&no)
            && let Some(key) = request.key()
        {
            self.keys.remove(key);
        }
    }

    /// Answers everyone who waits for the request that it ran no turn, or that its answer cannot be
    /// had now.
    pub fn refuse_waiters(&mut self, no: RequestNo, refusal: &Refusal, cx: &mut Context<'_, W>) {
        if let Some(request) = self.under_way.get_mut(&no) {
            for waiter in request.take_waiters() {
                cx.refuse(waiter, refusal.clone());
            }
        }
    }

    /// Answers a request that ran no turn, and forgets it. A timer whose message it was is due
    /// again soon.
    pub fn refuse(
        &mut self,
        no: RequestNo,
        refusal: &Refusal,
        timers: &mut Timers,
        cx: &mut Context<'_, W>,
    ) {
        self.refuse_waiters(no, refusal, cx);
        if let Some(request) = self.under_way.get(&no)
            && let RequestKind::Timer(timer) = request.kind()
        {
            let due_ms = cx.now_ms().saturating_add(START_PAUSE_MS_MAX);
            timers.put_off(request.vat(), timer, due_ms);
        }
        self.forget(no);
    }

    /// The rows of clients' windows that the frame being filled moves.
    pub fn take_moved_windows(&mut self) -> Vec<Row> {
        self.answers.take_moved()
    }

    /// A request that an earlier life of the host consumed and that is still open.
    pub fn load_open(&mut self, vat: VatId, row: OpenRow) -> RequestNo {
        let key = row.key.map(|(client, id)| RequestKey { client, id });
        self.add(Request::of_open(vat, key, row.content))
    }
}

const KNOWN: &str = "a request stays until the frame that settles it is applied";
