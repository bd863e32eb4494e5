//! The output gate: nothing that a turn produced leaves the host before the frame that holds the
//! turn is durable (T4).
//!
//! Procedures work with a [`Context`], which has three ways out:
//! - [`stage`](Context::stage) puts a part into the frame being filled;
//! - [`refuse`](Context::refuse) answers at once what ran no turn ([`Refusal`] has no constructor
//!   for the outcome of a turn), and [`acknowledge`](Context::acknowledge) confirms at once what
//!   changed nothing durable;
//! - [`on_commit`](Context::on_commit) registers what waits for the frame, and [`Output`] becomes
//!   an [`Effect`](crate::event::Effect) only in exchange for a [`Durable`].
//!
//! A [`Durable`] is made here alone: when the loop reports that the frame is durable, for a row
//! that was read from the catalog (rows can be read only once their frame is applied), and for the
//! number of a frame that is durable already. The list of effects is private to this folder, so no
//! other file can append an answer to it.
//!
//! ```text
//! hand-over ─► stage, on_commit ─► frame being filled ─seal─► syncing ─committed─► applying
//!                                                                      │           │
//!                                                       nothing leaves ┘           └─► Durable:
//!                                                                               outputs leave
//! ```
//!
//! An output leaves with its frame:
//!
//! ```
//! use kenvat_core::event::Effect;
//! use kenvat_core::gate::{Gate, OnCommit, Output};
//!
//! let mut gate = Gate::<u32>::new();
//! let frame = gate.on_commit(OnCommit::Settle(1));
//! assert!(gate.proof(frame).is_none());
//! assert!(gate.seal());
//! assert!(gate.proof(frame).is_none());
//! let durable = gate.committed().proof();
//! let effect = Output::Done { waiter: 7 }.release(durable);
//! assert!(matches!(effect, Effect::AnswerDone { waiter: 7, answer: Ok(()) }));
//! ```
//!
//! It cannot leave when the frame is only sealed:
//!
//! ```compile_fail,E0308
//! use kenvat_core::event::Effect;
//! use kenvat_core::gate::{Gate, OnCommit, Output};
//!
//! let mut gate = Gate::<u32>::new();
//! let frame = gate.on_commit(OnCommit::Settle(1));
//! assert!(gate.seal());
//! let effect = Output::Done { waiter: 7 }.release(frame);
//! ```
//!
//! Nor can the proof be made up:
//!
//! ```compile_fail,E0451
//! use kenvat_core::event::Effect;
//! use kenvat_core::gate::{Durable, Gate, OnCommit, Output};
//!
//! let mut gate = Gate::<u32>::new();
//! let frame = gate.on_commit(OnCommit::Settle(1));
//! let durable = Durable { frame };
//! let effect = Output::Done { waiter: 7 }.release(durable);
//! ```

mod context;
mod frame;
mod output;

pub use self::context::Context;
pub use self::frame::{Created, DurableFrame, HandedOver, Limited, OnCommit};
pub use self::output::{Ack, Output, Refusal, Waiter};

use kenvat_store::VatId;

use self::frame::{Frame, Slot};

/// Number of a frame within one life of the host, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FrameNo(u64);

/// Proof that a frame is durable. Only the gate makes one.
#[derive(Clone, Copy, Debug)]
pub struct Durable {
    frame: FrameNo,
}

impl Durable {
    /// The frame it is about.
    pub fn frame(self) -> FrameNo {
        self.frame
    }
}

/// The frame being filled, the one being committed, and what waits for them.
#[derive(Debug)]
pub struct Gate<W> {
    filling: Frame<W>,
    slot: Slot<W>,
    /// The last frame that is durable; 0 before the first one of this life.
    durable: FrameNo,
    /// Hand-overs of applied frames that are not in their image yet, for want of space or because
    /// their spill file takes its time.
    lagging: Vec<HandedOver>,
}

impl<W> Gate<W> {
    /// A gate with an empty frame.
    pub fn new() -> Gate<W> {
        Gate {
            filling: Frame::numbered(FrameNo(1)),
            slot: Slot::Free,
            durable: FrameNo(0),
            lagging: Vec::new(),
        }
    }

