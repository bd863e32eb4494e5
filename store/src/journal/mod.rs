//! The journal: the one place where something becomes durable.
//!
//! `sector` is the unit of writing and of doubt, `frame` the unit of commit, `segment` a file of
//! preallocated sectors, `writer` the one that appends. Byte by byte in FORMAT.md. What is read
//! back after a crash, and what of it is believed, is `recover`'s.

pub(crate) mod frame;
pub(crate) mod sector;
pub(crate) mod segment;
pub(crate) mod writer;
