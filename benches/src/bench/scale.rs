//! One small turn in small and large heaps: its delay and its bytes.
//!
//! Heaps are filled with what programs hold, small objects with strings and arrays in them; a few
//! large strings would be a large heap with nothing in it.

use kenvat_engine::Step;

use crate::engine::{Host, Timed};
use crate::raw::Beside;
use crate::record::{Figure, Line};
use crate::spread::Spread;
use crate::{BenchError, Progress, Settings};

/// Mebibytes of the heaps.
const HEAPS_MIB: [u64; 4] = [1, 64, 256, 1_024];
const HEAPS_MIB_QUICK: [u64; 2] = [1, 4];
/// Small turns in each.
const CALLS: (u64, u64) = (2_000, 30);
const WARM_UP: (u64, u64) = (200, 5);
const FRAME_BYTES: u64 = 1024;
/// How much slower a turn may be in the largest heap than in the smallest.
const SLOWER_MAX: f64 = 1.5;

pub(crate) fn run(
    settings: &Settings,
    progress: &mut dyn Progress,
) -> Result<Vec<Line>, BenchError> {
    let heaps = settings.size(HEAPS_MIB.as_slice(), HEAPS_MIB_QUICK.as_slice());
    progress.begin("scale", heaps.len() as u64);
    let mut lines: Vec<Line> = Vec::new();
    for mib in heaps {
        let mut of_heap = heap(settings, *mib)?;
        if let (Some(first), Some(line)) = (lines.first(), of_heap.first_mut()) {
            // Against the disk of their own minutes: the two were not measured together.
            let slower = line.ratio.unwrap_or(0.0) / first.ratio.unwrap_or(1.0);
            line.counts.insert("x 1 MiB".to_owned(), slower);
            if mib == heaps.last().unwrap_or(&0) {
                let what = "a small turn in a 1 GiB heap against a 1 MiB heap, p50";
                let figure = Figure::at_most(what, slower, SLOWER_MAX, "times");
                line.figures.push(figure);
            }
        }
        lines.append(&mut of_heap);
        progress.step(1);
    }
    Ok(lines)
}

fn heap(settings: &Settings, mib: u64) -> Result<Vec<Line>, BenchError> {
    let folder = settings.folder()?;
    let mut host = Host::with_heap(&folder.path().join("store"), mib << 20)?;
    for _ in 0..settings.size(WARM_UP.0, WARM_UP.1) {
        host.timed(0)?;
    }
    host.steps();
    let beside = Beside::begin(settings, folder.path(), FRAME_BYTES)?;
    let mut times = Vec::new();
    for _ in 0..settings.size(CALLS.0, CALLS.1) {
        times.push(
            host.timed(0)
                .as_ref()
                .map(Timed::took)
                .map_err(|error| BenchError::Workload(error.to_string()))?,
        );
    }
    let raw = beside.end(folder.path())?;
    let deltas = host.steps().into_iter().filter_map(|mark| match mark.step {
        Step::Delta { bytes, .. } => Some(bytes as f64),
        _ => None,
    });
    let deltas = Spread::of(deltas.collect());
    let heap_bytes = host.show(0)?.heap_bytes as f64;
    host.stop()?;
    Ok(vec![
        Line::times(
            format!("small turn, {mib} MiB"),
            Spread::of_times(&times),
            raw,
        )
        .counting("heap bytes", heap_bytes),
        Line::new(format!("  its delta, {mib} MiB"), "bytes", deltas),
    ])
}
