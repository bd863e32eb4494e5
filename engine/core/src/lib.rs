//! The pure core of a host: turn loop, commit pipeline, output gate, sleeping and waking.
//!
//! Events in, effects out; no I/O, no clock, no randomness: [`Core::handle`] is given what happened
//! and when, and whom to ask for rows and seeds, and appends what is to be done. Rules:
//! - at most one frame is being committed; the next fills meanwhile (J2);
//! - a worker hands over when the frame slot is free, else it runs on;
//! - what a turn lets out waits in its frame until that is durable (T4);
//! - hand-overs enter frames in the order received, none is skipped (J8).
//!
//! State has owners, whose fields only their own file or folder sees:
//!
//! | owner | what it owns |
//! | --- | --- |
//! | [`gate`] | the frame being filled, the one under way, what waits for them |
//! | `vats` | vats and their names; what each worker is doing and has handed over |
//! | `requests` | requests under way, by number and key; the answers kept for clients |
//! | `deployments` | programs whose start runs or waits |
//! | `timers` | what is to fall due |
//! | `worker_slots` | who has a process and who wants one |
//! | `held_back` | hand-overs that the frame had no room for |
//! | `ticks` | when the core wants to be called |
//!
//! Procedures borrow the owners they need and no others, so their types say what they touch:
//! `calls` (a request arrives), `delivery` (turns to workers), `hand_over` (turns back),
//! `lifecycle` (a worker starts, dies, sleeps; a vat ends), `deployments::start`, `scheduling`.
//! `core` owns the owners and says which procedure handles which event; `apply` is the order in
//! which a host carries out what the core wants; `spill` decides what is too
//! large for a frame, `space` how much disk is reserved; `check` is T1,
//! `rows` the catalog, `limits` the numbers.

#![forbid(unsafe_code)]

pub mod api;
pub mod apply;
mod calls;
mod check;
mod content;
mod core;
mod delivery;
mod deployments;
pub mod event;
pub mod gate;
mod hand_over;
mod held_back;
mod lifecycle;
pub mod limits;
pub mod program;
mod requests;
pub mod rows;
mod scheduling;
mod space;
pub mod spill;
mod ticks;
mod timers;
mod vats;
mod worker_slots;

#[cfg(test)]
mod tests;

use kenvat_store::{EngineHash, VatId};

use self::api::VatLimits;
pub use self::check::{Checked, Violation};
pub use self::core::{Core, VatView};
pub use self::deployments::FirstViolation;
use self::limits::CoreLimits;
use self::rows::{ClientRow, CountersRow, OpenRow, PoisonRow, TimerRow, VatRow};

/// What the core is told once.
#[derive(Clone, Debug)]
pub struct Settings {
    pub engine: EngineHash,
    /// Pages a vat's heap may grow to, unless it has a limit of its own.
    pub page_limit: u32,
    /// An idle vat sleeps after this many milliseconds; `None` never.
    pub sleep_after_ms: Option<u64>,
    /// Workers there may be at once; further vats wait until others have gone to sleep.
    pub awake_max: usize,
    pub limits: CoreLimits,
}

/// What the catalog holds when the host starts.
#[derive(Debug, Default)]
pub struct Loaded {
    pub vats: Vec<LoadedVat>,
    pub open: Vec<(VatId, u64, OpenRow)>,
    pub timers: Vec<(VatId, u64, TimerRow)>,
    pub clients: Vec<(String, ClientRow)>,
}

/// One vat of the catalog.
#[derive(Debug)]
pub struct LoadedVat {
    pub id: VatId,
    pub row: VatRow,
    pub counters: CountersRow,
    /// What is its own and not its host's.
    pub limits: VatLimits,
    /// A message that killed its worker before the host ended.
    pub poison: Option<PoisonRow>,
    /// Why it cannot run, where recovery found damage.
    pub damage: Option<String>,
}

/// Whole pages in so many bytes.
pub fn pages_in(bytes: u64) -> u32 {
    let pages = bytes / kenvat_store::PAGE_BYTES as u64;
    u32::try_from(pages).unwrap_or(u32::MAX)
}
