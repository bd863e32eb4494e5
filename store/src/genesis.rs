//! The heap every new vat of an engine begins with (I5), and its file.
//!
//! ```text
//!   0  magic "KVGENSIS"
//!   8  version: u32 LE
//!  12  pages: u32 LE
//!  16  sha256               32 bytes, of the content (`HeapHasher`); also in the catalog
//!  48  per page: page: u32 LE, crc: u32 LE, sorted by page
//!      then per page its 4096 bytes, in the same order
//! ```
//! Promises: holds no page of zeros, so that two ways of making the same heap give the same bytes.
//! The list of pages comes before the content, so that the place of each content is a
//! multiplication.

use crate::delta::{Delta, Run};
use crate::error::{Damage, OpenError};
use crate::ids::PAGE_BYTES;
use crate::options::{GENESIS_BYTES_MAX, PAGE_LIMIT_MAX};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The content of one page.
pub(crate) type Page = [u8; PAGE_BYTES];
pub(crate) const ZERO_PAGE: Page = [0; PAGE_BYTES];
/// Bytes a genesis file may have.
pub(crate) const GENESIS_FILE_BYTES_MAX: usize =
    HEADER_BYTES + GENESIS_BYTES_MAX / PAGE_BYTES * (ENTRY_BYTES + PAGE_BYTES);
pub(crate) const GENESIS_VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"KVGENSIS";
const HEADER_BYTES: usize = 48;
const ENTRY_BYTES: usize = 8;

/// A heap's first content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    pages: BTreeMap<u32, (u32, Box<Page>)>,
    sha256: [u8; 32],
}

/// Bytes of consecutive pages that are written together.
const RANGE_BYTES_MAX: usize = 256 << 10;

/// The heap has more pages than a genesis image may.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a genesis image of {bytes} bytes is larger than the {limit} allowed")]
pub struct GenesisTooLarge {
    pub bytes: usize,
    pub limit: usize,
}

impl Genesis {
    /// The heap that a worker handed over after it began with an empty image.
    pub fn from_delta(delta: &Delta) -> Result<Genesis, GenesisTooLarge> {
        let mut contents: BTreeMap<u32, Box<Page>> = BTreeMap::new();
        for run in delta.runs() {
            // A heap begins as zeros, so pages of zeros change nothing.
            let Run::Words { page, start, bytes } = run else {
                continue;
            };
            let page = contents.entry(page).or_insert_with(|| Box::new(ZERO_PAGE));
            page[start..start + bytes.len()].copy_from_slice(bytes);
            let bytes = contents.len() * PAGE_BYTES;
            if bytes > GENESIS_BYTES_MAX {
                return Err(GenesisTooLarge {
                    bytes,
                    limit: GENESIS_BYTES_MAX,
                });
            }
        }
        Ok(Genesis::of(contents))
    }

    fn of(mut contents: BTreeMap<u32, Box<Page>>) -> Genesis {
        contents.retain(|_, content| **content != ZERO_PAGE);
        let mut hasher = HeapHasher::default();
        contents
            .iter()
            .for_each(|(&page, content)| hasher.page(page, content));
        let with_crc = |content: Box<Page>| (crc32fast::hash(&content[..]), content);
        let pages = contents
            .into_iter()
            .map(|(page, content)| (page, with_crc(content)));
        Genesis {
            pages: pages.collect(),
            sha256: hasher.finish(),
        }
    }

    /// Over page numbers and contents; belongs to the engine's identity (E4).
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// Pages in use.
    pub fn page_count(&self) -> u32 {
        // Bounded by GENESIS_BYTES_MAX.
        self.pages.len() as u32
    }

    /// Pages the heap reaches to: a vat's limit is at least this.
    pub fn extent(&self) -> u32 {
        self.pages.last_key_value().map_or(0, |(&page, _)| page + 1)
    }

