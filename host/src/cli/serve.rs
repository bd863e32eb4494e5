//! `run` and `host`: open the store, serve it, close it.
//!
//! Promises: nothing is deployed before port and socket are ours; a clean stop takes the socket
//! away before the store's lock is released, so it never takes away the next host's. Does not know
//! how calls are answered.

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
use crate::cli::voice::{Voice, program};
use crate::control::answer::begin;
use crate::control::place::{self, WAIT_MAX};
use crate::control::server;
use crate::control::socket::ControlSocket;
use crate::gateway::token::Token;
use crate::gateway::{Gateway, Service};
use crate::limits::Limits;
use crate::people::Trouble;
use crate::sources::{Sources, names};
use crate::stop::stop;

/// How long clients get to take their last answers once the engine has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Serves every vat until told to stop.
pub async fn host(dir: &Path, args: ListenArgs, voice: &Voice) -> Result<(), Trouble> {
    let limits = args.limits()?;
    let engine = place::open_to_serve(dir, &limits, Instant::now() + WAIT_MAX).await?;
    tell(&engine, voice);
    let served = serve_vats(dir, &engine, &args, voice).await;
    finish(&engine, served).await
}

/// What was found where this host starts.
fn tell(engine: &Handle, voice: &Voice) {
    voice.detail(engine.recovered());
    match landlock() {
        Ok(found) => voice.detail(&found.to_string()),
        // Workers say the same when they are to start.
        Err(error) => voice.detail(&format!("Landlock cannot be put on: {error}")),
    }
}

async fn serve_vats(
    dir: &Path,
    engine: &Handle,
    args: &ListenArgs,
    voice: &Voice,
) -> Result<(), Trouble> {
    let open = Opened::new(dir, args, voice).await?;
    let count = engine.list().await?.len();
    let report = serde_json::json!({"url": *open.base, "vats": count, "pid": std::process::id()});
    voice.result(&report, || {
        format!(
            "serving {count} vats of {} at {}\nCtrl-C stops; everything committed stays",
            dir.display(),
            open.base
        )
    });
    open.serve(engine, voice).await
}

/// Makes the vat if there is none of its name, and serves every vat until told to stop.
pub async fn run(dir: &Path, args: RunArgs, voice: &Voice) -> Result<(), Trouble> {
    let name = match &args.name {
        Some(name) => names::checked(name)?,
        None => names::from_file(&args.source.file)?,
    };
    let (sources, powers) = deploy::read(&args.source)?;
    let limits = args.listen.limits()?;
    let engine = place::open_to_serve(dir, &limits, Instant::now() + WAIT_MAX)
        .await
        .map_err(|trouble| {
            let (file, program) = (args.source.file.display(), program(dir));
            trouble.with_hint(format!(
                "a running host takes more vats: {program} deploy {file} --name {name}"
            ))
        })?;
    tell(&engine, voice);
    let served = async {
        let open = Opened::new(dir, &args.listen, voice).await?;
        let found = provide(&engine, &name, &sources, powers, &args, voice).await?;
        open.introduce(dir, &name, found, voice);
        open.serve(&engine, voice).await
    };
    let served = served.await;
    finish(&engine, served).await
}

/// How `run` came by its vat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    New,
    Old { turns: u64 },
}

/// Gets the vat or makes it.
async fn provide(
    engine: &Handle,
    name: &str,
    sources: &Sources,
    powers: Powers,
    args: &RunArgs,
    voice: &Voice,
) -> Result<Found, Trouble> {
    let old = match engine.show(name).await?.map_err(Trouble::from) {
        Ok(info) => Some(info),
        Err(trouble) if trouble.is_unknown_vat() => None,
        Err(trouble) => return Err(trouble),
    };
    match old {
        Some(info) if !args.fresh => {
            compare(&info, sources, args, voice);
            return Ok(Found::Old { turns: info.turns });
        }
        Some(_) => {
            let question = format!("Terminate {name}, with its heap and its log, and begin anew?");
            voice.confirm(&question, args.yes)?;
            try_out(engine, name, sources, &powers).await?;
            engine.terminate(name).await?.map_err(Trouble::from)?;
        }
        None => {}
    }
    begin(
        engine,
        deploy::ask_for(name, sources, powers, Vec::new()),
        None,
    )
    .await
    .map_err(|trouble| sources.point_out(trouble))?;
    Ok(Found::New)
}

/// Runs the program's start without making a vat: one that does not start must not cost the vat it
/// was to replace.
async fn try_out(
    engine: &Handle,
    name: &str,
    sources: &Sources,
    powers: &Powers,
) -> Result<(), Trouble> {
    let deploy = Deploy {
        name: name.to_owned(),
        entry: sources.entry.clone(),
        files: sources.files.clone(),
        give: powers.give.clone(),
        deny: powers.deny.clone(),
    };
    engine.try_out(deploy).await?.map(drop).map_err(|error| {
        let trouble = sources.point_out(Trouble::from(error));
        trouble.with_hint(format!("{name} is as it was"))
    })
}

