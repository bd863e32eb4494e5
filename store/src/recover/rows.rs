//! The store's own rows of the catalog, read at open.

use super::folder::list;
use super::scan::Segments;
use crate::backend::Backend;
use crate::catalog::{Catalog, Reader, decode_row, meta, row_damage, table};
use crate::codec::{
    self, EngineRecord, FoldRecord, LogRecord, OpenRecord, SegmentRecord, StoreRecord, VatRecord,
};
use crate::engines::Engine;
use crate::error::OpenError;
use crate::ids::{EngineHash, VatId};
use crate::journal::segment::{self, JOURNAL_DIR};
use crate::logs::LOG_BLOCK_BYTES;
use crate::vat::{Phase, Vat};
use std::collections::BTreeMap;

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
            extended: 0,
            phase: Phase::Live,
            damaged: None,
            log: logs.remove(&vat).unwrap_or_default(),
            log_staged: 0,
            log_promised: 0,
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

/// Opens the segments that the catalog registers, and returns the names of other ones.
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
        // What an interrupted creation left may be removed; a segment of another store may not.
        segment::refuse_foreign(backend, &rows.store.store_id, name)?;
    }
    Ok((segments, names))
}
