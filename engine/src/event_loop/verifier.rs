//! Verifications of the store, one at a time, in steps between frames.
//!
//! Promises: nobody waits for more than a step; whoever asks while one is under way gets the next
//! one, as what came before their question may have been read already.

use kenvat_core::Core;
use kenvat_core::api::{CallError, DamageReport, StoreReport};
use kenvat_store::{FileBackend, OpenError, Store, VerifyReport, Verifying};

use super::Waiter;
use crate::handle::Answerer;

/// Somebody who waits for a verification.
type Asker = Answerer<Result<StoreReport, CallError>>;

/// Who waits for verifications, and the one under way.
#[derive(Default)]
pub(super) struct Verifier {
    running: Option<(Verifying, Vec<Asker>)>,
    /// Who waits for the next one.
    next: Vec<Asker>,
}

impl Verifier {
    pub fn ask(&mut self, asker: Asker) {
        self.next.push(asker);
    }

    /// Whether somebody waits for a verification.
    pub fn is_asked(&self) -> bool {
        self.running.is_some() || !self.next.is_empty()
    }

    /// Does one step, where the store is at rest; else it is tried after the next frame is applied
    /// or the fold ends. True when a step was done: the loop has to come round again for the next,
    /// and whatever came meanwhile comes first.
    pub fn step(&mut self, store: &mut Store<FileBackend>, core: &Core<Waiter>) -> bool {
        if self.running.is_none() && !self.next.is_empty() {
            let askers = std::mem::take(&mut self.next);
            self.running = Some((store.begin_verify(), askers));
        }
        if !store.is_between_frames() {
            return false;
        }
        let Some((verifying, _)) = &mut self.running else {
            return false;
        };
        match store.verify_step(verifying) {
            Ok(false) => {}
            step => self.finish(step, core),
        }
        true
    }

    fn finish(&mut self, step: Result<bool, OpenError>, core: &Core<Waiter>) {
        let Some((verifying, askers)) = self.running.take() else {
            return;
        };
        let report = step
            .map(|_| report(verifying.report, core))
            .map_err(|error| CallError::Host(error.to_string()));
        for asker in askers {
            // An asker that went away needs no answer.
            let _ = asker.send(report.clone());
        }
    }
}

fn report(report: VerifyReport, core: &Core<Waiter>) -> StoreReport {
    let name = |id| core.view(id).map(|view| view.row.name.clone());
    let damages = report.damages.into_iter().map(|damage| DamageReport {
        file: damage.file,
        offset: damage.offset,
        vat: damage
            .vat
            .map(|id| name(id).unwrap_or_else(|| id.to_string())),
        what: damage.what,
    });
    StoreReport {
        read_bytes: report.read_bytes,
        damages: damages.collect(),
    }
}
