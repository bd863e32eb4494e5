//! Affinity: while turns come one at a time, the engine's thread and the worker that runs them
//! share one processor (T5).
//!
//! A turn alone is a ball passed between the two: the processor of one idles while the other has
//! it. On two processors each pass wakes an idle one, which costs more than a small turn; on one
//! it is a switch. Which one is not all the same either: where the disk's interrupts arrive, a sync
//! returns without waking another processor first (77 against 117 µs on two).
//!
//! Promises: nobody is held to a processor unless the last turns all came alone, and nobody stays
//! there once two turns are out at the same time; what the engine's thread starts meanwhile may run
//! anywhere; now and then the scheduler chooses anew. Where processors may not be chosen, nothing
//! is done. Does not know what a turn is.

use std::time::Duration;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

/// So many turns must have come alone before they are taken to be alone: under mixed load nobody is
/// moved about.
const ALONE_MIN: u32 = 8;
/// So many turns run near each other before the scheduler chooses another processor, if it likes.
const NEAR_MAX: u32 = 1_024;
/// So many turns of a caller's thread elsewhere before the worker is taken there as well.
const BESIDE_MAX: u32 = 4;
/// Processors that are tried, so many turns each, before the best of them is known.
const TRIED_MAX: usize = 8;
const TRY_TURNS: u32 = 32;
/// A processor is preferred for its syncs when they take less than this part of the time here.
const QUICKER: f64 = 0.85;
/// The part of a new measurement in what is remembered of a processor.
const NEWS: f64 = 1.0 / 16.0;

/// Where the engine's thread and its workers run.
#[derive(Debug)]
pub(crate) struct Affinity {
    /// Where this thread may run by itself; `None` when it is told nothing about that.
    anywhere: Option<CpuSet>,
    /// Turns that came alone since one did not.
    alone: u32,
    held: Option<Held>,
    /// Processors syncs were waited for on.
    syncs: Vec<Usual>,
    /// Turns left until a caller's thread may be led to another processor.
    rest: u32,
}

/// How syncs go on a processor.
#[derive(Clone, Copy, Debug)]
struct Usual {
    place: usize,
    /// Seconds they take by and large.
    seconds: f64,
    /// Syncs that were waited for there, as far as it matters.
    count: u32,
}

/// A worker that is held to this thread's processor.
#[derive(Debug)]
struct Held {
    generation: u64,
    process: Pid,
    /// Turns left until the processor is chosen anew.
    turns: u32,
    /// It alone is held: to the processor of a caller's thread.
    beside: Option<usize>,
}

impl Affinity {
    /// For a thread that the calling one starts, which may run where that one may.
    pub fn new() -> Affinity {
        let anywhere = sched_getaffinity(None).ok();
        Affinity {
            // With one processor everybody is near.
            anywhere: anywhere.filter(|set| set.count() > 1),
            alone: 0,
            held: None,
            syncs: Vec::new(),
            rest: 0,
        }
    }

    /// A worker is about to get turns, and no other one has any.
    pub fn pin_pair(&mut self, generation: u64, process: Pid) {
        if self.anywhere.is_none() {
            return;
        }
        self.alone = self.alone.saturating_add(1);
        match &mut self.held {
            Some(held) if held.generation == generation && held.turns > 0 => held.turns -= 1,
            Some(_) => self.unpin(),
            None if self.alone > ALONE_MIN => self.hold(generation, process),
            None => {}
        }
    }

