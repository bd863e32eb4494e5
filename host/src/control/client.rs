//! The client end of the control socket: one question at a time.
//!
//! Promises: if the host ends, or sends bytes that are no answer, the error is `AskError::Lost`:
//! whether the question was carried out is then unknown. Does not open stores and does not retry.

use std::path::Path;

use serde_json::value::RawValue;
use tokio::net::UnixStream;

use crate::control::protocol::{self, Ask, CONTROL_VERSION, Request, Response, WireError};
use crate::control::socket;
use crate::user_error::UserError;

/// Why a question has no answer.
#[derive(Debug)]
pub enum AskError {
    /// The connection to the host was lost; whether it carried out the question is unknown.
    Lost(String),
    /// The host answered with this error, or the question could not be sent at all.
    Failed(UserError),
}

/// A connection to a running host.
#[derive(Debug)]
pub struct HostLink {
    stream: UnixStream,
    last_id: u64,
}

impl HostLink {
    /// Connects to the host that serves `dir`; `None` if no host listens.
    pub async fn connect(dir: &Path) -> std::io::Result<Option<HostLink>> {
        let stream = socket::connect(dir).await?;
        Ok(stream.map(|stream| HostLink { stream, last_id: 0 }))
    }

    /// The process at the other end.
    pub fn host_pid(&self) -> Option<i32> {
        self.stream.peer_cred().ok().and_then(|peer| peer.pid())
    }

    /// Asks and waits for the answer.
    pub async fn ask(&mut self, ask: &Ask) -> Result<Box<RawValue>, AskError> {
        self.last_id += 1;
        let request = Request {
            v: CONTROL_VERSION,
            id: self.last_id,
            ask: ask.clone(),
        };
        let frame = protocol::encode(&request).map_err(|error| {
            AskError::Failed(UserError::usage(
                error.to_string(),
                "ask for less at a time",
            ))
        })?;
        protocol::send(&mut self.stream, &frame)
            .await
            .map_err(lost)?;
        loop {
            let body = protocol::receive(&mut self.stream).await.map_err(lost)?;
            let body = body.ok_or_else(|| lost(WireError::Cut))?;
            let response: Response =
                serde_json::from_slice(&body).map_err(|error| lost(error.into()))?;
            // This may be the answer to an earlier question that is no longer waited for.
            if response.id == self.last_id {
                return settle(response);
            }
        }
    }
}

fn settle(response: Response) -> Result<Box<RawValue>, AskError> {
    match (response.ok, response.error) {
        (_, Some(error)) => Err(AskError::Failed(error)),
        (Some(ok), None) => Ok(ok),
        (None, None) => Err(AskError::Lost("the host's answer is empty".into())),
    }
}

fn lost(error: WireError) -> AskError {
    AskError::Lost(error.to_string())
}