    /// Registers what is to happen once the frame being filled is durable; which frame that is.
    pub fn on_commit(&mut self, output: OnCommit<W>) -> FrameNo {
        self.filling.push(output);
        self.filling.number()
    }

    /// Whether a frame can be sealed: there is something in it, and none is under way (J2).
    pub fn is_due(&self) -> bool {
        self.is_free() && !self.filling.is_empty()
    }

    /// Closes the frame being filled, where it is due, and begins the next one. False otherwise.
    pub fn seal(&mut self) -> bool {
        if !self.is_due() {
            return false;
        }
        let next = Frame::numbered(self.filling.number().next());
        self.slot = Slot::Syncing(std::mem::replace(&mut self.filling, next));
        true
    }

    /// The frame that was sealed is durable: what waits for it may leave.
    ///
    /// # Panics
    ///
    /// If no frame is being committed: the loop reports a commit that nobody asked for.
    pub fn committed(&mut self) -> DurableFrame<W> {
        let Slot::Syncing(frame) = std::mem::replace(&mut self.slot, Slot::Free) else {
            panic!("a commit nobody asked for");
        };
        assert!(frame.number() > self.durable, "frames commit in order");
        self.durable = frame.number();
        frame.committed(Durable {
            frame: self.durable,
        })
    }

    /// The outputs of the durable frame are out; its heap changes are not in the images yet.
    pub(crate) fn begin_apply(&mut self, frame: DurableFrame<W>) {
        debug_assert!(self.is_free(), "one frame at a time");
        let (settled, turns) = frame.into_applying();
        self.slot = Slot::Applying { settled, turns };
    }

    /// The durable frame is in the images: the requests it settled, the hand-overs it held.
    ///
    /// # Panics
    ///
    /// If no frame is being applied.
    pub(crate) fn applied(&mut self) -> (Vec<u64>, Vec<HandedOver>) {
        match std::mem::replace(&mut self.slot, Slot::Free) {
            Slot::Applying { settled, turns } => (settled, turns),
            _ => panic!("an apply nobody asked for"),
        }
    }

    /// Proof that this frame is durable, once it is.
    pub fn proof(&self, frame: FrameNo) -> Option<Durable> {
        (frame <= self.durable).then_some(Durable { frame })
    }

    /// Whether no frame is being committed or applied.
    pub fn is_free(&self) -> bool {
        matches!(self.slot, Slot::Free)
    }

    /// Whether no frame is under way and nothing waits for the next one.
    pub fn is_idle(&self) -> bool {
        self.is_free() && self.filling.is_empty()
    }

    /// Whether the frame being filled takes that many more bytes of hand-overs. An empty one takes
    /// any number: what alone would be too large goes to a spill file.
    pub(crate) fn takes(&self, bytes: usize, most: usize) -> bool {
        let filled = self.filling.bytes();
        filled == 0 || filled + bytes <= most
    }

    pub(crate) fn take_in(&mut self, bytes: usize) {
        self.filling.take_in(bytes);
    }

    /// Whether the end of this vat is in a frame that is not durable yet.
    pub(crate) fn is_removing(&self, vat: VatId) -> bool {
        let syncing = matches!(&self.slot, Slot::Syncing(frame) if frame.removes(vat));
        syncing || self.filling.removes(vat)
    }

    pub(crate) fn lag(&mut self, turns: HandedOver) {
        self.lagging.push(turns);
    }

    /// Whether an image lacks hand-overs of applied frames.
    pub(crate) fn is_lagging(&self) -> bool {
        !self.lagging.is_empty()
    }

    /// The images of these vats are whole: their hand-overs that lagged, in order.
    pub(crate) fn caught_up(&mut self, vats: &[VatId]) -> Vec<HandedOver> {
        let (done, lagging) = std::mem::take(&mut self.lagging)
            .into_iter()
            .partition(|turns: &HandedOver| vats.contains(&turns.vat));
        self.lagging = lagging;
        done
    }
}

impl<W> Default for Gate<W> {
    fn default() -> Gate<W> {
        Gate::new()
    }
}

impl FrameNo {
    fn next(self) -> FrameNo {
        FrameNo(self.0 + 1)
    }
}
