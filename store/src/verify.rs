//! Reading every byte of a store against its checksums.
//!
//! Promises: nothing on disk is changed; each damage comes with file, offset and vat. A closed
//! store is opened through an overlay, so that recovery happens in memory and images are judged in
//! the state they would have after it. An open store is read between two frames, as it is.

use crate::backend::overlay::{Overlay, OverlayFile};
use crate::backend::{Backend, File};
use crate::ballast::Ballast;
use crate::catalog::{CATALOG_FILE, Catalog, check_sectors};
use crate::engines::{self, ENGINES_DIR};
use crate::error::{Damage, OpenError, StoreError};
use crate::genesis::{GENESIS_FILE_BYTES_MAX, Genesis};
use crate::ids::{EngineHash, VatId};
use crate::images::HEAP_DIR;
use crate::journal::sector::{self, SECTOR_BYTES, Sector, StampKey};
use crate::journal::segment::{self, FIRST_FRAME, JOURNAL_DIR, Segment};
use crate::logs::{self, LOGS_DIR};
use crate::options::Options;
use crate::recover::folder::{VERSION_FILE, check_version, list, open_catalog};
use crate::recover::rows::{Rows, open_segments};
use crate::recover::scan::{self, Segments};
use crate::spill::{self, SPILL_DIR};
use crate::store::Store;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

/// What was read, and what of it is not what was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    pub read_bytes: u64,
    pub damages: Vec<Damage>,
}

/// A verification under way.
#[derive(Debug)]
pub struct Verifying {
    /// What was read and found so far.
    pub report: VerifyReport,
    left: VecDeque<Step>,
}

/// What is read between two frames at once.
#[derive(Clone, Copy, Debug)]
enum Step {
    Base,
    Engine(EngineHash, [u8; 32]),
    Vat(VatId),
    Rest,
}

impl VerifyReport {
    /// Keeps damage and passes every other error on.
    fn take<T>(&mut self, result: Result<T, OpenError>) -> Result<Option<T>, OpenError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(OpenError::Damaged(damage)) => {
                self.add(damage);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Two checks may find the same damage.
    fn add(&mut self, damage: Damage) {
        let is_known = self
            .damages
            .iter()
            .any(|d| (&d.file, d.offset) == (&damage.file, damage.offset));
        if !is_known {
            self.damages.push(damage);
        }
    }
}

/// Verifies a store that no process has open. If damage prevents opening it, whatever can be judged
/// without opening is still read.
pub fn verify<B: Backend>(backend: B) -> Result<VerifyReport, OpenError> {
    let names = match backend.list("") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        names => names.map_err(|source| StoreError::Io {
            what: "list",
            file: String::new(),
            source,
        })?,
    };
    if names.iter().all(|name| name == "lock") {
        let (dir, why) = (backend.name(), "it is empty".to_owned());
        return Err(OpenError::NotAStore { dir, why });
    }
    // Before recovery overwrites what is free in it, if only in memory.
    let mut report = VerifyReport::default();
    if let Ok(file) = backend.open(CATALOG_FILE) {
        let checked = check_sectors(&file, &mut report.damages);
        checked.map_err(|source| read_error(CATALOG_FILE, source))?;
    }
    verify_opened(Overlay::new(backend), report)
}

/// Verifies through one overlay what recovery finds, or through another one what can be judged
/// without it.
fn verify_opened(overlay: Overlay, mut report: VerifyReport) -> Result<VerifyReport, OpenError> {
    match Store::open(overlay.clone(), Options::default()) {
        Ok((mut store, _)) => {
            let found = store.verify()?;
            report.read_bytes = found.read_bytes;
            found
                .damages
                .into_iter()
                .for_each(|damage| report.add(damage));
        }
        Err(OpenError::Damaged(damage)) => {
            report.add(damage);
            verify_unopened(&overlay.unchanged(), &mut report)?;
        }
        Err(error) => return Err(error),
    }
    Ok(report)
}

fn read_error(file: &str, source: io::Error) -> StoreError {
    StoreError::Io {
        what: "read",
        file: file.to_owned(),
        source,
    }
}

/// Verifies a store that does not open: segments by their sectors, catalog, engines.
fn verify_unopened(backend: &Overlay, report: &mut VerifyReport) -> Result<(), OpenError> {
    let catalog = report
        .take(open_catalog(
            backend,
            &Arc::default(),
            &Arc::new(Ballast::none()),
            &Arc::default(),
        ))?
        .flatten();
    let Some(catalog) = catalog else {
        return Ok(());
    };
    if !verify_catalog(backend, &catalog, report)? {
        return Ok(());
    }
    let Some(rows) = report.take(Rows::read(&catalog))? else {
        return Ok(());
    };
    for (&number, record) in &rows.segments {
        let opened = segment::open(backend, &rows.store.store_id, number, record.bytes);
        if let Some(segment) = report.take(opened)? {
            verify_segment(&segment, &StampKey::new(&rows.store.stamp_key), report)?;
        }
    }
    for (&hash, engine) in &rows.engines {
        verify_genesis(backend, hash, &engine.record.genesis_sha256, report)?;
    }
    Ok(())
}

