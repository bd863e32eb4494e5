//! The start of workers: on a vat's image once that is checked, or on a copy of genesis in memory.
//!
//! Promises: no process starts over an image that was not checked (I3); a large image is checked on
//! another thread; a new process runs on any processor. Borrows what it needs of the loop for one
//! start.

use std::fs::File;
use std::time::Duration;

use kenvat_core::api::VatLimits;
use kenvat_core::{Core, VatView};
use kenvat_store::{Checked, EngineHash, FileBackend, Store, VatId};
use kenvat_wire::protocol::{PROTOCOL_VERSION, Start, ToWorker};

use super::committer::Committer;
use super::engines::Engines;
use super::reactor::Reactor;
use super::start_error::NotStarted;
use super::workers::{Starting, Workers};
use super::{INLINE_PAGES_MAX, Waiter};
use crate::affinity::Affinity;
use crate::options::EngineOptions;
use crate::process::{Worker, image_in_memory};

/// What the start of a worker touches.
pub(super) struct Starter<'a> {
    pub core: &'a Core<Waiter>,
    pub store: &'a mut Store<FileBackend>,
    pub engines: &'a mut Engines,
    pub workers: &'a mut Workers,
    pub reactor: &'a Reactor,
    pub committer: &'a Committer,
    pub affinity: &'a mut Affinity,
    pub options: &'a EngineOptions,
}

/// What a worker runs with.
#[derive(Clone, Copy)]
struct Setup {
    engine: EngineHash,
    page_limit: u32,
    limits: VatLimits,
}

impl Setup {
    fn of(view: &VatView<'_>) -> Setup {
        Setup {
            engine: EngineHash(view.row.engine),
            page_limit: view.pages,
            limits: view.limits,
        }
    }
}

impl Starter<'_> {
    /// Starts a worker on its vat's image, or has the image checked for it first.
    pub fn start(&mut self, vat: VatId, generation: u64) -> Result<(), NotStarted> {
        let view = self.core.view(vat).ok_or("the vat is gone")?;
        let setup = Setup::of(&view);
        let is_large = view.counters.used_pages > INLINE_PAGES_MAX;
        self.store.extend(vat, setup.page_limit)?;
        let reading = self.store.read_image(vat)?;
        if is_large {
            self.committer
                .check_image(generation, reading)
                .map_err(|error| NotStarted::of("check its image", &error))?;
            self.workers.await_start(vat, generation);
            return Ok(());
        }
        let image = self.store.checked(reading.check())?;
        self.spawn(vat, generation, image.file, setup)
    }

    /// The image of a worker's vat was checked on another thread: it is started now.
    pub fn resume(
        &mut self,
        generation: u64,
        starting: &Starting,
        checked: Checked,
    ) -> Result<(), NotStarted> {
        let vat = starting.vat;
        let view = self.core.view(vat).ok_or("the vat is gone")?;
        let setup = Setup::of(&view);
        let image = self.store.checked(checked)?;
        self.spawn(vat, generation, image.file, setup)?;
        self.workers.queue_first(generation, starting);
        Ok(())
    }

    /// Starts a worker for a vat that is not there yet, on a copy of genesis.
    pub fn deploy(
        &mut self,
        vat: VatId,
        generation: u64,
        page_limit: u32,
        limits: VatLimits,
    ) -> Result<(), NotStarted> {
        let engine = self.core.engine();
        let genesis = self.engines.genesis(self.store, engine)?;
        let length = u64::from(page_limit) * kenvat_store::PAGE_BYTES as u64;
        let image = image_in_memory(genesis.ranges(), length)
            .map_err(|error| NotStarted::of("make its image", &error))?;
        let setup = Setup {
            engine,
            page_limit,
            limits,
        };
        self.spawn(vat, generation, image, setup)
    }

    fn spawn(
        &mut self,
        vat: VatId,
        generation: u64,
        image: File,
        setup: Setup,
    ) -> Result<(), NotStarted> {
        let Setup {
            engine,
            page_limit,
            limits,
        } = setup;
        let executable = self.engines.executable(self.store, engine)?;
        let turn_ms = limits.turn_ms.unwrap_or(self.options.turn_ms);
        // A process begins where the thread that starts it may be.
        self.affinity.unpin();
        let mut worker = Worker::spawn(executable, image, Duration::from_millis(turn_ms))?;
        worker.page_limit = page_limit;
        worker.queue(&ToWorker::Start(Start {
            protocol: PROTOCOL_VERSION,
            generation,
            page_limit,
            genesis: false,
            gas: limits.gas.unwrap_or(self.options.gas),
            tracker: self.options.tracker,
        }));
        self.reactor
            .add(generation, &worker)
            .map_err(|errno| NotStarted::of("watch its worker", &errno.into()))?;
        self.workers.insert(vat, generation, worker);
        Ok(())
    }
}
