//! Reading the journal from the fold position to its end.
//!
//! Promises: reads only; every length is checked against the segment before it is used; a frame's
//! body is in memory once, never the whole journal.

use super::Dropped;
use super::case::{self, Case, Evidence, Head};
use crate::backend::File;
use crate::codec::FoldRecord;
use crate::error::{Damage, OpenError, StoreError};
use crate::journal::frame::{self, HEAD_BYTES, HeadError, Kind};
use crate::journal::sector::{self, CONTENT_BYTES, SECTOR_BYTES, Sector, StampKey};
use crate::journal::segment::{self, FIRST_FRAME, Segment};
use std::collections::BTreeMap;

/// A committed frame's place.
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
    /// Segments in the order of their frames; the last is the one to go on in.
    pub chain: Vec<u32>,
    /// Where the journal ends.
    pub offset: u64,
    pub sequence: u64,
    pub torn: Option<Torn>,
}

/// A frame a crash cut off, and the stretch its sectors lie in.
#[derive(Clone, Debug)]
pub(crate) struct Torn {
    pub dropped: Dropped,
    pub bytes: u64,
}

/// Segments by number.
pub(crate) type Segments<F> = BTreeMap<u32, Segment<F>>;

/// Reads on from the fold position.
pub(crate) fn scan<F: File>(
    segments: &Segments<F>,
    key: &StampKey,
    fold: &FoldRecord,
) -> Result<Found, OpenError> {
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
            key,
            chain: &found.chain,
            last: found.sequence,
        };
        let (case, seen) = reader.look(found.offset)?;
        match case {
            Case::Committed => {}
            Case::End => return Ok(found),
            Case::Torn => {
                found.torn = Some(reader.torn(&seen, found.offset));
                return Ok(found);
            }
            damage => {
                let damage = Damage::new(segment::path(number), seen.at, damage.what());
                return Err(seen.named.unwrap_or(damage.into()));
            }
        }
        let place = seen.place(number, found.offset)?;
        found.frames.push(place);
        found.sequence = place.sequence;
        found.offset += place.bytes();
        if place.kind == Kind::End {
            number = next_segment(&seen.body, &found.chain, &place)?;
            found.chain.push(number);
            found.offset = FIRST_FRAME;
        }
    }
}

/// Reads a frame found by `scan` again: its body.
pub(crate) fn read_body<F: File>(
    segments: &Segments<F>,
    key: &StampKey,
    place: &Place,
) -> Result<Vec<u8>, OpenError> {
    let changed = || {
        Damage::new(
            segment::path(place.segment),
            place.offset,
            "changed since read",
        )
    };
    let segment = segments.get(&place.segment).ok_or_else(changed)?;
    let bytes = read_bytes(segment, place.offset, place.bytes())?;
    let (body, head) = body_of(&bytes).ok_or_else(changed)?;
    if !frame::crc_matches(key, place.sequence, &head, &body) {
        return Err(changed().into());
    }
    Ok(body)
}

/// Bytes of a segment; an error of the disk says where.
pub(crate) fn read_bytes<F: File>(
    segment: &Segment<F>,
    offset: u64,
    len: u64,
) -> Result<Vec<u8>, OpenError> {
    let file = segment::path(segment.number);
    let fits = offset
        .checked_add(len)
        .is_some_and(|end| end <= segment.bytes);
    let len = usize::try_from(len).ok().filter(|_| fits);
    let len = len.ok_or_else(|| Damage::new(&file, offset, "leaves the segment"))?;
    let mut bytes = vec![0; len];
    segment
        .file
        .read_at(offset, &mut bytes)
        .map_err(|source| StoreError::Io {
            what: "read",
            file,
            source,
        })?;
    Ok(bytes)
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

/// The body of a frame whose sectors are `bytes`.
fn body_of(bytes: &[u8]) -> Option<(Vec<u8>, frame::Head)> {
    let (sectors, _) = bytes.as_chunks::<SECTOR_BYTES>();
    let head = frame::parse_head(sector::content(sectors.first()?)).ok()?;
    let mut body = Vec::with_capacity(sectors.len() * CONTENT_BYTES);
    sectors
        .iter()
        .for_each(|sector| body.extend_from_slice(sector::content(sector)));
    body.drain(..HEAD_BYTES);
    body.truncate(head.body_bytes as usize);
    (body.len() == head.body_bytes as usize).then_some((body, head))
}

/// Looks at one place of the journal.
struct Reader<'a, F> {
    segment: &'a Segment<F>,
    segments: &'a Segments<F>,
    key: &'a StampKey,
    chain: &'a [u32],
    /// The last committed frame: what is stamped with a greater number is new.
    last: u64,
}

