//! The host's end of the control socket.
//!
//! Promises: connections, and questions within one, do not wait for each other; a client that
//! breaks the framing loses its connection and nothing else happens; what a client has in flight is
//! bounded; a client that neither asks nor waits, or does not read its answers, is disconnected; an
//! operator can connect however many clients there are (`RESERVED`). Does not know who may connect:
//! the file's mode decides that.

use std::sync::Arc;
use std::time::Duration;

use kenvat_engine::Engine;
use tokio::io::BufReader;
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::control::dispatch::{AnswerFuture, begin, begin_inline};
use crate::control::outbound::Outbound;
use crate::control::protocol::{self, Ask, CONTROL_VERSION, Request, RequestHead, WireError};
use crate::control::single_client::{BusyPoll, INLINE_WAIT_MAX, SingleClient};
use crate::limits::IN_FLIGHT_MAX;
use crate::shutdown::ShutdownSignal;
use crate::user_error::UserError;

/// Connections beyond the limit, reserved for inspection and repair. They refuse calls and
/// deployments, because whatever uses up the ordinary connections would use up these too.
const RESERVED: usize = 32;

/// How long a client may be idle, that is neither ask nor wait for an answer.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// The same on a reserved connection.
const RESERVED_IDLE_MAX: Duration = Duration::from_secs(5);

/// Serves until `stop` is signalled, then until every connection has the answers that the engine
/// still gives.
pub async fn serve(
    listener: UnixListener,
    engine: Engine,
    base: Arc<str>,
    clients_max: usize,
    mut stop: ShutdownSignal,
) {
    let room = Arc::new(Semaphore::new(clients_max));
    let reserve = Arc::new(Semaphore::new(RESERVED));
    let mut clients = JoinSet::new();
    let single_client = Arc::new(SingleClient::default());
    for number in 1.. {
        let (permit, kind) = tokio::select! {
            biased;
            Ok(permit) = room.clone().acquire_owned() => (permit, Kind::Whole),
            Ok(permit) = reserve.clone().acquire_owned() => (permit, Kind::Reserved),
            () = stop.wait() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.wait() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let (reader, writer) = stream.into_split();
                let client = Client {
                    number,
                    outbound: Outbound::new(writer),
                    kind,
                    single_client: single_client.clone(),
                    engine: engine.clone(),
                    base: base.clone(),
                };
                clients.spawn(converse(reader, client, stop.clone(), permit));
            }
            // The process is out of descriptors. Connections that end give theirs back.
            Err(_) => tokio::time::sleep(crate::gateway::ACCEPT_PAUSE).await,
        }
        while clients.try_join_next().is_some() {}
    }
    drop(listener);
    while clients.join_next().await.is_some() {}
}

/// What a connection may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Whole,
    /// All ordinary connections are in use: no calls, no deployments.
    Reserved,
}

impl Kind {
    fn idle_max(self) -> Duration {
        match self {
            Kind::Whole => IDLE_MAX,
            Kind::Reserved => RESERVED_IDLE_MAX,
        }
    }

    fn refuses(self, ask: &Ask) -> bool {
        let is_work = matches!(ask, Ask::Call(_) | Ask::Deploy { .. });
        self == Kind::Reserved && is_work
    }
}

/// One connection and what its questions need.
struct Client {
    number: u64,
    outbound: Outbound,
    kind: Kind,
    single_client: Arc<SingleClient>,
    engine: Engine,
    base: Arc<str>,
}

async fn converse(
    reader: OwnedReadHalf,
    client: Client,
    mut stop: ShutdownSignal,
    _permit: OwnedSemaphorePermit,
) {
    let mut reader = BufReader::new(reader);
    let room = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    let mut busy_poll = BusyPoll::default();
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else {
            break;
        };
        let body = {
            let mut reading = std::pin::pin!(protocol::receive(&mut reader));
            loop {
                tokio::select! {
                    body = reading.as_mut() => break Some(body),
                    () = stop.wait() => break None,
                    () = sleep(client.kind.idle_max()) => {
                        // One permit belongs to the next question; any other one that is held
                        // belongs to an answer that the client waits for.
                        if room.available_permits() + 1 == IN_FLIGHT_MAX {
                            break None;
                        }
                    }
                }
            }
        };
        // The end of the stream, or a broken frame, after which no other can be found.
        let Some(Ok(Some(body))) = body else { break };
        busy_poll.called();
        // The client waits for no other answer and has sent no further question.
        let is_only = room.available_permits() + 1 == IN_FLIGHT_MAX && reader.buffer().is_empty();
        let Ok(begun) = client.begin(&body, is_only) else {
            break;
        };
        let Some((id, answering)) = begun else {
            let socket: &UnixStream = reader.get_ref().as_ref();
            busy_poll.answered(socket);
            continue;
        };
        let outbound = client.outbound.clone();
        tokio::spawn(async move {
            let answer = answering.await;
            // If the client is gone, its question is carried out all the same.
            outbound.write(id, answer).await;
            drop(permit);
        });
    }
    // Wait until every question is answered.
    let _ = room.acquire_many(IN_FLIGHT_MAX as u32).await;
}

impl Client {
    /// Begins what a message asks for. `None` means that it is answered already; an error means that
    /// no answer can be addressed. `is_only`: the client waits for no other answer.
    fn begin(&self, body: &[u8], is_only: bool) -> Result<Option<(u64, AnswerFuture)>, WireError> {
        let (id, answering) = match serde_json::from_slice::<Request>(body) {
            Ok(Request { v, id, ask }) if v == CONTROL_VERSION => (id, self.ask(id, ask, is_only)),
            other => {
                let head: RequestHead = serde_json::from_slice(body)?;
                let error = match other.err().filter(|_| head.v == CONTROL_VERSION) {
                    Some(error) => not_understood(&error),
                    None => other_version(head.v),
                };
                (head.id, Some(refuse(error)))
            }
        };
        Ok(answering.map(|answering| (id, answering)))
    }

    fn ask(&self, id: u64, ask: Ask, is_only: bool) -> Option<AnswerFuture> {
        if self.kind.refuses(&ask) {
            return Some(refuse(too_many()));
        }
        match ask {
            Ask::Call(call) if self.single_client.count_call(self.number) && is_only => {
                begin_inline(&self.engine, call, INLINE_WAIT_MAX, |answering| {
                    self.outbound.write_now(id, answering)
                })
            }
            ask => Some(begin(&self.engine, ask, Some(&self.base))),
        }
    }
}

fn not_understood(error: &serde_json::Error) -> UserError {
    let message = format!("the host does not understand the question: {error}");
    UserError::usage(message, "use the same build of kenvat for both")
}

fn refuse(error: UserError) -> AnswerFuture {
    Box::pin(std::future::ready(Err(error)))
}

fn too_many() -> UserError {
    let what = "overloaded: as many clients are connected as the limit `control-clients` lets; \
                try again";
    UserError::overloaded(what.to_owned())
}

fn other_version(found: u32) -> UserError {
    let age = if found > CONTROL_VERSION {
        "older"
    } else {
        "newer"
    };
    UserError::host(
        format!(
            "the running host is {age} than this command: it speaks version {CONTROL_VERSION} of \
             the control protocol, not {found}"
        ),
        "use the kenvat the host was started with, or restart the host",
    )
}
