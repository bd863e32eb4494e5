//! What a host program may ask of the engine, and the answers: plain data, no I/O.
//!
//! Promises: everything that comes back through here has passed the output gate (T4): it is
//! committed, or it is an error that ran no turn. Does not know sockets, HTTP or the command line.

use std::fmt;

use kenvat_wire::protocol::DEFAULT_POWERS;

/// A call of a method of a vat's root object.
#[derive(Clone, Debug)]
pub struct Call {
    /// The vat's name.
    pub vat: String,
    pub method: String,
    /// One JSON array, in the mapping of `docs/interfaces.md` section 3. Checked to be JSON by the
    /// engine.
    pub args: String,
    /// Makes the call once-only: asked again with the same key and content, the first answer comes
    /// back and nothing runs. `None`: run at most once, as far as the caller is concerned.
    pub key: Option<RequestKey>,
}

impl Call {
    /// A call that is run at most once, as far as the caller is concerned.
    pub fn new(vat: impl Into<String>, method: impl Into<String>, args: impl Into<String>) -> Call {
        Call {
            vat: vat.into(),
            method: method.into(),
            args: args.into(),
            key: None,
        }
    }
}

/// Names one request of one client, for as long as answers are kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestKey {
    /// Who asks; at most `CLIENT_BYTES_MAX` bytes. The command line uses `cli`.
    pub client: String,
    /// The client's name for the request; at most `REQUEST_ID_BYTES_MAX` bytes.
    pub id: String,
}

/// Bytes of a client's name.
pub const CLIENT_BYTES_MAX: usize = 128;
/// Bytes of a client's request id (an `Idempotency-Key`).
pub const REQUEST_ID_BYTES_MAX: usize = 256;

/// A vat to be made.
#[derive(Clone, Debug)]
pub struct Deploy {
    pub name: String,
    /// Key into `files` of the module to load.
    pub entry: String,
    /// Path relative to the entry's folder (`/`-separated) and text of every source file.
    pub files: Vec<(String, String)>,
    /// `powers.K` and the JSON text of its value.
    pub give: Vec<(String, String)>,
    /// Default powers that are withheld from it, for good: a program gets its powers once.
    pub deny: Vec<String>,
}

impl Deploy {
    /// A vat of this name with the program in one file, which errors call `NAME.js`.
    pub fn new(name: impl Into<String>, source: impl Into<String>) -> Deploy {
        let name = name.into();
        let entry = format!("{name}.js");
        Deploy {
            name,
            files: vec![(entry.clone(), source.into())],
            entry,
            give: Vec::new(),
            deny: Vec::new(),
        }
    }
}

/// What one vat may use, where that is its own and not its host's: kept with the vat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct VatLimits {
    /// Bytes its heap may grow to.
    pub heap: Option<u64>,
    /// Gas a turn may use.
    pub gas: Option<u64>,
    /// Milliseconds a turn may run.
    pub turn_ms: Option<u64>,
}

impl VatLimits {
    /// Sets one of them; the error says why it cannot be.
    pub fn set(&mut self, name: &str, value: u64) -> Result<(), LimitError> {
        let place = match name {
            "heap" => &mut self.heap,
            "gas" => &mut self.gas,
            "turn" => &mut self.turn_ms,
            _ => {
                let name = name.to_owned();
                return Err(LimitError::NotOfAVat { name });
            }
        };
        crate::limits::check_settable(name, value)?;
        *place = Some(value);
        Ok(())
    }

    /// These, and where one is not set, that of `others`.
    pub fn or(self, others: VatLimits) -> VatLimits {
        VatLimits {
            heap: self.heap.or(others.heap),
            gas: self.gas.or(others.gas),
            turn_ms: self.turn_ms.or(others.turn_ms),
        }
    }

    pub fn is_empty(&self) -> bool {
        *self == VatLimits::default()
    }
}

/// A vat that now exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployed {
    pub name: String,
    /// Number of the vat in its store, never used again.
    pub id: u64,
}

/// Why a limit cannot be set, or not to that. The asker is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError {
    /// No limit has that name.
    #[error("there is no limit `{name}`; these can be set: {settable}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// Names of those that can be set, separated by commas.
        settable: String,
    },
    /// The limit takes other values.
    #[error("the limit `{name}` can be {least} to {most}, not {value}")]
    OutOfRange {
        /// Which limit.
        name: String,
        /// The least it takes, in its own unit.
        least: u64,
        /// The most it takes.
        most: u64,
        /// What was asked for.
        value: u64,
    },
    /// The limit is part of a format or a promise.
    #[error("the limit `{name}` is fixed: {why}; these can be set: {settable}")]
    Fixed {
        /// Which limit.
        name: String,
        /// Why it is fixed.
        why: &'static str,
        /// Names of those that can be set, separated by commas.
        settable: String,
    },
    /// The host has that limit, if anybody; a vat has none of its own.
    #[error("a vat has no limit of its own called `{name}`: heap, gas and turn can be set")]
    NotOfAVat {
        /// What was asked for.
        name: String,
    },
}

