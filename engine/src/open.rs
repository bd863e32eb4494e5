//! Start of a host: the store recovered and locked, the engine's executable and genesis installed.

use std::io;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use kenvat_store::{
    Backend, Delta, Dropped, EngineHash, FileBackend, Genesis, OpenError, PAGE_BYTES, Recovery,
    Store, StoreError,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sha2::{Digest, Sha256};

use super::clock::Clock;
use super::engine::{Engine, EngineOptions};
use super::event_loop::{self, EventLoop, LoopLock, say};
use super::notifier::Notifier;
use super::process::{Executable, Worker, image_in_memory};
use super::store_ledger::StoreLedger;
use crate::worker_bytes::{WORKER, WORKER_SHA256};
use kenvat_core::api::{StartError, VatLimits};
use kenvat_core::limits::{AWAKE_MAX, GAS_MAX};
use kenvat_core::rows::{self, CountersRow, OpenRow, TimerRow, VatRow};
use kenvat_core::{Core, Loaded, LoadedVat, Settings, pages_in};
use kenvat_wire::protocol::{FromWorker, PROTOCOL_VERSION, Start, ToWorker, TrackerKind};

/// How long a genesis may take.
const GENESIS_TIME_MAX: Duration = Duration::from_secs(60);
/// Pages a genesis heap may take: far more than any library needs, far less than would hurt.
const GENESIS_PAGES_MAX: u32 = 16 << 10;

/// Opens (or makes) the store and starts the engine's thread.
pub fn start(options: EngineOptions) -> Result<Engine, StartError> {
    let dir = options.dir.display().to_string();
    let descriptors = raise_descriptor_limit();
    // What the engine goes by from now on is what was decided here.
    let awake_max = options
        .awake_max
        .unwrap_or_else(|| awake_for(descriptors))
        .max(1);
    let options = EngineOptions {
        awake_max: Some(awake_max),
        ..options
    };
    // Copied while the store is read.
    let worker = options.worker.clone();
    let own = std::thread::spawn(move || {
        let hash = hash_of(&worker);
        Executable::seal(&worker).map(|executable| (hash, executable))
    });
    let (mut store, recovery) = open_store(&options.dir, &dir)?;
    let recovered = tell(&recovery, &dir);
    let own = own.join().expect("it does not panic");
    let (engine, executable) = own.map_err(|error| StartError::Worker(error.to_string()))?;
    let is_known = store.engine_known(engine);
    if !is_known {
        install(&mut store, &options)?;
    }
    let loaded = load(&store).map_err(StartError::Store)?;
    let settings = Settings {
        engine,
        page_limit: pages_in(options.heap_limit),
        sleep_after_ms: options.sleep_after_ms,
        awake_max,
        limits: options.limits,
    };
    let clock = Clock::new();
    let core = Core::new(settings, loaded, clock.now_ms());
    let io = |context: &str| {
        let context = context.to_owned();
        move |source| StartError::Io { context, source }
    };
    let notifier = Notifier::new().map_err(io("make an eventfd"))?;
    let (commands, inbox) = mpsc::channel();
    let mut event_loop = EventLoop::new(
        (core, clock),
        StoreLedger::new(store),
        (engine, executable),
        options,
        (inbox, notifier.clone()),
    )
    .map_err(io("start the engine's threads"))?;
    if is_known {
        event_loop.check_own_engine();
    }
    let shared = Arc::new(LoopLock::new(event_loop));
    let engine_thread = shared.clone();
    std::thread::Builder::new()
        .name("kenvat-engine".to_owned())
        .spawn(move || event_loop::run(&engine_thread))
        .map_err(io("start the engine's thread"))?;
    Ok(Engine::new(commands, notifier, shared, recovered))
}

/// The identity of an engine; of this build's own it is known.
fn hash_of(worker: &[u8]) -> EngineHash {
    let is_own = std::ptr::eq(worker, WORKER);
    let known = is_own.then(|| WORKER_SHA256.parse().ok()).flatten();
    known.unwrap_or_else(|| EngineHash(Sha256::digest(worker).into()))
}

/// An awake vat holds about five descriptors, and the usual soft limit of 1,024 is for programs
/// that use select: we do not, so we take what we may have.
///
/// Returns how many there may be.
fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Refused where a policy forbids it: the limit then stays, and says so when it is met.
    let _ = setrlimit(Resource::Nofile, raised);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// How many vats may be awake with that many descriptors: half of them are left for clients, the
/// store's files, and what a start needs for a moment.
fn awake_for(descriptors: u64) -> usize {
    let room = descriptors / 2 / DESCRIPTORS_A_WORKER;
    usize::try_from(room).map_or(AWAKE_MAX, |room| room.clamp(1, AWAKE_MAX))
}

/// A worker's socket, status page, pidfd, last words and image; one more for safety.
const DESCRIPTORS_A_WORKER: u64 = 6;

fn open_store(path: &Path, dir: &str) -> Result<(Store<FileBackend>, Recovery), StartError> {
    let options = kenvat_store::Options::default();
    Store::open(FileBackend::new(path), options).map_err(|error| match error {
        OpenError::InUse { pid, .. } => StartError::InUse {
            dir: dir.to_owned(),
            pid,
        },
        OpenError::Store(StoreError::NoSpace(no_room)) => StartError::Store(format!(
            "{dir}: {no_room}; nothing is lost: free some room and start again"
        )),
        OpenError::Store(StoreError::Io { what, file, source }) if is_forbidden(&source) => {
            StartError::Store(format!(
                "the store {dir} cannot be written: {what} {file}: {source}; it stays as it is"
            ))
        }
        other => StartError::Store(format!("{dir}: {other}")),
    })
}

/// Whether the folder, or the disk it is on, may only be read.
fn is_forbidden(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied
    )
}

