//! The store as the core and the thread see it.

use kenvat_store::{FileBackend, Store, VatId, Wish};

use crate::turn::event::{Ledger, LedgerError, Reserved, reserved};

/// The store of a host.
pub(crate) struct Disk {
    pub store: Store<FileBackend>,
    /// Something found no room since the last look.
    pub was_refused: bool,
}

impl Disk {
    pub fn new(store: Store<FileBackend>) -> Disk {
        let was_refused = false;
        Disk { store, was_refused }
    }
}

impl Ledger for Disk {
    fn get(&self, table: u8, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError> {
        self.store
            .get(table, key)
            .map_err(|error| LedgerError(error.to_string()))
    }

    fn next_vat_id(&mut self) -> VatId {
        self.store.next_vat_id()
    }

    fn reserve(&mut self, wish: &Wish<'_>) -> Result<Reserved, LedgerError> {
        let answer = reserved(self.store.reserve(wish));
        self.was_refused |= matches!(answer, Ok(Reserved::NoRoom(_)));
        answer
    }

    fn is_behind(&self, vat: VatId) -> bool {
        self.store.is_behind(vat) || self.store.is_applying(vat)
    }

    fn has_stopped(&self) -> bool {
        self.store.latched().is_some()
    }
}
