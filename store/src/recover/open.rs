//! Opening a store, or making one.

use super::scan::{self, Found, Place, Segments};
use super::{Recovery, replay};
use crate::backend::{Backend, File, LockError, read_all};
use crate::catalog::{CATALOG_FILE, Catalog, Reader, decode_row, meta, row_damage, table};
use crate::codec::{
    self, EngineRecord, FoldRecord, LogRecord, OpenRecord, SegmentRecord, StoreRecord, VatRecord,
};
use crate::engines::{ENGINES_DIR, Engine};
use crate::error::{Damage, OpenError, StoreError};
use crate::ids::{EngineHash, VatId};
use crate::images::{HEAP_DIR, Images};
use crate::journal::frame::Kind;
use crate::journal::sector::{SECTOR_BYTES, StampKey};
use crate::journal::segment::{self, FIRST_FRAME, JOURNAL_DIR};
use crate::journal::writer::{Journal, Position, Shared};
use crate::latch::Latch;
use crate::layer::{Layer, Phase, Vat};
use crate::logs::{self, LOG_BLOCK_BYTES, LOGS_DIR, Logs};
use crate::options::Options;
use crate::pages::PageCache;
use crate::store::{Filling, Store};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};

/// Tells at a glance which program may open the folder; the last file made of a new store but one
/// row of the catalog.
pub(crate) const VERSION_FILE: &str = "VERSION";
const VERSION_BYTES_MAX: usize = 64;
const VERSION_PREFIX: &str = "kenvat store ";
/// The format of the whole folder.
pub(crate) const STORE_VERSION: u64 = 1;
const DIRS: [&str; 4] = [JOURNAL_DIR, HEAP_DIR, LOGS_DIR, ENGINES_DIR];

/// Everything up to a store that may be used.
pub(crate) fn open<B: Backend>(
    backend: B,
    options: Options,
) -> Result<(Store<B>, Recovery), OpenError> {
    let lock = backend.lock().map_err(|error| match error {
        LockError::InUse(pid) => OpenError::InUse {
            dir: backend.name(),
            pid,
        },
        LockError::Io(source) => io_error("lock", "lock", source).into(),
    })?;
    let latch = Arc::new(Latch::default());
    let mut recovery = Recovery::default();
    for dir in DIRS {
        backend
            .create_dir(dir)
            .map_err(|error| io_error("create", dir, error))?;
    }
    let catalog = match open_catalog(&backend, &latch)? {
        Some(catalog) => catalog,
        None => {
            recovery.created = true;
            create(&backend, &latch, &options)?
        }
    };
    let rows = Rows::read(&catalog)?;
    let (segments, unregistered) = open_segments(&backend, &rows)?;
    let key = StampKey::new(&rows.store.stamp_key);
    let found = scan::scan(&segments, &key, &rows.fold)?;
    if rows.open.opens == 0 {
        // Never opened to the end: a version file that is there may be so in memory only (J6).
        write_version(&backend)?;
    }
    let open_record = settle(&catalog, &segments, &rows, &found)?;
    remove(&backend, JOURNAL_DIR, unregistered, &mut recovery)?;
    recovery.last_sequence = found.sequence;
    recovery.dropped = found.torn.as_ref().map(|torn| torn.dropped.clone());
    let frames = found.frames.clone();
    let journal = journal(&segments, &rows, found, &open_record);
    let shared = Shared {
        backend,
        latch,
        catalog,
        store_id: rows.store.store_id,
        key,
        segment_bytes: options.segment_bytes,
        journal: Mutex::new(journal),
    };
    let mut store = assemble(Arc::new(shared), options, rows, lock)?;
    store.mark_missing_images()?;
    apply_frames(&mut store, &segments, &frames, &mut recovery)?;
    remove_unnamed(&store, &mut recovery)?;
    recovery.damages = store.known_damages();
    Ok((store, recovery))
}

