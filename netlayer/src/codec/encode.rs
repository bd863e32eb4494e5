//! From values to bytes, canonically.
//!
//! Promises: one value, one key order, one byte string; nothing is written that a decoder with the
//! same limits would refuse. Does not know which key order a peer wants: that is the session's.

use num_bigint::{BigInt, Sign};

use super::decode::decode;
use super::error::EncodeError;
use super::limits::Limits;
use super::value::{Float64, Struct, Value};

/// The order of a struct's keys on the wire, where implementations disagree. Both orders are the
/// same for keys of equal length, which is why locator hints should have such.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyOrder {
    /// Syrup's draft and the test suite: by the coded key, length prefix and all, so that
    /// `10"…` comes before `2"…`.
    Syrup,
    /// Endo's: by the key's text alone. Endo ends a session whose structs are ordered otherwise.
    #[default]
    PlainString,
}

/// The bytes of one value.
pub fn encode(value: &Value, order: KeyOrder, limits: &Limits) -> Result<Vec<u8>, EncodeError> {
    let mut writer = Writer::new(order, *limits);
    writer.value(value)?;
    writer.finish()
}

/// Writes one value piece by piece, so that bytes signed by others can go into it verbatim.
#[derive(Debug)]
pub struct Writer {
    out: Vec<u8>,
    order: KeyOrder,
    limits: Limits,
    items: usize,
    /// Closing bytes of the containers begun by the caller, outermost first.
    ends: Vec<u8>,
}

impl Writer {
    pub fn new(order: KeyOrder, limits: Limits) -> Self {
        Writer {
            out: Vec::new(),
            order,
            limits,
            items: 0,
            ends: Vec::new(),
        }
    }

    pub fn begin_list(&mut self) -> Result<(), EncodeError> {
        self.begin(b'[', b']')
    }

    /// Begins a record; its fields follow.
    pub fn begin_record(&mut self, label: &str) -> Result<(), EncodeError> {
        self.begin(b'<', b'>')?;
        self.run(b'\'', label.as_bytes())
    }

    /// Ends the innermost container begun.
    pub fn end(&mut self) -> Result<(), EncodeError> {
        let end = self.ends.pop().ok_or(EncodeError::Unbalanced)?;
        self.put(&[end])
    }

    pub fn value(&mut self, value: &Value) -> Result<(), EncodeError> {
        self.starts_value()?;
        self.write(value, self.ends.len())
    }

    /// Writes bytes as they are, after checking that they are one value.
    pub fn verbatim(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.starts_value()?;
        let mut limits = self.limits;
        limits.depth = limits.depth.saturating_sub(self.ends.len());
        limits.items = limits.items.saturating_sub(self.items);
        let value = decode(bytes, &limits).map_err(EncodeError::NotAValue)?;
        self.items += items(&value);
        self.put(bytes)
    }

    /// The bytes, if they are one whole value.
    pub fn finish(self) -> Result<Vec<u8>, EncodeError> {
        if self.ends.is_empty() && !self.out.is_empty() {
            Ok(self.out)
        } else {
            Err(EncodeError::Unbalanced)
        }
    }

    /// Refuses a second value beside the first.
    fn starts_value(&self) -> Result<(), EncodeError> {
        if self.ends.is_empty() && !self.out.is_empty() {
            return Err(EncodeError::Unbalanced);
        }
        Ok(())
    }

    fn begin(&mut self, begin: u8, end: u8) -> Result<(), EncodeError> {
        self.starts_value()?;
        self.open(begin, self.ends.len())?;
        self.ends.push(end);
        Ok(())
    }

    /// Opens a container inside `depth` others.
    fn open(&mut self, begin: u8, depth: usize) -> Result<(), EncodeError> {
        if depth >= self.limits.depth {
            return Err(EncodeError::TooDeep(self.limits.depth));
        }
        self.count()?;
        self.put(&[begin])
    }

