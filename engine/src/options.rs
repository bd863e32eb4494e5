//! How an engine is run: its store's folder, its limits, and what tests and benches change.
//!
//! Promises: `EngineOptions::new` gives what `kenvat limits` shows as defaults; a limit that was
//! set is in its range. Does not open anything.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use crate::trace::Trace;
use kenvat_core::api::{Limit, LimitError, VatLimits};
use kenvat_core::limits::{self, CoreLimits, GAS_MAX, HEAP_BYTES_MAX, SLEEP_AFTER_MS, TURN_MS_MAX};

/// How an engine is run.
#[derive(Clone)]
pub struct EngineOptions {
    /// The store's folder; made if it is not there.
    pub dir: PathBuf,
    /// An idle vat's process is ended after this long; `None` never does.
    pub sleep_after_ms: Option<u64>,
    /// Vats that may be awake at once; `None` takes what this process's descriptors allow.
    pub awake_max: Option<usize>,
    /// The limits of the core.
    pub limits: CoreLimits,
    /// Names of the limits that somebody set.
    pub set: BTreeSet<String>,
    /// Limits of the program around the engine, which are shown with its own.
    pub others: Vec<Limit>,
    /// Bytes a vat's heap may grow to, where it has no limit of its own.
    pub heap_limit: u64,
    /// Gas a turn may use.
    pub gas: u64,
    /// Milliseconds a turn may run.
    pub turn_ms: u64,
    /// How workers find written pages; `None` takes the best there is.
    pub tracker: Option<kenvat_wire::protocol::TrackerKind>,
    /// The worker executable new vats are born with: this build's own unless told otherwise. Vats
    /// that exist go on with theirs, whatever stands here.
    pub worker: Cow<'static, [u8]>,
    /// Where the steps of turns are noted; `None` notes nothing and costs nothing.
    pub trace: Option<Arc<Trace>>,
}

impl EngineOptions {
    /// The defaults of `docs/interfaces.md` section 4 for a store in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> EngineOptions {
        EngineOptions {
            dir: dir.into(),
            sleep_after_ms: Some(SLEEP_AFTER_MS),
            awake_max: None,
            limits: CoreLimits::default(),
            set: BTreeSet::new(),
            others: Vec::new(),
            heap_limit: HEAP_BYTES_MAX,
            gas: GAS_MAX,
            turn_ms: TURN_MS_MAX,
            tracker: None,
            worker: Cow::Borrowed(crate::worker_bytes::WORKER),
            trace: None,
        }
    }

    /// Sets a limit by its name, in its own unit; the error says why it cannot be.
    pub fn set_limit(&mut self, name: &str, value: u64) -> Result<(), LimitError> {
        limits::check_settable(name, value)?;
        match name {
            "heap" => self.heap_limit = value,
            "gas" => self.gas = value,
            "turn" => self.turn_ms = value,
            "sleep-after" => self.sleep_after_ms = Some(value).filter(|after| *after > 0),
            "awake" => self.awake_max = Some(usize::try_from(value).unwrap_or(usize::MAX)),
            _ => self.limits.set(name, value),
        }
        self.set.insert(name.to_owned());
        Ok(())
    }

    /// Every limit as it is here, for a vat with these of its own.
    pub(crate) fn table(&self, own: VatLimits) -> Vec<Limit> {
        let mut table = limits::table();
        for limit in &mut table {
            let (value, own) = match limit.name {
                "heap" => (self.heap_limit, own.heap),
                "gas" => (self.gas, own.gas),
                "turn" => (self.turn_ms, own.turn_ms),
                "sleep-after" => (self.sleep_after_ms.unwrap_or(0), None),
                "awake" => (self.awake_max.map_or(limit.value, |most| most as u64), None),
                name => match self.limits.get(name) {
                    Some(value) => (value, None),
                    None => continue,
                },
            };
            if own.is_some() {
                limit.set_by = "vat".to_owned();
            } else if self.set.contains(limit.name) {
                limit.set_by = "host".to_owned();
            } else if value != limit.value {
                limit.set_by = "machine".to_owned();
            }
            limit.value = own.unwrap_or(value);
        }
        table.extend(self.others.iter().cloned());
        table
    }
}
