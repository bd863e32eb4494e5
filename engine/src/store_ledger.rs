//! The store as the core and the thread see it, and the machine's chance.

use kenvat_store::{FileBackend, Reservation, Store, VatId};
use zeroize::{Zeroize, Zeroizing};

use kenvat_core::event::{Ledger, LedgerError, Reserved, reserved};
use kenvat_wire::seed::{SEED_BYTES, Seed};

/// Seeds asked of the operating system at a time: one system call each would cost more than the
/// bytes do.
const SEEDS_A_TIME: usize = 32;

/// The store of a host.
pub(crate) struct StoreLedger {
    pub store: Store<FileBackend>,
    /// Something found no room since the last look.
    pub was_refused: bool,
    /// The operating system's bytes, each given once and wiped here then.
    chance: Zeroizing<[u8; SEEDS_A_TIME * SEED_BYTES]>,
    /// How many of them are left, at the end.
    left: usize,
}

impl StoreLedger {
    pub fn new(store: Store<FileBackend>) -> StoreLedger {
        StoreLedger {
            store,
            was_refused: false,
            chance: Zeroizing::new([0; SEEDS_A_TIME * SEED_BYTES]),
            left: 0,
        }
    }
}

impl Ledger for StoreLedger {
    fn get(&self, table: u8, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError> {
        self.store
            .get(table, key)
            .map_err(|error| LedgerError(error.to_string()))
    }

    fn next_vat_id(&mut self) -> VatId {
        self.store.next_vat_id()
    }

    fn seed(&mut self) -> Result<Seed, LedgerError> {
        if self.left == 0 {
            getrandom::fill(&mut self.chance[..])
                .map_err(|error| LedgerError(format!("the system gives no chance: {error}")))?;
            self.left = self.chance.len();
        }
        let at = self.chance.len() - self.left;
        let bytes = &mut self.chance[at..at + SEED_BYTES];
        self.left -= SEED_BYTES;
        Seed::filled(|seed| {
            seed.copy_from_slice(bytes);
            bytes.zeroize();
            Ok(())
        })
    }

    fn reserve(&mut self, wish: &Reservation<'_>) -> Result<Reserved, LedgerError> {
        let answer = reserved(self.store.reserve(wish));
        self.was_refused |= matches!(answer, Ok(Reserved::NoSpace(_)));
        answer
    }

    fn is_behind(&self, vat: VatId) -> bool {
        self.store.has_backlog(vat) || self.store.is_applying(vat)
    }

    fn has_stopped(&self) -> bool {
        self.store.latched().is_some()
    }
}
