//! What clients, the operator and fate do to the host: each action of the world that is not the
//! host's own move.
//!
//! Promises: everything chosen here is chosen by the world's chance, so a seed says it.

use kenvat_core::api::{Deploy, VatLimits};
use kenvat_core::event::{Death, Event};
use kenvat_store::backend::memory::Faults;

use super::{FAULT_WRITES, NAMES, Waits, World};
use crate::program::{KEYS, Method, Token};
use crate::stop::Stop;
use crate::worker::start;

/// A fault set for a call carried through inline comes within so many operations of the disk.
const INLINE_OPERATIONS: u64 = 4;
/// Bytes of a source file that a frame of the simulation has no room for.
const LONG_SOURCE_BYTES: usize = 10 << 10;
/// Clients that call.
const CLIENTS: u32 = 3;

impl World {
    pub(super) fn call(&mut self) -> Result<(), Stop> {
        let token = self.next_call();
        self.send(token)
    }

    /// A client makes its next call on a thread that carries it through by itself where it can.
    pub(super) fn call_inline(&mut self) -> Result<(), Stop> {
        let token = self.next_call();
        let Some(call) = self.prepare(token) else {
            return Ok(());
        };
        if self.chance.one_in(FAULT_WRITES) {
            self.set_fault(INLINE_OPERATIONS);
        }
        let now_ms = self.now_ms;
        let host = self.host.as_mut().expect("recover leaves a host behind");
        let chance = &mut self.chance;
        let carried = host.call_inline(now_ms, call, |worker| worker.hear_all(chance));
        self.learn();
        match carried? {
            None => {
                self.tally.inline_calls += 1;
                Ok(())
            }
            Some(call) => self.feed(call),
        }
    }

    /// What some client calls next: what it has to ask again, or something new.
    fn next_call(&mut self) -> Token {
        let client = self.chance.below(u64::from(CLIENTS)) as u32;
        if let Some(token) = self.clients.next_again(client) {
            return token;
        }
        let vat = (*self.chance.pick(&NAMES)).to_owned();
        let (key, value) = (self.chance.below(KEYS), self.chance.bits() | 1);
        let ms = self.chance.below(4_000);
        let method = self.chance.weighted(&[
            (8, Method::Incr),
            (8, Method::Set { key, value }),
            (4, Method::Later),
            (2, Method::Release),
            (2, Method::Throw),
            (2, Method::Log),
            (4, Method::Wake { ms }),
            (1, Method::Poison),
        ]);
        let keyed = !self.chance.one_in(4);
        self.clients.ask(client, vat, method, keyed)
    }

    pub(super) fn send(&mut self, token: Token) -> Result<(), Stop> {
        match self.prepare(token) {
            Some(call) => self.feed(call),
            None => Ok(()),
        }
    }

    fn prepare(&mut self, token: Token) -> Option<Event<u64>> {
        let life = self.life;
        let request = self.clients.requests.get_mut(&token)?;
        request.sent_in = life;
        let call = request.call(token);
        self.trace
            .line(format!("  {token} {} to {}", call.method, call.vat));
        let waiter = self.wait(Waits::Call(token));
        Some(Event::Call { call, waiter })
    }

    /// Somebody asks again for what was answered, or is under way in this life of the host.
    pub(super) fn repeat(&mut self) -> Result<(), Stop> {
        let life = self.life;
        let tokens = self.clients.which(|request| {
            request.is_kept()
                || request.key.is_some() && request.is_open() && request.sent_in == life
        });
        if tokens.is_empty() {
            return Ok(());
        }
        let token = *self.chance.pick(&tokens);
        self.send(token)
    }

    pub(super) fn ask_key(&mut self) -> Result<(), Stop> {
        let tokens = self.clients.which(|request| request.key.is_some());
        if tokens.is_empty() {
            return Ok(());
        }
        let token = *self.chance.pick(&tokens);
        let waiter = self.wait(Waits::Ask(token));
        match self.clients.requests[&token].key.clone() {
            Some(key) => self.feed(Event::Ask { key, waiter }),
            None => Ok(()),
        }
    }

