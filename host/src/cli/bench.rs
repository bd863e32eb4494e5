//! `bench`: runs the workloads and shows their results.
//!
//! Promises: works in fresh folders and removes them; results go to stdout, with `--json` one line
//! each; the results of one bench are shown and recorded even if the next one fails. Does not touch
//! the store of `--data`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use kenvat_benches::record::{self, Line};
use kenvat_benches::{Bench, BenchError, Progress, Settings, plot, room, run, table};

use crate::cli::args::BenchArgs;
use crate::cli::reporter::Reporter;
use crate::user_error::UserError;

/// Where results are recorded, in the current folder.
const RECORD: &str = "benches/results.jsonl";

/// Runs the benches named, or all.
pub fn bench(data: &Path, args: &BenchArgs, reporter: Reporter) -> Result<(), UserError> {
    if args.list {
        list(reporter);
        return Ok(());
    }
    let benches = named(&args.names)?;
    let record = record_file(args, reporter)?;
    let settings = settings(data, args)?;
    if room::is_memory(&settings.dir) {
        let dir = settings.dir.display();
        reporter.note(&format!(
            "{dir} is in memory, where a sync means nothing: name a folder on a disk with --dir"
        ));
    }
    if cfg!(debug_assertions) {
        reporter.note("this build is not optimised: its times mean little");
    }
    let mut lines = Vec::new();
    for bench in benches {
        let mut bar = Bar::default();
        let found = run(bench, &settings, &mut bar);
        bar.end();
        let found = found.map_err(user_error)?;
        show(bench, &found, reporter);
        if let Some(file) = &record {
            record::append(file, &found).map_err(user_error)?;
        }
        lines.extend(found);
    }
    if !reporter.is_json() {
        reporter.line(table::figures(&lines).trim_end());
    }
    if let Some(file) = &args.plot {
        plot::draw(file, &lines).map_err(user_error)?;
    }
    Ok(())
}

fn list(reporter: Reporter) {
    let benches = Bench::ALL.map(|bench| (bench.name(), bench.about()));
    let report: Vec<_> = benches
        .iter()
        .map(|(name, about)| serde_json::json!({"name": name, "about": about}))
        .collect();
    reporter.result(&report, || {
        let lines = benches.map(|(name, about)| format!("{name:<12}{about}"));
        lines.join("\n")
    });
}

fn named(names: &[String]) -> Result<Vec<Bench>, UserError> {
    if names.is_empty() {
        return Ok(Bench::ALL.to_vec());
    }
    let find = |name: &String| {
        let unknown = || {
            UserError::usage(
                format!("no bench is called `{name}`"),
                "kenvat bench --list",
            )
        };
        Bench::from_name(name).ok_or_else(unknown)
    };
    names.iter().map(find).collect()
}

/// The file results are appended to, if any.
fn record_file(args: &BenchArgs, reporter: Reporter) -> Result<Option<PathBuf>, UserError> {
    match &args.record {
        Some(_) if !reporter.is_json() => Err(UserError::usage(
            "--record is for what --json prints",
            "say --json as well",
        )),
        Some(file) => Ok(Some(file.clone())),
        None if !reporter.is_json() => Ok(None),
        None => {
            let file = PathBuf::from(RECORD);
            let is_there = file.parent().is_some_and(Path::is_dir);
            if !is_there {
                reporter.note("no folder benches is here: nothing is recorded; --record FILE does");
            }
            Ok(is_there.then_some(file))
        }
    }
}

fn settings(data: &Path, args: &BenchArgs) -> Result<Settings, UserError> {
    let program = std::env::current_exe()
        .map_err(|error| UserError::host(format!("this program cannot be found: {error}"), ""))?;
    let beside = || match data.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let dir = args.dir.clone().unwrap_or_else(beside);
    if !dir.is_dir() {
        let message = format!("{} is not a folder", dir.display());
        return Err(UserError::usage(
            message,
            "--dir names one on the disk to be measured",
        ));
    }
    Ok(Settings {
        dir,
        program,
        quick: args.quick,
    })
}

fn show(bench: Bench, lines: &[Line], reporter: Reporter) {
    if reporter.is_json() {
        for line in lines {
            reporter.result(line, String::new);
        }
    } else {
        reporter.line(&format!("{}: {}", bench.name(), bench.about()));
        reporter.line(&table::lines(lines));
    }
}

fn user_error(error: BenchError) -> UserError {
    UserError::host(
        error.to_string(),
        "the bench's folders are gone; no store was touched",
    )
}

/// A progress bar on a terminal, nothing in a pipe.
#[derive(Debug, Default)]
struct Bar(Option<ProgressBar>);

impl Bar {
    fn end(&mut self) {
        if let Some(bar) = self.0.take() {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Bar {
    fn begin(&mut self, what: &str, steps: u64) {
        self.end();
        if !std::io::stderr().is_terminal() {
            return;
        }
        let bar = ProgressBar::new(steps).with_message(what.to_owned());
        // A template that does not parse leaves the default one.
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {elapsed}") {
            bar.set_style(style);
        }
        self.0 = Some(bar);
    }

    fn step(&mut self, by: u64) {
        if let Some(bar) = &self.0 {
            bar.inc(by);
        }
    }
}
