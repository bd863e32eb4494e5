//! Reads a request's body.
//!
//! Promises: a body holds bytes of the budget before it is read, and never more than it announced;
//! a body that stalls, takes too long, is too long or ends before its end is refused with a status
//! of its own and a sentence. Does not know what the bytes mean.

use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Body as _;
use tokio::time::{Instant, timeout, timeout_at};

use crate::budget::{ConnectionBudget, Held};

/// Bytes of a request's body.
pub const BODY_BYTES_MAX: usize = 16 << 20;

/// How long a body may take to arrive.
const BODY_WAIT: Duration = Duration::from_secs(30);

/// How long it may stall. Shorter than the whole, because a body that stalls holds its bytes of the
/// budget meanwhile.
const STALL_MAX: Duration = Duration::from_secs(10);

/// How long a body waits for bytes of the budget. Those that hold them are gone by then.
const BUDGET_WAIT: Duration = Duration::from_secs(40);

/// Bytes that a body of unknown length holds at first; one that is longer holds `BODY_BYTES_MAX`.
const UNKNOWN_BYTES: usize = 16 << 10;

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    TooLong,
    Cut,
    Stalled,
    Overloaded,
}

impl IntoResponse for BodyError {
    fn into_response(self) -> Response {
        let (status, why) = match self {
            BodyError::TooLong => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "the body is longer than 16 MiB\n",
            ),
            BodyError::Cut => (
                StatusCode::BAD_REQUEST,
                "the body ended before its end, or its chunks are malformed; nothing was called\n",
            ),
            BodyError::Stalled => (
                StatusCode::REQUEST_TIMEOUT,
                "the body did not arrive in time; nothing was called\n",
            ),
            BodyError::Overloaded => (
                StatusCode::SERVICE_UNAVAILABLE,
                "the host's connections hold as many bytes as the limit `connection-bytes` lets; \
                 nothing was called: try again\n",
            ),
        };
        (status, why).into_response()
    }
}

/// The whole body, and the bytes that it holds.
pub async fn read(
    request: Request,
    budget: &ConnectionBudget,
) -> Result<(Vec<u8>, Vec<Held>), BodyError> {
    let announced = announced(&request);
    let capacity = match announced {
        None => UNKNOWN_BYTES,
        Some(length) => usize::try_from(length)
            .ok()
            .filter(|length| *length <= BODY_BYTES_MAX)
            .ok_or(BodyError::TooLong)?,
    };
    let mut held = vec![hold(budget, capacity).await?];
    // Reserved at once, since growing would copy it into twice the memory; the kernel gives the
    // memory itself when it is written.
    let mut body = Vec::with_capacity(capacity);
    let mut frames = request.into_body();
    let deadline = Instant::now() + BODY_WAIT;
    while let Some(bytes) = next(&mut frames, deadline).await? {
        if body.len() + bytes.len() > BODY_BYTES_MAX {
            return Err(BodyError::TooLong);
        }
        if body.len() + bytes.len() > UNKNOWN_BYTES && announced.is_none() && held.len() == 1 {
            held.push(hold(budget, BODY_BYTES_MAX).await?);
            body.reserve_exact(BODY_BYTES_MAX - body.len());
        }
        body.extend_from_slice(&bytes);
    }
    Ok((body, held))
}

fn announced(request: &Request) -> Option<u64> {
    let length = request.headers().get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

async fn hold(budget: &ConnectionBudget, bytes: usize) -> Result<Held, BodyError> {
    let held = timeout(BUDGET_WAIT, budget.hold(bytes)).await;
    held.map_err(|_| BodyError::Overloaded)
}

/// The next bytes of a body, trailers left out.
async fn next(frames: &mut Body, deadline: Instant) -> Result<Option<Bytes>, BodyError> {
    loop {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut *frames).poll_frame(cx));
        let stalled = (Instant::now() + STALL_MAX).min(deadline);
        match timeout_at(stalled, frame).await {
            Err(_) => return Err(BodyError::Stalled),
            Ok(None) => return Ok(None),
            Ok(Some(Err(_))) => return Err(BodyError::Cut),
            Ok(Some(Ok(frame))) => {
                if let Ok(bytes) = frame.into_data() {
                    return Ok(Some(bytes));
                }
            }
        }
    }
}
