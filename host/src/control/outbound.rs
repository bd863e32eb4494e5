//! The writing half of a client's connection, which all answers to this client share.
//!
//! Promises: each answer is written whole, whichever thread writes it; an answer that is ready is
//! written by the thread that has it, without waking another one; a client that does not read its
//! answers is disconnected. Does not know what was asked.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::timeout;

use crate::budget::{ConnectionBudget, Held};
use crate::control::dispatch::AnswerFuture;
use crate::control::protocol::{self, MESSAGE_BYTES_MAX, Response};
use crate::user_error::UserError;

/// What a question comes to.
type Outcome = Result<Box<RawValue>, UserError>;

/// How long a client may take to read one answer.
const SEND_MAX: Duration = Duration::from_secs(60);

/// The writing half of a client's connection. Clones write to the same one.
#[derive(Clone, Debug)]
pub struct Outbound {
    half: Arc<Mutex<OwnedWriteHalf>>,
    budget: ConnectionBudget,
}

impl Outbound {
    pub fn new(half: OwnedWriteHalf, budget: ConnectionBudget) -> Outbound {
        let half = Arc::new(Mutex::new(half));
        Outbound { half, budget }
    }

    /// Writes an answer, after those that are being written.
    pub async fn write(&self, id: u64, answer: Outcome) {
        let (answer, _held) = self.hold(answer);
        let half = self.half.clone().lock_owned().await;
        if let Some(frame) = frame(id, answer) {
            finish(half, &frame).await;
        }
    }

    /// Writes an answer that is ready, as far as the socket takes it at once, and leaves the rest
    /// to a task; returns an answer that is not ready, or that must wait for others to be written.
    pub fn write_now(&self, id: u64, mut answering: AnswerFuture) -> Option<AnswerFuture> {
        let mut nobody = Context::from_waker(Waker::noop());
        let Poll::Ready(answer) = answering.as_mut().poll(&mut nobody) else {
            return Some(answering);
        };
        let Ok(half) = self.half.clone().try_lock_owned() else {
            return Some(Box::pin(std::future::ready(answer)));
        };
        let (answer, held) = self.hold(answer);
        let frame = frame(id, answer)?;
        // An error of this write comes back when the rest is written.
        let written = half.try_write(&frame).unwrap_or(0);
        if written < frame.len() {
            tokio::spawn(async move {
                finish(half, &frame[written..]).await;
                drop(held);
            });
        }
        None
    }

    /// Holds the bytes of an answer until it is written. An answer for which the budget has no
    /// bytes is replaced by an error, since waiting with it would hold them all the same.
    fn hold(&self, answer: Outcome) -> (Outcome, Option<Held>) {
        let Ok(text) = &answer else {
            return (answer, None);
        };
        match self.budget.try_hold(text.get().len()) {
            Some(held) => (answer, Some(held)),
            None => (Err(not_held()), None),
        }
    }
}

fn not_held() -> UserError {
    let what = "overloaded: the host's connections hold as many bytes as the limit \
                `connection-bytes` lets, so this answer was dropped";
    UserError::overloaded(what)
        .with_hint("what was asked was done; for a call, ask again with the same id")
}

async fn finish(mut half: OwnedMutexGuard<OwnedWriteHalf>, bytes: &[u8]) {
    let written = timeout(SEND_MAX, protocol::send(&mut *half, bytes)).await;
    if !matches!(written, Ok(Ok(()))) {
        // The client is gone or does not read: no later answer is begun.
        let _ = half.shutdown().await;
    }
}

fn frame(id: u64, answer: Outcome) -> Option<Vec<u8>> {
    let (ok, error) = match answer {
        Ok(ok) => (Some(ok), None),
        Err(error) => (None, Some(error)),
    };
    let frame = protocol::encode(&Response { id, ok, error }).or_else(|error| {
        let message = format!("the answer does not fit {MESSAGE_BYTES_MAX} bytes: {error}");
        let error = Some(UserError::host(message, "ask for less at a time"));
        let ok = None;
        protocol::encode(&Response { id, ok, error })
    });
    frame.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::ByteBudget;
    use tokio::io::AsyncReadExt;
    use tokio::net::UnixStream;

    fn text(bytes: usize) -> AnswerFuture {
        let json = format!("\"{}\"", "x".repeat(bytes));
        Box::pin(std::future::ready(Ok(
            RawValue::from_string(json).expect("JSON")
        )))
    }

    #[test]
    fn answers_written_at_once_and_later_arrive_whole_whatever_the_socket_takes() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let (ours, mut theirs) = UnixStream::pair().expect("a pair");
            let budget = ByteBudget::new(256 << 20, 1).connection();
            let outbound = Outbound::new(ours.into_split().1, budget);
            let never: AnswerFuture = Box::pin(std::future::pending());
            assert!(outbound.write_now(0, never).is_some());
            let mut later = Vec::new();
            for id in 1..=20 {
                let answering = text(id as usize * 100_000);
                if let Some(answering) = outbound.write_now(id, answering) {
                    let outbound = outbound.clone();
                    later.push(tokio::spawn(async move {
                        outbound.write(id, answering.await).await;
                    }));
                }
            }
            assert!(!later.is_empty(), "the socket took two megabytes at once");
            let mut seen = Vec::new();
            for _ in 1..=20 {
                let body = protocol::receive(&mut theirs).await.expect("whole");
                let response: Response =
                    serde_json::from_slice(&body.expect("one more")).expect("an answer");
                let length = response.ok.expect("a value").get().len();
                assert_eq!(length, response.id as usize * 100_000 + 2);
                seen.push(response.id);
            }
            seen.sort_unstable();
            assert_eq!(seen, (1..=20).collect::<Vec<_>>());
            drop(outbound);
            for task in later {
                task.await.expect("wrote");
            }
            let end = theirs.read(&mut [0; 8]).await;
            assert_eq!(end.expect("the end"), 0);
        });
    }
}
