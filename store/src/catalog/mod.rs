//! The catalog: ordered rows in redb, each with a checksum of its own.
//!
//! Promises: every transaction uses quick repair, so that opening after a kill needs no walk over
//! the file (C1). Every row that is read is checked against its CRC-32 of table, key and value,
//! because redb returns flipped bytes as if nothing were wrong. A tally of rows and checksums lets
//! `verify` notice a row that vanished. A panic inside redb over damaged bytes is caught and
//! reported as damage. Does not know what a row means.
//!
//! ```text
//! redb table "rows"   key: table u8, key bytes      value: crc u32 LE, value bytes
//! crc = CRC-32 of table u8, key length u32 LE, key bytes, value bytes
//! ```

mod guard;
mod storage;

use crate::backend::File;
use crate::ballast::Ballast;
use crate::codec::{self, TallyRecord};
use crate::error::{Damage, StoreError};
use crate::latch::Latch;
use crate::write_throttle::WriteThrottle;
use guard::{Guard, Held};
use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable, Table, TableDefinition};
use std::ops::Bound;
use std::sync::Arc;

pub(crate) use storage::check as check_sectors;

/// The file's name.
pub(crate) const CATALOG_FILE: &str = "catalog.redb";
const ROWS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("rows");
/// Rows are small, and hot ones are in the memtables; this is enough for branch pages.
const CACHE_BYTES: usize = 16 << 20;

/// The store's own tables, numbered from the top so that more can be added below.
pub(crate) mod table {
    /// One row each of `StoreRecord`, `FoldRecord`, `OpenRecord`, `TallyRecord`.
    pub(crate) const META: u8 = 255;
    /// Vat to `VatRecord`.
    pub(crate) const VATS: u8 = 254;
    /// Vat to `LogRecord`.
    pub(crate) const LOGS: u8 = 253;
    /// Engine hash to `EngineRecord`.
    pub(crate) const ENGINES: u8 = 252;
    /// Segment number (big-endian) to `SegmentRecord`.
    pub(crate) const SEGMENTS: u8 = 251;
    /// Vat and page group (big-endian) to the group's page checksums.
    pub(crate) const PAGES: u8 = 250;
    /// Vat to `LostWriteRecord`.
    pub(crate) const LOST_WRITES: u8 = 249;
}

/// Keys in `table::META`.
pub(crate) mod meta {
    pub(crate) const STORE: &[u8] = b"store";
    pub(crate) const FOLD: &[u8] = b"fold";
    pub(crate) const OPEN: &[u8] = b"open";
    pub(crate) const TALLY: &[u8] = b"tally";
}

/// The open catalog.
#[derive(Debug)]
pub(crate) struct Catalog {
    database: Held<Database>,
    guard: Arc<Guard>,
}

/// A view of the rows as of one transaction.
#[derive(Debug)]
pub(crate) struct Reader {
    table: Held<ReadOnlyTable<&'static [u8], &'static [u8]>>,
    guard: Arc<Guard>,
}

/// A row as a scan returns it: key without the table, and value.
pub(crate) type KeyValue = (Vec<u8>, Vec<u8>);

impl Catalog {
    /// Opens the catalog, or creates it in an empty file.
    pub(crate) fn open<F: File>(
        file: F,
        latch: Arc<Latch>,
        ballast: Arc<Ballast<F>>,
        throttle: Arc<WriteThrottle>,
    ) -> Result<Catalog, StoreError> {
        let guard = Guard::new(latch.clone());
        let database = guard.run(|| Ok(create(file, latch, ballast, throttle)?))?;
        Ok(Catalog {
            database: guard.hold(database),
            guard,
        })
    }

    /// A view of what is committed now. A catalog to which nothing was ever written has no view.
    pub(crate) fn reader(&self) -> Result<Reader, StoreError> {
        self.guard.check()?;
        let table = self
            .guard
            .run(|| Ok(self.database.begin_read()?.open_table(ROWS)?))?;
        Ok(Reader {
            table: self.guard.hold(table),
            guard: self.guard.clone(),
        })
    }

