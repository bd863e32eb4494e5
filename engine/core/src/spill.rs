//! Hand-overs too large for a frame: their delta, or what they say, goes to a side file (J7).
//!
//! Promises: what is in such a file is durable before its hand-over is staged, and checked, so
//! whatever can refuse it has done so before anything of it is shown (J8); one file has all of it,
//! and one frame names it. Until it is where it belongs nothing else of that vat is handed in, and
//! only that vat waits. The host writes the file, on a thread of its own where every byte is
//! checked as well, and holds the worker's further messages; the core sees one hand-over and an
//! apply that comes later than its frame's. Knows what goes into a file, and no file.

use kenvat_store::{Row, SpillFile, VatId};

use super::Core;
use super::birth::Purpose;
use super::check::{Checked, Violation, check_content, check_place};
use super::event::{Effect, Ledger, LedgerError, SpillRefusal};
use super::rows::{self, AnswerRow, Settled, SourcesRow};
use crate::api::{DeployError, RequestKey};
use kenvat_wire::protocol::{HandOver, Reply};

/// A hand-over on its way to a side file. Nothing of its vat changes before it is back.
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

impl<W> Core<W> {
    /// Whether a hand-over goes by a side file. Asked before it is handed in, so nothing of it may
    /// be true.
    pub fn is_large(&self, id: VatId, hand_over: &HandOver) -> bool {
        hand_over.pieces > 0 || self.takes_rows(id, hand_over)
    }

    /// Whether what it says goes there: it would be more than a frame is to have, with the delta.
    fn takes_rows(&self, id: VatId, hand_over: &HandOver) -> bool {
        let sources = self.births.get(&id).map_or(0, |birth| birth.source_bytes());
        if hand_over.bytes() + sources <= self.settings.limits.frame {
            return false;
        }
        let said = self.said_bytes(id, hand_over) + sources;
        let limits = &self.settings.limits;
        said >= limits.spill_min && hand_over.delta.len() + said > limits.frame
    }

    /// Bytes of a hand-over that a frame would have, roughly. Answers that nobody keeps are not
    /// among them.
    pub(super) fn frame_bytes(&self, id: VatId, hand_over: &HandOver) -> usize {
        match hand_over.bytes() {
            bytes if bytes <= self.settings.limits.frame => bytes,
            _ => hand_over.delta.len() + self.said_bytes(id, hand_over),
        }
    }

    /// Bytes of what it logs, and of its answers that are kept for clients.
    fn said_bytes(&self, id: VatId, hand_over: &HandOver) -> usize {
        let log: usize = hand_over.log.iter().map(|line| line.text.len()).sum();
        let kept = hand_over.replies.iter();
        let kept = kept.filter(|reply| self.key_of(id, reply.request).is_some());
        log + kept.map(Reply::bytes).sum::<usize>()
    }

    /// The key of a request that a vat's worker answers, and what was asked.
    fn key_of(&self, id: VatId, request: u64) -> Option<(&RequestKey, [u8; 32])> {
        let vat = self.vats.get(&id)?;
        let here = request.checked_sub(vat.handed_turn + 1);
        let here = here.and_then(|at| vat.delivered.get(usize::try_from(at).ok()?));
        let request = self.requests.get(here.or(vat.open.get(&request))?)?;
        Some((request.key.as_ref()?, request.content))
    }

    /// Takes a large hand-over to be written; nothing where its worker no longer counts. All that
    /// was handed in before must be in the image.
    pub fn spill(
        &self,
        id: VatId,
        generation: u64,
        hand_over: HandOver,
    ) -> Option<Result<Spill, String>> {
        if let Some(birth) = self.births.get(&id) {
            if !birth.expects(generation) {
                return None;
            }
            let takes_rows = birth.purpose == Purpose::Vat && self.takes_rows(id, &hand_over);
            let placed = birth.check_place(&hand_over);
            return Some(placed.map(|()| Spill {
                hand_over,
                handed_turn: 0,
                page_limit: birth.page_limit,
                takes_rows,
                kept: Vec::new(),
                sources: takes_rows.then(|| (rows::vat_key(id), birth.sources())),
            }));
        }
        if !self.is_current(id, generation) {
            return None;
        }
        let vat = &self.vats[&id];
        if hand_over.generation != generation {
            let why = format!("a hand-over of generation {}", hand_over.generation);
            return Some(Err(why));
        }
        if let Err(violation) = check_place(&hand_over, &vat.expected()) {
            return Some(Err(violation.to_string()));
        }
        let replies = hand_over.replies.iter().enumerate();
        let kept = replies.filter_map(|(at, reply)| {
            let (key, content) = self.key_of(id, reply.request)?;
            Some((at, key.clone(), content))
        });
        Some(Ok(Spill {
            kept: kept.collect(),
            takes_rows: self.takes_rows(id, &hand_over),
            handed_turn: vat.handed_turn,
            page_limit: vat.pages,
            sources: None,
            hand_over,
        }))
    }

    /// It is durable.
    pub(super) fn on_large(
        &mut self,
        id: VatId,
        generation: u64,
        checked: Checked,
        ledger: &mut dyn Ledger,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        if let Some(birth) = self.births.get(&id) {
            return match birth.expects(generation) {
                true => self.on_first_checked(id, generation, checked, ledger, out),
                false => Ok(()),
            };
        }
        match self.is_current(id, generation) {
            true => self.on_checked(id, generation, checked, ledger, out),
            false => Ok(()),
        }
    }

    /// No side file could be made: as if the worker had not run since its last hand-over.
    pub(super) fn on_no_side(
        &mut self,
        id: VatId,
        generation: u64,
        refusal: SpillRefusal,
        out: &mut Vec<Effect<W>>,
    ) -> Result<(), LedgerError> {
        if self.births.contains_key(&id) {
            let error = match refusal {
                SpillRefusal::NoSpace(why) => DeployError::NoSpace(why),
                SpillRefusal::Damaged(why) => DeployError::Host(why),
            };
            self.miscarry(id, error, out);
            out.push(Effect::KillWorker {
                vat: id,
                generation,
            });
            return Ok(());
        }
        if !self.is_current(id, generation) {
            return Ok(());
        }
        match refusal {
            SpillRefusal::Damaged(why) => self.on_damaged(id, generation, why, out),
            SpillRefusal::NoSpace(why) => self.on_no_room(id, generation, &why, out),
        }
        Ok(())
    }

    /// Whether something of the vat that was handed in is not in its image yet; nothing is of one
    /// that is being born.
    pub fn is_image_behind(&self, id: VatId) -> bool {
        let is_unapplied = self.vats.get(&id).is_some_and(|vat| vat.unapplied > 0);
        is_unapplied || self.is_held_back(id)
    }

    /// Whether the vat's first turn runs.
    pub fn is_deploying(&self, id: VatId) -> bool {
        self.births.contains_key(&id)
    }
}
