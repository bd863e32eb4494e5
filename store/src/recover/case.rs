//! The possible states of the place where the next frame would be, as a table of named cases (J3).
//!
//! Promises: any evidence matches exactly one row (a test tries all of it). Reads nothing itself.

/// The sector where the next frame would begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// Zeros, or the stamp of an older frame.
    Old,
    /// Stamped as the first sector of a newer frame; its head is valid and names the last frame as
    /// its predecessor.
    Sound,
    /// The same, but with another predecessor.
    OtherPredecessor,
    /// Stamped by a newer frame, but its head is malformed or of another version.
    Malformed,
    /// Neither zeros nor a valid stamp.
    Bad,
}

/// What the reader found from that sector on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Evidence {
    pub head: Head,
    /// About the sectors of the frame: as many as its head says, or up to the last one found.
    pub has_new: bool,
    pub has_old: bool,
    pub has_bad: bool,
    /// A sector of the frame is in the place of another one.
    pub has_misplaced: bool,
    /// The checksum of the whole; tested when all sectors are new.
    pub whole_matches: bool,
    /// About the rest of the segment after the frame, and the beginning of segments not in use.
    /// Tested only when the frame is not complete.
    pub bad_beyond: bool,
    pub newer_beyond: bool,
}

/// The rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// The frame is complete, so it is committed.
    Committed,
    /// Nothing is newer than the last frame: the journal ends here.
    End,
    /// A part of one frame and nothing wrong: nobody was told of it, so it is dropped.
    Torn,
    /// From here on: damage, refused and reported with its place.
    BadSector,
    Misplaced,
    NewerBeyond,
    LostFrame,
    MalformedHead,
    WrongWhole,
}

type Matches = fn(&Evidence) -> bool;

/// Each row and its condition.
pub(crate) const CASES: [(Case, Matches); 9] = [
    (Case::Committed, |e| is_complete(e) && e.whole_matches),
    (Case::WrongWhole, |e| is_complete(e) && !e.whole_matches),
    (Case::MalformedHead, |e| e.head == Head::Malformed),
    (Case::LostFrame, |e| e.head == Head::OtherPredecessor),
    (Case::BadSector, |e| {
        e.head == Head::Bad || is_open(e) && any_bad(e)
    }),
    (Case::Misplaced, |e| {
        is_open(e) && !any_bad(e) && e.has_misplaced
    }),
    (Case::NewerBeyond, |e| {
        is_open(e) && !any_bad(e) && !e.has_misplaced && e.newer_beyond
    }),
    (Case::Torn, |e| is_quiet(e) && has_begun(e)),
    (Case::End, |e| is_quiet(e) && !has_begun(e)),
];

/// The row that matches.
pub(crate) fn decide(evidence: &Evidence) -> Case {
    let row = CASES.iter().find(|(_, matches)| matches(evidence));
    row.map(|(case, _)| *case)
        .expect("every evidence matches a row, as a test shows")
}

/// All sectors of the frame are there, each in its place.
fn is_complete(e: &Evidence) -> bool {
    e.head == Head::Sound && !e.has_old && !e.has_bad && !e.has_misplaced
}

/// The frame is not complete, and its head alone does not decide the case.
fn is_open(e: &Evidence) -> bool {
    matches!(e.head, Head::Old | Head::Sound) && !is_complete(e)
}

fn any_bad(e: &Evidence) -> bool {
    e.has_bad || e.bad_beyond
}

/// Not decided by the head, and nothing wrong anywhere.
fn is_quiet(e: &Evidence) -> bool {
    is_open(e) && !any_bad(e) && !e.has_misplaced && !e.newer_beyond
}

fn has_begun(e: &Evidence) -> bool {
    e.head == Head::Sound || e.has_new
}

impl Case {
    /// The message about damage.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Case::Committed | Case::End | Case::Torn => "nothing is wrong",
            Case::BadSector => "a sector is neither a frame's nor empty",
            Case::Misplaced => "a sector of a frame stands in another one's place",
            Case::NewerBeyond => "a newer frame follows: at least one is lost here",
            Case::LostFrame => "the frame does not follow the one before it: at least one is lost",
            Case::MalformedHead => "the frame's head makes no sense",
            Case::WrongWhole => "the frame's checksum does not match its sectors",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = Evidence> {
        let heads = [
            Head::Old,
            Head::Sound,
            Head::OtherPredecessor,
            Head::Malformed,
            Head::Bad,
        ];
        heads.into_iter().flat_map(|head| {
            (0..128u8).map(move |bits| {
                let bit = |n: u8| bits & (1 << n) != 0;
                Evidence {
                    head,
                    has_new: bit(0),
                    has_old: bit(1),
                    has_bad: bit(2),
                    has_misplaced: bit(3),
                    whole_matches: bit(4),
                    bad_beyond: bit(5),
                    newer_beyond: bit(6),
                }
            })
        })
    }

    #[test]
    fn every_evidence_matches_exactly_one_row() {
        let mut probed = std::collections::BTreeMap::new();
        for evidence in all() {
            let rows: Vec<Case> = CASES
                .iter()
                .filter(|row| row.1(&evidence))
                .map(|row| row.0)
                .collect();
            assert_eq!(rows, [decide(&evidence)], "{evidence:?}");
            *probed.entry(format!("{:?}", rows[0])).or_insert(0) += 1;
        }
        assert_eq!(probed.len(), CASES.len(), "each row is reached: {probed:?}");
    }

    #[test]
    fn nothing_with_a_bad_sector_is_ever_dropped_or_taken_for_the_end() {
        for evidence in all().filter(|e| e.has_bad || e.head == Head::Bad) {
            let case = decide(&evidence);
            assert!(
                !matches!(case, Case::Torn | Case::End | Case::Committed),
                "{evidence:?}"
            );
        }
    }

    #[test]
    fn only_a_complete_frame_is_committed() {
        for evidence in all().filter(|e| decide(e) == Case::Committed) {
            assert!(evidence.head == Head::Sound && evidence.whole_matches);
            assert!(!evidence.has_old && !evidence.has_bad && !evidence.has_misplaced);
        }
    }
}
