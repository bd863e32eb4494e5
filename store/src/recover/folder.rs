//! The folder as a whole: its version file, whether there is a store, and creating one.
//!
//! Promises: a store that was opened completely once is never taken for an unfinished one, and an
//! unfinished one holds nothing that could be lost.

use crate::backend::{Backend, File, is_full, read_all};
use crate::ballast::Ballast;
use crate::catalog::{CATALOG_FILE, Catalog, meta, table};
use crate::codec::{FoldRecord, SegmentRecord, StoreRecord};
use crate::engines::ENGINES_DIR;
use crate::error::{Damage, NoSpace, OpenError, StoreError};
use crate::images::HEAP_DIR;
use crate::journal::sector::SECTOR_BYTES;
use crate::journal::segment::{self, FIRST_FRAME, JOURNAL_DIR};
use crate::latch::Latch;
use crate::logs::{LOG_BLOCK_BYTES, LOGS_DIR};
use crate::options::Options;
use crate::spill::SPILL_DIR;
use crate::write_throttle::WriteThrottle;
use std::io;
use std::sync::Arc;

/// Says which program may open the folder. Creating a store writes it last, except for one row of
/// the catalog.
pub(crate) const VERSION_FILE: &str = "VERSION";
const VERSION_BYTES_MAX: usize = 64;
const VERSION_PREFIX: &str = "kenvat store ";
/// The format of the whole folder.
pub(crate) const STORE_VERSION: u64 = 3;
pub(crate) const DIRS: [&str; 5] = [JOURNAL_DIR, HEAP_DIR, LOGS_DIR, ENGINES_DIR, SPILL_DIR];

/// The catalog of an existing store; `None` if there is no store yet.
pub(crate) fn open_catalog<B: Backend>(
    backend: &B,
    latch: &Arc<Latch>,
    ballast: &Arc<Ballast<B::File>>,
    throttle: &Arc<WriteThrottle>,
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
        // An interrupted creation leaves this; it holds nothing.
        (file, false) => return unfinished(backend, file).map(|()| None),
    };
    if file
        .len()
        .map_err(|error| io_error("measure", CATALOG_FILE, error))?
        == 0
    {
        return Err(Damage::new(CATALOG_FILE, 0, "the file is empty").into());
    }
    Ok(Some(Catalog::open(
        file,
        latch.clone(),
        ballast.clone(),
        throttle.clone(),
    )?))
}

/// Whether there is a version file with the right version.
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
    // A creation leaves this if the power fails between the directory entry and the content.
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

/// Makes sure that a folder without a version file holds nothing that could be lost.
fn unfinished<B: Backend>(backend: &B, catalog: Option<B::File>) -> Result<(), OpenError> {
    let refuse = |why: String| OpenError::NotAStore {
        dir: backend.name(),
        why,
    };
    for dir in [HEAP_DIR, LOGS_DIR, ENGINES_DIR, SPILL_DIR] {
        if let Some(name) = list(backend, dir)?.first() {
            return Err(refuse(format!(
                "{VERSION_FILE} is missing, but there is {dir}/{name}"
            )));
        }
    }
    // Other files in the folder itself belong to the host.
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
    // If the catalog says that the store was finished, the version file was lost.
    let Some(file) = catalog else { return Ok(()) };
    let ballast = Arc::new(Ballast::none());
    let is_finished = Catalog::open(file, Arc::default(), ballast, Arc::default())
        .and_then(|catalog| catalog.reader()?.get(table::META, meta::OPEN))
        .is_ok_and(|row| row.is_some());
    if is_finished {
        return Err(Damage::new(VERSION_FILE, 0, "the file is missing").into());
    }
    Ok(())
}

/// Creates a store except for the version file and the row that `settle` writes after it. A crash
/// before that leaves what `unfinished` recognises.
pub(crate) fn create<B: Backend>(
    backend: &B,
    latch: &Arc<Latch>,
    ballast: &Arc<Ballast<B::File>>,
    throttle: &Arc<WriteThrottle>,
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
    getrandom::fill(&mut random).map_err(no_randomness)?;
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
    // The directory entry of the catalog becomes durable before that of a segment, so a segment
    // without a catalog means that the catalog was lost.
    backend.sync_dir("").map_err(told("folder"))?;
    segment::create(backend, &store_id, 1, bytes).map_err(told(JOURNAL_DIR))?;
    let catalog = Catalog::open(file, latch.clone(), ballast.clone(), throttle.clone())?;
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

pub(crate) fn write_version<B: Backend>(backend: &B) -> Result<(), OpenError> {
    let write = || {
        let file = backend.create(VERSION_FILE)?;
        file.write_at(0, format!("{VERSION_PREFIX}{STORE_VERSION}\n").as_bytes())?;
        file.sync_data()?;
        backend.sync_dir("")
    };
    write().map_err(|error| io_error("write", VERSION_FILE, error).into())
}

fn no_randomness(error: getrandom::Error) -> StoreError {
    StoreError::NoRandomness(match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::other(error.to_string()),
    })
}

fn halves(random: &[u8; 32]) -> ([u8; 16], [u8; 16]) {
    let (mut first, mut second) = ([0; 16], [0; 16]);
    first.copy_from_slice(&random[..16]);
    second.copy_from_slice(&random[16..]);
    (first, second)
}
/// Names in a folder; none if the folder does not exist.
pub(crate) fn list<B: Backend>(backend: &B, dir: &str) -> Result<Vec<String>, OpenError> {
    match backend.list(dir) {
        Ok(names) => Ok(names),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(io_error("list", dir, error).into()),
    }
}

pub(crate) fn io_error(what: &'static str, file: &str, source: io::Error) -> StoreError {
    if is_full(&source) {
        let (file, why) = (file.to_owned(), source.to_string());
        return NoSpace { what, file, why }.into();
    }
    StoreError::Io {
        what,
        file: file.to_owned(),
        source,
    }
}
