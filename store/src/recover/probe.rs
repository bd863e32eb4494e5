//! Probing one place of the journal: what stands there, as evidence for `case`.
//!
//! Promises: reads only; every length is checked against the segment before it is used.

use super::Dropped;
use super::case::{self, Case, Evidence, Head};
use super::scan::{Place, ReadAhead, Segments, Torn, body_of, read_bytes};
use crate::backend::File;
use crate::error::{Damage, OpenError};
use crate::journal::frame::{self, HeadError};
use crate::journal::sector::{self, SECTOR_BYTES, Sector, StampKey};
use crate::journal::segment::{self, FIRST_FRAME, Segment};

/// Probes one place of the journal.
pub(super) struct Reader<'a, F> {
    pub segment: &'a Segment<F>,
    pub segments: &'a Segments<F>,
    pub read_ahead: &'a ReadAhead,
    pub key: &'a StampKey,
    pub chain: &'a [u32],
    /// The last committed frame; whatever is stamped with a greater number is new.
    pub last: u64,
}

/// What was found there besides the evidence.
#[derive(Default)]
pub(super) struct Probed {
    pub sequence: u64,
    pub head: Option<frame::Head>,
    pub body: Vec<u8>,
    /// Bytes from the place to the last sector found of the frame.
    extent: u64,
    /// The first place in the file where something is wrong.
    pub at: u64,
    /// The error to return instead of the case, if more is known.
    pub named: Option<OpenError>,
}

impl Probed {
    pub(super) fn place(&self, segment: u32, offset: u64) -> Result<Place, OpenError> {
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

/// A sector judged by the number of the last committed frame.
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
    pub(super) fn probe(&self, offset: u64) -> Result<(Case, Probed), OpenError> {
        let mut probed = Probed {
            at: offset,
            ..Probed::default()
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
            self.probe_head(offset, &mut evidence, &mut probed)?;
        }
        if evidence.head == Head::Sound {
            self.probe_frame(offset, &mut evidence, &mut probed)?;
        }
        // A complete frame is committed whatever follows it; the next probe looks at that.
        let is_settled = !matches!(evidence.head, Head::Old | Head::Sound)
            || (evidence.head == Head::Sound
                && !(evidence.has_old || evidence.has_bad || evidence.has_misplaced));
        if !is_settled {
            self.probe_beyond(offset, &mut evidence, &mut probed)?;
            self.probe_elsewhere(&mut evidence, &mut probed)?;
        }
        Ok((case::decide(&evidence), probed))
    }

    fn probe_head(
        &self,
        offset: u64,
        evidence: &mut Evidence,
        probed: &mut Probed,
    ) -> Result<(), OpenError> {
        let sector = self
            .read_ahead
            .probe(self.segment, offset, SECTOR_BYTES as u64, |bytes| {
                bytes.first_chunk::<SECTOR_BYTES>().copied()
            })?;
        let Some(bytes) = &sector else { return Ok(()) };
        evidence.head = match self.judge(bytes) {
            Judged::Old => Head::Old,
            Judged::Bad => Head::Bad,
            Judged::New { index, .. } if index != 0 => {
                evidence.has_misplaced = true;
                Head::Old
            }
            Judged::New { sequence, .. } => {
                probed.sequence = sequence;
                match frame::parse_head(sector::content(bytes)) {
                    Ok(head) if !self.fits(offset, &head) => Head::Malformed,
                    Ok(head) if head.predecessor != self.last => Head::OtherPredecessor,
                    Ok(head) => {
                        probed.head = Some(head);
                        Head::Sound
                    }
                    Err(error) => {
                        probed.named = other_version(self.segment.number, error);
                        Head::Malformed
                    }
                }
            }
        };
        Ok(())
    }

    fn fits(&self, offset: u64, head: &frame::Head) -> bool {
        u64::from(head.sectors) * SECTOR_BYTES as u64 <= self.segment.bytes.saturating_sub(offset)
    }

    fn probe_frame(
        &self,
        offset: u64,
        evidence: &mut Evidence,
        probed: &mut Probed,
    ) -> Result<(), OpenError> {
        let Some(head) = probed.head else {
            return Ok(());
        };
        probed.extent = u64::from(head.sectors) * SECTOR_BYTES as u64;
        let extent = probed.extent;
        self.read_ahead
            .probe(self.segment, offset, extent, |bytes| {
                self.judge_sectors(bytes, offset, evidence, probed);
            })
    }

    /// Judges each sector of a frame, and the checksum of the whole.
    fn judge_sectors(
        &self,
        bytes: &[u8],
        offset: u64,
        evidence: &mut Evidence,
        probed: &mut Probed,
    ) {
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
                    let is_in_place = sequence == probed.sequence && found == index;
                    evidence.has_new |= is_in_place;
                    evidence.has_misplaced |= !is_in_place;
                    !is_in_place
                }
                Judged::Bad => {
                    evidence.has_bad = true;
                    true
                }
            };
            if is_wrong && probed.at == offset {
                probed.at = offset + u64::from(index) * SECTOR_BYTES as u64;
            }
        }
        if let Some((body, head)) = body_of(bytes) {
            evidence.whole_matches = frame::crc_matches(self.key, probed.sequence, &head, &body);
            probed.body = body;
        }
    }

    /// Judges the sectors from the end of the frame (or, if its first sector is missing, from the
    /// next one) to the end of the segment.
    fn probe_beyond(
        &self,
        offset: u64,
        evidence: &mut Evidence,
        probed: &mut Probed,
    ) -> Result<(), OpenError> {
        const CHUNK_BYTES: u64 = 1 << 20;
        let is_bounded = probed.head.is_some();
        let mut at = offset + probed.extent.max(SECTOR_BYTES as u64);
        while at < self.segment.bytes {
            let len = (self.segment.bytes - at).min(CHUNK_BYTES);
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
                        if probed.sequence != 0 && sequence > probed.sequence =>
                    {
                        evidence.newer_beyond = true;
                        true
                    }
                    Judged::New { sequence, index } => {
                        // A sector of the same frame: in its place if the first sector is missing.
                        let is_in_place = !is_bounded && u64::from(index) == place;
                        evidence.has_misplaced |= !is_in_place;
                        evidence.has_misplaced |=
                            probed.sequence != 0 && sequence < probed.sequence;
                        evidence.has_new |= is_in_place;
                        if is_in_place {
                            probed.sequence = sequence;
                            probed.extent = at - offset + SECTOR_BYTES as u64;
                        }
                        !is_in_place
                    }
                };
                if is_wrong && probed.at == offset {
                    probed.at = at;
                }
                at += SECTOR_BYTES as u64;
            }
        }
        Ok(())
    }

    /// Judges the first frame sectors of segments that the journal has not reached. A newer frame
    /// there means that something was lost here.
    fn probe_elsewhere(
        &self,
        evidence: &mut Evidence,
        probed: &mut Probed,
    ) -> Result<(), OpenError> {
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
                    probed.named.get_or_insert(damage.into());
                }
            }
        }
        Ok(())
    }

    pub(super) fn torn(&self, probed: &Probed, offset: u64) -> Torn {
        let file = segment::path(self.segment.number);
        let dropped = Dropped {
            sequence: probed.sequence,
            file,
            offset,
        };
        Torn {
            dropped,
            bytes: probed.extent.max(SECTOR_BYTES as u64),
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
