//! Hand-overs too large for a frame: their delta, or what they say, goes to a spill file (J7).
//!
//! Promises: what is in such a file is durable before its hand-over is staged, and checked, so
//! whatever can refuse it has done so before anything of it is shown (J8); one file has all of it,
//! and one frame names it. Until it is where it belongs nothing else of that vat is handed in, and
//! only that vat waits. The host writes the file, on a thread of its own where every byte is
//! checked as well, and holds the worker's further messages; the core sees one hand-over and an
//! apply that comes later than its frame's. Knows what goes into a file, and no file.

use kenvat_store::{Row, SpillFile, VatId};

use crate::api::RequestKey;
use crate::check::{Checked, Violation, check_content, check_place};
use crate::deployments::{Deployments, FirstViolation, Purpose};
use crate::limits::CoreLimits;
use crate::requests::Requests;
use crate::rows::{self, AnswerRow, Settled, SourcesRow};
use crate::timers::Timers;
use crate::vats::Vats;
use kenvat_wire::protocol::{HandOver, Reply};

/// A hand-over on its way to a spill file. Nothing of its vat changes before it is back.
#[derive(Clone, Debug)]
pub struct Spill {
    hand_over: HandOver,
    handed_turn: u64,
    page_limit: u32,
    /// What it says goes there, not only its delta.
    takes_rows: bool,
    /// Which of its answers are kept for clients: place, key, hash of what was asked.
    kept: Vec<(usize, RequestKey, [u8; 32])>,
    /// What a new vat was made from.
    sources: Option<(Vec<u8>, SourcesRow)>,
}

/// What a large hand-over has against it before its bytes are looked at. The worker is at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpillMisplaced {
    /// It names another generation than the worker's.
    #[error("a hand-over of generation {0}")]
    Generation(u64),
    /// It is not what was due from this worker.
    #[error(transparent)]
    Place(#[from] Violation),
    /// It is not what a vat's first hand-over is.
    #[error(transparent)]
    First(FirstViolation),
}

/// A hand-over whose every byte was checked, and what of it goes to its file.
#[derive(Debug)]
pub struct CheckedSpill {
    checked: Checked,
    takes_rows: bool,
    kept: Vec<(usize, RequestKey, [u8; 32])>,
    sources: Option<(Vec<u8>, SourcesRow)>,
}

impl Spill {
    /// Checks the rest of the hand-over: every byte of it. On any thread.
    pub fn check(self) -> Result<CheckedSpill, Violation> {
        let checked = check_content(self.hand_over, self.handed_turn, self.page_limit)?;
        Ok(CheckedSpill {
            checked,
            takes_rows: self.takes_rows,
            kept: self.kept,
            sources: self.sources,
        })
    }
}

impl CheckedSpill {
    /// The rows for the file, one at a time: together they may be as large as the hand-over.
    pub fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        let kept = self.kept.iter().filter_map(|(at, key, content)| {
            let Reply { outcome, .. } = self.checked.replies.get(*at)?;
            let answer = AnswerRow::Settled {
                content: *content,
                settled: Settled::from_outcome(outcome.clone()),
            };
            Some(rows::put(rows::ANSWERS, rows::answer_key(key), &answer))
        });
        let sources = self.sources.iter();
        let sources = sources.map(|(key, row)| rows::put(rows::SOURCES, key.clone(), row));
        kept.filter(|_| self.takes_rows).chain(sources)
    }

    /// The log for the file.
    pub fn log(&self) -> &[u8] {
        match self.takes_rows {
            true => &self.checked.log,
            false => &[],
        }
    }

    /// The hand-over as the core takes it, once its file is durable.
    pub fn with_file(self, side: SpillFile) -> Checked {
        let mut checked = self.checked;
        if self.takes_rows {
            checked.log = Vec::new();
            checked.rows_are_spilled = true;
        }
        checked.side = Some(side);
        checked
    }
}

/// What deciding about a large hand-over looks at.
pub(crate) struct Spilling<'a, W> {
    pub vats: &'a Vats<W>,
    pub requests: &'a Requests<W>,
    pub timers: &'a Timers,
    pub deployments: &'a Deployments<W>,
    pub limits: &'a CoreLimits,
}

