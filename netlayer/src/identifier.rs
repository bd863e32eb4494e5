//! Names made of hashes: who a key is, and which session two keys share.
//!
//! Promises: both sides of a session compute the same session id. Does not know keys' secrets.

use sha2::{Digest, Sha256};

/// The public identifier of a key: the double hash of its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicId(pub [u8; 32]);

/// The name of a session, the same on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub [u8; 32]);

/// Tells session ids from anything else hashed twice; the version of the scheme.
const SESSION_PREFIX: &[u8] = b"prot0";

impl SessionId {
    /// Of the session between the holders of two keys, in whichever order they are given.
    pub fn between(one: &PublicId, other: &PublicId) -> Self {
        let (lower, higher) = if one <= other {
            (one, other)
        } else {
            (other, one)
        };
        SessionId(hash_twice(&[SESSION_PREFIX, &lower.0, &higher.0]))
    }
}

/// SHA-256 of SHA-256 of the parts, one after the other.
pub(crate) fn hash_twice(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    Sha256::digest(hash.finalize()).into()
}
