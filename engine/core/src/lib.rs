//! The pure core of a host: turn loop, commit pipeline, output gate, sleeping and waking.
//!
//! Events in, effects out; no I/O, no clock, no chance: [`Core::handle`] is given what happened and
//! when, and whom to ask for rows and seeds, and appends what is to be done. Rules:
//! - at most one frame is being committed; the next fills meanwhile (J2);
//! - a worker hands over when the frame slot is free, else it runs on;
//! - what a turn lets out waits in its frame until that is durable (T4);
//! - hand-overs enter frames in the order received, none is skipped (J8).
//!
//! Files: `event` what comes in and goes out; `apply` the order in which a host does it; `vat` one
//! vat's state; `check` T1; `frame` the gate; `requests` calls, keys and their answers; `answers`
//! what is kept for clients; `deliver` turns to workers and back; `timers` theirs; `birth`
//! deployment, `starts` those that wait; `life` start, death, sleep, termination; `places` who may
//! have a process; `rows` the catalog; `limits` the numbers.

#![forbid(unsafe_code)]

mod answers;
pub mod api;
pub mod apply;
mod birth;
mod check;
mod deliver;
pub mod event;
mod frame;
mod life;
pub mod limits;
mod places;
pub mod program;
mod requests;
mod room;
pub mod rows;
pub mod spill;
mod starts;
mod timers;
mod vat;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use kenvat_store::{EngineHash, Part, VatId};

use self::answers::Answers;
use self::api::{CallError, RequestKey, VatLimits, VatState};
use self::birth::{Birth, Purpose};
pub use self::check::{Checked, Violation};
use self::deliver::HeldBack;
use self::event::{Effect, Event, Ledger, LedgerError};
use self::frame::{Frame, Slot, Turns};
use self::limits::CoreLimits;
use self::places::Places;
use self::requests::Request;
use self::rows::{ClientRow, CountersRow, OpenRow, PoisonRow, TimerRow, VatRow};
use self::vat::{RequestNo, Run, Vat};

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

/// The state of all vats of a host. `W` is how the shell answers somebody who waits.
#[derive(Debug)]
pub struct Core<W> {
    settings: Settings,
    now_ms: i64,
    /// In order of ids, like all the core walks over: the same events must give the same effects.
    vats: BTreeMap<VatId, Vat<W>>,
    names: BTreeMap<String, VatId>,
    births: BTreeMap<VatId, Birth<W>>,
    places: Places,
    /// Vats whose workers have turns they were not asked to hand over, as of their last delivery.
    ahead: BTreeSet<VatId>,
    /// A `Tick` is wanted by then.
    tick_due_ms: Option<i64>,
    /// Vats that get no turn for a moment, their last one having been undone.
    pausing: BTreeSet<VatId>,
    requests: HashMap<RequestNo, Request<W>>,
    keys: HashMap<RequestKey, RequestNo>,
    next_request: RequestNo,
    next_generation: u64,
    /// Timers whose message is not made yet: when, whose, which.
    due: BTreeSet<(i64, VatId, u64)>,
    answers: Answers,
    filling: Frame<W>,
    slot: Slot<W>,
    /// Of frames applied, what is not in its image yet for want of room.
    lagging: Vec<Turns>,
    /// Hand-overs the frame being filled had no room for, in the order received, and what their
    /// workers said after them.
    held_back: VecDeque<HeldBack>,
    /// Turns delivered and not handed over, over all vats.
    turns_out: usize,
    /// Vats something happened to since the last `flush`, in order.
    touched: Vec<VatId>,
    touched_set: HashSet<VatId>,
}

impl<W> Core<W> {
    /// A core that goes on from what the catalog holds.
    pub fn new(settings: Settings, loaded: Loaded, now_ms: i64) -> Core<W> {
        let settings_limits = settings.limits;
        let mut core = Core {
            settings,
            now_ms,
            vats: BTreeMap::new(),
            names: BTreeMap::new(),
            births: BTreeMap::new(),
            places: Places::new(),
            ahead: BTreeSet::new(),
            tick_due_ms: None,
            pausing: BTreeSet::new(),
            requests: HashMap::new(),
            keys: HashMap::new(),
            next_request: 1,
            next_generation: 1,
            due: BTreeSet::new(),
            answers: Answers::new(loaded.clients, settings_limits),
            filling: Frame::default(),
            slot: Slot::Free,
            lagging: Vec::new(),
            held_back: VecDeque::new(),
            turns_out: 0,
            touched: Vec::new(),
            touched_set: HashSet::new(),
        };
        for LoadedVat {
            id,
            row,
            counters,
            limits,
            poison,
            damage,
        } in loaded.vats
        {
            core.names.insert(row.name.clone(), id);
            let mut vat = Vat::new(id, row, counters);
            vat.poison = poison;
            vat.limits = limits;
            if let Some(why) = damage {
                vat.last_error = Some(why.clone());
                vat.run = Run::Broken(why);
            }
            core.vats.insert(id, vat);
        }
        for (vat, turn, row) in loaded.open {
            core.load_open(vat, turn, row);
        }
        for (vat, timer, row) in loaded.timers {
            core.load_timer(vat, timer, row);
        }
        core
    }

