//! The engines workers are started from: their executables, sealed in memory, and genesis images.
//!
//! Promises: this program's own engine is never missing: what the store has of it and finds damaged
//! is written again from what the program carries. What else is wrong with it is told by whoever
//! needs it, and by `verify`. Does not know vats.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use kenvat_store::{Damage, EngineHash, FileBackend, Genesis, OpenError, Store, StoreError};
use kenvat_wire::protocol::TrackerKind;

use super::say;
use super::start_error::NotStarted;
use crate::open::make_genesis;
use crate::process::Executable;

/// Engines that workers were started from, and this program's own.
pub(super) struct Engines {
    executables: HashMap<EngineHash, Executable>,
    own: EngineHash,
    /// The executable of `own`.
    worker: Cow<'static, [u8]>,
    tracker: Option<TrackerKind>,
}

impl Engines {
    pub fn new(
        (own, executable): (EngineHash, Executable),
        worker: Cow<'static, [u8]>,
        tracker: Option<TrackerKind>,
    ) -> Engines {
        Engines {
            executables: HashMap::from([(own, executable)]),
            own,
            worker,
            tracker,
        }
    }

    /// The executable of an engine, read from the store the first time.
    pub fn executable(
        &mut self,
        store: &mut Store<FileBackend>,
        engine: EngineHash,
    ) -> Result<&Executable, NotStarted> {
        match self.executables.entry(engine) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let bytes = store.engine(engine)?;
                let sealed = Executable::seal(&bytes)
                    .map_err(|error| NotStarted::of("prepare its executable", &error))?;
                Ok(entry.insert(sealed))
            }
        }
    }

    /// The genesis image new vats of an engine begin with.
    pub fn genesis(
        &self,
        store: &mut Store<FileBackend>,
        engine: EngineHash,
    ) -> Result<Arc<Genesis>, OpenError> {
        let damage = match store.genesis(engine) {
            Err(OpenError::Damaged(damage)) if engine == self.own => damage,
            found => return found,
        };
        let made = make_genesis(&self.worker, self.tracker).map_err(|error| error.to_string());
        let repaired = made.and_then(|genesis| {
            let repaired = store.repair_genesis(engine, &genesis);
            repaired.map_err(|error| error.to_string())
        });
        say_repaired(&damage, repaired.err());
        store.genesis(engine)
    }

    /// The store's copy of this program's own engine was read, which nothing waited for: workers
    /// are started from the program's. A damaged one is written again.
    pub fn on_own_checked(&self, store: &mut Store<FileBackend>, found: Result<(), StoreError>) {
        if let Err(StoreError::Damaged(damage)) = found {
            let repaired = store.repair_executable(&self.worker);
            say_repaired(&damage, repaired.err().map(|error| error.to_string()));
        }
    }
}

fn say_repaired(damage: &Damage, hindrance: Option<String>) {
    match hindrance {
        None => say(format_args!(
            "damaged: {damage}; this program carries the same engine and wrote it again"
        )),
        Some(why) => say(format_args!(
            "damaged: {damage}; it could not be written again: {why}"
        )),
    }
}
