//! The clients: they number their calls, remember every answer, and ask again after a crash.
//!
//! Promises what a careful client does: after a crash it sends what it has no answer to again,
//! oldest first and under the same key, before anything new; calls without a key it gives up.
//! Does not judge answers; `invariants` does.

use std::collections::{BTreeMap, VecDeque};

use kenvat_core::api::{Call, CallError, RequestKey};

use crate::program::{Method, Token};
use crate::rules::Asking;

/// An answer, as it came.
pub type Answer = Result<String, CallError>;

/// One call of one client.
#[derive(Clone, Debug)]
pub struct Request {
    pub vat: String,
    pub method: Method,
    pub key: Option<RequestKey>,
    /// The first answer.
    pub answer: Option<Answer>,
    /// The life of the host in which it was last sent.
    pub sent_in: u64,
    /// Sent without a key to a host that died: nobody will ever know.
    pub given_up: bool,
}

impl Request {
    pub fn call(&self, token: Token) -> Call {
        Call {
            vat: self.vat.clone(),
            method: self.method.name().to_owned(),
            args: self.method.args(token),
            key: self.key.clone(),
        }
    }

    pub fn is_open(&self) -> bool {
        self.answer.is_none() && !self.given_up
    }

    /// Whether the answer is one that is kept under the key, if there is one.
    pub fn is_kept(&self) -> bool {
        let kept = |answer: &Answer| {
            matches!(
                answer,
                Ok(_) | Err(CallError::Thrown { .. } | CallError::TurnKilled { .. })
            )
        };
        self.key.is_some() && self.answer.as_ref().is_some_and(kept)
    }
}

/// All clients, and all they ever asked.
#[derive(Debug, Default)]
pub struct Clients {
    pub requests: BTreeMap<Token, Request>,
    next_number: BTreeMap<u32, u32>,
    /// What has to be sent again before anything new, by client.
    again: BTreeMap<u32, VecDeque<Token>>,
}

impl Clients {
    /// What this client has to send again first, if anything.
    pub fn next_again(&mut self, client: u32) -> Option<Token> {
        self.again.get_mut(&client)?.pop_front()
    }

    /// Clients that have something to send again.
    pub fn behind(&self) -> Option<u32> {
        self.again
            .iter()
            .find(|(_, tokens)| !tokens.is_empty())
            .map(|(client, _)| *client)
    }

    /// A new call.
    pub fn ask(&mut self, client: u32, vat: String, method: Method, keyed: bool) -> Token {
        let number = self.next_number.entry(client).or_insert(0);
        *number += 1;
        let token = Token {
            client,
            number: *number,
        };
        let key = keyed.then(|| RequestKey {
            client: format!("client{client}"),
            id: format!("r{number}"),
        });
        let (answer, sent_in, given_up) = (None, 0, false);
        self.requests.insert(
            token,
            Request {
                vat,
                method,
                key,
                answer,
                sent_in,
                given_up,
            },
        );
        token
    }

    /// The host is gone: keyed calls without an answer will be sent again, the others are lost.
    pub fn host_died(&mut self, asking: Asking) {
        self.again.clear();
        for (token, request) in &mut self.requests {
            if !request.is_open() {
                continue;
            }
            match &mut request.key {
                Some(key) => {
                    if asking == Asking::NewKey {
                        key.id.push('+');
                    }
                    self.again
                        .entry(token.client)
                        .or_default()
                        .push_back(*token);
                }
                None => request.given_up = true,
            }
        }
    }

    /// Tokens of which this holds.
    pub fn which(&self, wanted: impl Fn(&Request) -> bool) -> Vec<Token> {
        let found = self.requests.iter().filter(|(_, request)| wanted(request));
        found.map(|(token, _)| *token).collect()
    }
}
