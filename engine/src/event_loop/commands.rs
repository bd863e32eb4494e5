//! What other threads ask: handed to the core as events, or answered from what is committed.

use std::collections::HashMap;
use std::sync::mpsc::TryRecvError;
use std::time::Instant;

use kenvat_store::{StoreError, VatId, VerifyReport};

use super::commit::Hashing;
use super::{COMMANDS_A_TICK, EventLoop, INLINE_PAGES_MAX, STOP_PATIENCE, Stopping, Waiter, say};
use crate::handle::{Answerer, Command};
use crate::log_lines::{bytes_to_read, whole_lines};
use crate::trace::Step;
use kenvat_core::VatView;
use kenvat_core::api::{CallError, DamageReport, LogChunk, StoreReport, VatInfo, VatLimits};
use kenvat_core::event::Event;

impl EventLoop {
    pub(super) fn take_commands(&mut self) {
        for _ in 0..COMMANDS_A_TICK {
            match self.inbox.try_recv() {
                Ok(command) => self.on_command(command),
                Err(TryRecvError::Empty) => return,
                // Every handle is gone; nobody can stop the engine any more, so it stops itself.
                Err(TryRecvError::Disconnected) => {
                    self.begin_stop(None);
                    return;
                }
            }
        }
        // More may wait: come back at once.
        self.notifier.notify();
    }

    fn on_command(&mut self, command: Command) {
        let event = match command {
            Command::Call(call, to) => {
                self.mark(|_| Step::Taken);
                Event::Call {
                    call,
                    waiter: Waiter::Call(to),
                }
            }
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
            other => return self.on_question(other),
        };
        self.events.push_back(event);
    }

    /// Questions that change nothing. An asker that went away needs no answer.
    fn on_question(&mut self, command: Command) {
        match command {
            Command::List(to) => {
                let pids = self.pids();
                let vats = self.core.vats();
                let infos = vats.map(|view| self.info(&view, &pids)).collect();
                drop(to.send(infos));
            }
            Command::Show(name, to) => {
                let pids = self.pids();
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
            } => {
                drop(answer.send(self.logs(&vat, from, bytes_max)));
            }
            Command::Pressed(to) => {
                let lacks = self.ledger.store.is_space_exhausted() || self.core.lacks_space();
                // An asker that went away needs no answer.
                let _ = to.send(lacks);
            }
            // Begun at the end of this round.
            Command::Verify(to) => self.verifiers.push(to),
            Command::Limits(to) => drop(to.send(self.options.table(VatLimits::default()))),
            Command::LimitsOf(name, to) => {
                let own = self.view(&name).map(|view| view.limits);
                drop(to.send(own.map(|own| self.options.table(own))));
            }
            Command::Stop(to) => self.begin_stop(Some(to)),
            Command::Watch(to) => self.watchers.push(to),
            _ => unreachable!("the caller kept the rest"),
        }
    }

    fn begin_stop(&mut self, to: Option<Answerer<Result<(), CallError>>>) {
        if self.stopping.is_none() {
            let until = Instant::now() + STOP_PATIENCE;
            self.stopping = Some(Stopping { asker: to, until });
        }
    }

    fn view(&self, name: &str) -> Result<VatView<'_>, CallError> {
        let found = self.core.vat_id(name);
        let found = found.and_then(|id| self.core.view(id));
        found.ok_or_else(|| self.core.unknown_vat(name))
    }

    /// The workers' process ids.
    fn pids(&self) -> HashMap<VatId, u32> {
        let workers = self.workers.values();
        workers.map(|(vat, worker)| (*vat, worker.pid())).collect()
    }

    fn info(&self, view: &VatView<'_>, pids: &HashMap<VatId, u32>) -> VatInfo {
        const PAGE_BYTES: u64 = kenvat_store::PAGE_BYTES as u64;
        let engine = kenvat_store::EngineHash(view.row.engine);
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
                .ledger
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

    /// Hashes a vat's heap, a large one beside this thread.
    fn hash_heap(&mut self, vat: VatId, tries: u32, asker: Answerer<Result<String, CallError>>) {
        let host = |error: &dyn std::fmt::Display| CallError::Host(error.to_string());
        let counters = self.core.view(vat).map(|view| view.counters);
        let Some(counters) = counters else {
            drop(asker.send(Err(CallError::Host(format!("vat {vat} is gone")))));
            return;
        };
        let reading = match self.ledger.store.read_heap(vat) {
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
        if let Err(error) = self.background.hash(hashing, reading) {
            say(format_args!("no thread to hash a heap: {error}"));
        }
    }

    /// A heap was hashed. One that changed meanwhile is hashed again, a few times.
    pub(super) fn hashed(&mut self, hashing: Hashing, hash: Result<[u8; 32], StoreError>) {
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
        let slice = self
            .ledger
            .store
            .log_read(id, from, bytes_to_read(bytes_max));
        let slice = slice.map_err(|error| CallError::Host(error.to_string()))?;
        Ok(whole_lines(slice, from))
    }

    /// One step of the verification somebody waits for, where the store is at rest; else it is
    /// tried after the next frame is applied or the fold ends. Nobody waits for more than a step.
    pub(super) fn verify_between_frames(&mut self) {
        if self.verifying.is_none() && !self.verifiers.is_empty() {
            let askers = std::mem::take(&mut self.verifiers);
            self.verifying = Some((self.ledger.store.begin_verify(), askers));
        }
        if !self.ledger.store.is_between_frames() {
            return;
        }
        let Some((verifying, _)) = &mut self.verifying else {
            return;
        };
        let step = self.ledger.store.verify_step(verifying);
        // What came meanwhile comes first; then the next step.
        self.notifier.notify();
        if matches!(step, Ok(false)) {
            return;
        }
        let Some((verifying, askers)) = self.verifying.take() else {
            return;
        };
        let report = step
            .map(|_| self.report(verifying.report))
            .map_err(|error| CallError::Host(error.to_string()));
        for to in askers {
            drop(to.send(report.clone()));
        }
    }

    /// Whether somebody waits for a verification.
    pub(super) fn is_verifying(&self) -> bool {
        self.verifying.is_some() || !self.verifiers.is_empty()
    }

    fn report(&self, report: VerifyReport) -> StoreReport {
        let name = |id| self.core.view(id).map(|v| v.row.name.clone());
        let damages = report.damages.into_iter().map(|damage| DamageReport {
            file: damage.file,
            offset: damage.offset,
            vat: damage
                .vat
                .map(|id| name(id).unwrap_or_else(|| id.to_string())),
            what: damage.what,
        });
        StoreReport {
            read_bytes: report.read_bytes,
            damages: damages.collect(),
        }
    }
}

/// How often a heap that changes is hashed before that is given up.
const HASH_TRIES_MAX: u32 = 4;

fn hex(bytes: [u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
