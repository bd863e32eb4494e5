//! The host's own limits: those of its sockets and of what arrives through them.
//!
//! Promises: each limit is one constant, and `kenvat limits` shows it beside the engine's; those in
//! `SETTABLE` are set like the engine's.

use kenvat_engine::api::Limit;

use crate::control::protocol::MESSAGE_BYTES_MAX;
use crate::gateway::{BATCH_ANSWER_BYTES_MAX, BATCH_MAX, BODY_BYTES_MAX, HEADER_BYTES_MAX};
use crate::user_error::UserError;

/// Clients of the control socket at a time.
const CONTROL_CLIENTS_MAX: usize = 1_024;
/// Clients of the gateway at a time; fewer if the process may not open twice as many files, since
/// the store and the workers need theirs more.
const GATEWAY_CLIENTS_MAX: usize = 1_024;
/// Unanswered questions of one control client; nothing more is read from a client that has as many.
pub const IN_FLIGHT_MAX: usize = 256;

/// The values that either number of clients can have. A host without clients would be useless.
const CLIENTS: std::ops::RangeInclusive<u64> = 1..=100_000;

const CONTROL_CLIENTS: &str = "control-clients";
const GATEWAY_CLIENTS: &str = "gateway-clients";
/// Names of the limits that can be set.
pub const SETTABLE: [&str; 2] = [CONTROL_CLIENTS, GATEWAY_CLIENTS];

/// The limits of one host that can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub control_clients: usize,
    pub gateway_clients: usize,
}

impl Limits {
    /// Takes the host's limits out of the settings; returns the rest, which are the engine's.
    pub fn of(asked: &[(String, u64)]) -> Result<(Limits, Vec<(String, u64)>), UserError> {
        let mut limits = Limits {
            control_clients: CONTROL_CLIENTS_MAX,
            gateway_clients: GATEWAY_CLIENTS_MAX,
        };
        let mut others = Vec::new();
        for (name, value) in asked {
            let place = match name.as_str() {
                CONTROL_CLIENTS => &mut limits.control_clients,
                GATEWAY_CLIENTS => &mut limits.gateway_clients,
                _ => {
                    others.push((name.clone(), *value));
                    continue;
                }
            };
            *place = checked(name, *value)?;
        }
        Ok((limits, others))
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

fn checked(name: &str, value: u64) -> Result<usize, UserError> {
    let size = usize::try_from(value).ok();
    size.filter(|_| CLIENTS.contains(&value)).ok_or_else(|| {
        let (least, most) = (CLIENTS.start(), CLIENTS.end());
        UserError::usage(
            format!("the limit `{name}` can be {least} to {most}, not {value}"),
            "kenvat limits shows every limit",
        )
    })
}
