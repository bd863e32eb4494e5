//! The host's memory with thousands of sleeping vats, made and put to sleep by itself; and how a
//! host starts that has so many.

use std::time::Instant;

use serde_json::json;

use crate::child::ChildHost;
use crate::control;
use crate::engine::{KEYS, name};
use crate::raw::Beside;
use crate::record::{Figure, Line};
use crate::room;
use crate::spread::Spread;
use crate::{BenchError, Progress, Settings};

/// How many vats, and the mebibytes of the host with them that are to be reached.
const CASES: [(u64, Option<f64>); 2] = [(1_000, Some(100.0)), (10_000, Some(250.0))];
const CASES_QUICK: [(u64, Option<f64>); 1] = [(3, None)];
/// Vats that are made at the same time.
const IN_FLIGHT: usize = 16;
/// Calls of one vat beside the sleeping ones.
const CALLS: (u64, u64) = (1_000, 20);
const FRAME_BYTES: u64 = 1024;
const MIB: f64 = 1024.0 * 1024.0;

pub(crate) fn run(
    settings: &Settings,
    progress: &mut dyn Progress,
) -> Result<Vec<Line>, BenchError> {
    let cases = settings.size(CASES.as_slice(), CASES_QUICK.as_slice());
    let most = cases.last().map_or(0, |case| case.0);
    progress.begin("sleepers", most);
    let folder = settings.folder()?;
    let dir = folder.path().join("store");
    let mut host = ChildHost::start(settings, &dir)?;
    let (mut lines, mut made) = (Vec::new(), 0);
    for (count, reach) in cases {
        let begun = Instant::now();
        make(&host, made..*count, progress)?;
        let each = begun.elapsed() / u32::try_from(count - made).unwrap_or(u32::MAX);
        made = *count;
        let resident = room::resident_bytes(host.pid())? as f64;
        let mut line = Line::new(format!("resident, {count} asleep"), "bytes", one(resident))
            .counting(
                "us to make one and put it to sleep",
                each.as_secs_f64() * 1e6,
            );
        if let Some(mib) = reach {
            let what = format!("resident memory with {count} sleeping vats");
            line = line.reaching(Figure::at_most(&what, resident, mib * MIB, "bytes"));
        }
        lines.push(line);
        lines.push(call_beside(settings, &host, folder.path(), *count)?);
        // What recovery leaves is another thing than what making them left.
        host.kill([]);
        let begun = Instant::now();
        host = ChildHost::start(settings, &dir)?;
        let mut control = host.connect()?;
        control.ask(&control::update(
            &name(0),
            &format!("first{count}"),
            0,
            KEYS,
        ))?;
        let took = begun.elapsed();
        let resident = room::resident_bytes(host.pid())? as f64;
        lines.push(
            Line::new(
                format!("killed and restarted with {count}"),
                "us",
                Spread::of_times(&[took]),
            )
            .counting("resident MiB", (resident / MIB).round()),
        );
    }
    Ok(lines)
}

fn one(value: f64) -> Spread {
    Spread::of(vec![value])
}

/// Makes vats and puts each to sleep as soon as it is there.
fn make(
    host: &ChildHost,
    vats: std::ops::Range<u64>,
    progress: &mut dyn Progress,
) -> Result<(), BenchError> {
    let mut control = host.connect()?;
    let deploys = vats.map(|vat| control::deploy(&name(vat as usize)));
    control.ask_all(deploys, IN_FLIGHT, |_, answer| {
        // A deployment is answered with an object, a sleep with nothing.
        let made: Option<serde_json::Value> = serde_json::from_str(answer.get()).ok();
        let name = made.and_then(|made| Some(made.get("name")?.as_str()?.to_owned()));
        if name.is_none() {
            progress.step(1);
        }
        name.map(|name| json!({"sleep": {"vat": name}}))
    })
}

/// One vat called beside all that sleep: it should not feel them.
fn call_beside(
    settings: &Settings,
    host: &ChildHost,
    folder: &std::path::Path,
    count: u64,
) -> Result<Line, BenchError> {
    let mut control = host.connect()?;
    let run = format!("beside{count}");
    control.ask(&control::update(&name(0), &run, u64::MAX, KEYS))?;
    let beside = Beside::begin(settings, folder, FRAME_BYTES)?;
    let mut times = Vec::new();
    for turn in 0..settings.size(CALLS.0, CALLS.1) {
        let question = control::update(&name(0), &run, turn, KEYS);
        let begun = Instant::now();
        control.ask(&question)?;
        times.push(begun.elapsed());
    }
    let raw = beside.end(folder)?;
    let case = format!("control socket beside {count} asleep");
    Ok(Line::times(case, Spread::of_times(&times), raw))
}
