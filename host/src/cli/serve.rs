//! `run` and `host`: open the store, serve it, close it.
//!
//! Promises: nothing is deployed before port and socket are bound; a clean stop removes the socket
//! before the store's lock is released, so it never removes the next host's. Does not know how
//! calls are answered.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kenvat_engine::api::{Deploy, VatInfo, source_sha256};
use kenvat_engine::{Handle, landlock};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::cli::args::{ListenArgs, RunArgs};
use crate::cli::deploy;
use crate::cli::give::Powers;
use crate::cli::reporter::{Reporter, program};
use crate::control::dispatch::begin;
use crate::control::endpoint::{self, WAIT_MAX};
use crate::control::server;
use crate::control::socket::ControlSocket;
use crate::gateway::{Gateway, Service, Token};
use crate::limits::Limits;
use crate::shutdown::shutdown;
use crate::sources::{Sources, names};
use crate::user_error::UserError;

/// How long clients may take to read their last answers once the engine has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Serves every vat until told to stop.
pub async fn host(dir: &Path, args: ListenArgs, reporter: &Reporter) -> Result<(), UserError> {
    let limits = args.limits()?;
    let engine = endpoint::open_to_serve(dir, &limits, Instant::now() + WAIT_MAX).await?;
    report_start(&engine, reporter);
    let served = serve_vats(dir, &engine, &args, reporter).await;
    finish(&engine, served).await
}

/// Reports what recovery and the sandbox's check found, with `--verbose`.
fn report_start(engine: &Handle, reporter: &Reporter) {
    reporter.detail(engine.recovered());
    match landlock() {
        Ok(found) => reporter.detail(&found.to_string()),
        // Workers report the same when they start.
        Err(error) => reporter.detail(&format!("Landlock cannot be put on: {error}")),
    }
}

async fn serve_vats(
    dir: &Path,
    engine: &Handle,
    args: &ListenArgs,
    reporter: &Reporter,
) -> Result<(), UserError> {
    let open = Opened::new(dir, args, reporter).await?;
    let count = engine.list().await?.len();
    let report = serde_json::json!({"url": *open.base, "vats": count, "pid": std::process::id()});
    reporter.result(&report, || {
        format!(
            "serving {count} vats of {} at {}\nCtrl-C stops; everything committed stays",
            dir.display(),
            open.base
        )
    });
    open.serve(engine, reporter).await
}

/// Creates the vat if none has its name, and serves every vat until told to stop.
pub async fn run(dir: &Path, args: RunArgs, reporter: &Reporter) -> Result<(), UserError> {
    let name = match &args.name {
        Some(name) => names::checked(name)?,
        None => names::from_file(&args.source.file)?,
    };
    let (sources, powers) = deploy::read(&args.source)?;
    let limits = args.listen.limits()?;
    let engine = endpoint::open_to_serve(dir, &limits, Instant::now() + WAIT_MAX)
        .await
        .map_err(|error| {
            let (file, program) = (args.source.file.display(), program(dir));
            error.with_hint(format!(
                "a running host takes more vats: {program} deploy {file} --name {name}"
            ))
        })?;
    report_start(&engine, reporter);
    let served = async {
        let open = Opened::new(dir, &args.listen, reporter).await?;
        let found = provide(&engine, &name, &sources, powers, &args, reporter).await?;
        open.introduce(dir, &name, found, reporter);
        open.serve(&engine, reporter).await
    };
    let served = served.await;
    finish(&engine, served).await
}

/// Whether `run` created its vat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    New,
    Old { turns: u64 },
}

/// Finds the vat or creates it.
async fn provide(
    engine: &Handle,
    name: &str,
    sources: &Sources,
    powers: Powers,
    args: &RunArgs,
    reporter: &Reporter,
) -> Result<Found, UserError> {
    let old = match engine.show(name).await?.map_err(UserError::from) {
        Ok(info) => Some(info),
        Err(error) if error.is_unknown_vat() => None,
        Err(error) => return Err(error),
    };
    match old {
        Some(info) if !args.fresh => {
            compare(&info, sources, args, reporter);
            return Ok(Found::Old { turns: info.turns });
        }
        Some(_) => {
            let question = format!("Terminate {name}, with its heap and its log, and begin anew?");
            reporter.confirm(&question, args.yes)?;
            try_out(engine, name, sources, &powers).await?;
            engine.terminate(name).await?.map_err(UserError::from)?;
        }
        None => {}
    }
    begin(
        engine,
        deploy::ask_for(name, sources, powers, Vec::new()),
        None,
    )
    .await
    .map_err(|error| sources.point_out(error))?;
    Ok(Found::New)
}

/// Runs the program's start without creating a vat: a program that does not start must not cost the
/// vat that it was to replace.
async fn try_out(
    engine: &Handle,
    name: &str,
    sources: &Sources,
    powers: &Powers,
) -> Result<(), UserError> {
    let deploy = Deploy {
        name: name.to_owned(),
        entry: sources.entry.clone(),
        files: sources.files.clone(),
        give: powers.give.clone(),
        deny: powers.deny.clone(),
    };
    engine.try_out(deploy).await?.map(drop).map_err(|error| {
        let error = sources.point_out(UserError::from(error));
        error.with_hint(format!("{name} is as it was"))
    })
}

