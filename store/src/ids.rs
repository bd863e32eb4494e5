//! Names of what the store keeps: vats and engines.
//!
//! Promises: an id is a number or a hash and nothing else; its `Display` is its file's name.

use std::fmt;
use std::str::FromStr;

/// Bytes of one heap page, and of the unit all page checksums are about.
pub const PAGE_BYTES: usize = 4096;

/// Number of a vat in its store. Never used again, not even after the vat was terminated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VatId(pub u64);

impl fmt::Display for VatId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The bytes were not a name of the kind asked for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a name the store gives")]
pub struct NameError;

impl FromStr for VatId {
    type Err = NameError;

    /// Accepts exactly what `Display` writes, so that a file name has one reading only.
    fn from_str(name: &str) -> Result<VatId, NameError> {
        let id = u64::from_str_radix(name, 16)
            .map(VatId)
            .map_err(|_| NameError)?;
        if id.to_string() == name {
            Ok(id)
        } else {
            Err(NameError)
        }
    }
}

/// SHA-256 of a worker executable.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EngineHash(pub [u8; 32]);

impl fmt::Display for EngineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for EngineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EngineHash({self})")
    }
}

impl FromStr for EngineHash {
    type Err = NameError;

    fn from_str(name: &str) -> Result<EngineHash, NameError> {
        let mut hash = [0; 32];
        if name.len() != 64 || !name.is_ascii() {
            return Err(NameError);
        }
        for (place, byte) in hash.iter_mut().enumerate() {
            let digits = name.get(place * 2..place * 2 + 2).ok_or(NameError)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| NameError)?;
        }
        let hash = EngineHash(hash);
        if hash.to_string() == name {
            Ok(hash)
        } else {
            Err(NameError)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_reading_only() {
        assert_eq!("00000000000000ff".parse(), Ok(VatId(255)));
        for wrong in [
            "ff",
            "00000000000000FF",
            "+0000000000000ff",
            "",
            "000000000000000001",
        ] {
            assert_eq!(wrong.parse::<VatId>(), Err(NameError), "{wrong}");
        }
        let hash = EngineHash([0xab; 32]);
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert!(
            hash.to_string()
                .to_uppercase()
                .parse::<EngineHash>()
                .is_err()
        );
        assert!("+f".repeat(32).parse::<EngineHash>().is_err());
    }
}
