//! A model of the store, and a driver that keeps store and model in step.
//!
//! The model is three `BTreeMap`s; what it says after each acknowledged commit is what must be
//! found again, whatever happened since.

use kenvat_store::backend::memory::{Crash, MemoryBackend};
use kenvat_store::{
    Delta, EngineHash, Genesis, ImageError, Options, PAGE_BYTES, Part, Row, SpillFile,
    SpillFileError, Store, VatId, push_run, push_zeros,
};
use std::collections::{BTreeMap, VecDeque};

pub type MemoryStore = Store<MemoryBackend>;

/// Pages of a test heap.
pub const PAGES: u32 = 20;

/// What the store should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    pub vats: BTreeMap<u64, VatModel>,
    pub rows: BTreeMap<(u8, Vec<u8>), Vec<u8>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VatModel {
    /// Words that are not zero, by page and place.
    pub words: BTreeMap<(u32, usize), u64>,
    pub log: Vec<u8>,
}

/// One run of words: page, first word, values. Without values: page, and how many pages are zeros.
pub type RunOf = (u32, usize, Vec<u64>);

/// A part, as the model understands it.
#[derive(Clone, Debug)]
pub enum Op {
    Create(u64),
    Heap(u64, Vec<RunOf>),
    /// The same in a spill file, one chunk each.
    Spill(u64, Vec<Vec<RunOf>>),
    /// A spill file with anything it may hold.
    Large(u64, Large),
    Log(u64, Vec<u8>),
    Row(u8, Vec<u8>, Option<Vec<u8>>),
    Terminate(u64),
}

/// The content of a spill file: parts of a delta, rows, log.
#[derive(Clone, Debug, Default)]
pub struct Large {
    pub chunks: Vec<Vec<RunOf>>,
    pub rows: Vec<(u8, Vec<u8>, Vec<u8>)>,
    pub log: Vec<u8>,
}

/// Files small enough that a few frames roll, fold and fill them.
pub fn tiny() -> Options {
    Options {
        segment_bytes: 8 * 512,
        fold_bytes: 6 * 512,
        journal_bytes_max: 64 * 512,
        cached_pages_max: 3,
        open_images_max: 2,
        log_file_bytes: 64 << 10,
        ballast_bytes: 2 << 20,
        ..Options::default()
    }
}

pub fn delta(runs: &[RunOf]) -> Delta {
    let mut bytes = Vec::new();
    for (page, first, words) in runs {
        if words.is_empty() {
            push_zeros(&mut bytes, *page..*page + *first as u32);
            continue;
        }
        let words: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        push_run(&mut bytes, *page, *first, &words);
    }
    Delta::parse(bytes, PAGES).unwrap()
}

pub fn genesis_runs() -> Vec<RunOf> {
    vec![(0, 0, vec![0xfeed]), (2, 100, vec![1, 2, 3])]
}

pub fn put_engine(store: &mut MemoryStore) -> Result<EngineHash, String> {
    let genesis = Genesis::from_delta(&delta(&genesis_runs())).unwrap();
    store
        .put_engine(b"a worker", &genesis)
        .map_err(|error| error.to_string())
}

impl Model {
    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::Create(vat) => {
                let mut model = VatModel::default();
                genesis_runs().iter().for_each(|run| model.write(run));
                self.vats.insert(*vat, model);
            }
            Op::Heap(vat, runs) => {
                let vat = self.vats.get_mut(vat).unwrap();
                runs.iter().for_each(|run| vat.write(run));
            }
            Op::Spill(vat, chunks) => {
                let vat = self.vats.get_mut(vat).unwrap();
                chunks.iter().flatten().for_each(|run| vat.write(run));
            }
            Op::Large(vat, Large { chunks, rows, log }) => {
                self.apply(&Op::Spill(*vat, chunks.clone()));
                self.apply(&Op::Log(*vat, log.clone()));
                for (table, key, value) in rows {
                    self.rows.insert((*table, key.clone()), value.clone());
                }
            }
            Op::Log(vat, bytes) => self.vats.get_mut(vat).unwrap().log.extend(bytes),
            Op::Row(table, key, Some(value)) => {
                self.rows.insert((*table, key.clone()), value.clone());
            }
            Op::Row(table, key, None) => {
                self.rows.remove(&(*table, key.clone()));
            }
            Op::Terminate(vat) => {
                self.vats.remove(vat);
            }
        }
    }
}

