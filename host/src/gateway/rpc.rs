//! JSON-RPC 2.0 as data: parses requests from bytes and encodes responses.
//!
//! Promises: any bytes are either requests or an error to send back; numbers pass through digit by
//! digit, never through floating point; a malformed entry of a batch affects only itself. Does not
//! know HTTP or how a call is made.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::failure::{Failure, code};

/// Entries of one batch.
pub const BATCH_MAX: usize = 100;

/// Bytes of a request's `id`, which is sent back unchanged.
pub const ID_BYTES_MAX: usize = 1024;

/// What a body asks for.
#[derive(Debug)]
pub enum Incoming<'a> {
    One(Entry<'a>),
    Batch(Vec<Entry<'a>>),
}

/// One entry: a request, or the error response to an entry that is none.
pub type Entry<'a> = Result<Request<'a>, Refusal<'a>>;

/// A well-formed request.
#[derive(Debug)]
pub struct Request<'a> {
    /// JSON text; `None` for a notification, which gets no response.
    pub id: Option<&'a RawValue>,
    pub method: String,
    /// The text of one JSON array.
    pub params: &'a str,
}

/// The response to a malformed request, with its id if that could be read.
#[derive(Debug)]
pub struct Refusal<'a> {
    pub id: Option<&'a RawValue>,
    pub error: RpcError,
}

/// The `error` member of a response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RpcError {
    pub code: i32,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<ErrorData>,
}

/// The error as the vat threw it, or as the host names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorData {
    pub name: String,
    pub message: String,
}

impl RpcError {
    pub fn new(code: i32, message: impl Into<String>) -> RpcError {
        RpcError {
            code,
            message: message.into(),
            data: None,
        }
    }
}

impl From<Failure> for RpcError {
    fn from(failure: Failure) -> RpcError {
        let message = failure.bare_message().to_owned();
        RpcError {
            code: failure.code,
            message: failure.message,
            data: Some(ErrorData {
                name: failure.name,
                message,
            }),
        }
    }
}

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
}

/// Distinguishes a member that is null from one that is absent.
fn present<'a, D: Deserializer<'a>>(source: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(source).map(Some)
}

/// Parses a body; the error is the response to the whole body.
pub fn parse(body: &[u8]) -> Result<Incoming<'_>, RpcError> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let at = error.valid_up_to();
        RpcError::new(
            code::NOT_JSON,
            format!("the request is not UTF-8 from byte {at} on"),
        )
    })?;
    let whole: &RawValue = serde_json::from_str(text).map_err(|error| {
        RpcError::new(code::NOT_JSON, format!("the request is not JSON: {error}"))
    })?;
    if !whole.get().starts_with('[') {
        return Ok(Incoming::One(entry(whole)));
    }
    let entries: Vec<&RawValue> = serde_json::from_str(whole.get())
        .map_err(|error| RpcError::new(code::NOT_JSON, error.to_string()))?;
    match entries.len() {
        0 => Err(RpcError::new(
            code::BAD_REQUEST,
            "a batch must not be empty",
        )),
        1..=BATCH_MAX => Ok(Incoming::Batch(entries.into_iter().map(entry).collect())),
        found => Err(RpcError::new(
            code::BAD_REQUEST,
            format!("a batch of {found} requests is longer than the {BATCH_MAX} allowed"),
        )),
    }
}

fn entry(raw: &RawValue) -> Entry<'_> {
    let refuse = |id, code, why: &str| {
        Err(Refusal {
            id,
            error: RpcError::new(code, why),
        })
    };
    let bad = code::BAD_REQUEST;
    let members: Members<'_> = match serde_json::from_str(raw.get()) {
        Ok(members) if raw.get().starts_with('{') => members,
        _ => return refuse(None, bad, "a request is an object, each member of it once"),
    };
    let id = members.id;
    if id.is_some_and(|id| !is_id(id.get())) {
        return refuse(
            None,
            bad,
            "an id is a string or number of at most 1024 bytes, or null",
        );
    }
    if members.jsonrpc.map(RawValue::get) != Some("\"2.0\"") {
        return refuse(id, bad, "the member jsonrpc must be \"2.0\"");
    }
    let method = members
        .method
        .and_then(|method| serde_json::from_str(method.get()).ok());
    let Some(method) = method else {
        return refuse(id, bad, "the member method must be a string");
    };
    let params = members.params.map_or("[]", RawValue::get);
    if !params.starts_with('[') {
        let why = "params must be an array: methods take their arguments in order";
        return refuse(id, code::BAD_ARGUMENTS, why);
    }
    Ok(Request { id, method, params })
}

fn is_id(id: &str) -> bool {
    let kind = id.starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit());
    (kind || id == "null") && id.len() <= ID_BYTES_MAX
}