    /// Takes in one event. `flush` must follow before the shell waits again.
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
            Event::Call { call, waiter } => self.on_call(call, waiter, ledger, out),
            Event::Ask { key, waiter } => self.on_ask(key, waiter, ledger, out),
            Event::Deploy {
                deploy,
                limits,
                waiter,
            } => self.on_deploy(deploy, limits, Purpose::Vat, waiter, ledger, out),
            Event::DryRun { deploy, waiter } => {
                let limits = VatLimits::default();
                self.on_deploy(deploy, limits, Purpose::Trial, waiter, ledger, out)
            }
            Event::Limit {
                vat,
                limits,
                waiter,
            } => {
                self.on_limit(&vat, limits, waiter, out);
                Ok(())
            }
            Event::Sleep { vat, waiter } => {
                self.on_wish(&vat, waiter, |vat| &mut vat.sleepers, out)
            }
            Event::Wake { vat, waiter } => self.on_wish(&vat, waiter, |vat| &mut vat.wakers, out),
            Event::Terminate { vat, waiter } if self.is_starting(&vat) => {
                self.give_up_birth(&vat, waiter, out);
                Ok(())
            }
            Event::Terminate { vat, waiter } => {
                self.on_wish(&vat, waiter, |vat| &mut vat.terminators, out)
            }
            Event::FromWorker {
                vat,
                generation,
                message,
            } => self.on_message(vat, generation, message, ledger, out),
            Event::LargeHandOver {
                vat,
                generation,
                checked,
            } => self.on_large(vat, generation, *checked, ledger, out),
            Event::SpillFailed {
                vat,
                generation,
                refusal,
            } => self.on_no_side(vat, generation, refusal, out),
            Event::WorkerUnintelligible {
                vat,
                generation,
                why,
            } => self.on_lie(vat, generation, why, out),
            Event::WorkerGone {
                vat,
                generation,
                death,
                running,
            } => self.on_gone(vat, generation, death, running, out),
            Event::WorkerNotStarted {
                vat,
                generation,
                why,
                transient,
            } => self.on_not_started(vat, generation, why, transient, out),
            Event::Committed => self.on_committed(ledger, out),
            Event::Applied => self.on_applied(ledger),
            Event::Space {
                caught_up,
                has_space,
            } => {
                self.on_room(&caught_up, has_space);
                Ok(())
            }
            Event::Tick => {
                self.on_tick();
                self.go_on_starting(ledger, out)
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
        let mut moved = Vec::new();
        loop {
            let touched = std::mem::take(&mut self.touched);
            self.touched_set.clear();
            for id in &touched {
                self.advance_life(*id, ledger, out)?;
            }
            moved.extend(touched);
            if self.touched.is_empty() {
                moved.extend(self.fill_places(out));
            }
            if self.touched.is_empty() {
                break;
            }
        }
        if matches!(self.slot, Slot::Free) && !self.filling.is_empty {
            // Room for them was asked for with each answer.
            let rows = self.answers.take_moved().into_iter();
            out.extend(rows.map(|row| Effect::Stage(Part::Row(row))));
            self.slot = Slot::Syncing(std::mem::take(&mut self.filling));
            out.push(Effect::Commit);
            self.let_in(ledger, out)?;
        }
        for id in moved {
            self.deliver(id, ledger, out)?;
        }
        Ok(())
    }

    /// When a `Tick` is wanted at the latest, in milliseconds since 1970.
    pub fn next_tick_ms(&self) -> Option<i64> {
        let timer = self.next_timer_ms();
        self.tick_due_ms.into_iter().chain(timer).min()
    }

    /// The engine new vats are pinned to.
    pub fn engine(&self) -> EngineHash {
        self.settings.engine
    }

    /// Whether a worker runs turns that it has not handed over, the first one of a vat included.
    pub fn has_turns_out(&self) -> bool {
        self.turns_out > 0 || self.births.values().any(Birth::is_running)
    }

    /// Whether no turn, no frame and no birth is under way.
    pub fn is_idle(&self) -> bool {
        matches!(self.slot, Slot::Free)
            && self.filling.is_empty
            && self.held_back.is_empty()
            && !self.has_turns_out()
    }

