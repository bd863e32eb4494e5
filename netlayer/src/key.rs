//! Public keys and signatures as OCapN writes them.
//!
//! Promises: one key has one form on the wire, so its public identifier is unambiguous; a signature
//! is checked strictly (no malleable forms, no keys of small order). Makes no signature and holds
//! no secret: that is the host's, which composes what it signs.

use crate::Fault;
use crate::codec::{EncodeError, KeyOrder, Limits, Value, Writer, encode};
use crate::identifier::{PublicId, hash_twice};

/// The public half of an Ed25519 key, not yet known to be a point of the curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PublicKey(pub [u8; 32]);

/// An Ed25519 signature: R, then S.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

/// Why a received key or signature will not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    #[error("not an Ed25519 public key in the form OCapN gives it")]
    NotAKey,
    #[error("not an EdDSA signature in the form OCapN gives it")]
    NotASignature,
    #[error("the signature is not by this key over these bytes")]
    WrongSignature,
}

impl KeyError {
    /// Whose fault it is: abort the session, or refuse the handoff.
    pub fn fault(&self) -> Fault {
        Fault::PeerMisbehaved
    }
}

impl PublicKey {
    /// `['public-key ['ecc ['curve 'Ed25519] ['flags 'eddsa] ['q Q]]]`
    pub fn to_value(&self) -> Value {
        let pair = |name: &str, value| Value::List(vec![Value::symbol(name), value]);
        let ecc = vec![
            Value::symbol("ecc"),
            pair("curve", Value::symbol("Ed25519")),
            pair("flags", Value::symbol("eddsa")),
            pair("q", Value::Bytes(self.0.to_vec())),
        ];
        pair("public-key", Value::List(ecc))
    }

    pub fn from_value(value: &Value) -> Result<Self, KeyError> {
        let key = || {
            let [ecc] = value.as_tagged_list("public-key")?;
            let [curve, flags, q] = ecc.as_tagged_list("ecc")?;
            let [curve] = curve.as_tagged_list("curve")?;
            let [flags] = flags.as_tagged_list("flags")?;
            let [q] = q.as_tagged_list("q")?;
            let known = curve.as_symbol() == Some("Ed25519") && flags.as_symbol() == Some("eddsa");
            if known { q.as_array().copied() } else { None }
        };
        key().map(PublicKey).ok_or(KeyError::NotAKey)
    }

    /// The canonical bytes of the key's record, which its identifier is the hash of.
    pub fn to_bytes(&self) -> Vec<u8> {
        // No struct in it, so no key order; far below every limit.
        encode(&self.to_value(), KeyOrder::Syrup, &Limits::HELLO)
            .expect("a key's record is within every limit")
    }

    pub fn public_id(&self) -> PublicId {
        PublicId(hash_twice(&[&self.to_bytes()]))
    }

    /// Checks a signature over exactly these bytes, which should be bytes as received.
    #[cfg(feature = "signatures")]
    pub fn verify(&self, signed: &[u8], signature: &Signature) -> Result<(), KeyError> {
        let key =
            ed25519_dalek::VerifyingKey::from_bytes(&self.0).map_err(|_| KeyError::NotAKey)?;
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        key.verify_strict(signed, &signature)
            .map_err(|_| KeyError::WrongSignature)
    }
}

impl Signature {
    /// `['sig-val ['eddsa ['r R] ['s S]]]`
    pub fn to_value(&self) -> Value {
        let (r, s) = self.0.split_at(32);
        let half = |name: &str, bytes: &[u8]| {
            Value::List(vec![Value::symbol(name), Value::Bytes(bytes.to_vec())])
        };
        let eddsa = Value::List(vec![Value::symbol("eddsa"), half("r", r), half("s", s)]);
        Value::List(vec![Value::symbol("sig-val"), eddsa])
    }

    pub fn from_value(value: &Value) -> Result<Self, KeyError> {
        let halves = || -> Option<(&[u8; 32], &[u8; 32])> {
            let [eddsa] = value.as_tagged_list("sig-val")?;
            let [r, s] = eddsa.as_tagged_list("eddsa")?;
            let [r] = r.as_tagged_list("r")?;
            let [s] = s.as_tagged_list("s")?;
            Some((r.as_array()?, s.as_array()?))
        };
        let (r, s) = halves().ok_or(KeyError::NotASignature)?;
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(r);
        bytes[32..].copy_from_slice(s);
        Ok(Signature(bytes))
    }
}

/// What the signature in `op:start-session` covers: `<my-location LOCATION>`, around the location's
/// bytes as they were received or as they will be sent. OCapN's text says the bare location; all
/// running code signs this.
pub fn signed_location(location: &[u8], limits: &Limits) -> Result<Vec<u8>, EncodeError> {
    // What is around it comes on top of the limit on what was received.
    let mut limits = *limits;
    limits.bytes = limits.bytes.saturating_add(MY_LOCATION.len() + 8);
    limits.depth = limits.depth.saturating_add(1);
    limits.items = limits.items.saturating_add(2);
    let mut writer = Writer::new(KeyOrder::Syrup, limits);
    writer.begin_record(MY_LOCATION)?;
    writer.verbatim(location)?;
    writer.end()?;
    writer.finish()
}

const MY_LOCATION: &str = "my-location";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_curves_flags_and_lengths_are_no_key() {
        let good = PublicKey([7; 32]).to_value();
        assert_eq!(PublicKey::from_value(&good), Ok(PublicKey([7; 32])));
        let text = String::from_utf8(PublicKey([7; 32]).to_bytes()).unwrap();
        for (from, to) in [
            ("7'Ed25519", "5'Ed448"),
            ("5'eddsa", "5'ecdsa"),
            ("3'ecc", "3'rsa"),
            ("32:\u{7}", "31:"),
            ("7'Ed25519", "7\"Ed25519"),
        ] {
            let bytes = text.replace(from, to);
            let value = crate::codec::decode(bytes.as_bytes(), &Limits::HELLO).unwrap();
            assert_eq!(
                PublicKey::from_value(&value),
                Err(KeyError::NotAKey),
                "{to}"
            );
        }
        assert_eq!(
            PublicKey::from_value(&Value::Bool(true)),
            Err(KeyError::NotAKey)
        );
        assert_eq!(Signature::from_value(&good), Err(KeyError::NotASignature));
    }
}
