//! What a procedure of the core works with besides the owners it borrows: the clock, the settings,
//! the ledger, orders for workers, and the three ways out (see the folder's head).

use kenvat_store::{Part, Reservation, Row, VatId};

use super::{Ack, Durable, FrameNo, Gate, HandedOver, OnCommit, Output, Refusal, Waiter};
use crate::Settings;
use crate::api::{DeployError, VatLimits};
use crate::event::{Effect, Ledger, LedgerError, Reserved};
use crate::limits::CoreLimits;
use crate::rows;
use kenvat_wire::protocol::ToWorker;
use kenvat_wire::seed::Seed;

/// The surroundings of one event.
pub struct Context<'a, W> {
    settings: &'a Settings,
    now_ms: i64,
    gate: &'a mut Gate<W>,
    ledger: &'a mut dyn Ledger,
    effects: &'a mut Vec<Effect<W>>,
}

impl<'a, W> Context<'a, W> {
    pub(crate) fn new(
        settings: &'a Settings,
        now_ms: i64,
        gate: &'a mut Gate<W>,
        ledger: &'a mut dyn Ledger,
        effects: &'a mut Vec<Effect<W>>,
    ) -> Context<'a, W> {
        Context {
            settings,
            now_ms,
            gate,
            ledger,
            effects,
        }
    }

    /// The same surroundings, for a procedure within a procedure.
    pub(crate) fn reborrow(&mut self) -> Context<'_, W> {
        Context {
            settings: self.settings,
            now_ms: self.now_ms,
            gate: self.gate,
            ledger: self.ledger,
            effects: self.effects,
        }
    }

    /// The time of the event.
    pub(crate) fn now_ms(&self) -> i64 {
        self.now_ms
    }

    pub(crate) fn settings(&self) -> &'a Settings {
        self.settings
    }

    pub(crate) fn limits(&self) -> &'a CoreLimits {
        &self.settings.limits
    }

    // The three ways out.

    /// Puts a part into the frame being filled.
    pub fn stage(&mut self, part: Part) {
        self.effects.push(Effect::Stage(part));
    }

    /// Puts a row into the frame being filled.
    pub(crate) fn stage_row(&mut self, row: Row) {
        self.stage(Part::Row(row));
    }

    /// Answers at once a request that ran no turn.
    pub fn refuse(&mut self, waiter: Waiter<W>, refusal: Refusal) {
        self.effects.push(waiter.answer(Err(refusal.into_error())));
    }

    /// Answers at once a deployment that failed. Whatever it ran, it ran on a copy that is thrown
    /// away: nothing of it is durable, so there is no frame to wait for.
    pub(crate) fn refuse_deployment(&mut self, waiter: W, error: DeployError) {
        let answer = Err(error);
        self.effects.push(Effect::AnswerDeploy { waiter, answer });
    }

    /// Confirms at once what changed nothing durable.
    pub fn acknowledge(&mut self, ack: Ack<W>) {
        self.effects.push(ack.into_effect());
    }

    /// Tells everyone who waited for a state that the vat will not be in it.
    pub(crate) fn refuse_all(&mut self, waiters: Vec<W>, refusal: &Refusal) {
        for waiter in waiters {
            self.refuse(Waiter::Done(waiter), refusal.clone());
        }
    }

    /// Confirms to everyone who waited for a state that the vat is in it.
    pub(crate) fn acknowledge_all(&mut self, waiters: Vec<W>, ack: impl Fn(W) -> Ack<W>) {
        for waiter in waiters {
            self.acknowledge(ack(waiter));
        }
    }

    /// Registers what is to happen once the frame being filled is durable.
    pub fn on_commit(&mut self, output: OnCommit<W>) -> FrameNo {
        self.gate.on_commit(output)
    }

    /// Notes in the frame being filled that a vat has come this far.
    pub(crate) fn count_turns(&mut self, turns: HandedOver) {
        let key = rows::vat_key(turns.vat);
        self.stage_row(rows::put(rows::COUNTERS, key, &turns.counters));
        self.on_commit(OnCommit::Progress(turns));
    }

    /// Lets an output of a durable frame out.
    pub fn release(&mut self, durable: Durable, output: Output<W>) {
        self.effects.push(output.release(durable));
    }

    // The frame.

    pub(crate) fn proof(&self, frame: FrameNo) -> Option<Durable> {
        self.gate.proof(frame)
    }

    pub(crate) fn is_slot_free(&self) -> bool {
        self.gate.is_free()
    }

    pub(crate) fn is_frame_due(&self) -> bool {
        self.gate.is_due()
    }

    /// Closes the frame being filled and has it committed.
    pub(crate) fn commit(&mut self) {
        if self.gate.seal() {
            self.effects.push(Effect::Commit);
        }
    }

    pub(crate) fn frame_takes(&self, bytes: usize) -> bool {
        self.gate.takes(bytes, self.settings.limits.frame)
    }

    pub(crate) fn take_in(&mut self, bytes: usize) {
        self.gate.take_in(bytes);
    }

    pub(crate) fn is_removing(&self, vat: VatId) -> bool {
        self.gate.is_removing(vat)
    }

    pub(crate) fn lag(&mut self, turns: HandedOver) {
        self.gate.lag(turns);
    }

    // The ledger.

    /// A committed row, with the proof that it is.
    pub(crate) fn read(
        &self,
        table: u8,
        key: &[u8],
    ) -> Result<Option<(Vec<u8>, Durable)>, LedgerError> {
        let row = self.ledger.get(table, key)?;
        let frame = self.gate.durable;
        Ok(row.map(|bytes| (bytes, Durable { frame })))
    }

    pub(crate) fn ledger(&self) -> &dyn Ledger {
        self.ledger
    }

    pub(crate) fn reserve(
        &mut self,
        reservation: &Reservation<'_>,
    ) -> Result<Reserved, LedgerError> {
        self.ledger.reserve(reservation)
    }

    pub(crate) fn seed(&mut self) -> Result<Seed, LedgerError> {
        self.ledger.seed()
    }

    pub(crate) fn next_vat_id(&mut self) -> VatId {
        self.ledger.next_vat_id()
    }

    // Orders for workers.

    pub(crate) fn start_worker(&mut self, vat: VatId, generation: u64) {
        self.effects.push(Effect::StartWorker { vat, generation });
    }

    pub(crate) fn start_deployment(
        &mut self,
        vat: VatId,
        generation: u64,
        page_limit: u32,
        limits: VatLimits,
    ) {
        self.effects.push(Effect::StartDeployment {
            vat,
            generation,
            page_limit,
            limits,
        });
    }

    pub(crate) fn send(&mut self, vat: VatId, generation: u64, message: ToWorker) {
        self.effects.push(Effect::SendToWorker {
            vat,
            generation,
            message,
        });
    }

    pub(crate) fn kill(&mut self, vat: VatId, generation: u64) {
        self.effects.push(Effect::KillWorker { vat, generation });
    }
}
