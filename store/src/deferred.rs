//! Images that are behind: a frame is committed and stays so, and the disk has no room to apply it,
//! though room was taken for it before (I2).
//!
//! Promises: what could not be done is kept, and whatever comes later for the same vat waits behind
//! it; while anything waits there is no fold, so that the journal still holds all of it, and no
//! worker starts on such an image. Doing a page or an image again is doing it.

use crate::backend::Backend;
use crate::error::StoreError;
use crate::ids::VatId;
use crate::pages::DirtyPage;
use crate::spill::SpillFile;
use crate::store::Store;
use std::collections::VecDeque;

/// Something of a committed frame that waits for room.
#[derive(Debug)]
pub(crate) enum Deferred {
    /// The image itself, with its genesis content.
    Image,
    /// A side file that is to be brought into it.
    Spill(SpillFile),
    /// The rest of what the frame appends.
    Log(Vec<u8>),
    /// A page, or pages of zeros that follow each other.
    Pages(Vec<DirtyPage>),
}

impl<B: Backend> Store<B> {
    /// Whether a vat's image is behind: its worker goes on, no other one starts.
    pub fn has_backlog(&self, vat: VatId) -> bool {
        self.backlog.contains_key(&vat)
    }

    /// Does something of a committed frame, or keeps it until there is room.
    pub(crate) fn apply_or_defer(
        &mut self,
        vat: VatId,
        deferred: Deferred,
    ) -> Result<(), StoreError> {
        // Behind a side file, too, which may bring log.
        if self.backlog.contains_key(&vat) || self.applying.contains(&vat) {
            self.backlog.entry(vat).or_default().push_back(deferred);
            return Ok(());
        }
        if let Some(deferred) = self.try_apply(vat, deferred)? {
            self.backlog.insert(vat, VecDeque::from([deferred]));
        }
        Ok(())
    }

    /// Tries everything that waits.
    pub(crate) fn retry_backlogs(&mut self, caught_up: &mut Vec<VatId>) -> Result<(), StoreError> {
        let vats: Vec<VatId> = self.backlog.keys().copied().collect();
        for vat in vats {
            if self.retry_backlog(vat)? {
                caught_up.push(vat);
            }
        }
        Ok(())
    }

    /// Tries what waits of one vat, as far as no side file is being applied. Whether nothing waits.
    pub(crate) fn retry_backlog(&mut self, vat: VatId) -> Result<bool, StoreError> {
        let mut waiting = self.backlog.remove(&vat).unwrap_or_default();
        while !self.applying.contains(&vat)
            && let Some(deferred) = waiting.pop_front()
        {
            if let Some(deferred) = self.try_apply(vat, deferred)? {
                waiting.push_front(deferred);
                break;
            }
        }
        if waiting.is_empty() {
            return Ok(true);
        }
        self.backlog.insert(vat, waiting);
        Ok(false)
    }

    /// Gives back what found no room.
    pub(crate) fn try_apply(
        &mut self,
        vat: VatId,
        deferred: Deferred,
    ) -> Result<Option<Deferred>, StoreError> {
        let done = match &deferred {
            Deferred::Image => self.make_image(vat),
            Deferred::Spill(spill) => self.begin_applying(spill.clone()),
            Deferred::Pages(pages) => self.write_pages(pages),
            Deferred::Log(bytes) => {
                let before = self.vats.get(&vat).map_or(0, |found| found.log.end);
                let done = self.append_log(vat, bytes);
                let after = self.vats.get(&vat).map_or(0, |found| found.log.end);
                if let Err(StoreError::NoSpace(_)) = done {
                    let rest = bytes.get((after - before) as usize..).unwrap_or_default();
                    return Ok(Some(Deferred::Log(rest.to_vec())));
                }
                done
            }
        };
        match done {
            Ok(()) => Ok(None),
            Err(StoreError::NoSpace(_)) => Ok(Some(deferred)),
            Err(error) => Err(error),
        }
    }
}
