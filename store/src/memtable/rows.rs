//! Unsorted rows: their bytes in a few blocks, and a hash index over them.
//!
//! A memtable gets tens of thousands of small rows between two folds, one by one on the path of
//! commits and all at once at a start, and about one in a hundred is read. A tree that owned keys
//! and values cost two allocations and a walk a row, was most of the time of a start, and stopped
//! the committing thread for milliseconds when it was dropped after a fold. Here a row is copied
//! once, and a memtable is freed as a few blocks. A fold sorts the rows on its own thread.
//!
//! Promises: a key has its newest value; the memory is that of the rows given, which the bound of
//! the journal limits. Clients may choose keys, so the hash has a random key of this process.

use hashbrown::HashTable;
use std::hash::{BuildHasher, RandomState};

/// Bytes of a shared block; a larger row has a block of its own.
const BLOCK_BYTES: usize = 256 << 10;
/// Longer rows get their own block, so that little is lost at the end of a shared one.
const TOGETHER_BYTES_MAX: usize = BLOCK_BYTES / 8;

/// Rows by table and key.
#[derive(Debug, Default)]
pub(crate) struct UnsortedRows {
    /// Key and value of each row, including rows that were replaced since.
    blocks: Vec<Vec<u8>>,
    places: HashTable<Place>,
    hasher: RandomState,
    /// Bytes of keys and values of the current rows.
    bytes: usize,
}

/// Where a row lies. Small, since a start makes tens of thousands.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Half a hash nearly always tells rows apart, and growing the index need not read keys.
    half_hash: u32,
    block: u32,
    at: u32,
    /// `TOMBSTONE` if the row is deleted.
    value_bytes: u32,
    key_bytes: u16,
    table: u8,
}

const TOMBSTONE: u32 = u32::MAX;

/// Table, key, and the value if the row is not deleted.
pub(crate) type RowRef<'a> = (u8, &'a [u8], Option<&'a [u8]>);

impl UnsortedRows {
    /// Sets a row and replaces one with the same key. Keys and values are within the limits of the
    /// store, so their lengths fit the fields here.
    pub(crate) fn insert(&mut self, table: u8, key: &[u8], value: Option<&[u8]>) {
        let half_hash = self.half_hash(table, key);
        let same = |place: &Place| is_at(&self.blocks, place, half_hash, table, key);
        let before = self.places.find_mut(spread(half_hash), same);
        let value_bytes = value.map_or(TOMBSTONE, |value| value.len() as u32);
        let added = value.map_or(0, <[u8]>::len);
        if let Some(place) = before {
            self.bytes = self.bytes - place.value_len() + added;
            if place.value_bytes == value_bytes {
                let start = place.at as usize + key.len();
                let old = &mut self.blocks[place.block as usize][start..start + added];
                old.copy_from_slice(value.unwrap_or_default());
                return;
            }
            (place.block, place.at) = put(&mut self.blocks, key, value);
            place.value_bytes = value_bytes;
            return;
        }
        let (block, at) = put(&mut self.blocks, key, value);
        self.bytes += key.len() + added;
        let place = Place {
            half_hash,
            block,
            at,
            value_bytes,
            key_bytes: key.len() as u16,
            table,
        };
        let hash_of = |place: &Place| spread(place.half_hash);
        self.places.insert_unique(spread(half_hash), place, hash_of);
    }

    /// The row, if there is one: `Some(None)` is a tombstone.
    pub(crate) fn get(&self, table: u8, key: &[u8]) -> Option<Option<&[u8]>> {
        if self.places.is_empty() {
            return None;
        }
        let half_hash = self.half_hash(table, key);
        let same = |place: &Place| is_at(&self.blocks, place, half_hash, table, key);
        let place = self.places.find(spread(half_hash), same)?;
        Some(self.row(place).2)
    }

    /// The rows of a table, unsorted.
    pub(crate) fn of_table(&self, table: u8) -> impl Iterator<Item = RowRef<'_>> {
        let of_table = self.places.iter().filter(move |place| place.table == table);
        of_table.map(|place| self.row(place))
    }

    /// All rows, unsorted.
    pub(crate) fn iter(&self) -> impl Iterator<Item = RowRef<'_>> {
        self.places.iter().map(|place| self.row(place))
    }

    /// All rows, sorted by table and key.
    pub(crate) fn sorted(&self) -> Vec<RowRef<'_>> {
        let mut rows: Vec<_> = self.iter().collect();
        rows.sort_unstable_by_key(|&(table, key, _)| (table, key));
        rows
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Bytes of keys and values.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn half_hash(&self, table: u8, key: &[u8]) -> u32 {
        self.hasher.hash_one((table, key)) as u32
    }

    fn row(&self, place: &Place) -> RowRef<'_> {
        let bytes = &self.blocks[place.block as usize][place.at as usize..];
        let (key, rest) = bytes.split_at(usize::from(place.key_bytes));
        let value = (place.value_bytes != TOMBSTONE).then(|| &rest[..place.value_len()]);
        (place.table, key, value)
    }
}