/// Says what a crash cut off, and returns what else opening found, for who wants to know.
fn tell(recovery: &Recovery, dir: &str) -> String {
    if let Some(dropped) = &recovery.dropped {
        let Dropped {
            sequence,
            file,
            offset,
        } = dropped;
        say(format_args!(
            "{dir}: frame {sequence} was cut off by a crash ({file} at byte {offset}); nobody had \
             been told of it, and it was dropped"
        ));
    }
    let found = match recovery.created {
        true => "the store is new".to_owned(),
        false => format!(
            "frame {} is the last one; {} since the last fold were applied again",
            recovery.last_sequence, recovery.frames_applied
        ),
    };
    match recovery.removed.len() {
        0 => found,
        count => format!("{found}; {count} files that nothing names were removed"),
    }
}

/// Makes the worker's genesis image by running it once, and puts both into the store.
fn install(
    store: &mut Store<FileBackend>,
    options: &EngineOptions,
) -> Result<EngineHash, StartError> {
    let genesis = make_genesis(&options.worker, options.tracker).map_err(StartError::Worker)?;
    store
        .put_engine(&options.worker, &genesis)
        .map_err(|error| StartError::Store(error.to_string()))
}

/// A genesis heap, made by running the worker on an empty image.
pub(crate) fn make_genesis(worker: &[u8], tracker: Option<TrackerKind>) -> Result<Genesis, String> {
    let executable = Executable::seal(worker).map_err(|error| error.to_string())?;
    let length = u64::from(GENESIS_PAGES_MAX) * PAGE_BYTES as u64;
    let image = image_in_memory(std::iter::empty(), length).map_err(|error| error.to_string())?;
    let mut worker =
        Worker::spawn(&executable, image, GENESIS_TIME_MAX).map_err(|error| error.to_string())?;
    worker.queue(&ToWorker::Start(Start {
        protocol: PROTOCOL_VERSION,
        generation: 1,
        page_limit: GENESIS_PAGES_MAX,
        genesis: true,
        gas: GAS_MAX,
        tracker,
    }));
    let until = Instant::now() + GENESIS_TIME_MAX;
    loop {
        match worker
            .wait_for_message(until)
            .map_err(|error| error.to_string())?
        {
            Some(FromWorker::HandOver(hand_over)) => {
                return Delta::parse(hand_over.delta, GENESIS_PAGES_MAX)
                    .map_err(|error| error.to_string())
                    .and_then(|delta| {
                        Genesis::from_delta(&delta).map_err(|error| error.to_string())
                    });
            }
            Some(FromWorker::Ready { .. }) => {}
            Some(FromWorker::Starting { .. }) => {
                return Err("it starts a program nobody gave it".to_owned());
            }
            Some(FromWorker::Delta { .. }) => {
                return Err("its genesis heap is too large".to_owned());
            }
            Some(FromWorker::Aborted { why, .. }) => return Err(why),
            None => {
                let (death, words) = worker.finish().map_err(|error| error.to_string())?;
                return Err(format!(
                    "it ended ({death:?}) before its genesis was made: {words}"
                ));
            }
        }
    }
}

/// What the catalog knows of vats and their open requests.
pub fn load<B: Backend>(store: &Store<B>) -> Result<Loaded, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let mut loaded = Loaded::default();
    for (key, value) in store.scan(rows::VATS, &[]).map_err(|e| text(&e))? {
        let id = rows::parse_vat_key(&key).ok_or("a vat's key has another length than 8 bytes")?;
        let row: VatRow = rows::read(rows::VATS, &value).map_err(|e| text(&e))?;
        let counters = match store.get(rows::COUNTERS, &key).map_err(|e| text(&e))? {
            Some(bytes) => rows::read(rows::COUNTERS, &bytes).map_err(|e| text(&e))?,
            None => CountersRow::default(),
        };
        let poison = match store.get(rows::POISON, &key).map_err(|e| text(&e))? {
            Some(bytes) => Some(rows::read(rows::POISON, &bytes).map_err(|e| text(&e))?),
            None => None,
        };
        let limits = match store.get(rows::LIMITS, &key).map_err(|e| text(&e))? {
            Some(bytes) => rows::read(rows::LIMITS, &bytes).map_err(|e| text(&e))?,
            None => VatLimits::default(),
        };
        let damage = match store.vat(id) {
            Some(meta) => meta.damaged,
            None => Some("the store has no image for it".to_owned()),
        };
        loaded.vats.push(LoadedVat {
            id,
            row,
            counters,
            limits,
            poison,
            damage,
        });
    }
    for (key, value) in store.scan(rows::OPEN, &[]).map_err(|e| text(&e))? {
        let (vat, request) = rows::parse_open_key(&key)
            .ok_or("an open request's key has another length than 16 bytes")?;
        let row: OpenRow = rows::read(rows::OPEN, &value).map_err(|e| text(&e))?;
        loaded.open.push((vat, request, row));
    }
    for (key, value) in store.scan(rows::TIMERS, &[]).map_err(|e| text(&e))? {
        let (vat, timer) =
            rows::parse_timer_key(&key).ok_or("a timer's key has another length than 16 bytes")?;
        let row: TimerRow = rows::read(rows::TIMERS, &value).map_err(|e| text(&e))?;
        loaded.timers.push((vat, timer, row));
    }
    for (key, value) in store.scan(rows::CLIENTS, &[]).map_err(|e| text(&e))? {
        let name = String::from_utf8(key).map_err(|e| text(&e))?;
        let window = rows::read(rows::CLIENTS, &value).map_err(|e| text(&e))?;
        loaded.clients.push((name, window));
    }
    Ok(loaded)
}
