//! One turn at a time on an idle host: where its time goes, what it writes, how often it syncs.
//!
//! Through the host's API, split by the engine's own trace, and through the control socket of a
//! host in a process of its own.

use std::time::Instant;

use kenvat_engine::{Mark, Step};

use crate::child::ChildHost;
use crate::control;
use crate::engine::{Host, KEYS, Timed, name};
use crate::raw::{Beside, Raw};
use crate::record::{Figure, Line};
use crate::spread::Spread;
use crate::steps::{FrameTime, STEPS, Split, frames, split};
use crate::{BenchError, Progress, Settings};

/// Calls that are made before any is measured.
const WARM_UP: (u64, u64) = (300, 20);
/// Calls that are measured.
const CALLS: (u64, u64) = (3_000, 60);

pub(crate) fn run(
    settings: &Settings,
    progress: &mut dyn Progress,
) -> Result<Vec<Line>, BenchError> {
    let warm_up = settings.size(WARM_UP.0, WARM_UP.1);
    let calls = settings.size(CALLS.0, CALLS.1);
    progress.begin("checkpoint", 2 * (warm_up + calls));
    let mut lines = through_api(settings, warm_up, calls, progress)?;
    lines.push(through_socket(settings, warm_up, calls, progress)?);
    Ok(lines)
}

fn through_api(
    settings: &Settings,
    warm_up: u64,
    calls: u64,
    progress: &mut dyn Progress,
) -> Result<Vec<Line>, BenchError> {
    let folder = settings.folder()?;
    let mut host = Host::with_vats(&folder.path().join("store"), 1)?;
    one_at_a_time(&mut host, warm_up, progress)?;
    let sizes = frames(&host.steps());
    let bytes = Spread::of(
        sizes
            .iter()
            .map(|frame| frame.journal_bytes as f64)
            .collect(),
    );
    let beside = Beside::begin(settings, folder.path(), bytes.p50 as u64)?;
    let timed = one_at_a_time(&mut host, calls, progress)?;
    let raw = beside.end(folder.path())?;
    let marks = host.steps();
    host.stop()?;
    let splits = split(&timed, &marks);
    let times: Vec<_> = timed.iter().map(Timed::took).collect();
    let mut lines = vec![
        durable_line(&splits, raw),
        whole_line(Spread::of_times(&times), raw),
    ];
    lines.extend(step_lines(&splits, raw));
    lines.extend(delta_lines(&marks));
    lines.push(sync_line(&frames(&marks), timed.len()));
    Ok(lines)
}

fn one_at_a_time(
    host: &mut Host,
    calls: u64,
    progress: &mut dyn Progress,
) -> Result<Vec<Timed>, BenchError> {
    let mut timed = Vec::with_capacity(calls as usize);
    for _ in 0..calls {
        timed.push(host.timed(0)?);
        progress.step(1);
    }
    Ok(timed)
}

fn durable_line(splits: &[Split], raw: Raw) -> Line {
    let times: Vec<_> = splits.iter().map(|split| split.durable).collect();
    let line = Line::times("delta to durable", Spread::of_times(&times), raw);
    let ratio = line.spread.p50 / raw.p50();
    line.reaching(Figure::at_most(
        "delta to durable, p50",
        ratio,
        1.15,
        "x raw",
    ))
}

fn whole_line(spread: Spread, raw: Raw) -> Line {
    Line::times("message to answer", spread, raw)
        .reaching(Figure::at_most(
            "message to answer, host API, p50",
            spread.p50 / raw.p50(),
            1.6,
            "x raw",
        ))
        .reaching(Figure::at_most(
            "message to answer, host API, p99",
            spread.p99 / raw.p50(),
            3.0,
            "x raw",
        ))
}

fn step_lines(splits: &[Split], raw: Raw) -> Vec<Line> {
    let whole: f64 = splits
        .iter()
        .flat_map(|split| split.steps)
        .map(|step| step.as_secs_f64())
        .sum();
    let lines = STEPS.iter().enumerate().map(|(at, name)| {
        let times: Vec<_> = splits.iter().map(|split| split.steps[at]).collect();
        let sum: f64 = times.iter().map(|time| time.as_secs_f64()).sum();
        let share = if whole > 0.0 {
            100.0 * sum / whole
        } else {
            0.0
        };
        Line::times(format!("  step: {name}"), Spread::of_times(&times), raw)
            .counting("per cent", (share * 10.0).round() / 10.0)
    });
    lines.collect()
}

fn delta_lines(marks: &[Mark]) -> Vec<Line> {
    let deltas = marks.iter().filter_map(|mark| match mark.step {
        Step::Delta {
            bytes,
            pages_changed,
            pages_written,
        } => Some((bytes as f64, pages_changed as f64, pages_written as f64)),
        _ => None,
    });
    let deltas: Vec<_> = deltas.collect();
    let bytes = Spread::of(deltas.iter().map(|delta| delta.0).collect());
    let changed = Spread::of(deltas.iter().map(|delta| delta.1).collect());
    let written = Spread::of(deltas.iter().map(|delta| delta.2).collect());
    vec![
        Line::new("delta of an update", "bytes", bytes).reaching(Figure::at_most(
            "delta of one update, p99",
            bytes.p99,
            1024.0,
            "bytes",
        )),
        Line::new("pages changed", "pages", changed),
        Line::new("pages written", "pages", written).reaching(Figure::at_most(
            "pages one update writes, p99",
            written.p99,
            // Ten until callers' methods were told from the realm's; see the worker's DESIGN.md.
            11.0,
            "pages",
        )),
    ]
}

/// Syncs a frame, of frames no fold ran beside; and frames a call.
fn sync_line(frames: &[FrameTime], calls: usize) -> Line {
    // The frame before the first one is not among the marks.
    let alone = frames.iter().skip(1).filter(|frame| !frame.folding);
    let syncs = Spread::of(alone.map(|frame| frame.syncs as f64).collect());
    let a_call = frames.len() as f64 / calls as f64;
    Line::new("syncs a frame", "syncs", syncs)
        .counting("frames a call", a_call)
        .reaching(Figure::exactly("syncs a frame, p50", syncs.p50, 1.0, ""))
        .reaching(Figure::exactly("frames an idle call", a_call, 1.0, ""))
}

fn through_socket(
    settings: &Settings,
    warm_up: u64,
    calls: u64,
    progress: &mut dyn Progress,
) -> Result<Line, BenchError> {
    let folder = settings.folder()?;
    let host = ChildHost::start(settings, &folder.path().join("store"))?.with_vat()?;
    let mut control = host.connect()?;
    let mut call = |turn: u64| {
        let question = control::update(&name(0), "one", turn, KEYS);
        let begun = Instant::now();
        control.ask(&question)?;
        progress.step(1);
        Ok::<_, BenchError>(begun.elapsed())
    };
    for turn in 0..warm_up {
        call(turn)?;
    }
    let beside = Beside::begin(settings, folder.path(), SOCKET_FRAME_BYTES)?;
    let mut times = Vec::with_capacity(calls as usize);
    for turn in warm_up..warm_up + calls {
        times.push(call(turn)?);
    }
    let raw = beside.end(folder.path())?;
    let line = Line::times("control socket", Spread::of_times(&times), raw);
    let ratio = line.spread.p50 / raw.p50();
    Ok(line.reaching(Figure::at_most(
        "update through the control socket, p50",
        ratio,
        2.0,
        "x raw",
    )))
}

/// What a frame of one keyed call takes: its answer is kept in it.
const SOCKET_FRAME_BYTES: u64 = 1024;
