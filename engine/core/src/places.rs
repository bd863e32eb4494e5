//! Places: how many workers there may be at once, who gives his up, and who waits for one.
//!
//! Promises: vats get processes in the order they asked; at the bound the vat that has been idle
//! for longest goes to sleep for the next one, and where none is idle, the one that has been awake
//! for longest (but for `SLICE_MS` at least); a machine that has nothing to start a process with
//! (descriptors, memory, process numbers) is asked again, less and less often, and breaks no vat.
//! Does not know what a process costs: the bound is given.

use std::collections::{BTreeSet, VecDeque};

use kenvat_store::VatId;

use super::Core;
use super::event::Effect;
use super::limits::{START_PAUSE_MS, START_PAUSE_MS_MAX, START_TRIES_MAX};
use super::vat::{RequestNo, Run};
use crate::api::CallError;

/// Milliseconds a vat keeps its process at least, whoever else wants one.
const SLICE_MS: i64 = 250;
/// Milliseconds until a machine that refused a process is believed to have room for all again.
const REFUSAL_MS: i64 = 60_000;

/// Who has a process and who wants one.
#[derive(Debug)]
pub struct Places {
    /// Vats with a process, one that is ending included.
    taken: BTreeSet<VatId>,
    /// Vats that want one. Some may have stopped wanting it.
    waiting: VecDeque<VatId>,
    /// Something changed since the vats were last looked through for one that could give way.
    look: bool,
    /// What the machine could give when it last refused, and until when that is believed.
    refused: Option<(usize, i64)>,
    /// Starts that failed in a row for want of something, over all vats.
    failures: u32,
    /// No start is tried before this.
    not_before_ms: i64,
}

impl Places {
    pub fn new() -> Places {
        Places {
            taken: BTreeSet::new(),
            waiting: VecDeque::new(),
            look: false,
            refused: None,
            failures: 0,
            not_before_ms: i64::MIN,
        }
    }

    /// Vats that have a process.
    pub fn taken(&self) -> impl Iterator<Item = VatId> + '_ {
        self.taken.iter().copied()
    }

    /// The vat wants a process.
    pub fn want(&mut self, vat: VatId) {
        self.waiting.push_back(vat);
        self.look = true;
    }

    /// The vat's process is gone.
    pub fn give_back(&mut self, vat: VatId) {
        self.taken.remove(&vat);
        self.look = true;
    }

    /// A vat may have become idle, or time went by.
    pub fn look_again(&mut self) {
        self.look = true;
    }

    /// A process was started and came up: the machine has what it takes.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// When somebody who waits should be looked after at the latest.
    fn due_ms(&self, now_ms: i64) -> Option<i64> {
        let slice = now_ms.saturating_add(SLICE_MS);
        (!self.waiting.is_empty()).then(|| self.not_before_ms.clamp(now_ms, slice))
    }
}

impl<W> Core<W> {
    /// Gives out the places there are; where there are too few, asks vats to make way. Returns the
    /// vats that got one.
    pub(super) fn fill_places(&mut self, out: &mut Vec<Effect<W>>) -> Vec<VatId> {
        let mut started = Vec::new();
        while self.now_ms >= self.places.not_before_ms
            && self.places.taken.len() + self.births_running() < self.most_awake()
            && let Some(id) = self.places.waiting.pop_front()
        {
            if self.start(id, out) {
                started.push(id);
            }
        }
        if std::mem::take(&mut self.places.look) && !self.places.waiting.is_empty() {
            self.make_way();
        }
        if let Some(due) = self.places.due_ms(self.now_ms) {
            self.tick_by(due);
        }
        started
    }

    /// How many processes there may be now.
    fn most_awake(&self) -> usize {
        let most = self.settings.awake_max.max(1);
        match self.places.refused {
            Some((held, until)) if self.now_ms < until => held.clamp(1, most),
            _ => most,
        }
    }

    /// Starts the vat's worker, where it still wants one.
    fn start(&mut self, id: VatId, out: &mut Vec<Effect<W>>) -> bool {
        let now_ms = self.now_ms;
        let Some(vat) = self.vats.get(&id) else {
            return false;
        };
        let pages = self.pages_of(vat);
        let generation = self.next_generation;
        let vat = self.vat_mut(id);
        vat.waits = false;
        if vat.run != Run::Asleep || !vat.wants_worker() {
            return false;
        }
        vat.run = Run::Awake {
            generation,
            ready: false,
        };
        vat.pages = pages;
        vat.idle_since_ms = now_ms;
        vat.awake_since_ms = now_ms;
        vat.yields = false;
        self.next_generation += 1;
        self.places.taken.insert(id);
        out.push(Effect::StartWorker {
            vat: id,
            generation,
        });
        if let Some(due) = self.sleep_due_ms(now_ms) {
            self.tick_by(due);
        }
        true
    }