/// There is no such power to withhold. The asker is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no default power `{power}` to withhold; there are {}", DEFAULT_POWERS.join(", "))]
pub struct UnknownPower {
    /// What was to be withheld.
    pub power: String,
}

/// A vat cannot have that name. The asker is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{name}` cannot be a vat's name: 1 to {NAME_BYTES_MAX} of a-z 0-9 . _ -, the first a letter \
     or digit"
)]
pub struct BadName {
    /// What was asked for.
    pub name: String,
}

/// Whether there is such a power to withhold; the error says which there are.
pub fn check_deny(power: &str) -> Result<(), UnknownPower> {
    if DEFAULT_POWERS.contains(&power) {
        return Ok(());
    }
    let power = power.to_owned();
    Err(UnknownPower { power })
}

/// What reading a program found, without running it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramReport {
    /// `default`: the default export makes the root; `named`: the exported functions are its
    /// methods; `commonjs`: what is put on `exports`. Empty where that could not be told.
    pub shape: String,
    /// Names of what the entry exports; of a CommonJS file they are not known.
    pub exports: Vec<String>,
    /// What would keep it from being deployed; none if it can be read.
    pub errors: Vec<ProgramError>,
}

/// One error of a program, as a deployment shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramError {
    pub name: String,
    pub message: String,
    pub stack: String,
}

/// Whether a vat may be called that: `[a-z0-9][a-z0-9._-]{0,62}`; the error says what is wrong.
pub fn check_name(name: &str) -> Result<(), BadName> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let begins = name.chars().next().is_some_and(legal);
    let goes_on = name
        .chars()
        .all(|c| legal(c) || matches!(c, '.' | '_' | '-'));
    if begins && goes_on && name.len() <= NAME_BYTES_MAX {
        return Ok(());
    }
    let name = name.to_owned();
    Err(BadName { name })
}

/// Bytes of a vat's name.
pub const NAME_BYTES_MAX: usize = 63;

/// What tells two programs apart: SHA-256 in hex over the entry's name and every file, by path.
pub fn source_sha256(entry: &str, files: &[(String, String)]) -> String {
    use sha2::{Digest, Sha256};
    let mut files: Vec<&(String, String)> = files.iter().collect();
    files.sort();
    let mut hash = Sha256::new();
    hash.update(entry.as_bytes());
    for (path, text) in files {
        hash.update(format!("\0{path}\0{}\0", text.len()).as_bytes());
        hash.update(text.as_bytes());
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Where a vat stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VatState {
    Awake,
    Asleep,
    Broken,
}

impl fmt::Display for VatState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            VatState::Awake => "awake",
            VatState::Asleep => "asleep",
            VatState::Broken => "broken",
        })
    }
}

/// A vat as `ls` and `show` tell it: committed values only.
#[derive(Clone, Debug)]
pub struct VatInfo {
    pub name: String,
    pub id: u64,
    pub state: VatState,
    /// Turns committed.
    pub turns: u64,
    /// Bytes of the heap in use.
    pub heap_bytes: u64,
    /// Requests consumed and not yet answered.
    pub open_requests: u64,
    /// Calls of it were refused for want of room on the disk, and there is none yet.
    pub no_space: bool,
    /// SHA-256 of the worker executable the vat is pinned to, in hex.
    pub engine: String,
    /// SHA-256 of the genesis image of that engine, in hex.
    pub genesis_sha256: String,
    /// SHA-256 over the entry's name and all source files, in hex (`source_sha256`).
    pub source_sha256: String,
    /// What it may use: bytes of its heap, gas and milliseconds of a turn.
    pub heap_limit: u64,
    pub gas_limit: u64,
    pub turn_ms_limit: u64,
    /// Which of these are its own and not its host's.
    pub own_limits: VatLimits,
    /// Process id of the worker, while awake.
    pub worker_pid: Option<u32>,
    /// Why the vat is broken, or the last thing that went wrong with its worker.
    pub last_error: Option<String>,
}

/// A piece of a vat's committed log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogChunk {
    /// Whole lines, each `TURN LEVEL TEXT` with newlines in TEXT written as `\\n`.
    pub text: String,
    /// Where to read on; equal to the `from` asked for when nothing is there yet.
    pub next: u64,
    /// Where the oldest kept byte stands; larger than the `from` asked for when that was rotated
    /// away.
    pub oldest: u64,
}

/// What `verify` read and found.
#[derive(Clone, Debug, Default)]
pub struct StoreReport {
    pub read_bytes: u64,
    pub damages: Vec<DamageReport>,
}

/// One place in the store that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamageReport {
    /// Relative to the store's folder.
    pub file: String,
    pub offset: u64,
    /// Name of the vat it belongs to, where there is one.
    pub vat: Option<String>,
    pub what: String,
}

/// A limit as `kenvat limits` shows it.
#[derive(Clone, Debug)]
pub struct Limit {
    pub name: &'static str,
    pub value: u64,
    /// `bytes`, `ms`, `requests`, …
    pub unit: &'static str,
    /// Who set it: `vat`, `host`, `machine` (what it has room for), or nobody: `default`.
    pub set_by: String,
    pub meaning: &'static str,
}

