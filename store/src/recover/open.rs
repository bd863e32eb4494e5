//! Opening a store: the steps of recovery, in their order.

use super::coalesce::CoalescedWrites;
use super::folder::{create, io_error, list, open_catalog, write_version};
use super::rows::{Rows, open_segments};
use super::scan::{self, Found, Place, Segments};
use super::sort::{self, Sorted};
use super::{Recovery, folder, replay};
use crate::backend::{Backend, File, LockError};
use crate::ballast::{BALLAST_FILE, Ballast};
use crate::catalog::{Catalog, meta, table};
use crate::codec::OpenRecord;
use crate::engines::ENGINES_DIR;
use crate::error::{Damage, OpenError};
use crate::ids::VatId;
use crate::images::{HEAP_DIR, Images};
use crate::journal::sector::StampKey;
use crate::journal::segment::{self, JOURNAL_DIR};
use crate::journal::writer::{Journal, Position, Shared};
use crate::latch::Latch;
use crate::logs::{self, LOGS_DIR, Logs};
use crate::memtable::Memtable;
use crate::options::Options;
use crate::pages::PageCache;
use crate::space::Space;
use crate::spill::{self, SPILL_DIR};
use crate::store::{Filling, Store};
use crate::write_throttle::WriteThrottle;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

/// Recovers and returns a store that is ready for use.
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
    for dir in folder::DIRS {
        backend
            .create_dir(dir)
            .map_err(|error| io_error("create", dir, error))?;
    }
    let ballast = Ballast::open(&backend, options.ballast_bytes)
        .map_err(|error| io_error("open", BALLAST_FILE, error))?;
    let ballast = Arc::new(ballast);
    let throttle = Arc::new(WriteThrottle::default());
    let catalog = match open_catalog(&backend, &latch, &ballast, &throttle)? {
        Some(catalog) => catalog,
        None => {
            recovery.created = true;
            create(&backend, &latch, &ballast, &throttle, &options)?
        }
    };
    let rows = Rows::read(&catalog)?;
    let (segments, unregistered) = open_segments(&backend, &rows)?;
    let key = StampKey::new(&rows.store.stamp_key);
    let (found, sorted) =
        sort::sort_concurrently(|take| scan::scan_with(&segments, &key, &rows.fold, take))?;
    if rows.open.opens == 0 {
        // The store was never opened completely, so its version file may exist in memory only (J6).
        write_version(&backend)?;
    }
    let open_record = settle(&catalog, &segments, &rows, &found)?;
    remove(&backend, JOURNAL_DIR, unregistered, &mut recovery)?;
    recovery.last_sequence = found.sequence;
    recovery.dropped = found.torn.as_ref().map(|torn| torn.dropped.clone());
    let journal = journal(&segments, &rows, found, &open_record);
    let shared = Shared {
        backend,
        latch,
        ballast,
        throttle,
        catalog,
        store_id: rows.store.store_id,
        key,
        segment_bytes: options.segment_bytes,
        journal: Mutex::new(journal),
        _lock: lock,
    };
    let mut store = assemble(Arc::new(shared), options, rows, open_record.opens)?;
    store.mark_missing_images()?;
    store.mark_lost_writes()?;
    apply_frames(&mut store, sorted, &mut recovery)?;
    remove_unnamed(&store, &mut recovery)?;
    recovery.damages = store.known_damages();
    store.space.after_sealed = store.shared.lock_journal().sectors_left();
    store.count_place();
    store.fill_ballast()?;
    Ok((store, recovery))
}
/// Makes durable what was read, before the store acts on it.
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

/// The journal, ready to be continued.
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
    opens: u64,
) -> Result<Store<B>, OpenError> {
    let (backend, latch) = (shared.backend.clone(), shared.latch.clone());
    let ballast = shared.ballast.clone();
    let fold = rows.fold;
    let applied = Position {
        sequence: fold.sequence,
        segment: fold.segment,
        offset: fold.offset,
        total: 0,
    };
    Ok(Store {
        images: Images::new(backend.clone(), latch.clone(), ballast.clone()),
        logs: Logs::new(backend, latch, ballast, rows.store.log_file_bytes),
        shared,
        cache: PageCache::new(options.cached_pages_max),
        options,
        reader: rows.reader,
        vats: rows.vats,
        next_vat: fold.next_vat,
        unused_ids: BTreeSet::new(),
        engines: rows.engines,
        active: Memtable::default(),
        immutable: None,
        filling: Filling::default(),
        spare_body: None,
        in_flight: VecDeque::new(),
        applying: BTreeSet::new(),
        spill_jobs: Vec::new(),
        // Unused so far, because the number of opens is durable by now.
        next_spill: opens << 32,
        applied,
        folded: applied,
        backlog: BTreeMap::new(),
        space: Space::default(),
    })
}

/// Applies the frames after the fold position.
fn apply_frames<B: Backend>(
    store: &mut Store<B>,
    mut sorted: Sorted,
    recovery: &mut Recovery,
) -> Result<(), OpenError> {
    let shared = store.shared.clone();
    let mut coalesced = CoalescedWrites::default();
    let ranges = &mut sorted.rows;
    store.active.put_all(ranges.pop_front().unwrap_or_default());
    for frame in sorted.frames {
        replay::replay(store, &frame, &sorted.terminated, ranges, &mut coalesced)?;
        store.images.trim(store.options.open_images_max, |vat| {
            store.active.images.contains(&vat)
        });
        recovery.frames_applied += 1;
    }
    coalesced.write(store)?;
    store.applied = shared.lock_journal().position();
    Ok(())
}

/// Removes files that no row names: a crash came between a frame or transaction and the removal, or
/// between creating a file and the row that names it.
fn remove_unnamed<B: Backend>(store: &Store<B>, recovery: &mut Recovery) -> Result<(), OpenError> {
    let backend = &store.shared.backend;
    // Other names are not the store's to remove; `verify` reports them.
    let is_gone = |vat: Option<VatId>| vat.is_some_and(|vat| !store.vats.contains_key(&vat));
    let mut heaps = list(backend, HEAP_DIR)?;
    heaps.retain(|name| is_gone(name.parse().ok()));
    remove(backend, HEAP_DIR, heaps, recovery)?;
    let mut logs = list(backend, LOGS_DIR)?;
    logs.retain(|name| is_gone(logs::vat_of(name)));
    remove(backend, LOGS_DIR, logs, recovery)?;
    let mut spills = list(backend, SPILL_DIR)?;
    let named: BTreeSet<u64> = store.named_spills()?;
    spills.retain(|name| spill::id_of(name).is_some_and(|id| !named.contains(&id)));
    remove(backend, SPILL_DIR, spills, recovery)?;
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