    pub(super) fn other_content(&mut self) -> Result<(), Stop> {
        let tokens = self.clients.which(|request| request.is_kept());
        if tokens.is_empty() {
            return Ok(());
        }
        let token = *self.chance.pick(&tokens);
        let mut call = self.clients.requests[&token].call(token);
        call.args = "[0,0,0,0]".to_owned();
        let waiter = self.wait(Waits::OtherContent(token));
        self.feed(Event::Call { call, waiter })
    }

    pub(super) fn worker_dies(&mut self) -> Result<(), Stop> {
        let alive: Vec<u64> = self.host_mut().running().into_values().collect();
        if alive.is_empty() {
            return Ok(());
        }
        let generation = *self.chance.pick(&alive);
        let deaths = [
            (6, Death::Killed),
            (2, Death::Signal(11)),
            (1, Death::Exit(101)),
            (1, Death::Exit(77)),
        ];
        let death = self.chance.weighted(&deaths);
        let host = self.host.as_mut().expect("recover leaves a host behind");
        if let Some(worker) = host.workers.get_mut(&generation) {
            worker.die(death, &mut self.chance);
            self.tally.worker_deaths += 1;
            self.trace.line(format!("  {generation} dies: {death:?}"));
        }
        Ok(())
    }

    pub(super) fn worker_lies(&mut self) -> Result<(), Stop> {
        let host = self.host.as_mut().expect("recover leaves a host behind");
        for worker in host.workers.values_mut() {
            if worker.lie(&mut self.chance) {
                return Ok(());
            }
        }
        Ok(())
    }

    pub(super) fn operate(
        &mut self,
        event: impl FnOnce(String, u64) -> Event<u64>,
    ) -> Result<(), Stop> {
        let vat = (*self.chance.pick(&NAMES)).to_owned();
        let waiter = self.wait(Waits::Done);
        self.feed(event(vat, waiter))
    }

    pub(super) fn deploy(&mut self) -> Result<(), Stop> {
        let name = (*self.chance.pick(&NAMES)).to_owned();
        let program = self.chance.weighted(&[
            (8, start::WELL),
            (1, start::THROWS),
            (1, start::NEVER_SETTLES),
            (1, start::DIES),
            (4, start::WAITS),
            (1, start::WAITS_AND_THROWS),
            (1, start::WAITS_FOR_EVER),
            (1, start::WAITS_AND_DIES),
        ]);
        let mut files = vec![("v.js".to_owned(), program.to_owned())];
        if self.chance.one_in(4) {
            // Sources too large for a frame.
            files.push(("long.js".to_owned(), "x".repeat(LONG_SOURCE_BYTES)));
        }
        let entry = "v.js".to_owned();
        let deploy = Deploy {
            name: name.clone(),
            entry,
            files,
            give: Vec::new(),
            deny: Vec::new(),
        };
        let waiter = self.wait(Waits::Deploy(name));
        let limits = VatLimits::default();
        self.feed(Event::Deploy {
            deploy,
            limits,
            waiter,
        })
    }

    pub(super) fn terminate(&mut self) -> Result<(), Stop> {
        // Rarely, or no vat ever grows old.
        if !self.chance.one_in(3) {
            return Ok(());
        }
        let vat = (*self.chance.pick(&NAMES)).to_owned();
        let id = self.host_mut().core().vat_id(&vat);
        if id.is_some() {
            self.told.ending.insert(vat.clone());
        }
        let waiter = self.wait(Waits::Terminate(id));
        self.feed(Event::Terminate { vat, waiter })
    }

    /// Something goes wrong within so many operations of the disk.
    pub(super) fn set_fault(&mut self, operations: u64) {
        if self.resting {
            return;
        }
        let at = Some(self.backend.operations() + 1 + self.chance.below(operations));
        let faults = match self.chance.below(4) {
            0 => Faults {
                freeze_at: at,
                ..Faults::default()
            },
            1 => Faults {
                fail_at: at,
                ..Faults::default()
            },
            2 => Faults {
                full_at: at,
                ..Faults::default()
            },
            _ => Faults {
                short_at: at,
                ..Faults::default()
            },
        };
        self.backend.set_faults(faults);
        self.fault_set = true;
        self.tally.faults += 1;
    }
}
