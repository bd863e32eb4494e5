//! A sleeping vat to its answer: its image checked, mapped, its process started, one turn run and
//! made durable.

use std::time::Instant;

use crate::engine::{Host, name, settle};
use crate::raw::Beside;
use crate::record::{Figure, Line};
use crate::spread::Spread;
use crate::{BenchError, Progress, Settings};

/// Times a vat is woken.
const WAKES: (u64, u64) = (200, 3);
/// Bytes of heap of the vats woken; none asked for is the workload's own heap.
const HEAPS: [(&str, u64); 2] = [("", 0), (", heap of 64 MiB", 64 << 20)];
const FRAME_BYTES: u64 = 1024;
/// The figure to reach, in microseconds.
const WAKE_US_MAX: f64 = 10_000.0;

pub(crate) fn run(
    settings: &Settings,
    progress: &mut dyn Progress,
) -> Result<Vec<Line>, BenchError> {
    let wakes = settings.size(WAKES.0, WAKES.1);
    let heaps = settings.size(HEAPS.as_slice(), &HEAPS[..1]);
    progress.begin("wake", wakes * heaps.len() as u64);
    let mut lines = Vec::new();
    for (case, bytes) in heaps {
        let folder = settings.folder()?;
        let dir = folder.path().join("store");
        let mut host = match bytes {
            0 => Host::with_vats(&dir, 1)?,
            bytes => Host::with_heap(&dir, *bytes)?,
        };
        let beside = Beside::begin(settings, folder.path(), FRAME_BYTES)?;
        let mut times = Vec::new();
        for _ in 0..wakes {
            settle(host.engine.sleep(&name(0)))?;
            let begun = Instant::now();
            host.timed(0)?;
            times.push(begun.elapsed());
            progress.step(1);
        }
        let raw = beside.end(folder.path())?;
        host.stop()?;
        let spread = Spread::of_times(&times);
        let line = Line::times(format!("wake to answer{case}"), spread, raw);
        lines.push(match bytes {
            0 => line.reaching(Figure::at_most(
                "wake a sleeping vat to its answer, p50",
                spread.p50,
                WAKE_US_MAX * raw.scale(),
                "us",
            )),
            _ => line,
        });
    }
    Ok(lines)
}
