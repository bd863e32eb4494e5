//! The command line: its commands, and which file carries out each.
//!
//! Promises: names, options and exit statuses are those of `docs/interfaces.md` section 2; results
//! go to stdout and everything else to stderr. Does not carry out commands itself.

mod args;
mod ask;
mod bench;
mod call;
mod check;
mod deploy;
mod give;
mod logs;
mod reporter;
mod serve;
mod store;
mod vats;

use std::process::ExitCode;

use clap::Parser;
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::args::{Cli, Command};
use crate::cli::reporter::Reporter;
use crate::user_error::{EXIT_USAGE, UserError};

/// Parses the arguments and does what they say.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    let reporter = Reporter::new(cli.json, cli.verbose);
    if let Command::Bench(args) = &cli.command {
        // A bench starts its own threads and blocks this one.
        return ended(bench::bench(&cli.data, args, reporter), reporter);
    }
    let done = runtime(&cli.command).and_then(|runtime| {
        let done = runtime.block_on(dispatch(cli, &reporter));
        // A thread that still reads the terminal must not keep the process alive.
        runtime.shutdown_background();
        done
    });
    ended(done, reporter)
}

fn ended(done: Result<(), UserError>, reporter: Reporter) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            reporter.error(&error);
            ExitCode::from(error.exit)
        }
    }
}

/// Makes a write past the limit of a file's length (`ulimit -f`) fail, so that it is reported like
/// a full disk. By default the kernel would end the process instead.
fn outlive_file_limit() -> Result<(), UserError> {
    let kind = SignalKind::from_raw(Signal::XFSZ.as_raw());
    // The handler stays installed when this listener is dropped.
    signal(kind)
        .map(drop)
        .map_err(|error| UserError::host(format!("signals cannot be received: {error}"), ""))
}

async fn dispatch(cli: Cli, reporter: &Reporter) -> Result<(), UserError> {
    outlive_file_limit()?;
    let dir = cli.data.as_path();
    match cli.command {
        Command::Run(args) => serve::run(dir, args, reporter).await,
        Command::Host(args) => serve::host(dir, args, reporter).await,
        Command::Deploy(args) => deploy::deploy(dir, args, reporter).await,
        Command::Check { file } => check::check(&file, reporter),
        Command::Call(args) => call::call(dir, args, reporter).await,
        Command::Ls => vats::ls(dir, reporter).await,
        Command::Show { vat } => vats::show(dir, vat, reporter).await,
        Command::Sleep { vat } => vats::sleep(dir, vat, reporter).await,
        Command::Wake { vat } => vats::wake(dir, vat, reporter).await,
        Command::Terminate { vat, yes } => vats::terminate(dir, vat, yes, reporter).await,
        Command::Logs { vat, follow } => logs::logs(dir, vat, follow, reporter).await,
        Command::Verify => store::verify(dir, reporter).await,
        Command::Limits(args) => store::limits(dir, args, reporter).await,
        Command::Bench(_) => unreachable!("it is run before there is a runtime"),
    }
}

/// Short commands need one thread; connections of a host must not wait for each other's parsing.
fn runtime(command: &Command) -> Result<tokio::runtime::Runtime, UserError> {
    let mut builder = match command {
        Command::Run(_) | Command::Host(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    builder
        .worker_threads(SERVING_THREADS)
        .enable_all()
        .build()
        .map_err(|error| UserError::host(format!("threads cannot be started: {error}"), ""))
}

/// Prints help and version unchanged; prints misuse as clap words it, or as JSON with `--json`.
fn misused(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|argument| argument == "--json");
    if !error.use_stderr() || !json {
        let _ = error.print();
        return ExitCode::from(if error.use_stderr() { EXIT_USAGE } else { 0 });
    }
    let text = error.render().to_string();
    let text = text.trim().trim_start_matches("error: ");
    let (message, hint) = text.split_once("\n\n").unwrap_or((text, ""));
    Reporter::new(true, false).error(&UserError::usage(message, hint));
    ExitCode::from(EXIT_USAGE)
}

const SERVING_THREADS: usize = 2;
