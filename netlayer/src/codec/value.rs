//! A Syrup value as OCapN uses it.
//!
//! Promises: types keep what the wire distinguishes and nothing else: one NaN, two zeros, integers
//! without bound, struct keys unique and without order. `Debug` shows the notation of
//! `PROTOCOL.md` and only the length of byte arrays, because swissnums and keys travel in them.

use std::fmt;

use num_bigint::BigInt;

/// One value with everything in it.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    Bool(bool),
    Integer(BigInt),
    Float(Float64),
    String(String),
    /// OCapN's symbol: text, told apart from a string.
    Symbol(String),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    Struct(Struct),
    Record(Record),
}

/// A labelled tuple; in OCapN the label is always a symbol.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    pub label: String,
    pub fields: Vec<Value>,
}

/// Values by name, each name once; the order they came in is not kept.
///
/// A sorted vector and not a map: the smallest `BTreeMap` takes as much memory as ten entries, and
/// that would let a peer turn five bytes into nine hundred.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Struct {
    /// In the order of the keys' UTF-8 bytes. The order on the wire is the encoder's (`KeyOrder`).
    entries: Vec<(String, Value)>,
}

/// Two entries of a struct have the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a struct key is given twice")]
pub struct DuplicateKey;

impl Struct {
    /// Takes entries in any order.
    pub fn new(mut entries: Vec<(String, Value)>) -> Result<Self, DuplicateKey> {
        entries.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        match entries
            .windows(2)
            .any(|pair| matches!(pair, [(a, _), (b, _)] if a == b))
        {
            true => Err(DuplicateKey),
            false => Ok(Struct { entries }),
        }
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        let found = self
            .entries
            .binary_search_by(|(name, _)| name.as_str().cmp(key));
        found
            .ok()
            .and_then(|index| self.entries.get(index))
            .map(|(_, value)| value)
    }

    /// In the order of the keys' UTF-8 bytes.
    pub fn entries(&self) -> &[(String, Value)] {
        &self.entries
    }
}

/// A double-precision number, equal to another exactly when both encode to the same bytes: NaN
/// equals NaN, and -0 differs from 0.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Float64 {
    /// IEEE-754 bits, the canonical ones if NaN.
    bits: u64,
}

/// The one NaN of OCapN: quiet, no payload, no sign.
const NAN_BITS: u64 = 0x7ff8_0000_0000_0000;

impl Float64 {
    pub fn from_bits(bits: u64) -> Self {
        Float64 {
            bits: if f64::from_bits(bits).is_nan() {
                NAN_BITS
            } else {
                bits
            },
        }
    }

    pub fn to_bits(self) -> u64 {
        self.bits
    }

    pub fn get(self) -> f64 {
        f64::from_bits(self.bits)
    }
}

impl From<f64> for Float64 {
    fn from(number: f64) -> Self {
        Float64::from_bits(number.to_bits())
    }
}

impl Value {
    pub fn symbol(text: impl Into<String>) -> Self {
        Value::Symbol(text.into())
    }

    pub fn record(label: impl Into<String>, fields: Vec<Value>) -> Self {
        Value::Record(Record {
            label: label.into(),
            fields,
        })
    }

    pub fn integer(number: impl Into<BigInt>) -> Self {
        Value::Integer(number.into())
    }

    /// The integer, if it is one from 0 to `u64::MAX`: positions and counts.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Value::Integer(number) => u64::try_from(number).ok(),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_symbol(&self) -> Option<&str> {
        match self {
            Value::Symbol(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The byte array, if it is one of exactly `N` bytes: keys, hashes, halves of signatures.
    pub fn as_array<const N: usize>(&self) -> Option<&[u8; N]> {
        self.as_bytes().and_then(|bytes| bytes.try_into().ok())
    }

    /// The fields of a record that has this label and this many fields.
    pub fn as_record<const N: usize>(&self, label: &str) -> Option<&[Value; N]> {
        match self {
            Value::Record(record) if record.label == label => {
                record.fields.as_slice().try_into().ok()
            }
            _ => None,
        }
    }

    /// The items of a list that begins with this symbol, without it, if there are this many: the
    /// form keys and signatures have.
    pub fn as_tagged_list<const N: usize>(&self, tag: &str) -> Option<&[Value; N]> {
        match self {
            Value::List(items) => match items.split_first() {
                Some((first, rest)) if first.as_symbol() == Some(tag) => rest.try_into().ok(),
                _ => None,
            },
            _ => None,
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(truth) => f.write_str(if *truth { "t" } else { "f" }),
            Value::Integer(number) => write!(f, "{number}"),
            Value::Float(number) => write!(f, "{:?}", number.get()),
            Value::String(text) => write!(f, "{text:?}"),
            Value::Symbol(text) => write!(f, "'{text}"),
            Value::Bytes(bytes) => write!(f, ":({} bytes)", bytes.len()),
            Value::List(items) => f.debug_list().entries(items).finish(),
            Value::Struct(fields) => fields.fmt(f),
            Value::Record(record) => record.fmt(f),
        }
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}", self.label)?;
        for field in &self.fields {
            write!(f, " {field:?}")?;
        }
        f.write_str(">")
    }
}

impl fmt::Debug for Struct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.entries.iter().map(|(key, value)| (key, value)))
            .finish()
    }
}

impl fmt::Debug for Float64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_equal_when_their_bytes_are() {
        let nan = Float64::from_bits(0xfff0_0000_0000_0001);
        assert_eq!(nan, Float64::from(f64::NAN));
        assert_eq!(nan.to_bits(), NAN_BITS);
        assert_ne!(Float64::from(0.0), Float64::from(-0.0));
    }

    #[test]
    fn an_item_takes_what_the_limits_say() {
        // The worst is a container with one item: it stands in its parent, and its own vector
        // begins with room for four. Two items a list, three a struct.
        let list = size_of::<Value>() + 4 * size_of::<Value>();
        let fields = size_of::<Value>() + 4 * size_of::<(String, Value)>();
        assert!(list / 2 <= 130 && fields / 3 <= 130, "{list} {fields}");
    }

    #[test]
    fn a_struct_has_each_key_once_and_no_order() {
        let entry = |key: &str, n: i32| (key.to_owned(), Value::integer(n));
        let one = Struct::new(vec![entry("b", 1), entry("a", 2), entry("aa", 3)]).unwrap();
        let other = Struct::new(vec![entry("aa", 3), entry("a", 2), entry("b", 1)]).unwrap();
        assert_eq!(one, other);
        assert_eq!(one.get("aa"), Some(&Value::integer(3)));
        assert_eq!(one.get("ab"), None);
        let twice = Struct::new(vec![entry("b", 1), entry("a", 2), entry("b", 1)]);
        assert_eq!(twice, Err(DuplicateKey));
    }

    #[test]
    fn debug_shows_no_byte_of_a_byte_array() {
        let value = Value::record(
            "a",
            vec![Value::Bytes(b"secret".to_vec()), Value::integer(-1)],
        );
        assert_eq!(format!("{value:?}"), "<a :(6 bytes) -1>");
    }

    #[test]
    fn shapes_are_matched_whole() {
        let value = Value::List(vec![Value::symbol("q"), Value::Bytes(vec![1, 2])]);
        let [bytes] = value.as_tagged_list("q").unwrap();
        assert_eq!(bytes.as_array(), Some(&[1u8, 2]));
        assert_eq!(bytes.as_array::<3>(), None);
        assert!(value.as_tagged_list::<1>("r").is_none());
        assert!(value.as_tagged_list::<2>("q").is_none());
        assert!(Value::List(vec![]).as_tagged_list::<0>("q").is_none());
    }
}
