//! What others may see of the core: its vats, and what is under way.

use kenvat_store::{EngineHash, VatId};

use super::Core;
use crate::api::{CallError, VatLimits, VatState};
use crate::calls::unknown_vat;
use crate::rows::{CountersRow, VatRow};
use crate::spill::{Spill, SpillMisplaced};
use crate::vats::{Vat, Worker};
use kenvat_wire::protocol::HandOver;

/// A vat as others may see it.
#[derive(Clone, Debug)]
pub struct VatView<'a> {
    pub id: VatId,
    pub row: &'a VatRow,
    pub counters: CountersRow,
    pub state: VatState,
    pub open_requests: u64,
    /// Calls of it were refused for want of room on the disk.
    pub no_space: bool,
    /// What is its own and not its host's.
    pub limits: VatLimits,
    /// Pages its heap may grow to, or has, if that is more.
    pub pages: u32,
    pub last_error: Option<&'a str>,
}

impl<W> Core<W> {
    /// When a `Tick` is wanted at the latest, in milliseconds since 1970.
    pub fn next_tick_ms(&self) -> Option<i64> {
        let ticks = self.owners.ticks.due_ms();
        ticks.into_iter().chain(self.next_timer_ms()).min()
    }

    /// When the next timer falls due, those that starts wait for included.
    pub fn next_timer_ms(&self) -> Option<i64> {
        let of_vats = self.owners.timers.next_ms();
        let of_starts = self.owners.deployments.next_start_ms();
        of_vats.into_iter().chain(of_starts).min()
    }

    /// The engine new vats are pinned to.
    pub fn engine(&self) -> EngineHash {
        self.settings.engine
    }

    /// Whether a worker runs turns that it has not handed over, the first one of a vat included.
    pub fn has_turns_out(&self) -> bool {
        self.turns_out() > 0 || self.owners.deployments.has_running()
    }

    /// Turns that workers run and have not handed over, first ones not counted.
    pub fn turns_out(&self) -> usize {
        self.owners.vats.turns_out()
    }

    /// Whether no turn, no frame and no deployment is under way.
    pub fn is_idle(&self) -> bool {
        self.gate.is_idle() && self.owners.held_back.is_empty() && !self.has_turns_out()
    }

    /// Whether anything is under way: a commit, a delivery, a deployment that does not wait for a
    /// timer.
    pub fn is_quiet(&self) -> bool {
        let owners = &self.owners;
        let is_quiet = |vat: &Vat<W>| vat.is_idle() || vat.worker().is_broken();
        self.gate.is_idle()
            && owners.held_back.is_empty()
            && owners.deployments.all_wait()
            && owners.vats.all().all(is_quiet)
    }

    /// Whether calls were refused for want of space on the disk, and nothing was heard of space
    /// since.
    pub fn lacks_space(&self) -> bool {
        let mut vats = self.owners.vats.all();
        self.gate.is_lagging() || vats.any(|vat| vat.faults().no_space)
    }

    /// Whether something of the vat that was handed in is not in its image yet; nothing is of one
    /// that is being deployed.
    pub fn is_image_behind(&self, id: VatId) -> bool {
        let vat = self.owners.vats.get(id);
        let is_unapplied = vat.is_some_and(|vat| !vat.progress().is_applied());
        is_unapplied || self.owners.held_back.is_of(id)
    }

    /// Whether the vat's first turn runs.
    pub fn is_deploying(&self, id: VatId) -> bool {
        self.owners.deployments.contains(id)
    }

    /// The vats with committed values, by name.
    pub fn vats(&self) -> impl Iterator<Item = VatView<'_>> {
        let ids = self.owners.vats.ids_by_name();
        ids.filter_map(|id| self.view(id))
    }

    /// One of them.
    pub fn view(&self, id: VatId) -> Option<VatView<'_>> {
        let vat = self.owners.vats.get(id)?;
        let life = vat.worker().life();
        Some(VatView {
            id,
            row: vat.row(),
            counters: vat.committed(),
            state: match vat.worker() {
                Worker::Starting(_) | Worker::Running(_) => VatState::Awake,
                Worker::Asleep | Worker::Queued | Worker::Ending { .. } => VatState::Asleep,
                Worker::Broken(_) => VatState::Broken,
            },
            open_requests: vat.open().len() as u64,
            no_space: vat.faults().no_space,
            limits: vat.limits(),
            pages: match life {
                Some(life) => life.pages(),
                None => vat.page_limit(self.settings.page_limit),
            },
            last_error: vat.faults().last_error.as_deref(),
        })
    }

    /// The vat of that name, where it exists.
    pub fn vat_id(&self, name: &str) -> Option<VatId> {
        self.owners.vats.id_of(name)
    }

    /// The error for a name that no vat has, with the names that may have been meant; for one that
    /// is being deployed it says so.
    pub fn unknown_vat(&self, name: &str) -> CallError {
        let owners = &self.owners;
        unknown_vat(&owners.vats, &owners.deployments, name).into_error()
    }

    /// Whether a hand-over goes by a spill file. Asked before it is handed in, so nothing of it may
    /// be true.
    pub fn is_large(&self, id: VatId, hand_over: &HandOver) -> bool {
        self.owners
            .spilling(&self.settings.limits)
            .is_large(id, hand_over)
    }

    /// Takes a large hand-over to be written; nothing where its worker no longer counts. All that
    /// was handed in before must be in the image.
    pub fn spill(
        &self,
        id: VatId,
        generation: u64,
        hand_over: HandOver,
    ) -> Option<Result<Spill, SpillMisplaced>> {
        let spilling = self.owners.spilling(&self.settings.limits);
        spilling.spill(id, generation, hand_over)
    }
}
