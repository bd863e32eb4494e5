//! What the short commands share: find the vats, ask one question, read the answer.
//!
//! Promises: a store that was never made is not made by looking at it. Does not ask again: only
//! `call` may, since only calls have ids.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::cli::voice::Voice;
use crate::control::client::AskError;
use crate::control::place::{self, Place, WAIT_MAX};
use crate::control::protocol::Ask;
use crate::people::Trouble;

/// Finds the vats of a store that must be there.
pub async fn reach(dir: &Path, voice: &Voice) -> Result<Place, Trouble> {
    if !place::store_is_there(dir) {
        return Err(no_store(dir));
    }
    let place = place::reach(dir, Instant::now() + WAIT_MAX).await?;
    match &place {
        Place::Host(link) => match link.host_pid() {
            Some(pid) => voice.detail(&format!("asking the host, process {pid}")),
            None => voice.detail("asking the host"),
        },
        Place::Own(_) => voice.detail(&format!("no host runs; opened {}", dir.display())),
    }
    Ok(place)
}

/// Asks one question of a store that must be there.
pub async fn once<T: DeserializeOwned>(dir: &Path, ask: Ask, voice: &Voice) -> Result<T, Trouble> {
    let place = reach(dir, voice).await?;
    once_in(place, ask).await
}

/// Asks one question and lets go of the place.
pub async fn once_in<T: DeserializeOwned>(mut place: Place, ask: Ask) -> Result<T, Trouble> {
    let answer = place.ask(&ask).await;
    // The answer counts more than how the store was closed; what was committed stays so.
    let closed = place.close().await;
    let answer = answer.map_err(lost)?;
    closed?;
    understand(&answer)
}

/// The answer's type, or that the host is another build.
pub fn understand<T: DeserializeOwned>(answer: &RawValue) -> Result<T, Trouble> {
    serde_json::from_str(answer.get()).map_err(|error| {
        let message = format!("the host's answer is not understood: {error}");
        Trouble::host(message, "use the kenvat the host was started with")
    })
}

fn lost(error: AskError) -> Trouble {
    match error {
        AskError::Trouble(trouble) => trouble,
        AskError::Lost(why) => Trouble::host(
            format!("the host ended before it answered ({why})"),
            "kenvat ls shows what is so now; then ask again",
        ),
    }
}

/// There is nothing in that folder.
pub fn no_store(dir: &Path) -> Trouble {
    let whole = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    Trouble::usage(
        format!("there is no store in {}", whole.display()),
        "kenvat run FILE.js makes one; --data DIR names another",
    )
}
