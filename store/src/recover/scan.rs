//! Reading the journal from the fold position to its end.
//!
//! Promises: reads only; every length is checked against the segment before it is used; each byte
//! is read once, and the body of a frame is passed on as soon as the frame is known to be
//! committed.

use super::Dropped;
use super::case::Case;
use super::probe::Reader;
use crate::backend::File;
use crate::codec::FoldRecord;
use crate::error::{Damage, OpenError, StoreError};
use crate::journal::frame::{self, HEAD_BYTES, Kind};
use crate::journal::sector::{self, CONTENT_BYTES, SECTOR_BYTES, StampKey};
use crate::journal::segment::{self, FIRST_FRAME, Segment};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// The place of a committed frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub sequence: u64,
    pub segment: u32,
    pub offset: u64,
    pub sectors: u32,
    pub kind: Kind,
}

impl Place {
    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.sectors) * SECTOR_BYTES as u64
    }
}

/// What the journal holds after the fold position.
#[derive(Debug)]
pub(crate) struct Found {
    pub frames: Vec<Place>,
    /// Segments in the order of their frames; the last one is continued.
    pub chain: Vec<u32>,
    /// Where the journal ends.
    pub offset: u64,
    pub sequence: u64,
    pub torn: Option<Torn>,
}

/// A frame that a crash cut off, and the length of the range of its sectors.
#[derive(Clone, Debug)]
pub(crate) struct Torn {
    pub dropped: Dropped,
    pub bytes: u64,
}

/// Segments by number.
pub(crate) type Segments<F> = BTreeMap<u32, Segment<F>>;

/// Reads the journal from the fold position on.
pub(crate) fn scan<F: File>(
    segments: &Segments<F>,
    key: &StampKey,
    fold: &FoldRecord,
) -> Result<Found, OpenError> {
    scan_with(segments, key, fold, |_, _| {})
}

/// The same; passes the body of each committed frame with parts to `take`.
pub(crate) fn scan_with<F: File>(
    segments: &Segments<F>,
    key: &StampKey,
    fold: &FoldRecord,
    mut take: impl FnMut(Place, Vec<u8>),
) -> Result<Found, OpenError> {
    let read_ahead = ReadAhead::default();
    let mut found = Found {
        frames: Vec::new(),
        chain: vec![fold.segment],
        offset: fold.offset,
        sequence: fold.sequence,
        torn: None,
    };
    let mut number = fold.segment;
    loop {
        let segment = segments.get(&number).ok_or_else(|| {
            Damage::new(
                segment::path(number),
                0,
                "the journal goes on here and it is missing",
            )
        })?;
        let sectors = SECTOR_BYTES as u64;
        if !found.offset.is_multiple_of(sectors) || !segment.bytes.is_multiple_of(sectors) {
            return Err(Damage::new(segment::path(number), found.offset, "not at a sector").into());
        }
        let reader = Reader {
            segment,
            segments,
            read_ahead: &read_ahead,
            key,
            chain: &found.chain,
            last: found.sequence,
        };
        let (case, probed) = reader.probe(found.offset)?;
        match case {
            Case::Committed => {}
            Case::End => return Ok(found),
            Case::Torn => {
                found.torn = Some(reader.torn(&probed, found.offset));
                return Ok(found);
            }
            damage => {
                let damage = Damage::new(segment::path(number), probed.at, damage.what());
                return Err(probed.named.unwrap_or(damage.into()));
            }
        }
        let place = probed.place(number, found.offset)?;
        found.frames.push(place);
        found.sequence = place.sequence;
        found.offset += place.bytes();
        match place.kind {
            Kind::Parts => take(place, probed.body),
            Kind::End => {
                number = next_segment(&probed.body, &found.chain, &place)?;
                found.chain.push(number);
                found.offset = FIRST_FRAME;
            }
        }
    }
}

/// Reads consecutive ranges with fewer system calls: reads more than was asked for and keeps it for
/// the next read.
#[derive(Debug, Default)]
pub(crate) struct ReadAhead(RefCell<Chunk>);

#[derive(Debug, Default)]
struct Chunk {
    segment: u32,
    offset: u64,
    bytes: Vec<u8>,
}

