//! A sector: 512 bytes, of which the disk promises that they are written whole or not at all.
//!
//! ```text
//!   0  sequence: u64 LE   the frame's number; never 0, never used for another frame
//!   8  index: u32 LE      the sector's place in its frame
//!  12  crc: u32 LE        CRC-32 of stamp key, bytes 0..12, bytes 16..512
//!  16  content            496 bytes
//! ```
//! The stamp comes first, so that content that a contract controls never lies where a stamp is
//! expected. Its checksum is seeded with a key that contracts cannot know (J4).

/// Bytes of a sector.
pub(crate) const SECTOR_BYTES: usize = 512;
const STAMP_BYTES: usize = 16;
/// Bytes of content in a sector.
pub(crate) const CONTENT_BYTES: usize = SECTOR_BYTES - STAMP_BYTES;

/// Checksums with the store's key hashed first.
#[derive(Clone)]
pub(crate) struct StampKey {
    keyed: crc32fast::Hasher,
}

impl std::fmt::Debug for StampKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StampKey(..)")
    }
}

impl StampKey {
    pub(crate) fn new(key: &[u8; 16]) -> StampKey {
        let mut keyed = crc32fast::Hasher::new();
        keyed.update(key);
        StampKey { keyed }
    }

    /// CRC-32 of the key and then `chunks`.
    pub(crate) fn checksum(&self, chunks: &[&[u8]]) -> u32 {
        let mut hasher = self.keyed.clone();
        chunks.iter().for_each(|chunk| hasher.update(chunk));
        hasher.finalize()
    }
}

/// What 512 bytes on disk are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sector {
    /// Never written, or dropped.
    Zero,
    /// Stamped, checksum right.
    Stamped { sequence: u64, index: u32 },
    /// Neither: damage.
    Bad,
}

/// Classifies a sector.
pub(crate) fn classify(key: &StampKey, sector: &[u8; SECTOR_BYTES]) -> Sector {
    let [
        s0,
        s1,
        s2,
        s3,
        s4,
        s5,
        s6,
        s7,
        i0,
        i1,
        i2,
        i3,
        c0,
        c1,
        c2,
        c3,
        content @ ..,
    ] = sector;
    let sequence = u64::from_le_bytes([*s0, *s1, *s2, *s3, *s4, *s5, *s6, *s7]);
    if sequence == 0 {
        return if sector.iter().all(|&byte| byte == 0) {
            Sector::Zero
        } else {
            Sector::Bad
        };
    }
    let index = u32::from_le_bytes([*i0, *i1, *i2, *i3]);
    let claimed = u32::from_le_bytes([*c0, *c1, *c2, *c3]);
    let found = key.checksum(&[&sequence.to_le_bytes(), &index.to_le_bytes(), content]);
    if found == claimed {
        Sector::Stamped { sequence, index }
    } else {
        Sector::Bad
    }
}

/// The content of a sector, whatever it is.
pub(crate) fn content(sector: &[u8; SECTOR_BYTES]) -> &[u8] {
    sector.get(STAMP_BYTES..).unwrap_or_default()
}

/// Appends the sectors that carry `head` and then `body`, the last one padded with zeros. Returns
/// their number.
///
/// # Panics
/// If sequence is 0, or the sectors are more than a `u32` counts: frames are bounded far below.
pub(crate) fn stamp(
    key: &StampKey,
    sequence: u64,
    head: &[u8],
    body: &[u8],
    out: &mut Vec<u8>,
) -> u32 {
    assert!(sequence != 0, "numbers begin at 1");
    let count = sectors_of(head.len() + body.len());
    out.reserve(count * SECTOR_BYTES);
    let (mut head, mut body) = (head, body);
    for index in 0..count {
        let index = u32::try_from(index).expect("frames are bounded");
        let start = out.len();
        out.extend_from_slice(&sequence.to_le_bytes());
        out.extend_from_slice(&index.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        let space = take(&mut head, CONTENT_BYTES, out);
        let space = take(&mut body, space, out);
        out.resize(out.len() + space, 0);
        let (stamp, content) = out[start..].split_at(STAMP_BYTES);
        let crc = key.checksum(&[&stamp[..12], content]);
        out[start + 12..start + 16].copy_from_slice(&crc.to_le_bytes());
    }
    count as u32
}

/// Moves at most `space` bytes from the front of `from`; returns the space left.
fn take(from: &mut &[u8], space: usize, out: &mut Vec<u8>) -> usize {
    let (now, later) = from.split_at(from.len().min(space));
    out.extend_from_slice(now);
    *from = later;
    space - now.len()
}

/// Sectors that `bytes` of head and body need; one at least.
pub(crate) fn sectors_of(bytes: usize) -> usize {
    bytes.div_ceil(CONTENT_BYTES).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 16] = [3; 16];

    fn sectors(sequence: u64, body: &[u8]) -> Vec<[u8; SECTOR_BYTES]> {
        let mut out = Vec::new();
        stamp(&StampKey::new(&KEY), sequence, b"head", body, &mut out);
        out.chunks_exact(SECTOR_BYTES)
            .map(|sector| sector.try_into().unwrap())
            .collect()
    }

    #[test]
    fn content_is_carried_and_each_sector_knows_its_place() {
        let body: Vec<u8> = (0..1200).map(|n| n as u8).collect();
        let list = sectors(7, &body);
        assert_eq!(list.len(), 3);
        let carried: Vec<u8> = list.iter().flat_map(content).copied().collect();
        assert_eq!(&carried[..4], b"head");
        assert_eq!(&carried[4..1204], body);
        assert!(carried[1204..].iter().all(|&byte| byte == 0));
        for (index, sector) in (0..).zip(&list) {
            let found = classify(&StampKey::new(&KEY), sector);
            assert_eq!(found, Sector::Stamped { sequence: 7, index });
        }
    }

    #[test]
    fn every_flipped_bit_makes_a_sector_bad_and_never_old() {
        let sector = sectors(1, b"content")[0];
        for bit in 0..SECTOR_BYTES * 8 {
            let mut flipped = sector;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                classify(&StampKey::new(&KEY), &flipped),
                Sector::Bad,
                "bit {bit}"
            );
            let mut zeros = [0; SECTOR_BYTES];
            zeros[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                classify(&StampKey::new(&KEY), &zeros),
                Sector::Bad,
                "bit {bit} of zeros"
            );
        }
        assert_eq!(
            classify(&StampKey::new(&KEY), &[0; SECTOR_BYTES]),
            Sector::Zero
        );
    }

    #[test]
    fn a_stamp_made_with_another_key_is_bad() {
        let sector = sectors(9, b"forged")[0];
        assert_eq!(classify(&StampKey::new(&[4; 16]), &sector), Sector::Bad);
    }
}
