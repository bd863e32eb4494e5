//! The gateway's port: which address it binds, and why it could not.
//!
//! Promises: it binds to loopback unless told otherwise twice; an error names the address and, if
//! it can be found, the process that has it. Does not serve.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use tokio::net::TcpListener;

use crate::gateway::port_holder::port_holder;

/// Where the gateway listens unless told otherwise.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:7411";

/// Why the gateway has no port.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    #[error("\"{listen}\" is no address{}", because(source.as_ref()))]
    NotAnAddress {
        listen: String,
        source: Option<io::Error>,
    },
    #[error("others can reach {address}, and the token would travel in clear")]
    Public { address: SocketAddr },
    #[error("the gateway's address {address} is taken{}", by(holder.as_ref()))]
    Taken {
        address: SocketAddr,
        holder: Option<String>,
        source: io::Error,
    },
    #[error("the gateway cannot listen on {address}: {source}")]
    Refused {
        address: SocketAddr,
        source: io::Error,
    },
}

/// A bound port.
#[derive(Debug)]
pub struct Gateway {
    pub(super) listener: TcpListener,
    address: SocketAddr,
}

impl Gateway {
    /// Binds the port. An address that other machines can reach needs `insecure`, because tokens
    /// travel in clear.
    pub async fn bind(listen: &str, insecure: bool) -> Result<Gateway, BindError> {
        let wanted = resolve(listen)?;
        if !wanted.ip().is_loopback() && !insecure {
            return Err(BindError::Public { address: wanted });
        }
        let refused = |error| refused(wanted, error);
        let listener = TcpListener::bind(wanted).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Gateway { listener, address })
    }

    /// Whether other machines can reach it.
    pub fn is_public(&self) -> bool {
        !self.address.ip().is_loopback()
    }

    /// `http://ADDRESS:PORT`, with the port that was taken.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn resolve(listen: &str) -> Result<SocketAddr, BindError> {
    let no_address = |source| BindError::NotAnAddress {
        listen: listen.to_owned(),
        source,
    };
    let mut found = listen
        .to_socket_addrs()
        .map_err(|error| no_address(Some(error)))?;
    found.next().ok_or_else(|| no_address(None))
}

fn refused(address: SocketAddr, source: io::Error) -> BindError {
    if source.kind() != io::ErrorKind::AddrInUse {
        return BindError::Refused { address, source };
    }
    BindError::Taken {
        address,
        holder: port_holder(address.port()),
        source,
    }
}

fn because(error: Option<&io::Error>) -> String {
    error.map_or_else(String::new, |error| format!(": {error}"))
}

fn by(holder: Option<&String>) -> String {
    holder.map_or_else(String::new, |holder| format!(" by {holder}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(listen: &str, insecure: bool) -> Result<Gateway, BindError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build();
        runtime
            .expect("a runtime")
            .block_on(Gateway::bind(listen, insecure))
    }

    #[test]
    fn other_machines_are_let_in_only_on_demand() {
        let refused = bind("0.0.0.0:0", false).expect_err("refused");
        assert!(matches!(refused, BindError::Public { .. }), "{refused}");
        assert!(bind("0.0.0.0:0", true).expect("binds").is_public());
        assert!(!bind("127.0.0.1:0", false).expect("binds").is_public());
    }

    #[test]
    fn a_port_that_is_taken_is_said_with_its_holder() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = taken.local_addr().expect("has one").to_string();
        let refused = bind(&address, false).expect_err("refused").to_string();
        for part in [address, std::process::id().to_string()] {
            assert!(refused.contains(&part), "{refused}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for listen in ["", "7411", "127.0.0.1", "127.0.0.1:99999"] {
            assert!(bind(listen, false).is_err(), "{listen}");
        }
    }
}