/// Says so if the vat was made from other sources, or gifts are asked for that it will not get.
fn compare(info: &VatInfo, sources: &Sources, args: &RunArgs, voice: &Voice) {
    let (name, file) = (&info.name, args.source.file.display());
    if info.source_sha256 != source_sha256(&sources.entry, &sources.files) {
        voice.note(&format!(
            "note: {name} was made from other sources than {file} has now, and goes on with \
             those.\n  To begin anew from {file}, losing what {name} knows: add --fresh"
        ));
    }
    for (option, is_used) in [
        ("--give", !args.source.give.is_empty()),
        ("--deny", !args.source.deny.is_empty()),
    ] {
        if is_used {
            voice.note(&format!(
                "note: {name} exists already; {option} is for new vats and was ignored"
            ));
        }
    }
}

/// Stops the engine, whatever came before.
async fn finish(engine: &Handle, served: Result<(), Trouble>) -> Result<(), Trouble> {
    let stopped = place::stop(engine).await;
    served.and(stopped)
}

/// Everything a host listens on, open and not yet served.
struct Opened {
    gateway: Gateway,
    control: ControlSocket,
    token: Token,
    base: Arc<str>,
    limits: Limits,
}

impl Opened {
    async fn new(dir: &Path, args: &ListenArgs, voice: &Voice) -> Result<Opened, Trouble> {
        let (limits, _) = Limits::of(&args.limits()?)?;
        let token = Token::provide(dir)?;
        let gateway = Gateway::bind(&args.listen, args.insecure).await?;
        if gateway.is_public() {
            voice.note("warning: other machines can connect, and tokens travel in clear");
        }
        let control = ControlSocket::bind(dir).map_err(|error| {
            let message = format!("no control socket in {}: {error}", dir.display());
            Trouble::host(
                message,
                "the folder must be writable; --data DIR names another",
            )
        })?;
        voice.detail(&format!("the store {} is open", dir.display()));
        let base = Arc::from(gateway.base());
        Ok(Opened {
            gateway,
            control,
            token,
            base,
            limits,
        })
    }

    /// Says what to type next.
    fn introduce(&self, dir: &Path, name: &str, found: Found, voice: &Voice) {
        let url = format!("{}/vat/{name}", self.base);
        let link = format!("{url}?token={}", self.token.reveal());
        let report = serde_json::json!({
            "name": name, "url": url, "link": link, "new": found == Found::New,
            "pid": std::process::id(),
        });
        voice.result(&report, || {
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

    /// Serves until a signal, then sees everybody off. The engine is stopped here already, so that
    /// whoever still waits hears that the host stopped instead of nothing.
    async fn serve(self, engine: &Handle, voice: &Voice) -> Result<(), Trouble> {
        let mut signals = Signals::new()?;
        let (stop, stopping) = stop();
        let router = Service::new(engine.clone(), self.token).router();
        let Limits {
            control_clients,
            gateway_clients,
        } = self.limits;
        let gateway = self
            .gateway
            .serve(router, gateway_clients, stopping.clone());
        let gateway = tokio::spawn(gateway);
        let ControlSocket { listener, file } = self.control;
        let control = server::serve(
            listener,
            engine.clone(),
            self.base,
            control_clients,
            stopping,
        );
        let control = tokio::spawn(control);
        let ended = tokio::select! {
            () = signals.wait() => false,
            () = engine.ended() => true,
        };
        voice.detail("stopping");
        drop(file);
        stop.now();
        if ended {
            // Whoever holds a store that no engine serves keeps the next host from recovering it.
            let _ = tokio::time::timeout(LAST_ANSWERS, drained(gateway, control)).await;
            return Err(Trouble::host(
                "the engine ended by itself, for the reason above",
                "nothing answered is lost: start the host again, and it recovers",
            ));
        }
        tokio::select! {
            done = close(engine, gateway, control) => done,
            () = signals.wait() => Err(Trouble::host(
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
) -> Result<(), Trouble> {
    let stopped = place::stop(engine).await;
    // A client that does not read its answers holds nobody up.
    let _ = tokio::time::timeout(LAST_ANSWERS, drained(gateway, control)).await;
    stopped
}

/// Both end by themselves once nothing more can be answered and what was is taken.
async fn drained(gateway: JoinHandle<()>, control: JoinHandle<()>) {
    let _ = gateway.await;
    let _ = control.await;
}

/// Ctrl-C and what `kill` sends.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Signals, Trouble> {
        let receive = |kind| {
            signal(kind)
                .map_err(|error| Trouble::host(format!("signals cannot be received: {error}"), ""))
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
