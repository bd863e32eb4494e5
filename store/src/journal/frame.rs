//! A frame: what one commit makes durable together.
//!
//! ```text
//!   0  kind: u16 LE          1 parts, 2 end of segment
//!   2  version: u16 LE       of this layout and of the parts' coding
//!   4  sectors: u32 LE       of the whole frame
//!   8  predecessor: u64 LE   number of the frame before; 0 for the first
//!  16  body_bytes: u32 LE
//!  20  crc: u32 LE           CRC-32 of stamp key, sequence, bytes 0..20, body
//!  24  body                  parts, one after the other; or the next segment's number (u32 LE)
//! ```
//! This is the concatenated content of the sectors of the frame. The length comes early, so that
//! the reader knows how many sectors to read before it trusts any. The predecessor is named because
//! numbers may be skipped, and a skipped number must not look like a lost frame.

use super::sector::{self, StampKey};

/// Bytes of the head.
pub(crate) const HEAD_BYTES: usize = 24;
/// What this program writes.
pub(crate) const FRAME_VERSION: u16 = 3;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Parts of a commit.
    Parts,
    /// The journal goes on in the segment the body names.
    End,
}

impl Kind {
    fn code(self) -> u16 {
        match self {
            Kind::Parts => 1,
            Kind::End => 2,
        }
    }
}

/// The head of a frame; it is trusted as far as its sector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub kind: Kind,
    pub sectors: u32,
    pub predecessor: u64,
    pub body_bytes: u32,
    pub crc: u32,
}

/// Why a head is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadError {
    Version(u16),
    Kind(u16),
    /// The number of sectors is not what the body needs.
    Length,
}

/// Sectors of a frame with a body of this length.
pub(crate) fn sectors_of_body(body_bytes: usize) -> usize {
    sector::sectors_of(HEAD_BYTES + body_bytes)
}

/// Appends a frame's sectors.
///
/// # Panics
/// If the body is longer than a `u32` counts; it is bounded when parts are staged.
pub(crate) fn encode(
    key: &StampKey,
    sequence: u64,
    kind: Kind,
    predecessor: u64,
    body: &[u8],
    out: &mut Vec<u8>,
) {
    let sectors = u32::try_from(sectors_of_body(body.len())).expect("bodies are bounded");
    let body_bytes = u32::try_from(body.len()).expect("bodies are bounded");
    let mut head = [0; HEAD_BYTES];
    head[0..2].copy_from_slice(&kind.code().to_le_bytes());
    head[2..4].copy_from_slice(&FRAME_VERSION.to_le_bytes());
    head[4..8].copy_from_slice(&sectors.to_le_bytes());
    head[8..16].copy_from_slice(&predecessor.to_le_bytes());
    head[16..20].copy_from_slice(&body_bytes.to_le_bytes());
    let crc = key.checksum(&[&sequence.to_le_bytes(), &head[..20], body]);
    head[20..24].copy_from_slice(&crc.to_le_bytes());
    let stamped = sector::stamp(key, sequence, &head, body, out);
    debug_assert_eq!(stamped, sectors);
}

/// Reads a head from the content of a frame's first sector.
pub(crate) fn parse_head(content: &[u8]) -> Result<Head, HeadError> {
    let head = content
        .first_chunk::<HEAD_BYTES>()
        .ok_or(HeadError::Length)?;
    let [k0, k1, v0, v1, s0, s1, s2, s3, rest @ ..] = *head;
    let [
        p0,
        p1,
        p2,
        p3,
        p4,
        p5,
        p6,
        p7,
        b0,
        b1,
        b2,
        b3,
        c0,
        c1,
        c2,
        c3,
    ] = rest;
    let version = u16::from_le_bytes([v0, v1]);
    if version != FRAME_VERSION {
        return Err(HeadError::Version(version));
    }
    let kind = match u16::from_le_bytes([k0, k1]) {
        1 => Kind::Parts,
        2 => Kind::End,
        other => return Err(HeadError::Kind(other)),
    };
    let head = Head {
        kind,
        sectors: u32::from_le_bytes([s0, s1, s2, s3]),
        predecessor: u64::from_le_bytes([p0, p1, p2, p3, p4, p5, p6, p7]),
        body_bytes: u32::from_le_bytes([b0, b1, b2, b3]),
        crc: u32::from_le_bytes([c0, c1, c2, c3]),
    };
    if sectors_of_body(head.body_bytes as usize) != head.sectors as usize {
        return Err(HeadError::Length);
    }
    Ok(head)
}

/// Whether `body` is what the head was written for.
pub(crate) fn crc_matches(key: &StampKey, sequence: u64, head: &Head, body: &[u8]) -> bool {
    let mut bytes = [0; 20];
    bytes[0..2].copy_from_slice(&head.kind.code().to_le_bytes());
    bytes[2..4].copy_from_slice(&FRAME_VERSION.to_le_bytes());
    bytes[4..8].copy_from_slice(&head.sectors.to_le_bytes());
    bytes[8..16].copy_from_slice(&head.predecessor.to_le_bytes());
    bytes[16..20].copy_from_slice(&head.body_bytes.to_le_bytes());
    key.checksum(&[&sequence.to_le_bytes(), &bytes, body]) == head.crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_comes_back_and_other_versions_and_kinds_are_named() {
        let key = StampKey::new(&[1; 16]);
        let mut out = Vec::new();
        encode(&key, 5, Kind::Parts, 3, &[9; 1000], &mut out);
        let content = &out[16..512];
        let head = parse_head(content).unwrap();
        assert_eq!(
            (head.kind, head.sectors, head.predecessor),
            (Kind::Parts, 3, 3)
        );
        assert!(crc_matches(&key, 5, &head, &[9; 1000]));
        assert!(!crc_matches(&key, 6, &head, &[9; 1000]));
        let change = |at: usize, to: u8| {
            let mut content = content.to_vec();
            content[at] = to;
            parse_head(&content).unwrap_err()
        };
        let newer = FRAME_VERSION + 1;
        assert_eq!(change(2, newer as u8), HeadError::Version(newer));
        assert_eq!(change(0, 7), HeadError::Kind(7));
        assert_eq!(change(4, 2), HeadError::Length);
        assert_eq!(parse_head(&content[..23]).unwrap_err(), HeadError::Length);
    }

    /// A frame as it stands in journals everywhere: FORMAT.md section 1. A change is a new format.
    #[test]
    fn a_frame_has_the_bytes_of_this_format() {
        let key = StampKey::new(&[1; 16]);
        let mut out = Vec::new();
        encode(
            &key,
            5,
            Kind::Parts,
            3,
            &[3, 127, 1, b'k', 1, 1, b'v'],
            &mut out,
        );
        let hex: String = out[..64].iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = concat!(
            "050000000000000000000000c5b3224a01000300010000000300000000000000",
            "07000000175a1d8a037f016b0101760000000000000000000000000000000000"
        );
        assert_eq!(hex, expected);
        assert_eq!(out.len(), 512);
        assert!(out[47..].iter().all(|byte| *byte == 0));
    }
}
