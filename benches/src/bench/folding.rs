//! What a commit takes while a fold runs beside it, at full load: few vats, and many that are all
//! changed between two folds.
//!
//! Promises: it is watched until enough commits had a fold beside them for a percentile to mean
//! something, or for as long as is given to it; the count is in the line.

use std::time::{Duration, Instant};

use kenvat_engine::{Mark, Step};

use crate::engine::{Drive, Host, Until};
use crate::raw::Beside;
use crate::record::{Figure, Line};
use crate::spread::Spread;
use crate::steps::{FrameTime, folds, frames};
use crate::{BenchError, Settings};

/// Vats of the cases; the first is the one figures are stated for.
pub(super) const VATS: [usize; 2] = [16, 256];
const IN_FLIGHT: usize = 1_024;
/// Commits that are to have a fold beside them.
const BESIDE: usize = 1_000;
/// Load is made in stretches of this, at least and at most so long.
const STRETCH: Duration = Duration::from_secs(2);
const TIME_MIN: Duration = Duration::from_secs(8);
const TIME_MAX: Duration = Duration::from_secs(120);
const TURNS_QUICK: u64 = 2_000;

pub(super) fn run(settings: &Settings, vats: usize) -> Result<Vec<Line>, BenchError> {
    let vats = if settings.quick { 2 } else { vats };
    let folder = settings.folder()?;
    let mut host = Host::with_vats(&folder.path().join("store"), vats)?;
    let (drive, marks) = load(settings, &mut host, vats)?;
    host.stop()?;
    let all = frames(&marks);
    // Disk and load in turns: what a frame writes is known only afterwards.
    let bytes = Spread::of(all.iter().map(|frame| frame.journal_bytes as f64).collect());
    let beside = Beside::begin(settings, folder.path(), bytes.p50 as u64)?;
    let raw = beside.end(folder.path())?;
    let (during, apart): (Vec<&FrameTime>, Vec<&FrameTime>) =
        all.iter().partition(|frame| frame.folding);
    let slowest = during
        .chunk_by(|a, b| a.folds == b.folds)
        .filter_map(|of_fold| {
            let slowest = of_fold.iter().max_by_key(|frame| frame.took);
            slowest.copied()
        });
    let slowest: Vec<_> = slowest.collect();
    let name = |case: &str| match vats {
        16 => case.to_owned(),
        _ => format!("{case}, {vats} vats"),
    };
    let line = |case: &str, frames: &[&FrameTime], of: fn(&FrameTime) -> Duration| {
        let times: Vec<_> = frames.iter().map(|frame| of(frame)).collect();
        Line::times(name(case), Spread::of_times(&times), raw)
    };
    let (times, most) = folds(&marks);
    let commits = line("commits while folding", &during, |frame| frame.took)
        .counting("turns/s", drive.turns_a_second())
        .counting("frame bytes, p50", bytes.p50)
        .counting("journal MiB, most", most as f64 / f64::from(1 << 20));
    let what = "p99 of commits while folding at full load";
    let ratio = commits.spread.p99 / raw.p99();
    let figure = Figure::at_most(&name(what), ratio, 3.0, "x raw's p99");
    let lines = [
        commits.reaching(figure),
        line("  sealed to known durable", &during, |frame| frame.waited),
        line("  slowest of each fold", &slowest, |frame| frame.took),
        line("commits between folds", &apart, |frame| frame.took),
        Line::times(name("folds"), Spread::of_times(&times), raw),
    ];
    // A quick run is over before anything is folded.
    Ok(lines
        .into_iter()
        .filter(|line| line.spread.count > 0)
        .collect())
}

/// Full load until enough frames had a fold beside them. Keeps the steps frames and folds are told
/// by: those of turns are too many.
fn load(
    settings: &Settings,
    host: &mut Host,
    vats: usize,
) -> Result<(Drive, Vec<Mark>), BenchError> {
    let (begun, mut marks, mut turns) = (Instant::now(), Vec::new(), 0);
    let mut elapsed = Duration::ZERO;
    loop {
        let until = settings.size(Until::Elapsed(STRETCH), Until::Turns(TURNS_QUICK));
        let drive = host.drive(vats, IN_FLIGHT, until, |_| {})?;
        turns += drive.turns;
        elapsed += drive.elapsed;
        marks.extend(host.steps().into_iter().filter(|mark| {
            matches!(
                mark.step,
                Step::Sealed { .. } | Step::Durable { .. } | Step::FoldBegun | Step::FoldEnded
            )
        }));
        let found = frames(&marks).iter().filter(|frame| frame.folding).count();
        let is_enough = found >= BESIDE && begun.elapsed() >= TIME_MIN;
        if settings.quick || is_enough || begun.elapsed() >= TIME_MAX {
            return Ok((Drive { turns, elapsed }, marks));
        }
    }
}
