//! A new vat: from its program in the host's hands to its being there for good, and the disk it
//! takes.

use std::time::Instant;

use crate::engine::{Host, name};
use crate::raw::Beside;
use crate::record::{Figure, Line};
use crate::room;
use crate::spread::Spread;
use crate::{BenchError, Progress, Settings};

/// Vats that are made.
const VATS: (usize, usize) = (100, 3);
const FRAME_BYTES: u64 = 4096;
/// The figures to reach.
const CREATE_US_MAX: f64 = 15_000.0;
const CREATE_BYTES_MAX: f64 = 4.0 * 1024.0 * 1024.0;

pub(crate) fn run(
    settings: &Settings,
    progress: &mut dyn Progress,
) -> Result<Vec<Line>, BenchError> {
    let vats = settings.size(VATS.0, VATS.1);
    progress.begin("create", vats as u64);
    let folder = settings.folder()?;
    let dir = folder.path().join("store");
    // The first vat pays for what all others find there.
    let host = Host::with_vats(&dir, 1)?;
    let heaps = dir.join("heap");
    let before = (room::disk_bytes(&heaps)?, room::disk_bytes(&dir)?);
    let beside = Beside::begin(settings, folder.path(), FRAME_BYTES)?;
    let mut times = Vec::new();
    for vat in 1..=vats {
        let begun = Instant::now();
        host.deploy(&name(vat))?;
        times.push(begun.elapsed());
        progress.step(1);
    }
    let raw = beside.end(folder.path())?;
    // A clean stop folds, so that what the catalog takes is counted too.
    host.stop()?;
    let after = (room::disk_bytes(&heaps)?, room::disk_bytes(&dir)?);
    let each = |before: u64, after: u64| after.saturating_sub(before) as f64 / vats as f64;
    let spread = Spread::of_times(&times);
    let image = each(before.0, after.0);
    Ok(vec![
        Line::times("new vat", spread, raw).reaching(Figure::at_most(
            "a new vat, p50",
            spread.p50,
            CREATE_US_MAX * raw.scale(),
            "us",
        )),
        Line::new("disk of a new vat", "bytes", Spread::of(vec![image]))
            .counting("bytes with catalog and journal", each(before.1, after.1))
            .reaching(Figure::at_most(
                "disk of a new vat",
                image,
                CREATE_BYTES_MAX,
                "bytes",
            )),
    ])
}
