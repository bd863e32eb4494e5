//! The worker executable, as the build script made it: static, at a fixed address, stripped (E1).
//!
//! Its SHA-256 is the identity of the engine that new vats are born with (E2).

/// The whole ELF file.
pub static WORKER: &[u8] = include_bytes!(env!("KENVAT_WORKER"));
