//! The gateway's routes: permission and calls.
//!
//! Promises: a request without the token learns nothing, not even whether a vat exists; a call goes
//! on when its client is gone; the entries of a batch reach the vat in their order. Does not know
//! sockets.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use kenvat_engine::api::{Call, CallError, REQUEST_ID_BYTES_MAX, RequestKey};
use kenvat_engine::{Answer, Handle};
use serde_json::value::RawValue;

use crate::budget::{ConnectionBudget, Held};
use crate::failure::{Failure, code};
use crate::gateway::body;
use crate::gateway::connections::Connection;
use crate::gateway::rpc::{self, Entry, Incoming, RpcError};
use crate::gateway::token::Token;

/// Bytes of all answers of one batch; an answer that does not fit is replaced by an error.
pub const BATCH_ANSWER_BYTES_MAX: usize = 64 << 20;

/// Prefix of the client name under which the engine keeps the requests of HTTP clients.
const HTTP_CLIENT: &str = "http:";

/// The header that makes a request idempotent.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Instead of an answer for which there is no memory.
const NOT_HELD: &str = "overloaded: the host's connections hold as many bytes as the limit \
    `connection-bytes` lets, so this answer was dropped; the call ran: with an Idempotency-Key, \
    ask \
    again for its answer";

/// Characters of a client's own name in `?client=`.
const CLIENT_CHARS_MAX: usize = 100;

/// What every request needs: the engine and the token.
#[derive(Clone, Debug)]
pub struct Service(Arc<Inner>);

struct Inner {
    engine: Handle,
    token: Token,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

impl Service {
    pub fn new(engine: Handle, token: Token) -> Service {
        Service(Arc::new(Inner { engine, token }))
    }

    /// The gateway's paths.
    pub fn router(self) -> Router {
        Router::new()
            .route("/healthz", get(health))
            .route("/vat/{name}", post(call_vat))
            .with_state(self)
    }
}

/// A host that serves is healthy. On a full disk it still serves what needs no disk space, and
/// starting it again would not help, so the answer says so and is no failure.
async fn health(State(service): State<Service>) -> Response {
    match service.0.engine.lacks_room().await {
        Ok(false) => "ok\n".into_response(),
        Ok(true) => "ok, but the disk is full: what needs room is refused\n".into_response(),
        Err(stopped) => (StatusCode::SERVICE_UNAVAILABLE, format!("{stopped}\n")).into_response(),
    }
}

/// A request in progress: the id of its response, and where the outcome comes from. It owns the id,
/// so that the body need not be kept until the outcome is there.
enum Pending {
    Asked(Option<Box<RawValue>>, Answer<Result<String, CallError>>),
    Refused(Option<Box<RawValue>>, RpcError),
}

async fn call_vat(
    State(service): State<Service>,
    Path(name): Path<String>,
    Extension(connection): Extension<Connection>,
    request: Request,
) -> Response {
    let query = request.uri().query().unwrap_or_default().to_owned();
    if !permitted(&service.0.token, request.headers(), &query) {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (StatusCode::UNAUTHORIZED, challenge).into_response();
    }
    connection.is_permitted();
    let key = match request_key(request.headers(), &query) {
        Ok(key) => key,
        Err(KeyError::Repeated(what)) => {
            let why = format!("the request has two of {what}: send one\n");
            return (StatusCode::BAD_REQUEST, why).into_response();
        }
        Err(KeyError::Malformed(error)) => return whole(&error),
    };
    let budget = &connection.budget;
    let (body, held) = match body::read(request, budget).await {
        Ok(read) => read,
        Err(refusal) => return refusal.into_response(),
    };
    let asked = match rpc::parse(&body) {
        Err(error) => return whole(&error),
        Ok(Incoming::One(entry)) => Asked::One(ask(&service.0.engine, &name, entry, key)),
        Ok(Incoming::Batch(entries)) => {
            Asked::Batch(ask_all(&service.0.engine, &name, entries, key))
        }
    };
    // The engine has what it needs, and the answer may take days.
    drop((body, held));
    match asked {
        Asked::One(None) => StatusCode::ACCEPTED.into_response(),
        Asked::One(Some(pending)) => single(pending, budget).await,
        Asked::Batch(pending) if pending.is_empty() => StatusCode::ACCEPTED.into_response(),
        Asked::Batch(pending) => batch(pending, budget).await,
    }
}

/// What a body asked for, once the engine has it.
enum Asked {
    One(Option<Pending>),
    Batch(Vec<Pending>),
}

fn permitted(token: &Token, headers: &HeaderMap, query: &str) -> bool {
    if headers.get_all(header::AUTHORIZATION).iter().count() > 1 {
        return false;
    }
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    bearer
        .or_else(|| in_query(query, "token"))
        .is_some_and(|offered| token.is(offered))
}

/// A value of the query, not decoded: neither tokens nor clients' names need escaping.
fn in_query<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    values_in_query(query, name).next()
}

