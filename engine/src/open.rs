//! Start of a host: the store recovered and locked, the engine's executable and genesis installed.

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use kenvat_store::{
    Backend, Delta, Dropped, EngineHash, FileBackend, Genesis, PAGE_BYTES, Recovery, Store,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sha2::{Digest, Sha256};

use super::clock::Clock;
use super::engine::Engine;
use super::error::{CatalogError, OpenError, WorkerError};
use super::event_loop::{self, EventLoop, LoopLock, say};
use super::handle::Handle;
use super::notifier::Notifier;
use super::options::EngineOptions;
use super::process::{Executable, Worker, image_in_memory};
use super::store_ledger::StoreLedger;
use crate::worker_bytes::{WORKER, WORKER_SHA256};
use kenvat_core::api::VatLimits;
use kenvat_core::limits::{AWAKE_MAX, GAS_MAX};
use kenvat_core::rows::{self, CountersRow, OpenRow, TimerRow, VatRow};
use kenvat_core::{Core, Loaded, LoadedVat, Settings, pages_in};
use kenvat_wire::protocol::{FromWorker, PROTOCOL_VERSION, Start, ToWorker, TrackerKind};

/// How long a genesis may take.
const GENESIS_TIME_MAX: Duration = Duration::from_secs(60);
/// Pages a genesis heap may take: far more than any library needs, far less than would hurt.
const GENESIS_PAGES_MAX: u32 = 16 << 10;

/// Opens (or makes) the store and starts the engine's thread.
pub(crate) fn start(options: EngineOptions) -> Result<Engine, OpenError> {
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
    let opened = Store::open(
        FileBackend::new(&options.dir),
        kenvat_store::Options::default(),
    );
    let opened = opened.map_err(|error| OpenError::of_store(options.dir.clone(), error));
    let own = own.join().expect("it does not panic");
    let (mut store, recovery) = opened?;
    let recovered = tell(&recovery, &options.dir);
    let (engine, executable) = own.map_err(|source| WorkerError::Io {
        context: "seal the worker executable",
        source,
    })?;
    let is_known = store.engine_known(engine);
    if !is_known {
        install(&mut store, &options)?;
    }
    let loaded = load(&store).map_err(|source| OpenError::Catalog {
        dir: options.dir.clone(),
        source,
    })?;
    let settings = Settings {
        engine,
        page_limit: pages_in(options.heap_limit),
        sleep_after_ms: options.sleep_after_ms,
        awake_max,
        limits: options.limits,
    };
    let clock = Clock::new();
    let core = Core::new(settings, loaded, clock.now_ms());
    let io = |context| move |source| OpenError::Io { context, source };
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
    let shared: Arc<LoopLock> = Arc::new(LoopLock::new(event_loop));
    let of_thread = shared.clone();
    let thread = std::thread::Builder::new()
        .name("kenvat-engine".to_owned())
        .spawn(move || event_loop::run(&of_thread))
        .map_err(io("start the engine's thread"))?;
    let handle = Handle::new(commands, notifier, shared, recovered);
    Ok(Engine::new(handle, thread))
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

/// Says what a crash cut off, and returns what else opening found, for who wants to know.
fn tell(recovery: &Recovery, dir: &Path) -> String {
    let dir = dir.display();
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
) -> Result<EngineHash, OpenError> {
    let genesis = make_genesis(&options.worker, options.tracker)?;
    let installed = store.put_engine(&options.worker, &genesis);
    installed.map_err(|source| OpenError::Install {
        dir: options.dir.clone(),
        source,
    })
}

/// A genesis heap, made by running the worker on an empty image.
pub(crate) fn make_genesis(
    worker: &[u8],
    tracker: Option<TrackerKind>,
) -> Result<Genesis, WorkerError> {
    let io = |context| move |source| WorkerError::Io { context, source };
    let executable = Executable::seal(worker).map_err(io("seal the worker executable"))?;
    let length = u64::from(GENESIS_PAGES_MAX) * PAGE_BYTES as u64;
    let image = image_in_memory(std::iter::empty(), length).map_err(io("make a heap"))?;
    let mut worker = Worker::spawn(&executable, image, GENESIS_TIME_MAX)?;
    worker.queue(&ToWorker::Start(Start {
        protocol: PROTOCOL_VERSION,
        generation: 1,
        page_limit: GENESIS_PAGES_MAX,
        genesis: true,
        gas: GAS_MAX,
        tracker,
    }));
    let until = Instant::now() + GENESIS_TIME_MAX;
    let misbehaved = |why: &str| Err(WorkerError::Misbehaved(why.to_owned()));
    loop {
        match worker.wait_for_message(until)? {
            Some(FromWorker::HandOver(hand_over)) => {
                let delta = Delta::parse(hand_over.delta, GENESIS_PAGES_MAX)?;
                return Ok(Genesis::from_delta(&delta)?);
            }
            Some(FromWorker::Ready { .. }) => {}
            Some(FromWorker::Starting { .. }) => {
                return misbehaved("it starts a program nobody gave it");
            }
            Some(FromWorker::Delta { .. }) => {
                return misbehaved("its genesis heap is too large");
            }
            Some(FromWorker::Aborted { why, .. }) => return misbehaved(&why),
            None => {
                let (death, words) = worker.finish().map_err(io("reap a worker"))?;
                return misbehaved(&format!(
                    "it ended ({death:?}) before its genesis was made: {words}"
                ));
            }
        }
    }
}

/// What the catalog knows of vats and their open requests.
pub fn load<B: Backend>(store: &Store<B>) -> Result<Loaded, CatalogError> {
    let mut loaded = Loaded::default();
    for (key, value) in store.scan(rows::VATS, &[])? {
        let id = rows::parse_vat_key(&key).ok_or(CatalogError::Key(
            "a vat's key has another length than 8 bytes",
        ))?;
        let row: VatRow = rows::read(rows::VATS, &value)?;
        let counters = match store.get(rows::COUNTERS, &key)? {
            Some(bytes) => rows::read(rows::COUNTERS, &bytes)?,
            None => CountersRow::default(),
        };
        let poison = match store.get(rows::POISON, &key)? {
            Some(bytes) => Some(rows::read(rows::POISON, &bytes)?),
            None => None,
        };
        let limits = match store.get(rows::LIMITS, &key)? {
            Some(bytes) => rows::read(rows::LIMITS, &bytes)?,
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
    for (key, value) in store.scan(rows::OPEN, &[])? {
        let (vat, request) = rows::parse_open_key(&key).ok_or(CatalogError::Key(
            "an open request's key has another length than 16 bytes",
        ))?;
        let row: OpenRow = rows::read(rows::OPEN, &value)?;
        loaded.open.push((vat, request, row));
    }
    for (key, value) in store.scan(rows::TIMERS, &[])? {
        let (vat, timer) = rows::parse_timer_key(&key).ok_or(CatalogError::Key(
            "a timer's key has another length than 16 bytes",
        ))?;
        let row: TimerRow = rows::read(rows::TIMERS, &value)?;
        loaded.timers.push((vat, timer, row));
    }
    for (key, value) in store.scan(rows::CLIENTS, &[])? {
        let name = String::from_utf8(key)
            .map_err(|_| CatalogError::Key("a client's name is not UTF-8"))?;
        let window = rows::read(rows::CLIENTS, &value)?;
        loaded.clients.push((name, window));
    }
    Ok(loaded)
}
