//! Large hand-overs of the simulated host: the engine's own code (`kenvat_engine::spill`), with the
//! thread that writes spill files taken one piece of work at a time (J7).

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;

use kenvat_engine::spill::{
    Done, Origin, Reading, Resumed, SpillFault, SpillFiles, SpillThread, Work,
};
use kenvat_store::VatId;
use kenvat_store::backend::memory::MemoryBackend;
use kenvat_wire::protocol::HandOver;

use super::Host;
use crate::model::{Change, Spilled};
use crate::program::PAGE_LIMIT;
use crate::stop::Stop;

/// Large hand-overs on their way, and what the model has to know of them.
pub(super) struct Spilling {
    pub files: SpillFiles<MemoryBackend>,
    work: mpsc::Receiver<Work<MemoryBackend>>,
    /// Work that was taken from the channel and is not done.
    queue: RefCell<VecDeque<Work<MemoryBackend>>>,
    writer: SpillThread<MemoryBackend>,
    done: VecDeque<Done>,
    /// What goes to each worker's file, by generation.
    under_way: BTreeMap<u64, Spilled>,
    /// What is in files that are durable and not named by a frame yet, by their numbers.
    written: BTreeMap<u64, (VatId, Spilled)>,
}

impl Spilling {
    pub fn new() -> Spilling {
        let (to_writer, work) = mpsc::channel();
        let queued = Arc::new(AtomicUsize::new(0));
        Spilling {
            files: SpillFiles::new(to_writer, queued.clone()),
            work,
            queue: RefCell::default(),
            writer: SpillThread::new(queued),
            done: VecDeque::new(),
            under_way: BTreeMap::new(),
            written: BTreeMap::new(),
        }
    }

    pub fn has_work(&self) -> bool {
        let mut queue = self.queue.borrow_mut();
        queue.extend(self.work.try_iter());
        !queue.is_empty()
    }

    pub fn has_done(&self) -> bool {
        !self.done.is_empty()
    }

    pub fn is_idle(&self) -> bool {
        !self.has_work() && !self.has_done() && !self.files.has_whole()
    }

    /// The thread does its next piece of work.
    pub fn work(&mut self) {
        if !self.has_work() {
            return;
        }
        let Some(work) = self.queue.borrow_mut().pop_front() else {
            return;
        };
        if let Work::Finish(generation, spill, _) = &work
            && let Ok(contents) = spill.as_ref().clone().check()
        {
            let spilled = self.under_way.entry(*generation).or_default();
            spilled.rows = contents.rows().collect();
            spilled.log = contents.log().to_vec();
        }
        self.done.extend(self.writer.perform(work));
    }

    pub fn give_up(&mut self, generation: u64) {
        self.files.give_up(generation);
    }

    /// What a frame changes by naming a file.
    pub fn changes(&mut self, number: u64) -> Vec<Change> {
        let (vat, spilled) = self.written.remove(&number).expect("it was written");
        spilled.changes(vat)
    }

    /// A file is durable: its hand-over goes to the core next.
    fn note(&mut self, done: &Done, vat_of: impl Fn(u64) -> Option<VatId>) {
        let Done::Written(generation, written) = done else {
            return;
        };
        let spilled = self.under_way.remove(generation);
        if let Ok(checked) = written.as_ref()
            && let (Some(side), Some(vat)) = (&checked.side, vat_of(*generation))
        {
            self.written
                .insert(side.number(), (vat, spilled.unwrap_or_default()));
        }
    }
}

impl Host {
    pub(super) fn take_piece(
        &mut self,
        vat: VatId,
        generation: u64,
        bytes: Vec<u8>,
    ) -> Result<(), Stop> {
        let spilled = self.spilling.under_way.entry(generation).or_default();
        spilled.delta.extend(&bytes);
        let (from, store) = (origin(vat, generation), &mut self.disk.store);
        let taken = self.spilling.files.on_piece(store, from, bytes);
        self.on_taken(from, taken)
    }

    pub(super) fn take_large(
        &mut self,
        vat: VatId,
        generation: u64,
        hand_over: HandOver,
    ) -> Result<(), Stop> {
        let (from, store) = (origin(vat, generation), &mut self.disk.store);
        let taken = self.spilling.files.on_large(store, from, hand_over);
        self.on_taken(from, taken)
    }

    fn on_taken(&mut self, from: Origin, taken: Result<Reading, SpillFault>) -> Result<(), Stop> {
        match taken {
            Ok(Reading::Goes) => {}
            Ok(Reading::Stops) => _ = self.held.insert(from.generation),
            Err(SpillFault::Store(error)) => return Err(error.into()),
            Err(fault) => self.cut_off(from.vat, from.generation, fault.to_string()),
        }
        Ok(())
    }

    /// The event loop's end of a tick.
    pub(super) fn ask_for_spill_files(&mut self) -> Result<(), Stop> {
        if !self.spilling.files.has_whole() {
            return Ok(());
        }
        let store = &mut self.disk.store;
        let files = &mut self.spilling.files;
        Ok(files.ask_for_files(&self.core, store, &mut self.events)?)
    }

    /// The host hears what became of a piece of work.
    pub(super) fn hear_of_spill(&mut self) -> Result<(), Stop> {
        let Some(done) = self.spilling.done.pop_front() else {
            return Ok(());
        };
        let workers = &self.workers;
        self.spilling.note(&done, |generation| {
            workers.get(&generation).map(|it| it.vat)
        });
        let store = &mut self.disk.store;
        let outcome = self.spilling.files.on_done(done, store, &mut self.events)?;
        self.resume(outcome.resumed);
        match outcome.was_refused {
            true => self.begin_fold(),
            false => Ok(()),
        }
    }

    /// Workers are read from again, unless a large hand-over of theirs is under way.
    pub(super) fn resume(&mut self, resumed: Resumed) {
        let resumed = match resumed {
            Resumed::Nobody => Vec::new(),
            Resumed::Workers(generations) => generations,
            Resumed::Vat(vat) => {
                let of_vat = self.workers.values().filter(|worker| worker.vat == vat);
                of_vat.map(|worker| worker.generation).collect()
            }
        };
        for generation in resumed {
            if self.spilling.files.may_read(generation) {
                self.held.remove(&generation);
            }
        }
    }
}

fn origin(vat: VatId, generation: u64) -> Origin {
    Origin {
        vat,
        generation,
        page_limit: PAGE_LIMIT,
    }
}
