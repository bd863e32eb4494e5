//! The whole world on a seed: the real core and store keep Ken's promises whatever the disk, the
//! workers and the power do.
//!
//! `KENVAT_SEEDS=n` runs n fresh seeds besides the pinned ones; `KENVAT_SEED=s` replays one and
//! prints its story.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use kenvat_recovery_tests::rules::{Asking, Copies, Outputs, Rules};
use kenvat_recovery_tests::world::{self, Failure, Tally};

/// Seeds that always run: the first so many.
const PINNED: u64 = 300;
/// Seeds that once failed, each with what it found.
const FOUND: [(u64, &str); 0] = [];
/// Seeds a canary may sing through before it is called dumb.
const CANARY_SEEDS: u64 = 40;

/// Says which seed was running when a thread panics.
struct Naming(u64);

impl Drop for Naming {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "seed {} panicked: replay it with KENVAT_SEED={}",
                self.0, self.0
            );
        }
    }
}

fn run(seed: u64, rules: Rules) -> Result<Tally, Box<Failure>> {
    let _naming = Naming(seed);
    world::run(seed, rules)
        .map(|(tally, _)| tally)
        .map_err(Box::new)
}

/// Runs seeds on all cores; what each came to, by seed.
fn run_all(seeds: &[u64]) -> Vec<(u64, Result<Tally, Box<Failure>>)> {
    let next = AtomicU64::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
            done.push((*seed, run(*seed, Rules::default())));
        }
        done
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let joined = workers.into_iter().map(|worker| worker.join());
        joined
            .flat_map(|done| done.expect("the panic above names its seed"))
            .collect()
    })
}

fn judge(seeds: &[u64]) -> Tally {
    let mut sum = Tally::default();
    let mut failed = Vec::new();
    for (seed, outcome) in run_all(seeds) {
        match outcome {
            Ok(tally) => sum.add(&tally),
            Err(failure) => {
                let violation = &failure.violation;
                eprintln!("seed {seed}: {}: {}", violation.promise, violation.what);
                failed.push(seed);
            }
        }
    }
    assert!(failed.is_empty(), "replay with KENVAT_SEED=…: {failed:?}");
    sum
}

#[test]
fn the_promises_hold_on_every_pinned_seed() {
    let seeds: Vec<u64> = (0..PINNED)
        .chain(FOUND.iter().map(|(seed, _)| *seed))
        .collect();
    let sum = judge(&seeds);
    eprintln!("{} worlds: {sum:?}", seeds.len());
    // A world in which nothing happens keeps every promise.
    assert!(
        sum.answers > 20 * PINNED as u32 && sum.crashes > 4 * PINNED as u32,
        "{sum:?}"
    );
    assert!(
        sum.worker_deaths > PINNED as u32 && sum.folds > PINNED as u32 / 2,
        "{sum:?}"
    );
    assert!(
        sum.spilled > 2 * PINNED as u32 && sum.inline_calls > 2 * PINNED as u32,
        "{sum:?}"
    );
    assert!(
        sum.found_frames > 10 && sum.dropped_frames > 10 && sum.probes > 100,
        "{sum:?}"
    );
}

#[test]
fn fresh_seeds_hold_too_where_they_are_asked_for() {
    let Some(count) = number("KENVAT_SEEDS") else {
        return;
    };
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is past 1970");
    let first = since.as_nanos() as u64 >> 8 << 20;
    eprintln!("fresh seeds {first} to {}", first + count - 1);
    let seeds: Vec<u64> = (first..first + count).collect();
    eprintln!("{:?}", judge(&seeds));
}

#[test]
fn a_seed_is_replayed_where_it_is_asked_for() {
    let Some(seed) = number("KENVAT_SEED") else {
        return;
    };
    if let Err(failure) = run(seed, Rules::default()) {
        let violation = &failure.violation;
        panic!(
            "{}\nseed {seed}: {}: {}",
            failure.trace, violation.promise, violation.what
        );
    }
    eprintln!("seed {seed} holds");
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in [3, 14, 159] {
        let once = world::run(seed, Rules::default()).map(|(tally, trace)| (tally, trace.digest()));
        let twice =
            world::run(seed, Rules::default()).map(|(tally, trace)| (tally, trace.digest()));
        let (once, twice) = (once.expect("holds"), twice.expect("holds"));
        assert_eq!(once, twice, "seed {seed}");
        assert!(once.1.1 > 1_000, "a story of {} lines", once.1.1);
    }
}

#[test]
fn outputs_that_do_not_wait_for_the_commit_are_noticed() {
    let rules = Rules {
        outputs: Outputs::AtSeal,
        ..Rules::default()
    };
    sings(rules, "output valid");
}

#[test]
fn copies_that_are_not_kept_until_applied_are_noticed() {
    let rules = Rules {
        copies: Copies::DroppedAtHandOver,
        ..Rules::default()
    };
    sings(rules, "exactly once");
}

#[test]
fn clients_that_ask_again_under_a_new_key_are_noticed() {
    let rules = Rules {
        asking: Asking::NewKey,
        ..Rules::default()
    };
    sings(rules, "exactly once");
}

/// With this rule broken, some seed must break this promise.
fn sings(rules: Rules, promise: &str) {
    let mut heard = Vec::new();
    for seed in 0..CANARY_SEEDS {
        match run(seed, rules) {
            Err(failure) if failure.violation.promise == promise => return,
            Err(failure) => heard.push(failure.violation),
            Ok(_) => {}
        }
    }
    panic!("no seed noticed; instead: {heard:?}");
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
