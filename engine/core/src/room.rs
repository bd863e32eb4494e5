//! A full disk, as the core meets it: what needs room is refused whole, and nothing else is.
//!
//! Promises: a hand-over for which there is no room leaves no trace: its worker is ended, everyone
//! whose message it ran, or still held, is told that nothing was done, and the next worker starts
//! from the image (I2, J8). A worker the system killed for want of room is no poison (T3). A vat
//! whose image is behind is not told that its hand-over is applied, and no other worker starts.

use kenvat_store::{PART_OVERHEAD_BYTES, Reservation, SpillFile, VatId};

use super::Core;
use super::answers::rows_bytes;
use super::check::Checked;
use super::event::{Effect, Ledger, LedgerError, Reserved};
use super::frame::Turns;
use super::vat::{Ending, Run};
use crate::api::CallError;

/// Bytes of rows of one request that is consumed and not answered, besides its key twice.
const OPEN_ROW_BYTES: usize = 256;
/// Bytes of the row that goes when such a request is answered.
const CLOSED_ROW_BYTES: usize = 16;
/// Bytes of the row of a timer that is set or cleared.
pub(super) const TIMER_ROW_BYTES: usize = 64;
/// Bytes of the answer that a vat's end is, but for its name.
const END_BYTES: usize = 64;
/// Bytes of an end that no room is asked for: a part of what the store keeps for such rows, since
/// on a full disk ending vats is a way to get room.
const END_BYTES_UNASKED: usize = 64 << 10;
/// Bytes of a vat's own rows in a frame: counters, a death forgiven.
const VAT_ROWS_BYTES: usize = 1 << 10;

impl<W> Core<W> {
    /// Whether all of a hand-over finds room. It is not yet taken in any way.
    pub(super) fn reserve(
        &mut self,
        id: VatId,
        checked: &Checked,
        ledger: &mut dyn Ledger,
    ) -> Result<Reserved, LedgerError> {
        let vat = &self.vats[&id];
        let turns = checked.last_turn - vat.handed_turn;
        let consumed = vat.delivered.iter().take(turns as usize);
        let older = checked
            .replies
            .iter()
            .filter_map(|reply| vat.open.get(&reply.request));
        let keys = consumed.chain(older);
        let keyed = rows_bytes(keys.filter_map(|no| self.requests[no].key.as_ref()));
        let answers = match checked.rows_are_spilled {
            true => 0,
            false => checked.replies.iter().map(|reply| reply.bytes()).sum(),
        };
        let row_bytes = VAT_ROWS_BYTES
            + answers
            + keyed
            + checked.timers.len() * (TIMER_ROW_BYTES + PART_OVERHEAD_BYTES)
            + turns as usize * (OPEN_ROW_BYTES + PART_OVERHEAD_BYTES)
            + checked.replies.len() * (CLOSED_ROW_BYTES + PART_OVERHEAD_BYTES);
        ledger.reserve(&Reservation {
            vat: id,
            creates: None,
            delta: (!checked.delta.is_empty()).then_some(&checked.delta),
            log_bytes: checked.log.len(),
            spill_log_bytes: checked.side.as_ref().map_or(0, SpillFile::log_bytes),
            row_bytes,
        })
    }

    /// Room for the end of a vat, whose open requests are all answered by it.
    pub(super) fn reserve_end(
        &self,
        id: VatId,
        ledger: &mut dyn Ledger,
    ) -> Result<Reserved, LedgerError> {
        let vat = &self.vats[&id];
        let keys = vat.open.values();
        let keyed = rows_bytes(keys.filter_map(|no| self.requests[no].key.as_ref()));
        let answer = CLOSED_ROW_BYTES + PART_OVERHEAD_BYTES + vat.row.name.len() + END_BYTES;
        let timers = vat.timers.len() * (TIMER_ROW_BYTES + PART_OVERHEAD_BYTES);
        let row_bytes = VAT_ROWS_BYTES + keyed + vat.open.len() * answer + timers;
        if row_bytes <= END_BYTES_UNASKED {
            return Ok(Reserved::Taken);
        }
        ledger.reserve(&Reservation {
            vat: id,
            creates: None,
            delta: None,
            log_bytes: 0,
            spill_log_bytes: 0,
            row_bytes,
        })
    }

