//! Where a peer is: transport, designator and hints, as a record, a struct and a URI.
//!
//! Promises: the three forms turn into one another without loss, except that a URI cannot tell
//! empty hints from none. Does not know what a transport does with its hints.

use std::collections::BTreeMap;

use crate::Fault;
use crate::codec::{Struct, Value};
use crate::uri::{self, Part, UriError};

/// Bytes of a designator.
pub const DESIGNATOR_BYTES_MAX: usize = 512;
/// Bytes of a transport's name.
pub const TRANSPORT_BYTES_MAX: usize = 64;
/// Hints of one locator.
pub const HINTS_MAX: usize = 16;
/// Bytes of one hint's key, or of its value.
pub const HINT_BYTES_MAX: usize = 1024;

const LABEL: &str = "ocapn-peer";
/// What older peers say for the same thing. Read, never written.
const OLD_LABEL: &str = "ocapn-node";

/// The place of a peer.
///
/// Equality is that of all fields. Whether two locators mean one peer is `is_same_peer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locator {
    transport: String,
    designator: String,
    hints: Option<BTreeMap<String, String>>,
}

/// Why something is no locator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocatorError {
    #[error("not a record `ocapn-peer` of transport, designator and hints")]
    NotALocator,
    #[error("the transport is empty, longer than {TRANSPORT_BYTES_MAX} bytes, or has a dot")]
    BadTransport,
    #[error("the designator is empty or longer than {DESIGNATOR_BYTES_MAX} bytes")]
    BadDesignator,
    #[error("hints are neither `f` nor a struct of strings")]
    BadHints,
    #[error("a hint's key is empty, or its key or value longer than {HINT_BYTES_MAX} bytes")]
    BadHint,
    #[error("more than {HINTS_MAX} hints")]
    TooManyHints,
}

impl LocatorError {
    /// Whose fault it is, if the locator came from a peer.
    pub fn fault(&self) -> Fault {
        Fault::PeerMisbehaved
    }
}

impl Locator {
    /// `hints` of `None` is `f` on the wire, which is not the same bytes as an empty struct.
    pub fn new(
        transport: impl Into<String>,
        designator: impl Into<String>,
        hints: Option<BTreeMap<String, String>>,
    ) -> Result<Self, LocatorError> {
        let locator = Locator {
            transport: transport.into(),
            designator: designator.into(),
            hints,
        };
        locator.check()?;
        Ok(locator)
    }

    pub fn transport(&self) -> &str {
        &self.transport
    }

    pub fn designator(&self) -> &str {
        &self.designator
    }

    pub fn hints(&self) -> Option<&BTreeMap<String, String>> {
        self.hints.as_ref()
    }

    pub fn hint(&self, key: &str) -> Option<&str> {
        self.hints.as_ref()?.get(key).map(String::as_str)
    }

    /// Same transport and designator; hints never count.
    pub fn is_same_peer(&self, other: &Locator) -> bool {
        self.transport == other.transport && self.designator == other.designator
    }

    /// From `<ocapn-peer TRANSPORT DESIGNATOR HINTS>`.
    pub fn from_value(value: &Value) -> Result<Self, LocatorError> {
        let fields = value
            .as_record::<3>(LABEL)
            .or_else(|| value.as_record(OLD_LABEL));
        let [transport, designator, hints] = fields.ok_or(LocatorError::NotALocator)?;
        let hints = match hints {
            Value::Bool(false) => None,
            Value::Struct(fields) => Some(hints_from(fields)?),
            _ => return Err(LocatorError::BadHints),
        };
        Locator::new(
            transport.as_symbol().ok_or(LocatorError::BadTransport)?,
            designator.as_str().ok_or(LocatorError::BadDesignator)?,
            hints,
        )
    }

    pub fn to_value(&self) -> Value {
        let hints = match &self.hints {
            None => Value::Bool(false),
            Some(hints) => {
                let entry =
                    |(key, value): (&String, &String)| (key.clone(), Value::String(value.clone()));
                let fields = Struct::new(hints.iter().map(entry).collect());
                Value::Struct(fields.expect("a map has each key once"))
            }
        };
        let transport = Value::symbol(&self.transport);
        Value::record(
            LABEL,
            vec![transport, Value::String(self.designator.clone()), hints],
        )
    }

    /// From `ocapn://DESIGNATOR.TRANSPORT?key=value&…`.
    pub fn parse(uri: &str) -> Result<Self, UriError> {
        let pieces = uri::split(uri)?;
        match pieces.swissnum {
            None => Locator::from_pieces(&pieces),
            Some(_) => Err(UriError::HasSwissnum),
        }
    }