    /// Makes all changes of `fill` durable in one transaction.
    pub(crate) fn write(
        &self,
        fill: impl FnOnce(&mut Batch<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.guard.check()?;
        let transaction = self.guard.run(|| {
            let mut transaction = self.database.begin_write()?;
            transaction.set_quick_repair(true);
            Ok(transaction)
        })?;
        let transaction = self.guard.hold(transaction);
        let filled = self.guard.run(|| {
            let table = transaction.open_table(ROWS)?;
            let tally = TallyRecord::default();
            Ok(Batch {
                table,
                guard: &self.guard,
                tally,
            }
            .fill(fill))
        });
        let filled = filled.and_then(|filled| filled);
        let ended = match &filled {
            Ok(()) => self.guard.run(|| Ok(transaction.take().commit()?)),
            Err(_) if self.guard.has_panicked() => Ok(()),
            Err(_) => self.guard.run(|| Ok(transaction.take().abort()?)),
        };
        filled
            .and(ended)
            .inspect_err(|error| self.guard.latch(error))
    }

    /// Checks a copy of the file the way redb does. redb updates the file it checks, so it never
    /// gets the file itself.
    pub(crate) fn check_copy<F: File>(file: F) -> Result<(), Damage> {
        let latch = Arc::new(Latch::default());
        let guard = Guard::new(latch.clone());
        let check = || {
            let ballast = Arc::new(Ballast::none());
            let mut copy =
                guard.hold(guard.run(|| Ok(create(file, latch, ballast, Arc::default())?))?);
            guard.run(|| Ok(copy.check_integrity()?))
        };
        let what = match check() {
            Ok(true) => return Ok(()),
            Ok(false) => "the trees or the allocator's state are not consistent".to_owned(),
            Err(StoreError::Damaged(damage)) => return Err(damage),
            Err(error) => error.to_string(),
        };
        Err(Damage::new(CATALOG_FILE, 0, what))
    }
}

fn create<F: File>(
    file: F,
    latch: Arc<Latch>,
    ballast: Arc<Ballast<F>>,
    throttle: Arc<WriteThrottle>,
) -> Result<Database, redb::DatabaseError> {
    redb::Builder::new()
        .set_cache_size(CACHE_BYTES)
        .create_with_backend(storage::Storage::new(file, latch, ballast, throttle))
}

impl Reader {
    pub(crate) fn get(&self, table: u8, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let full = full_key(table, key);
        self.guard
            .run(|| {
                let Some(guard) = self.table.get(&full[..])? else {
                    return Ok(None);
                };
                Ok(Some(
                    checked_value(&full, guard.value()).map(<[u8]>::to_vec),
                ))
            })?
            .transpose()
    }

    /// Rows of one table from `start` on whose keys begin with `prefix`, in order, at most `limit`.
    pub(crate) fn scan(
        &self,
        table: u8,
        prefix: &[u8],
        start: Bound<&[u8]>,
        limit: usize,
    ) -> Result<Vec<KeyValue>, StoreError> {
        let full_prefix = full_key(table, prefix);
        let full_start = match start {
            Bound::Included(key) => Bound::Included(full_key(table, key)),
            Bound::Excluded(key) => Bound::Excluded(full_key(table, key)),
            Bound::Unbounded => Bound::Included(full_prefix.clone()),
        };
        let from = match &full_start {
            Bound::Included(key) if *key < full_prefix => Bound::Included(full_prefix.clone()),
            Bound::Excluded(key) if *key < full_prefix => Bound::Included(full_prefix.clone()),
            other => other.clone(),
        };
        self.guard.run(|| {
            let mut rows = Vec::new();
            let from = from.as_ref().map(Vec::as_slice);
            for row in self.table.range::<&[u8]>((from, Bound::Unbounded))? {
                let (key, value) = row?;
                if rows.len() == limit || !key.value().starts_with(&full_prefix) {
                    break;
                }
                match checked_value(key.value(), value.value()) {
                    Ok(value) => {
                        let key = key.value().get(1..).unwrap_or_default();
                        rows.push((key.to_vec(), value.to_vec()));
                    }
                    Err(error) => return Ok(Err(error)),
                }
            }
            Ok(Ok(rows))
        })?
    }

    /// All rows of one table.
    pub(crate) fn all(&self, table: u8) -> Result<Vec<KeyValue>, StoreError> {
        self.scan(table, &[], Bound::Unbounded, usize::MAX)
    }

