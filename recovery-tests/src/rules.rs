//! What a run of the simulation may be told, and the rules it can be told to break.
//!
//! The broken rules are canaries: an alarm that has never rung is not known to work. They exist
//! here only; neither the engine nor the store has a switch for them.

/// When what waits at the output gate is let out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outputs {
    /// T4.
    AtCommit,
    /// Broken: when the frame is closed, before it is written.
    AtSeal,
}

/// How long workers keep copies of what they handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copies {
    /// H1.
    UntilApplied,
    /// Broken: not at all.
    DroppedAtHandOver,
}

/// What becomes of a client's calls after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// Asked again under the same key.
    SameKey,
    /// Broken: asked again under a new key, as a client without keys would.
    NewKey,
}

/// How one world behaves.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub steps: u32,
    pub outputs: Outputs,
    pub copies: Copies,
    pub asking: Asking,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            steps: 700,
            outputs: Outputs::AtCommit,
            copies: Copies::UntilApplied,
            asking: Asking::SameKey,
        }
    }
}