    /// As many vats as others wait for places are asked to go: the longest idle first.
    fn make_way(&mut self) {
        let now_ms = self.now_ms;
        let (mut idle, mut busy, mut leaving) = (Vec::new(), Vec::new(), 0);
        for id in &self.places.taken {
            let Some(vat) = self.vats.get(id) else {
                continue;
            };
            match vat.run {
                Run::Awake { ready: true, .. } if !vat.yields && vat.wakers.is_empty() => {
                    if vat.is_idle() {
                        idle.push((vat.idle_since_ms, *id));
                    } else if now_ms - vat.awake_since_ms >= SLICE_MS {
                        busy.push((vat.awake_since_ms, *id));
                    }
                }
                Run::Awake { .. } if !vat.yields => {}
                _ => leaving += 1,
            }
        }
        let wanted = self.places.waiting.len();
        idle.sort_unstable();
        busy.sort_unstable();
        let going = idle.into_iter().chain(busy);
        for (_, id) in going.take(wanted.saturating_sub(leaving)) {
            self.vat_mut(id).yields = true;
            self.touch(id);
        }
    }

    /// The machine had nothing left to start this vat's worker with: it waits at the head, and
    /// others make way. After too many tries its callers are told.
    pub(super) fn on_no_place(&mut self, id: VatId, why: &str, out: &mut Vec<Effect<W>>) {
        self.places.give_back(id);
        let held = self.places.taken.len() + self.births_running();
        let until = self.now_ms.saturating_add(REFUSAL_MS);
        self.places.refused = Some((held, until));
        let tries = self.places.failures;
        // Several may have been started before the first failed: that is one failure.
        if self.now_ms >= self.places.not_before_ms {
            self.places.failures = tries.saturating_add(1);
            let pause = (START_PAUSE_MS << tries.min(16)).min(START_PAUSE_MS_MAX);
            self.places.not_before_ms = self.now_ms.saturating_add(pause);
        }
        if tries <= START_TRIES_MAX {
            self.vat_mut(id).waits = true;
            self.places.waiting.push_front(id);
            return;
        }
        self.give_up_start(id, why, out);
    }

    /// Whoever waits for this vat's worker is told that there is none to be had now.
    pub(super) fn give_up_start(&mut self, id: VatId, why: &str, out: &mut Vec<Effect<W>>) {
        let error = CallError::Overloaded(format!("no worker can be started now: {why}"));
        let vat = self.vat_mut(id);
        let wakers = std::mem::take(&mut vat.wakers);
        let queue = std::mem::take(&mut vat.queue);
        // What a limit ended is over: it is consumed with its error, which takes no worker.
        let (undone, untried): (VecDeque<RequestNo>, VecDeque<RequestNo>) = queue
            .into_iter()
            .partition(|no| self.requests[no].aborted.is_some());
        let bytes = undone.iter().map(|no| self.requests[no].bytes()).sum();
        let vat = self.vat_mut(id);
        vat.queue = undone;
        vat.queue_bytes = bytes;
        self.touch(id);
        for no in untried {
            self.refuse(no, &error, out);
        }
        super::life::done(wakers, &Err(error), out);
    }

    /// Idle vats go to sleep.
    pub(super) fn on_tick(&mut self) {
        let now_ms = self.now_ms;
        self.tick_due_ms = None;
        self.fire_due();
        self.go_on_after_pauses();
        self.places.look_again();
        let mut drowsy = Vec::new();
        let mut next: Option<i64> = None;
        for id in self.places.taken() {
            let Some(vat) = self.vats.get(&id) else {
                continue;
            };
            let since = if vat.is_idle() {
                vat.idle_since_ms
            } else {
                now_ms
            };
            match self.sleep_due_ms(since) {
                Some(due) if due <= now_ms => {
                    if matches!(vat.run, Run::Awake { ready: true, .. }) {
                        drowsy.push(id);
                    }
                }
                Some(due) => next = Some(next.map_or(due, |next| next.min(due))),
                None => {}
            }
        }
        for id in drowsy {
            self.vat_mut(id).drowsy = true;
            self.touch(id);
        }
        if let Some(due) = next {
            self.tick_by(due);
        }
    }

    /// A vat whose turn went past a limit waits before its next one. Turns that end after a quarter
    /// of a millisecond, undone, each with a frame of its own, would keep worker and disk at work
    /// for nothing, and every other vat behind them.
    pub(super) fn pause(&mut self, id: VatId) {
        let pause = i64::try_from(self.settings.limits.pause).unwrap_or(i64::MAX);
        let due = self.now_ms.saturating_add(pause);
        self.vat_mut(id).pauses_until_ms = due;
        self.pausing.insert(id);
        self.tick_by(due);
    }

    fn go_on_after_pauses(&mut self) {
        for id in std::mem::take(&mut self.pausing) {
            match self.vats.get(&id).map(|vat| vat.pauses_until_ms) {
                Some(due) if due > self.now_ms => {
                    self.pausing.insert(id);
                    self.tick_by(due);
                }
                Some(_) => self.touch(id),
                None => {}
            }
        }
    }

    /// When a vat that has been idle since then goes to sleep.
    fn sleep_due_ms(&self, since_ms: i64) -> Option<i64> {
        let after = i64::try_from(self.settings.sleep_after_ms?).unwrap_or(i64::MAX);
        Some(since_ms.saturating_add(after))
    }

    /// A `Tick` is wanted by then. One too early does no harm: idle times only ever move on.
    fn tick_by(&mut self, due_ms: i64) {
        let due = self.tick_due_ms.map_or(due_ms, |known| known.min(due_ms));
        self.tick_due_ms = Some(due);
    }
}
