//! What is durable of a Kenvat host, and how it is recovered.
//!
//! 1. **A commit is one frame's sync.** What a frame holds becomes durable together or not at all.
//! 2. **Only committed things leave.** Images, catalog and logs are brought up to a frame after it
//!    is durable, and reading sees nothing else.
//! 3. **Doing it twice changes nothing.** So recovery applies again whatever may not have reached
//!    the disk.
//! 4. **Torn is not rotten.** What a crash cut off is dropped; what rot changed is refused, by
//!    name.
//! 5. **After an error, stop.** The store latches; only opening again tells what is true.
//!
//! The life of a frame: [`Store::stage`] its parts, [`Store::seal`] it, [`Sealed::write`] it (on
//! any thread), release its outputs, [`Store::apply`] it. From time to time [`Store::begin_fold`],
//! [`Fold::run`] (on any thread), [`Store::finish_fold`].
//!
//! The first of the following documents explains the code and its reasons; the second one the
//! bytes.
#![doc = include_str!("../DESIGN.md")]
#![doc = include_str!("../FORMAT.md")]
#![forbid(unsafe_code)]

pub mod backend;
mod ballast;
mod catalog;
mod codec;
mod commit;
mod deferred;
mod delta;
mod engines;
mod error;
mod fold;
mod genesis;
mod ids;
mod image_check;
mod images;
#[cfg(all(debug_assertions, not(test)))]
mod instances;
mod journal;
mod latch;
mod logs;
mod memtable;
pub mod options;
mod page_rows;
mod pages;
mod reading;
mod recover;
mod space;
mod spill;
mod stage;
mod store;
mod vat;
mod verify;
mod write_back;
mod write_throttle;

pub use backend::file::{FileBackend, syncs};
pub use backend::{Backend, File};
pub use delta::{Delta, DeltaError, PAGE_WORDS, Run, Runs, WORD_BYTES, push_run, push_zeros};
pub use engines::{EngineError, EngineInfo, EngineReading};
pub use error::{Age, Damage, ImageError, NoSpace, OpenError, StageError, StoreError};
pub use fold::{Fold, Folded};
pub use genesis::{Genesis, GenesisTooLarge};
pub use ids::{EngineHash, NameError, PAGE_BYTES, VatId};
pub use journal::writer::{Durable, Sealed};
pub use logs::LogSlice;
pub use options::{JOURNAL_BYTES_MAX, LOG_FILE_BYTES, Options, PAGE_LIMIT_MAX};
pub use reading::{Checked, Reading};
pub use recover::{Dropped, Recovery};
pub use space::Reservation;
pub use spill::writer::{SpillBase, SpillFileError, SpillWriter};
pub use spill::{CHUNK_BYTES_MAX, SpillApplied, SpillFile, SpillJob};
pub use stage::{PART_OVERHEAD_BYTES, Part, Row};
pub use store::{Image, KeyValue, Store, VatMeta};
pub use verify::{VerifyReport, Verifying, verify};
