//! Deployments under way: the programs whose start runs or waits.
//!
//! Files: `deployment` one of them; `start` from the request to the frame that creates the vat;
//! `pending` starts that wait for timers.

mod deployment;
mod pending;
mod start;

use std::collections::BTreeMap;

use kenvat_store::VatId;

pub(crate) use self::deployment::Deployment;
pub use self::deployment::FirstViolation;
pub(crate) use self::start::Deploying;
use crate::api::Call;
use crate::gate::Refusal;
use crate::limits::CoreLimits;

/// The first turn is turn 1, and its request as well.
pub(crate) const FIRST_TURN: u64 = 1;

/// Why a start is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Vat,
    /// To see whether the program starts: no vat comes of it.
    DryRun,
}

/// All of them, by the number their vat will have.
#[derive(Debug)]
pub(crate) struct Deployments<W> {
    under_way: BTreeMap<VatId, Deployment<W>>,
}

impl<W> Deployments<W> {
    pub fn new() -> Deployments<W> {
        Deployments {
            under_way: BTreeMap::new(),
        }
    }

    pub fn get(&self, id: VatId) -> Option<&Deployment<W>> {
        self.under_way.get(&id)
    }

    pub fn contains(&self, id: VatId) -> bool {
        self.under_way.contains_key(&id)
    }

    /// Whether a vat of that name is being deployed.
    pub fn is_pending(&self, name: &str) -> bool {
        self.with_name(name).is_some()
    }

    /// The deployment of a vat of that name.
    fn with_name(&self, name: &str) -> Option<(VatId, &Deployment<W>)> {
        let mut all = self.under_way.iter();
        all.find(|(_, it)| it.is_of(name)).map(|(id, it)| (*id, it))
    }

    /// The same, where it is not in a frame yet.
    pub fn starting(&self, name: &str) -> Option<VatId> {
        let found = self.with_name(name);
        found.filter(|(_, it)| !it.is_in_frame()).map(|(id, _)| id)
    }

    /// Whether one of them runs a turn.
    pub fn has_running(&self) -> bool {
        self.under_way.values().any(Deployment::is_running)
    }

    /// Whether each of them waits for a timer.
    pub fn all_wait(&self) -> bool {
        let mut all = self.under_way.values();
        all.all(|it| it.waits_for().is_some())
    }

    /// Deployments that do not wait for a timer. The others have a process as well, but none of the
    /// slots of vats, which they would keep for minutes.
    pub fn running(&self) -> usize {
        let is_waiting = |it: &&Deployment<W>| it.waits_for().is_none();
        self.under_way.values().filter(is_waiting).count()
    }

    /// When the next start that waits goes on.
    pub fn next_start_ms(&self) -> Option<i64> {
        let waits = self.under_way.values().filter_map(Deployment::waits_for);
        waits.map(|due| due.due_ms).min()
    }

    /// A call waits for the vat it names, which is being deployed, as long as there are not too
    /// many of them.
    pub fn wait_for(
        &mut self,
        call: Call,
        waiter: W,
        limits: &CoreLimits,
    ) -> Result<(), (W, Refusal)> {
        let mut all = self.under_way.values_mut();
        let Some(deployment) = all.find(|it| it.is_of(&call.vat)) else {
            let why = "is not being deployed".to_owned();
            return Err((waiter, Refusal::unavailable(&call.vat, why)));
        };
        let bytes = deployment.callers_bytes + call.method.len() + call.args.len();
        let count = deployment.callers.len();
        if count >= limits.waiting || bytes > limits.waiting_bytes {
            let why = format!("{count} calls wait for the start of vat `{}`", call.vat);
            return Err((waiter, Refusal::overloaded(why)));
        }
        deployment.callers_bytes = bytes;
        deployment.callers.push((call, waiter));
        Ok(())
    }
}