    /// The same, for a turn that a caller's thread waits for: that thread goes where it likes, and
    /// the worker after it. Now and then it is led where syncs are quicker, and not held there.
    pub fn pin_worker(&mut self, generation: u64, process: Pid) {
        let Some(anywhere) = self.anywhere else {
            return;
        };
        self.alone = self.alone.saturating_add(1);
        let mut place = sched_getcpu();
        self.rest = self.rest.saturating_sub(1);
        if self.alone > ALONE_MIN
            && self.rest == 0
            && let Some(better) = self.better(place)
        {
            self.rest = TRY_TURNS;
            place = migrate(better).unwrap_or(place);
        }
        match &mut self.held {
            Some(held) if held.generation == generation && held.beside == Some(place) => {
                held.turns = BESIDE_MAX;
                return;
            }
            // Once does not mean that it has moved for good.
            Some(held) if held.generation == generation && held.beside.is_some() => {
                held.turns = held.turns.saturating_sub(1);
                if held.turns > 0 {
                    return;
                }
            }
            Some(_) => return self.unpin(),
            None if self.alone > ALONE_MIN => {}
            None => return,
        }
        let mut here = CpuSet::new();
        here.set(place);
        // A processor this thread may use and the engine's may not is somebody's wish.
        if !anywhere.is_set(place) || sched_setaffinity(Some(process), &here).is_err() {
            return self.unpin();
        }
        self.held = Some(Held {
            generation,
            process,
            turns: BESIDE_MAX,
            beside: Some(place),
        });
    }

    fn hold(&mut self, generation: u64, process: Pid) {
        let mut here = CpuSet::new();
        let (place, turns) = match self.untried() {
            Some(place) => (place, TRY_TURNS),
            None => (self.best(sched_getcpu()), NEAR_MAX),
        };
        here.set(place);
        self.held = Some(Held {
            generation,
            process,
            turns,
            beside: None,
        });
        let held =
            sched_setaffinity(Some(process), &here).and_then(|()| sched_setaffinity(None, &here));
        if held.is_err() {
            self.unpin();
            self.anywhere = None;
        }
    }

    /// This thread waited so long for a sync.
    pub fn synced(&mut self, took: Duration) {
        let (here, took) = (sched_getcpu(), took.as_secs_f64());
        match self.syncs.iter_mut().find(|usual| usual.place == here) {
            Some(usual) => {
                // One that hung says nothing about the processor.
                let news = took.min(usual.seconds * 4.0) - usual.seconds;
                usual.seconds += news * NEWS.max(1.0 / f64::from(usual.count + 1));
                usual.count = usual.count.saturating_add(1);
            }
            None => self.syncs.push(Usual {
                place: here,
                seconds: took,
                count: 1,
            }),
        }
    }

    fn usual(&self, place: usize) -> Option<&Usual> {
        self.syncs.iter().find(|usual| usual.place == place)
    }

    /// A processor of which nothing is known, among the first few.
    fn untried(&self) -> Option<usize> {
        let anywhere = self.anywhere?;
        let allowed = (0..CpuSet::MAX_CPU).filter(|place| anywhere.is_set(*place));
        let mut some = allowed.take(TRIED_MAX);
        some.find(|place| self.usual(*place).is_none())
    }

    /// The processor whose syncs are quicker by far than those here; here, if there is none.
    fn best(&self, here: usize) -> usize {
        let most = self
            .usual(here)
            .map_or(f64::MAX, |usual| usual.seconds * QUICKER);
        let allowed = |place| self.anywhere.is_some_and(|anywhere| anywhere.is_set(place));
        let quicker = self
            .syncs
            .iter()
            .filter(|usual| usual.seconds < most && allowed(usual.place));
        let best = quicker.min_by(|a, b| a.seconds.total_cmp(&b.seconds));
        best.map_or(here, |usual| usual.place)
    }

    /// Where a caller's thread had better be; `None` if that is here, as far as is known.
    fn better(&self, here: usize) -> Option<usize> {
        self.usual(here).filter(|usual| usual.count >= TRY_TURNS)?;
        let better = self.untried().unwrap_or_else(|| self.best(here));
        (better != here).then_some(better)
    }

    /// Everybody may run anywhere again.
    pub fn unpin(&mut self) {
        self.alone = 0;
        if let (Some(held), Some(anywhere)) = (self.held.take(), &self.anywhere) {
            // The worker may be gone; the thread is here, and may go where it was before.
            let _ = sched_setaffinity(Some(held.process), anywhere);
            if held.beside.is_none() {
                let _ = sched_setaffinity(None, anywhere);
            }
        }
    }
}

