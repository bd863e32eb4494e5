//! The engine's rows in the store's catalog: which tables there are, their keys and their values.
//!
//! Promises: keys sort as the numbers they hold; values are bincode 2 and decode with a size limit
//! and without bytes left over; every row is absolute, so writing it twice changes nothing (C2).
//! Does not know when a row is written.

use bincode::{Decode, Encode};
use kenvat_store::{Row, VatId};

#[cfg(doc)]
use crate::api::VatLimits;
use crate::api::{CallError, KilledBy, RequestKey};
use kenvat_wire::protocol::{Outcome, Thrown};

/// Vats: key `vat`, value [`VatRow`]. Written at deployment.
pub const VATS: u8 = 0;
/// Turn counters: key `vat`, value [`CountersRow`]. Written with every frame that has turns of it.
pub const COUNTERS: u8 = 1;
/// Sources as deployed: key `vat`, value [`SourcesRow`].
pub const SOURCES: u8 = 2;
/// Requests consumed and not yet answered: key `vat request`, value [`OpenRow`].
pub const OPEN: u8 = 3;
/// Keyed requests: key `len(client) client id`, value [`AnswerRow`].
pub const ANSWERS: u8 = 4;
/// The order in which a client's answers were made: key `len(client) client seq`, value
/// [`OrderRow`].
pub const ANSWER_ORDER: u8 = 5;
/// What is kept for a client: key `client`, value [`ClientRow`].
pub const CLIENTS: u8 = 6;

/// Deaths of a worker over the message at the head: key `vat`, value [`PoisonRow`] (T3).
pub const POISON: u8 = 7;

/// A vat's own limits: key `vat`, value [`VatLimits`]. Absent where it has none.
pub const LIMITS: u8 = 8;
/// Timers set and not yet due: key `vat timer`, value [`TimerRow`].
pub const TIMERS: u8 = 9;

/// Bytes of one coded row value that are believed: sources are the largest (16 MiB of text).
const ROW_BYTES_MAX: usize = 40 << 20;

/// A vat, as it was deployed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct VatRow {
    pub name: String,
    pub engine: [u8; 32],
    pub page_limit: u32,
    pub source_sha256: String,
    pub created_ms: i64,
}

/// How far a vat has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct CountersRow {
    pub turns: u64,
    pub used_pages: u32,
}

/// The files a vat was made from.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SourcesRow {
    pub entry: String,
    pub files: Vec<(String, String)>,
    pub give: Vec<(String, String)>,
    pub deny: Vec<String>,
}

/// A message that killed its worker, before it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PoisonRow {
    pub turn: u64,
    /// Hash of the message: after a crash of the host another one may get that turn.
    pub content: [u8; 32],
    pub deaths: u32,
}

/// A timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TimerRow {
    /// Milliseconds since 1970.
    pub due_ms: i64,
}

/// A request whose turn is over and whose promise is pending.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct OpenRow {
    /// Client and id, where the request had a key.
    pub key: Option<(String, String)>,
    pub content: [u8; 32],
}

/// What became of a keyed request.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum AnswerRow {
    Open {
        vat: u64,
        request: u64,
        content: [u8; 32],
    },
    Settled {
        content: [u8; 32],
        settled: Settled,
    },
    /// Answered, and the answer dropped to stay within what is kept for a client.
    Gone,
}

/// The final outcome of a request, as kept and as told.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Settled {
    Value(String),
    Thrown(Thrown),
    Killed { by: KilledBy, why: String },
    Unavailable { name: String, why: String },
}

/// One answer in the order of a client's answers.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct OrderRow {
    pub id: String,
    pub bytes: u64,
}

/// The window of a client's answers: seqs `first..kept` are told "no longer kept", `kept..next` are
/// kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ClientRow {
    pub first: u64,
    pub kept: u64,
    pub next: u64,
    /// Bytes of the answers kept.
    pub bytes: u64,
}

impl Settled {
    pub fn from_outcome(outcome: Outcome) -> Settled {
        match outcome {
            Outcome::Value(json) => Settled::Value(json),
            Outcome::Thrown(thrown) => Settled::Thrown(thrown),
        }
    }

    pub fn into_result(self) -> Result<String, CallError> {
        match self {
            Settled::Value(json) => Ok(json),
            Settled::Thrown(Thrown {
                name,
                message,
                stack,
                nearest,
            }) => Err(CallError::Thrown {
                name,
                message,
                stack,
                nearest,
            }),
            Settled::Killed { by, why } => Err(CallError::TurnKilled { by, why }),
            Settled::Unavailable { name, why } => Err(CallError::Unavailable { name, why }),
        }
    }