    /// There was no room for what a vat handed over: as if its worker had not run since.
    pub(super) fn on_no_room(
        &mut self,
        id: VatId,
        generation: u64,
        why: &str,
        out: &mut Vec<Effect<W>>,
    ) {
        self.refuse_delivered(id, why, out);
        self.end(id, generation, Ending::NoSpace, out);
    }

    /// Tells everyone whose message is out at the vat's worker that nothing was done.
    pub(super) fn refuse_delivered(&mut self, id: VatId, why: &str, out: &mut Vec<Effect<W>>) {
        let vat = self.vat_mut(id);
        vat.no_space = true;
        vat.asked = false;
        vat.timer_turns.clear();
        vat.last_error = Some(format!(
            "{why}; what needs room is refused until there is some"
        ));
        let refused = std::mem::take(&mut vat.delivered);
        self.turns_out -= refused.len();
        let error = CallError::NoSpace(why.to_owned());
        for no in refused {
            self.refuse(no, &error, out);
        }
    }

    /// A worker died before it was ready because there was no room to map its heap: nobody waits
    /// for the next one to die of it as well.
    pub(super) fn refuse_waiting(&mut self, id: VatId, why: &str, out: &mut Vec<Effect<W>>) {
        let vat = self.vat_mut(id);
        vat.queue_bytes = 0;
        let (queue, wakers) = (
            std::mem::take(&mut vat.queue),
            std::mem::take(&mut vat.wakers),
        );
        let error = CallError::NoSpace(why.to_owned());
        for no in queue {
            self.refuse(no, &error, out);
        }
        for waiter in wakers {
            let answer = Err(error.clone());
            out.push(Effect::AnswerDone { waiter, answer });
        }
    }

    /// The vat's own files hinder what it handed over: it runs no more, the others go on.
    pub(super) fn on_damaged(
        &mut self,
        id: VatId,
        generation: u64,
        why: String,
        out: &mut Vec<Effect<W>>,
    ) {
        let taken_back = self.vat_mut(id).take_back();
        self.turns_out -= taken_back;
        self.places.give_back(id);
        out.push(Effect::KillWorker {
            vat: id,
            generation,
        });
        self.break_vat(id, why, out);
    }

    /// The vat's share of a frame is in its image.
    pub(super) fn on_vat_applied(&mut self, turns: Turns) {
        let Some(vat) = self.vats.get_mut(&turns.vat) else {
            return;
        };
        vat.unapplied -= 1;
        if vat.is_current(turns.generation) {
            vat.applied_untold = Some(turns.hand_over);
        }
        self.touch(turns.vat);
    }

    /// Images caught up, or there is room again.
    pub(super) fn on_room(&mut self, caught_up: &[VatId], has_space: bool) {
        let (done, lagging) = std::mem::take(&mut self.lagging)
            .into_iter()
            .partition(|turns: &Turns| caught_up.contains(&turns.vat));
        self.lagging = lagging;
        let done: Vec<Turns> = done;
        for turns in done {
            self.on_vat_applied(turns);
        }
        if !has_space {
            return;
        }
        for vat in self.vats.values_mut().filter(|vat| vat.no_space) {
            vat.no_space = false;
            // Said of a disk that is no longer full; a broken vat has a reason of its own.
            if !matches!(vat.run, Run::Broken(_)) {
                vat.last_error = None;
            }
        }
    }

    /// Whether calls were refused for want of room, and nothing was heard of room since.
    pub fn lacks_space(&self) -> bool {
        !self.lagging.is_empty() || self.vats.values().any(|vat| vat.no_space)
    }
}
