//! What frames changed in the catalog since a fold, kept in memory until the next one writes it.
//!
//! Two layers lie over the catalog at most: the *folding* one, frozen, which a fold is writing, and
//! the *active* one, which frames go on changing (C2). A row is looked for in the active layer,
//! then the folding one, then the catalog. Effects are absolute, so a row found first is the
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

/// Table and key together, as in the catalog.
pub(crate) type RowKey = (u8, Vec<u8>);

/// A row's value, or where it is until a fold writes it to the catalog: large ones are not kept in
/// memory meanwhile (J7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Here(Cow<'a, [u8]>),
    Spill(SpilledRow),
}

#[derive(Debug, Default)]
pub(crate) struct Memtable {
    /// The engine's rows, and the store's own of vats.
    rows: UnsortedRows,
    /// Rows whose value is in a side file. What `rows` has of such a key is from before, and counts
    /// where the file turns out to be damaged.
    spilled_rows: BTreeMap<RowKey, SpilledRow>,
    /// Checksums of whole pages as of the newest frame that names them (I3).
    pub pages: HashMap<VatId, HashMap<u32, u32>>,
    /// Images and logs written to, so that a fold syncs them.
    pub images: BTreeSet<VatId>,
    pub logs: BTreeSet<VatId>,
    pub terminated: Vec<VatId>,
    /// Side files that are in their images: they go when those are synced, and the rows in the
    /// catalog.
    pub spills: Vec<SpillRecord>,
    /// Entries were made in `heap/` or `logs/`.
    pub entries_made: bool,
}

impl Memtable {
    /// The row, if this layer knows of it: `Some(None)` is a deleted one.
    pub(crate) fn row(&self, table: u8, key: &[u8]) -> Option<Option<Value<'_>>> {
        if let Some(row) = self.spilled_row(table, key) {
            return Some(Some(Value::Spill(*row)));
        }
        let row = self.row_in_memory(table, key)?;
        Some(row.map(|value| Value::Here(value.into())))
    }

    fn spilled_row(&self, table: u8, key: &[u8]) -> Option<&SpilledRow> {
        // A tuple of borrowed parts cannot be looked up, and there are hardly ever any.
        match self.spilled_rows.is_empty() {
            true => None,
            false => self.spilled_rows.get(&(table, key.to_vec())),
        }
    }

    /// Sets a row; without a value it is deleted.
    pub(crate) fn put(&mut self, table: u8, key: &[u8], value: Option<&[u8]>) {
        if !self.spilled_rows.is_empty() {
            self.spilled_rows.remove(&(table, key.to_vec()));
        }
        self.rows.insert(table, key, value);
    }

    /// Sets a row whose value is in a side file.
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

    /// The rows whose values are here, in the order of tables and keys.
    pub(crate) fn rows_in_memory(&self) -> Vec<RowRef<'_>> {
        let mut rows = self.rows.sorted();
        rows.retain(|(table, key, _)| self.spilled_row(*table, key).is_none());
        rows
    }

    /// The rows whose values are in side files.
    pub(crate) fn rows_spilled(&self) -> impl Iterator<Item = (&RowKey, &SpilledRow)> {
        self.spilled_rows.iter()
    }

    /// What this layer has of a row besides a value in a side file.
    pub(crate) fn row_in_memory(&self, table: u8, key: &[u8]) -> Option<Option<&[u8]>> {
        self.rows.get(table, key)
    }

    /// Bytes of the side files that a fold would let go.
    pub(crate) fn spill_bytes(&self) -> u64 {
        self.spills.iter().map(|spill| spill.bytes).sum()
    }

    pub(crate) fn page(&self, vat: VatId, page: u32) -> Option<u32> {
        self.pages.get(&vat)?.get(&page).copied()
    }

    /// Lays this layer's rows over `found`.
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

    /// Rows a fold will write, and their bytes: page checksums by the group, ends of vats by what
    /// is left of them.
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
