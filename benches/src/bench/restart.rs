//! `kill -9` of host and worker to the first answer of the next host.
//!
//! The clock runs from the kill to the answer: the dead reaped, a new process, the store recovered,
//! the vat's image checked and mapped, one turn made durable and answered. Between two kills the
//! vat is updated through the control socket, so that each finds another stretch of journal behind
//! the last fold.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::child::ChildHost;
use crate::control::{self, Control};
use crate::engine::{Host, SMALL_KEYS, Until, name};
use crate::raw::Beside;
use crate::record::{Figure, Line};
use crate::room;
use crate::spread::Spread;
use crate::{BenchError, Progress, Settings};

/// Turns before the first kill.
const HISTORIES: [u64; 3] = [10_000, 100_000, 1_000_000];
const HISTORIES_QUICK: [u64; 2] = [100, 400];
/// Mebibytes of heap.
const HEAPS_MIB: [u64; 3] = [1, 64, 1_024];
const HEAPS_MIB_QUICK: [u64; 1] = [1];
/// Kills with the page cache as it is, and with it emptied of the store.
const WARM: (u64, u64) = (20, 2);
const COLD: (u64, u64) = (5, 1);
/// Updates between two kills: a part of a fold's 8 MiB that does not divide it.
const BETWEEN: (u64, u64) = (1_700, 20);
const IN_FLIGHT: usize = 64;
const FRAME_BYTES: u64 = 1024;
/// The figures to reach, in microseconds.
const HISTORY_US_MAX: f64 = 25_000.0;
const GIB_US_MAX: f64 = 200_000.0;
/// How much the times of two histories may differ by chance.
const SAME_WITHIN: f64 = 1.1;

pub(crate) fn run(
    settings: &Settings,
    progress: &mut dyn Progress,
) -> Result<Vec<Line>, BenchError> {
    let histories = settings.size(HISTORIES.as_slice(), HISTORIES_QUICK.as_slice());
    let heaps = settings.size(HEAPS_MIB.as_slice(), HEAPS_MIB_QUICK.as_slice());
    let kills = settings.size(WARM.0 + COLD.0, WARM.1 + COLD.1);
    progress.begin("restart", kills * (histories.len() + heaps.len()) as u64);
    let mut lines: Vec<Line> = Vec::new();
    let mut first = None;
    for turns in histories {
        let folder = settings.folder()?;
        let dir = folder.path().join("store");
        let mut host = Host::with_vats(&dir, 1)?;
        host.drive(1, 1_024, Until::Turns(*turns), |_| {})?;
        host.stop()?;
        let case = format!("after {turns} turns");
        let mut found = kill_and_restart(settings, folder.path(), &case, progress)?;
        let p50 = found[0].spread.p50;
        let least = *first.get_or_insert(p50);
        if turns == histories.last().unwrap_or(&0) {
            let scale = found[0].raw.map_or(1.0, |raw| raw.scale());
            let what = format!("kill -9 to first answer after {turns} turns, p50");
            let limit = HISTORY_US_MAX * scale;
            found[0]
                .figures
                .push(Figure::at_most(&what, p50, limit, "us"));
            let what = "the same against the shortest history, p50";
            let figure = Figure::at_most(what, p50 / least, SAME_WITHIN, "times");
            found[0].figures.push(figure);
        }
        lines.append(&mut found);
    }
    for mib in heaps {
        let folder = settings.folder()?;
        let host = Host::with_heap(&folder.path().join("store"), mib << 20)?;
        host.stop()?;
        let case = format!("heap of {mib} MiB");
        let mut found = kill_and_restart(settings, folder.path(), &case, progress)?;
        if *mib == 1_024 {
            let (p50, scale) = (
                found[0].spread.p50,
                found[0].raw.map_or(1.0, |raw| raw.scale()),
            );
            let what = "kill -9 to first answer, heap of 1 GiB, p50";
            let figure = Figure::at_most(what, p50, GIB_US_MAX * scale, "us");
            found[0].figures.push(figure);
        }
        lines.append(&mut found);
    }
    Ok(lines)
}

/// Warm first, then cold.
fn kill_and_restart(
    settings: &Settings,
    folder: &Path,
    case: &str,
    progress: &mut dyn Progress,
) -> Result<Vec<Line>, BenchError> {
    let dir = folder.join("store");
    let beside = Beside::begin(settings, folder, FRAME_BYTES)?;
    let mut life = Life::begin(settings, &dir)?;
    let mut times = [Vec::new(), Vec::new()];
    for (cache, kills) in [(Cache::Warm, WARM), (Cache::Cold, COLD)] {
        for _ in 0..settings.size(kills.0, kills.1) {
            life.load()?;
            times[cache as usize].push(life.kill(cache)?);
            progress.step(1);
        }
    }
    drop(life);
    let raw = beside.end(folder)?;
    let [warm, cold] = times.map(|times| Spread::of_times(&times));
    Ok(vec![
        Line::times(format!("first answer {case}"), warm, raw),
        Line::times(format!("  the same, cold, {case}"), cold, raw),
    ])
}

/// What the page cache holds of the store when the next host starts.
#[derive(Clone, Copy, Debug)]
enum Cache {
    Warm = 0,
    Cold = 1,
}

/// A host, and the hosts after it.
struct Life<'a> {
    settings: &'a Settings,
    dir: &'a Path,
    host: Option<ChildHost>,
    control: Control,
    /// Names the requests of this life apart from those of the one before.
    number: u64,
    turn: u64,
}

impl<'a> Life<'a> {
    fn begin(settings: &'a Settings, dir: &'a Path) -> Result<Life<'a>, BenchError> {
        let host = ChildHost::start(settings, dir)?;
        let control = host.connect()?;
        Ok(Life {
            settings,
            dir,
            host: Some(host),
            control,
            number: 0,
            turn: 0,
        })
    }

    fn question(&mut self) -> serde_json::Value {
        self.turn += 1;
        let run = format!("life{}", self.number);
        control::update(&name(0), &run, self.turn, SMALL_KEYS)
    }

    /// Updates, so that there is something to recover.
    fn load(&mut self) -> Result<(), BenchError> {
        let count = self.settings.size(BETWEEN.0, BETWEEN.1);
        let questions: Vec<_> = (0..count).map(|_| self.question()).collect();
        self.control
            .ask_all(questions.into_iter(), IN_FLIGHT, |_, _| None)
    }

    /// Kills everything, starts a host, and asks it: how long that took.
    fn kill(&mut self, cache: Cache) -> Result<Duration, BenchError> {
        let host = self.host.take().expect("there is one between two kills");
        let worker = host.worker(&mut self.control, &name(0))?;
        self.number += 1;
        let question = self.question();
        let mut begun = Instant::now();
        host.kill(worker);
        if let Cache::Cold = cache {
            room::forget_cached(self.dir)?;
            begun = Instant::now();
        }
        let host = ChildHost::start(self.settings, self.dir)?;
        self.control = host.connect()?;
        self.control.ask(&question)?;
        let took = begun.elapsed();
        self.host = Some(host);
        Ok(took)
    }
}