impl Place {
    fn value_len(&self) -> usize {
        match self.value_bytes {
            TOMBSTONE => 0,
            bytes => bytes as usize,
        }
    }
}

/// Spreads half a hash over 64 bits, since the index uses the highest ones as well.
fn spread(half_hash: u32) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    u64::from(half_hash).wrapping_mul(ODD)
}

/// Whether the row of this key lies there.
fn is_at(blocks: &[Vec<u8>], place: &Place, half_hash: u32, table: u8, key: &[u8]) -> bool {
    let start = place.at as usize;
    place.half_hash == half_hash
        && place.table == table
        && usize::from(place.key_bytes) == key.len()
        && blocks[place.block as usize][start..start + key.len()] == *key
}

/// Appends key and value to a block; returns where they begin.
fn put(blocks: &mut Vec<Vec<u8>>, key: &[u8], value: Option<&[u8]>) -> (u32, u32) {
    let bytes = key.len() + value.map_or(0, <[u8]>::len);
    let has_space = |block: &Vec<u8>| block.capacity() - block.len() >= bytes;
    if !blocks.last().is_some_and(has_space) {
        let is_large = bytes > TOGETHER_BYTES_MAX;
        let capacity = if is_large { bytes } else { BLOCK_BYTES };
        blocks.push(Vec::with_capacity(capacity));
    }
    let last = blocks.len() - 1;
    let block = &mut blocks[last];
    let at = block.len() as u32;
    block.extend_from_slice(key);
    block.extend_from_slice(value.unwrap_or_default());
    (last as u32, at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{ROW_KEY_BYTES_MAX, ROW_VALUE_BYTES_MAX};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn places_have_space_for_every_row_there_may_be() {
        assert!(ROW_KEY_BYTES_MAX <= usize::from(u16::MAX));
        assert!(ROW_KEY_BYTES_MAX + ROW_VALUE_BYTES_MAX < TOMBSTONE as usize);
    }

    #[test]
    fn large_rows_have_blocks_of_their_own_and_small_ones_share() {
        let mut rows = UnsortedRows::default();
        let large = vec![7; BLOCK_BYTES * 3];
        for key in 0..100u8 {
            rows.insert(1, &[key], Some(b"small"));
        }
        rows.insert(1, b"large", Some(&large));
        rows.insert(1, b"after", Some(b"small"));
        assert_eq!(rows.blocks.len(), 3);
        assert_eq!(rows.get(1, b"large"), Some(Some(&large[..])));
        assert_eq!(rows.get(1, b"after"), Some(Some(&b"small"[..])));
        let memory: usize = rows.blocks.iter().map(Vec::capacity).sum();
        assert_eq!(memory, 2 * BLOCK_BYTES + large.len() + b"large".len());
    }

    #[test]
    fn a_row_given_again_at_the_same_length_takes_no_more_space() {
        let mut rows = UnsortedRows::default();
        (0..1_000u16).for_each(|at| rows.insert(6, b"client", Some(&at.to_le_bytes())));
        assert_eq!(rows.blocks[0].len(), b"client".len() + 2);
        assert_eq!((rows.len(), rows.bytes()), (1, 8));
        assert_eq!(rows.get(6, b"client"), Some(Some(&[231, 3][..])));
    }

    proptest! {
        #[test]
        fn like_a_map_that_owns_its_rows(
            given in prop::collection::vec(
                (0..3u8, prop::collection::vec(0..3u8, 0..4), prop::option::of(0..40usize)),
                0..200,
            )
        ) {
            let (mut rows, mut model) = (UnsortedRows::default(), BTreeMap::new());
            for (at, (table, key, length)) in given.into_iter().enumerate() {
                let value = length.map(|length| vec![at as u8; length]);
                rows.insert(table, &key, value.as_deref());
                model.insert((table, key), value);
            }
            let expected: Vec<RowRef<'_>> = model
                .iter()
                .map(|((table, key), value)| (*table, &key[..], value.as_deref()))
                .collect();
            prop_assert_eq!(rows.sorted(), expected.clone());
            prop_assert_eq!(rows.len(), expected.len());
            let bytes = |row: &RowRef<'_>| row.1.len() + row.2.map_or(0, <[u8]>::len);
            prop_assert_eq!(rows.bytes(), expected.iter().map(bytes).sum::<usize>());
            for &(table, key, value) in &expected {
                prop_assert_eq!(rows.get(table, key), Some(value));
                prop_assert_eq!(rows.get(table + 3, key), None);
            }
            for table in 0..4 {
                let mut found: Vec<_> = rows.of_table(table).collect();
                found.sort_unstable();
                let of_table = expected.iter().filter(|row| row.0 == table);
                prop_assert_eq!(found, of_table.copied().collect::<Vec<_>>());
            }
        }
    }
}
