//! The core: what an event does to the gate and the owners, and what follows from it.
//!
//! Files: `owners` which procedure handles which event; `view` what others may see.

mod owners;
mod view;

use self::owners::{Dispatch, Owners};
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
                self.dispatch(ledger, out).on_applied(settled, turns);
                Ok(())
            }
            Event::Space {
                caught_up,
                has_space,
            } => {
                let turns = self.gate.caught_up(&caught_up);
                self.dispatch(ledger, out).on_space(turns, has_space);
                Ok(())
            }
            event => self.dispatch(ledger, out).on_event(event),
        }
    }

    /// Brings everything forward that the events since the last call made possible: commits,
    /// deliveries, starts and ends of workers.
    pub fn flush(
        &mut self,
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        self.dispatch(ledger, out).flush()
    }

    /// The frame is durable: what waited for it leaves.
    fn on_committed(
        &mut self,
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        let mut frame = self.gate.committed();
        let outcome = self.dispatch(ledger, out).on_committed(&mut frame);
        self.gate.begin_apply(frame);
        outcome
    }

    fn dispatch<'a>(
        &'a mut self,
        ledger: &'a mut dyn Ledger,
        out: &'a mut Vec<Effect<W>>,
    ) -> Dispatch<'a, W> {
        let Core {
            settings,
            now_ms,
            gate,
            owners,
        } = self;
        let cx = Context::new(settings, *now_ms, gate, ledger, out);
        Dispatch { owners, cx }
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