    /// Writes a value that stands inside `depth` containers. Recursion ends at the depth limit.
    fn write(&mut self, value: &Value, depth: usize) -> Result<(), EncodeError> {
        match value {
            Value::Bool(truth) => self.atom(if *truth { b"t" } else { b"f" }),
            Value::Integer(number) => self.integer(number),
            Value::Float(number) => self.float(*number),
            Value::String(text) => self.run(b'"', text.as_bytes()),
            Value::Symbol(text) => self.run(b'\'', text.as_bytes()),
            Value::Bytes(bytes) => self.run(b':', bytes),
            Value::List(items) => {
                self.open(b'[', depth)?;
                items
                    .iter()
                    .try_for_each(|item| self.write(item, depth + 1))?;
                self.put(b"]")
            }
            Value::Struct(fields) => self.fields(fields, depth),
            Value::Record(record) => {
                self.open(b'<', depth)?;
                self.run(b'\'', record.label.as_bytes())?;
                record
                    .fields
                    .iter()
                    .try_for_each(|field| self.write(field, depth + 1))?;
                self.put(b">")
            }
        }
    }

    fn fields(&mut self, fields: &Struct, depth: usize) -> Result<(), EncodeError> {
        self.open(b'{', depth)?;
        let mut ordered: Vec<_> = fields.entries().iter().collect();
        if self.order == KeyOrder::Syrup {
            // The struct's own order decides between keys of equal length; the sort is stable. The
            // tag after the digits is below every digit, so a length that is a prefix of another
            // comes first, as comparing the two numbers as text has it.
            ordered.sort_by_cached_key(|(key, _)| key.len().to_string());
        }
        for (key, value) in ordered {
            self.run(b'"', key.as_bytes())?;
            self.write(value, depth + 1)?;
        }
        self.put(b"}")
    }

    fn integer(&mut self, number: &BigInt) -> Result<(), EncodeError> {
        let limit = self.limits.integer_digits;
        // A digit is more than three bits: what has more bits than this has too many digits, and is
        // told so without the long conversion.
        if number.bits() > (limit as u64).saturating_mul(4) {
            return Err(EncodeError::TooManyDigits(limit));
        }
        let mut digits = number.magnitude().to_str_radix(10);
        if digits.len() > limit {
            return Err(EncodeError::TooManyDigits(limit));
        }
        digits.push(if number.sign() == Sign::Minus {
            '-'
        } else {
            '+'
        });
        self.atom(digits.as_bytes())
    }

    fn float(&mut self, number: Float64) -> Result<(), EncodeError> {
        self.count()?;
        self.put(b"D")?;
        self.put(&number.to_bits().to_be_bytes())
    }

    /// A length, its tag and the bytes.
    fn run(&mut self, tag: u8, content: &[u8]) -> Result<(), EncodeError> {
        if content.len() > self.limits.length {
            return Err(EncodeError::TooLong(self.limits.length));
        }
        self.count()?;
        self.put(content.len().to_string().as_bytes())?;
        self.put(&[tag])?;
        self.put(content)
    }

    fn atom(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.count()?;
        self.put(bytes)
    }

    fn count(&mut self) -> Result<(), EncodeError> {
        if self.items >= self.limits.items {
            return Err(EncodeError::TooManyItems(self.limits.items));
        }
        self.items += 1;
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        if bytes.len() > self.limits.bytes.saturating_sub(self.out.len()) {
            return Err(EncodeError::TooLarge(self.limits.bytes));
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }
}

/// How much of `Limits::items` a value uses.
fn items(value: &Value) -> usize {
    match value {
        Value::List(list) => 1 + list.iter().map(items).sum::<usize>(),
        Value::Struct(fields) => {
            1 + fields
                .entries()
                .iter()
                .map(|(_, value)| 1 + items(value))
                .sum::<usize>()
        }
        Value::Record(record) => 2 + record.fields.iter().map(items).sum::<usize>(),
        _ => 1,
    }
}
