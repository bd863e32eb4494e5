//! The host's own limits: those of its sockets and of what arrives through them.
//!
//! Promises: each limit is one constant, and `kenvat limits` shows it beside the engine's; those in
//! `SETTABLE` are set like the engine's.

use std::ops::RangeInclusive;
use std::time::Duration;

use kenvat_engine::api::Limit;

use crate::budget::ByteBudget;
use crate::control::protocol::MESSAGE_BYTES_MAX;
use crate::gateway::{
    BATCH_ANSWER_BYTES_MAX, BATCH_MAX, BODY_BYTES_MAX, BUFFER_BYTES, HEADER_BYTES_MAX,
};
use crate::user_error::UserError;

/// Clients of the control socket at a time.
const CONTROL_CLIENTS_MAX: usize = 1_024;
/// Clients of the gateway at a time; fewer if the process may not open twice as many files, since
/// the store and the workers need theirs more.
const GATEWAY_CLIENTS_MAX: usize = 1_024;
/// Bytes that all connections of both hold together: requests being read, answers being written.
const CONNECTION_BYTES_MAX: usize = 256 << 20;
/// Control connections beyond the limit, reserved for inspection and repair. They refuse calls and
/// deployments, because whatever uses up the ordinary connections would use up these too.
pub const RESERVED_CLIENTS: usize = 32;
/// Unanswered questions of one control client; nothing more is read from a client that has as many.
pub const IN_FLIGHT_MAX: usize = 256;

/// The values that either number of clients can have. A host without clients would be useless.
const CLIENTS: RangeInclusive<u64> = 1..=100_000;

/// The values of `CONNECTION_BYTES_MAX`. Half of the least still takes the longest message.
const CONNECTION_BYTES: RangeInclusive<u64> = 64 << 20..=1 << 40;

/// Pause after a failed accept (out of descriptors), in which connections may end.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const CONTROL_CLIENTS: &str = "control-clients";
const GATEWAY_CLIENTS: &str = "gateway-clients";
const CONNECTION_BYTES_NAME: &str = "connection-bytes";
/// Names of the limits that can be set.
pub const SETTABLE: [&str; 3] = [CONTROL_CLIENTS, GATEWAY_CLIENTS, CONNECTION_BYTES_NAME];

/// The limits of one host that can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub control_clients: usize,
    pub gateway_clients: usize,
    pub connection_bytes: usize,
}

impl Limits {
    /// Takes the host's limits out of the settings; returns the rest, which are the engine's.
    pub fn of(asked: &[(String, u64)]) -> Result<(Limits, Vec<(String, u64)>), UserError> {
        let mut limits = Limits {
            control_clients: CONTROL_CLIENTS_MAX,
            gateway_clients: GATEWAY_CLIENTS_MAX,
            connection_bytes: CONNECTION_BYTES_MAX,
        };
        let mut others = Vec::new();
        for (name, value) in asked {
            let (limit, range) = match name.as_str() {
                CONTROL_CLIENTS => (&mut limits.control_clients, CLIENTS),
                GATEWAY_CLIENTS => (&mut limits.gateway_clients, CLIENTS),
                CONNECTION_BYTES_NAME => (&mut limits.connection_bytes, CONNECTION_BYTES),
                _ => {
                    others.push((name.clone(), *value));
                    continue;
                }
            };
            *limit = checked(name, *value, &range)?;
        }
        Ok((limits, others))
    }

    /// The budget of all connections.
    pub fn budget(&self) -> ByteBudget {
        ByteBudget::new(
            self.connection_bytes,
            self.control_clients + RESERVED_CLIENTS + self.gateway_clients,
        )
    }

    /// How many connections the gateway may have: no more than half of the budget has buffers for.
    pub fn gateway_connections(&self) -> usize {
        let fitting = self.connection_bytes / 2 / BUFFER_BYTES;
        self.gateway_clients.min(fitting)
    }

    /// The rows of the table of limits; `asked` are the settings that were given.
    pub fn table(&self, asked: &[(String, u64)]) -> Vec<Limit> {
        let rows = [
            (
                CONTROL_CLIENTS,
                self.control_clients,
                "clients",
                "of the control socket at once",
            ),
            (
                GATEWAY_CLIENTS,
                self.gateway_clients,
                "clients",
                "of the gateway at once",
            ),
            (
                CONNECTION_BYTES_NAME,
                self.connection_bytes,
                "bytes",
                "all connections hold together",
            ),
            (
                "in-flight",
                IN_FLIGHT_MAX,
                "requests",
                "of one control client, unanswered",
            ),
            (
                "control-message",
                MESSAGE_BYTES_MAX,
                "bytes",
                "a message of the control socket",
            ),
            (
                "headers",
                HEADER_BYTES_MAX,
                "bytes",
                "an HTTP request's headers",
            ),
            ("body", BODY_BYTES_MAX, "bytes", "an HTTP request's body"),
            ("batch", BATCH_MAX, "requests", "in one JSON-RPC batch"),
            (
                "batch-answer",
                BATCH_ANSWER_BYTES_MAX,
                "bytes",
                "answers of one JSON-RPC batch",
            ),
        ];
        let row = |(name, value, unit, meaning)| Limit {
            name,
            value: value as u64,
            unit,
            set_by: match asked.iter().any(|(set, _)| set == name) {
                true => "host".to_owned(),
                false => "default".to_owned(),
            },
            meaning,
        };
        rows.map(row).into()
    }
}

fn checked(name: &str, value: u64, range: &RangeInclusive<u64>) -> Result<usize, UserError> {
    let size = usize::try_from(value).ok();
    size.filter(|_| range.contains(&value)).ok_or_else(|| {
        let (least, most) = (range.start(), range.end());
        UserError::usage(
            format!("the limit `{name}` can be {least} to {most}, not {value}"),
            "kenvat limits shows every limit",
        )
    })
}