/// The catalog of an existing store; `None` if there is no store yet.
pub(crate) fn open_catalog<B: Backend>(
    backend: &B,
    latch: &Arc<Latch>,
) -> Result<Option<Catalog>, OpenError> {
    let has_version = check_version(backend)?;
    let file = match backend.open(CATALOG_FILE) {
        Ok(file) => Some(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(io_error("open", CATALOG_FILE, error).into()),
    };
    let file = match (file, has_version) {
        (Some(file), true) => file,
        (None, true) => return Err(Damage::new(CATALOG_FILE, 0, "the file is missing").into()),
        // What a creation leaves that did not come to its end: nothing that holds anything.
        (file, false) => return unfinished(backend, file).map(|()| None),
    };
    if file
        .len()
        .map_err(|error| io_error("measure", CATALOG_FILE, error))?
        == 0
    {
        return Err(Damage::new(CATALOG_FILE, 0, "the file is empty").into());
    }
    Ok(Some(Catalog::open(file, latch.clone())?))
}

/// Whether there is a version file, and ours.
pub(crate) fn check_version<B: Backend>(backend: &B) -> Result<bool, OpenError> {
    let file = match backend.open(VERSION_FILE) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(io_error("open", VERSION_FILE, error).into()),
    };
    let damage = |what: &str| OpenError::Damaged(Damage::new(VERSION_FILE, 0, what));
    let bytes = match read_all(&file, VERSION_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(damage("too long for a version"));
        }
        Err(error) => return Err(io_error("read", VERSION_FILE, error).into()),
    };
    // What a creation leaves when the power fails between the entry and the content.
    if bytes.iter().all(|&byte| byte == 0) {
        return Ok(false);
    }
    let text = std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| text.strip_prefix(VERSION_PREFIX));
    let version = text.and_then(|text| text.strip_suffix('\n')?.parse::<u64>().ok());
    match version {
        Some(STORE_VERSION) => Ok(true),
        Some(other) => Err(OpenError::other_version(VERSION_FILE, other, STORE_VERSION)),
        None => Err(damage("not a version")),
    }
}

/// Makes sure a folder without a version file holds nothing that could be lost.
fn unfinished<B: Backend>(backend: &B, catalog: Option<B::File>) -> Result<(), OpenError> {
    let refuse = |why: String| OpenError::NotAStore {
        dir: backend.name(),
        why,
    };
    for dir in [HEAP_DIR, LOGS_DIR, ENGINES_DIR] {
        if let Some(name) = list(backend, dir)?.first() {
            return Err(refuse(format!(
                "{VERSION_FILE} is missing, but there is {dir}/{name}"
            )));
        }
    }
    // Other files in the folder itself are the host's business.
    if catalog.is_none() && !list(backend, JOURNAL_DIR)?.is_empty() {
        return Err(refuse(format!(
            "{VERSION_FILE} and {CATALOG_FILE} are missing"
        )));
    }
    for name in list(backend, JOURNAL_DIR)? {
        let mut sector = [0; SECTOR_BYTES];
        let segment = backend.open(&format!("{JOURNAL_DIR}/{name}"));
        // Shorter than two sectors: no frame was ever written to it.
        let read = segment.and_then(|segment| segment.read_at(FIRST_FRAME, &mut sector));
        if read.is_ok() && sector != [0; SECTOR_BYTES] {
            return Err(refuse(format!(
                "{VERSION_FILE} is missing, and there are frames"
            )));
        }
    }
    // A catalog that says the store was finished: the version file was lost.
    let Some(file) = catalog else { return Ok(()) };
    let is_finished = Catalog::open(file, Arc::default())
        .and_then(|catalog| catalog.reader()?.get(table::META, meta::OPEN))
        .is_ok_and(|row| row.is_some());
    if is_finished {
        return Err(Damage::new(VERSION_FILE, 0, "the file is missing").into());
    }
    Ok(())
}

