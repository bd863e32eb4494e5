//! `kenvat deploy`, and the parts of it that `run` uses too.
//!
//! Promises: a program that does not start leaves no vat, and its author sees file, line, column
//! and the line itself. Does not serve.

use std::fmt::Write as _;
use std::path::Path;

use tokio::time::Instant;

use crate::cli::args::{DeployArgs, SourceArgs};
use crate::cli::ask;
use crate::cli::give::{self, Powers};
use crate::cli::reporter::{Reporter, program};
use crate::control::endpoint::{self, WAIT_MAX};
use crate::control::protocol::Ask;
use crate::control::report::DeployedSheet;
use crate::sources::{self, Sources, names};
use crate::units;
use crate::user_error::UserError;

/// Creates a vat in the store, and the store too if it does not exist.
pub async fn deploy(dir: &Path, args: DeployArgs, reporter: &Reporter) -> Result<(), UserError> {
    let name = names::checked(&args.name)?;
    let (sources, powers) = read(&args.source)?;
    let limits = units::settings(&args.limit)?;
    let endpoint = endpoint::reach(dir, Instant::now() + WAIT_MAX).await?;
    let question = ask_for(&name, &sources, powers, limits);
    let sheet: DeployedSheet = ask::once_in(endpoint, question)
        .await
        .map_err(|error| sources.point_out(error))?;
    reporter.result(&sheet, || {
        let mut text = format!("{name} is deployed");
        if let Some(url) = &sheet.url {
            let _ = write!(text, "; the gateway serves it at {url}");
        }
        let _ = write!(text, "\n  {} call {name} METHOD …", program(dir));
        text
    });
    Ok(())
}

/// Reads and checks what the arguments name, before any store is touched.
pub fn read(args: &SourceArgs) -> Result<(Sources, Powers), UserError> {
    let powers = give::powers(&args.give, &args.deny)?;
    Ok((sources::collect(&args.file)?, powers))
}

/// The question that creates the vat.
pub fn ask_for(name: &str, sources: &Sources, powers: Powers, limits: Vec<(String, u64)>) -> Ask {
    Ask::Deploy {
        name: name.to_owned(),
        entry: sources.entry.clone(),
        files: sources.files.clone(),
        give: powers.give,
        deny: powers.deny,
        limits,
    }
}