impl<B: Backend> Store<B> {
    /// Verifies an open store, between two frames: none may be sealed and not applied, and no fold
    /// under way.
    pub fn verify(&mut self) -> Result<VerifyReport, OpenError> {
        let mut verifying = self.begin_verify();
        while !self.verify_step(&mut verifying)? {}
        Ok(verifying.report)
    }

    /// The same in steps, between which frames may be written and folds run: catalog and journal,
    /// each engine, each vat, and last the spill files and all file names.
    pub fn begin_verify(&self) -> Verifying {
        let engines = self.engines.iter();
        let engines = engines.map(|(&hash, e)| Step::Engine(hash, e.record.genesis_sha256));
        let vats = self.vats.keys().map(|&vat| Step::Vat(vat));
        let steps = std::iter::once(Step::Base).chain(engines).chain(vats);
        Verifying {
            report: VerifyReport::default(),
            left: steps.chain([Step::Rest]).collect(),
        }
    }

    /// Does one step, between two frames. True when it was the last.
    pub fn verify_step(&mut self, verifying: &mut Verifying) -> Result<bool, OpenError> {
        self.shared.latch.check()?;
        if !self.is_between_frames() {
            let why = "verified while a frame or fold was under way";
            return Err(StoreError::Misuse(why).into());
        }
        let report = &mut verifying.report;
        let backend = self.shared.backend.clone();
        match verifying.left.pop_front() {
            Some(Step::Base) => {
                match report.take(check_version(&backend))? {
                    Some(true) => {}
                    Some(false) => report.add(Damage::new(VERSION_FILE, 0, "the file is missing")),
                    None => {}
                }
                if verify_catalog(&backend, &self.shared.catalog, report)? {
                    self.verify_journal(report)?;
                }
            }
            Some(Step::Engine(hash, genesis)) => self.verify_engine(hash, &genesis, report)?,
            // One that ended meanwhile has nothing to verify.
            Some(Step::Vat(vat)) => self.verify_vat(vat, report)?,
            Some(Step::Rest) => {
                self.verify_spills(report)?;
                self.verify_names(report)?;
            }
            None => {}
        }
        Ok(verifying.left.is_empty())
    }

    fn verify_engine(
        &self,
        hash: EngineHash,
        genesis: &[u8; 32],
        report: &mut VerifyReport,
    ) -> Result<(), OpenError> {
        // No vat named it any more, and it was removed meanwhile.
        if !self.engines.contains_key(&hash) {
            return Ok(());
        }
        let executable = self.engine(hash).map_err(OpenError::from);
        report.read_bytes += report
            .take(executable)?
            .map_or(0, |bytes| bytes.len() as u64);
        verify_genesis(&self.shared.backend, hash, genesis, report)
    }

    /// All sectors of all segments; then the frames since the fold, as recovery would.
    fn verify_journal(&self, report: &mut VerifyReport) -> Result<(), OpenError> {
        let catalog = self.shared.catalog.reader()?;
        let rows = report.take(Rows::of(catalog))?;
        let Some(rows) = rows else { return Ok(()) };
        let Some((segments, _)) = report.take(open_segments(&self.shared.backend, &rows))? else {
            return Ok(());
        };
        for segment in segments.values() {
            verify_segment(segment, &self.shared.key, report)?;
        }
        self.verify_frames(&segments, &rows, report)
    }

    fn verify_frames(
        &self,
        segments: &Segments<B::File>,
        rows: &Rows,
        report: &mut VerifyReport,
    ) -> Result<(), OpenError> {
        let scanned = scan::scan(segments, &self.shared.key, &rows.fold);
        let Some(found) = report.take(scanned)? else {
            return Ok(());
        };
        if found.sequence != self.applied.sequence {
            let file = segment::path(self.applied.segment);
            let (found, applied) = (found.sequence, self.applied.sequence);
            let what = format!("the journal ends with frame {found}, not {applied}");
            report.add(Damage::new(file, self.applied.offset, what));
        }
        Ok(())
    }