/// Makes a new store, but for its version file and the row `settle` writes after that: a crash in
/// between leaves what `unfinished` knows.
fn create<B: Backend>(
    backend: &B,
    latch: &Arc<Latch>,
    options: &Options,
) -> Result<Catalog, OpenError> {
    let told = |file: &'static str| move |error| OpenError::from(io_error("create", file, error));
    for name in list(backend, JOURNAL_DIR)? {
        backend
            .remove(&format!("{JOURNAL_DIR}/{name}"))
            .map_err(told(JOURNAL_DIR))?;
    }
    let file = backend.create(CATALOG_FILE).map_err(told(CATALOG_FILE))?;
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| StoreError::NoRandomness(error.to_string()))?;
    let (store_id, stamp_key) = halves(&random);
    let log_file_bytes = options
        .log_file_bytes
        .next_multiple_of(LOG_BLOCK_BYTES)
        .max(LOG_BLOCK_BYTES);
    let store = StoreRecord {
        store_id,
        stamp_key,
        log_file_bytes,
    };
    let bytes = segment::bytes_for(2, options.segment_bytes);
    // The catalog's entry is durable before a segment's can be: a segment without a catalog is a
    // store that lost one.
    backend.sync_dir("").map_err(told("folder"))?;
    segment::create(backend, &store_id, 1, bytes).map_err(told(JOURNAL_DIR))?;
    let catalog = Catalog::open(file, latch.clone())?;
    catalog.write(|batch| {
        batch.put_record(table::META, meta::STORE, &store)?;
        let fold = FoldRecord {
            sequence: 0,
            segment: 1,
            offset: FIRST_FRAME,
            next_vat: 1,
        };
        batch.put_record(table::META, meta::FOLD, &fold)?;
        batch.put_record(
            table::SEGMENTS,
            &1u32.to_be_bytes(),
            &SegmentRecord { bytes },
        )
    })?;
    Ok(catalog)
}

fn write_version<B: Backend>(backend: &B) -> Result<(), OpenError> {
    let write = || {
        let file = backend.create(VERSION_FILE)?;
        file.write_at(0, format!("{VERSION_PREFIX}{STORE_VERSION}\n").as_bytes())?;
        file.sync_data()?;
        backend.sync_dir("")
    };
    write().map_err(|error| io_error("write", VERSION_FILE, error).into())
}

fn halves(random: &[u8; 32]) -> ([u8; 16], [u8; 16]) {
    let (mut first, mut second) = ([0; 16], [0; 16]);
    first.copy_from_slice(&random[..16]);
    second.copy_from_slice(&random[16..]);
    (first, second)
}

/// The store's own rows.
pub(crate) struct Rows {
    pub reader: Reader,
    pub store: StoreRecord,
    pub fold: FoldRecord,
    pub open: OpenRecord,
    pub segments: BTreeMap<u32, SegmentRecord>,
    pub vats: BTreeMap<VatId, Vat>,
    pub engines: BTreeMap<EngineHash, Engine>,
}

impl Rows {
    pub(crate) fn read(catalog: &Catalog) -> Result<Rows, OpenError> {
        Rows::of(catalog.reader()?)
    }

    pub(crate) fn of(reader: Reader) -> Result<Rows, OpenError> {
        let store: StoreRecord = required(&reader, meta::STORE)?;
        if store.log_file_bytes == 0 || !store.log_file_bytes.is_multiple_of(LOG_BLOCK_BYTES) {
            return Err(row_damage(b"store", "a log file is not a number of blocks").into());
        }
        let fold = required(&reader, meta::FOLD)?;
        let open = reader.get(table::META, meta::OPEN)?;
        let open = open
            .map(|bytes| decode_row(table::META, meta::OPEN, &bytes))
            .transpose()?;
        let segments = each(&reader, table::SEGMENTS, |key| {
            Some(u32::from_be_bytes(key.try_into().ok()?))
        })?;
        let engines = each::<EngineRecord, _>(&reader, table::ENGINES, |key| {
            Some(EngineHash(key.try_into().ok()?))
        })?;
        let engines = engines
            .into_iter()
            .map(|(hash, record)| (hash, Engine::new(record)));
        let vats = read_vats(&reader)?;
        let open = open.unwrap_or_default();
        Ok(Rows {
            reader,
            store,
            fold,
            open,
            segments,
            vats,
            engines: engines.collect(),
        })
    }
}

fn read_vats(reader: &Reader) -> Result<BTreeMap<VatId, Vat>, OpenError> {
    let mut logs = each::<LogRecord, _>(reader, table::LOGS, codec::vat_of_key)?;
    let vats = each::<VatRecord, _>(reader, table::VATS, codec::vat_of_key)?;
    let with_log = |(vat, record): (VatId, VatRecord)| {
        let found = Vat {
            engine: record.engine(),
            page_limit: record.page_limit,
            phase: Phase::Live,
            damaged: None,
            log: logs.remove(&vat).unwrap_or_default(),
        };
        (vat, found)
    };
    Ok(vats.into_iter().map(with_log).collect())
}

