//! Durable turns a second with many calls in flight, one vat and sixteen; what a commit takes while
//! a fold runs beside it is in `folding`.

use std::time::Duration;

use super::folding;
use crate::engine::{Drive, Host, Until};
use crate::raw::{Beside, Raw};
use crate::record::{Figure, Line};
use crate::spread::{Spread, us};
use crate::steps::frames;
use crate::{BenchError, Progress, Settings};

const IN_FLIGHT: [usize; 5] = [1, 16, 64, 256, 1_024];
/// How long each case is driven, and how many turns in a quick run.
const CASE_TIME: Duration = Duration::from_secs(2);
const CASE_TURNS_QUICK: u64 = 200;
/// The frame beside which throughput stands: that of a turn alone.
const FRAME_BYTES: u64 = 1024;

pub(crate) fn run(
    settings: &Settings,
    progress: &mut dyn Progress,
) -> Result<Vec<Line>, BenchError> {
    let folds = folding::VATS.len() as u64;
    progress.begin("throughput", 2 * IN_FLIGHT.len() as u64 + folds);
    let mut lines = Vec::new();
    for vats in [1, 16] {
        lines.extend(cases(settings, vats, progress)?);
    }
    for vats in folding::VATS {
        lines.extend(folding::run(settings, vats)?);
        progress.step(1);
    }
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
