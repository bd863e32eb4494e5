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
    /// A spill file with what is too large for a frame: changes of a heap with page checksums,
    /// rows, log (J7).
    Spill(SpillRecord),
}

/// A spill file as a frame names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct SpillRecord {
    pub vat: u64,
    pub id: u64,
    pub bytes: u64,
    pub sha256: [u8; 32],
}

/// A lost write: a spill file that was found damaged before all of it was applied. Its vat does not
/// start again. Kept as long as the vat.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct LostWriteRecord {
    pub spill: u64,
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

/// The frame up to which images, logs and catalog are durable.
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

/// The log of a vat: its end, and a checksum of each kept block of 64 KiB.
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
            PartRecord::Spill(SpillRecord {
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

    /// What stands in stores everywhere: FORMAT.md ("Coding"). A change here is a new format.
    const PART_BYTES: [(PartRecord<'_>, &str); 9] = [
        (
            PartRecord::Create {
                vat: 1 << 40,
                engine: [9; 32],
                page_limit: 65_536,
            },
            concat!(
                "00fd000000000001000009090909090909090909090909090909090909090909",
                "09090909090909090909fc00000100"
            ),
        ),
        (
            PartRecord::Heap {
                vat: 250,
                delta: &[7; 3],
            },
            "01fa03070707",
        ),
        (
            PartRecord::Log {
                vat: 251,
                bytes: b"line",
            },
            "02fbfb00046c696e65",
        ),
        (
            PartRecord::Row {
                table: 127,
                key: b"k",
                value: Some(b"v"),
            },
            "037f016b010176",
        ),
        (
            PartRecord::Row {
                table: 255,
                key: b"",
                value: None,
            },
            "03ff0000",
        ),
        (
            PartRecord::Terminate { vat: u64::MAX },
            "04fdffffffffffffffff",
        ),
        (
            PartRecord::Pages {
                vat: 2,
                checksums: &[1, 0, 0, 0, 0xef, 0xbe, 0xad, 0xde],
            },
            "05020801000000efbeadde",
        ),
        (
            PartRecord::Spill(SpillRecord {
                vat: 3,
                id: 1 << 32,
                bytes: 70_000,
                sha256: [3; 32],
            }),
            concat!(
                "0603fd0000000001000000fc7011010003030303030303030303030303030303",
                "03030303030303030303030303030303"
            ),
        ),
        (PartRecord::Heap { vat: 0, delta: &[] }, "010000"),
    ];

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn parts_have_the_bytes_of_this_format() {
        for (part, bytes) in &PART_BYTES {
            assert_eq!(hex(&encode(part)), *bytes, "{part:?}");
        }
    }

    #[test]
    fn rows_of_the_store_have_the_bytes_of_this_format() {
        let rows = [
            (
                encode(&StoreRecord {
                    store_id: [1; 16],
                    stamp_key: [2; 16],
                    log_file_bytes: 8 << 20,
                }),
                concat!(
                    "0101010101010101010101010101010102020202020202020202020202020202",
                    "fc00008000"
                ),
            ),
            (
                encode(&FoldRecord {
                    sequence: 300,
                    segment: 4,
                    offset: 512,
                    next_vat: 5,
                }),
                "fb2c0104fb000205",
            ),
            (
                encode(&OpenRecord {
                    opens: 2,
                    sequence_floor: 301,
                }),
                "02fb2d01",
            ),
            (
                encode(&TallyRecord {
                    rows: 9,
                    sum: u64::MAX,
                }),
                "09fdffffffffffffffff",
            ),
            (
                encode(&VatRecord {
                    engine: [9; 32],
                    page_limit: 256,
                }),
                "0909090909090909090909090909090909090909090909090909090909090909fb0001",
            ),
            (
                encode(&LogRecord {
                    end: 70_000,
                    checksums: vec![1, 0xdead_beef],
                }),
                "fc701101000201fcefbeadde",
            ),
            (
                encode(&EngineRecord {
                    executable_bytes: 3_000_000,
                    genesis_pages: 140,
                    genesis_sha256: [8; 32],
                }),
                concat!(
                    "fcc0c62d008c0808080808080808080808080808080808080808080808080808",
                    "080808080808"
                ),
            ),
            (encode(&SegmentRecord { bytes: 4 << 20 }), "fc00004000"),
            (
                encode(&LostWriteRecord {
                    spill: 1 << 32,
                    offset: 12,
                    what: "piece".into(),
                }),
                "fd00000000010000000c057069656365",
            ),
        ];
        for (bytes, expected) in &rows {
            assert_eq!(hex(bytes), *expected);
        }
    }

    /// Every byte of a part changed to every value, cut anywhere, and noise: read or refused, with
    /// nothing reserved beyond what is there. None may panic.
    #[test]
    fn whatever_the_bytes_they_are_read_or_refused() {
        let read = |bytes: &[u8]| {
            if let Ok((part, rest)) = decode_part(bytes) {
                assert!(rest.len() < bytes.len(), "{part:?} took nothing");
            }
            let _ = decode::<LogRecord>(bytes);
            let _ = decode::<LostWriteRecord>(bytes);
            let _ = decode::<StoreRecord>(bytes);
        };
        for (part, _) in &PART_BYTES {
            let mut bytes = encode(part);
            for at in 0..bytes.len() {
                read(&bytes[..at]);
                let was = bytes[at];
                for value in 0..=255 {
                    bytes[at] = value;
                    read(&bytes);
                }
                bytes[at] = was;
            }
        }
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut noise = [0; 64];
        for _ in 0..20_000 {
            for byte in &mut noise {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                *byte = state as u8;
            }
            // Half of them begin like a part.
            noise[0] %= 16;
            read(&noise);
        }
    }
}