fn required<T: bincode::Decode<()>>(reader: &Reader, key: &[u8]) -> Result<T, OpenError> {
    let bytes = reader.get(table::META, key)?;
    let bytes = bytes.ok_or_else(|| row_damage(&[&[table::META], key].concat(), "is missing"))?;
    Ok(decode_row(table::META, key, &bytes)?)
}

fn each<T: bincode::Decode<()>, K: Ord>(
    reader: &Reader,
    table: u8,
    parse_key: impl Fn(&[u8]) -> Option<K>,
) -> Result<BTreeMap<K, T>, OpenError> {
    let mut found = BTreeMap::new();
    for (key, value) in reader.all(table)? {
        let record = decode_row(table, &key, &value)?;
        let key = parse_key(&key)
            .ok_or_else(|| row_damage(&[&[table], &key[..]].concat(), "not such a key"))?;
        found.insert(key, record);
    }
    Ok(found)
}

/// Opens what the catalog registers; names what it does not.
pub(crate) fn open_segments<B: Backend>(
    backend: &B,
    rows: &Rows,
) -> Result<(Segments<B::File>, Vec<String>), OpenError> {
    let mut segments = Segments::new();
    for (&number, record) in &rows.segments {
        let segment = segment::open(backend, &rows.store.store_id, number, record.bytes)?;
        segments.insert(number, segment);
    }
    let mut names = list(backend, JOURNAL_DIR)?;
    names.retain(|name| segment::number_of(name).is_some_and(|n| !segments.contains_key(&n)));
    for name in &names {
        // What an interrupted creation left is ours to remove; another store's segment is not.
        segment::refuse_foreign(backend, &rows.store.store_id, name)?;
    }
    Ok((segments, names))
}

/// Makes what was read durable, before anything acts on it.
fn settle<F: File>(
    catalog: &Catalog,
    segments: &Segments<F>,
    rows: &Rows,
    found: &Found,
) -> Result<OpenRecord, OpenError> {
    let torn = found.torn.as_ref();
    let highest = torn.map_or(found.sequence, |torn| torn.dropped.sequence);
    let record = OpenRecord {
        opens: rows.open.opens.saturating_add(1),
        sequence_floor: rows.open.sequence_floor.max(highest.saturating_add(1)),
    };
    catalog.write(|batch| batch.put_record(table::META, meta::OPEN, &record))?;
    let told = |number: u32| {
        move |source| OpenError::from(io_error("rewrite", &segment::path(number), source))
    };
    let at = |number: u32| {
        let missing = move || Damage::new(segment::path(number), 0, "missing");
        segments.get(&number).ok_or_else(missing)
    };
    if let (Some(torn), Some(&number)) = (torn, found.chain.last()) {
        let file = &at(number)?.file;
        let zeros = scan::read_bytes(at(number)?, torn.dropped.offset, torn.bytes)?;
        file.write_at(torn.dropped.offset, &vec![0; zeros.len()])
            .map_err(told(number))?;
        file.sync_data().map_err(told(number))?;
    }
    if let Some(last) = found.frames.last() {
        let segment = at(last.segment)?;
        let bytes = scan::read_bytes(segment, last.offset, last.bytes())?;
        segment
            .file
            .write_at(last.offset, &bytes)
            .map_err(told(last.segment))?;
        segment.file.sync_data().map_err(told(last.segment))?;
    }
    Ok(record)
}

/// The journal to go on with.
fn journal<F: File>(
    segments: &Segments<F>,
    rows: &Rows,
    found: Found,
    open: &OpenRecord,
) -> Journal<F> {
    let get = |number: &u32| segments.get(number).cloned();
    let mut left: VecDeque<_> = found.chain.iter().filter_map(get).collect();
    let current = left
        .pop_back()
        .expect("the scan read the last segment of the chain");
    let free = segments
        .values()
        .filter(|segment| !found.chain.contains(&segment.number));
    let total = found.frames.iter().map(Place::bytes).sum();
    Journal {
        left,
        current,
        free: free.cloned().collect(),
        offset: found.offset,
        sequence: found.sequence,
        next_sequence: open.sequence_floor.max(found.sequence.saturating_add(1)),
        next_segment: rows
            .segments
            .keys()
            .last()
            .map_or(1, |last| last.saturating_add(1)),
        total,
        folded_total: 0,
        is_writing: false,
        buffer: Vec::new(),
    }
}

