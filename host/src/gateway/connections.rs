//! The gateway's connections: how many there are and what each may cost.
//!
//! Promises: there are never more connections than the limit; a client that sends its headers
//! slowly, or does not read its answer, loses its connection and no other client is affected. Does
//! not know JSON-RPC.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::gateway::Gateway;
use crate::shutdown::ShutdownSignal;

/// How long a request's headers may take to arrive, and how long a connection may be idle.
pub const HEADER_WAIT: Duration = Duration::from_secs(30);

/// Header lines of a request.
pub const HEADERS_MAX: usize = 64;

/// Bytes of a request's headers. Checked between two reads, so up to twice as many may arrive.
pub const HEADER_BYTES_MAX: usize = 64 << 10;

/// How long a client may leave sent bytes unacknowledged.
pub const WRITE_WAIT_MS: u32 = 30_000;

/// Pause after a failed accept (out of descriptors), in which connections may end.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long clients may take to read their last answers when the host stops.
const DRAIN: Duration = Duration::from_secs(2);

impl Gateway {
    /// Serves until `stop` is signalled, then until all answers are sent or `DRAIN` has passed.
    pub async fn serve(self, router: Router, clients_max: usize, mut stop: ShutdownSignal) {
        let room = Arc::new(Semaphore::new(connections_max(clients_max)));
        let mut clients = JoinSet::new();
        loop {
            let Ok(permit) = room.clone().acquire_owned().await else {
                break;
            };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = stop.wait() => break,
            };
            match accepted {
                Ok((stream, _)) => {
                    clients.spawn(converse(stream, router.clone(), stop.clone(), permit));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
            while clients.try_join_next().is_some() {}
        }
        drop(self.listener);
        while clients.join_next().await.is_some() {}
    }
}

async fn converse(
    stream: TcpStream,
    router: Router,
    mut stop: ShutdownSignal,
    _permit: OwnedSemaphorePermit,
) {
    // A connection works without these options as well.
    let _ = stream.set_nodelay(true);
    let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, WRITE_WAIT_MS);
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_WAIT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX);
    let service = TowerToHyperService::new(router);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // An error of the connection is the client's, and there is nobody left to report it to.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = stop.wait() => {
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(DRAIN, connection).await;
        }
    }
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
