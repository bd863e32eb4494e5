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
use crate::side::Side;
use crate::store::Store;
use std::collections::VecDeque;

/// Something of a committed frame that waits for room.
#[derive(Debug)]
pub(crate) enum Owed {
    /// The image itself, with its genesis content.
    Image,
    /// A side file that is to be brought into it.
    Side(Side),
    /// The rest of what the frame appends.
    Log(Vec<u8>),
    /// A page, or pages of zeros that follow each other.
    Pages(Vec<DirtyPage>),
}

impl<B: Backend> Store<B> {
    /// Whether a vat's image is behind: its worker goes on, no other one starts.
    pub fn is_behind(&self, vat: VatId) -> bool {
        self.behind.contains_key(&vat)
    }

    /// Does something of a committed frame, or keeps it until there is room.
    pub(crate) fn do_or_owe(&mut self, vat: VatId, owed: Owed) -> Result<(), StoreError> {
        // Behind a side file, too, which may bring log.
        if self.behind.contains_key(&vat) || self.applying.contains(&vat) {
            self.behind.entry(vat).or_default().push_back(owed);
            return Ok(());
        }
        if let Some(owed) = self.try_owed(vat, owed)? {
            self.behind.insert(vat, VecDeque::from([owed]));
        }
        Ok(())
    }

    /// Tries everything that waits.
    pub(crate) fn catch_up(&mut self, caught_up: &mut Vec<VatId>) -> Result<(), StoreError> {
        let vats: Vec<VatId> = self.behind.keys().copied().collect();
        for vat in vats {
            if self.go_on_owing(vat)? {
                caught_up.push(vat);
            }
        }
        Ok(())
    }

    /// Tries what waits of one vat, as far as no side file is being applied. Whether nothing waits.
    pub(crate) fn go_on_owing(&mut self, vat: VatId) -> Result<bool, StoreError> {
        let mut waiting = self.behind.remove(&vat).unwrap_or_default();
        while !self.applying.contains(&vat)
            && let Some(owed) = waiting.pop_front()
        {
            if let Some(owed) = self.try_owed(vat, owed)? {
                waiting.push_front(owed);
                break;
            }
        }
        if waiting.is_empty() {
            return Ok(true);
        }
        self.behind.insert(vat, waiting);
        Ok(false)
    }

    /// Gives back what found no room.
    pub(crate) fn try_owed(&mut self, vat: VatId, owed: Owed) -> Result<Option<Owed>, StoreError> {
        let done = match &owed {
            Owed::Image => self.make_image(vat),
            Owed::Side(side) => self.begin_applying(side.clone()),
            Owed::Pages(pages) => self.write_pages(pages),
            Owed::Log(bytes) => {
                let before = self.vats.get(&vat).map_or(0, |found| found.log.end);
                let done = self.append_log(vat, bytes);
                let after = self.vats.get(&vat).map_or(0, |found| found.log.end);
                if let Err(StoreError::NoRoom(_)) = done {
                    let rest = bytes.get((after - before) as usize..).unwrap_or_default();
                    return Ok(Some(Owed::Log(rest.to_vec())));
                }
                done
            }
        };
        match done {
            Ok(()) => Ok(None),
            Err(StoreError::NoRoom(_)) => Ok(Some(owed)),
            Err(error) => Err(error),
        }
    }
}