fn times_in_query(query: &str, name: &str) -> usize {
    values_in_query(query, name).count()
}

fn values_in_query<'a>(query: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(move |pair| pair.0 == name).map(|pair| pair.1)
}

/// Why a request has no key although it should.
#[derive(Debug)]
enum KeyError {
    /// Said more than once, so that it is not clear which is meant.
    Repeated(&'static str),
    Malformed(RpcError),
}

fn request_key(headers: &HeaderMap, query: &str) -> Result<Option<RequestKey>, KeyError> {
    let refuse = |why: String| KeyError::Malformed(RpcError::new(code::BAD_REQUEST, why));
    if times_in_query(query, "client") > 1 {
        return Err(KeyError::Repeated("client="));
    }
    let client = in_query(query, "client").unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if client.len() > CLIENT_CHARS_MAX || !client.chars().all(plain) {
        let rule = "of at most 100 letters, digits and . _ -";
        return Err(refuse(format!("the client's name must be one {rule}")));
    }
    let mut ids = headers.get_all(IDEMPOTENCY_KEY).into_iter();
    let Some(id) = ids.next() else {
        return Ok(None);
    };
    if ids.next().is_some() {
        return Err(KeyError::Repeated("Idempotency-Key"));
    }
    let id = id
        .to_str()
        .ok()
        .filter(|id| (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()));
    let id = id.ok_or_else(|| {
        refuse(format!(
            "an Idempotency-Key is 1 to {REQUEST_ID_BYTES_MAX} visible characters"
        ))
    })?;
    Ok(Some(RequestKey {
        client: format!("{HTTP_CLIENT}{client}"),
        id: id.to_owned(),
    }))
}

/// Makes the call before it returns: entries reach the vat in the order in which this is called.
fn ask(engine: &Handle, vat: &str, entry: Entry<'_>, key: Option<RequestKey>) -> Option<Pending> {
    let owned = |id: Option<&RawValue>| id.map(ToOwned::to_owned);
    let request = match entry {
        Ok(request) => request,
        Err(refusal) => return Some(Pending::Refused(owned(refusal.id), refusal.error)),
    };
    let args = request.params.to_owned();
    let answer = engine.call(Call {
        vat: vat.to_owned(),
        method: request.method,
        args,
        key,
    });
    // Nobody waits for the answer to a notification.
    let id = request.id?;
    Some(Pending::Asked(Some(id.to_owned()), answer))
}

/// Makes the calls of a batch.
fn ask_all(
    engine: &Handle,
    vat: &str,
    entries: Vec<Entry<'_>>,
    key: Option<RequestKey>,
) -> Vec<Pending> {
    let mut pending = Vec::with_capacity(entries.len());
    for (index, entry) in entries.into_iter().enumerate() {
        // One header serves many requests: each gets an id of its own, the same when sent again.
        let key = key.clone().map(|key| RequestKey {
            id: format!("{}#{index}", key.id),
            ..key
        });
        pending.extend(ask(engine, vat, entry, key));
    }
    pending
}

/// Waits for a response. A result that is too long for `bytes_max`, or for what connections may
/// hold together, is replaced by an error.
async fn resolve(
    pending: Pending,
    bytes_max: usize,
    budget: &ConnectionBudget,
) -> (String, Option<Held>) {
    let (id, answer) = match pending {
        Pending::Refused(id, error) => return (rpc::response(id.as_deref(), Err(&error)), None),
        Pending::Asked(id, answer) => (id, answer),
    };
    let id = id.as_deref();
    let error = match outcome(answer).await {
        Err(error) => error,
        Ok(result) if result.get().len() > bytes_max => RpcError::new(
            code::HOST,
            "this answer is too large for the batch; ask for it alone",
        ),
        Ok(result) => match budget.try_hold(result.get().len()) {
            Some(held) => return (rpc::response(id, Ok(&result)), Some(held)),
            None => RpcError::new(code::OVERLOADED, NOT_HELD),
        },
    };
    (rpc::response(id, Err(&error)), None)
}

async fn outcome(answer: Answer<Result<String, CallError>>) -> Result<Box<RawValue>, RpcError> {
    let answered = answer.await.map_err(|stopped| Failure::from(&stopped))?;
    let text = answered.map_err(|error| Failure::from(&error))?;
    // A worker made this text. It must be JSON before it may be pasted into a response.
    RawValue::from_string(text)
        .map_err(|_| RpcError::new(code::HOST, "the vat's answer is not JSON"))
}

async fn single(pending: Pending, budget: &ConnectionBudget) -> Response {
    let (text, held) = resolve(pending, usize::MAX, budget).await;
    json(text, held.into_iter().collect())
}

async fn batch(pending: Vec<Pending>, budget: &ConnectionBudget) -> Response {
    let mut text = String::from("[");
    let mut all_held = Vec::new();
    for pending in pending {
        if text.len() > 1 {
            text.push(',');
        }
        let bytes_max = BATCH_ANSWER_BYTES_MAX.saturating_sub(text.len());
        let (response, held) = resolve(pending, bytes_max, budget).await;
        text.push_str(&response);
        all_held.extend(held);
    }
    text.push(']');
    json(text, all_held)
}

/// The response to a body that is no request at all.
fn whole(error: &RpcError) -> Response {
    json(rpc::response(None, Err(error)), Vec::new())
}

/// A response whose bytes are held until they are written.
struct HeldText {
    text: String,
    _held: Vec<Held>,
}

impl AsRef<[u8]> for HeldText {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

fn json(text: String, held: Vec<Held>) -> Response {
    let text = HeldText { text, _held: held };
    let mut response = Response::new(Body::from(Bytes::from_owner(text)));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_taken_from_header_or_query() {
        let dir = tempfile::tempdir().expect("a folder");
        let token = Token::provide(dir.path()).expect("makes it");
        let with = |value: &str| {
            let value = HeaderValue::from_str(value).expect("a header");
            HeaderMap::from_iter([(header::AUTHORIZATION, value)])
        };
        let secret = token.reveal();
        assert!(permitted(&token, &with(&format!("Bearer {secret}")), ""));
        assert!(permitted(&token, &with(&format!("bearer  {secret}")), ""));
        assert!(permitted(
            &token,
            &HeaderMap::new(),
            &format!("a=b&token={secret}")
        ));
        assert!(!permitted(&token, &HeaderMap::new(), ""));
        assert!(!permitted(&token, &HeaderMap::new(), "token="));
        assert!(!permitted(&token, &with(&format!("Basic {secret}")), ""));
        assert!(!permitted(&token, &with(secret), ""));
        let mut twice = with(&format!("Bearer {secret}"));
        twice.append(header::AUTHORIZATION, HeaderValue::from_static("Bearer x"));
        assert!(!permitted(&token, &twice, ""));
        let wrong = with("Bearer wrong");
        assert!(!permitted(&token, &wrong, &format!("token={secret}")));
    }

    #[test]
    fn a_key_is_one_clients_own_and_bounded() {
        let with = |value: &str| {
            let value = HeaderValue::from_str(value).expect("a header");
            HeaderMap::from_iter([("idempotency-key".parse().expect("a name"), value)])
        };
        let key = request_key(&with("k1"), "client=me")
            .expect("fine")
            .expect("there");
        assert_eq!((key.client.as_str(), key.id.as_str()), ("http:me", "k1"));
        let key = request_key(&with("k1"), "").expect("fine").expect("there");
        assert_eq!(key.client, "http:");
        assert!(request_key(&HeaderMap::new(), "").expect("fine").is_none());
        assert!(request_key(&with(""), "").is_err());
        assert!(request_key(&with(&"x".repeat(257)), "").is_err());
        assert!(request_key(&with("k"), "client=a%20b").is_err());
        let mut twice = with("k1");
        twice.append(IDEMPOTENCY_KEY, HeaderValue::from_static("k1"));
        for (headers, query) in [(&twice, ""), (&with("k1"), "client=a&client=a")] {
            let refused = request_key(headers, query);
            assert!(matches!(refused, Err(KeyError::Repeated(_))), "{query}");
        }
    }
}