/// Notes that the vat was made from other sources, or that options are ignored for an existing vat.
fn compare(info: &VatInfo, sources: &Sources, args: &RunArgs, reporter: &Reporter) {
    let (name, file) = (&info.name, args.source.file.display());
    if info.source_sha256 != source_sha256(&sources.entry, &sources.files) {
        reporter.note(&format!(
            "note: {name} was made from other sources than {file} has now, and goes on with \
             those.\n  To begin anew from {file}, losing what {name} knows: add --fresh"
        ));
    }
    for (option, is_used) in [
        ("--give", !args.source.give.is_empty()),
        ("--deny", !args.source.deny.is_empty()),
    ] {
        if is_used {
            reporter.note(&format!(
                "note: {name} exists already; {option} is for new vats and was ignored"
            ));
        }
    }
}

/// Stops the engine, also after an error.
async fn finish(engine: &Handle, served: Result<(), UserError>) -> Result<(), UserError> {
    let stopped = endpoint::stop(engine).await;
    served.and(stopped)
}

/// Everything that a host listens on, bound and not yet served.
struct Opened {
    gateway: Gateway,
    control: ControlSocket,
    token: Token,
    base: Arc<str>,
    limits: Limits,
}

impl Opened {
    async fn new(dir: &Path, args: &ListenArgs, reporter: &Reporter) -> Result<Opened, UserError> {
        let (limits, _) = Limits::of(&args.limits()?)?;
        let token = Token::provide(dir)?;
        let gateway = Gateway::bind(&args.listen, args.insecure).await?;
        if gateway.is_public() {
            reporter.note("warning: other machines can connect, and tokens travel in clear");
        }
        let control = ControlSocket::bind(dir).map_err(|error| {
            let message = format!("no control socket in {}: {error}", dir.display());
            UserError::host(
                message,
                "the folder must be writable; --data DIR names another",
            )
        })?;
        reporter.detail(&format!("the store {} is open", dir.display()));
        let base = Arc::from(gateway.base());
        Ok(Opened {
            gateway,
            control,
            token,
            base,
            limits,
        })
    }

    /// Prints what to type next.
    fn introduce(&self, dir: &Path, name: &str, found: Found, reporter: &Reporter) {
        let url = format!("{}/vat/{name}", self.base);
        let link = format!("{url}?token={}", self.token.reveal());
        let report = serde_json::json!({
            "name": name, "url": url, "link": link, "new": found == Found::New,
            "pid": std::process::id(),
        });
        reporter.result(&report, || {
            let program = program(dir);
            let how = match found {
                Found::New => "was made".to_owned(),
                Found::Old { turns } => format!("goes on after {turns} turns"),
            };
            format!(
                "{name} {how}. In a second terminal:\n  {program} call {name} METHOD …\nor over \
                 HTTP, as JSON-RPC (the link is a secret):\n  curl '{link}' -d \
                 '{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"METHOD\",\"params\":[]}}'\nCtrl-C \
                 stops; everything committed stays"
            )
        });
    }

    /// Serves until a signal arrives, then stops. It stops the engine as well, so that clients that
    /// still wait are answered that the host stopped.
    async fn serve(self, engine: &Handle, reporter: &Reporter) -> Result<(), UserError> {
        let mut signals = Signals::new()?;
        let (shutdown, stopping) = shutdown();
        let router = Service::new(engine.clone(), self.token).router();
        let budget = self.limits.budget();
        tokio::spawn(budget.clone().release_memory(stopping.clone()));
        let connections = self.limits.gateway_connections();
        let gateway = self
            .gateway
            .serve(router, connections, budget.clone(), stopping.clone());
        let gateway = tokio::spawn(gateway);
        let ControlSocket { listener, file } = self.control;
        let service = server::Service {
            engine: engine.clone(),
            base: self.base,
            budget,
            clients_max: self.limits.control_clients,
        };
        let control = server::serve(listener, service, stopping);
        let control = tokio::spawn(control);
        let ended = tokio::select! {
            () = signals.wait() => false,
            () = engine.ended() => true,
        };
        reporter.detail("stopping");
        drop(file);
        shutdown.begin();
        if ended {
            // A process that holds a store without an engine keeps the next host from recovering
            // it.
            let _ = tokio::time::timeout(LAST_ANSWERS, drained(gateway, control)).await;
            return Err(UserError::host(
                "the engine ended by itself, for the reason above",
                "nothing answered is lost: start the host again, and it recovers",
            ));
        }
        tokio::select! {
            done = close(engine, gateway, control) => done,
            () = signals.wait() => Err(UserError::host(
                "stopped at once",
                "nothing committed is lost: the next start recovers",
            )),
        }
    }
}

async fn close(
    engine: &Handle,
    gateway: JoinHandle<()>,
    control: JoinHandle<()>,
) -> Result<(), UserError> {
    let stopped = endpoint::stop(engine).await;
    // A client that does not read its answers must not delay the stop.
    let _ = tokio::time::timeout(LAST_ANSWERS, drained(gateway, control)).await;
    stopped
}

/// Both end by themselves once no more answers can come and those there are have been read.
async fn drained(gateway: JoinHandle<()>, control: JoinHandle<()>) {
    let _ = gateway.await;
    let _ = control.await;
}

/// SIGINT and SIGTERM.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Signals, UserError> {
        let receive = |kind| {
            signal(kind).map_err(|error| {
                UserError::host(format!("signals cannot be received: {error}"), "")
            })
        };
        Ok(Signals {
            interrupt: receive(SignalKind::interrupt())?,
            terminate: receive(SignalKind::terminate())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
