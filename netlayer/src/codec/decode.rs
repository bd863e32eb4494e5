//! From bytes to values, of a stream that arrives in pieces or of bytes that are all there.
//!
//! Promises: work already done is not done again when more bytes arrive, except for one token; an
//! error is found at the first token that makes it certain, but for a key given twice, which is
//! found at its struct's end; no recursion. Does not know transports:
//! whoever reads a socket pushes what it got and asks until `NeedMore`.
//!
//! Accepted although not canonical, because running peers send it: struct keys in any order,
//! leading zeros, `0-`, NaN with a payload. Refused although some decoder takes it: white space,
//! bencode's `l` and `d`, single floats, sets, keys that are no strings, labels that are no
//! symbols.

use num_bigint::{BigInt, BigUint};

use super::error::{DecodeError, DecodeErrorKind};
use super::limits::Limits;
use super::token::{Container, Sign, Token, token};
use super::value::{Float64, Record, Struct, Value};

/// Decodes bytes that are exactly one value.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Value, DecodeError> {
    let mut builder = Builder::new(*limits);
    match builder.advance(bytes)? {
        None => Err(DecodeError {
            kind: DecodeErrorKind::Truncated,
            at: bytes.len(),
        }),
        Some(_) if builder.at != bytes.len() => Err(DecodeError {
            kind: DecodeErrorKind::Trailing,
            at: builder.at,
        }),
        Some(value) => Ok(value),
    }
}

/// Decodes values that follow one another in a stream without any framing.
#[derive(Debug)]
pub struct Decoder {
    builder: Builder,
    /// Received and not yet given out, but for the first `consumed` bytes.
    buffer: Vec<u8>,
    /// Bytes of `buffer` that belong to values given out already.
    consumed: usize,
    failed: Option<DecodeError>,
}

/// What a stream holds just now.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// No whole value is there; push more bytes.
    NeedMore,
    Complete(Received<'a>),
}

/// A value, and the very bytes it came as.
#[derive(Debug, PartialEq, Eq)]
pub struct Received<'a> {
    pub value: Value,
    /// What a signature covers: the sender's own bytes, which need not be the canonical ones.
    pub bytes: &'a [u8],
}

impl Decoder {
    pub fn new(limits: Limits) -> Self {
        Decoder {
            builder: Builder::new(limits),
            buffer: Vec::new(),
            consumed: 0,
            failed: None,
        }
    }

    /// Adds bytes as they arrived. The buffer holds at most one unfinished value, and so stays
    /// within `Limits::bytes` and one push, if `decode` was called until `NeedMore` before.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        // Once a push, not once a value: a value may be two bytes of a large buffer.
        self.buffer.drain(..self.consumed);
        self.consumed = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next value, if it is all there. After an error every call returns that error.
    pub fn decode(&mut self) -> Result<Progress<'_>, DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let start = self.consumed;
        let pending = self.buffer.get(start..).unwrap_or_default();
        match self.builder.advance(pending) {
            Ok(None) => Ok(Progress::NeedMore),
            Ok(Some(value)) => {
                self.consumed = start + self.builder.at;
                self.builder.restart();
                let bytes = self.buffer.get(start..self.consumed).unwrap_or_default();
                Ok(Progress::Complete(Received { value, bytes }))
            }
            Err(error) => {
                self.failed = Some(error);
                self.buffer = Vec::new();
                self.consumed = 0;
                Err(error)
            }
        }
    }

    /// True between values: a stream that ends here lost nothing.
    pub fn is_between_values(&self) -> bool {
        self.failed.is_none() && self.buffer.len() == self.consumed
    }

    /// Replaces the limits, from the next value on: a peer that has proved who it is may say more.
    pub fn set_limits(&mut self, limits: Limits) {
        self.builder.next_limits = limits;
        if self.builder.at == 0 {
            self.builder.limits = limits;
        }
    }
}

/// Builds one value from tokens; remembers where it stopped.
#[derive(Debug)]
struct Builder {
    limits: Limits,
    /// The limits of the value after this one.
    next_limits: Limits,
    /// Containers begun and not ended, outermost first.
    open: Vec<Open>,
    /// Bytes of the current value taken so far.
    at: usize,
    /// Items of the current value counted so far.
    items: usize,
}

/// A container with what has arrived of it.
#[derive(Debug)]
enum Open {
    List(Vec<Value>),
    Struct {
        entries: Vec<(String, Value)>,
        /// A key whose value has not come yet.
        key: Option<String>,
    },
    Record {
        label: Option<String>,
        fields: Vec<Value>,
    },
}

impl Builder {
    fn new(limits: Limits) -> Self {
        Builder {
            limits,
            next_limits: limits,
            open: Vec::new(),
            at: 0,
            items: 0,
        }
    }

    fn restart(&mut self) {
        *self = Builder::new(self.next_limits);
    }

