//! When the core wants to be called though nothing happened, and which vats pause until then.

use std::collections::BTreeSet;

use kenvat_store::VatId;

/// The next time something is to be looked at.
#[derive(Debug, Default)]
pub(crate) struct Ticks {
    /// A `Tick` is wanted by then.
    due_ms: Option<i64>,
    /// Vats that get no turn for a moment, their last one having been undone.
    pausing: BTreeSet<VatId>,
}

impl Ticks {
    pub fn due_ms(&self) -> Option<i64> {
        self.due_ms
    }

    /// A `Tick` is wanted by then. One too early does no harm: idle times only ever move on.
    pub fn by(&mut self, due_ms: i64) {
        let due = self.due_ms.map_or(due_ms, |known| known.min(due_ms));
        self.due_ms = Some(due);
    }

    /// The tick has come: the next one is asked for anew.
    pub fn begin(&mut self) {
        self.due_ms = None;
    }

    /// A vat whose turn went past a limit waits before its next one; until when. Turns that end
    /// after a quarter of a millisecond, undone, each with a frame of its own, would keep worker
    /// and disk at work for nothing, and every other vat behind them.
    pub fn pause(&mut self, vat: VatId, pause_ms: u64, now_ms: i64) -> i64 {
        let pause_ms = i64::try_from(pause_ms).unwrap_or(i64::MAX);
        let due_ms = now_ms.saturating_add(pause_ms);
        self.go_on_pausing(vat, due_ms);
        due_ms
    }

    /// The vat's pause is not over.
    pub fn go_on_pausing(&mut self, vat: VatId, due_ms: i64) {
        self.pausing.insert(vat);
        self.by(due_ms);
    }

    pub fn take_pausing(&mut self) -> BTreeSet<VatId> {
        std::mem::take(&mut self.pausing)
    }
}
