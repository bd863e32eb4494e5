//! What the store ought to hold: every frame known to be durable, folded into plain maps.
//!
//! Promises: knows frames' parts and genesis, and nothing of how the store keeps them. `graveyard`
//! is the model's own: what terminated vats had executed, so that nothing is forgotten with them.

use std::collections::BTreeMap;

use kenvat_core::rows;
use kenvat_store::{PAGE_BYTES, Part, Row, Run, VatId};

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

impl State {
    /// The state after one more frame.
    pub fn fold(&mut self, frame: &[Part]) {
        for part in frame {
            self.fold_part(part);
        }
    }

    fn fold_part(&mut self, part: &Part) {
        match part {
            Part::Create { vat, .. } => {
                self.heaps.insert(*vat, genesis());
                self.logs.insert(*vat, Vec::new());
            }
            Part::Heap { vat, delta } => {
                let heap = self
                    .heaps
                    .get_mut(vat)
                    .expect("the store refuses unknown vats");
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
            Part::Spill(_) => unreachable!("no worker here changes that much"),
            Part::Log { vat, bytes } => self.logs.entry(*vat).or_default().extend(bytes),
            Part::Row(Row {
                table,
                key,
                value: Some(value),
            }) => {
                self.rows.insert((*table, key.clone()), value.clone());
            }
            Part::Row(Row {
                table,
                key,
                value: None,
            }) => {
                self.rows.remove(&(*table, key.clone()));
            }
            Part::Terminate { vat } => {
                let executed = self.knowledge(*vat).map(|known| known.executed);
                self.graveyard.insert(*vat, executed.unwrap_or_default());
                self.heaps.remove(vat);
                self.logs.remove(vat);
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
