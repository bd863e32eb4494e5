//! The bytes of one file, holes left out; cloning shares blocks, so that a test may keep thousands
//! of disks.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

const BLOCK_BYTES: u64 = 4096;
type Block = [u8; BLOCK_BYTES as usize];

#[derive(Clone, Debug, Default)]
pub(crate) struct Sparse {
    len: u64,
    blocks: BTreeMap<u64, Arc<Block>>,
    /// Blocks that were allocated and never written; they may lie past the end.
    promised: BTreeSet<u64>,
}

impl Sparse {
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Fills `bytes`; `false` if the file ends before.
    pub(crate) fn read(&self, offset: u64, bytes: &mut [u8]) -> bool {
        if offset
            .checked_add(bytes.len() as u64)
            .is_none_or(|end| end > self.len)
        {
            return false;
        }
        for (block, within, part) in chunks(offset, bytes.len()) {
            let part = &mut bytes[part];
            match self.blocks.get(&block) {
                Some(content) => part.copy_from_slice(&content[within..within + part.len()]),
                None => part.fill(0),
            }
        }
        true
    }

    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) {
        for (block, within, part) in chunks(offset, bytes.len()) {
            self.promised.remove(&block);
            let content = self
                .blocks
                .entry(block)
                .or_insert_with(|| Arc::new([0; 4096]));
            let part = &bytes[part];
            Arc::make_mut(content)[within..within + part.len()].copy_from_slice(part);
        }
        self.len = self.len.max(offset + bytes.len() as u64);
    }

    pub(crate) fn set_len(&mut self, len: u64) {
        if len <= self.len {
            self.promised.split_off(&len.div_ceil(BLOCK_BYTES));
            self.blocks.split_off(&len.div_ceil(BLOCK_BYTES));
            if let Some(last) = self.blocks.get_mut(&(len / BLOCK_BYTES)) {
                Arc::make_mut(last)[(len % BLOCK_BYTES) as usize..].fill(0);
            }
        }
        self.len = len;
    }

    /// Zeros inside the file; whole blocks of them are released.
    pub(crate) fn punch(&mut self, offset: u64, len: u64) {
        let len = len.min(self.len.saturating_sub(offset)) as usize;
        for (block, within, part) in chunks(offset, len) {
            if part.len() == BLOCK_BYTES as usize {
                self.blocks.remove(&block);
                self.promised.remove(&block);
            } else if let Some(content) = self.blocks.get_mut(&block) {
                Arc::make_mut(content)[within..within + part.len()].fill(0);
            }
        }
    }

    pub(crate) fn allocate(&mut self, offset: u64, len: u64) {
        let missing: Vec<u64> = self.missing(offset, len).collect();
        self.promised.extend(missing);
    }

    pub(crate) fn break_promises(&mut self) {
        self.promised.clear();
    }

    /// Bytes of disk it takes.
    pub(crate) fn taken(&self) -> u64 {
        (self.blocks.len() + self.promised.len()) as u64 * BLOCK_BYTES
    }

    /// Bytes of disk that writing this range would take in addition.
    pub(crate) fn missing_bytes(&self, offset: u64, len: u64) -> u64 {
        self.missing(offset, len).count() as u64 * BLOCK_BYTES
    }

    /// Bytes of this range that can be written with this much free space.
    pub(crate) fn fitting(&self, offset: u64, len: u64, space: u64) -> u64 {
        let first_too_many = self
            .missing(offset, len)
            .nth((space / BLOCK_BYTES) as usize);
        first_too_many.map_or(len, |block| {
            (block * BLOCK_BYTES).saturating_sub(offset).min(len)
        })
    }

    fn missing(&self, offset: u64, len: u64) -> impl Iterator<Item = u64> {
        let blocks = offset / BLOCK_BYTES..(offset + len).div_ceil(BLOCK_BYTES);
        blocks.filter(|block| !self.blocks.contains_key(block) && !self.promised.contains(block))
    }

    /// The next run of blocks that were written.
    pub(crate) fn next_data(&self, from: u64) -> Option<Range<u64>> {
        let (&first, _) = self.blocks.range(from / BLOCK_BYTES..).next()?;
        let start = from.max(first * BLOCK_BYTES);
        let mut end = first + 1;
        while self.blocks.contains_key(&end) {
            end += 1;
        }
        let end = (end * BLOCK_BYTES).min(self.len);
        (start < end).then_some(start..end)
    }
}

/// For each part of a range that lies in one block: the block, the offset in it, and the offset in
/// the bytes.
fn chunks(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let at = offset + done as u64;
        let within = (at % BLOCK_BYTES) as usize;
        let part = (BLOCK_BYTES as usize - within).min(len - done);
        let range = done..done + part;
        done += part;
        Some((at / BLOCK_BYTES, within, range))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_a_vector_of_bytes(
            steps in proptest::collection::vec((0..4u8, 0..20_000u64, 0..9000usize), 1..20)
        ) {
            let (mut sparse, mut model) = (Sparse::default(), Vec::<u8>::new());
            for (kind, at, len) in steps {
                if kind == 0 {
                    sparse.set_len(at);
                    model.resize(at as usize, 0);
                } else if kind == 3 {
                    sparse.punch(at, len as u64);
                    let end = model.len().min(at as usize + len);
                    model[(at as usize).min(end)..end].fill(0);
                } else {
                    let bytes = vec![kind; len];
                    sparse.write(at, &bytes);
                    if len > 0 || (at as usize) > model.len() {
                        let end = at as usize + len;
                        if model.len() < end { model.resize(end, 0); }
                        model[at as usize..end].copy_from_slice(&bytes);
                    }
                }
                let mut read = vec![9; model.len()];
                prop_assert!(sparse.read(0, &mut read));
                prop_assert!(read == model);
                prop_assert!(!sparse.read(1, &mut read[..]));
                let data = sparse.next_data(0);
                let start = data.map_or(model.len(), |data| data.start as usize);
                prop_assert!(model[..start].iter().all(|&byte| byte == 0));
            }
        }
    }
}
