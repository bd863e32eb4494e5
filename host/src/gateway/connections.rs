//! The gateway's connections: how many there are and what each may cost.
//!
//! Promises: there are never more connections than the limit; while connections are short, one that
//! has not shown the token gives way to a new one, the oldest first, so that clients without a
//! token cannot shut out those that have one; a client that only closed its sending side gets its
//! answer; a client that sends its headers slowly, or does not read its answer, loses its
//! connection and no other client is affected. Does not know JSON-RPC.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::budget::{ByteBudget, ConnectionBudget};
use crate::gateway::Gateway;
use crate::gateway::shared_stream::SharedStream;
use crate::limits::ACCEPT_PAUSE;
use crate::shutdown::ShutdownSignal;

/// How long a request's headers may take to arrive, and how long a connection may be idle.
const HEADER_WAIT: Duration = Duration::from_secs(30);

/// Header lines of a request.
const HEADERS_MAX: usize = 64;

/// Bytes of a request's headers. Checked between two reads, so up to twice as many may arrive.
pub const HEADER_BYTES_MAX: usize = 16 << 10;

/// Bytes that the HTTP library may buffer of one connection.
pub const BUFFER_BYTES: usize = 2 * HEADER_BYTES_MAX;

/// How long a client may leave sent bytes unacknowledged.
const WRITE_WAIT_MS: u32 = 30_000;

/// A client that closed its sending side and one that is gone look alike until the kernel asks the
/// other side, which it does after so long without traffic.
const PROBE_AFTER: Duration = Duration::from_secs(20);

/// Pause between two such questions.
const PROBE_EVERY: Duration = Duration::from_secs(10);

/// How long clients may take to read their last answers when the host stops.
const DRAIN: Duration = Duration::from_secs(2);

/// What a request's handler may do with the connection that it came by.
#[derive(Clone, Debug)]
pub struct Connection {
    number: u64,
    strangers: Arc<Strangers>,
    pub budget: ConnectionBudget,
}

/// Connections that have not shown the token yet, by age.
#[derive(Debug, Default)]
struct Strangers(Mutex<BTreeMap<u64, Arc<Notify>>>);

impl Gateway {
    /// Serves until `stop` is signalled, then until all answers are sent or `DRAIN` has passed.
    pub async fn serve(
        self,
        router: Router,
        clients_max: usize,
        budget: ByteBudget,
        mut stop: ShutdownSignal,
    ) {
        let slots = Arc::new(Semaphore::new(connections_max(clients_max)));
        let strangers = Arc::new(Strangers::default());
        let mut clients = JoinSet::new();
        for number in 0.. {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = stop.wait() => break,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let permit = tokio::select! {
                permit = strangers.make_room(&slots) => permit,
                () = stop.wait() => break,
            };
            let connection = Connection {
                number,
                strangers: strangers.clone(),
                budget: budget.connection(),
            };
            let evicted = strangers.add(number);
            let router = router.clone();
            clients.spawn(converse(
                stream,
                router,
                connection,
                evicted,
                stop.clone(),
                permit,
            ));
            while clients.try_join_next().is_some() {}
        }
        drop(self.listener);
        while clients.join_next().await.is_some() {}
    }
}

impl Connection {
    /// Notes that the client has shown the token: its connection no longer gives way to others.
    pub fn is_permitted(&self) {
        self.strangers.remove(self.number);
    }
}

impl Strangers {
    fn add(&self, number: u64) -> Arc<Notify> {
        let evicted = Arc::new(Notify::new());
        self.lock().insert(number, evicted.clone());
        evicted
    }

    fn remove(&self, number: u64) {
        self.lock().remove(&number);
    }

    /// A slot for one more connection. If none is free, the oldest stranger gives way; if there is
    /// no stranger either, this waits until a connection ends.
    async fn make_room(&self, slots: &Arc<Semaphore>) -> OwnedSemaphorePermit {
        if let Ok(permit) = slots.clone().try_acquire_owned() {
            return permit;
        }
        if let Some((_, evicted)) = self.lock().pop_first() {
            evicted.notify_one();
        }
        let permit = slots.clone().acquire_owned().await;
        permit.expect("the slots are never closed")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Arc<Notify>>> {
        // Nothing panics while it is locked, and the map would be whole all the same.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn converse(
    stream: TcpStream,
    router: Router,
    connection: Connection,
    evicted: Arc<Notify>,
    mut stop: ShutdownSignal,
    _permit: OwnedSemaphorePermit,
) {
    set_options(&stream);
    let stream = Arc::new(stream);
    // What the HTTP library buffers is within the connection's allowance.
    let _buffers = connection.budget.try_hold(BUFFER_BYTES);
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_WAIT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .half_close(true);
    let (number, strangers) = (connection.number, connection.strangers.clone());
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(connection.clone());
        router.call(request)
    });
    let io = TokioIo::new(SharedStream(stream.clone()));
    let mut serving = std::pin::pin!(builder.serve_connection(io, service));
    // An error of the connection is the client's, and there is nobody left to report it to.
    tokio::select! {
        _ = serving.as_mut() => {}
        () = evicted.notified() => {}
        // A reset: nobody is there to read an answer.
        _ = stream.ready(Interest::ERROR) => {}
        () = stop.wait() => {
            serving.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(DRAIN, serving).await;
        }
    }
    strangers.remove(number);
}

/// A connection works without these options as well, so their errors are ignored.
fn set_options(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = sockopt::set_tcp_user_timeout(stream, WRITE_WAIT_MS);
    let _ = sockopt::set_tcp_keepidle(stream, PROBE_AFTER);
    let _ = sockopt::set_tcp_keepintvl(stream, PROBE_EVERY);
    let _ = sockopt::set_socket_keepalive(stream, true);
}

/// Raises the process's limit of open files as far as allowed; connections get half of it at most.
fn connections_max(most: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    // If this is refused, the old limit remains.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    );
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(files / 2)
        .unwrap_or(usize::MAX)
        .clamp(1, most)
}