    pub fn to_uri(&self) -> String {
        self.to_uri_with(None)
    }

    pub(crate) fn from_pieces(pieces: &uri::Pieces<'_>) -> Result<Self, UriError> {
        let hints = pieces
            .hints
            .map(|query| uri::parse_hints(query, HINTS_MAX))
            .transpose()?;
        Locator::new(
            uri::unescape(pieces.transport, Part::Authority)?,
            uri::unescape(pieces.designator, Part::Authority)?,
            hints,
        )
        .map_err(|error| match error {
            LocatorError::BadTransport | LocatorError::BadDesignator => UriError::BadPeer,
            _ => UriError::BadHint,
        })
    }

    pub(crate) fn to_uri_with(&self, swissnum: Option<&str>) -> String {
        uri::join(
            &self.designator,
            &self.transport,
            swissnum,
            self.hints.as_ref(),
        )
    }

    fn check(&self) -> Result<(), LocatorError> {
        let Locator {
            transport,
            designator,
            hints,
        } = self;
        // A dot would make the URI name another transport.
        if transport.is_empty() || transport.len() > TRANSPORT_BYTES_MAX || transport.contains('.')
        {
            return Err(LocatorError::BadTransport);
        }
        if designator.is_empty() || designator.len() > DESIGNATOR_BYTES_MAX {
            return Err(LocatorError::BadDesignator);
        }
        let Some(hints) = hints else { return Ok(()) };
        if hints.len() > HINTS_MAX {
            return Err(LocatorError::TooManyHints);
        }
        let bad = |key: &String, value: &String| {
            key.is_empty() || key.len() > HINT_BYTES_MAX || value.len() > HINT_BYTES_MAX
        };
        match hints.iter().any(|(key, value)| bad(key, value)) {
            true => Err(LocatorError::BadHint),
            false => Ok(()),
        }
    }
}