    /// Reads every row and adds damage to `report`. Returns the bytes read.
    pub(crate) fn check_rows(&self, report: &mut Vec<Damage>) -> Result<u64, StoreError> {
        self.guard.run(|| {
            let (mut bytes, mut tally, mut claimed) = (0, TallyRecord::default(), None);
            for row in self.table.iter()? {
                let (key, value) = row?;
                bytes += (key.value().len() + value.value().len()) as u64;
                match checked_value(key.value(), value.value()) {
                    Ok(value) if key.value() == full_key(table::META, meta::TALLY) => {
                        claimed = codec::decode::<TallyRecord>(value).ok();
                    }
                    Ok(_) => tally.add(value.value()),
                    Err(StoreError::Damaged(damage)) => report.push(damage),
                    Err(error) => return Ok(Err(error)),
                }
            }
            if claimed != Some(tally) && report.is_empty() {
                let what = format!("{tally:?} found, {claimed:?} written: rows are missing");
                report.push(Damage::new(CATALOG_FILE, 0, what));
            }
            Ok(Ok(bytes))
        })?
    }
}

/// Changes of one transaction.
pub(crate) struct Batch<'t> {
    table: Table<'t, &'static [u8], &'static [u8]>,
    guard: &'t Guard,
    tally: TallyRecord,
}

impl Batch<'_> {
    fn fill(
        &mut self,
        fill: impl FnOnce(&mut Self) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if let Some(bytes) = self.get(table::META, meta::TALLY)? {
            self.tally = decode_row(table::META, meta::TALLY, &bytes)?;
        }
        fill(self)?;
        let tally = codec::encode(&self.tally);
        let full = full_key(table::META, meta::TALLY);
        let row = row_bytes(&full, &tally);
        self.table
            .insert(&full[..], &row[..])
            .map_err(|error| self.guard.told(error))?;
        Ok(())
    }

    pub(crate) fn get(&self, table: u8, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let full = full_key(table, key);
        let found = self
            .table
            .get(&full[..])
            .map_err(|error| self.guard.told(error))?;
        found
            .map(|guard| checked_value(&full, guard.value()).map(<[u8]>::to_vec))
            .transpose()
    }

    /// Sets a row, or deletes it.
    pub(crate) fn put(
        &mut self,
        table: u8,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        let full = full_key(table, key);
        let told = |error: redb::StorageError| self.guard.told(error);
        let before = match value {
            Some(value) => {
                let row = row_bytes(&full, value);
                self.tally.add(&row);
                self.table.insert(&full[..], &row[..]).map_err(told)?
            }
            None => self.table.remove(&full[..]).map_err(told)?,
        };
        if let Some(before) = before {
            self.tally.subtract(before.value());
        }
        Ok(())
    }

    /// Deletes all rows of a table whose keys begin with `prefix`.
    pub(crate) fn delete_prefix(&mut self, table: u8, prefix: &[u8]) -> Result<(), StoreError> {
        let full = full_key(table, prefix);
        let told = |error: redb::StorageError| self.guard.told(error);
        let mut keys = Vec::new();
        for row in self.table.range::<&[u8]>(&full[..]..).map_err(told)? {
            let (key, _) = row.map_err(told)?;
            match key.value().strip_prefix(&full[..]) {
                Some(_) => keys.push(key.value().get(1..).unwrap_or_default().to_vec()),
                None => break,
            }
        }
        keys.iter().try_for_each(|key| self.put(table, key, None))
    }

    pub(crate) fn put_record<T: bincode::Encode>(
        &mut self,
        table: u8,
        key: &[u8],
        record: &T,
    ) -> Result<(), StoreError> {
        self.put(table, key, Some(&codec::encode(record)))
    }
}

impl TallyRecord {
    fn add(&mut self, row: &[u8]) {
        self.rows = self.rows.wrapping_add(1);
        self.sum = self.sum.wrapping_add(claimed_crc(row));
    }

    fn subtract(&mut self, row: &[u8]) {
        self.rows = self.rows.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(claimed_crc(row));
    }
}

/// Decodes a row of the store's own.
pub(crate) fn decode_row<T: bincode::Decode<()>>(
    table: u8,
    key: &[u8],
    bytes: &[u8],
) -> Result<T, StoreError> {
    codec::decode(bytes).map_err(|error| row_damage(&full_key(table, key), error).into())
}

/// Damage of one row.
pub(crate) fn row_damage(full_key: &[u8], what: impl std::fmt::Display) -> Damage {
    let (table, key) = full_key
        .split_first()
        .map_or((0, &[][..]), |(table, key)| (*table, key));
    let what = format!("row {} of table {table}: {what}", key.escape_ascii());
    Damage::new(CATALOG_FILE, 0, what)
}

fn full_key(table: u8, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(key.len() + 1);
    full.push(table);
    full.extend_from_slice(key);
    full
}

