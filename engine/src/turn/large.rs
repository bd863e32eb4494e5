//! Hand-overs whose delta is in a side file (J7).
//!
//! Promises: such a delta is durable before its hand-over is looked at, so whatever can refuse it
//! has done so before anything of it is shown (J8); until it is in the image nothing else of that
//! vat is handed in, and only that vat waits. The shell makes the file and holds the worker's
//! further messages; the core sees one hand-over and an apply that comes later than its frame's.

use kenvat_store::{Side, VatId};

use super::Core;
use super::event::{Effect, Ledger, LedgerError, SideRefusal};
use crate::api::DeployError;
use crate::protocol::HandOver;

impl<W> Core<W> {
    pub(super) fn on_large(
        &mut self,
        id: VatId,
        generation: u64,
        (hand_over, side): (HandOver, Side),
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        let side = Some(side);
        if self.births.contains_key(&id) {
            return self.on_first_hand_over(id, generation, hand_over, side, ledger, out);
        }
        match self.is_current(id, generation) {
            true => self.on_hand_over(id, generation, (hand_over, side), ledger, out),
            false => Ok(()),
        }
    }

    /// No side file could be made: as if the worker had not run since its last hand-over.
    pub(super) fn on_no_side(
        &mut self,
        id: VatId,
        generation: u64,
        refusal: SideRefusal,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        if self.births.contains_key(&id) {
            let error = match refusal {
                SideRefusal::NoRoom(why) => DeployError::NoRoom(why),
                SideRefusal::Damaged(why) => DeployError::Host(why),
            };
            self.miscarry(id, error, out);
            out.push(Effect::KillWorker {
                vat: id,
                generation,
            });
            return Ok(());
        }
        if !self.is_current(id, generation) {
            return Ok(());
        }
        match refusal {
            SideRefusal::Damaged(why) => self.on_damaged(id, generation, why, out),
            SideRefusal::NoRoom(why) => self.on_no_room(id, generation, &why, out),
        }
        Ok(())
    }

    /// How many frames that hold something of the vat are not in its image; 0 for one that is being
    /// born.
    pub fn unapplied(&self, id: VatId) -> u32 {
        self.vats.get(&id).map_or(0, |vat| vat.unapplied)
    }

    /// Whether the vat's first turn runs.
    pub fn is_being_born(&self, id: VatId) -> bool {
        self.births.contains_key(&id)
    }
}
