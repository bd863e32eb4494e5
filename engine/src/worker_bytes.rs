//! The worker executable, as the build script made it: static, at a fixed address, stripped (E1).
//!
//! Its SHA-256 is the identity of the engine that new vats are born with (E2).

/// The whole ELF file.
pub static WORKER: &[u8] = include_bytes!(env!("KENVAT_WORKER"));

/// Its SHA-256 in hex, worked out when it was built.
pub static WORKER_SHA256: &str = env!("KENVAT_WORKER_SHA256");

/// The flags it was compiled with, separated by the character U+001F. A build of the package
/// `kenvat-worker` by hand, to compare or to inspect, needs them to give the same file.
pub static WORKER_FLAGS: &str = env!("KENVAT_WORKER_FLAGS");

/// The flags its C files were compiled with, separated by spaces.
pub static WORKER_C_FLAGS: &str = env!("KENVAT_WORKER_C_FLAGS");

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn the_hash_is_the_executable_s() {
        let hash = Sha256::digest(WORKER);
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, WORKER_SHA256);
    }
}