    fn verify_vat(&mut self, vat: VatId, report: &mut VerifyReport) -> Result<(), OpenError> {
        let Some(found) = self.vats.get(&vat) else {
            return Ok(());
        };
        let (page_limit, log) = (found.page_limit, found.log.clone());
        // Its deferred work is committed and not applied, so its image cannot be judged.
        if self.has_backlog(vat) {
            return Ok(());
        }
        let expected = self.expected_pages(vat).map_err(OpenError::from);
        let Some(expected) = report.take(expected)? else {
            return Ok(());
        };
        // A descriptor that was opened before would outlive the name of the file.
        if !self.is_written(vat) {
            self.images.forget(vat);
        }
        let mut damages = Vec::new();
        let checked = self
            .images
            .check(vat, page_limit, expected, |damage| damages.push(damage));
        damages.into_iter().for_each(|damage| report.add(damage));
        report.read_bytes += report.take(checked.map_err(OpenError::from))?.unwrap_or(0);
        let mut damages = Vec::new();
        report.read_bytes += self.logs.check(vat, &log, &mut damages)?;
        damages.into_iter().for_each(|damage| report.add(damage));
        self.trim_images();
        Ok(())
    }

    /// Checks the spill files that frames since the fold name, and reports lost writes.
    fn verify_spills(&self, report: &mut VerifyReport) -> Result<(), OpenError> {
        for record in &self.active.spills {
            let checked = spill::check(&self.shared, record).map_err(OpenError::from);
            report.read_bytes += report.take(checked)?.map_or(0, |_| record.bytes);
        }
        let lost = self.known_damages().into_iter();
        let lost = lost.filter(|damage| damage.file.starts_with(SPILL_DIR));
        lost.for_each(|damage| report.add(damage));
        Ok(())
    }

    /// Reports files whose names the store never gives.
    fn verify_names(&self, report: &mut VerifyReport) -> Result<(), OpenError> {
        for dir in [JOURNAL_DIR, HEAP_DIR, LOGS_DIR, ENGINES_DIR, SPILL_DIR] {
            let mut names = list(&self.shared.backend, dir)?;
            names.retain(|name| !is_name_in(dir, name));
            for name in names {
                report.add(Damage::new(
                    format!("{dir}/{name}"),
                    0,
                    "not a file of the store",
                ));
            }
        }
        Ok(())
    }
}

/// Whether the store gives such names in that folder.
fn is_name_in(dir: &str, name: &str) -> bool {
    match dir {
        JOURNAL_DIR => segment::number_of(name).is_some(),
        HEAP_DIR => name.parse::<VatId>().is_ok(),
        LOGS_DIR => logs::vat_of(name).is_some(),
        SPILL_DIR => spill::id_of(name).is_some(),
        _ => name
            .strip_suffix(".genesis")
            .unwrap_or(name)
            .parse::<EngineHash>()
            .is_ok(),
    }
}

/// Every sector; then every row; then what redb says of the whole.
fn verify_catalog<B: Backend>(
    backend: &B,
    catalog: &Catalog,
    report: &mut VerifyReport,
) -> Result<bool, OpenError> {
    let told = |source| read_error(CATALOG_FILE, source);
    let mut damages = Vec::new();
    let file = backend.open(CATALOG_FILE).map_err(told)?;
    report.read_bytes += check_sectors(&file, &mut damages).map_err(told)?;
    // redb refuses everything after the first damaged sector it meets.
    let is_sound = damages.is_empty();
    if is_sound {
        let read = catalog
            .reader()
            .and_then(|reader| reader.check_rows(&mut damages));
        report.take(read.map_err(OpenError::from))?;
        let copy = OverlayFile::over(Some(Box::new(file))).map_err(told)?;
        damages.extend(Catalog::check_copy(Arc::new(copy)).err());
    }
    damages.into_iter().for_each(|damage| report.add(damage));
    Ok(is_sound)
}

/// Every sector of a segment is zeros or rightly stamped, wherever the journal is.
fn verify_segment<F: File>(
    segment: &Segment<F>,
    key: &StampKey,
    report: &mut VerifyReport,
) -> Result<(), OpenError> {
    const CHUNK_BYTES: u64 = 1 << 20;
    let mut at = FIRST_FRAME;
    while at < segment.bytes {
        let len = (segment.bytes - at).min(CHUNK_BYTES);
        let bytes = scan::read_bytes(segment, at, len)?;
        for (place, bytes) in (0u64..).zip(bytes.as_chunks::<SECTOR_BYTES>().0) {
            if sector::classify(key, bytes) == Sector::Bad {
                let offset = at + place * SECTOR_BYTES as u64;
                let what = "a sector is neither a frame's nor empty";
                report.add(Damage::new(segment::path(segment.number), offset, what));
            }
        }
        at += len;
    }
    report.read_bytes += segment.bytes;
    Ok(())
}

fn verify_genesis<B: Backend>(
    backend: &B,
    hash: EngineHash,
    sha256: &[u8; 32],
    report: &mut VerifyReport,
) -> Result<(), OpenError> {
    let path = engines::genesis_path(hash);
    let bytes = engines::read_file(backend, &path, GENESIS_FILE_BYTES_MAX);
    let Some(bytes) = report.take(bytes.map_err(OpenError::from))? else {
        return Ok(());
    };
    report.read_bytes += bytes.len() as u64;
    report.take(Genesis::parse(&bytes, &path, sha256))?;
    Ok(())
}
