//! A full disk, as the core meets it: what needs space is refused whole, and nothing else is.
//!
//! Promises: a hand-over for which there is no space leaves no trace: its worker is ended, everyone
//! whose message it ran, or still held, is told that nothing was done, and the next worker starts
//! from the image (I2, J8). A worker the system killed for want of space is no poison (T3). A vat
//! whose image is behind is not notified that its hand-over is applied, and no other worker starts.

use kenvat_store::VatId;

use super::Lifecycle;
use crate::gate::{HandedOver, Refusal};
use crate::vats::Ending;

impl<W> Lifecycle<'_, W> {
    /// There was no space for what a vat handed over: as if its worker had not run since.
    pub fn on_no_space(&mut self, id: VatId, why: &str) {
        self.refuse_delivered(id, why);
        self.end(id, Ending::NoSpace);
    }

    /// Tells everyone whose message is out at the vat's worker that nothing was done.
    pub(super) fn refuse_delivered(&mut self, id: VatId, why: &str) {
        let vat = self.vats.known_mut(id);
        let faults = vat.faults_mut();
        faults.no_space = true;
        faults.last_error = Some(format!(
            "{why}; what needs room is refused until there is some"
        ));
        let refused = vat.progress_mut().recall();
        self.vats.turns_returned(refused.len());
        let refusal = Refusal::no_space(why);
        for no in refused {
            self.requests
                .refuse(no, &refusal, self.timers, &mut self.cx);
        }
    }

    /// A worker died before it was ready because there was no space to map its heap: whoever waits
    /// is told, before the next one dies of it as well.
    pub(super) fn refuse_waiting(&mut self, id: VatId, why: &str) {
        let vat = self.vats.known_mut(id);
        let queue = vat.queue_mut().take();
        let wakers = std::mem::take(&mut vat.wishes_mut().awake);
        let refusal = Refusal::no_space(why);
        for no in queue {
            self.requests
                .refuse(no, &refusal, self.timers, &mut self.cx);
        }
        self.cx.refuse_all(wakers, &refusal);
    }

    /// The vat's own files hinder what it handed over: it runs no more, the others go on.
    pub fn on_damaged(&mut self, id: VatId, generation: u64, why: String) {
        self.take_back(id);
        self.slots.give_back(id);
        self.cx.kill(id, generation);
        self.break_vat(id, why);
    }

    /// The vat's share of a frame is in its image.
    pub fn on_vat_applied(&mut self, turns: HandedOver) {
        let Some(vat) = self.vats.get_mut(turns.vat) else {
            return;
        };
        let is_current = vat.is_current(turns.generation);
        let notified = is_current.then_some(turns.hand_over);
        vat.progress_mut().applied(notified);
        self.vats.touch(turns.vat);
    }

    /// There is space on the disk again.
    pub fn on_space(&mut self) {
        for vat in self.vats.all_mut().filter(|vat| vat.faults().no_space) {
            let is_broken = vat.worker().is_broken();
            vat.faults_mut().no_space = false;
            // Said of a disk that is no longer full; a broken vat has a reason of its own.
            if !is_broken {
                vat.faults_mut().last_error = None;
            }
        }
    }
}
