//! The control socket's messages and their framing.
//!
//! Promises: a message is `length: u32 LE` and that many bytes of JSON; a length beyond
//! `MESSAGE_BYTES_MAX` is refused before anything is read, and memory grows with what arrives, not
//! with what was announced. Does not know sockets' files or the engine.
//!
//! Client to host: `{v, id, ask}`; host to client: `{id, ok}` or `{id, error}`, in any order. Both
//! ends may come from different builds, so `v` is checked first and unknown fields are ignored.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::user_error::UserError;

/// The version both ends must speak.
pub const CONTROL_VERSION: u32 = 2;

/// Bytes of one message: the 16 MiB that a call or a vat's sources may have, and their JSON
/// escapes.
pub const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// A question to the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    Call(AskCall),
    Deploy {
        name: String,
        entry: String,
        files: Vec<(String, String)>,
        give: Vec<(String, String)>,
        /// Default powers that the vat does not get.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        deny: Vec<String>,
        /// Limits of the vat's own.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        limits: Vec<(String, u64)>,
    },
    List,
    Show {
        vat: String,
    },
    Sleep {
        vat: String,
    },
    Wake {
        vat: String,
    },
    Terminate {
        vat: String,
    },
    Logs {
        vat: String,
        from: u64,
        bytes_max: u32,
    },
    Verify,
    Limits,
    LimitsOf {
        vat: String,
    },
    /// Sets limits of a vat's own; those in `unset` are the host's again.
    SetLimits {
        vat: String,
        set: Vec<(String, u64)>,
        unset: Vec<String>,
    },
}

/// A call of a vat's root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskCall {
    pub vat: String,
    pub method: String,
    /// The text of one JSON array.
    pub args: String,
    /// Makes the call idempotent.
    pub id: String,
}

/// Client to host.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    pub v: u32,
    /// Chosen by the client; the answer carries it.
    pub id: u64,
    pub ask: Ask,
}

/// The part of a request that every version of the protocol has.
#[derive(Debug, Deserialize)]
pub struct RequestHead {
    pub v: u32,
    pub id: u64,
}

/// Host to client: exactly one of `ok` and `error`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Response {
    pub id: u64,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub ok: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<UserError>,
}

/// Distinguishes `"ok": null`, which is an answer, from a missing `ok`.
fn present<'de, D: Deserializer<'de>>(source: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(source).map(Some)
}

/// Why a message was not sent or not received.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    #[error("a control message of {found} bytes is longer than the {MESSAGE_BYTES_MAX} allowed")]
    TooLong { found: usize },
    #[error("the connection ended in the middle of a message")]
    Cut,
    #[error("not a control message: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("the control socket failed: {0}")]
    Io(#[from] std::io::Error),
}

/// The frame of a message.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, WireError> {
    let mut frame = vec![0; HEADER_BYTES];
    serde_json::to_writer(&mut frame, message)?;
    let found = frame.len() - HEADER_BYTES;
    let length = u32::try_from(found).map_err(|_| WireError::TooLong { found })?;
    if found > MESSAGE_BYTES_MAX {
        return Err(WireError::TooLong { found });
    }
    frame[..HEADER_BYTES].copy_from_slice(&length.to_le_bytes());
    Ok(frame)
}

/// Sends one frame made by `encode`.
pub async fn send(writer: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> Result<(), WireError> {
    writer.write_all(frame).await?;
    Ok(writer.flush().await?)
}

/// The body of the next message; `None` if the other side closed between two messages.
pub async fn receive(reader: &mut (impl AsyncRead + Unpin)) -> Result<Option<Vec<u8>>, WireError> {
    match receive_length(reader).await? {
        Some(length) => receive_body(reader, length).await.map(Some),
        None => Ok(None),
    }
}

/// The length of the next message; `None` if the other side closed between two messages.
pub async fn receive_length(
    reader: &mut (impl AsyncRead + Unpin),
) -> Result<Option<usize>, WireError> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    reader
        .take(HEADER_BYTES as u64)
        .read_to_end(&mut header)
        .await?;
    if header.is_empty() {
        return Ok(None);
    }
    let header = header.first_chunk::<HEADER_BYTES>().ok_or(WireError::Cut)?;
    let found = u32::from_le_bytes(*header) as usize;
    if found > MESSAGE_BYTES_MAX {
        return Err(WireError::TooLong { found });
    }
    Ok(Some(found))
}

/// The body of a message, whose length was received.
pub async fn receive_body(
    reader: &mut (impl AsyncRead + Unpin),
    length: usize,
) -> Result<Vec<u8>, WireError> {
    // Reserved at once, since growing would copy it into twice the memory; the kernel gives the
    // memory itself when it is written. One byte more, or reading would grow it to find the end.
    let mut body = Vec::with_capacity(length + 1);
    reader.take(length as u64).read_to_end(&mut body).await?;
    if body.len() < length {
        Err(WireError::Cut)
    } else {
        Ok(body)
    }
}

const HEADER_BYTES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime")
            .block_on(work)
    }

    #[test]
    fn a_request_comes_back_as_it_went() {
        let ask = Ask::Call(AskCall {
            vat: "v".into(),
            method: "m".into(),
            args: "[1e400]".into(),
            id: "x".into(),
        });
        let frame = encode(&Request {
            v: CONTROL_VERSION,
            id: 9,
            ask: ask.clone(),
        })
        .expect("fits");
        let body = run(receive(&mut &frame[..]))
            .expect("whole")
            .expect("there");
        let back: Request = serde_json::from_slice(&body).expect("the same type");
        assert_eq!((back.v, back.id, back.ask), (CONTROL_VERSION, 9, ask));
    }

    #[test]
    fn an_answer_of_null_is_not_the_absence_of_one() {
        let ok = RawValue::from_string("null".into()).expect("is JSON");
        let frame = encode(&Response {
            id: 1,
            ok: Some(ok),
            error: None,
        })
        .expect("fits");
        let back: Response = serde_json::from_slice(&frame[4..]).expect("the same type");
        assert_eq!(back.ok.expect("is there").get(), "null");
        let back: Response = serde_json::from_str(r#"{"id":1}"#).expect("the same type");
        assert!(back.ok.is_none());
    }

    #[test]
    fn a_forged_length_is_refused_before_reading() {
        let mut forged: &[u8] = &[0xff, 0xff, 0xff, 0xff, 1, 2];
        assert!(matches!(
            run(receive(&mut forged)),
            Err(WireError::TooLong { .. })
        ));
    }

    #[test]
    fn a_cut_message_is_told_from_an_end() {
        assert!(matches!(run(receive(&mut &b""[..])), Ok(None)));
        for cut in [&b"\x05"[..], b"\x05\0\0", b"\x05\0\0\0", b"\x05\0\0\0abcd"] {
            assert!(
                matches!(run(receive(&mut &*cut)), Err(WireError::Cut)),
                "{cut:?}"
            );
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_not_sent() {
        let ask = Ask::Sleep {
            vat: "x".repeat(MESSAGE_BYTES_MAX),
        };
        assert!(matches!(encode(&ask), Err(WireError::TooLong { .. })));
    }
}
