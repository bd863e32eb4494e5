//! A durable reference: where the peer is, and which of its objects.
//!
//! Promises: `Debug` does not show the swissnum and there is no `Display`: a sturdyref in text is
//! the permission to use the object, so making that text is always asked for by name. Does not know
//! whether the object exists.

use crate::Fault;
use crate::codec::Value;
use crate::locator::{Locator, LocatorError};
use crate::swissnum::{Swissnum, SwissnumForm, SwissnumLength};
use crate::uri::{self, UriError};

const LABEL: &str = "ocapn-sturdyref";

/// A peer and the secret name of one of its objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sturdyref {
    pub peer: Locator,
    pub swissnum: Swissnum,
}

/// Why a received value is no sturdyref.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SturdyrefError {
    #[error("not a record `ocapn-sturdyref` of a peer and a swissnum")]
    NotASturdyref,
    #[error(transparent)]
    Peer(#[from] LocatorError),
    #[error(transparent)]
    Swissnum(#[from] SwissnumLength),
}

impl SturdyrefError {
    /// Whose fault it is: these come from the wire.
    pub fn fault(&self) -> Fault {
        Fault::PeerMisbehaved
    }
}

impl Sturdyref {
    /// From `<ocapn-sturdyref PEER SWISSNUM>`.
    pub fn from_value(value: &Value) -> Result<Self, SturdyrefError> {
        let [peer, swissnum] = value
            .as_record(LABEL)
            .ok_or(SturdyrefError::NotASturdyref)?;
        let swissnum = Swissnum::from_value(swissnum).ok_or(SturdyrefError::NotASturdyref)??;
        Ok(Sturdyref {
            peer: Locator::from_value(peer)?,
            swissnum,
        })
    }

    pub fn to_value(&self) -> Value {
        Value::record(LABEL, vec![self.peer.to_value(), self.swissnum.to_value()])
    }

    /// From `ocapn://DESIGNATOR.TRANSPORT/s/SWISSNUM?key=value&…`. For `form` see
    /// [`Swissnum::parse`].
    pub fn parse(uri: &str, form: Option<SwissnumForm>) -> Result<Self, UriError> {
        let pieces = uri::split(uri)?;
        let text = pieces.swissnum.ok_or(UriError::NoSwissnum)?;
        let swissnum = Swissnum::parse(text, form)?;
        Ok(Sturdyref {
            peer: Locator::from_pieces(&pieces)?,
            swissnum,
        })
    }

    /// The URI, which is the permission itself: never for a log. base64url is what running code
    /// reads.
    pub fn reveal_uri(&self, form: SwissnumForm) -> String {
        self.peer
            .to_uri_with(Some(&self.swissnum.reveal_text(form)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sturdyref() -> Sturdyref {
        let hints = [("host".to_owned(), "127.0.0.1".to_owned())].into();
        let peer = Locator::new("tcp-testing-only", "alice", Some(hints)).unwrap();
        Sturdyref {
            peer,
            swissnum: Swissnum::new(b"\xffa/b".to_vec()).unwrap(),
        }
    }

    #[test]
    fn the_three_forms_turn_into_one_another() {
        let base64url = "ocapn://alice.tcp-testing-only/s/_2EvYg?host=127.0.0.1";
        let percent = "ocapn://alice.tcp-testing-only/s/%FFa%2Fb?host=127.0.0.1";
        assert_eq!(sturdyref().reveal_uri(SwissnumForm::Base64Url), base64url);
        assert_eq!(sturdyref().reveal_uri(SwissnumForm::Percent), percent);
        assert_eq!(Sturdyref::parse(base64url, None), Ok(sturdyref()));
        assert_eq!(Sturdyref::parse(percent, None), Ok(sturdyref()));
        assert_eq!(
            Sturdyref::from_value(&sturdyref().to_value()),
            Ok(sturdyref())
        );
    }

    #[test]
    fn a_string_is_read_as_a_swissnum_and_bytes_are_written() {
        let peer = sturdyref().peer.to_value();
        let value = Value::record(LABEL, vec![peer, Value::String("abc".into())]);
        let read = Sturdyref::from_value(&value).unwrap();
        assert_eq!(read.swissnum.reveal(), b"abc");
        let [_, written] = &read.to_value().as_record::<2>(LABEL).unwrap().clone();
        assert_eq!(written.as_bytes(), Some(b"abc".as_slice()));
    }

    #[test]
    fn neither_debug_nor_errors_show_the_number() {
        let shown = format!("{:?} {:?}", sturdyref(), sturdyref().to_value());
        assert!(
            !shown.contains("a/b") && !shown.contains("_2EvYg"),
            "{shown}"
        );
        let error = Sturdyref::parse("ocapn://a.b/s/hunter2%zz", None).unwrap_err();
        assert_eq!(error, UriError::BadEscape);
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_no_sturdyref_is_refused_by_name() {
        assert_eq!(
            Sturdyref::parse("ocapn://a.b", None),
            Err(UriError::NoSwissnum)
        );
        assert_eq!(
            Sturdyref::parse("ocapn://a.b/s/A/B", None),
            Err(UriError::BareCharacter)
        );
        let peer = sturdyref().peer.to_value();
        let with = |swissnum| Value::record(LABEL, vec![peer.clone(), swissnum]);
        let refused = |value: &Value| Sturdyref::from_value(value).unwrap_err();
        assert_eq!(refused(&peer), SturdyrefError::NotASturdyref);
        assert_eq!(
            refused(&with(Value::integer(1))),
            SturdyrefError::NotASturdyref
        );
        let empty = SturdyrefError::Swissnum(SwissnumLength(0));
        assert_eq!(refused(&with(Value::Bytes(vec![]))), empty);
    }
}
