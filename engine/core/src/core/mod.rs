//! The core: what an event does to the gate and the owners, and what follows from it.
//!
//! Files: `owners` which procedure handles which event; `view` what others may see.

mod owners;
mod view;

use self::owners::Owners;
pub use self::view::VatView;
use crate::event::{Effect, Event, Ledger, LedgerError};
use crate::gate::{Context, Gate};
use crate::{Loaded, Settings};

/// The state of all vats of a host. `W` is how the loop answers somebody who waits.
#[derive(Debug)]
pub struct Core<W> {
    settings: Settings,
    now_ms: i64,
    gate: Gate<W>,
    owners: Owners<W>,
}

impl<W> Core<W> {
    /// A core that goes on from what the catalog holds.
    pub fn new(settings: Settings, loaded: Loaded, now_ms: i64) -> Core<W> {
        let owners = Owners::new(&settings, loaded);
        Core {
            settings,
            now_ms,
            gate: Gate::new(),
            owners,
        }
    }

    /// Takes in one event. `flush` must follow before the loop waits again.
    pub fn handle(
        &mut self,
        now_ms: i64,
        event: Event<W>,
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        // A clock that steps back does not: turns of one vat never see time run backwards within
        // one life of the host.
        self.now_ms = self.now_ms.max(now_ms);
        match event {
            Event::Committed => self.on_committed(ledger, out),
            Event::Applied => {
                let (settled, turns) = self.gate.applied();
                let (mut cx, owners) = self.split(ledger, out);
                owners.on_applied(settled, turns, &mut cx);
                Ok(())
            }
            Event::Space {
                caught_up,
                has_space,
            } => {
                for turns in self.gate.caught_up(&caught_up) {
                    self.owners.lifecycle().on_vat_applied(turns);
                }
                if has_space {
                    self.owners.lifecycle().on_space();
                }
                Ok(())
            }
            event => {
                let (mut cx, owners) = self.split(ledger, out);
                owners.on_event(event, &mut cx)
            }
        }
    }

    /// Brings everything forward that the events since the last call made possible: commits,
    /// deliveries, starts and ends of workers.
    pub fn flush(
        &mut self,
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        let (mut cx, owners) = self.split(ledger, out);
        let mut moved = Vec::new();
        loop {
            let touched = owners.vats.take_touched();
            for id in &touched {
                owners.advance(*id, &mut cx)?;
            }
            moved.extend(touched);
            if !owners.vats.has_touched() {
                moved.extend(owners.scheduling().fill_slots(&mut cx));
            }
            if !owners.vats.has_touched() {
                break;
            }
        }
        if cx.is_frame_due() {
            // Space for them was reserved with each answer.
            for row in owners.requests.take_moved_windows() {
                cx.stage_row(row);
            }
            cx.commit();
            owners.hand_overs().let_in(&mut cx)?;
        }
        for id in moved {
            owners.deliveries().deliver(id, &mut cx)?;
        }
        Ok(())
    }

    /// The frame is durable: what waited for it leaves.
    fn on_committed(
        &mut self,
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        let mut frame = self.gate.committed();
        let (mut cx, owners) = self.split(ledger, out);
        let outcome = owners.on_committed(&mut frame, &mut cx);
        self.gate.begin_apply(frame);
        outcome
    }

    fn split<'a>(
        &'a mut self,
        ledger: &'a mut dyn Ledger,
        out: &'a mut Vec<Effect<W>>,
    ) -> (Context<'a, W>, &'a mut Owners<W>) {
        let Core {
            settings,
            now_ms,
            gate,
            owners,
        } = self;
        (Context::new(settings, *now_ms, gate, ledger, out), owners)
    }

    #[cfg(test)]
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    #[cfg(test)]
    pub(crate) fn has_requests(&self) -> bool {
        !self.owners.requests.is_empty()
    }
}
