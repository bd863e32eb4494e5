//! Hand-overs too large for a frame: their delta, or what they say, goes to a side file (J7).
//!
//! Promises: what is in such a file is durable before its hand-over is staged, and checked, so
//! whatever can refuse it has done so before anything of it is shown (J8); one file has all of it,
//! and one frame names it. Until it is where it belongs nothing else of that vat is handed in, and
//! only that vat waits. The shell makes the file, on a thread of its own where every byte is looked
//! at as well, and holds the worker's further messages; the core sees one hand-over and an apply
//! that comes later than its frame's.

use kenvat_store::{Backend, SpillBase, SpillFileError, SpillWriter, VatId};

use super::Core;
use super::birth::Purpose;
use super::check::{Checked, Violation, check_content, check_place};
use super::event::{Effect, Ledger, LedgerError, SpillRefusal};
use super::limits::{FRAME_BYTES, SPILL_BYTES_MIN};
use super::rows::{self, AnswerRow, Settled, SourcesRow};
use crate::api::{DeployError, RequestKey};
use kenvat_wire::protocol::{HandOver, Reply};

/// A hand-over on its way to a side file. Nothing of its vat changes before it is back.
#[derive(Debug)]
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

/// Why it did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum SpillError {
    #[error(transparent)]
    Side(#[from] SpillFileError),
    #[error(transparent)]
    Violation(#[from] Violation),
}

impl Spill {
    /// Checks the rest of it and ends its file. On any thread.
    pub fn write<B: Backend>(
        self,
        mut writer: SpillWriter<B>,
        base: Option<&SpillBase<B>>,
    ) -> Result<Checked, SpillError> {
        let mut checked = check_content(self.hand_over, self.handed_turn, self.page_limit)?;
        if self.takes_rows {
            let mut push = |row: kenvat_store::Row| {
                let value = row.value.unwrap_or_default();
                writer.push_row(row.table, row.key, &value)
            };
            for (at, key, content) in self.kept {
                let Some(Reply { outcome, .. }) = checked.replies.get(at) else {
                    continue;
                };
                let settled = Settled::from_outcome(outcome.clone());
                let answer = AnswerRow::Settled { content, settled };
                push(rows::put(rows::ANSWERS, rows::answer_key(&key), &answer))?;
            }
            if let Some((key, sources)) = self.sources {
                push(rows::put(rows::SOURCES, key, &sources))?;
            }
            writer.push_log(&std::mem::take(&mut checked.log))?;
            checked.rows_are_spilled = true;
        }
        checked.side = Some(writer.finish(base)?);
        Ok(checked)
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
        if hand_over.bytes() + sources <= FRAME_BYTES {
            return false;
        }
        let said = self.said_bytes(id, hand_over) + sources;
        said >= SPILL_BYTES_MIN && hand_over.delta.len() + said > FRAME_BYTES
    }

    /// Bytes of a hand-over that a frame would have, roughly. Answers that nobody keeps are not
    /// among them.
    pub(super) fn frame_bytes(&self, id: VatId, hand_over: &HandOver) -> usize {
        match hand_over.bytes() {
            bytes if bytes <= FRAME_BYTES => bytes,
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
