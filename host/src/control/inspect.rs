//! Reading a store that nobody has open, for `verify`.
//!
//! Promises: a store too damaged to be opened is read as far as it can be; reading changes nothing
//! on disk. The names of damaged vats are asked of an engine afterwards, where one starts; else
//! vats go by their numbers. Does not repair.

use std::path::Path;

use kenvat_store::{FileBackend, OpenError, VatId, VerifyReport};
use tokio::time::Instant;

use crate::control::place::{self, Place, WAIT_MAX, wait_or_name};
use crate::control::protocol::Ask;
use crate::control::report::{Damage, VatLine, VerifySheet};
use crate::people::Trouble;

/// What `verify` works with.
pub enum Inspected {
    /// A host has the store and must read it.
    Served(Place),
    Read(VerifySheet),
}

/// Finds the host, or reads the closed store; waits until `deadline` for a short command to end.
pub async fn inspect(dir: &Path, deadline: Instant) -> Result<Inspected, Trouble> {
    loop {
        if let Some(link) = place::connect(dir).await? {
            return Ok(Inspected::Served(Place::Host(link)));
        }
        match read(dir).await? {
            Ok(report) => return Ok(Inspected::Read(sheet(dir, report).await)),
            Err(InUse { pid }) => wait_or_name(dir, pid, deadline).await?,
        }
    }
}

/// Another process has the store.
struct InUse {
    pid: u32,
}

async fn read(dir: &Path) -> Result<Result<VerifyReport, InUse>, Trouble> {
    let backend = FileBackend::new(dir);
    match tokio::task::spawn_blocking(move || kenvat_store::verify(backend)).await {
        Ok(Ok(report)) => Ok(Ok(report)),
        Ok(Err(OpenError::InUse { pid, .. })) => Ok(Err(InUse { pid })),
        Ok(Err(error)) => Err(Trouble::host(
            format!("the store {} cannot be read: {error}", dir.display()),
            "a store from another version wants the kenvat that made it",
        )),
        Err(panic) => Err(Trouble::host(
            format!("reading the store failed: {panic}"),
            "",
        )),
    }
}

async fn sheet(dir: &Path, report: VerifyReport) -> VerifySheet {
    let concerned = report.damages.iter().any(|damage| damage.vat.is_some());
    let vats = if concerned {
        list(dir).await.unwrap_or_default()
    } else {
        Vec::new()
    };
    let name = |id: VatId| {
        let known = vats.iter().find(|line| line.id == id.0);
        known.map_or_else(|| id.0.to_string(), |line| line.name.clone())
    };
    let damages = report.damages.into_iter().map(|damage| Damage {
        file: damage.file,
        offset: damage.offset,
        vat: damage.vat.map(name),
        what: damage.what,
    });
    VerifySheet {
        read_bytes: report.read_bytes,
        damages: damages.collect(),
    }
}

/// The vats' names, from an engine; none where the store does not open.
async fn list(dir: &Path) -> Option<Vec<VatLine>> {
    let mut place = place::reach(dir, Instant::now() + WAIT_MAX).await.ok()?;
    let answer = place.ask(&Ask::List).await;
    place.close().await.ok()?;
    serde_json::from_str(answer.ok()?.get()).ok()
}