fn row_bytes(full_key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(value.len() + 4);
    row.extend_from_slice(&crc(full_key, value).to_le_bytes());
    row.extend_from_slice(value);
    row
}

fn crc(full_key: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    let (table, key) = full_key.split_at(full_key.len().min(1));
    hasher.update(table);
    // Keys are bounded by ROW_KEY_BYTES_MAX; one read from disk that is longer is wrong anyway.
    hasher.update(&(key.len() as u32).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    hasher.finalize()
}

/// The checksum that a row has, spread so that exchanging two rows for two others is noticed.
fn claimed_crc(row: &[u8]) -> u64 {
    let crc = row
        .first_chunk::<4>()
        .map_or(0, |crc| u32::from_le_bytes(*crc));
    u64::from(crc)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(17)
}

fn checked_value<'r>(full_key: &[u8], row: &'r [u8]) -> Result<&'r [u8], StoreError> {
    let Some((claimed, value)) = row.split_first_chunk::<4>() else {
        return Err(row_damage(full_key, "too short for its checksum").into());
    };
    if crc(full_key, value) == u32::from_le_bytes(*claimed) {
        Ok(value)
    } else {
        Err(row_damage(full_key, "the checksum does not match").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;
    use crate::backend::memory::MemoryBackend;

    fn catalog(backend: &MemoryBackend) -> Catalog {
        let file = backend
            .open(CATALOG_FILE)
            .or_else(|_| backend.create(CATALOG_FILE))
            .unwrap();
        let ballast = Arc::new(Ballast::none());
        Catalog::open(file, Arc::default(), ballast, Arc::default()).unwrap()
    }

    #[test]
    fn rows_are_found_again_in_order_and_by_prefix() {
        let backend = MemoryBackend::new();
        let first = catalog(&backend);
        first
            .write(|batch| {
                for key in ["b1", "a2", "a1", "c"] {
                    batch.put(3, key.as_bytes(), Some(key.as_bytes()))?;
                }
                batch.put(4, b"a", Some(b"other table"))
            })
            .unwrap();
        first
            .write(|batch| {
                batch.put(3, b"c", None)?;
                batch.put(3, b"never", None)?;
                batch.delete_prefix(3, b"b")
            })
            .unwrap();
        drop(first);
        let second = catalog(&backend);
        let reader = second.reader().unwrap();
        assert_eq!(reader.get(3, b"a1").unwrap().unwrap(), b"a1");
        assert_eq!(reader.get(3, b"c").unwrap(), None);
        let keys = |rows: Vec<KeyValue>| rows.into_iter().map(|row| row.0).collect::<Vec<_>>();
        assert_eq!(keys(reader.all(3).unwrap()), [b"a1", b"a2"]);
        let after = Bound::Excluded(&b"a1"[..]);
        assert_eq!(keys(reader.scan(3, b"a", after, 9).unwrap()), [b"a2"]);
        assert_eq!(
            keys(reader.scan(3, b"a", Bound::Unbounded, 1).unwrap()),
            [b"a1"]
        );
        let mut damages = Vec::new();
        assert!(reader.check_rows(&mut damages).unwrap() > 0);
        assert_eq!(damages, []);
    }

    #[test]
    fn a_flipped_row_and_a_vanished_row_are_noticed() {
        let backend = MemoryBackend::new();
        let first = catalog(&backend);
        first
            .write(|batch| batch.put(3, b"key", Some(b"a value to be found")))
            .unwrap();
        // Behind the tally's back, as a damaged tree would lose it.
        let transaction = first.database.begin_write().unwrap();
        let full = full_key(4, b"x");
        transaction
            .open_table(ROWS)
            .unwrap()
            .insert(&full[..], &row_bytes(&full, b"")[..])
            .unwrap();
        transaction.commit().unwrap();
        let mut damages = Vec::new();
        first.reader().unwrap().check_rows(&mut damages).unwrap();
        assert!(damages[0].what.contains("rows are missing"), "{damages:?}");
        let transaction = first.database.begin_write().unwrap();
        let full = full_key(3, b"key");
        let mut row = row_bytes(&full, b"a value to be found");
        row[9] ^= 1;
        transaction
            .open_table(ROWS)
            .unwrap()
            .insert(&full[..], &row[..])
            .unwrap();
        transaction.commit().unwrap();
        let error = first.reader().unwrap().get(3, b"key").unwrap_err();
        assert!(matches!(error, StoreError::Damaged(_)), "{error}");
    }
}