impl<W> Spilling<'_, W> {
    /// Whether a hand-over goes by a spill file. Asked before it is handed in, so nothing of it may
    /// be true.
    pub fn is_large(&self, id: VatId, hand_over: &HandOver) -> bool {
        hand_over.pieces > 0 || self.takes_rows(id, hand_over)
    }

    /// Whether what it says goes there: it would be more than a frame is to have, with the delta.
    fn takes_rows(&self, id: VatId, hand_over: &HandOver) -> bool {
        let deployment = self.deployments.get(id);
        let sources = deployment.map_or(0, |deployment| deployment.source_bytes());
        let frame = self.limits.frame;
        if hand_over.bytes() + sources <= frame {
            return false;
        }
        let said = said_bytes(self.vats, self.requests, id, hand_over) + sources;
        said >= self.limits.spill_min && hand_over.delta.len() + said > frame
    }

    /// Takes a large hand-over to be written; nothing where its worker no longer counts. All that
    /// was handed in before must be in the image.
    pub fn spill(
        &self,
        id: VatId,
        generation: u64,
        hand_over: HandOver,
    ) -> Option<Result<Spill, SpillMisplaced>> {
        let takes_rows = self.takes_rows(id, &hand_over);
        if let Some(deployment) = self.deployments.get(id) {
            if !deployment.expects(generation) {
                return None;
            }
            let takes_rows = takes_rows && deployment.purpose() == Purpose::Vat;
            let placed = deployment.check_place(&hand_over);
            let placed = placed.map_err(SpillMisplaced::First);
            return Some(placed.map(|()| Spill {
                hand_over,
                handed_turn: 0,
                page_limit: deployment.page_limit(),
                takes_rows,
                kept: Vec::new(),
                sources: takes_rows.then(|| (rows::vat_key(id), deployment.sources())),
            }));
        }
        let vat = self.vats.get(id).filter(|vat| vat.is_current(generation))?;
        if hand_over.generation != generation {
            return Some(Err(SpillMisplaced::Generation(hand_over.generation)));
        }
        let expected = vat.expected(self.timers.of(id));
        if let Err(violation) = check_place(&hand_over, &expected) {
            return Some(Err(violation.into()));
        }
        let replies = hand_over.replies.iter().enumerate();
        let kept = replies.filter_map(|(at, reply)| {
            let (key, content) = key_of(self.vats, self.requests, id, reply.request)?;
            Some((at, key.clone(), content))
        });
        Some(Ok(Spill {
            kept: kept.collect(),
            takes_rows,
            handed_turn: expected.handed_turn,
            page_limit: expected.page_limit,
            sources: None,
            hand_over,
        }))
    }
}

/// Bytes of a hand-over that a frame would have, roughly. Answers that nobody keeps are not among
/// them.
pub(crate) fn frame_bytes<W>(
    vats: &Vats<W>,
    requests: &Requests<W>,
    limits: &CoreLimits,
    (id, hand_over): (VatId, &HandOver),
) -> usize {
    match hand_over.bytes() {
        bytes if bytes <= limits.frame => bytes,
        _ => hand_over.delta.len() + said_bytes(vats, requests, id, hand_over),
    }
}

/// Bytes of what it logs, and of its answers that are kept for clients.
fn said_bytes<W>(vats: &Vats<W>, requests: &Requests<W>, id: VatId, hand_over: &HandOver) -> usize {
    let log: usize = hand_over.log.iter().map(|line| line.text.len()).sum();
    let kept = hand_over.replies.iter();
    let kept = kept.filter(|reply| key_of(vats, requests, id, reply.request).is_some());
    log + kept.map(Reply::bytes).sum::<usize>()
}

/// The key of a request that a vat's worker answers, and what was asked.
fn key_of<'a, W>(
    vats: &Vats<W>,
    requests: &'a Requests<W>,
    id: VatId,
    request: u64,
) -> Option<(&'a RequestKey, [u8; 32])> {
    let vat = vats.get(id)?;
    let out = vat.progress().delivered_at(request);
    let no = out.or_else(|| vat.open().get(&request).copied())?;
    let request = requests.known(no);
    Some((request.key()?, request.content()))
}
