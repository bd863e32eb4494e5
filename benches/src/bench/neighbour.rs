//! A vat that is called a thousand times a second, by itself and beside a vat whose every turn goes
//! past a limit.
//!
//! Promises: calls leave by the clock whatever was answered, and each is timed from when it was
//! due, so that an answer that is late delays no call behind it and hides none. The bad neighbour
//! is asked again as soon as it is answered, and always answered with an error: one that succeeds
//! ends the bench. Calls are cut into stretches, quiet ones between the others, and the figure
//! compares the middle stretch of each: what else the machine does for a moment says nothing about
//! neighbours.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{Timespec, nanosleep};
use serde_json::json;

use crate::child::ChildHost;
use crate::control;
use crate::engine::{KEYS, name};
use crate::raw::{Beside, Raw};
use crate::record::{Figure, Line};
use crate::spread::{Spread, us};
use crate::{BenchError, Progress, Settings};

/// Stretches beside each neighbour and as many before it, the calls of one, and the time between
/// two of those.
const STRETCHES: (u64, u64) = (8, 2);
const CALLS: (u64, u64) = (500, 20);
const PERIOD: Duration = Duration::from_millis(1);
/// Calls before the first stretch that are not counted: the neighbour has begun by then.
const WARM_UP: (u64, u64) = (200, 5);
/// What the worst hundredth may take beside a bad neighbour, in times of what it takes alone.
const SLOWER_MAX: f64 = 2.0;
const FRAME_BYTES: u64 = 1024;
/// The vat that goes past its limits: the bench's case, and the method.
const BAD: &str = "bad";
const KINDS: [(&str, &str); 6] = [
    ("loops", "loop"),
    ("allocates", "allocate"),
    ("recurses", "recurse"),
    ("nests promises", "promises"),
    ("fills its log", "log"),
    ("returns 100 MiB", "huge"),
];
const PROGRAM: &str = "
export const loop = () => { for (;;); };
export const allocate = () => { const kept = []; for (;;) kept.push(new Array(1000).fill(0)); };
export const recurse = () => { const on = () => on() + 1; for (;;) try { on(); } catch {} };
export const promises = async () => { for (;;) await Promise.resolve(); };
export const log = () => { const text = 'noise '.repeat(10000); for (;;) console.log(text); };
export const huge = () => 'x'.repeat(100 * 2 ** 20);
";

pub(crate) fn run(
    settings: &Settings,
    progress: &mut dyn Progress,
) -> Result<Vec<Line>, BenchError> {
    progress.begin("neighbour", 2 * KINDS.len() as u64);
    let folder = settings.folder()?;
    let host = ChildHost::start(settings, &folder.path().join("store"))?.with_vat()?;
    let files = [("bad.js", PROGRAM)];
    let bad = json!({"deploy": {"name": BAD, "entry": "bad.js", "files": files, "give": []}});
    host.connect()?.ask(&bad)?;
    let beside = Beside::begin(settings, folder.path(), FRAME_BYTES)?;
    let (mut quiet, mut found) = (Paced::default(), Vec::new());
    for (case, method) in KINDS {
        quiet.add(paced(settings, &host, &format!("before {method}"))?);
        progress.step(1);
        let (paced, turns) = with_bad(&host, method, || paced(settings, &host, method))?;
        found.push((case, paced, turns));
        progress.step(1);
    }
    let raw = beside.end(folder.path())?;
    Ok(lines(quiet, found, raw))
}

fn lines(quiet: Paced, found: Vec<(&str, Paced, u64)>, raw: Raw) -> Vec<Line> {
    let alone = quiet.middle_p99();
    let line = |case: String, paced: Paced| {
        let p99 = paced.middle_p99();
        let line = Line::times(case, Spread::of(paced.times), raw);
        line.counting("p99 of the middle stretch", p99)
    };
    let mut lines = vec![line("1,000 calls a second, alone".to_owned(), quiet)];
    lines.extend(found.into_iter().map(|(case, paced, turns)| {
        let slower = paced.middle_p99() / alone;
        let what = format!("p99 of a vat beside one that {case}, against alone");
        line(format!("beside one that {case}"), paced)
            .counting("x alone, p99", slower)
            .counting("its turns", turns as f64)
            .reaching(Figure::at_most(&what, slower, SLOWER_MAX, "times"))
    }));
    lines
}

/// How long calls took, in microseconds, and the p99 of each stretch of them.
#[derive(Debug, Default)]
struct Paced {
    times: Vec<f64>,
    p99s: Vec<f64>,
}

impl Paced {
    fn of(times: Vec<f64>, stretch: usize) -> Paced {
        let p99 = |stretch: &[f64]| Spread::of(stretch.to_vec()).p99;
        let p99s = times.chunks(stretch).map(p99).collect();
        Paced { times, p99s }
    }

    fn add(&mut self, mut other: Paced) {
        self.times.append(&mut other.times);
        self.p99s.append(&mut other.p99s);
    }

    fn middle_p99(&self) -> f64 {
        Spread::of(self.p99s.clone()).p50
    }
}

/// Does the work while the bad vat is at its method again and again; also says how often it was.
fn with_bad<T>(
    host: &ChildHost,
    method: &str,
    work: impl FnOnce() -> Result<T, BenchError>,
) -> Result<(T, u64), BenchError> {
    let mut control = host.connect()?;
    let enough = AtomicBool::new(false);
    thread::scope(|scope| {
        let neighbour = scope.spawn(|| {
            let mut turns = 0;
            while !enough.load(Ordering::Relaxed) {
                let id = format!("{method} {turns}");
                let call = json!({"vat": BAD, "method": method, "args": "[]", "id": id});
                control.ask_in_vain(&json!({"call": call}))?;
                turns += 1;
            }
            Ok(turns)
        });
        let done = work();
        enough.store(true, Ordering::Relaxed);
        let turns = neighbour.join().expect("it does not panic");
        Ok((done?, turns?))
    })
}

/// Waits for a moment of the clock: the pace of the calls, whatever becomes of them.
fn until(due: Instant) {
    let left = due.saturating_duration_since(Instant::now());
    // A period is no longer than any time can say; woken early, a call leaves early.
    let _ = Timespec::try_from(left).map(|left| nanosleep(&left));
}

/// Calls that leave by the clock.
fn paced(settings: &Settings, host: &ChildHost, run: &str) -> Result<Paced, BenchError> {
    let warm_up = settings.size(WARM_UP.0, WARM_UP.1);
    let stretch = settings.size(CALLS.0, CALLS.1);
    let calls = warm_up + stretch * settings.size(STRETCHES.0, STRETCHES.1);
    let (mut sender, mut receiver) = host.connect()?.split()?;
    let begun = Instant::now();
    let due = |turn: u64| begun + PERIOD * u32::try_from(turn).unwrap_or(u32::MAX);
    thread::scope(|scope| {
        let sending = scope.spawn(move || {
            for turn in 0..calls {
                until(due(turn));
                sender.send(&control::update(&name(0), run, turn, KEYS))?;
            }
            Ok::<_, BenchError>(())
        });
        let mut times = Vec::new();
        for _ in 0..calls {
            let (id, _) = receiver.receive()?;
            // Ids count from one.
            let turn = id.saturating_sub(1);
            let took = Instant::now().saturating_duration_since(due(turn));
            if turn >= warm_up {
                times.push(us(took));
            }
        }
        sending.join().expect("it does not panic")?;
        Ok(Paced::of(times, stretch as usize))
    })
}