/// What was seen there, besides the evidence.
#[derive(Default)]
struct Seen {
    sequence: u64,
    head: Option<frame::Head>,
    body: Vec<u8>,
    /// Bytes from the place up to the last sector seen of the frame.
    extent: u64,
    /// Where in the file what is wrong was seen first.
    at: u64,
    /// What to tell instead of the case, where more is known.
    named: Option<OpenError>,
}

impl Seen {
    fn place(&self, segment: u32, offset: u64) -> Result<Place, OpenError> {
        let head = self.head.as_ref();
        let head = head.ok_or_else(|| Damage::new(segment::path(segment), offset, "no head"))?;
        let (sequence, sectors, kind) = (self.sequence, head.sectors, head.kind);
        Ok(Place {
            sequence,
            segment,
            offset,
            sectors,
            kind,
        })
    }
}

/// What a sector is to a reader who knows the last committed frame.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Judged {
    Old,
    New { sequence: u64, index: u32 },
    Bad,
}

impl<F: File> Reader<'_, F> {
    fn judge(&self, bytes: &[u8; SECTOR_BYTES]) -> Judged {
        match sector::classify(self.key, bytes) {
            Sector::Zero => Judged::Old,
            Sector::Stamped { sequence, .. } if sequence <= self.last => Judged::Old,
            Sector::Stamped { sequence, index } => Judged::New { sequence, index },
            Sector::Bad => Judged::Bad,
        }
    }

    /// Judges what stands at `offset`.
    fn look(&self, offset: u64) -> Result<(Case, Seen), OpenError> {
        let mut seen = Seen {
            at: offset,
            ..Seen::default()
        };
        let mut evidence = Evidence {
            head: Head::Old,
            has_new: false,
            has_old: false,
            has_bad: false,
            has_misplaced: false,
            whole_matches: false,
            bad_beyond: false,
            newer_beyond: false,
        };
        if offset < self.segment.bytes {
            self.look_at_head(offset, &mut evidence, &mut seen)?;
        }
        if evidence.head == Head::Sound {
            self.look_inside(offset, &mut evidence, &mut seen)?;
        }
        // A complete frame is committed whatever follows; what follows is looked at next.
        let is_settled = !matches!(evidence.head, Head::Old | Head::Sound)
            || (evidence.head == Head::Sound
                && !(evidence.has_old || evidence.has_bad || evidence.has_misplaced));
        if !is_settled {
            self.look_beyond(offset, &mut evidence, &mut seen)?;
            self.look_elsewhere(&mut evidence, &mut seen)?;
        }
        Ok((case::decide(&evidence), seen))
    }

    fn look_at_head(
        &self,
        offset: u64,
        evidence: &mut Evidence,
        seen: &mut Seen,
    ) -> Result<(), OpenError> {
        let bytes = read_bytes(self.segment, offset, SECTOR_BYTES as u64)?;
        let Ok(bytes) = <&[u8; SECTOR_BYTES]>::try_from(&bytes[..]) else {
            return Ok(());
        };
        evidence.head = match self.judge(bytes) {
            Judged::Old => Head::Old,
            Judged::Bad => Head::Bad,
            Judged::New { index, .. } if index != 0 => {
                evidence.has_misplaced = true;
                Head::Old
            }
            Judged::New { sequence, .. } => {
                seen.sequence = sequence;
                match frame::parse_head(sector::content(bytes)) {
                    Ok(head) if !self.fits(offset, &head) => Head::Senseless,
                    Ok(head) if head.predecessor != self.last => Head::OtherPredecessor,
                    Ok(head) => {
                        seen.head = Some(head);
                        Head::Sound
                    }
                    Err(error) => {
                        seen.named = other_version(self.segment.number, error);
                        Head::Senseless
                    }
                }
            }
        };
        Ok(())
    }

    fn fits(&self, offset: u64, head: &frame::Head) -> bool {
        u64::from(head.sectors) * SECTOR_BYTES as u64 <= self.segment.bytes.saturating_sub(offset)
    }

    fn look_inside(
        &self,
        offset: u64,
        evidence: &mut Evidence,
        seen: &mut Seen,
    ) -> Result<(), OpenError> {
        let Some(head) = seen.head else { return Ok(()) };
        seen.extent = u64::from(head.sectors) * SECTOR_BYTES as u64;
        let bytes = read_bytes(self.segment, offset, seen.extent)?;
        for (index, bytes) in (0..).zip(bytes.as_chunks::<SECTOR_BYTES>().0) {
            let is_wrong = match self.judge(bytes) {
                Judged::Old => {
                    evidence.has_old = true;
                    false
                }
                Judged::New {
                    sequence,
                    index: found,
                } => {
                    let is_in_place = sequence == seen.sequence && found == index;
                    evidence.has_new |= is_in_place;
                    evidence.has_misplaced |= !is_in_place;
                    !is_in_place
                }
                Judged::Bad => {
                    evidence.has_bad = true;
                    true
                }
            };
            if is_wrong && seen.at == offset {
                seen.at = offset + u64::from(index) * SECTOR_BYTES as u64;
            }
        }
        if let Some((body, head)) = body_of(&bytes) {
            evidence.whole_matches = frame::crc_matches(self.key, seen.sequence, &head, &body);
            seen.body = body;
        }
        Ok(())
    }

    /// From the frame's end (or, its first sector missing, from the next one) to the segment's.
    fn look_beyond(
        &self,
        offset: u64,
        evidence: &mut Evidence,
        seen: &mut Seen,
    ) -> Result<(), OpenError> {
        const PIECE_BYTES: u64 = 1 << 20;
        let is_bounded = seen.head.is_some();
        let mut at = offset + seen.extent.max(SECTOR_BYTES as u64);
        while at < self.segment.bytes {
            let len = (self.segment.bytes - at).min(PIECE_BYTES);
            let bytes = read_bytes(self.segment, at, len)?;
            for bytes in bytes.as_chunks::<SECTOR_BYTES>().0 {
                let place = (at - offset) / SECTOR_BYTES as u64;
                let is_wrong = match self.judge(bytes) {
                    Judged::Old => false,
                    Judged::Bad => {
                        evidence.bad_beyond = true;
                        true
                    }
                    Judged::New { sequence, .. }
                        if seen.sequence != 0 && sequence > seen.sequence =>
                    {
                        evidence.newer_beyond = true;
                        true
                    }
                    Judged::New { sequence, index } => {
                        // Of the same frame: in its place if its first sector is missing.
                        let is_in_place = !is_bounded && u64::from(index) == place;
                        evidence.has_misplaced |= !is_in_place;
                        evidence.has_misplaced |= seen.sequence != 0 && sequence < seen.sequence;
                        evidence.has_new |= is_in_place;
                        if is_in_place {
                            seen.sequence = sequence;
                            seen.extent = at - offset + SECTOR_BYTES as u64;
                        }
                        !is_in_place
                    }
                };
                if is_wrong && seen.at == offset {
                    seen.at = at;
                }
                at += SECTOR_BYTES as u64;
            }
        }
        Ok(())
    }

    /// The beginnings of segments the journal has not come to: a newer frame there was cut off from
    /// the rest by something lost here.
    fn look_elsewhere(&self, evidence: &mut Evidence, seen: &mut Seen) -> Result<(), OpenError> {
        for (number, other) in self.segments {
            if self.chain.contains(number) || other.bytes <= FIRST_FRAME {
                continue;
            }
            let bytes = read_bytes(other, FIRST_FRAME, SECTOR_BYTES as u64)?;
            let Ok(bytes) = <&[u8; SECTOR_BYTES]>::try_from(&bytes[..]) else {
                continue;
            };
            match self.judge(bytes) {
                Judged::Old => {}
                Judged::New { .. } => evidence.newer_beyond = true,
                Judged::Bad => {
                    let what = Case::BadSector.what();
                    let damage = Damage::new(segment::path(*number), FIRST_FRAME, what);
                    evidence.bad_beyond = true;
                    seen.named.get_or_insert(damage.into());
                }
            }
        }
        Ok(())
    }

    fn torn(&self, seen: &Seen, offset: u64) -> Torn {
        let file = segment::path(self.segment.number);
        let dropped = Dropped {
            sequence: seen.sequence,
            file,
            offset,
        };
        Torn {
            dropped,
            bytes: seen.extent.max(SECTOR_BYTES as u64),
        }
    }
}

fn other_version(segment: u32, error: HeadError) -> Option<OpenError> {
    match error {
        HeadError::Version(version) => Some(OpenError::other_version(
            &segment::path(segment),
            version.into(),
            frame::FRAME_VERSION.into(),
        )),
        HeadError::Kind(_) | HeadError::Length => None,
    }
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

    /// A journal and what is written to it, frame by frame.
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
        let senseless = with(&|bench| {
            let mut head = vec![1, 0, 1, 0, 255, 0, 0, 0];
            head.resize(HEAD_BYTES, 0);
            let mut bytes = Vec::new();
            sector::stamp(&key(), 11, &head, b"", &mut bytes);
            bench.write(bench.at, &bytes);
        });
        assert_eq!(senseless, refused(second, Case::SenselessHead));
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
        assert_eq!(
            read_body(&bench.segments, &key(), &found.frames[2]).unwrap(),
            b"on"
        );
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
