//! The structured part of frames and of the store's own rows: the one door to bincode.
//!
//! Promises: what `encode` writes, `decode` reads back equal; bytes left over are an error; a
//! length in the bytes reserves nothing beyond the bytes that are there. Byte by byte in FORMAT.md
//! ("Coding"): a change of a type here is a new format version.

use crate::ids::{EngineHash, VatId};
use bincode::{BorrowDecode, Decode, Encode};

/// One part of a frame's body, borrowing the bytes that stand in it verbatim.
#[derive(Clone, Debug, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) enum PartRecord<'a> {
    Create {
        vat: u64,
        engine: [u8; 32],
        page_limit: u32,
    },
    Heap {
        vat: u64,
        delta: &'a [u8],
    },
    Log {
        vat: u64,
        bytes: &'a [u8],
    },
    Row {
        table: u8,
        key: &'a [u8],
        value: Option<&'a [u8]>,
    },
    Terminate {
        vat: u64,
    },
    /// Last in each frame, one a vat: `page: u32 LE, crc: u32 LE` of each page the frame's deltas
    /// name, as of the frame's end, sorted by page (I3).
    Pages {
        vat: u64,
        checksums: &'a [u8],
    },
    /// What is too large for a frame stands in a file of its own: changes of a heap, page checksums
    /// included, rows, log (J7).
    Side(SideRecord),
}

/// A side file as a frame names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct SideRecord {
    pub vat: u64,
    pub id: u64,
    pub bytes: u64,
    pub sha256: [u8; 32],
}

/// A side file that was found damaged before all of it was where it belongs: that vat stays where
/// it is. Kept as long as the vat.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct LostRecord {
    pub side: u64,
    pub offset: u64,
    pub what: String,
}

/// What makes this store this store; one row, written once.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct StoreRecord {
    /// In every segment's header, so that a foreign segment is known. Not secret.
    pub store_id: [u8; 16],
    /// Seeds the stamps of sectors (J4). No worker ever sees it.
    pub stamp_key: [u8; 16],
    pub log_file_bytes: u64,
}

/// Up to where images, logs and catalog hold what the journal held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct FoldRecord {
    /// The last frame folded; 0 before the first.
    pub sequence: u64,
    /// Where the next frame begins.
    pub segment: u32,
    pub offset: u64,
    /// The lowest vat id never used.
    pub next_vat: u64,
}

/// Written at each open, before anything found is acted on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct OpenRecord {
    pub opens: u64,
    /// No frame gets a number below this one: numbers of dropped frames stay unused (J4).
    pub sequence_floor: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct VatRecord {
    pub engine: [u8; 32],
    pub page_limit: u32,
}

/// A vat's log: how far it goes, and a checksum of each block of 64 KiB still kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct LogRecord {
    pub end: u64,
    pub checksums: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct EngineRecord {
    pub executable_bytes: u64,
    pub genesis_pages: u32,
    pub genesis_sha256: [u8; 32],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct SegmentRecord {
    pub bytes: u64,
}

/// How many rows the catalog has and the sum of their checksums: a row that vanished is noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct TallyRecord {
    pub rows: u64,
    pub sum: u64,
}

/// Why bytes were not what they should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("{0} bytes too many")]
    Trailing(usize),
    #[error("not decodable: {0}")]
    Malformed(bincode::error::DecodeError),
}

/// Appends the coded value.
pub(crate) fn encode_onto<T: Encode>(value: &T, out: &mut Vec<u8>) {
    bincode::encode_into_std_write(value, out, bincode::config::standard())
        .expect("writing to a Vec cannot fail");
}

pub(crate) fn encode<T: Encode>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    encode_onto(value, &mut out);
    out
}

/// Decodes a row of the store's own.
pub(crate) fn decode<T: Decode<()>>(bytes: &[u8]) -> Result<T, DecodeError> {
    // No row of the store's own comes near this; a forged length in one reserves no more.
    const ROW_BYTES_MAX: usize = 16 << 20;
    let config = bincode::config::standard().with_limit::<ROW_BYTES_MAX>();
    let (value, read) =
        bincode::decode_from_slice(bytes, config).map_err(DecodeError::Malformed)?;
    match bytes.len() - read {
        0 => Ok(value),
        rest => Err(DecodeError::Trailing(rest)),
    }
}

/// The first part of a body and the rest. Parts borrow from the body, so nothing is reserved.
pub(crate) fn decode_part(body: &[u8]) -> Result<(PartRecord<'_>, &[u8]), DecodeError> {
    let (part, read) = bincode::borrow_decode_from_slice(body, bincode::config::standard())
        .map_err(DecodeError::Malformed)?;
    Ok((part, body.get(read..).unwrap_or_default()))
}

impl VatRecord {
    pub(crate) fn engine(&self) -> EngineHash {
        EngineHash(self.engine)
    }
}

/// A vat's number as a key: big-endian, so that rows lie in the order of ids.
pub(crate) fn vat_key(vat: VatId) -> [u8; 8] {
    vat.0.to_be_bytes()
}

/// The vat a key names.
pub(crate) fn vat_of_key(key: &[u8]) -> Option<VatId> {
    Some(VatId(u64::from_be_bytes(key.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_one_after_the_other() {
        let parts = [
            PartRecord::Create {
                vat: 1 << 40,
                engine: [9; 32],
                page_limit: 5,
            },
            PartRecord::Heap {
                vat: 2,
                delta: &[1; 300],
            },
            PartRecord::Log {
                vat: 3,
                bytes: b"line",
            },
            PartRecord::Row {
                table: 1,
                key: b"k",
                value: Some(b""),
            },
            PartRecord::Row {
                table: 127,
                key: b"",
                value: None,
            },
            PartRecord::Terminate { vat: 0 },
            PartRecord::Pages {
                vat: 2,
                checksums: &[0; 8],
            },
            PartRecord::Side(SideRecord {
                vat: 2,
                id: 1 << 32,
                bytes: 9 << 20,
                sha256: [3; 32],
            }),
        ];
        let mut body = Vec::new();
        parts.iter().for_each(|part| encode_onto(part, &mut body));
        let mut rest = &body[..];
        for part in &parts {
            let (found, tail) = decode_part(rest).unwrap();
            assert_eq!(&found, part);
            rest = tail;
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn cut_or_forged_bytes_are_refused() {
        let bytes = encode(&LogRecord {
            end: 70_000,
            checksums: vec![1, 2],
        });
        assert!(decode::<LogRecord>(&bytes[..bytes.len() - 1]).is_err());
        assert!(decode::<LogRecord>(&[&bytes[..], &[0]].concat()).is_err());
        // A vector said to hold 2^60 checksums.
        assert!(decode::<LogRecord>(&[0, 253, 0, 0, 0, 0, 0, 0, 0, 16]).is_err());
        // A delta said to be longer than the body.
        assert!(decode_part(&[1, 2, 251, 255, 255, 0]).is_err());
        assert!(decode_part(&[7]).is_err());
    }
}
