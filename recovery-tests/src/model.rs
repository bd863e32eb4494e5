//! What the store ought to hold: every frame known to be durable, folded into plain maps.
//!
//! Promises: knows what frames change and genesis, and nothing of how the store keeps them.
//! `graveyard` is the model's own: what terminated vats had executed, so that nothing is forgotten
//! with them.

use std::collections::BTreeMap;

use kenvat_core::rows;
use kenvat_store::{Delta, PAGE_BYTES, Row, Run, VatId};

use crate::heap;
use crate::program::{Knowledge, PAGE_LIMIT, Token, genesis_page};

/// All that is durable of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub heaps: BTreeMap<VatId, Vec<u8>>,
    pub rows: BTreeMap<(u8, Vec<u8>), Vec<u8>>,
    pub logs: BTreeMap<VatId, Vec<u8>>,
    pub graveyard: BTreeMap<VatId, Vec<(u64, Token)>>,
}

/// The engine's tables.
pub const TABLES: [u8; 9] = [
    rows::VATS,
    rows::COUNTERS,
    rows::SOURCES,
    rows::OPEN,
    rows::ANSWERS,
    rows::ANSWER_ORDER,
    rows::CLIENTS,
    rows::POISON,
    rows::TIMERS,
];

/// One change that a frame makes durable.
#[derive(Clone, Debug)]
pub enum Change {
    /// A vat on genesis.
    Create(VatId),
    /// Runs of a delta.
    Heap {
        vat: VatId,
        delta: Delta,
    },
    Log {
        vat: VatId,
        bytes: Vec<u8>,
    },
    Row(Row),
    Terminate(VatId),
}

/// What a spill file holds, as whoever had it written knows.
#[derive(Clone, Debug, Default)]
pub struct Spilled {
    pub delta: Vec<u8>,
    pub rows: Vec<Row>,
    pub log: Vec<u8>,
}

impl Spilled {
    /// What a frame that names the file changes by it.
    pub fn changes(self, vat: VatId) -> Vec<Change> {
        let delta = Delta::parse(self.delta, PAGE_LIMIT).expect("checked when it was written");
        let heap = (!delta.is_empty()).then_some(Change::Heap { vat, delta });
        let log = (!self.log.is_empty()).then_some(Change::Log {
            vat,
            bytes: self.log,
        });
        let rows = self.rows.into_iter().map(Change::Row);
        heap.into_iter().chain(rows).chain(log).collect()
    }
}

impl State {
    /// The state after one more frame.
    pub fn fold(&mut self, frame: &[Change]) {
        for change in frame {
            self.fold_change(change);
        }
    }

    fn fold_change(&mut self, change: &Change) {
        match change {
            Change::Create(vat) => {
                self.heaps.insert(*vat, genesis());
                self.logs.insert(*vat, Vec::new());
            }
            Change::Heap { vat, delta } => self.fold_delta(*vat, delta),
            Change::Log { vat, bytes } => self.logs.entry(*vat).or_default().extend(bytes),
            Change::Row(Row {
                table,
                key,
                value: Some(value),
            }) => {
                self.rows.insert((*table, key.clone()), value.clone());
            }
            Change::Row(Row {
                table,
                key,
                value: None,
            }) => {
                self.rows.remove(&(*table, key.clone()));
            }
            Change::Terminate(vat) => {
                let executed = self.knowledge(*vat).map(|known| known.executed);
                self.graveyard.insert(*vat, executed.unwrap_or_default());
                self.heaps.remove(vat);
                self.logs.remove(vat);
            }
        }
    }

    fn fold_delta(&mut self, vat: VatId, delta: &Delta) {
        let heap = self.heaps.get_mut(&vat);
        let heap = heap.expect("the store refuses unknown vats");
        for run in delta.runs() {
            match run {
                Run::Words { page, start, bytes } => {
                    let start = page as usize * PAGE_BYTES + start;
                    heap[start..start + bytes.len()].copy_from_slice(bytes);
                }
                Run::Zeros { .. } => {
                    let pages = run.pages();
                    let bytes = |page: u32| page as usize * PAGE_BYTES;
                    heap[bytes(pages.start)..bytes(pages.end)].fill(0);
                }
            }
        }
    }

    /// What a vat knows.
    pub fn knowledge(&self, vat: VatId) -> Result<Knowledge, String> {
        let heap = self.heaps.get(&vat).ok_or("it has no heap")?;
        Knowledge::read(|page| {
            let start = page as usize * PAGE_BYTES;
            heap::words_of(&heap[start..start + PAGE_BYTES])
        })
    }

    /// A catalog row, read as the engine reads it.
    pub fn row<T: rows_value::Value>(&self, table: u8, key: &[u8]) -> Option<T> {
        let bytes = self.rows.get(&(table, key.to_vec()))?;
        T::read(table, bytes)
    }

    /// The first thing in which two states differ.
    pub fn difference(&self, other: &State) -> Option<String> {
        let vats = |state: &State| {
            state
                .heaps
                .keys()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        if vats(self) != vats(other) {
            return Some(format!("vats {:?} and {:?}", vats(self), vats(other)));
        }
        for (vat, heap) in &self.heaps {
            if heap != &other.heaps[vat] {
                return Some(format!(
                    "the heap of vat {vat} {}",
                    first_place(heap, other, *vat)
                ));
            }
        }
        if self.logs != other.logs {
            return Some("a log".to_owned());
        }
        let keys = self.rows.keys().chain(other.rows.keys());
        let mut differing = keys.filter(|key| self.rows.get(*key) != other.rows.get(*key));
        differing
            .next()
            .map(|(table, key)| format!("row {key:?} of table {table}"))
    }
}

fn first_place(heap: &[u8], other: &State, vat: VatId) -> String {
    let differs = heap
        .iter()
        .zip(&other.heaps[&vat])
        .position(|(a, b)| a != b);
    let at = differs.unwrap_or_default();
    format!("at page {} word {}", at / PAGE_BYTES, at % PAGE_BYTES / 8)
}

fn genesis() -> Vec<u8> {
    (0..PAGE_LIMIT)
        .flat_map(|page| heap::bytes_of(&genesis_page(page)))
        .collect()
}

/// Rows the invariants read.
pub mod rows_value {
    use kenvat_core::rows::{self, CountersRow, SourcesRow, VatRow};

    pub trait Value: Sized {
        fn read(table: u8, bytes: &[u8]) -> Option<Self>;
    }

    impl Value for CountersRow {
        fn read(table: u8, bytes: &[u8]) -> Option<CountersRow> {
            rows::read(table, bytes).ok()
        }
    }

    impl Value for SourcesRow {
        fn read(table: u8, bytes: &[u8]) -> Option<SourcesRow> {
            rows::read(table, bytes).ok()
        }
    }

    impl Value for VatRow {
        fn read(table: u8, bytes: &[u8]) -> Option<VatRow> {
            rows::read(table, bytes).ok()
        }
    }
}
