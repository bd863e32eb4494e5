//! The command line: what may be typed, and which file does it.
//!
//! Promises: names, options and exit statuses are those of `docs/interfaces.md` section 2; results
//! go to stdout and everything else to stderr. Does not do the work itself.

mod args;
mod ask;
mod bench;
mod call;
mod check;
mod deploy;
mod give;
mod logs;
mod serve;
mod store;
mod vats;
mod voice;

use std::process::ExitCode;

use clap::Parser;
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::args::{Cli, Command};
use crate::cli::voice::Voice;
use crate::people::{EXIT_USAGE, Trouble};

/// Parses the arguments and does what they say.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    let voice = Voice::new(cli.json, cli.verbose);
    if let Command::Bench(args) = &cli.command {
        // It makes its own threads, and waits in this one.
        return ended(bench::bench(&cli.data, args, voice), voice);
    }
    let done = runtime(&cli.command).and_then(|runtime| {
        let done = runtime.block_on(dispatch(cli, &voice));
        // A thread that still reads the terminal must not keep the process.
        runtime.shutdown_background();
        done
    });
    ended(done, voice)
}

fn ended(done: Result<(), Trouble>, voice: Voice) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            voice.trouble(&trouble);
            ExitCode::from(trouble.exit)
        }
    }
}

/// Where a file may not be longer (`ulimit -f`), the write that would make it so fails, which is
/// told like a full disk. Left alone, the kernel would end the process instead.
fn outlive_file_limit() -> Result<(), Trouble> {
    let kind = SignalKind::from_raw(Signal::XFSZ.as_raw());
    // Nobody listens; it is not taken back when the listener goes.
    signal(kind)
        .map(drop)
        .map_err(|error| Trouble::host(format!("signals cannot be received: {error}"), ""))
}

async fn dispatch(cli: Cli, voice: &Voice) -> Result<(), Trouble> {
    outlive_file_limit()?;
    let dir = cli.data.as_path();
    match cli.command {
        Command::Run(args) => serve::run(dir, args, voice).await,
        Command::Host(args) => serve::host(dir, args, voice).await,
        Command::Deploy(args) => deploy::deploy(dir, args, voice).await,
        Command::Check { file } => check::check(&file, voice),
        Command::Call(args) => call::call(dir, args, voice).await,
        Command::Ls => vats::ls(dir, voice).await,
        Command::Show { vat } => vats::show(dir, vat, voice).await,
        Command::Sleep { vat } => vats::sleep(dir, vat, voice).await,
        Command::Wake { vat } => vats::wake(dir, vat, voice).await,
        Command::Terminate { vat, yes } => vats::terminate(dir, vat, yes, voice).await,
        Command::Logs { vat, follow } => logs::logs(dir, vat, follow, voice).await,
        Command::Verify => store::verify(dir, voice).await,
        Command::Limits(args) => store::limits(dir, args, voice).await,
        Command::Bench(_) => unreachable!("it is run before there is a runtime"),
    }
}

/// Short commands need one thread; a host's connections should not wait for each other's parsing.
fn runtime(command: &Command) -> Result<tokio::runtime::Runtime, Trouble> {
    let mut builder = match command {
        Command::Run(_) | Command::Host(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    builder
        .worker_threads(SERVING_THREADS)
        .enable_all()
        .build()
        .map_err(|error| Trouble::host(format!("threads cannot be started: {error}"), ""))
}

/// Help and version as they are; misuse as clap says it, or as JSON where that was asked for.
fn misused(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|argument| argument == "--json");
    if !error.use_stderr() || !json {
        let _ = error.print();
        return ExitCode::from(if error.use_stderr() { EXIT_USAGE } else { 0 });
    }
    let text = error.render().to_string();
    let text = text.trim().trim_start_matches("error: ");
    let (message, hint) = text.split_once("\n\n").unwrap_or((text, ""));
    Voice::new(true, false).trouble(&Trouble::usage(message, hint));
    ExitCode::from(EXIT_USAGE)
}

const SERVING_THREADS: usize = 2;
