//! How hosts end and come back: kills, power cuts, failed syncs, and crashes while recovering.
//!
//! Promises: of the frame that was being written either everything or nothing is found again, and
//! of every other frame what the disk had acknowledged; a power cut right after a recovery finds
//! the same (J6). The invariants are checked after every recovery.

use kenvat_engine::load;
use kenvat_store::backend::memory::{Crash, Faults, MemoryBackend};

use super::World;
use crate::client::Clients;
use crate::disk::Disk;
use crate::host::{Host, Syncs};
use crate::invariants::{self, Held, ToldOfVats, broken};
use crate::model::State;
use crate::rules::Outputs;
use crate::stop::Stop;

/// Crashes in a row while recovering before the disk is left in peace.
const CRASHES_A_RECOVERY: u32 = 4;

impl World {
    /// Ends the host here and now, and starts the next one.
    pub(super) fn crash(&mut self) -> Held {
        self.tally.crashes += 1;
        let in_flight = self.host_mut().in_flight.take();
        let mut candidates = vec![self.durable.clone()];
        if let Some(frame) = in_flight {
            let mut also = self.durable.clone();
            also.fold(&frame);
            candidates.push(also);
        }
        self.end();
        self.recover(candidates)
    }

    /// The process is gone, and perhaps the machine's power too.
    fn end(&mut self) {
        let after = self.break_disk();
        // The old store may still try to write when it is dropped: to a disk nobody reads again.
        self.backend = after;
        self.host = None;
        self.fault_set = false;
        self.life += 1;
        // Nobody waits for a dead host.
        self.waiters.clear();
        self.clients.host_died(self.rules.asking);
    }

    /// What is on the disk when the next host looks.
    fn break_disk(&mut self) -> MemoryBackend {
        let seed = self.chance.bits();
        let kinds = [
            (3, None),
            (2, Some(Crash::Lost)),
            (1, Some(Crash::Kept)),
            (4, Some(Crash::Torn { seed })),
            (2, Some(Crash::Reordered { seed })),
        ];
        let kind = self.chance.weighted(&kinds);
        self.trace.line(format!("  the host ends: {kind:?}"));
        match kind {
            // kill -9: the page cache stays, and what is in it may not be on the disk (J6).
            None => self.backend.fork(),
            Some(crash) => self.backend.crash(crash),
        }
    }

    /// Starts a host on what is there. It may crash while it recovers, too.
    pub(super) fn recover(&mut self, candidates: Vec<State>) -> Held {
        for attempt in 0.. {
            if attempt < CRASHES_A_RECOVERY && self.life > 0 && self.chance.one_in(3) {
                let at = Some(self.backend.operations() + 1 + self.chance.below(12));
                let (freeze_at, fail_at) = if self.chance.one_in(3) {
                    (None, at)
                } else {
                    (at, None)
                };
                self.backend.set_faults(Faults {
                    freeze_at,
                    fail_at,
                    ..Faults::default()
                });
                self.fault_set = true;
            }
            match self.try_recover(&candidates) {
                Ok(()) => return self.check_all(),
                Err(Stop::Disk(why)) if self.fault_set => {
                    self.trace.line(format!("  recovery failed: {why}"));
                    self.host = None;
                    self.backend = self.break_disk();
                    self.fault_set = false;
                    self.tally.crashes += 1;
                }
                Err(Stop::Disk(why)) => return broken("what was written can be opened", why),
                Err(Stop::Broken(violation)) => return Err(violation),
            }
        }
        unreachable!("the disk is left in peace in the end")
    }

    fn try_recover(&mut self, candidates: &[State]) -> Result<(), Stop> {
        let (mut disk, recovery) = Disk::open(self.backend.clone())?;
        let found = disk.read()?;
        let which = invariants::invariant_image_is_fold_of_frames(&found, candidates)?;
        self.tally.dropped_frames += u32::from(recovery.dropped.is_some());
        self.tally.found_frames += u32::from(which > 0);
        self.trace.line(format!("  recovered candidate {which}"));
        self.durable = candidates[which].clone();
        let loaded = load(&disk.store).map_err(|error| Stop::Disk(error.to_string()))?;
        // A canary's outputs leave when a frame is sealed, which is seen where it is written later.
        let is_quick = self.rules.outputs == Outputs::AtCommit && self.chance.one_in(3);
        let syncs = match is_quick {
            true => Syncs::Here,
            false => Syncs::Elsewhere,
        };
        let (rules, kind) = (self.rules, (self.awake_max, syncs));
        self.host = Some(Host::start(disk, loaded, rules, kind, self.now_ms));
        Ok(())
    }

    /// Cuts the power of a copy of the world, and looks at what would be found.
    pub(super) fn probe(&mut self) -> Result<(), Stop> {
        self.tally.probes += 1;
        let mut candidates = vec![self.durable.clone()];
        if let Some(frame) = &self.host_mut().in_flight {
            let mut also = candidates[0].clone();
            also.fold(frame);
            candidates.push(also);
        }
        let seed = self.chance.bits();
        let crash =
            *self
                .chance
                .pick(&[Crash::Lost, Crash::Torn { seed }, Crash::Reordered { seed }]);
        let (mut disk, _) = match Disk::open(self.backend.crash(crash)) {
            Ok(opened) => opened,
            Err(error) => return Ok(broken("what was written can be opened", error.0)?),
        };
        let found = disk.read()?;
        let which = invariants::invariant_image_is_fold_of_frames(&found, &candidates)?;
        let state = &candidates[which];
        Ok(check_state(state, &self.clients, &self.told)?)
    }

    pub(super) fn check_all(&self) -> Held {
        check_state(&self.durable, &self.clients, &self.told)
    }

    /// Stops the host as a person would, and looks at the disk without what was never synced.
    pub(super) fn close(&mut self) -> Held {
        let Some(host) = self.host.take() else {
            return broken("recover leaves a host behind", "");
        };
        if let Err(error) = host.disk.store.close() {
            return broken("errors have causes", error.to_string());
        }
        self.backend = self.backend.crash(Crash::Lost);
        let durable = self.durable.clone();
        match self.try_recover(&[durable]) {
            Ok(()) => self.check_all(),
            Err(Stop::Broken(violation)) => Err(violation),
            Err(Stop::Disk(why)) => broken("what was closed can be opened", why),
        }
    }
}

fn check_state(state: &State, clients: &Clients, told: &ToldOfVats) -> Held {
    invariants::invariant_catalog_names_heaps(state)?;
    invariants::invariant_output_valid(state, clients, told)?;
    invariants::invariant_exactly_once(state, clients)?;
    invariants::invariant_fifo_per_pair(state, clients)
}