    /// Goes on with the value that begins `bytes`, from where the last call stopped; `None` if it
    /// does not end in them.
    fn advance(&mut self, bytes: &[u8]) -> Result<Option<Value>, DecodeError> {
        loop {
            let rest = bytes.get(self.at..).unwrap_or_default();
            let room = self.limits.bytes.saturating_sub(self.at);
            match token(rest, &self.limits, room).map_err(|kind| self.error(kind))? {
                None => return Ok(None),
                Some((token, length)) => {
                    let done = self.take(token).map_err(|kind| self.error(kind))?;
                    self.at += length;
                    if done.is_some() {
                        return Ok(done);
                    }
                }
            }
        }
    }

    fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { kind, at: self.at }
    }

    /// Takes one token; the value it completes, if that is the outermost.
    fn take(&mut self, token: Token<'_>) -> Result<Option<Value>, DecodeErrorKind> {
        if let Token::End(container) = token {
            let value = self.end(container)?;
            return self.place(value);
        }
        self.items += 1;
        if self.items > self.limits.items {
            return Err(DecodeErrorKind::TooManyItems(self.limits.items));
        }
        let value = match token {
            Token::Open(container) => return self.begin(container).map(|()| None),
            Token::Bool(truth) => Value::Bool(truth),
            Token::Integer { sign, digits } => Value::Integer(integer(sign, digits)),
            Token::Float(bits) => Value::Float(Float64::from_bits(bits)),
            Token::String(text) => Value::String(text.to_owned()),
            Token::Symbol(text) => Value::Symbol(text.to_owned()),
            Token::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
            Token::End(_) => return Err(DecodeErrorKind::WrongEnd),
        };
        self.place(value)
    }

    fn begin(&mut self, container: Container) -> Result<(), DecodeErrorKind> {
        // Where only an atom may stand is told at once, not after a container of any size.
        match self.open.last() {
            Some(Open::Struct { key: None, .. }) => return Err(DecodeErrorKind::KeyNotString),
            Some(Open::Record { label: None, .. }) => return Err(DecodeErrorKind::LabelNotSymbol),
            _ => {}
        }
        if self.open.len() >= self.limits.depth {
            return Err(DecodeErrorKind::TooDeep(self.limits.depth));
        }
        self.open.push(match container {
            Container::List => Open::List(Vec::new()),
            Container::Struct => Open::Struct {
                entries: Vec::new(),
                key: None,
            },
            Container::Record => Open::Record {
                label: None,
                fields: Vec::new(),
            },
        });
        Ok(())
    }

    fn end(&mut self, container: Container) -> Result<Value, DecodeErrorKind> {
        match (self.open.pop(), container) {
            (Some(Open::List(items)), Container::List) => Ok(Value::List(items)),
            (Some(Open::Struct { entries, key: None }), Container::Struct) => {
                let fields = Struct::new(entries).map_err(|_| DecodeErrorKind::DuplicateKey)?;
                Ok(Value::Struct(fields))
            }
            (Some(Open::Struct { .. }), Container::Struct) => Err(DecodeErrorKind::KeyWithoutValue),
            (
                Some(Open::Record {
                    label: Some(label),
                    fields,
                }),
                Container::Record,
            ) => Ok(Value::Record(Record { label, fields })),
            (Some(Open::Record { .. }), Container::Record) => {
                Err(DecodeErrorKind::RecordWithoutLabel)
            }
            _ => Err(DecodeErrorKind::WrongEnd),
        }
    }

    /// Puts a whole value where it belongs; gives it back if it belongs to nothing.
    fn place(&mut self, value: Value) -> Result<Option<Value>, DecodeErrorKind> {
        match self.open.last_mut() {
            None => return Ok(Some(value)),
            Some(Open::List(items)) => items.push(value),
            Some(Open::Struct { entries, key }) => match (key.take(), value) {
                (Some(name), value) => entries.push((name, value)),
                (None, Value::String(name)) => *key = Some(name),
                (None, _) => return Err(DecodeErrorKind::KeyNotString),
            },
            Some(Open::Record {
                label: Some(_),
                fields,
            }) => fields.push(value),
            Some(Open::Record { label, .. }) => match value {
                Value::Symbol(name) => *label = Some(name),
                _ => return Err(DecodeErrorKind::LabelNotSymbol),
            },
        }
        Ok(None)
    }
}

/// The number that ASCII digits say.
fn integer(sign: Sign, digits: &[u8]) -> BigInt {
    let small = digits.iter().try_fold(0u64, |number, digit| {
        number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    });
    let magnitude = match small {
        Some(number) => BigUint::from(number),
        // Only digits come here, and at least one, so the default is never taken.
        None => BigUint::parse_bytes(digits, 10).unwrap_or_default(),
    };
    match sign {
        Sign::Plus => BigInt::from(magnitude),
        Sign::Minus => -BigInt::from(magnitude),
    }
}
