//! The host's end of the control socket.
//!
//! Promises: connections, and questions within one, do not wait for each other; a client that
//! breaks the framing loses its connection and nothing else happens; what a client has in flight is
//! bounded; a client that neither asks nor waits, stops in the middle of a message, or does not
//! read its answers, is disconnected; an operator can connect however many clients there are
//! (`RESERVED_CLIENTS`). Does not know who may connect:
//! the file's mode decides that.

use std::sync::Arc;
use std::time::Duration;

use kenvat_engine::Handle;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::BufReader;
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::budget::{ByteBudget, ConnectionBudget, Held};
use crate::control::dispatch::{AnswerFuture, begin, begin_inline};
use crate::control::outbound::Outbound;
use crate::control::protocol::{self, Ask, CONTROL_VERSION, Request, RequestHead, WireError};
use crate::control::single_client::{BusyPoll, INLINE_WAIT_MAX, SingleClient};
use crate::limits::{ACCEPT_PAUSE, IN_FLIGHT_MAX, RESERVED_CLIENTS};
use crate::shutdown::ShutdownSignal;
use crate::user_error::UserError;

/// How long a client may be idle, that is neither ask nor wait for an answer.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// The same on a reserved connection.
const RESERVED_IDLE_MAX: Duration = Duration::from_secs(5);

/// How long a message may take to arrive once its length is there.
const MESSAGE_WAIT: Duration = Duration::from_secs(30);

/// Pause between two looks whether a client that asks no more still reads. A Unix socket's other
/// side that is closed altogether shows in no event of its own.
const GONE_CHECK: Duration = Duration::from_secs(1);

/// What all connections need.
#[derive(Clone)]
pub struct Service {
    pub engine: Handle,
    /// The gateway's address.
    pub base: Arc<str>,
    pub budget: ByteBudget,
    pub clients_max: usize,
}

/// Serves until `stop` is signalled, then until every connection has the answers that the engine
/// still gives.
pub async fn serve(listener: UnixListener, service: Service, mut stop: ShutdownSignal) {
    let slots = Arc::new(Semaphore::new(service.clients_max));
    let reserve = Arc::new(Semaphore::new(RESERVED_CLIENTS));
    let mut clients = JoinSet::new();
    let single_client = Arc::new(SingleClient::default());
    for number in 1.. {
        let (permit, kind) = tokio::select! {
            biased;
            Ok(permit) = slots.clone().acquire_owned() => (permit, Kind::Whole),
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
                let budget = service.budget.connection();
                let client = Client {
                    number,
                    outbound: Outbound::new(writer, budget.clone()),
                    budget,
                    kind,
                    single_client: single_client.clone(),
                    service: service.clone(),
                };
                clients.spawn(converse(reader, client, stop.clone(), permit));
            }
            // The process is out of descriptors. Connections that end give theirs back.
            Err(_) => sleep(ACCEPT_PAUSE).await,
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
    budget: ConnectionBudget,
    kind: Kind,
    single_client: Arc<SingleClient>,
    service: Service,
}

async fn converse(
    reader: OwnedReadHalf,
    client: Client,
    mut stop: ShutdownSignal,
    _permit: OwnedSemaphorePermit,
) {
    let mut reader = BufReader::new(reader);
    let in_flight = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    let mut answers = JoinSet::new();
    let mut busy_poll = BusyPoll::default();
    loop {
        let Ok(permit) = in_flight.clone().acquire_owned().await else {
            break;
        };
        let received = tokio::select! {
            received = client.receive(&mut reader, &in_flight) => received,
            () = stop.wait() => break,
        };
        // The end of the stream, or a broken frame, after which no other can be found.
        let Some((body, held)) = received else { break };
        busy_poll.called();
        // The client waits for no other answer and has sent no further question.
        let is_only = is_last(&in_flight) && reader.buffer().is_empty();
        let begun = client.begin(&body, is_only);
        drop((body, held));
        let Ok(begun) = begun else { break };
        let Some((id, answering)) = begun else {
            let socket: &UnixStream = reader.get_ref().as_ref();
            busy_poll.answered(socket);
            continue;
        };
        let outbound = client.outbound.clone();
        answers.spawn(async move {
            let answer = answering.await;
            outbound.write(id, answer).await;
            drop(permit);
        });
        while answers.try_join_next().is_some() {}
    }
    // A client that only closed its sending side still gets its answers. Those of a client that is
    // gone are dropped; what it asked is carried out all the same.
    tokio::select! {
        _ = in_flight.acquire_many(IN_FLIGHT_MAX as u32) => {}
        () = gone(reader.get_ref().as_ref()) => {}
    }
}

/// Whether no question but the next one holds a permit.
fn is_last(in_flight: &Semaphore) -> bool {
    in_flight.available_permits() + 1 == IN_FLIGHT_MAX
}

/// Returns when the client has closed its socket altogether.
async fn gone(socket: &UnixStream) {
    loop {
        let mut polled = [PollFd::new(socket, PollFlags::empty())];
        let hung_up = PollFlags::HUP | PollFlags::ERR;
        let found = poll(&mut polled, Some(&Timespec::default()));
        if found.is_ok() && polled[0].revents().intersects(hung_up) {
            return;
        }
        sleep(GONE_CHECK).await;
    }
}

impl Client {
    /// The next message and the bytes that it holds; `None` if the connection is to end.
    async fn receive(
        &self,
        reader: &mut BufReader<OwnedReadHalf>,
        in_flight: &Semaphore,
    ) -> Option<(Vec<u8>, Held)> {
        let length = {
            let mut receiving = std::pin::pin!(protocol::receive_length(reader));
            loop {
                tokio::select! {
                    length = receiving.as_mut() => break length.ok()??,
                    // A client that waits for an answer is not idle.
                    () = sleep(self.kind.idle_max()) => if is_last(in_flight) {
                        return None;
                    },
                }
            }
        };
        let held = self.budget.hold(length).await;
        let message_wait = MESSAGE_WAIT.min(self.kind.idle_max());
        let body = timeout(message_wait, protocol::receive_body(reader, length)).await;
        Some((body.ok()?.ok()?, held))
    }

    /// Begins what a message asks for. `None` means that it is answered already; an error means
    /// that no answer can be addressed. `is_only`: the client waits for no other answer.
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
                begin_inline(&self.service.engine, call, INLINE_WAIT_MAX, |answering| {
                    self.outbound.write_now(id, answering)
                })
            }
            ask => Some(begin(&self.service.engine, ask, Some(&self.service.base))),
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
