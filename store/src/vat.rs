//! A vat as the store keeps it in memory: what the catalog and the applied frames say of it. Holds
//! no content of its image or log.

use crate::codec::LogRecord;
use crate::error::Damage;
use crate::ids::EngineHash;

/// A vat.
#[derive(Clone, Debug)]
pub(crate) struct Vat {
    pub engine: EngineHash,
    /// Pages of the image when it was made.
    pub page_limit: u32,
    /// Pages it was extended to since the store was opened; 0 before.
    pub extended: u32,
    pub phase: Phase,
    /// Why no worker starts on it.
    pub damaged: Option<Damage>,
    pub log: LogRecord,
    /// Bytes of log in frames that are not applied yet, and reserved bytes that are in no frame
    /// yet.
    pub log_staged: u64,
    pub log_promised: u64,
}

impl Vat {
    /// Pages the image is known to have.
    pub(crate) fn pages(&self) -> u32 {
        self.page_limit.max(self.extended)
    }
}

/// The state of a vat between being named in a frame and the frame being applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its first frame is not applied yet, so there is no image.
    Creating,
    Live,
    /// Its last part is staged; no other is accepted.
    Terminating,
}
