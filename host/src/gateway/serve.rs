//! Routes, permission, and calls.
//!
//! Promises: without the token nothing is told, not even whether a vat exists; a call whose client
//! went away goes on; the entries of a batch reach the vat in their order. Does not know sockets.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use kenvat_engine::api::{Call, CallError, REQUEST_ID_BYTES_MAX, RequestKey};
use kenvat_engine::{Answer, Handle};
use serde_json::value::RawValue;

use crate::gateway::rpc::{self, Entry, Incoming, RpcError};
use crate::gateway::token::Token;
use crate::people::{Trouble, code};

/// Bytes of a request's body.
pub const BODY_BYTES_MAX: usize = 16 << 20;

/// Bytes of all answers of one batch; what goes past it is answered with an error instead.
pub const BATCH_ANSWER_BYTES_MAX: usize = 64 << 20;

/// How long a body may take to arrive.
pub const BODY_WAIT: Duration = Duration::from_secs(30);

/// Under which prefix the engine keeps the requests of HTTP clients.
const HTTP_CLIENT: &str = "http:";

/// Characters of a client's own name in `?client=`.
const CLIENT_CHARS_MAX: usize = 100;

/// What every request needs.
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

/// A host that serves is well; on a full disk it serves what needs no room, and starting it again
/// would not help, so that is said and no failure.
async fn health(State(service): State<Service>) -> Response {
    match service.0.engine.lacks_room().await {
        Ok(false) => "ok\n".into_response(),
        Ok(true) => "ok, but the disk is full: what needs room is refused\n".into_response(),
        Err(stopped) => (StatusCode::SERVICE_UNAVAILABLE, format!("{stopped}\n")).into_response(),
    }
}

/// A request under way: what it will be answered to, and with.
enum Pending<'a> {
    Asked(Option<&'a RawValue>, Answer<Result<String, CallError>>),
    Refused(Option<&'a RawValue>, RpcError),
}

async fn call_vat(
    State(service): State<Service>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    let query = request.uri().query().unwrap_or_default().to_owned();
    if !permitted(&service.0.token, request.headers(), &query) {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (StatusCode::UNAUTHORIZED, challenge).into_response();
    }
    let key = match request_key(request.headers(), &query) {
        Ok(key) => key,
        Err(error) => return whole(&error),
    };
    let body = match read_body(request).await {
        Ok(body) => body,
        Err(status) => return status.into_response(),
    };
    match rpc::parse(&body) {
        Err(error) => whole(&error),
        Ok(Incoming::One(entry)) => single(&service.0.engine, &name, entry, key).await,
        Ok(Incoming::Batch(entries)) => batch(&service.0.engine, &name, entries, key).await,
    }
}

fn permitted(token: &Token, headers: &HeaderMap, query: &str) -> bool {
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

/// A query's value as it stands: neither tokens nor clients' names contain what needs escaping.
fn in_query<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|pair| pair.0 == name)
        .map(|p| p.1)
}

fn request_key(headers: &HeaderMap, query: &str) -> Result<Option<RequestKey>, RpcError> {
    let refuse = |why: String| RpcError::new(code::BAD_REQUEST, why);
    let client = in_query(query, "client").unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if client.len() > CLIENT_CHARS_MAX || !client.chars().all(plain) {
        let rule = "of at most 100 letters, digits and . _ -";
        return Err(refuse(format!("the client's name must be one {rule}")));
    }
    let Some(id) = headers.get("idempotency-key") else {
        return Ok(None);
    };
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

async fn read_body(request: Request) -> Result<Bytes, StatusCode> {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<u64>().ok());
    if announced.is_some_and(|length| length > BODY_BYTES_MAX as u64) {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let body = axum::body::to_bytes(request.into_body(), BODY_BYTES_MAX);
    match tokio::time::timeout(BODY_WAIT, body).await {
        Ok(Ok(body)) => Ok(body),
        // Without an announced length only the limit is a likely reason; else the client is gone.
        Ok(Err(_)) if announced.is_none() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

/// Asks the engine, at once: entries reach the vat in the order of these calls.
fn ask<'a>(
    engine: &Handle,
    vat: &str,
    entry: Entry<'a>,
    key: Option<RequestKey>,
) -> Option<Pending<'a>> {
    let request = match entry {
        Ok(request) => request,
        Err(refusal) => return Some(Pending::Refused(refusal.id, refusal.error)),
    };
    let args = request.params.to_owned();
    let answer = engine.call(Call {
        vat: vat.to_owned(),
        method: request.method,
        args,
        key,
    });
    // Send and forget: nobody waits, and the engine does not mind.
    request
        .id
        .is_some()
        .then_some(Pending::Asked(request.id, answer))
}

async fn settle(pending: Pending<'_>, room: usize) -> String {
    let (id, answer) = match pending {
        Pending::Refused(id, error) => return rpc::response(id, Err(&error)),
        Pending::Asked(id, answer) => (id, answer),
    };
    match outcome(answer).await {
        Ok(result) if result.get().len() > room => {
            let why = "this answer is too large for the batch; ask for it alone";
            rpc::response(id, Err(&RpcError::new(code::HOST, why)))
        }
        Ok(result) => rpc::response(id, Ok(&result)),
        Err(error) => rpc::response(id, Err(&error)),
    }
}

async fn outcome(answer: Answer<Result<String, CallError>>) -> Result<Box<RawValue>, RpcError> {
    let text = answer
        .await
        .map_err(Trouble::from)?
        .map_err(Trouble::from)?;
    // A worker made this text; what is not JSON must not be pasted into a response.
    RawValue::from_string(text)
        .map_err(|_| RpcError::new(code::HOST, "the vat's answer is not JSON"))
}

async fn single(engine: &Handle, vat: &str, entry: Entry<'_>, key: Option<RequestKey>) -> Response {
    match ask(engine, vat, entry, key) {
        None => StatusCode::ACCEPTED.into_response(),
        Some(pending) => json(settle(pending, usize::MAX).await),
    }
}

async fn batch(
    engine: &Handle,
    vat: &str,
    entries: Vec<Entry<'_>>,
    key: Option<RequestKey>,
) -> Response {
    let mut pending = Vec::with_capacity(entries.len());
    for (index, entry) in entries.into_iter().enumerate() {
        // One header for many requests: each gets an id of its own, the same if sent again.
        let key = key.clone().map(|key| RequestKey {
            id: format!("{}#{index}", key.id),
            ..key
        });
        pending.extend(ask(engine, vat, entry, key));
    }
    if pending.is_empty() {
        return StatusCode::ACCEPTED.into_response();
    }
    let mut text = String::from("[");
    for pending in pending {
        if text.len() > 1 {
            text.push(',');
        }
        let room = BATCH_ANSWER_BYTES_MAX.saturating_sub(text.len());
        text.push_str(&settle(pending, room).await);
    }
    text.push(']');
    json(text)
}

/// The answer to a body that is no request at all.
fn whole(error: &RpcError) -> Response {
    json(rpc::response(None, Err(error)))
}

fn json(text: String) -> Response {
    let mut response = Response::new(Body::from(text));
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
    }
}
