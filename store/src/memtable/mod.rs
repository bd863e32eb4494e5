//! The memtable: what frames changed in the catalog since the last fold, kept in memory until the
//! next fold writes it.
//!
//! There are at most two above the catalog: the *immutable* one, which a fold is writing, and the
//! *active* one, which frames go on changing (C2). A row is looked up in the active one, then in
//! the immutable one, then in the catalog. Every change is absolute, so the row found first is the
//! newest.

pub(crate) mod rows;

use self::rows::{RowRef, UnsortedRows};
use crate::codec::SpillRecord;
use crate::ids::VatId;
use crate::page_rows::{GROUP_PAGES, ROW_BYTES as GROUP_ROW_BYTES};
use crate::spill::SpilledRow;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::{Bound, RangeBounds};

/// Table and key, as in the catalog.
pub(crate) type RowKey = (u8, Vec<u8>);

/// The value of a row, or where it is until a fold writes it to the catalog. Large values are not
/// kept in memory meanwhile (J7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Here(Cow<'a, [u8]>),
    Spill(SpilledRow),
}

#[derive(Debug, Default)]
pub(crate) struct Memtable {
    /// Rows of the engine, and the store's own rows about vats.
    rows: UnsortedRows,
    /// Rows whose value is in a spill file. An entry of `rows` with the same key is older, and
    /// counts if the file turns out to be damaged.
    spilled_rows: BTreeMap<RowKey, SpilledRow>,
    /// Page checksums as of the newest frame that names the page (I3).
    pub pages: HashMap<VatId, HashMap<u32, u32>>,
    /// Images and logs that were written, for a fold to sync.
    pub images: BTreeSet<VatId>,
    pub logs: BTreeSet<VatId>,
    pub terminated: Vec<VatId>,
    /// Spill files that are applied. They are removed once their images are synced and their rows
    /// are in the catalog.
    pub spills: Vec<SpillRecord>,
    /// Directory entries were made in `heap/` or `logs/`.
    pub entries_made: bool,
}

impl Memtable {
    /// The row, if this memtable has it: `Some(None)` is a tombstone.
    pub(crate) fn row(&self, table: u8, key: &[u8]) -> Option<Option<Value<'_>>> {
        if let Some(row) = self.spilled_row(table, key) {
            return Some(Some(Value::Spill(*row)));
        }
        let row = self.row_in_memory(table, key)?;
        Some(row.map(|value| Value::Here(value.into())))
    }

    fn spilled_row(&self, table: u8, key: &[u8]) -> Option<&SpilledRow> {
        // A tuple of borrowed parts cannot be looked up without a copy; such rows are rare.
        match self.spilled_rows.is_empty() {
            true => None,
            false => self.spilled_rows.get(&(table, key.to_vec())),
        }
    }

    /// Sets a row, or deletes it if there is no value.
    pub(crate) fn put(&mut self, table: u8, key: &[u8], value: Option<&[u8]>) {
        if !self.spilled_rows.is_empty() {
            self.spilled_rows.remove(&(table, key.to_vec()));
        }
        self.rows.insert(table, key, value);
    }

    /// Sets a row whose value is in a spill file.
    pub(crate) fn put_spilled(&mut self, key: RowKey, row: SpilledRow) {
        self.spilled_rows.insert(key, row);
    }

    /// Sets many rows.
    pub(crate) fn put_all(&mut self, rows: UnsortedRows) {
        if self.rows.is_empty() && self.spilled_rows.is_empty() {
            self.rows = rows;
            return;
        }
        for (table, key, value) in rows.iter() {
            self.put(table, key, value);
        }
    }

    /// Rows whose values are in memory, sorted by table and key.
    pub(crate) fn rows_in_memory(&self) -> Vec<RowRef<'_>> {
        let mut rows = self.rows.sorted();
        rows.retain(|(table, key, _)| self.spilled_row(*table, key).is_none());
        rows
    }

    /// Rows whose values are in spill files.
    pub(crate) fn rows_spilled(&self) -> impl Iterator<Item = (&RowKey, &SpilledRow)> {
        self.spilled_rows.iter()
    }

    /// The row without regard to a value in a spill file.
    pub(crate) fn row_in_memory(&self, table: u8, key: &[u8]) -> Option<Option<&[u8]>> {
        self.rows.get(table, key)
    }

    /// Bytes of the spill files that a fold would remove.
    pub(crate) fn spill_bytes(&self) -> u64 {
        self.spills.iter().map(|spill| spill.bytes).sum()
    }

    pub(crate) fn page(&self, vat: VatId, page: u32) -> Option<u32> {
        self.pages.get(&vat)?.get(&page).copied()
    }

    /// Puts the rows of this memtable over `found`.
    pub(crate) fn lay_over<'a>(
        &'a self,
        table: u8,
        prefix: &[u8],
        start: Bound<&[u8]>,
        found: &mut BTreeMap<Vec<u8>, Option<Value<'a>>>,
    ) {
        let wanted = (start, Bound::Unbounded);
        let is_wanted = |key: &[u8]| key.starts_with(prefix) && wanted.contains(key);
        for (_, key, value) in self.rows.of_table(table) {
            if is_wanted(key) {
                found.insert(key.to_vec(), value.map(|value| Value::Here(value.into())));
            }
        }
        for ((of_table, key), row) in &self.spilled_rows {
            if *of_table == table && is_wanted(key) {
                found.insert(key.clone(), Some(Value::Spill(*row)));
            }
        }
    }

    /// Number and bytes of the rows that a fold will write; page checksums count as groups.
    pub(crate) fn catalog_load(&self) -> (u64, u64) {
        let groups: HashSet<_> = self
            .pages
            .iter()
            .flat_map(|(vat, pages)| pages.keys().map(move |page| (vat, page / GROUP_PAGES)))
            .collect();
        let spilled = self.spilled_rows.iter();
        let spilled: usize = spilled
            .map(|((_, key), row)| key.len() + row.bytes as usize)
            .sum();
        let rows = self.rows.len() + self.spilled_rows.len() + groups.len() + self.logs.len();
        let bytes = self.rows.bytes() + spilled + groups.len() * GROUP_ROW_BYTES;
        ((rows + self.terminated.len()) as u64, bytes as u64)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
            && self.spilled_rows.is_empty()
            && self.pages.is_empty()
            && self.images.is_empty()
            && self.logs.is_empty()
            && self.terminated.is_empty()
            && self.spills.is_empty()
    }
}
