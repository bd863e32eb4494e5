//! The host's end of the control socket.
//!
//! Promises: connections, and questions within one, do not wait for each other; a client that
//! breaks the framing loses its connection and nothing else; what a client has in flight is
//! bounded; one that neither asks nor waits, or does not take its answers, is cut off; however many
//! clients there are, an operator gets in (`RESERVED`). Does not know who may connect: the file's
//! mode decides that.

use std::sync::Arc;
use std::time::Duration;

use kenvat_engine::Handle;
use tokio::io::BufReader;
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::control::answer::{Answering, begin, begin_here};
use crate::control::lone::{Haste, Lone, PATIENCE};
use crate::control::outbound::Outbound;
use crate::control::protocol::{self, Ask, CONTROL_VERSION, Request, RequestHead, WireError};
use crate::limits::IN_FLIGHT_MAX;
use crate::people::Trouble;
use crate::stop::Stopping;

/// Connections beyond those the host may have, for who looks and puts in order: calls and
/// deployments are refused on them, since whatever fills the others would fill these too.
const RESERVED: usize = 32;

/// How long a client may neither ask nor wait for an answer.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// The same on a reserved connection.
const RESERVED_IDLE_MAX: Duration = Duration::from_secs(5);

/// Serves until `stop` says so, then until every connection has got what the engine still answers.
pub async fn serve(
    listener: UnixListener,
    engine: Handle,
    base: Arc<str>,
    clients_max: usize,
    mut stop: Stopping,
) {
    let room = Arc::new(Semaphore::new(clients_max));
    let reserve = Arc::new(Semaphore::new(RESERVED));
    let mut clients = JoinSet::new();
    let lone = Arc::new(Lone::default());
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
                    lone: lone.clone(),
                    engine: engine.clone(),
                    base: base.clone(),
                };
                clients.spawn(converse(reader, client, stop.clone(), permit));
            }
            // Out of descriptors: they come back as connections end.
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
    /// All others are taken: no calls, no deployments.
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

/// One connection, and what its questions need.
struct Client {
    number: u64,
    outbound: Outbound,
    kind: Kind,
    lone: Arc<Lone>,
    engine: Handle,
    base: Arc<str>,
}

async fn converse(
    reader: OwnedReadHalf,
    client: Client,
    mut stop: Stopping,
    _permit: OwnedSemaphorePermit,
) {
    let mut reader = BufReader::new(reader);
    let room = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    let mut haste = Haste::default();
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
                        // One permit is this question's own; another one held is an answer waited
                        // for.
                        if room.available_permits() + 1 == IN_FLIGHT_MAX {
                            break None;
                        }
                    }
                }
            }
        };
        // The end, or bytes that no client of ours sends: nothing can follow either.
        let Some(Ok(Some(body))) = body else { break };
        haste.asked();
        // Nothing else asked and not answered, here or behind it.
        let is_only = room.available_permits() + 1 == IN_FLIGHT_MAX && reader.buffer().is_empty();
        let Ok(begun) = client.begin(&body, is_only) else {
            break;
        };
        let Some((id, answering)) = begun else {
            let socket: &UnixStream = reader.get_ref().as_ref();
            haste.answered(socket);
            continue;
        };
        let outbound = client.outbound.clone();
        tokio::spawn(async move {
            let answer = answering.await;
            // The client may be gone; what it asked is done all the same.
            outbound.write(id, answer).await;
            drop(permit);
        });
    }
    // Until everything asked is answered.
    let _ = room.acquire_many(IN_FLIGHT_MAX as u32).await;
}

impl Client {
    /// Begins what a message asks for; `None` where that is answered already, an error where no
    /// answer could reach the asker. `is_only` says that the client waits for nothing else.
    fn begin(&self, body: &[u8], is_only: bool) -> Result<Option<(u64, Answering)>, WireError> {
        let (id, answering) = match serde_json::from_slice::<Request>(body) {
            Ok(Request { v, id, ask }) if v == CONTROL_VERSION => (id, self.ask(id, ask, is_only)),
            other => {
                let head: RequestHead = serde_json::from_slice(body)?;
                let trouble = match other.err().filter(|_| head.v == CONTROL_VERSION) {
                    Some(error) => not_understood(&error),
                    None => other_version(head.v),
                };
                (head.id, Some(refuse(trouble)))
            }
        };
        Ok(answering.map(|answering| (id, answering)))
    }

    fn ask(&self, id: u64, ask: Ask, is_only: bool) -> Option<Answering> {
        if self.kind.refuses(&ask) {
            return Some(refuse(too_many()));
        }
        match ask {
            Ask::Call(call) if self.lone.calls(self.number) && is_only => {
                begin_here(&self.engine, call, PATIENCE, |answering| {
                    self.outbound.write_now(id, answering)
                })
            }
            ask => Some(begin(&self.engine, ask, Some(&self.base))),
        }
    }
}

fn not_understood(error: &serde_json::Error) -> Trouble {
    let message = format!("the host does not understand the question: {error}");
    Trouble::usage(message, "use the same build of kenvat for both")
}

fn refuse(trouble: Trouble) -> Answering {
    Box::pin(std::future::ready(Err(trouble)))
}

fn too_many() -> Trouble {
    let what = "overloaded: as many clients are connected as the limit `control-clients` lets; \
                try again";
    Trouble::overloaded(what.to_owned())
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