fn assemble<B: Backend>(
    shared: Arc<Shared<B>>,
    options: Options,
    rows: Rows,
    lock: B::Lock,
) -> Result<Store<B>, OpenError> {
    let (backend, latch) = (shared.backend.clone(), shared.latch.clone());
    let fold = rows.fold;
    let applied = Position {
        sequence: fold.sequence,
        segment: fold.segment,
        offset: fold.offset,
        total: 0,
    };
    Ok(Store {
        images: Images::new(backend.clone(), latch.clone()),
        logs: Logs::new(backend, latch, rows.store.log_file_bytes),
        shared,
        cache: PageCache::new(options.cached_pages_max),
        options,
        reader: rows.reader,
        vats: rows.vats,
        next_vat: fold.next_vat,
        unused_ids: BTreeSet::new(),
        engines: rows.engines,
        active: Layer::default(),
        folding: None,
        filling: Filling::default(),
        spare_body: None,
        in_flight: VecDeque::new(),
        applied,
        folded: applied,
        _lock: lock,
    })
}

/// Applies what the journal holds after the fold position.
fn apply_frames<B: Backend>(
    store: &mut Store<B>,
    segments: &Segments<B::File>,
    frames: &[Place],
    recovery: &mut Recovery,
) -> Result<(), OpenError> {
    let shared = store.shared.clone();
    let parts = || frames.iter().filter(|place| place.kind == Kind::Parts);
    let mut terminated = BTreeSet::new();
    for place in parts() {
        let body = scan::read_body(segments, &shared.key, place)?;
        replay::collect_terminated(place, &body, &mut terminated)?;
    }
    for place in parts() {
        let body = scan::read_body(segments, &shared.key, place)?;
        replay::replay(store, place, &body, &terminated)?;
        store.images.trim(store.options.open_images_max, |vat| {
            store.active.images.contains(&vat)
        });
        recovery.frames_applied += 1;
    }
    store.applied = shared.lock_journal().position();
    Ok(())
}

/// Removes files no row names: a crash came between a frame or transaction and the removal, or
/// between making a file and the row that names it.
fn remove_unnamed<B: Backend>(store: &Store<B>, recovery: &mut Recovery) -> Result<(), OpenError> {
    let backend = &store.shared.backend;
    // A name the store does not give is not the store's to remove; `verify` tells of it.
    let is_gone = |vat: Option<VatId>| vat.is_some_and(|vat| !store.vats.contains_key(&vat));
    let mut heaps = list(backend, HEAP_DIR)?;
    heaps.retain(|name| is_gone(name.parse().ok()));
    remove(backend, HEAP_DIR, heaps, recovery)?;
    let mut logs = list(backend, LOGS_DIR)?;
    logs.retain(|name| is_gone(logs::vat_of(name)));
    remove(backend, LOGS_DIR, logs, recovery)?;
    let mut engines = list(backend, ENGINES_DIR)?;
    engines.retain(|name| {
        let hash = name.strip_suffix(".genesis").unwrap_or(name).parse();
        hash.is_ok_and(|hash| !store.engines.contains_key(&hash))
    });
    remove(backend, ENGINES_DIR, engines, recovery)
}

fn remove<B: Backend>(
    backend: &B,
    dir: &str,
    names: Vec<String>,
    recovery: &mut Recovery,
) -> Result<(), OpenError> {
    for name in names {
        let path = format!("{dir}/{name}");
        backend
            .remove(&path)
            .map_err(|error| io_error("remove", &path, error))?;
        recovery.removed.push(path);
    }
    Ok(())
}

/// Names in a folder; one that is not there has none.
pub(crate) fn list<B: Backend>(backend: &B, dir: &str) -> Result<Vec<String>, OpenError> {
    match backend.list(dir) {
        Ok(names) => Ok(names),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(io_error("list", dir, error).into()),
    }
}

fn io_error(what: &'static str, file: &str, source: io::Error) -> StoreError {
    StoreError::Io {
        what,
        file: file.to_owned(),
        source,
    }
}
