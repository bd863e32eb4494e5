//! What the short commands share: find the vats, ask one question, read the answer.
//!
//! Promises: a command that only asks never creates a store. Does not repeat a question: only
//! `call` may, since only calls have ids.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::cli::reporter::Reporter;
use crate::control::client::AskError;
use crate::control::endpoint::{self, Endpoint, WAIT_MAX};
use crate::control::protocol::Ask;
use crate::control::store_folder;
use crate::user_error::UserError;

/// Finds the vats of a store that must exist.
pub async fn reach(dir: &Path, reporter: &Reporter) -> Result<Endpoint, UserError> {
    if !store_folder::has_store(dir)? {
        return Err(no_store(dir));
    }
    let endpoint = endpoint::reach(dir, Instant::now() + WAIT_MAX).await?;
    match &endpoint {
        Endpoint::Host(link) => match link.host_pid() {
            Some(pid) => reporter.detail(&format!("asking the host, process {pid}")),
            None => reporter.detail("asking the host"),
        },
        Endpoint::Own(_) => reporter.detail(&format!("no host runs; opened {}", dir.display())),
    }
    Ok(endpoint)
}

/// Asks one question of a store that must exist.
pub async fn once<T: DeserializeOwned>(
    dir: &Path,
    ask: Ask,
    reporter: &Reporter,
) -> Result<T, UserError> {
    let endpoint = reach(dir, reporter).await?;
    once_in(endpoint, ask).await
}

/// Asks one question and closes the endpoint.
pub async fn once_in<T: DeserializeOwned>(
    mut endpoint: Endpoint,
    ask: Ask,
) -> Result<T, UserError> {
    let answer = endpoint.ask(&ask).await;
    // An error of the answer goes before one of closing: what was committed stays committed.
    let closed = endpoint.close().await;
    let answer = answer.map_err(lost)?;
    closed?;
    understand(&answer)
}

/// Parses an answer; an error means that the host is another build.
pub fn understand<T: DeserializeOwned>(answer: &RawValue) -> Result<T, UserError> {
    serde_json::from_str(answer.get()).map_err(|error| {
        let message = format!("the host's answer is not understood: {error}");
        UserError::host(message, "use the kenvat the host was started with")
    })
}

fn lost(error: AskError) -> UserError {
    match error {
        AskError::Failed(error) => error,
        AskError::Lost(why) => UserError::host(
            format!("the host ended before it answered ({why})"),
            "kenvat ls shows what is so now; then ask again",
        ),
    }
}

/// The error that no store exists in a folder.
pub fn no_store(dir: &Path) -> UserError {
    let whole = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    UserError::usage(
        format!("there is no store in {}", whole.display()),
        "kenvat run FILE.js makes one; --data DIR names another",
    )
}
