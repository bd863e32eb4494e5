//! `verify` and `limits`.
//!
//! Promises: a store that is too damaged to be opened is still read to its end. Does not repair.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use indicatif::ProgressBar;
use tokio::time::Instant;

use crate::cli::args::LimitsArgs;
use crate::cli::ask;
use crate::cli::reporter::Reporter;
use crate::cli::vats::align;
use crate::control::endpoint::WAIT_MAX;
use crate::control::inspect::{Inspected, inspect};
use crate::control::protocol::Ask;
use crate::control::report::{LimitLine, VerifySheet};
use crate::control::store_folder;
use crate::units;
use crate::user_error::{UserError, bytes};

/// Pause between two pictures of the spinner.
const TICK: Duration = Duration::from_millis(100);

/// Reads every byte of the store.
pub async fn verify(dir: &Path, reporter: &Reporter) -> Result<(), UserError> {
    let spinner = spinner();
    let sheet = read(dir).await;
    spinner.finish_and_clear();
    let sheet = sheet?;
    reporter.result(&sheet, || report(&sheet));
    match sheet.damages.len() {
        0 => Ok(()),
        count => Err(UserError::host(
            format!(
                "{count} places in {} are not what was written",
                dir.display()
            ),
            "copy the store before anything else; vats not named above are unharmed",
        )),
    }
}

async fn read(dir: &Path) -> Result<VerifySheet, UserError> {
    if !store_folder::has_store(dir)? {
        return Err(ask::no_store(dir));
    }
    match inspect(dir, Instant::now() + WAIT_MAX).await? {
        Inspected::Served(host) => ask::once_in(host, Ask::Verify).await,
        Inspected::Read(sheet) => Ok(sheet),
    }
}

/// Shows every limit, after setting those that were given for a vat.
pub async fn limits(dir: &Path, args: LimitsArgs, reporter: &Reporter) -> Result<(), UserError> {
    let set = units::settings(&args.set)?;
    let question = match args.vat {
        None => Ask::Limits,
        Some(vat) => {
            if !set.is_empty() || !args.unset.is_empty() {
                let (vat, unset) = (vat.clone(), args.unset);
                let () = ask::once(dir, Ask::SetLimits { vat, set, unset }, reporter).await?;
            }
            Ask::LimitsOf { vat }
        }
    };
    let lines: Vec<LimitLine> = ask::once(dir, question, reporter).await?;
    reporter.result(&lines, || {
        let mut rows = vec![["LIMIT", "VALUE", "SET BY", "MEANING"].map(str::to_owned)];
        rows.extend(lines.iter().map(|line| {
            let value = match line.unit.as_str() {
                "bytes" => bytes(line.value),
                unit => format!("{} {unit}", line.value),
            };
            [
                line.name.clone(),
                value,
                line.set_by.clone(),
                line.meaning.clone(),
            ]
        }));
        align(&rows)
    });
    Ok(())
}

fn report(sheet: &VerifySheet) -> String {
    let mut lines: Vec<String> = sheet
        .damages
        .iter()
        .map(|damage| {
            let vat = damage
                .vat
                .as_ref()
                .map_or_else(String::new, |vat| format!(" (vat {vat})"));
            format!(
                "{} at byte {}{vat}: {}",
                damage.file, damage.offset, damage.what
            )
        })
        .collect();
    lines.push(format!(
        "{} read, {} damages",
        bytes(sheet.read_bytes),
        sheet.damages.len()
    ));
    lines.join("\n")
}

fn spinner() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner().with_message("reading the store");
    bar.enable_steady_tick(TICK);
    bar
}