    /// What keeping it costs, in bytes.
    pub fn weight(&self) -> u64 {
        let bytes = match self {
            Settled::Value(json) => json.len(),
            Settled::Thrown(t) => {
                t.name.len()
                    + t.message.len()
                    + t.stack.len()
                    + t.nearest.iter().map(String::len).sum::<usize>()
            }
            Settled::Killed { why, .. } => why.len(),
            Settled::Unavailable { name, why } => name.len() + why.len(),
        };
        bytes as u64
    }
}

/// A row's bytes are not what this engine wrote.
#[derive(Debug, thiserror::Error)]
#[error("a row of catalog table {table} cannot be read: {why}")]
pub struct RowError {
    pub table: u8,
    pub why: String,
}

pub fn put<T: Encode>(table: u8, key: Vec<u8>, value: &T) -> Row {
    let value = bincode::encode_to_vec(value, bincode::config::standard())
        .expect("encoding into memory cannot fail");
    Row {
        table,
        key,
        value: Some(value),
    }
}

pub fn delete(table: u8, key: Vec<u8>) -> Row {
    Row {
        table,
        key,
        value: None,
    }
}

pub fn read<T: Decode<()>>(table: u8, bytes: &[u8]) -> Result<T, RowError> {
    let config = bincode::config::standard().with_limit::<ROW_BYTES_MAX>();
    let (value, used) = bincode::decode_from_slice(bytes, config).map_err(|error| RowError {
        table,
        why: error.to_string(),
    })?;
    if used != bytes.len() {
        return Err(RowError {
            table,
            why: format!("{} bytes too many", bytes.len() - used),
        });
    }
    Ok(value)
}

pub fn vat_key(vat: VatId) -> Vec<u8> {
    vat.0.to_be_bytes().to_vec()
}

pub fn open_key(vat: VatId, request: u64) -> Vec<u8> {
    let mut key = vat_key(vat);
    key.extend_from_slice(&request.to_be_bytes());
    key
}

pub fn timer_key(vat: VatId, timer: u64) -> Vec<u8> {
    open_key(vat, timer)
}

/// The vat and number of a timer row's key.
pub fn parse_timer_key(key: &[u8]) -> Option<(VatId, u64)> {
    parse_open_key(key)
}

/// The vat and request of an open row's key.
pub fn parse_open_key(key: &[u8]) -> Option<(VatId, u64)> {
    let (vat, request) = key.split_first_chunk::<8>()?;
    let request: [u8; 8] = request.try_into().ok()?;
    Some((VatId(u64::from_be_bytes(*vat)), u64::from_be_bytes(request)))
}

pub fn parse_vat_key(key: &[u8]) -> Option<VatId> {
    Some(VatId(u64::from_be_bytes(key.try_into().ok()?)))
}

pub fn answer_key(key: &RequestKey) -> Vec<u8> {
    let mut bytes = client_prefix(&key.client);
    bytes.extend_from_slice(key.id.as_bytes());
    bytes
}

pub fn order_key(client: &str, seq: u64) -> Vec<u8> {
    let mut bytes = client_prefix(client);
    bytes.extend_from_slice(&seq.to_be_bytes());
    bytes
}

/// The length first, so that no client's keys can begin with another client's name.
fn client_prefix(client: &str) -> Vec<u8> {
    let length = u16::try_from(client.len()).expect("client names are bounded at the door");
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(client.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_clients_keys_fall_among_anothers() {
        let a = RequestKey {
            client: "a".into(),
            id: "bc".into(),
        };
        let ab = RequestKey {
            client: "ab".into(),
            id: "c".into(),
        };
        assert_ne!(answer_key(&a), answer_key(&ab));
    }

    #[test]
    fn a_row_with_bytes_left_over_is_refused() {
        let Row { value, .. } = put(
            COUNTERS,
            vec![],
            &CountersRow {
                turns: 3,
                used_pages: 9,
            },
        );
        let mut bytes = value.unwrap();
        assert_eq!(read::<CountersRow>(COUNTERS, &bytes).unwrap().turns, 3);
        bytes.push(0);
        assert!(read::<CountersRow>(COUNTERS, &bytes).is_err());
    }

    #[test]
    fn an_open_rows_key_comes_back() {
        let key = open_key(VatId(7), 1 << 40);
        assert_eq!(parse_open_key(&key), Some((VatId(7), 1 << 40)));
        assert_eq!(parse_open_key(&key[1..]), None);
    }
}