    pub(crate) fn page(&self, page: u32) -> Option<&Page> {
        self.pages.get(&page).map(|(_, content)| &**content)
    }

    /// The pages that are not zeros, consecutive ones together: the number of the first, and their
    /// content. Creating a vat writes them twice, and a write costs more than its pages.
    pub fn ranges(&self) -> impl Iterator<Item = (u32, Vec<u8>)> {
        let mut pages = self.pages.iter().peekable();
        std::iter::from_fn(move || {
            let (&first, (_, content)) = pages.next()?;
            let (mut next, mut bytes) = (first + 1, content.to_vec());
            while bytes.len() < RANGE_BYTES_MAX
                && let Some((_, (_, content))) = pages.next_if(|(page, _)| **page == next)
            {
                bytes.extend_from_slice(&content[..]);
                next += 1;
            }
            Some((first, bytes))
        })
    }

    /// Page, checksum and content of each page, in order.
    pub(crate) fn pages(&self) -> impl Iterator<Item = (u32, u32, &Page)> {
        self.pages
            .iter()
            .map(|(&page, (crc, content))| (page, *crc, &**content))
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let per_page = ENTRY_BYTES + PAGE_BYTES;
        let mut out = Vec::with_capacity(HEADER_BYTES + self.pages.len() * per_page);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&GENESIS_VERSION.to_le_bytes());
        out.extend_from_slice(&self.page_count().to_le_bytes());
        out.extend_from_slice(&self.sha256);
        for (page, crc, _) in self.pages() {
            out.extend_from_slice(&page.to_le_bytes());
            out.extend_from_slice(&crc.to_le_bytes());
        }
        self.pages()
            .for_each(|(_, _, content)| out.extend_from_slice(content));
        out
    }

    /// Parses a genesis file; what is wrong is reported with its place.
    pub(crate) fn parse(bytes: &[u8], file: &str, sha256: &[u8; 32]) -> Result<Genesis, OpenError> {
        let damage = |at: usize, what: &str| OpenError::Damaged(Damage::new(file, at as u64, what));
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Err(damage(bytes.len(), "shorter than its header"));
        };
        let [
            m0,
            m1,
            m2,
            m3,
            m4,
            m5,
            m6,
            m7,
            v0,
            v1,
            v2,
            v3,
            p0,
            p1,
            p2,
            p3,
            hash @ ..,
        ] = header;
        if [*m0, *m1, *m2, *m3, *m4, *m5, *m6, *m7] != *MAGIC {
            return Err(damage(0, "not a genesis image"));
        }
        let version = u32::from_le_bytes([*v0, *v1, *v2, *v3]);
        if version != GENESIS_VERSION {
            return Err(OpenError::other_version(
                file,
                version.into(),
                GENESIS_VERSION.into(),
            ));
        }
        if hash != sha256 {
            return Err(damage(16, "the hash is not the catalog's"));
        }
        let count = u32::from_le_bytes([*p0, *p1, *p2, *p3]) as usize;
        if rest.len() as u64 != count as u64 * (ENTRY_BYTES + PAGE_BYTES) as u64 {
            return Err(damage(12, "the file's length is not that of its pages"));
        }
        let (entries, contents) = rest.split_at(count * ENTRY_BYTES);
        let mut pages = BTreeMap::new();
        let list = entries
            .chunks_exact(ENTRY_BYTES)
            .zip(contents.chunks_exact(PAGE_BYTES));
        for (place, (entry, content)) in list.enumerate() {
            let at = HEADER_BYTES + place * ENTRY_BYTES;
            let page = parse_page(entry, content).ok_or_else(|| {
                damage(
                    at,
                    &format!("page {place} of the image does not match its checksum"),
                )
            })?;
            if pages
                .last_key_value()
                .is_some_and(|(&last, _)| last >= page.0)
            {
                return Err(damage(at, "the pages are not in order"));
            }
            pages.insert(page.0, page.1);
        }
        let genesis = Genesis::of(pages);
        if genesis.sha256 != *sha256 {
            return Err(damage(HEADER_BYTES, "the content's hash does not match"));
        }
        Ok(genesis)
    }
}