/// Why a request was not answered with a value. Each says whose fault it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The vat's own code threw, or a promise it returned was rejected. Committed.
    #[error("{name}: {message}")]
    Thrown {
        name: String,
        message: String,
        stack: String,
        nearest: Vec<String>,
    },
    /// No vat has that name. Ran no turn.
    #[error("no vat is called `{name}`")]
    UnknownVat { name: String, nearest: Vec<String> },
    /// The caller's arguments are not a JSON array. Ran no turn.
    #[error("the arguments are not JSON: {0}")]
    BadArguments(String),
    /// A name, key or message of the caller is malformed or too long. Ran no turn.
    #[error("{0}")]
    BadRequest(String),
    /// The same key came before with another content. Ran no turn.
    #[error("the id `{id}` was used before for a different request")]
    KeyReused { id: String },
    /// The key was answered too long ago. Never run a second time.
    #[error("the answer to `{id}` is no longer kept")]
    AnswerGone { id: String },
    /// Too many requests wait. Ran no turn; try again.
    #[error("overloaded: {0}; try again")]
    Overloaded(String),
    /// The disk has no room for what the call changed: nothing of it happened. It may be asked
    /// again, under the same key too.
    #[error("{0}; nothing was done: try again when there is room")]
    NoSpace(String),
    /// The vat was terminated, or is broken and not run any more.
    #[error("vat `{name}` {why}")]
    Unavailable { name: String, why: String },
    /// The turn was ended by a limit, or by a fault of its worker: its effects are undone, and it
    /// is never run again. Committed.
    #[error("the turn was undone: {why}")]
    TurnKilled { by: KilledBy, why: String },
    /// The host or its disk is at fault. Whether the call ran is not known to the caller; ask again
    /// with the same key.
    #[error("{0}")]
    Host(String),
    /// The engine was stopped, or ended by itself, before it answered. Whether the call ran is not
    /// known to the caller; ask the next engine, with the same key.
    #[error("the engine stopped before it answered")]
    Stopped,
}

/// Who has to change something before the same request can go well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The caller: a name, an argument, a key or a folder is wrong.
    Caller,
    /// The vat's program.
    Vat,
    /// The host: its load, its disk, its machine, or its end. Ask again later.
    Host,
}

impl CallError {
    /// Whose fault it was.
    pub fn fault(&self) -> Fault {
        match self {
            CallError::UnknownVat { .. }
            | CallError::BadArguments(_)
            | CallError::BadRequest(_)
            | CallError::KeyReused { .. }
            | CallError::AnswerGone { .. } => Fault::Caller,
            CallError::Thrown { .. }
            | CallError::Unavailable { .. }
            | CallError::TurnKilled { .. } => Fault::Vat,
            CallError::Overloaded(_)
            | CallError::NoSpace(_)
            | CallError::Host(_)
            | CallError::Stopped => Fault::Host,
        }
    }
}

/// What ended a turn that is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum KilledBy {
    /// It used more gas than a turn may.
    Gas,
    /// The heap would have grown past its limit.
    Heap,
    /// It ran longer than a turn may.
    Clock,
    /// It asked for it itself.
    Request,
    /// It answered and logged more than a turn may send.
    Sent,
    /// Its worker died of it, again and again.
    Crash,
    /// Its calls nested deeper than JavaScript's stack allows.
    Stack,
}

/// Why a vat was not deployed. No vat is left behind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeployError {
    #[error("a vat called `{0}` exists already, or is being made")]
    NameTaken(String),
    #[error("{0}")]
    BadRequest(String),
    /// Too much is under way, or the machine has nothing left to start a worker with. Try again.
    #[error("overloaded: {0}; try again")]
    Overloaded(String),
    /// The disk has no room for the vat.
    #[error("{0}; nothing was done: try again when there is room")]
    NoSpace(String),
    /// The program did not parse, or its start function threw.
    #[error("{name}: {message}")]
    Program {
        name: String,
        message: String,
        stack: String,
    },
    #[error("{0}")]
    Host(String),
    /// The engine was stopped, or ended by itself, before it answered. The vat is there if its
    /// start had settled, and nothing is otherwise.
    #[error("the engine stopped before it answered")]
    Stopped,
}

impl DeployError {
    /// Whose fault it was.
    pub fn fault(&self) -> Fault {
        match self {
            DeployError::NameTaken(_) | DeployError::BadRequest(_) => Fault::Caller,
            DeployError::Program { .. } => Fault::Vat,
            DeployError::Overloaded(_)
            | DeployError::NoSpace(_)
            | DeployError::Host(_)
            | DeployError::Stopped => Fault::Host,
        }
    }

    /// The program is at fault, and there is no exception of its own to show.
    pub fn of_program(message: String) -> DeployError {
        DeployError::Program {
            name: "Error".to_owned(),
            message,
            stack: String::new(),
        }
    }
}

impl From<kenvat_wire::protocol::Thrown> for DeployError {
    fn from(thrown: kenvat_wire::protocol::Thrown) -> DeployError {
        DeployError::Program {
            name: thrown.name,
            message: thrown.message,
            stack: thrown.stack,
        }
    }
}
