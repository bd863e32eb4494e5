//! The shapes of answers, which are also what `--json` prints.
//!
//! Promises: field names are the contract of `docs/interfaces.md` section 2; fields may be added
//! but not renamed. Does not know where the numbers come from.

use kenvat_engine::api::{DamageReport, Deployed, Limit, LogChunk, StoreReport, VatInfo};
use serde::{Deserialize, Serialize};

/// A vat as `ls` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VatLine {
    pub name: String,
    pub id: u64,
    pub state: String,
    pub turns: u64,
    pub heap_bytes: u64,
    /// Messages to other vats that are not acked yet; always 0 until vats can reach each other.
    pub outbox: u64,
    pub open_requests: u64,
    /// The disk is full: calls that need space on it are refused.
    #[serde(default)]
    pub no_room: bool,
    pub engine: String,
    pub source_sha256: String,
}

/// A vat as `show` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VatSheet {
    #[serde(flatten)]
    pub line: VatLine,
    /// Absent if the heap could not be read; `last_error` then says why.
    pub heap_sha256: Option<String>,
    pub genesis_sha256: String,
    /// Vats that share references with this one.
    pub peers: Vec<String>,
    pub limits: VatLimits,
    pub worker_pid: Option<u32>,
    pub last_error: Option<String>,
}

/// What this vat may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VatLimits {
    pub heap_bytes: u64,
    pub gas: u64,
    pub turn_ms: u64,
}

/// A vat that now exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployedSheet {
    pub name: String,
    pub id: u64,
    /// Where the gateway serves it, without the token; absent if no host runs.
    pub url: Option<String>,
}

/// Part of a vat's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPiece {
    pub text: String,
    pub next: u64,
    pub oldest: u64,
}

/// What `verify` found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifySheet {
    pub read_bytes: u64,
    pub damages: Vec<Damage>,
}

/// A part of a file that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    pub file: String,
    pub offset: u64,
    pub vat: Option<String>,
    pub what: String,
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitLine {
    pub name: String,
    pub value: u64,
    pub unit: String,
    pub set_by: String,
    pub meaning: String,
}

impl VatSheet {
    /// The sheet of a vat without its heap's hash, which is another question to the engine.
    pub fn without_hash(info: VatInfo) -> VatSheet {
        VatSheet {
            heap_sha256: None,
            genesis_sha256: info.genesis_sha256.clone(),
            peers: Vec::new(),
            limits: VatLimits {
                heap_bytes: info.heap_limit,
                gas: info.gas_limit,
                turn_ms: info.turn_ms_limit,
            },
            worker_pid: info.worker_pid,
            last_error: info.last_error.clone(),
            line: info.into(),
        }
    }
}

impl From<VatInfo> for VatLine {
    fn from(info: VatInfo) -> VatLine {
        VatLine {
            name: info.name,
            id: info.id,
            state: info.state.to_string(),
            turns: info.turns,
            heap_bytes: info.heap_bytes,
            outbox: 0,
            open_requests: info.open_requests,
            no_room: info.no_space,
            engine: info.engine,
            source_sha256: info.source_sha256,
        }
    }
}

impl DeployedSheet {
    /// `base` is the gateway's address, where one serves.
    pub fn new(deployed: Deployed, base: Option<&str>) -> DeployedSheet {
        let url = base.map(|base| format!("{base}/vat/{}", deployed.name));
        DeployedSheet {
            name: deployed.name,
            id: deployed.id,
            url,
        }
    }
}

impl From<LogChunk> for LogPiece {
    fn from(chunk: LogChunk) -> LogPiece {
        LogPiece {
            text: chunk.text,
            next: chunk.next,
            oldest: chunk.oldest,
        }
    }
}

impl From<StoreReport> for VerifySheet {
    fn from(report: StoreReport) -> VerifySheet {
        let damages = report.damages.into_iter().map(Damage::from).collect();
        VerifySheet {
            read_bytes: report.read_bytes,
            damages,
        }
    }
}

impl From<DamageReport> for Damage {
    fn from(damage: DamageReport) -> Damage {
        Damage {
            file: damage.file,
            offset: damage.offset,
            vat: damage.vat,
            what: damage.what,
        }
    }
}

impl From<Limit> for LimitLine {
    fn from(limit: Limit) -> LimitLine {
        LimitLine {
            name: limit.name.to_owned(),
            value: limit.value,
            unit: limit.unit.to_owned(),
            set_by: limit.set_by,
            meaning: limit.meaning.to_owned(),
        }
    }
}
