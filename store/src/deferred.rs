//! Deferred apply: a frame is committed, but the disk has no space to apply it, although space was
//! reserved for it before (I2).
//!
//! Promises: what could not be applied is kept as the backlog of its vat, and later work for that
//! vat queues after it. While there is a backlog no fold runs, so the journal still holds all of
//! it, and no worker starts on that image. Applying a page or an image twice gives the same result.

use crate::backend::Backend;
use crate::error::StoreError;
use crate::ids::VatId;
use crate::pages::DirtyPage;
use crate::spill::SpillFile;
use crate::store::Store;
use std::collections::VecDeque;

/// Work of a committed frame that may be deferred until there is space.
#[derive(Debug)]
pub(crate) enum Deferred {
    /// The image itself, with its genesis content.
    Image,
    /// Applying a spill file to it.
    Spill(SpillFile),
    /// The rest of what the frame appends to the log.
    Log(Vec<u8>),
    /// A page, or consecutive pages of zeros.
    Pages(Vec<DirtyPage>),
}

impl<B: Backend> Store<B> {
    /// Whether the image of a vat has a backlog: its running worker goes on, but no other one
    /// starts.
    pub fn has_backlog(&self, vat: VatId) -> bool {
        self.backlog.contains_key(&vat)
    }

    /// Applies work of a committed frame, or defers it.
    pub(crate) fn apply_or_defer(
        &mut self,
        vat: VatId,
        deferred: Deferred,
    ) -> Result<(), StoreError> {
        // Also while a spill file is applied, since it may bring log.
        if self.backlog.contains_key(&vat) || self.applying.contains(&vat) {
            self.backlog.entry(vat).or_default().push_back(deferred);
            return Ok(());
        }
        if let Some(deferred) = self.try_apply(vat, deferred)? {
            self.backlog.insert(vat, VecDeque::from([deferred]));
        }
        Ok(())
    }

    /// Retries all backlogs.
    pub(crate) fn retry_backlogs(&mut self, caught_up: &mut Vec<VatId>) -> Result<(), StoreError> {
        let vats: Vec<VatId> = self.backlog.keys().copied().collect();
        for vat in vats {
            if self.retry_backlog(vat)? {
                caught_up.push(vat);
            }
        }
        Ok(())
    }

    /// Retries the backlog of one vat until a spill file has to be applied first. True if nothing
    /// is left.
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

    /// Tries to apply; returns the work if there is no space.
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
