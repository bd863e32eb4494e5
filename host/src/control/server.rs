//! The host's end of the control socket.
//!
//! Promises: connections, and questions within one, do not wait for each other; a client that
//! breaks the framing loses its connection and nothing else; what a client has in flight is
//! bounded. Does not know who may connect: the file's mode decides that.

use std::sync::Arc;

use kenvat_engine::shell::Engine;
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::control::answer::{Answering, begin};
use crate::control::protocol::{
    self, CONTROL_VERSION, MESSAGE_BYTES_MAX, Request, RequestHead, Response, WireError,
};
use crate::people::Trouble;
use crate::stop::Stopping;

/// Clients at a time; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 1024;

/// Questions of one connection without an answer; past it nothing more is read from it.
const IN_FLIGHT_MAX: usize = 256;

/// Answers ready for one connection and not yet written.
const READY_MAX: usize = 16;

/// Serves until `stop` says so, then until every connection has got what the engine still answers.
pub async fn serve(listener: UnixListener, engine: Engine, base: Arc<str>, mut stop: Stopping) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut clients = JoinSet::new();
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else {
            break;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.wait() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let (engine, base) = (engine.clone(), base.clone());
                clients.spawn(converse(stream, engine, base, stop.clone(), permit));
            }
            // Out of descriptors: they come back as connections end.
            Err(_) => tokio::time::sleep(crate::gateway::ACCEPT_PAUSE).await,
        }
        while clients.try_join_next().is_some() {}
    }
    drop(listener);
    while clients.join_next().await.is_some() {}
}

async fn converse(
    stream: UnixStream,
    engine: Engine,
    base: Arc<str>,
    mut stop: Stopping,
    _permit: OwnedSemaphorePermit,
) {
    let (mut reader, writer) = stream.into_split();
    let (ready, answers) = mpsc::channel(READY_MAX);
    let room = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    let writing = tokio::spawn(write_answers(writer, answers));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else {
            break;
        };
        let body = tokio::select! {
            body = protocol::receive(&mut reader) => body,
            () = stop.wait() => break,
        };
        // The end, or bytes that no client of ours sends: nothing can follow either.
        let Ok(Some(body)) = body else { break };
        let Ok((id, answering)) = understand(&body, &engine, &base) else {
            break;
        };
        let ready = ready.clone();
        tokio::spawn(async move {
            let response = match answering.await {
                Ok(ok) => Response {
                    id,
                    ok: Some(ok),
                    error: None,
                },
                Err(error) => Response {
                    id,
                    ok: None,
                    error: Some(error),
                },
            };
            // The client may be gone; what it asked is done all the same.
            let _ = ready.send(response).await;
            drop(permit);
        });
    }
    drop(ready);
    let _ = writing.await;
}

/// Begins what a message asks for; an error where no answer could reach the asker.
fn understand(body: &[u8], engine: &Engine, base: &str) -> Result<(u64, Answering), WireError> {
    let head: RequestHead = serde_json::from_slice(body)?;
    if head.v != CONTROL_VERSION {
        return Ok((head.id, refuse(other_version(head.v))));
    }
    Ok(match serde_json::from_slice::<Request>(body) {
        Ok(Request { id, ask, .. }) => (id, begin(engine, ask, Some(base))),
        Err(error) => {
            let message = format!("the host does not understand the question: {error}");
            (
                head.id,
                refuse(Trouble::usage(
                    message,
                    "use the same build of kenvat for both",
                )),
            )
        }
    })
}

fn refuse(trouble: Trouble) -> Answering {
    Box::pin(std::future::ready(Err(trouble)))
}

fn other_version(found: u32) -> Trouble {
    let age = if found > CONTROL_VERSION {
        "older"
    } else {
        "newer"
    };
    Trouble::host(
        format!(
            "the running host is {age} than this command: it speaks version {CONTROL_VERSION} of \
             the control protocol, not {found}"
        ),
        "use the kenvat the host was started with, or restart the host",
    )
}

async fn write_answers(mut writer: OwnedWriteHalf, mut answers: mpsc::Receiver<Response>) {
    while let Some(response) = answers.recv().await {
        let id = response.id;
        let frame = protocol::encode(&response).or_else(|error| {
            let message = format!("the answer does not fit {MESSAGE_BYTES_MAX} bytes: {error}");
            let error = Some(Trouble::host(message, "ask for less at a time"));
            protocol::encode(&Response {
                id,
                ok: None,
                error,
            })
        });
        let Ok(frame) = frame else { return };
        if protocol::send(&mut writer, &frame).await.is_err() {
            return;
        }
    }
}
