//! Where a command's question is answered: by the host that holds the store, or by an engine of
//! the command's own.
//!
//! Promises: one process has the store at a time, the one that holds its lock; the others wait for
//! `WAIT_MAX` and then name that process. Does not know what is asked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kenvat_engine::{Engine, EngineOptions, Handle, OpenError};
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep, timeout_at};

use crate::control::client::{AskError, HostLink};
use crate::control::dispatch::begin;
use crate::control::lock_handoff;
use crate::control::protocol::Ask;
use crate::control::store_folder;
use crate::limits::{Limits, SETTABLE};
use crate::user_error::UserError;

/// How long commands wait for each other, and how long `call` waits for the next host.
pub const WAIT_MAX: Duration = Duration::from_secs(10);

/// Pause between two attempts to lock a store that is in use. The lock has no queue to wait in.
const RETRY_EVERY: Duration = Duration::from_millis(40);

/// How long an engine may take to stop before the process ends without it. The next start recovers
/// either way.
const STOP_MAX: Duration = Duration::from_secs(30);

/// Whatever answers questions about the store's vats.
pub enum Endpoint {
    Host(HostLink),
    Own(Handle),
}

impl Endpoint {
    /// Asks a question, wherever the vats are.
    pub async fn ask(&mut self, ask: &Ask) -> Result<Box<RawValue>, AskError> {
        match self {
            Endpoint::Host(link) => link.ask(ask).await,
            Endpoint::Own(engine) => begin(engine, ask.clone(), None)
                .await
                .map_err(AskError::Failed),
        }
    }

    /// Closes the store, if this process opened it.
    pub async fn close(self) -> Result<(), UserError> {
        match self {
            Endpoint::Host(_) => Ok(()),
            Endpoint::Own(engine) => stop(&engine).await,
        }
    }
}

/// Stops an engine cleanly, within `STOP_MAX`.
pub async fn stop(engine: &Handle) -> Result<(), UserError> {
    match tokio::time::timeout(STOP_MAX, engine.stop()).await {
        Ok(Ok(done)) => Ok(done?),
        // The engine's thread has ended already, and released the store's lock.
        Ok(Err(_)) => Ok(()),
        Err(_) => Err(UserError::host(
            format!("the engine did not stop within {} s", STOP_MAX.as_secs()),
            "nothing committed is lost: the next start recovers",
        )),
    }
}

/// Connects to the host of a store, or opens the store. Waits until `deadline` for the process that
/// has it.
pub async fn reach(dir: &Path, deadline: Instant) -> Result<Endpoint, UserError> {
    loop {
        if let Some(link) = connect(dir).await? {
            return Ok(Endpoint::Host(link));
        }
        // A host that waits for the store goes first: it will serve this command as well.
        if lock_handoff::is_requested(dir) && Instant::now() < deadline {
            sleep(RETRY_EVERY).await;
            continue;
        }
        match open(dir, &[]).await? {
            Opened::Ours(engine) => return Ok(Endpoint::Own(engine)),
            Opened::InUse { pid } => wait_or_name(dir, pid, deadline).await?,
        }
    }
}

/// Opens the store to serve it. If a host serves it already, the error names that host. `limits`
/// are the limits that were set for this host.
pub async fn open_to_serve(
    dir: &Path,
    limits: &[(String, u64)],
    deadline: Instant,
) -> Result<Handle, UserError> {
    let mut request = None;
    loop {
        if let Some(mut link) = connect(dir).await? {
            let pid = link.host_pid();
            // A host that was killed while it started a worker leaves its socket and its lock to
            // that child until the child calls exec. What accepts a connection is a host only if it
            // answers.
            let asked = timeout_at(deadline, link.ask(&Ask::Limits)).await;
            if !matches!(asked, Ok(Err(AskError::Lost(_)))) {
                return Err(already_served(dir, pid));
            }
        }
        match open(dir, limits).await? {
            Opened::Ours(engine) => return Ok(engine),
            Opened::InUse { pid } => wait_or_name(dir, pid, deadline).await?,
        }
        request = request.or_else(|| lock_handoff::request(dir));
    }
}

/// Connects to the host of a store, if one listens.
pub async fn connect(dir: &Path) -> Result<Option<HostLink>, UserError> {
    HostLink::connect(dir).await.map_err(|error| {
        let socket = || {
            let message = format!(
                "the control socket in {} cannot be used: {error}",
                dir.display()
            );
            UserError::host(message, "the host's owner alone may use it")
        };
        // A folder that may not be entered is more to the point than the socket in it.
        store_folder::has_store(dir).err().unwrap_or_else(socket)
    })
}

enum Opened {
    Ours(Handle),
    InUse { pid: u32 },
}

async fn open(dir: &Path, limits: &[(String, u64)]) -> Result<Opened, UserError> {
    store_folder::check_access(dir)?;
    let mut options = EngineOptions::new(PathBuf::from(dir));
    let (ours, engines) = Limits::of(limits)?;
    for (name, value) in &engines {
        options.set_limit(name, *value).map_err(|why| {
            let also = SETTABLE.join(", ");
            let hint = format!("kenvat limits shows every limit; these can be set as well: {also}");
            UserError::usage(why.to_string(), &hint)
        })?;
    }
    options.others = ours.table(limits);
    let opened = tokio::task::spawn_blocking(move || Engine::open_with(options)).await;
    match opened {
        // Its owner is told when to stop it, and does not wait for ever (`stop`).
        Ok(Ok(engine)) => Ok(Opened::Ours(engine.into_handle())),
        Ok(Err(OpenError::InUse { pid, .. })) => Ok(Opened::InUse { pid }),
        Ok(Err(error)) => Err(error.into()),
        Err(panic) => Err(UserError::host(
            format!("opening the store failed: {panic}"),
            "",
        )),
    }
}

/// Waits a moment for the process that has the store; after `deadline`, returns an error that names
/// it.
pub async fn wait_or_name(dir: &Path, pid: u32, deadline: Instant) -> Result<(), UserError> {
    if Instant::now() < deadline {
        sleep(RETRY_EVERY).await;
        return Ok(());
    }
    let message = format!("the store {} is in use by process {pid}", dir.display());
    Err(UserError::in_use(
        message,
        "wait until that process is done, or end it, and try again",
    ))
}

fn already_served(dir: &Path, pid: Option<i32>) -> UserError {
    let who = pid.map_or_else(
        || "another process".to_owned(),
        |pid| format!("process {pid}"),
    );
    let message = format!("the store {} is served already, by {who}", dir.display());
    UserError::in_use(
        message,
        "one host serves a store; other commands talk to it by themselves",
    )
}
