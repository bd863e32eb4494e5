//! Durable turns a second with many calls in flight, one vat and sixteen; and what a commit takes
//! while a fold runs beside it.

use std::time::Duration;

use crate::engine::{Drive, Host, Until};
use crate::raw::{Beside, Raw};
use crate::record::{Figure, Line};
use crate::spread::{Spread, us};
use crate::steps::{FrameTime, frames};
use crate::{BenchError, Progress, Settings};

const IN_FLIGHT: [usize; 5] = [1, 16, 64, 256, 1_024];
/// How long each case is driven, and how many turns in a quick run.
const CASE_TIME: Duration = Duration::from_secs(2);
const CASE_TURNS_QUICK: u64 = 200;
/// How long commits are watched while folds run.
const FOLD_TIME: Duration = Duration::from_secs(8);
const FOLD_TURNS_QUICK: u64 = 2_000;
/// The frame beside which throughput stands: that of a turn alone.
const FRAME_BYTES: u64 = 1024;

pub(crate) fn run(
    settings: &Settings,
    progress: &mut dyn Progress,
) -> Result<Vec<Line>, BenchError> {
    progress.begin("throughput", 2 * IN_FLIGHT.len() as u64 + 1);
    let mut lines = Vec::new();
    for vats in [1, 16] {
        lines.extend(cases(settings, vats, progress)?);
    }
    lines.extend(folding(settings)?);
    progress.step(1);
    Ok(lines)
}

fn cases(
    settings: &Settings,
    vats: usize,
    progress: &mut dyn Progress,
) -> Result<Vec<Line>, BenchError> {
    let folder = settings.folder()?;
    let mut host = Host::with_vats(&folder.path().join("store"), vats)?;
    let beside = Beside::begin(settings, folder.path(), FRAME_BYTES)?;
    let mut found = Vec::new();
    for in_flight in IN_FLIGHT {
        let until = settings.size(Until::Elapsed(CASE_TIME), Until::Turns(CASE_TURNS_QUICK));
        let mut times = Vec::new();
        let drive = host.drive(vats, in_flight, until, |took| times.push(us(took)))?;
        let frames = frames(&host.steps()).len();
        found.push((in_flight, drive, Spread::of(times), frames));
        progress.step(1);
    }
    let raw = beside.end(folder.path())?;
    host.stop()?;
    let lines = found.into_iter().map(|(in_flight, drive, spread, frames)| {
        let line = Line::times(case(vats, in_flight), spread, raw)
            .counting("turns/s", drive.turns_a_second())
            .counting("turns a frame", drive.turns as f64 / frames.max(1) as f64)
            .counting("vats", vats as f64)
            .counting("in flight", in_flight as f64);
        figure(vats, in_flight, &drive, raw)
            .into_iter()
            .fold(line, Line::reaching)
    });
    Ok(lines.collect())
}

fn case(vats: usize, in_flight: usize) -> String {
    match vats {
        1 => format!("1 vat, {in_flight} in flight"),
        _ => format!("{vats} vats, {in_flight} in flight"),
    }
}

fn figure(vats: usize, in_flight: usize, drive: &Drive, raw: Raw) -> Option<Figure> {
    let least = match (vats, in_flight) {
        (1, 64) => 45_000.0,
        (_, 1_024) => 100_000.0,
        _ => return None,
    };
    let what = format!("durable turns/s, {}", case(vats, in_flight));
    let (value, limit) = (drive.turns_a_second(), least / raw.scale());
    Some(Figure::at_least(&what, value, limit, "turns/s"))
}

/// Sixteen vats at full load for long enough that folds run; every frame beside one is looked at.
fn folding(settings: &Settings) -> Result<Vec<Line>, BenchError> {
    let vats = settings.size(16, 2);
    let folder = settings.folder()?;
    let mut host = Host::with_vats(&folder.path().join("store"), vats)?;
    let until = settings.size(Until::Elapsed(FOLD_TIME), Until::Turns(FOLD_TURNS_QUICK));
    // Disk and load in turns: what a frame writes is known only afterwards.
    let drive = host.drive(vats, 1_024, until, |_| {})?;
    let all = frames(&host.steps());
    host.stop()?;
    let bytes = Spread::of(all.iter().map(|frame| frame.journal_bytes as f64).collect());
    let beside = Beside::begin(settings, folder.path(), bytes.p50 as u64)?;
    let raw = beside.end(folder.path())?;
    let (during, apart): (Vec<_>, Vec<_>) = all.iter().partition(|frame| frame.folding);
    let line = |case: &str, frames: &[&FrameTime], of: fn(&FrameTime) -> Duration| {
        let times: Vec<_> = frames.iter().map(|frame| of(frame)).collect();
        Line::times(case, Spread::of_times(&times), raw)
    };
    let commits = line("commits while folding", &during, |frame| frame.took)
        .counting("turns/s", drive.turns_a_second())
        .counting("frame bytes, p50", bytes.p50);
    let ratio = commits.spread.p99 / raw.p99();
    let what = "p99 of commits while folding at full load";
    let figure = Figure::at_most(what, ratio, 3.0, "x raw's p99");
    let lines = [
        commits.reaching(figure),
        line("  sealed to known durable", &during, |frame| frame.waited),
        line("commits between folds", &apart, |frame| frame.took),
    ];
    // A quick run is over before anything is folded.
    Ok(lines
        .into_iter()
        .filter(|line| line.spread.count > 0)
        .collect())
}