fn hints_from(fields: &Struct) -> Result<BTreeMap<String, String>, LocatorError> {
    if fields.entries().len() > HINTS_MAX {
        return Err(LocatorError::TooManyHints);
    }
    let text = |(key, value): &(String, Value)| Some((key.clone(), value.as_str()?.to_owned()));
    let hints: Option<_> = fields.entries().iter().map(text).collect();
    hints.ok_or(LocatorError::BadHints)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice() -> Locator {
        let hints = [("host", "127.0.0.1"), ("port", "22045")];
        let hints = hints
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        Locator::new("tcp-testing-only", "alice", Some(hints)).unwrap()
    }

    #[test]
    fn the_three_forms_turn_into_one_another() {
        let uri = "ocapn://alice.tcp-testing-only?host=127.0.0.1&port=22045";
        assert_eq!(alice().to_uri(), uri);
        assert_eq!(Locator::parse(uri), Ok(alice()));
        assert_eq!(Locator::from_value(&alice().to_value()), Ok(alice()));
        let bare = Locator::new("onion", "abcf", None).unwrap();
        assert_eq!(bare.to_uri(), "ocapn://abcf.onion");
        assert_eq!(Locator::parse("OCAPN://abcf.onion/"), Ok(bare.clone()));
        assert_eq!(Locator::from_value(&bare.to_value()), Ok(bare));
    }

    #[test]
    fn the_last_dot_parts_designator_from_transport() {
        let locator = Locator::parse("ocapn://a.b.c.onion").unwrap();
        assert_eq!(
            (locator.designator(), locator.transport()),
            ("a.b.c", "onion")
        );
        assert_eq!(locator.to_uri(), "ocapn://a.b.c.onion");
    }

    #[test]
    fn what_has_a_meaning_in_uris_is_escaped_and_comes_back() {
        let hints = [("a&b=c?", "d+e /ü"), ("url", "ws://x:1/?q")];
        let hints = hints
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        let locator = Locator::new("t%2E", "Ä:@/?#&.", Some(hints)).unwrap();
        let uri = locator.to_uri();
        assert!(uri.is_ascii() && !uri.contains('#'));
        assert_eq!(Locator::parse(&uri), Ok(locator));
        // Bare where RFC 3986 allows it; the plus is a plus.
        let locator = Locator::parse("ocapn://x.websocket?url=ws://h:1/?a+b").unwrap();
        assert_eq!(locator.hint("url"), Some("ws://h:1/?a+b"));
    }

    #[test]
    fn hints_never_make_another_peer() {
        let other = Locator::new("tcp-testing-only", "alice", None).unwrap();
        assert!(alice().is_same_peer(&other));
        assert_ne!(alice(), other);
        assert!(!alice().is_same_peer(&Locator::new("onion", "alice", None).unwrap()));
    }

    #[test]
    fn the_old_label_is_read_and_the_new_one_written() {
        let Value::Record(mut record) = alice().to_value() else {
            panic!("a record")
        };
        record.label = OLD_LABEL.into();
        assert_eq!(Locator::from_value(&Value::Record(record)), Ok(alice()));
    }

    #[test]
    fn texts_that_are_no_locator_are_refused_by_name() {
        let table = [
            ("http://a.b", UriError::WrongScheme),
            ("ocapn:/a.b", UriError::WrongScheme),
            ("öcapn://a.b", UriError::WrongScheme),
            ("ocapn:/ö", UriError::WrongScheme),
            ("ocapn://", UriError::NoTransport),
            ("ocapn://a", UriError::NoTransport),
            ("ocapn://.b", UriError::NoTransport),
            ("ocapn://a.", UriError::NoTransport),
            ("ocapn://a.%2E", UriError::BadPeer),
            ("ocapn://a.b/x", UriError::UnknownPath),
            ("ocapn://a.b/s", UriError::UnknownPath),
            ("ocapn://a.b//", UriError::UnknownPath),
            ("ocapn://a.b/s/AA", UriError::HasSwissnum),
            ("ocapn://u@a.b", UriError::BareCharacter),
            ("ocapn://a.b:80", UriError::BareCharacter),
            ("ocapn://a.b#f", UriError::BareCharacter),
            ("ocapn://ä.b", UriError::BareCharacter),
            ("ocapn://a%.b", UriError::BadEscape),
            ("ocapn://a%4.b", UriError::BadEscape),
            ("ocapn://%ff.b", UriError::NotUtf8),
            ("ocapn://a.b?", UriError::BadHint),
            ("ocapn://a.b?k", UriError::BadHint),
            ("ocapn://a.b?=v", UriError::BadHint),
            ("ocapn://a.b?k=1&", UriError::BadHint),
            ("ocapn://a.b?k=1&%6b=2", UriError::DuplicateHint),
            ("ocapn://a.b?k=1#f", UriError::BareCharacter),
        ];
        for (uri, expected) in table {
            assert_eq!(Locator::parse(uri), Err(expected), "{uri}");
        }
        let many = (0..=HINTS_MAX)
            .map(|n| format!("h{n}=v"))
            .collect::<Vec<_>>()
            .join("&");
        let many = Locator::parse(&format!("ocapn://a.b?{many}"));
        assert_eq!(many, Err(UriError::TooManyHints(HINTS_MAX)));
        let long = format!("ocapn://{}.b", "a".repeat(DESIGNATOR_BYTES_MAX + 1));
        assert_eq!(Locator::parse(&long), Err(UriError::BadPeer));
        let long = format!("ocapn://{}.b", "a".repeat(uri::URI_BYTES_MAX));
        assert_eq!(Locator::parse(&long), Err(UriError::TooLong));
    }

    #[test]
    fn records_that_are_no_locator_are_refused_by_name() {
        let symbol = Value::symbol;
        let string = |text: &str| Value::String(text.to_owned());
        let no = Value::Bool(false);
        let hints = |value| Value::Struct(Struct::new(vec![("k".to_owned(), value)]).unwrap());
        let table = [
            (vec![], LocatorError::NotALocator),
            (vec![symbol("t"), string("d")], LocatorError::NotALocator),
            (
                vec![string("t"), string("d"), no.clone()],
                LocatorError::BadTransport,
            ),
            (
                vec![symbol("a.b"), string("d"), no.clone()],
                LocatorError::BadTransport,
            ),
            (
                vec![symbol(""), string("d"), no.clone()],
                LocatorError::BadTransport,
            ),
            (
                vec![symbol("t"), symbol("d"), no.clone()],
                LocatorError::BadDesignator,
            ),
            (
                vec![symbol("t"), string(""), no],
                LocatorError::BadDesignator,
            ),
            (
                vec![symbol("t"), string("d"), Value::Bool(true)],
                LocatorError::BadHints,
            ),
            (
                vec![symbol("t"), string("d"), hints(Value::integer(1))],
                LocatorError::BadHints,
            ),
            (
                vec![symbol("t"), string("d"), hints(string(&"v".repeat(1025)))],
                LocatorError::BadHint,
            ),
        ];
        for (fields, expected) in table {
            let value = Value::record(LABEL, fields);
            assert_eq!(Locator::from_value(&value), Err(expected), "{value:?}");
        }
        assert_eq!(
            Locator::from_value(&Value::Bool(true)),
            Err(LocatorError::NotALocator)
        );
    }
}
