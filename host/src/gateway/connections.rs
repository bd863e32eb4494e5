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

/// How long a request's headers may take, and how long a connection may idle.
pub const HEADER_WAIT: Duration = Duration::from_secs(30);

/// Header lines of a request.
pub const HEADERS_MAX: usize = 64;

/// Bytes of a request's headers. Checked between two reads, so up to twice as much may come in.
pub const HEADER_BYTES_MAX: usize = 64 << 10;

/// How long a client may leave sent bytes unacknowledged.
pub const WRITE_WAIT_MS: u32 = 30_000;

/// After a failed accept (out of descriptors): until connections have ended.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long connections get to take their last answers when the host stops.
const DRAIN: Duration = Duration::from_secs(2);

impl Gateway {
    /// Serves until `stop` says so, then until the answers under way are out or `DRAIN` is over.
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
    // Both only tune: a connection without them still works.
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
    // A connection's error is its client's: there is nobody left to tell.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = stop.wait() => {
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(DRAIN, connection).await;
        }
    }
}

/// Raises the process's limit of open files as far as it may, and shares it with connections.
fn connections_max(most: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    // Refused: then the old limit holds.
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
