//! The vats of a host and their names; which of them something happened to.
//!
//! Promises: vats are walked in the order of their ids, so the same events give the same effects.

mod progress;
mod vat;
mod worker;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Bound::{Excluded, Included, Unbounded};

use kenvat_store::VatId;

pub(crate) use self::vat::{RequestNo, Vat, Wishes};
pub(crate) use self::worker::{Ending, Worker};

/// Names looked at on either side of one that is not known: a misspelt name must not cost a walk
/// over ten thousand.
const NEIGHBOURS: usize = 500;

/// All vats.
#[derive(Debug)]
pub(crate) struct Vats<W> {
    by_id: BTreeMap<VatId, Vat<W>>,
    names: BTreeMap<String, VatId>,
    /// Vats something happened to since they were last looked at, in order.
    touched: Vec<VatId>,
    touched_set: HashSet<VatId>,
    /// Vats whose workers have turns they were not asked to hand over, as of their last delivery.
    ahead: BTreeSet<VatId>,
    /// Turns delivered and not handed over, over all vats.
    turns_out: usize,
}

impl<W> Vats<W> {
    pub fn new() -> Vats<W> {
        Vats {
            by_id: BTreeMap::new(),
            names: BTreeMap::new(),
            touched: Vec::new(),
            touched_set: HashSet::new(),
            ahead: BTreeSet::new(),
            turns_out: 0,
        }
    }

    pub fn insert(&mut self, vat: Vat<W>) {
        self.names.insert(vat.name().to_owned(), vat.id());
        self.by_id.insert(vat.id(), vat);
    }

    pub fn remove(&mut self, id: VatId) -> Option<Vat<W>> {
        let vat = self.by_id.remove(&id)?;
        debug_assert!(vat.progress().delivered().is_empty(), "no turn is out");
        self.names.remove(vat.name());
        Some(vat)
    }

    pub fn get(&self, id: VatId) -> Option<&Vat<W>> {
        self.by_id.get(&id)
    }

    pub fn get_mut(&mut self, id: VatId) -> Option<&mut Vat<W>> {
        self.by_id.get_mut(&id)
    }

    /// A vat that the core itself named.
    pub fn known(&self, id: VatId) -> &Vat<W> {
        self.by_id.get(&id).expect(KNOWN)
    }

    /// The same, to be changed.
    pub fn known_mut(&mut self, id: VatId) -> &mut Vat<W> {
        self.by_id.get_mut(&id).expect(KNOWN)
    }

    pub fn all(&self) -> impl Iterator<Item = &Vat<W>> {
        self.by_id.values()
    }

    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut Vat<W>> {
        self.by_id.values_mut()
    }

    /// The vats by name.
    pub fn ids_by_name(&self) -> impl Iterator<Item = VatId> + '_ {
        self.names.values().copied()
    }

    pub fn id_of(&self, name: &str) -> Option<VatId> {
        self.names.get(name).copied()
    }

    /// Whether this is the vat's worker. Older generations are ignored: their process is dead or
    /// being ended (T1).
    pub fn is_current(&self, id: VatId, generation: u64) -> bool {
        self.get(id).is_some_and(|vat| vat.is_current(generation))
    }

    /// Names that may have been meant by one that is not known.
    pub fn nearest(&self, name: &str) -> Vec<String> {
        let after = self.names.range::<str, _>((Included(name), Unbounded));
        let before = self.names.range::<str, _>((Unbounded, Excluded(name)));
        let near = before.rev().take(NEIGHBOURS);
        let near = near.chain(after.take(NEIGHBOURS));
        nearest(name, near.map(|(name, _)| name.as_str()))
    }

    /// Something happened to the vat: it is looked at before the event is over.
    pub fn touch(&mut self, vat: VatId) {
        if self.touched_set.insert(vat) {
            self.touched.push(vat);
        }
    }

    pub fn has_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    pub fn take_touched(&mut self) -> Vec<VatId> {
        self.touched_set.clear();
        std::mem::take(&mut self.touched)
    }

    /// The vat's worker runs turns that it was not asked to hand over.
    pub fn note_ahead(&mut self, vat: VatId) {
        self.ahead.insert(vat);
    }

    /// The slot is free: whoever ran ahead may hand over.
    pub fn touch_ahead(&mut self) {
        for id in std::mem::take(&mut self.ahead) {
            self.touch(id);
        }
    }

    pub fn turns_out(&self) -> usize {
        self.turns_out
    }

    /// Turns were sent to a worker.
    pub fn turns_sent(&mut self, count: usize) {
        self.turns_out += count;
    }

    /// Turns were handed over, or taken back.
    pub fn turns_returned(&mut self, count: usize) {
        let left = self.turns_out.checked_sub(count);
        self.turns_out = left.expect("every turn that is out was counted");
    }
}

const KNOWN: &str = "vats are removed only when nothing names them any more";

/// Names a person may have meant: at most three edits away, nearest first, at most three.
fn nearest<'a>(meant: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    const EDITS_MAX: usize = 3;
    let mut found: Vec<(usize, &str)> = names
        .map(|name| (strsim::damerau_levenshtein(meant, name), name))
        .filter(|(edits, name)| *edits <= EDITS_MAX.min(name.len().max(2) / 2 + 1))
        .collect();
    found.sort();
    found
        .into_iter()
        .take(3)
        .map(|(_, name)| name.to_owned())
        .collect()
}
