//! Where a command does its work: in the host that holds the store, or in an engine of its own.
//!
//! Promises: exactly one process has the store at a time, whoever wins its lock; the others wait
//! for `WAIT_MAX` and then name the winner. Does not know what is asked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kenvat_engine::{Engine, EngineOptions, Handle, OpenError};
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep, timeout_at};

use crate::control::answer::begin;
use crate::control::client::{AskError, HostLink};
use crate::control::protocol::Ask;
use crate::control::way;
use crate::limits::{Limits, SETTABLE};
use crate::people::Trouble;

/// How long commands wait for each other, and `call` for the next host.
pub const WAIT_MAX: Duration = Duration::from_secs(10);

/// Between two looks at a store that is in use. Locks have no queue one could wait in here.
const LOOK_AGAIN: Duration = Duration::from_millis(40);

/// How long a stopping engine may take before its process ends without it; it recovers either way.
const STOP_MAX: Duration = Duration::from_secs(30);

/// What of a store's folder is there once a store was made in it.
const STORE_PARTS: [&str; 4] = ["catalog.redb", "journal", "heap", "engines"];

/// One of the two ways to the vats.
pub enum Place {
    Host(HostLink),
    Own(Handle),
}

impl Place {
    /// Asks, wherever the vats are.
    pub async fn ask(&mut self, ask: &Ask) -> Result<Box<RawValue>, AskError> {
        match self {
            Place::Host(link) => link.ask(ask).await,
            Place::Own(engine) => begin(engine, ask.clone(), None)
                .await
                .map_err(AskError::Trouble),
        }
    }

    /// Lets go of the store, if it is ours.
    pub async fn close(self) -> Result<(), Trouble> {
        match self {
            Place::Host(_) => Ok(()),
            Place::Own(engine) => stop(&engine).await,
        }
    }
}

/// Stops an engine cleanly, within reason.
pub async fn stop(engine: &Handle) -> Result<(), Trouble> {
    match tokio::time::timeout(STOP_MAX, engine.stop()).await {
        Ok(Ok(done)) => Ok(done?),
        // Its thread is gone already, and the store's lock with it.
        Ok(Err(_)) => Ok(()),
        Err(_) => Err(Trouble::host(
            format!("the engine did not stop within {} s", STOP_MAX.as_secs()),
            "nothing committed is lost: the next start recovers",
        )),
    }
}

/// Whether a store was ever made in `dir`.
pub fn store_is_there(dir: &Path) -> bool {
    STORE_PARTS.iter().any(|part| dir.join(part).exists())
}

/// Finds the host of a store, or opens the store. Waits until `deadline` for whoever has it.
pub async fn reach(dir: &Path, deadline: Instant) -> Result<Place, Trouble> {
    loop {
        if let Some(link) = connect(dir).await? {
            return Ok(Place::Host(link));
        }
        // A host that waits for the store comes first: it will serve us as well.
        if way::host_waits(dir) && Instant::now() < deadline {
            sleep(LOOK_AGAIN).await;
            continue;
        }
        match open(dir, &[]).await? {
            Opened::Ours(engine) => return Ok(Place::Own(engine)),
            Opened::InUse { pid } => wait_or_name(dir, pid, deadline).await?,
        }
    }
}

/// Opens the store to serve it; a host that serves already is an error that names it.
/// `limits` are this host's, for what is not left to the defaults.
pub async fn open_to_serve(
    dir: &Path,
    limits: &[(String, u64)],
    deadline: Instant,
) -> Result<Handle, Trouble> {
    let mut waiting = None;
    loop {
        if let Some(mut link) = connect(dir).await? {
            let pid = link.host_pid();
            // A host that was killed while it started a worker leaves its socket, and its lock, to
            // that child until the child's exec: what connects is a host only if it answers.
            let asked = timeout_at(deadline, link.ask(&Ask::Limits)).await;
            if !matches!(asked, Ok(Err(AskError::Lost(_)))) {
                return Err(already_served(dir, pid));
            }
        }
        match open(dir, limits).await? {
            Opened::Ours(engine) => return Ok(engine),
            Opened::InUse { pid } => wait_or_name(dir, pid, deadline).await?,
        }
        waiting = waiting.or_else(|| way::announce(dir));
    }
}

/// Connects to the host of a store, where one listens.
pub async fn connect(dir: &Path) -> Result<Option<HostLink>, Trouble> {
    HostLink::connect(dir).await.map_err(|error| {
        Trouble::host(
            format!(
                "the control socket in {} cannot be used: {error}",
                dir.display()
            ),
            "the host's owner alone may use it",
        )
    })
}

enum Opened {
    Ours(Handle),
    InUse { pid: u32 },
}

async fn open(dir: &Path, limits: &[(String, u64)]) -> Result<Opened, Trouble> {
    let mut options = EngineOptions::new(PathBuf::from(dir));
    let (ours, engines) = Limits::of(limits)?;
    for (name, value) in &engines {
        options.set_limit(name, *value).map_err(|why| {
            let also = SETTABLE.join(" and ");
            let hint = format!("kenvat limits shows every limit; {also} can be set as well");
            Trouble::usage(why, &hint)
        })?;
    }
    options.others = ours.table(limits);
    let opened = tokio::task::spawn_blocking(move || Engine::open_with(options)).await;
    match opened {
        // Its owner is told when to stop it, and does not wait for ever (`stop`).
        Ok(Ok(engine)) => Ok(Opened::Ours(engine.into_handle())),
        Ok(Err(OpenError::InUse { pid, .. })) => Ok(Opened::InUse { pid }),
        Ok(Err(error)) => Err(error.into()),
        Err(panic) => Err(Trouble::host(
            format!("opening the store failed: {panic}"),
            "",
        )),
    }
}

/// Waits a little for the process that has the store; past `deadline`, names it.
pub async fn wait_or_name(dir: &Path, pid: u32, deadline: Instant) -> Result<(), Trouble> {
    if Instant::now() < deadline {
        sleep(LOOK_AGAIN).await;
        return Ok(());
    }
    let message = format!("the store {} is in use by process {pid}", dir.display());
    Err(Trouble::in_use(
        message,
        "wait until that process is done, or end it, and try again",
    ))
}

fn already_served(dir: &Path, pid: Option<i32>) -> Trouble {
    let who = pid.map_or_else(
        || "another process".to_owned(),
        |pid| format!("process {pid}"),
    );
    let message = format!("the store {} is served already, by {who}", dir.display());
    Trouble::in_use(
        message,
        "one host serves a store; other commands talk to it by themselves",
    )
}