/// Leads this thread to a processor, if it may be there, and leaves it free to go.
fn migrate(place: usize) -> Option<usize> {
    let free = sched_getaffinity(None).ok()?;
    if !free.is_set(place) {
        return None;
    }
    let mut there = CpuSet::new();
    there.set(place);
    sched_setaffinity(None, &there).ok()?;
    // What was allowed a moment ago is allowed.
    sched_setaffinity(None, &free).ok()?;
    Some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> u32 {
        sched_getaffinity(None).expect("is told").count()
    }

    #[test]
    fn the_processor_with_the_quickest_syncs_is_preferred_if_it_is_quicker_by_far() {
        let mut affinity = Affinity::new();
        let mut anywhere = CpuSet::new();
        (0..4).for_each(|place| anywhere.set(place));
        affinity.anywhere = Some(anywhere);
        let usual = |(place, seconds)| Usual {
            place,
            seconds,
            count: TRY_TURNS,
        };
        affinity.syncs = [(0, 117e-6), (1, 77e-6), (3, 80e-6)].map(usual).to_vec();
        assert_eq!(affinity.untried(), Some(2));
        assert_eq!(affinity.better(0), Some(2));
        affinity.syncs[0].count = 1;
        assert_eq!(affinity.better(0), None, "not enough is known of here");
        affinity.syncs = [(0, 117e-6), (1, 77e-6), (2, 80e-6), (9, 10e-6)]
            .map(usual)
            .to_vec();
        assert_eq!((affinity.better(1), affinity.better(2)), (Some(3), Some(3)));
        affinity.syncs.push(usual((3, 99e-6)));
        assert_eq!((affinity.better(1), affinity.better(2)), (None, None));
        assert_eq!((affinity.better(0), affinity.better(3)), (Some(1), Some(1)));
        affinity.syncs.pop();
        assert_eq!(affinity.best(0), 1);
        assert_eq!(affinity.best(1), 1);
        assert_eq!(affinity.best(2), 2, "hardly slower: it stays");
        assert_eq!(affinity.best(3), 1, "nothing is known of it");
        affinity.syncs.clear();
        assert_eq!(affinity.best(3), 3);
        (0..100).for_each(|_| affinity.synced(Duration::from_micros(100)));
        affinity.synced(Duration::from_secs(5));
        assert!(affinity.syncs.iter().all(|usual| usual.seconds < 130e-6));
    }

    #[test]
    fn a_thread_is_held_only_while_turns_come_alone_and_goes_free_with_the_first_that_does_not() {
        let mut affinity = Affinity::new();
        let all = places();
        // A process that waits, in the part of the worker.
        let mut worker = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("starts");
        let process = Pid::from_child(&worker);
        let of_worker = || sched_getaffinity(Some(process)).expect("is told").count();
        for _ in 0..ALONE_MIN {
            affinity.pin_pair(1, process);
            assert_eq!(places(), all);
        }
        affinity.pin_pair(1, process);
        assert_eq!((places(), of_worker()), (1, 1));
        affinity.unpin();
        assert_eq!((places(), of_worker()), (all, all));
        affinity.pin_pair(1, process);
        assert_eq!(places(), all, "it begins anew");
        (0..=ALONE_MIN).for_each(|_| affinity.pin_pair(1, process));
        // Another worker's turn: the first one is let go.
        affinity.pin_pair(2, process);
        assert_eq!((places(), of_worker()), (all, all));
        // For ever near is not what is wanted either.
        (0..ALONE_MIN + TRY_TURNS + 2).for_each(|_| affinity.pin_pair(1, process));
        assert_eq!((places(), of_worker()), (all, all));
        drop(worker.stdin.take());
        worker.wait().expect("ends");
    }
}
