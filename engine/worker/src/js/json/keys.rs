//! How much work the engine's table of names has with the keys of one text.
//!
//! QuickJS hashes names with a function that anybody can compute (a polynomial in 263), and keeps
//! them in buckets it searches one by one: 100,000 keys made to collide cost seconds, of the vat's
//! own time, for a stranger's kilobytes. So keys are counted by the buckets they would fall in, and
//! a text whose keys share theirs far more than chance allows is refused.
//!
//! Promises: a text with fewer than `FREE` different keys is never refused; counting costs a tenth
//! of what making the keys does. Does not know what names the heap already has.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// So many different keys may all collide.
const FREE: usize = 512;
/// Keys that stand before one in its bucket, on the average of all: chance makes it less than one.
const BEFORE_MAX: u64 = 24;
/// What QuickJS begins with for a name, and multiplies with.
const FIRST: u32 = 1;
const FACTOR: u32 = 263;
/// It keeps these bits.
const KEPT: u32 = (1 << 28) - 1;

/// The different keys that were seen.
#[derive(Default)]
pub struct Keys {
    seen: BTreeSet<u64>,
    hashes: Vec<u32>,
    /// How many hashes fall in each bucket; a power of two, as many as hashes or more.
    buckets: Vec<u32>,
    /// The sum over all keys of those before it in its bucket.
    before: u64,
}

impl Keys {
    /// Counts a key; false when they collide too much.
    pub fn add(&mut self, name: &str) -> bool {
        if !self.seen.insert(identity(name)) {
            return true;
        }
        let hash = hash(name);
        self.hashes.push(hash);
        if self.hashes.len() < FREE {
            return true;
        }
        if self.hashes.len() > self.buckets.len() {
            self.spread();
        } else {
            self.count(hash);
        }
        self.before <= BEFORE_MAX * self.hashes.len() as u64 + (FREE * FREE) as u64
    }

    /// Counts all anew, in more buckets.
    fn spread(&mut self) {
        self.buckets = vec![0; self.hashes.len().next_power_of_two() * 2];
        self.before = 0;
        for at in 0..self.hashes.len() {
            self.count(self.hashes[at]);
        }
    }

    fn count(&mut self, hash: u32) {
        let mask = self.buckets.len() - 1;
        let bucket = &mut self.buckets[hash as usize & mask];
        self.before += u64::from(*bucket);
        *bucket += 1;
    }
}

/// What tells keys apart, as SipHash does: nobody makes many texts that share it.
fn identity(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// QuickJS's hash of a name (`hash_string8` and `hash_string16` of quickjs.c).
fn hash(name: &str) -> u32 {
    let (mut hash, mut length) = (FIRST, 0_u32);
    for unit in name.encode_utf16() {
        hash = hash.wrapping_mul(FACTOR).wrapping_add(u32::from(unit));
        length = length.wrapping_add(1);
    }
    (hash ^ length.wrapping_mul(0x61c8_8647)) & KEPT
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys of two characters a digit, of which both spellings have one hash.
    fn colliding(count: u32, bits: u32) -> Vec<String> {
        let (a, b) = ("\u{5000}\u{5000}", "\u{4fff}\u{5107}");
        (0..count)
            .map(|i| {
                (0..bits)
                    .map(|bit| if i >> bit & 1 == 1 { b } else { a })
                    .collect()
            })
            .collect()
    }

    fn taken(keys: impl IntoIterator<Item = String>) -> usize {
        let mut counted = Keys::default();
        keys.into_iter().take_while(|key| counted.add(key)).count()
    }

    #[test]
    fn keys_that_collide_by_construction_are_refused_early() {
        let keys = colliding(1 << 14, 14);
        assert_eq!(hash(&keys[0]), hash(&keys[999]));
        let taken = taken(keys);
        assert!((FREE..2_000).contains(&taken), "{taken}");
        // The same collisions behind what makes them differ in the upper bits alone.
        let mixed = colliding(1 << 13, 13);
        let mixed = mixed.into_iter().enumerate();
        let mixed: Vec<String> = mixed.map(|(at, key)| format!("{}{key}", at % 2)).collect();
        assert!(self::taken(mixed) < 4_000);
    }

    #[test]
    fn keys_as_people_have_them_are_taken() {
        let count = 60_000;
        let numbered = (0..count).map(|i| format!("key{i}"));
        let padded = (0..count).map(|i| format!("{i:08}"));
        let long = (0..count).map(|i| format!("https://example.org/items/{i}?page={}", i % 7));
        let hex =
            (0..count).map(|i: u64| format!("{:016x}", i.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let pairs = (0..count).map(|i| format!("{}:{}", i / 300, i % 300));
        let wide = (0..count)
            .filter_map(|i| char::from_u32(0x4e00 + i as u32 / 8))
            .enumerate()
            .map(|(at, c)| format!("{c}{}", at % 8));
        assert_eq!(taken(numbered), count as usize);
        assert_eq!(taken(padded), count as usize);
        assert_eq!(taken(long), count as usize);
        assert_eq!(taken(hex), count as usize);
        assert_eq!(taken(pairs), count as usize);
        assert_eq!(taken(wide), count as usize);
        // One key in many objects is one key.
        assert_eq!(taken((0..count).map(|_| "same".to_owned())), count as usize);
    }
}
