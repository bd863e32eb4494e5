//! The codec, locators and identifiers against bytes that other implementations made.
//!
//! Each vector is written here as a value, built with this crate's own types; it must encode to the
//! vector's bytes and the bytes must decode to it. Keys and signatures come from the seeds named in
//! `vectors.txt`; Ed25519 is deterministic, so these must match as well.

use std::collections::BTreeMap;

use ed25519_dalek::{Signer, SigningKey};
use kenvat_netlayer::codec::{
    BigInt, Decoder, Float64, KeyOrder, Limits, Progress, Struct, Value, children, decode, encode,
};
use kenvat_netlayer::identifier::SessionId;
use kenvat_netlayer::key::{KeyError, PublicKey, Signature, signed_location};
use kenvat_netlayer::locator::Locator;

/// All vectors by name.
fn vectors() -> BTreeMap<&'static str, Vec<u8>> {
    let lines = include_str!("vectors.txt").lines();
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, hex)| (name, from_hex(hex)))
        .collect()
}

fn from_hex(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn seed(byte: u8) -> SigningKey {
    SigningKey::from_bytes(&[byte; 32])
}

fn public(key: &SigningKey) -> PublicKey {
    PublicKey(key.verifying_key().to_bytes())
}

fn sign(key: &SigningKey, bytes: &[u8]) -> Signature {
    Signature(key.sign(bytes).to_bytes())
}

fn bytes_of(value: &Value) -> Vec<u8> {
    encode(value, KeyOrder::Syrup, &Limits::MESSAGE).unwrap()
}

fn symbol(text: &str) -> Value {
    Value::symbol(text)
}

fn string(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn alice() -> Locator {
    let hints = [("host", "127.0.0.1"), ("port", "22045")];
    let hints = hints
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    Locator::new("tcp-testing-only", "alice", Some(hints)).unwrap()
}

fn abc() -> Locator {
    Locator::new("onion", "abc", None).unwrap()
}

/// A value with the signature of its canonical bytes.
fn envelope(value: Value, key: &SigningKey) -> Value {
    let signature = sign(key, &bytes_of(&value)).to_value();
    Value::record("desc:sig-envelope", vec![value, signature])
}

fn handoff_give() -> Value {
    let (a, b, c) = (public(&seed(1)), public(&seed(2)), public(&seed(3)));
    let session = SessionId::between(&a.public_id(), &b.public_id());
    let fields = vec![
        c.to_value(),
        abc().to_value(),
        Value::Bytes(session.0.to_vec()),
        Value::Bytes(a.public_id().0.to_vec()),
        Value::Bytes((0..32).collect()),
    ];
    Value::record("desc:handoff-give", fields)
}

fn handoff_receive() -> Value {
    let fields = vec![
        Value::Bytes(vec![0xee; 32]),
        Value::Bytes(vec![0xdd; 32]),
        Value::integer(0),
        envelope(handoff_give(), &seed(1)),
    ];
    Value::record("desc:handoff-receive", fields)
}

fn start_session() -> Value {
    let location = alice().to_value();
    let signed = signed_location(&bytes_of(&location), &Limits::HELLO).unwrap();
    let signature = sign(&seed(1), &signed).to_value();
    let fields = vec![
        string("1.0"),
        public(&seed(1)).to_value(),
        location,
        signature,
    ];
    Value::record("op:start-session", fields)
}

/// The structure with three keys whose order two implementations disagree about.
fn three_keys() -> Value {
    let entries = [("b", 1), ("a", 2), ("aaaaaaaaaa", 3)];
    let entries = entries.map(|(key, n)| (key.to_owned(), Value::integer(n)));
    Value::Struct(Struct::new(entries.into()).unwrap())
}

fn values() -> Vec<(&'static str, Value)> {
    let descriptor =
        |label: &str, position: u64| Value::record(label, vec![Value::integer(position)]);
    let swissnum = Value::Bytes(b"IO58l1laTyhcrgDKbEzFOO32MDd6zE5w".to_vec());
    let integers = |numbers: [u64; 2]| Value::List(numbers.map(Value::integer).into());
    let deliver = vec![
        descriptor("desc:export", 0),
        Value::List(vec![symbol("fetch"), swissnum]),
        Value::Bool(false),
        descriptor("desc:import-object", 1),
    ];
    vec![
        ("public_key_a", public(&seed(1)).to_value()),
        ("public_key_b", public(&seed(2)).to_value()),
        ("peer_with_hints", alice().to_value()),
        ("peer_without_hints", abc().to_value()),
        (
            "my_location",
            Value::record("my-location", vec![alice().to_value()]),
        ),
        ("start_session_a", start_session()),
        ("handoff_give", handoff_give()),
        ("signed_handoff_give", envelope(handoff_give(), &seed(1))),
        ("handoff_receive", handoff_receive()),
        (
            "signed_handoff_receive",
            envelope(handoff_receive(), &seed(3)),
        ),
        ("true", Value::Bool(true)),
        ("false", Value::Bool(false)),
        ("zero", Value::integer(0)),
        ("forty_two", Value::integer(42)),
        ("minus_one", Value::integer(-1)),
        ("ten_to_the_20", Value::Integer(BigInt::from(10).pow(20))),
        ("float_one", Value::Float(1.0.into())),
        ("float_minus_zero", Value::Float((-0.0).into())),
        ("float_nan", Value::Float(f64::NAN.into())),
        ("float_infinity", Value::Float(f64::INFINITY.into())),
        ("string_empty", string("")),
        ("string_bjorn", string("björn")),
        ("symbol_fetch", symbol("fetch")),
        ("bytes_00ff", Value::Bytes(vec![0, 0xff])),
        (
            "list",
            Value::List(vec![
                Value::integer(1),
                Value::List(vec![symbol("a")]),
                string("b"),
            ]),
        ),
        ("struct_syrup_order", three_keys()),
        ("record_void", Value::record("void", vec![])),
        ("op_deliver", Value::record("op:deliver", deliver)),
        (
            "op_gc_exports",
            Value::record("op:gc-exports", vec![integers([1, 2]), integers([1, 4])]),
        ),
        ("op_abort", Value::record("op:abort", vec![string("bye")])),
    ]
}

/// Vectors that are hashes or signatures and so no Syrup.
const NOT_SYRUP: [&str; 4] = [
    "public_id_a",
    "public_id_b",
    "session_id_a_b",
    "my_location_signature_by_a",
];

#[test]
fn every_vector_is_what_its_value_encodes_to_and_decodes_to() {
    let vectors = vectors();
    for (name, value) in values() {
        let bytes = &vectors[name];
        assert_eq!(&bytes_of(&value), bytes, "{name}");
        assert_eq!(decode(bytes, &Limits::MESSAGE), Ok(value), "{name}");
    }
    let covered = values().len() + NOT_SYRUP.len() + 1; // and `struct_plain_string_order`
    assert_eq!(vectors.len(), covered, "a vector is not tested");
}

#[test]
fn key_order_is_the_dialects_and_either_is_read() {
    let vectors = vectors();
    let plain = encode(&three_keys(), KeyOrder::PlainString, &Limits::MESSAGE).unwrap();
    assert_eq!(plain, vectors["struct_plain_string_order"]);
    assert_ne!(plain, vectors["struct_syrup_order"]);
    for name in ["struct_plain_string_order", "struct_syrup_order"] {
        assert_eq!(decode(&vectors[name], &Limits::MESSAGE), Ok(three_keys()));
    }
}

#[test]
fn every_prefix_of_every_vector_needs_more() {
    for (name, bytes) in vectors() {
        if NOT_SYRUP.contains(&name) {
            continue;
        }
        for length in 0..bytes.len() {
            let mut decoder = Decoder::new(Limits::MESSAGE);
            decoder.push(&bytes[..length]);
            assert_eq!(
                decoder.decode(),
                Ok(Progress::NeedMore),
                "{name}, {length} bytes"
            );
            // And the rest completes it, so nothing of the prefix was lost.
            decoder.push(&bytes[length..]);
            let Ok(Progress::Complete(received)) = decoder.decode() else {
                panic!("{name}")
            };
            assert_eq!(received.bytes, bytes, "{name}, {length} bytes first");
            assert!(decoder.is_between_values());
        }
    }
}

#[test]
fn vectors_back_to_back_come_out_one_by_one_whatever_the_pieces() {
    let vectors = vectors();
    let names = values();
    let stream: Vec<u8> = names
        .iter()
        .flat_map(|(name, _)| vectors[name].clone())
        .collect();
    for piece in [1, 2, 3, 7, 64, stream.len()] {
        let mut decoder = Decoder::new(Limits::MESSAGE);
        let mut seen = Vec::new();
        for bytes in stream.chunks(piece) {
            decoder.push(bytes);
            while let Progress::Complete(received) = decoder.decode().unwrap() {
                let (name, value) = &names[seen.len()];
                assert_eq!(received.bytes, vectors[name], "{name}");
                assert_eq!(&received.value, value, "{name}");
                seen.push(*name);
            }
        }
        assert_eq!(seen.len(), names.len(), "pieces of {piece}");
        assert!(decoder.is_between_values());
    }
}

#[test]
fn identifiers_are_those_of_the_test_suite() {
    let vectors = vectors();
    let (a, b) = (public(&seed(1)).public_id(), public(&seed(2)).public_id());
    assert_eq!(a.0.as_slice(), vectors["public_id_a"]);
    assert_eq!(b.0.as_slice(), vectors["public_id_b"]);
    for session in [SessionId::between(&a, &b), SessionId::between(&b, &a)] {
        assert_eq!(session.0.as_slice(), vectors["session_id_a_b"]);
    }
}

#[test]
fn records_of_keys_and_locators_come_back_as_types() {
    let vectors = vectors();
    let read = |name: &str| decode(&vectors[name], &Limits::HELLO).unwrap();
    assert_eq!(
        PublicKey::from_value(&read("public_key_a")),
        Ok(public(&seed(1)))
    );
    assert_eq!(Locator::from_value(&read("peer_with_hints")), Ok(alice()));
    assert_eq!(Locator::from_value(&read("peer_without_hints")), Ok(abc()));
}

#[test]
fn a_hello_is_checked_over_the_bytes_received() {
    let vectors = vectors();
    let hello = &vectors["start_session_a"];
    let [version, key, location, signature] = decode(hello, &Limits::HELLO)
        .unwrap()
        .as_record("op:start-session")
        .unwrap()
        .clone();
    assert_eq!(version.as_str(), Some("1.0"));
    assert_eq!(Locator::from_value(&location), Ok(alice()));
    let key = PublicKey::from_value(&key).unwrap();
    let signature = Signature::from_value(&signature).unwrap();
    assert_eq!(
        signature.0.as_slice(),
        vectors["my_location_signature_by_a"]
    );

    let parts = children(hello, &Limits::HELLO).unwrap();
    assert_eq!(parts[0], b"16'op:start-session");
    assert_eq!(parts[3], vectors["peer_with_hints"]);
    let signed = signed_location(parts[3], &Limits::HELLO).unwrap();
    assert_eq!(signed, vectors["my_location"]);
    assert_eq!(key.verify(&signed, &signature), Ok(()));

    for byte in 0..signed.len() {
        let mut altered = signed.clone();
        altered[byte] ^= 1;
        assert_eq!(
            key.verify(&altered, &signature),
            Err(KeyError::WrongSignature)
        );
    }
    assert_eq!(
        public(&seed(2)).verify(&signed, &signature),
        Err(KeyError::WrongSignature)
    );
}

#[test]
fn a_signature_over_another_key_order_is_good_over_the_span_and_not_over_a_copy() {
    // A sender whose canonical order is not ours signs its own bytes.
    let foreign = &vectors()["struct_syrup_order"];
    let signature = sign(&seed(1), foreign);
    let mut message = b"<17'desc:sig-envelope".to_vec();
    message.extend_from_slice(foreign);
    message.extend(bytes_of(&signature.to_value()));
    message.push(b'>');

    let parts = children(&message, &Limits::MESSAGE).unwrap();
    let key = public(&seed(1));
    assert_eq!(key.verify(parts[1], &signature), Ok(()));
    let copy = decode(parts[1], &Limits::MESSAGE).unwrap();
    let copy = encode(&copy, KeyOrder::PlainString, &Limits::MESSAGE).unwrap();
    assert_eq!(key.verify(&copy, &signature), Err(KeyError::WrongSignature));
}

#[test]
fn handoffs_are_checked_through_both_envelopes() {
    let received = &vectors()["signed_handoff_receive"];
    let outer = children(received, &Limits::MESSAGE).unwrap();
    let signature = decode(outer[2], &Limits::HELLO).unwrap();
    let signature = Signature::from_value(&signature).unwrap();
    assert_eq!(public(&seed(3)).verify(outer[1], &signature), Ok(()));

    let receive = children(outer[1], &Limits::MESSAGE).unwrap();
    assert_eq!(receive[0], b"20'desc:handoff-receive");
    assert_eq!(receive[4], vectors()["signed_handoff_give"]);
    let give = children(receive[4], &Limits::MESSAGE).unwrap();
    let signature = Signature::from_value(&decode(give[2], &Limits::HELLO).unwrap()).unwrap();
    assert_eq!(public(&seed(1)).verify(give[1], &signature), Ok(()));
    assert_eq!(
        public(&seed(3)).verify(give[1], &signature),
        Err(KeyError::WrongSignature)
    );
}

#[test]
fn what_is_not_canonical_but_sent_is_read_as_what_it_means() {
    let table: [(&[u8], Value); 6] = [
        (b"0-", Value::integer(0)),
        (b"007+", Value::integer(7)),
        (b"003:abc", Value::Bytes(b"abc".to_vec())),
        (b"D\xff\xf8\0\0\0\0\0\x01", Value::Float(f64::NAN.into())),
        (b"{1\"b0+1\"at}", {
            let entries = [("a", Value::Bool(true)), ("b", Value::integer(0))];
            let entries = entries.map(|(key, value)| (key.to_owned(), value));
            Value::Struct(Struct::new(entries.into()).unwrap())
        }),
        (b"D\x80\0\0\0\0\0\0\0", Value::Float(Float64::from(-0.0))),
    ];
    for (bytes, value) in table {
        assert_eq!(
            decode(bytes, &Limits::MESSAGE),
            Ok(value),
            "{}",
            bytes.escape_ascii()
        );
    }
}