/// Page number and content, if the checksum is right.
fn parse_page(entry: &[u8], content: &[u8]) -> Option<(u32, Box<Page>)> {
    let (page, crc) = entry.split_first_chunk::<4>()?;
    let page = u32::from_le_bytes(*page);
    let crc = u32::from_le_bytes(crc.try_into().ok()?);
    let content: Page = content.try_into().ok()?;
    (page < PAGE_LIMIT_MAX && crc32fast::hash(&content) == crc).then(|| (page, Box::new(content)))
}

/// SHA-256 of a heap: of each page that is not all zeros, in order, its number (u32 LE) and its
/// bytes. Pages of zeros are left out because a hole and written zeros are the same heap.
#[derive(Default)]
pub(crate) struct HeapHasher(Sha256);

impl HeapHasher {
    pub(crate) fn page(&mut self, page: u32, content: &Page) {
        if *content != ZERO_PAGE {
            self.0.update(page.to_le_bytes());
            self.0.update(content);
        }
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::{push_run, push_zeros};

    fn genesis() -> Genesis {
        let mut bytes = Vec::new();
        push_run(&mut bytes, 1, 5, &[7; 16]);
        push_run(&mut bytes, 2, 0, &[0; 8]);
        push_zeros(&mut bytes, 3..9);
        push_run(&mut bytes, 9, 511, &[8; 8]);
        Genesis::from_delta(&Delta::parse(bytes, 10).unwrap()).unwrap()
    }

    #[test]
    fn it_comes_back_without_its_pages_of_zeros() {
        let first = genesis();
        assert_eq!((first.page_count(), first.extent()), (2, 10));
        let bytes = first.encode();
        assert_eq!(Genesis::parse(&bytes, "g", &first.sha256()).unwrap(), first);
        assert_eq!(first.page(2), None);
        assert_eq!(first.page(1).unwrap()[40..56], [7; 16]);
    }

    #[test]
    fn pages_that_follow_each_other_are_one_range_up_to_its_bound() {
        let most = (RANGE_BYTES_MAX / PAGE_BYTES) as u32;
        let pages = [1, 2, 4].into_iter().chain(10..10 + most + 3);
        let mut bytes = Vec::new();
        for page in pages.clone() {
            push_run(&mut bytes, page, 0, &u64::from(page).to_le_bytes());
        }
        let limit = 20 + most;
        let genesis = Genesis::from_delta(&Delta::parse(bytes, limit).unwrap()).unwrap();
        let ranges: Vec<_> = genesis.ranges().collect();
        let firsts: Vec<_> = ranges.iter().map(|(first, _)| *first).collect();
        assert_eq!(firsts, [1, 4, 10, 10 + most]);
        let probed = ranges.iter().flat_map(|(first, bytes)| {
            let content = bytes.chunks_exact(PAGE_BYTES);
            (*first..).zip(content.map(|page| u64::from_le_bytes(page[..8].try_into().unwrap())))
        });
        assert!(probed.eq(pages.map(|page| (page, u64::from(page)))));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let first = genesis();
        let bytes = first.encode();
        let parse = |bytes: &[u8]| Genesis::parse(bytes, "g", &first.sha256());
        for bit in (0..bytes.len() * 8).filter(|bit| bit < &1000 || bit % 61 == 0) {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(parse(&flipped).is_err(), "bit {bit}");
        }
        for len in [0, 7, 47, 48, 63, bytes.len() - 1] {
            assert!(parse(&bytes[..len]).is_err(), "{len} bytes");
        }
        assert!(parse(&[&bytes[..], &[0]].concat()).is_err());
        let mut newer = bytes;
        newer[8] = 2;
        assert!(parse(&newer).unwrap_err().to_string().contains("newer"));
    }
}
