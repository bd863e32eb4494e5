//! The real store on its disk in memory, as the simulated host holds it.
//!
//! Promises: options so small that segments are recycled and folds run within one short run; the
//! whole committed content can be read back as the model's `State`. Decides no faults.

use std::io;

use kenvat_core::event::{Ledger, LedgerError, Reserved, reserved};
use kenvat_store::backend::memory::{MemoryBackend, MemoryReader};
use kenvat_store::{
    Delta, EngineHash, Genesis, ImageError, Options, PAGE_BYTES, Recovery, Reservation, Store,
    StoreError, VatId, push_run,
};
use kenvat_wire::seed::{SEED_BYTES, Seed};

use crate::heap::{self, Base};
use crate::model::{State, TABLES};
use crate::program::{PAGE_LIMIT, Page, genesis_page};

/// What stands for a worker executable.
const EXECUTABLE: &[u8] = b"a worker of the simulation";
/// More log than one run writes.
const LOG_BYTES: usize = 1 << 20;

/// The store, open.
pub struct Disk {
    pub store: Store<MemoryBackend>,
    pub engine: EngineHash,
    /// Seeds given out in this life of the host: each is its number.
    seeds: u64,
}

/// Why there is no open store: the text of whichever error it was.
#[derive(Debug)]
pub struct DiskError(pub String);

impl Disk {
    /// Opens (or makes) the store and puts the engine in if it is not there.
    pub fn open(backend: MemoryBackend) -> Result<(Disk, Recovery), DiskError> {
        let options = Options {
            segment_bytes: 24 << 10,
            fold_bytes: 24 << 10,
            journal_bytes_max: 28 << 10,
            cached_pages_max: 16,
            open_images_max: 2,
            ballast_bytes: 2 << 20,
            ..Options::default()
        };
        let opened = Store::open(backend, options);
        let (mut store, recovery) = opened.map_err(|error| DiskError(error.to_string()))?;
        let put = store.put_engine(EXECUTABLE, &genesis());
        let engine = put.map_err(|error| DiskError(error.to_string()))?;
        Ok((
            Disk {
                store,
                engine,
                seeds: 0,
            },
            recovery,
        ))
    }

    /// The image of a vat, for a worker to stand on.
    pub fn image(&mut self, vat: VatId) -> Result<Image, ImageError> {
        Ok(Image(self.store.image(vat)?.file))
    }

    /// Everything committed and applied.
    pub fn read(&mut self) -> Result<State, DiskError> {
        let told = |error: StoreError| DiskError(error.to_string());
        let mut state = State::default();
        for table in TABLES {
            for (key, value) in self.store.scan(table, &[]).map_err(told)? {
                state.rows.insert((table, key), value);
            }
        }
        for meta in self.store.vats() {
            let image = self
                .image(meta.id)
                .map_err(|error| DiskError(error.to_string()))?;
            let mut heap = Vec::with_capacity(PAGE_LIMIT as usize * PAGE_BYTES);
            for page in 0..PAGE_LIMIT {
                let words = image
                    .page(page)
                    .map_err(|error| DiskError(error.to_string()))?;
                heap.extend(heap::bytes_of(&words));
            }
            state.heaps.insert(meta.id, heap);
            let log = self.store.log_read(meta.id, 0, LOG_BYTES).map_err(told)?;
            state.logs.insert(meta.id, log.bytes);
        }
        Ok(state)
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

    fn seed(&mut self) -> Result<Seed, LedgerError> {
        self.seeds += 1;
        let mut bytes = [0; SEED_BYTES];
        bytes[..8].copy_from_slice(&self.seeds.to_le_bytes());
        Ok(Seed::from(bytes))
    }

    fn reserve(&mut self, wish: &Reservation<'_>) -> Result<Reserved, LedgerError> {
        reserved(self.store.reserve(wish))
    }

    fn is_behind(&self, vat: VatId) -> bool {
        self.store.has_backlog(vat) || self.store.is_applying(vat)
    }

    fn has_stopped(&self) -> bool {
        self.store.latched().is_some()
    }
}

/// A read-only descriptor of an image.
pub struct Image(MemoryReader);

impl Base for Image {
    fn page(&self, page: u32) -> io::Result<Page> {
        let mut bytes = [0; PAGE_BYTES];
        self.0
            .read_at(u64::from(page) * PAGE_BYTES as u64, &mut bytes)?;
        Ok(heap::words_of(&bytes))
    }
}

fn genesis() -> Genesis {
    let mut bytes = Vec::new();
    for page in (0..PAGE_LIMIT).filter(|page| genesis_page(*page)[0] != 0) {
        push_run(&mut bytes, page, 0, &heap::bytes_of(&genesis_page(page)));
    }
    let delta = Delta::parse(bytes, PAGE_LIMIT).expect("runs in order, within the limit");
    Genesis::from_delta(&delta).expect("two pages are not too large")
}