impl VatModel {
    fn write(&mut self, (page, first, words): &RunOf) {
        if words.is_empty() {
            let pages = *page..*page + *first as u32;
            self.words.retain(|(at, _), _| !pages.contains(at));
        }
        for (place, word) in (*first..).zip(words) {
            match word {
                0 => self.words.remove(&(*page, place)),
                word => self.words.insert((*page, place), *word),
            };
        }
    }
}

pub fn part(op: &Op, engine: EngineHash) -> Part {
    match op.clone() {
        Op::Create(vat) => Part::Create {
            vat: VatId(vat),
            engine,
            page_limit: PAGES,
        },
        Op::Heap(vat, runs) => Part::Heap {
            vat: VatId(vat),
            delta: delta(&runs),
        },
        Op::Spill(..) | Op::Large(..) => unreachable!("made by the driver"),
        Op::Log(vat, bytes) => Part::Log {
            vat: VatId(vat),
            bytes,
        },
        Op::Row(table, key, value) => Part::Row(Row { table, key, value }),
        Op::Terminate(vat) => Part::Terminate { vat: VatId(vat) },
    }
}

/// Everything a store holds, every image checked and read. Logs from their oldest byte.
pub fn contents(store: &mut MemoryStore) -> Result<Model, String> {
    let mut model = Model::default();
    for vat in store.vats() {
        let image = store.image(vat.id).map_err(|error| error.to_string())?;
        let mut bytes = vec![0; image.page_limit as usize * PAGE_BYTES];
        image
            .file
            .read_at(0, &mut bytes)
            .map_err(|error| error.to_string())?;
        let mut found = VatModel::default();
        for (place, word) in bytes.as_chunks::<8>().0.iter().enumerate() {
            if *word != [0; 8] {
                let at = ((place / 512) as u32, place % 512);
                found.words.insert(at, u64::from_le_bytes(*word));
            }
        }
        let log = store
            .log_read(vat.id, 0, usize::MAX)
            .map_err(|error| error.to_string())?;
        found.log = log.bytes;
        model.vats.insert(vat.id.0, found);
    }
    for table in 0..4 {
        for (key, value) in store.scan(table, &[]).map_err(|error| error.to_string())? {
            model.rows.insert((table, key), value);
        }
    }
    Ok(model)
}

/// What was acknowledged, and what may have become durable since.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub acknowledged: Model,
    pub in_flight: Option<Model>,
    pub closing_operations: u64,
}

impl Known {
    /// The state found is one of those it may be.
    pub fn allows(&self, found: &Model) -> bool {
        *found == self.acknowledged || Some(found) == self.in_flight.as_ref()
    }
}

/// A store and what is known of it.
pub struct Driver {
    pub store: MemoryStore,
    pub known: Known,
    pub engine: EngineHash,
}

impl Driver {
    pub fn stage(&mut self, ops: &[Op]) -> Result<(), String> {
        let spills = self.spills(ops).map_err(|error| error.to_string())?;
        self.stage_with(ops, spills)
    }

    /// The durable spill files that a commit needs.
    pub fn spills(&mut self, ops: &[Op]) -> Result<VecDeque<SpillFile>, SpillFileError> {
        let spills = ops.iter().filter_map(|op| match op {
            Op::Spill(vat, chunks) => Some(self.spill(*vat, chunks)),
            Op::Large(vat, large) => Some(self.large(*vat, large)),
            _ => None,
        });
        spills.collect()
    }

    fn stage_with(&mut self, ops: &[Op], mut spills: VecDeque<SpillFile>) -> Result<(), String> {
        let mut model = self.known.acknowledged.clone();
        for op in ops {
            let part = match op {
                Op::Spill(..) | Op::Large(..) => {
                    Part::Spill(spills.pop_front().expect("one for each"))
                }
                op => part(op, self.engine),
            };
            self.store.stage(part).map_err(|error| error.to_string())?;
            model.apply(op);
        }
        self.known.in_flight = Some(model);
        Ok(())
    }

    pub fn commit(&mut self, ops: &[Op]) -> Result<(), String> {
        let spills = self.spills(ops).map_err(|error| error.to_string())?;
        self.commit_with(ops, spills)
    }

    pub fn commit_with(&mut self, ops: &[Op], spills: VecDeque<SpillFile>) -> Result<(), String> {
        self.stage_with(ops, spills)?;
        let sealed = self.store.seal().map_err(|error| error.to_string())?;
        let durable = sealed.unwrap().write().map_err(|error| error.to_string())?;
        self.known.acknowledged = self.known.in_flight.take().unwrap();
        self.store
            .apply(durable)
            .map_err(|error| error.to_string())?;
        self.finish_spills()
    }

