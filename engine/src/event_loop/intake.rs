//! What workers say, on its way to the core: whole messages at once, large hand-overs by way of
//! spill files, and a worker's end only after all that it sent.
//!
//! Promises: a worker's end is told to the core only after everything whole that it sent was (T1);
//! nothing is read from a worker that is held. Borrows what it needs of the loop for one step.

use std::collections::VecDeque;
use std::io;

use kenvat_core::Core;
use kenvat_core::event::{Death, Event};
use kenvat_core::limits::LONG_MESSAGE_BYTES;
use kenvat_store::{FileBackend, Store, StoreError, VatId};
use kenvat_wire::protocol::{FromWorker, HandOver};
use rustix::process::Signal;

use super::long_messages::LongMessages;
use super::reactor::Reactor;
use super::workers::{Next, Reaped, Workers};
use super::{Waiter, say};
use crate::affinity::Affinity;
use crate::spill::{Done, Origin, Reading, Resumed, SpillFault, SpillFiles};

/// What reading from workers touches.
pub(super) struct Intake<'a> {
    pub core: &'a Core<Waiter>,
    pub store: &'a mut Store<FileBackend>,
    pub events: &'a mut VecDeque<Event<Waiter>>,
    pub reactor: &'a Reactor,
    pub workers: &'a mut Workers,
    pub spill: &'a mut SpillFiles<FileBackend>,
    pub long: &'a mut LongMessages,
}

impl Intake<'_> {
    /// A worker's socket is ready.
    pub fn on_socket(&mut self, generation: u64) {
        self.workers.hear(generation, self.reactor);
        self.take_messages(generation);
        self.workers.mark_heard(generation);
    }

    /// A worker's process has ended.
    pub fn on_ended(&mut self, generation: u64, affinity: &mut Affinity) -> io::Result<()> {
        self.workers.hear_all(generation);
        self.take_messages(generation);
        // A large hand-over that is not durable yet did not come whole.
        self.spill.give_up(generation);
        self.end_long_message(generation);
        let Some(reaped) = self.workers.reap(generation, || affinity.unpin())? else {
            return Ok(());
        };
        let Reaped {
            vat,
            mut death,
            running,
            last_words,
        } = reaped;
        // A file system in memory that is full has no page for a hole, and says so by a signal.
        let is_bus = death == Death::Signal(Signal::BUS.as_raw());
        if is_bus && self.store.is_disk_full() {
            death = Death::NoSpace;
        }
        if !last_words.is_empty() {
            say(format_args!("the worker of vat {vat} said: {last_words}"));
        }
        self.events.push_back(Event::WorkerGone {
            vat,
            generation,
            death,
            running,
        });
        Ok(())
    }

    /// The thread that writes spill files finished something. Whether the disk had no room for it.
    pub fn on_spill(&mut self, done: Done) -> Result<bool, StoreError> {
        let outcome = self.spill.on_done(done, self.store, self.events)?;
        match outcome.resumed {
            Resumed::Nobody => {}
            Resumed::Workers(generations) => {
                for generation in generations {
                    self.resume(generation);
                }
            }
            Resumed::Vat(vat) => self.resume_vat(vat),
        }
        Ok(outcome.was_refused)
    }

    /// There was space to bring these vats' images up.
    pub fn on_caught_up(&mut self, caught_up: &[VatId]) {
        for vat in self.spill.on_caught_up(caught_up) {
            self.resume_vat(vat);
        }
    }

    /// A large hand-over of the vat is in its image.
    fn resume_vat(&mut self, vat: VatId) {
        for generation in self.workers.generations_of(vat) {
            self.end_long_message(generation);
            self.resume(generation);
        }
    }

    fn take_messages(&mut self, generation: u64) {
        loop {
            match self.workers.next_message(generation) {
                Next::Nothing => return,
                Next::Partial { bytes } => {
                    if bytes > LONG_MESSAGE_BYTES
                        && self.long.begin(generation, bytes) == Reading::Stops
                    {
                        self.workers.hold(generation, self.reactor);
                    }
                    return;
                }
                Next::Garbage { vat, why } => return self.on_garbage(vat, generation, why),
                Next::Message(from, message) => {
                    if let Err(fault) = self.take(from, message) {
                        return self.on_garbage(from.vat, generation, fault.to_string());
                    }
                }
            }
        }
    }

    fn take(&mut self, from: Origin, message: FromWorker) -> Result<(), SpillFault> {
        let (vat, generation) = (from.vat, from.generation);
        let reading = match message {
            FromWorker::Delta { bytes, .. } => self.spill.on_piece(self.store, from, bytes)?,
            FromWorker::HandOver(hand_over) if self.is_large(vat, &hand_over) => {
                self.spill.on_large(self.store, from, hand_over)?
            }
            message => {
                // The core gives out at the next commit what nobody keeps.
                self.end_long_message(generation);
                self.events.push_back(Event::FromWorker {
                    vat,
                    generation,
                    message,
                });
                Reading::Goes
            }
        };
        if reading == Reading::Stops {
            self.workers.hold(generation, self.reactor);
        }
        Ok(())
    }

    fn is_large(&self, vat: VatId, hand_over: &HandOver) -> bool {
        self.core.is_large(vat, hand_over)
    }

    /// Nothing after it can be told apart: the process goes.
    fn on_garbage(&mut self, vat: VatId, generation: u64, why: String) {
        self.events.push_back(Event::WorkerUnintelligible {
            vat,
            generation,
            why,
        });
        self.spill.give_up(generation);
        self.workers.cut_off(generation, self.reactor);
    }

    /// A worker's long message is where it belongs, or counts no more: others may be read.
    fn end_long_message(&mut self, generation: u64) {
        if !self.long.end(generation) {
            return;
        }
        while let Some(next) = self.long.try_next() {
            self.resume(next);
            if !self.long.settle_next(next) {
                break;
            }
        }
    }

    /// Reads from a worker again, unless its hand-over is still under way.
    fn resume(&mut self, generation: u64) {
        if self.spill.may_read(generation) && self.workers.resume(generation, self.reactor) {
            self.take_messages(generation);
            self.workers.mark_heard(generation);
        }
    }
}