    /// Turns that workers run and have not handed over, first ones not counted.
    pub fn turns_out(&self) -> usize {
        self.turns_out
    }

    /// Whether anything is under way: a commit, a delivery, a birth that does not wait for a timer.
    pub fn is_quiet(&self) -> bool {
        matches!(self.slot, Slot::Free)
            && self.filling.is_empty
            && self.held_back.is_empty()
            && self.births.values().all(|birth| birth.waits.is_some())
            && self
                .vats
                .values()
                .all(|vat| vat.is_idle() || matches!(vat.run, Run::Broken(_)))
    }

    /// The vats with committed values, by name.
    pub fn vats(&self) -> impl Iterator<Item = VatView<'_>> {
        self.names.values().filter_map(|id| self.view(*id))
    }

    /// One of them.
    pub fn view(&self, id: VatId) -> Option<VatView<'_>> {
        let vat = self.vats.get(&id)?;
        Some(VatView {
            id: vat.id,
            row: &vat.row,
            counters: vat.committed,
            state: match &vat.run {
                Run::Awake { .. } => VatState::Awake,
                Run::Asleep | Run::Ending { .. } => VatState::Asleep,
                Run::Broken(_) => VatState::Broken,
            },
            open_requests: vat.open.len() as u64,
            no_space: vat.no_space,
            limits: vat.limits,
            pages: match vat.run {
                Run::Awake { .. } => vat.pages,
                _ => self.pages_of(vat),
            },
            last_error: vat.last_error.as_deref(),
        })
    }

    /// The vat of that name, where it exists.
    pub fn vat_id(&self, name: &str) -> Option<VatId> {
        self.names.get(name).copied()
    }

    /// The error for a name that no vat has, with the names that may have been meant; for one that
    /// is being made it says so.
    pub fn unknown_vat(&self, name: &str) -> CallError {
        if self.births.values().any(|birth| birth.is_of(name)) {
            let why = "is not there yet: its start has not settled".to_owned();
            let name = name.to_owned();
            return CallError::Unavailable { name, why };
        }
        CallError::UnknownVat {
            name: name.to_owned(),
            nearest: nearest(name, self.neighbours(name)),
        }
    }

    /// The names around this one in the alphabet, or all of them where they are few: a misspelt
    /// name must not cost a walk over ten thousand.
    fn neighbours(&self, name: &str) -> impl Iterator<Item = &str> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        const SIDE: usize = 500;
        let after = self
            .names
            .range::<str, _>((Included(name), Unbounded))
            .take(SIDE);
        let before = self
            .names
            .range::<str, _>((Unbounded, Excluded(name)))
            .rev()
            .take(SIDE);
        before.chain(after).map(|(name, _)| name.as_str())
    }

    /// Pages a vat's heap may grow to. One that is larger already may go on, and not grow.
    fn pages_of(&self, vat: &Vat<W>) -> u32 {
        let own = vat.limits.heap.map(pages_in);
        own.unwrap_or(self.settings.page_limit)
            .max(vat.handed_pages)
    }

    fn touch(&mut self, vat: VatId) {
        if self.touched_set.insert(vat) {
            self.touched.push(vat);
        }
    }

    /// The vat of this event, which the core itself named.
    fn vat_mut(&mut self, id: VatId) -> &mut Vat<W> {
        self.vats
            .get_mut(&id)
            .expect("vats are removed only when nothing names them any more")
    }
}

/// Whole pages in so many bytes.
pub fn pages_in(bytes: u64) -> u32 {
    let pages = bytes / kenvat_store::PAGE_BYTES as u64;
    u32::try_from(pages).unwrap_or(u32::MAX)
}

/// A vat as others may see it.
#[derive(Clone, Debug)]
pub struct VatView<'a> {
    pub id: VatId,
    pub row: &'a VatRow,
    pub counters: CountersRow,
    pub state: VatState,
    pub open_requests: u64,
    /// Calls of it were refused for want of room on the disk.
    pub no_space: bool,
    /// What is its own and not its host's.
    pub limits: VatLimits,
    /// Pages its heap may grow to, or has, if that is more.
    pub pages: u32,
    pub last_error: Option<&'a str>,
}

/// Names a person may have meant: at most three edits away, nearest first, at most three.
fn nearest<'a>(meant: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    const EDITS_MAX: usize = 3;
    let mut found: Vec<(usize, &str)> = names
        .map(|name| (strsim::damerau_levenshtein(meant, name), name))
        .filter(|(edits, name)| *edits <= EDITS_MAX.min(name.len().max(2) / 2 + 1))
        .collect();
    found.sort();
    found
        .into_iter()
        .take(3)
        .map(|(_, name)| name.to_owned())
        .collect()
}