    pub fn spill(&mut self, vat: u64, chunks: &[Vec<RunOf>]) -> Result<SpillFile, SpillFileError> {
        let chunks = chunks.to_vec();
        self.large(
            vat,
            &Large {
                chunks,
                ..Large::default()
            },
        )
    }

    pub fn large(&mut self, vat: u64, large: &Large) -> Result<SpillFile, SpillFileError> {
        let store = &mut self.store;
        let is_there = store.vat(VatId(vat)).is_some();
        let mut writer = store.begin_spill(VatId(vat), PAGES)?;
        for chunk in &large.chunks {
            writer.push(delta(chunk).as_bytes())?;
        }
        for (table, key, value) in &large.rows {
            writer.push_row(*table, key.clone(), value)?;
        }
        writer.push_log(&large.log)?;
        if large.chunks.is_empty() {
            return writer.finish(None);
        }
        let base = match is_there {
            true => store.spill_base(VatId(vat)).map_err(|error| match error {
                ImageError::Store(error) => SpillFileError::Store(error),
                other => panic!("{other}"),
            })?,
            false => store.spill_base_of(self.engine)?,
        };
        writer.finish(Some(&base))
    }

    pub fn finish_spills(&mut self) -> Result<(), String> {
        loop {
            let jobs = self.store.take_spill_jobs();
            if jobs.is_empty() {
                return Ok(());
            }
            for job in jobs {
                let applied = job.run().map_err(|error| error.to_string())?;
                let finished = self.store.finish_spill(applied);
                finished.map_err(|error| error.to_string())?;
            }
        }
    }

    /// A fold with commits while it runs.
    pub fn fold_around(&mut self, before: &[Op], after: &[Op]) -> Result<(), String> {
        let told = |error: kenvat_store::StoreError| error.to_string();
        let fold = self.store.begin_fold().map_err(told)?;
        self.commit(before)?;
        let folded = fold.map(|fold| fold.run()).transpose().map_err(told)?;
        self.commit(after)?;
        match folded {
            Some(folded) => self.store.finish_fold(folded).map_err(told),
            None => Ok(()),
        }
    }
}

/// The ways a disk may come back, some seeds each.
pub fn crashes(seeds: u64) -> Vec<Crash> {
    let mut list = vec![Crash::Lost, Crash::Kept];
    for seed in 0..seeds {
        list.push(Crash::Torn { seed });
        list.push(Crash::Reordered { seed });
    }
    list
}

/// Opens, compares with what is known, verifies, and gives back the open store.
pub fn reopen(disk: &MemoryBackend, known: &Known) -> Result<(MemoryStore, Model), String> {
    let (mut store, _) = Store::open(disk.clone(), tiny()).map_err(|e| format!("open: {e}"))?;
    let found = contents(&mut store)?;
    if !known.allows(&found) {
        return Err(format!("found {found:?}\nknown {known:?}"));
    }
    let report = store.verify().map_err(|error| format!("verify: {error}"))?;
    if !report.damages.is_empty() {
        return Err(format!("verify: {:?}", report.damages));
    }
    Ok((store, found))
}

/// The same for its result alone.
pub fn check(disk: &MemoryBackend, known: &Known) -> Result<Model, String> {
    reopen(disk, known).map(|(_, found)| found)
}

/// The open store goes on, over segments used before, and what it then commits is found again after
/// the power fails with the store open.
pub fn goes_on(disk: &MemoryBackend, mut store: MemoryStore, found: &Model) -> Result<(), String> {
    let engine = put_engine(&mut store)?;
    let vat = store.next_vat_id().0;
    if found.vats.contains_key(&vat) {
        return Err(format!("vat id {vat} given out twice"));
    }
    let known = Known {
        acknowledged: found.clone(),
        ..Known::default()
    };
    let mut driver = Driver {
        store,
        known,
        engine,
    };
    let log = Op::Log(vat, b"again".to_vec());
    driver.commit(&[
        Op::Create(vat),
        Op::Heap(vat, vec![(1, 7, vec![7; 90])]),
        log,
    ])?;
    for n in 0..8 {
        driver.commit(&[Op::Heap(vat, vec![(n % PAGES, 9, vec![u64::from(n); 100])])])?;
    }
    let crashed = disk.crash(Crash::Lost);
    reopen(&crashed, &driver.known)
        .map(|_| ())
        .map_err(|error| format!("at last: {error}"))
}
