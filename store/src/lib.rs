//! What is durable of a Kenvat host, and how it is found again.
//!
//! (Draft.)

#![forbid(unsafe_code)]

pub mod backend;
mod catalog;
mod codec;
mod commit;
mod delta;
mod engines;
mod error;
mod fold;
mod genesis;
mod ids;
mod images;
mod journal;
mod latch;
mod layer;
mod logs;
pub mod options;
mod page_rows;
mod pages;
mod recover;
mod stage;
mod store;
mod verify;

pub use backend::file::FileBackend;
pub use backend::{Backend, File};
pub use delta::{Delta, DeltaError, PAGE_WORDS, Run, Runs, WORD_BYTES, push_run};
pub use engines::{EngineError, EngineInfo};
pub use error::{Age, Damage, ImageError, OpenError, StageError, StoreError};
pub use fold::{Fold, Folded};
pub use genesis::{Genesis, GenesisTooLarge};
pub use ids::{EngineHash, NameError, PAGE_BYTES, VatId};
pub use journal::writer::{Durable, Sealed};
pub use logs::LogSlice;
pub use options::Options;
pub use recover::{Dropped, Recovery};
pub use stage::{Part, Row};
pub use store::{Image, KeyValue, Store, VatMeta};
pub use verify::{VerifyReport, verify};
