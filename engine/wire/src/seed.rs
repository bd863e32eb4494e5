//! The chance of one turn: 32 bytes that nobody could guess, from the host for that turn alone.
//!
//! Promises: the bytes lie in one place of their own, are never moved out of it and are wiped when
//! it is given back; nothing prints them. Does not know where they come from or what is drawn.

use std::fmt;

use bincode::de::read::Reader;
use bincode::de::{Decode, Decoder};
use bincode::enc::write::Writer;
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError, EncodeError};
use zeroize::Zeroizing;

/// Bytes of a seed.
pub const SEED_BYTES: usize = 32;

/// What a turn's chance is drawn from. The same seed gives the same turn.
#[derive(PartialEq, Eq)]
pub struct Seed(Box<Zeroizing<[u8; SEED_BYTES]>>);

impl Seed {
    /// The seed whose bytes `fill` writes where they will stay.
    pub fn filled<E>(fill: impl FnOnce(&mut [u8; SEED_BYTES]) -> Result<(), E>) -> Result<Seed, E> {
        let mut bytes = Box::new(Zeroizing::new([0; SEED_BYTES]));
        fill(&mut bytes)?;
        Ok(Seed(bytes))
    }

    pub fn bytes(&self) -> &[u8; SEED_BYTES] {
        &self.0
    }
}

/// For simulations and tests, which choose their chance.
impl From<[u8; SEED_BYTES]> for Seed {
    fn from(bytes: [u8; SEED_BYTES]) -> Seed {
        Seed(Box::new(Zeroizing::new(bytes)))
    }
}

impl Clone for Seed {
    fn clone(&self) -> Seed {
        let mut bytes = Box::new(Zeroizing::new([0; SEED_BYTES]));
        bytes.copy_from_slice(&self.0[..]);
        Seed(bytes)
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(…)")
    }
}

impl Encode for Seed {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        encoder.writer().write(&self.0[..])
    }
}

impl<C> Decode<C> for Seed {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Seed, DecodeError> {
        decoder.claim_bytes_read(SEED_BYTES)?;
        Seed::filled(|bytes| decoder.reader().read(bytes))
    }
}

bincode::impl_borrow_decode!(Seed);
