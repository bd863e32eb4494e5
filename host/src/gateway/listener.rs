//! The gateway's port: which address, and what a connection may cost.
//!
//! Promises: loopback unless told otherwise twice; no more connections than told; a client
//! that sends its headers slowly, or does not read what it asked for, loses its connection and
//! nobody else notices. Does not know JSON-RPC.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::gateway::port_holder::port_holder;
use crate::shutdown::ShutdownSignal;
use crate::user_error::UserError;

/// Where the gateway listens unless told otherwise.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:7411";

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

/// A bound port.
#[derive(Debug)]
pub struct Gateway {
    listener: TcpListener,
    address: SocketAddr,
}

impl Gateway {
    /// Binds the port. An address others can reach wants `insecure`, as tokens travel in clear.
    pub async fn bind(listen: &str, insecure: bool) -> Result<Gateway, UserError> {
        let wanted = resolve(listen)?;
        if !wanted.ip().is_loopback() && !insecure {
            return Err(UserError::usage(
                format!("others can reach {wanted}, and the token would travel in clear"),
                "listen on 127.0.0.1 behind something that speaks TLS, or add --insecure",
            ));
        }
        let listener = TcpListener::bind(wanted)
            .await
            .map_err(|error| refused(wanted, &error))?;
        let address = listener
            .local_addr()
            .map_err(|error| refused(wanted, &error))?;
        Ok(Gateway { listener, address })
    }

    /// Whether others than this machine can reach it.
    pub fn is_public(&self) -> bool {
        !self.address.ip().is_loopback()
    }

    /// `http://ADDRESS:PORT`, with the port really taken.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

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

fn resolve(listen: &str) -> Result<SocketAddr, UserError> {
    let hint = "say ADDRESS:PORT, as in --listen 127.0.0.1:7411; port 0 takes a free one";
    let mut found = listen
        .to_socket_addrs()
        .map_err(|error| UserError::usage(format!("\"{listen}\" is no address: {error}"), hint))?;
    found
        .next()
        .ok_or_else(|| UserError::usage(format!("\"{listen}\" is no address"), hint))
}

fn refused(wanted: SocketAddr, error: &io::Error) -> UserError {
    let hint = "choose another with --listen, as in --listen 127.0.0.1:0 for any free port";
    if error.kind() != io::ErrorKind::AddrInUse {
        return UserError::host(
            format!("the gateway cannot listen on {wanted}: {error}"),
            hint,
        );
    }
    let by = port_holder(wanted.port()).map_or_else(String::new, |holder| format!(" by {holder}"));
    UserError::host(format!("the gateway's address {wanted} is taken{by}"), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(listen: &str, insecure: bool) -> Result<Gateway, UserError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build();
        runtime
            .expect("a runtime")
            .block_on(Gateway::bind(listen, insecure))
    }

    #[test]
    fn other_machines_are_let_in_only_on_demand() {
        let said = bind("0.0.0.0:0", false).expect_err("refused");
        assert!(said.hint.contains("--insecure"), "{said:?}");
        assert!(bind("0.0.0.0:0", true).expect("binds").is_public());
        assert!(!bind("127.0.0.1:0", false).expect("binds").is_public());
    }

    #[test]
    fn a_port_that_is_taken_is_said_with_its_holder() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = taken.local_addr().expect("has one").to_string();
        let said = bind(&address, false).expect_err("refused");
        assert!(
            said.message.contains(&std::process::id().to_string()),
            "{said:?}"
        );
        assert!(said.hint.contains("--listen"), "{said:?}");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for listen in ["", "7411", "127.0.0.1", "127.0.0.1:99999"] {
            assert!(bind(listen, false).is_err(), "{listen}");
        }
    }
}
