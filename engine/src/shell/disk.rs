//! The store as the core and the thread see it.

use kenvat_store::{FileBackend, Store, VatId};

use crate::turn::event::{Ledger, LedgerError};

/// The store of a host.
pub(crate) struct Disk {
    pub store: Store<FileBackend>,
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
}
