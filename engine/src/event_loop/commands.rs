//! What other threads ask: handed to the core as events, or answered from what is committed.

use std::collections::HashMap;

use kenvat_core::api::{CallError, LogChunk, VatInfo, VatLimits};
use kenvat_core::event::Event;
use kenvat_core::{Core, VatView};
use kenvat_store::{EngineHash, FileBackend, Store, StoreError, VatId};

use super::committer::{Committer, Hashing};
use super::workers::Workers;
use super::{INLINE_PAGES_MAX, Waiter, say};
use crate::handle::{Answerer, Command};
use crate::log_lines::{bytes_to_read, whole_lines};
use crate::options::EngineOptions;

/// Whom a command is for.
pub(super) enum Addressee {
    /// The core.
    Core(Event<Waiter>),
    /// The loop: a question, or something about the loop itself.
    Loop(Command),
}

/// Whom a command is for; the event it is, if it is for the core.
pub(super) fn address(command: Command) -> Addressee {
    Addressee::Core(match command {
        Command::Call(call, to) => Event::Call {
            call,
            waiter: Waiter::Call(to),
        },
        Command::Ask(key, to) => Event::Ask {
            key,
            waiter: Waiter::Ask(to),
        },
        Command::TryOut(deploy, to) => Event::DryRun {
            deploy,
            waiter: Waiter::Deploy(to),
        },
        Command::SetLimits(vat, limits, to) => Event::Limit {
            vat,
            limits,
            waiter: Waiter::Done(to),
        },
        Command::Deploy(deploy, limits, to) => Event::Deploy {
            deploy,
            limits,
            waiter: Waiter::Deploy(to),
        },
        Command::Sleep(vat, to) => Event::Sleep {
            vat,
            waiter: Waiter::Done(to),
        },
        Command::Wake(vat, to) => Event::Wake {
            vat,
            waiter: Waiter::Done(to),
        },
        Command::Terminate(vat, to) => Event::Terminate {
            vat,
            waiter: Waiter::Done(to),
        },
        other => return Addressee::Loop(other),
    })
}

/// What questions that change nothing are answered from.
pub(super) struct Inspector<'a> {
    pub core: &'a Core<Waiter>,
    pub store: &'a mut Store<FileBackend>,
    pub workers: &'a Workers,
    pub committer: &'a Committer,
    pub options: &'a EngineOptions,
}

impl Inspector<'_> {
    /// Answers a question. An asker that went away needs no answer.
    pub fn answer(&mut self, command: Command) {
        match command {
            Command::List(to) => {
                let pids = self.workers.pids();
                let vats = self.core.vats();
                let infos = vats.map(|view| self.info(&view, &pids)).collect();
                drop(to.send(infos));
            }
            Command::Show(name, to) => {
                let pids = self.workers.pids();
                let info = self.view(&name).map(|view| self.info(&view, &pids));
                drop(to.send(info));
            }
            Command::HeapHash(name, to) => match self.view(&name).map(|view| view.id) {
                Ok(vat) => self.hash_heap(vat, 1, to),
                Err(error) => drop(to.send(Err(error))),
            },
            Command::Logs {
                vat,
                from,
                bytes_max,
                answer,
            } => drop(answer.send(self.logs(&vat, from, bytes_max))),
            Command::Pressed(to) => {
                let lacks = self.store.is_space_exhausted() || self.core.lacks_space();
                let _ = to.send(lacks);
            }
            Command::Limits(to) => drop(to.send(self.options.table(VatLimits::default()))),
            Command::LimitsOf(name, to) => {
                let own = self.view(&name).map(|view| view.limits);
                drop(to.send(own.map(|own| self.options.table(own))));
            }
            _ => unreachable!("every other command is an event, or about the loop"),
        }
    }

    fn view(&self, name: &str) -> Result<VatView<'_>, CallError> {
        let found = self.core.vat_id(name);
        let found = found.and_then(|id| self.core.view(id));
        found.ok_or_else(|| self.core.unknown_vat(name))
    }

    fn info(&self, view: &VatView<'_>, pids: &HashMap<VatId, u32>) -> VatInfo {
        const PAGE_BYTES: u64 = kenvat_store::PAGE_BYTES as u64;
        let engine = EngineHash(view.row.engine);
        VatInfo {
            name: view.row.name.clone(),
            id: view.id.0,
            state: view.state,
            turns: view.counters.turns,
            heap_bytes: u64::from(view.counters.used_pages) * PAGE_BYTES,
            open_requests: view.open_requests,
            no_space: view.no_space,
            engine: engine.to_string(),
            genesis_sha256: self
                .store
                .genesis_sha256(engine)
                .map(hex)
                .unwrap_or_default(),
            source_sha256: view.row.source_sha256.clone(),
            heap_limit: u64::from(view.pages) * PAGE_BYTES,
            gas_limit: view.limits.gas.unwrap_or(self.options.gas),
            turn_ms_limit: view.limits.turn_ms.unwrap_or(self.options.turn_ms),
            own_limits: view.limits,
            worker_pid: pids.get(&view.id).copied(),
            last_error: view.last_error.map(str::to_owned),
        }
    }

    /// Hashes a vat's heap, a large one on another thread.
    fn hash_heap(&mut self, vat: VatId, tries: u32, asker: Answerer<Result<String, CallError>>) {
        let host = |error: &dyn std::fmt::Display| CallError::Host(error.to_string());
        let counters = self.core.view(vat).map(|view| view.counters);
        let Some(counters) = counters else {
            drop(asker.send(Err(CallError::Host(format!("vat {vat} is gone")))));
            return;
        };
        let reading = match self.store.read_heap(vat) {
            Ok(reading) => reading,
            Err(error) => return drop(asker.send(Err(host(&error)))),
        };
        if counters.used_pages <= INLINE_PAGES_MAX {
            let hash = reading.sha256().map(hex).map_err(|error| host(&error));
            return drop(asker.send(hash));
        }
        let turns = counters.turns;
        let hashing = Hashing {
            vat,
            turns,
            tries,
            asker,
        };
        // Without a thread the asker hears that nobody answers.
        if let Err(error) = self.committer.hash(hashing, reading) {
            say(format_args!("no thread to hash a heap: {error}"));
        }
    }

    /// A heap was hashed. One that changed meanwhile is hashed again, a few times.
    pub fn on_hashed(&mut self, hashing: Hashing, hash: Result<[u8; 32], StoreError>) {
        let Hashing {
            vat,
            turns,
            tries,
            asker,
        } = hashing;
        let now = self.core.view(vat).map(|view| view.counters.turns);
        if now == Some(turns) {
            let hash = hash.map(hex);
            let hash = hash.map_err(|error| CallError::Host(error.to_string()));
            return drop(asker.send(hash));
        }
        if tries < HASH_TRIES_MAX && now.is_some() {
            return self.hash_heap(vat, tries + 1, asker);
        }
        let why = "the heap changes faster than it can be hashed".to_owned();
        drop(asker.send(Err(CallError::Overloaded(why))));
    }

    fn logs(&mut self, name: &str, from: u64, bytes_max: usize) -> Result<LogChunk, CallError> {
        let id = self.view(name)?.id;
        let slice = self.store.log_read(id, from, bytes_to_read(bytes_max));
        let slice = slice.map_err(|error| CallError::Host(error.to_string()))?;
        Ok(whole_lines(slice, from))
    }
}

/// How often a heap that changes is hashed before that is given up.
const HASH_TRIES_MAX: u32 = 4;

fn hex(bytes: [u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
