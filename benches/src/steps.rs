//! What an engine's trace says of calls made one at a time, and of frames.
//!
//! Promises: every step of a call lies between its beginning and its answer, and the steps add up
//! to the whole. Calls whose marks are not the expected ones (a fold, another turn in the frame)
//! are still split, by the last mark of each kind.

use std::time::{Duration, Instant};

use kenvat_engine::{Mark, Step};

use crate::engine::Timed;

/// The steps of a call, in order.
pub const STEPS: [&str; 5] = ["deliver", "run", "stage", "write and sync", "answer"];

/// One call, split.
#[derive(Clone, Copy, Debug)]
pub struct Split {
    /// As long as `STEPS`.
    pub steps: [Duration; STEPS.len()],
    /// From the hand-over in the host's hands to its being durable.
    pub durable: Duration,
}

/// Splits calls that were made one after the other. Calls without their marks are left out.
pub fn split(calls: &[Timed], marks: &[Mark]) -> Vec<Split> {
    let mut marks = marks;
    let mut splits = Vec::new();
    for call in calls {
        let before = marks.partition_point(|mark| mark.at < call.begun);
        let after = marks.partition_point(|mark| mark.at <= call.ended);
        splits.extend(split_one(call, &marks[before..after]));
        marks = &marks[after..];
    }
    splits
}

fn split_one(call: &Timed, marks: &[Mark]) -> Option<Split> {
    let last = |is: fn(&Step) -> bool, until: Instant| {
        let found = marks
            .iter()
            .rfind(|mark| is(&mark.step) && mark.at <= until);
        found.map(|mark| mark.at)
    };
    let durable = marks.iter().rev().find_map(|mark| match mark.step {
        Step::Durable { took, .. } => Some((mark.at, took)),
        _ => None,
    });
    let (durable, took) = durable?;
    let heard = last(|step| matches!(step, Step::Heard), durable)?;
    let sent = last(|step| matches!(step, Step::Sent), heard)?;
    let written = durable.checked_sub(took)?;
    let between = |from: Instant, to: Instant| to.checked_duration_since(from);
    Some(Split {
        steps: [
            between(call.begun, sent)?,
            between(sent, heard)?,
            between(heard, written)?,
            took,
            between(durable, call.ended)?,
        ],
        durable: between(heard, durable)?,
    })
}

/// A frame on its way to the disk.
#[derive(Clone, Copy, Debug)]
pub struct FrameTime {
    /// Its write and sync.
    pub took: Duration,
    /// From being closed to being known durable.
    pub waited: Duration,
    pub journal_bytes: u64,
    /// A fold ran beside it.
    pub folding: bool,
    /// Folds begun before it became durable.
    pub folds: u64,
    /// Syncs of the process since the frame before.
    pub syncs: u64,
}

/// Every frame that was closed and became durable among the marks. The first one has no frame
/// before it, so its syncs count as one.
pub fn frames(marks: &[Mark]) -> Vec<FrameTime> {
    let (mut frames, mut sealed) = (Vec::new(), None);
    let (mut folding, mut folded, mut folds) = (false, false, 0);
    let mut syncs_before = None;
    for mark in marks {
        match mark.step {
            Step::FoldBegun => {
                (folding, folded) = (true, true);
                folds += 1;
            }
            Step::FoldEnded => folding = false,
            Step::Sealed { journal_bytes } => sealed = Some((mark.at, journal_bytes)),
            Step::Durable { took, syncs } => {
                let before = syncs_before.replace(syncs);
                if let Some((at, journal_bytes)) = sealed.take() {
                    frames.push(FrameTime {
                        took,
                        waited: mark.at - at,
                        journal_bytes,
                        folding: folding || folded,
                        folds,
                        syncs: before.map_or(1, |before| syncs - before),
                    });
                }
                folded = folding;
            }
            _ => {}
        }
    }
    frames
}

/// How long each fold took, and the most bytes of journal that no fold covered (J7).
pub fn folds(marks: &[Mark]) -> (Vec<Duration>, u64) {
    let (mut times, mut most) = (Vec::new(), 0);
    let (mut written, mut begun_at, mut folded) = (0, None, 0);
    for mark in marks {
        match mark.step {
            Step::Sealed { journal_bytes } => {
                written += journal_bytes;
                most = most.max(written - folded);
            }
            Step::FoldBegun => begun_at = Some((mark.at, written)),
            Step::FoldEnded => {
                if let Some((at, bytes)) = begun_at.take() {
                    times.push(mark.at - at);
                    folded = bytes;
                }
            }
            _ => {}
        }
    }
    (times, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_add_up_to_the_whole() {
        let begun = Instant::now();
        let at = |us| begun + Duration::from_micros(us);
        let took = Duration::from_micros(100);
        let marks: Vec<Mark> = [
            (5, Step::Taken),
            (10, Step::Sent),
            (40, Step::Heard),
            (50, Step::Sealed { journal_bytes: 512 }),
            (155, Step::Durable { took, syncs: 9 }),
            (160, Step::Answered),
            (170, Step::Applied),
        ]
        .map(|(us, step)| Mark { at: at(us), step })
        .to_vec();
        let call = Timed {
            begun,
            ended: at(180),
        };
        let split = split(&[call], &marks);
        assert_eq!(split.len(), 1);
        let steps = split[0].steps.map(|step| step.as_micros());
        assert_eq!(steps, [10, 30, 15, 100, 25]);
        assert_eq!(split[0].durable.as_micros(), 115);
        let frames = frames(&marks);
        assert_eq!((frames[0].waited.as_micros(), frames[0].syncs), (105, 1));
        assert!(!frames[0].folding);
    }
}
