//! What frames changed in the catalog since a fold, kept in memory until the next one writes it.
//!
//! Two layers lie over the catalog at most: the *folding* one, frozen, which a fold is writing, and
//! the *active* one, which frames go on changing (C2). A row is looked for in the active layer,
//! then the folding one, then the catalog. Effects are absolute, so a row found first is the
//! newest.

use crate::codec::SideRecord;
use crate::ids::VatId;
use crate::loose_rows::LooseRows;
use crate::page_rows::{GROUP_PAGES, ROW_BYTES as GROUP_ROW_BYTES};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::{Bound, RangeBounds};

#[derive(Debug, Default)]
pub(crate) struct Layer {
    /// The engine's rows, and the store's own of vats.
    pub rows: LooseRows,
    /// Checksums of whole pages as of the newest frame that names them (I3).
    pub pages: HashMap<VatId, HashMap<u32, u32>>,
    /// Images and logs written to, so that a fold syncs them.
    pub images: BTreeSet<VatId>,
    pub logs: BTreeSet<VatId>,
    pub terminated: Vec<VatId>,
    /// Side files that are in their images: they go when those are synced.
    pub sides: Vec<SideRecord>,
    /// Entries were made in `heap/` or `logs/`.
    pub entries_made: bool,
}

impl Layer {
    /// The row, if this layer knows of it: `Some(None)` is a deleted one.
    pub(crate) fn row(&self, table: u8, key: &[u8]) -> Option<Option<&[u8]>> {
        self.rows.get(table, key)
    }

    pub(crate) fn page(&self, vat: VatId, page: u32) -> Option<u32> {
        self.pages.get(&vat)?.get(&page).copied()
    }

    /// Lays this layer's rows over `found`.
    pub(crate) fn lay_over(
        &self,
        table: u8,
        prefix: &[u8],
        start: Bound<&[u8]>,
        found: &mut BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    ) {
        let wanted = (start, Bound::Unbounded);
        for (_, key, value) in self.rows.of_table(table) {
            if key.starts_with(prefix) && wanted.contains(key) {
                found.insert(key.to_vec(), value.map(<[u8]>::to_vec));
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
        let rows = self.rows.len() + groups.len() + self.logs.len() + self.terminated.len();
        let bytes = self.rows.bytes() + groups.len() * GROUP_ROW_BYTES;
        (rows as u64, bytes as u64)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
            && self.pages.is_empty()
            && self.images.is_empty()
            && self.logs.is_empty()
            && self.terminated.is_empty()
            && self.sides.is_empty()
    }
}

/// A vat as the store keeps it in memory.
#[derive(Clone, Debug)]
pub(crate) struct Vat {
    pub engine: crate::ids::EngineHash,
    /// Pages of the image when it was made.
    pub page_limit: u32,
    /// Pages it was made longer to in this life of the store; 0 before.
    pub extended: u32,
    pub phase: Phase,
    /// Why no worker starts on it.
    pub damaged: Option<crate::error::Damage>,
    pub log: crate::codec::LogRecord,
    /// Bytes of log in frames not applied yet, and bytes room was taken for that are in none.
    pub log_staged: u64,
    pub log_promised: u64,
}

impl Vat {
    /// Pages the image has, as far as is known.
    pub(crate) fn pages(&self) -> u32 {
        self.page_limit.max(self.extended)
    }
}

/// Where a vat stands between being named in a frame and that frame's being applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its first frame is not applied yet: there is no image.
    Creating,
    Live,
    /// Its last part is staged: no more is taken.
    Terminating,
}