impl ReadAhead {
    /// Passes a range of a segment to `see`.
    pub(crate) fn probe<F: File, T>(
        &self,
        segment: &Segment<F>,
        offset: u64,
        len: u64,
        see: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, OpenError> {
        const CHUNK_BYTES: u64 = 256 << 10;
        let mut chunk = self.0.borrow_mut();
        if chunk.get(segment.number, offset, len).is_none() {
            let rest = segment.bytes.saturating_sub(offset);
            // If the larger range cannot be read, only the requested one counts.
            let wanted = rest.min(CHUNK_BYTES);
            if wanted <= len || chunk.fill(segment, offset, wanted).is_err() {
                chunk.fill(segment, offset, len)?;
            }
        }
        let bytes = chunk.get(segment.number, offset, len);
        Ok(see(bytes.unwrap_or_default()))
    }
}

impl Chunk {
    fn get(&self, segment: u32, offset: u64, len: u64) -> Option<&[u8]> {
        if self.segment != segment {
            return None;
        }
        let from = usize::try_from(offset.checked_sub(self.offset)?).ok()?;
        let to = from.checked_add(usize::try_from(len).ok()?)?;
        self.bytes.get(from..to)
    }

    fn fill<F: File>(
        &mut self,
        segment: &Segment<F>,
        offset: u64,
        len: u64,
    ) -> Result<(), OpenError> {
        // The buffer is invalid until the read succeeds.
        self.segment = 0;
        let read = read_into(segment, offset, len, &mut self.bytes);
        (self.segment, self.offset) = (segment.number, offset);
        read.inspect_err(|_| self.bytes.clear())
    }
}

/// Reads a range of a segment; an error of the disk says where.
pub(crate) fn read_bytes<F: File>(
    segment: &Segment<F>,
    offset: u64,
    len: u64,
) -> Result<Vec<u8>, OpenError> {
    let mut bytes = Vec::new();
    read_into(segment, offset, len, &mut bytes)?;
    Ok(bytes)
}

/// The same, into a buffer that is reused.
fn read_into<F: File>(
    segment: &Segment<F>,
    offset: u64,
    len: u64,
    into: &mut Vec<u8>,
) -> Result<(), OpenError> {
    let file = || segment::path(segment.number);
    let fits = offset
        .checked_add(len)
        .is_some_and(|end| end <= segment.bytes);
    let len = usize::try_from(len).ok().filter(|_| fits);
    let len = len.ok_or_else(|| Damage::new(file(), offset, "leaves the segment"))?;
    into.resize(len, 0);
    let read = segment.file.read_at(offset, into);
    read.map_err(|source| {
        let (what, file) = ("read", file());
        StoreError::Io { what, file, source }.into()
    })
}

fn next_segment(body: &[u8], chain: &[u32], place: &Place) -> Result<u32, OpenError> {
    let at = |what| Damage::new(segment::path(place.segment), place.offset, what);
    let number = body.try_into().map(u32::from_le_bytes);
    let number = number.map_err(|_| at("the end of the segment names no other"))?;
    if chain.contains(&number) {
        return Err(at("the end of the segment leads back to one already read").into());
    }
    Ok(number)
}

/// The body of a frame with these sectors.
pub(super) fn body_of(bytes: &[u8]) -> Option<(Vec<u8>, frame::Head)> {
    let (sectors, _) = bytes.as_chunks::<SECTOR_BYTES>();
    let head = frame::parse_head(sector::content(sectors.first()?)).ok()?;
    let mut body = Vec::with_capacity(sectors.len() * CONTENT_BYTES);
    let mut backlog = HEAD_BYTES;
    for sector in sectors {
        body.extend_from_slice(sector::content(sector).get(backlog..)?);
        backlog = 0;
    }
    body.truncate(head.body_bytes as usize);
    (body.len() == head.body_bytes as usize).then_some((body, head))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::memory::{MemoryBackend, MemoryFile};

    const SEGMENT_BYTES: u64 = 24 * SECTOR_BYTES as u64;
    const STORE: [u8; 16] = [1; 16];
    const FOLD: FoldRecord = FoldRecord {
        sequence: 9,
        segment: 1,
        offset: FIRST_FRAME,
        next_vat: 1,
    };

    fn key() -> StampKey {
        StampKey::new(&[5; 16])
    }

    /// A journal, and frames written to it one by one.
    struct Bench {
        segments: Segments<MemoryFile>,
        at: u64,
    }

    impl Bench {
        fn new() -> Bench {
            let disk = MemoryBackend::new();
            let make = |number| {
                segment::create(&disk, &STORE, number, SEGMENT_BYTES)
                    .map(|s| (number, s))
                    .unwrap()
            };
            Bench {
                segments: [make(1), make(2)].into(),
                at: FIRST_FRAME,
            }
        }

        /// Writes a frame whose body makes it `sectors` long.
        fn frame(&mut self, sequence: u64, predecessor: u64, sectors: usize) -> Vec<u8> {
            let body = vec![sequence as u8; sectors * CONTENT_BYTES - HEAD_BYTES];
            let mut bytes = Vec::new();
            frame::encode(
                &key(),
                sequence,
                Kind::Parts,
                predecessor,
                &body,
                &mut bytes,
            );
            assert_eq!(bytes.len(), sectors * SECTOR_BYTES);
            self.write(self.at, &bytes);
            self.at += bytes.len() as u64;
            bytes
        }

        fn write(&self, at: u64, bytes: &[u8]) {
            self.segments[&1].file.write_at(at, bytes).unwrap();
        }

        fn scan(&self) -> Result<Found, Damage> {
            match scan(&self.segments, &key(), &FOLD) {
                Ok(found) => Ok(found),
                Err(OpenError::Damaged(damage)) => Err(damage),
                Err(other) => panic!("{other}"),
            }
        }
    }

    #[test]
    fn every_flipped_bit_of_the_last_frame_is_refused_with_its_sector_and_never_dropped() {
        let mut bench = Bench::new();
        bench.frame(10, 9, 2);
        let at = bench.at;
        let last = bench.frame(11, 10, 3);
        assert_eq!(bench.scan().unwrap().sequence, 11);
        for bit in 0..last.len() * 8 {
            let mut flipped = last.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            bench.write(at, &flipped);
            let damage = bench.scan().expect_err(&format!("bit {bit}"));
            let sector = at + (bit / 8 / SECTOR_BYTES * SECTOR_BYTES) as u64;
            assert_eq!(
                (damage.file.as_str(), damage.offset),
                ("journal/00000001", sector)
            );
        }
    }

    #[test]
    fn every_subset_of_the_last_frames_sectors_missing_is_dropped_over_zeros_and_over_old_frames() {
        const SECTORS: usize = 7;
        // What lay there before: nothing, or frames of an earlier use of the segment.
        for earlier in [0, 3, 1] {
            for subset in 1..1u32 << SECTORS {
                let mut bench = Bench::new();
                let mut sequence = 1;
                while earlier != 0 && bench.at + 3 * 512 <= SEGMENT_BYTES && sequence < 9 {
                    bench.frame(sequence, sequence - 1, earlier);
                    sequence += 1;
                }
                bench.at = FIRST_FRAME;
                bench.frame(10, 9, 2);
                let at = bench.at;
                let before = read_bytes(&bench.segments[&1], at, SECTORS as u64 * 512).unwrap();
                bench.frame(12, 10, SECTORS);
                for sector in (0..SECTORS).filter(|sector| subset & (1 << sector) != 0) {
                    let part = &before[sector * 512..(sector + 1) * 512];
                    bench.write(at + sector as u64 * 512, part);
                }
                let found = bench
                    .scan()
                    .unwrap_or_else(|d| panic!("{earlier} {subset:b}: {d}"));
                assert_eq!((found.sequence, found.offset), (10, at));
                if subset.count_ones() as usize == SECTORS {
                    assert!(found.torn.is_none());
                } else {
                    let torn = found.torn.unwrap();
                    assert_eq!((torn.dropped.sequence, torn.dropped.offset), (12, at));
                    let end = at + torn.bytes;
                    let zeros = vec![0; torn.bytes as usize];
                    bench.write(at, &zeros);
                    assert!(
                        bench.scan().unwrap().torn.is_none(),
                        "to {end}: zeroed is the end"
                    );
                }
            }
        }
    }

    #[test]
    fn each_kind_of_damage_is_told_apart() {
        let with = |change: &dyn Fn(&mut Bench)| {
            let mut bench = Bench::new();
            bench.frame(10, 9, 2);
            change(&mut bench);
            bench
                .scan()
                .map(|found| found.sequence)
                .map_err(|damage| (damage.offset, damage.what))
        };
        let refused = |at: u64, case: Case| Err((at, case.what().to_owned()));
        let second = FIRST_FRAME + 2 * 512;
        assert_eq!(with(&|_| {}), Ok(10));
        // A lost frame between: its successor names it.
        let lost = with(&|bench| drop(bench.frame(12, 11, 1)));
        assert_eq!(lost, refused(second, Case::LostFrame));
        // A skipped number is no lost frame.
        assert_eq!(with(&|bench| drop(bench.frame(12, 10, 1))), Ok(12));
        // A whole frame lost, and one after it there.
        let newer = with(&|bench| {
            bench.at += 512;
            bench.frame(12, 11, 1);
        });
        assert!(newer.is_err(), "{newer:?}");
        // A torn frame, and a newer one beyond.
        let newer = with(&|bench| {
            let at = bench.at;
            bench.frame(11, 10, 2);
            bench.frame(12, 11, 1);
            bench.write(at + 512, &[0; 512]);
        });
        assert_eq!(newer, refused(second + 1024, Case::NewerBeyond));
        // A sector in another one's place.
        let misplaced = with(&|bench| {
            let at = bench.at;
            let bytes = bench.frame(11, 10, 3);
            bench.write(at + 512, &bytes[1024..]);
        });
        assert_eq!(misplaced, refused(second + 512, Case::Misplaced));
        // A bad sector somewhere in the empty rest of the segment.
        let bad = with(&|bench| bench.write(SEGMENT_BYTES - 1, &[1]));
        assert_eq!(bad, refused(SEGMENT_BYTES - 512, Case::BadSector));
        // A frame in a segment the journal has not come to.
        let elsewhere = with(&|bench| {
            let mut bytes = Vec::new();
            frame::encode(&key(), 13, Kind::Parts, 12, b"", &mut bytes);
            bench.segments[&2]
                .file
                .write_at(FIRST_FRAME, &bytes)
                .unwrap();
        });
        assert_eq!(elsewhere, refused(second, Case::NewerBeyond));
        // A length that leaves the segment, rightly stamped.
        let malformed = with(&|bench| {
            let mut head = vec![1, 0, frame::FRAME_VERSION as u8, 0, 255, 0, 0, 0];
            head.resize(HEAD_BYTES, 0);
            let mut bytes = Vec::new();
            sector::stamp(&key(), 11, &head, b"", &mut bytes);
            bench.write(bench.at, &bytes);
        });
        assert_eq!(malformed, refused(second, Case::MalformedHead));
        // Sectors of two frames with the same number, which no writer makes.
        let whole = with(&|bench| {
            let at = bench.at;
            bench.frame(11, 10, 2);
            let mut other = Vec::new();
            sector::stamp(&key(), 11, &[7; CONTENT_BYTES * 2], b"", &mut other);
            bench.write(at + 512, &other[512..]);
        });
        assert_eq!(whole, refused(second, Case::WrongWhole));
    }

    #[test]
    fn the_end_of_a_segment_leads_on_and_never_round_or_nowhere() {
        let ended = |next: u32| {
            let mut bench = Bench::new();
            bench.frame(10, 9, 2);
            let mut bytes = Vec::new();
            frame::encode(&key(), 11, Kind::End, 10, &next.to_le_bytes(), &mut bytes);
            bench.write(bench.at, &bytes);
            bench
        };
        let bench = ended(2);
        let mut bytes = Vec::new();
        frame::encode(&key(), 12, Kind::Parts, 11, b"on", &mut bytes);
        assert_eq!(bench.scan().unwrap().chain, [1, 2]);
        bench.segments[&2]
            .file
            .write_at(FIRST_FRAME, &bytes)
            .unwrap();
        let found = bench.scan().unwrap();
        assert_eq!(
            (found.sequence, found.chain, found.offset),
            (12, vec![1, 2], 1024)
        );
        let mut bodies = Vec::new();
        scan_with(&bench.segments, &key(), &FOLD, |place, body| {
            bodies.push((place, body))
        })
        .unwrap();
        assert_eq!(bodies.last(), Some(&(found.frames[2], b"on".to_vec())));
        assert_eq!(bodies.len(), 2, "the end of a segment has no parts");
        assert!(ended(1).scan().unwrap_err().what.contains("leads back"));
        assert!(ended(3).scan().unwrap_err().what.contains("missing"));
    }

    #[test]
    fn content_made_to_look_like_sectors_is_never_taken_for_them() {
        // The contract knows everything but the key, and even then content lies between stamps.
        for guess in [[5; 16], [6; 16]] {
            let mut forged = Vec::new();
            frame::encode(
                &StampKey::new(&guess),
                12,
                Kind::Parts,
                11,
                b"forged",
                &mut forged,
            );
            let body = forged.repeat(6);
            let bench = Bench::new();
            let mut bytes = Vec::new();
            frame::encode(&key(), 10, Kind::Parts, 9, &body, &mut bytes);
            bench.write(bench.at, &bytes);
            let found = bench.scan().unwrap();
            assert_eq!((found.sequence, found.frames.len()), (10, 1));
            // And when the frame around it is torn, its head gone, nothing of it is a frame.
            bench.write(FIRST_FRAME, &[0; 512]);
            let found = bench.scan().unwrap();
            assert_eq!(
                (found.sequence, found.torn.unwrap().dropped.sequence),
                (9, 10)
            );
        }
        // Sectors stamped with a guessed key where the next frame would be: damage, not a frame.
        let mut bench = Bench::new();
        bench.frame(10, 9, 1);
        let mut forged = Vec::new();
        frame::encode(
            &StampKey::new(&[6; 16]),
            11,
            Kind::Parts,
            10,
            b"forged",
            &mut forged,
        );
        bench.write(bench.at, &forged);
        assert_eq!(bench.scan().unwrap_err().what, Case::BadSector.what());
    }
}
