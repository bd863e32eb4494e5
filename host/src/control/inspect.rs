//! Reads a store that no process has open, for `verify`.
//!
//! Promises: a store that is too damaged to be opened is read as far as possible; reading changes
//! nothing on disk. The names of damaged vats come from an engine that is started afterwards; if
//! none starts, vats are named by their numbers. Does not repair.

use std::io;
use std::path::Path;

use kenvat_store::{FileBackend, OpenError, StoreError, VatId, VerifyReport};
use tokio::time::Instant;

use crate::control::endpoint::{self, Endpoint, WAIT_MAX, wait_or_name};
use crate::control::protocol::Ask;
use crate::control::report::{Damage, VatLine, VerifySheet};
use crate::control::store_folder;
use crate::user_error::UserError;

/// How `verify` gets at the store.
pub enum Inspected {
    /// A host has the store open, so the host must read it.
    Served(Endpoint),
    Read(VerifySheet),
}

/// Connects to the host, or reads the closed store. Waits until `deadline` for a short command that
/// has the store open.
pub async fn inspect(dir: &Path, deadline: Instant) -> Result<Inspected, UserError> {
    loop {
        if let Some(link) = endpoint::connect(dir).await? {
            return Ok(Inspected::Served(Endpoint::Host(link)));
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

async fn read(dir: &Path) -> Result<Result<VerifyReport, InUse>, UserError> {
    let backend = FileBackend::read_only(dir);
    match tokio::task::spawn_blocking(move || kenvat_store::verify(backend)).await {
        Ok(Ok(report)) => Ok(Ok(report)),
        Ok(Err(OpenError::InUse { pid, .. })) => Ok(Err(InUse { pid })),
        Ok(Err(OpenError::Store(StoreError::Io { source, .. })))
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            Err(store_folder::not_entered(dir, &source))
        }
        Ok(Err(error)) => {
            let hint = match error {
                OpenError::OtherVersion { .. } => "use the kenvat that made it",
                _ => "",
            };
            let message = format!("the store {} cannot be read: {error}", dir.display());
            Err(UserError::host(message, hint))
        }
        Err(panic) => Err(UserError::host(
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

/// The vats' names, from an engine; `None` if the store does not open.
async fn list(dir: &Path) -> Option<Vec<VatLine>> {
    let mut endpoint = endpoint::reach(dir, Instant::now() + WAIT_MAX).await.ok()?;
    let answer = endpoint.ask(&Ask::List).await;
    endpoint.close().await.ok()?;
    serde_json::from_str(answer.ok()?.get()).ok()
}