/// One response object; `result` is JSON text that was checked to be such.
pub fn response(id: Option<&RawValue>, outcome: Result<&RawValue, &RpcError>) -> String {
    #[derive(Serialize)]
    struct Members<'a> {
        jsonrpc: &'a str,
        id: Option<&'a RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        result: Option<&'a RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<&'a RpcError>,
    }
    let members = Members {
        jsonrpc: "2.0",
        id,
        result: outcome.ok(),
        error: outcome.err(),
    };
    serde_json::to_string(&members).expect("strings and checked JSON can be written")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(body: &str) -> Entry<'_> {
        match parse(body.as_bytes()) {
            Ok(Incoming::One(entry)) => entry,
            other => panic!("not one entry: {other:?}"),
        }
    }

    #[test]
    fn a_request_keeps_every_digit_of_its_numbers() {
        let body = r#" {"jsonrpc":"2.0","id":1.50,"method":"a\u0062",
            "params":[12345678901234567890123,1e400]} "#;
        let request = one(body).expect("is well-formed");
        assert_eq!(request.id.expect("has one").get(), "1.50");
        assert_eq!(request.method, "ab");
        assert_eq!(request.params, "[12345678901234567890123,1e400]");
    }

    #[test]
    fn no_id_is_told_from_an_id_of_null() {
        assert!(
            one(r#"{"jsonrpc":"2.0","method":"m"}"#)
                .expect("well-formed")
                .id
                .is_none()
        );
        let null = one(r#"{"jsonrpc":"2.0","method":"m","id":null}"#).expect("well-formed");
        assert_eq!(null.id.expect("has one").get(), "null");
        assert_eq!(null.params, "[]");
    }

    #[test]
    fn malformed_requests_get_the_code_json_rpc_gives_them() {
        for (body, code) in [
            (&b""[..], -32700),
            (b"{", -32700),
            (b"{} {}", -32700),
            (b"\"\xff\"", -32700),
            (b"[1,", -32700),
            (b"[]", -32600),
        ] {
            let error = parse(body).expect_err("refused");
            assert_eq!(error.code, code, "{}", String::from_utf8_lossy(body));
        }
        for (body, code) in [
            ("1", -32600),
            ("null", -32600),
            (r#"{"jsonrpc":"1.0","method":"m","id":1}"#, -32600),
            (r#"{"method":"m","id":1}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
            (r#"{"jsonrpc":"2.0","method":1,"id":1}"#, -32600),
            (r#"{"jsonrpc":"2.0","method":"m","id":{}}"#, -32600),
            (r#"{"jsonrpc":"2.0","method":"m","id":true}"#, -32600),
            (
                r#"{"jsonrpc":"2.0","method":"m","method":"n","id":1}"#,
                -32600,
            ),
            (
                r#"{"jsonrpc":"2.0","method":"m","params":{"a":1},"id":1}"#,
                -32602,
            ),
            (
                r#"{"jsonrpc":"2.0","method":"m","params":null,"id":1}"#,
                -32602,
            ),
        ] {
            assert_eq!(one(body).expect_err("refused").error.code, code, "{body}");
        }
    }

    #[test]
    fn a_batch_is_taken_entry_by_entry() {
        let body = r#"[{"jsonrpc":"2.0","method":"m","id":1}, 7, {"jsonrpc":"2.0","method":"n"}]"#;
        let Ok(Incoming::Batch(entries)) = parse(body.as_bytes()) else {
            panic!("a batch")
        };
        let good: Vec<bool> = entries.iter().map(Result::is_ok).collect();
        assert_eq!(good, [true, false, true]);
        let long = format!("[{}0]", "0,".repeat(BATCH_MAX));
        assert_eq!(parse(long.as_bytes()).expect_err("refused").code, -32600);
    }

    #[test]
    fn deep_nesting_is_passed_on_without_recursion() {
        let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        let body = format!(r#"{{"jsonrpc":"2.0","method":"m","params":{deep},"id":1}}"#);
        assert_eq!(one(&body).expect("is well-formed").params.len(), 400_000);
    }

    #[test]
    fn responses_have_an_id_and_one_outcome() {
        let id: &RawValue = serde_json::from_str("\"x\"").expect("JSON");
        let result: &RawValue = serde_json::from_str("{\"$bigint\":\"12\"}").expect("JSON");
        assert_eq!(
            response(Some(id), Ok(result)),
            r#"{"jsonrpc":"2.0","id":"x","result":{"$bigint":"12"}}"#
        );
        let error = RpcError::new(-32700, "no");
        assert_eq!(
            response(None, Err(&error)),
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"no"}}"#
        );
    }
}
