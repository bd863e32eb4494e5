//! A vat as the store keeps it in memory: what the catalog says of it, brought up to the frames
//! applied. Holds no content of its image or log.

use crate::codec::LogRecord;
use crate::error::Damage;
use crate::ids::EngineHash;

/// A vat as the store keeps it in memory.
#[derive(Clone, Debug)]
pub(crate) struct Vat {
    pub engine: EngineHash,
    /// Pages of the image when it was made.
    pub page_limit: u32,
    /// Pages it was made longer to in this life of the store; 0 before.
    pub extended: u32,
    pub phase: Phase,
    /// Why no worker starts on it.
    pub damaged: Option<Damage>,
    pub log: LogRecord,
    /// Bytes of log in frames not applied yet, and bytes room was taken for that are in none.
    pub log_staged: u64,
    pub log_promised: u64,
}

impl Vat {
    /// Pages the image has, as far as is known.
    pub(crate) fn pages(&self) -> u32 {
        self.page_limit.max(self.extended)
    }
}

/// Where a vat stands between being named in a frame and that frame's being applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its first frame is not applied yet: there is no image.
    Creating,
    Live,
    /// Its last part is staged: no more is taken.
    Terminating,
}
