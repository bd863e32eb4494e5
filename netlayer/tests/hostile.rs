//! Bytes that no correct peer sends: each is refused by name, at its place, without harm.

use kenvat_netlayer::Fault;
use kenvat_netlayer::codec::DecodeErrorKind::*;
use kenvat_netlayer::codec::{
    BigInt, DecodeError, DecodeErrorKind, Decoder, EncodeError, KeyOrder, Limits, Progress, Value,
    Writer, children, decode, encode,
};
use kenvat_netlayer::key::{KeyError, PublicKey, Signature};

/// Small enough to be reached by short inputs.
const SMALL: Limits = Limits {
    bytes: 64,
    length: 16,
    depth: 3,
    items: 8,
    integer_digits: 10,
};

fn table() -> Vec<(&'static [u8], DecodeErrorKind, usize)> {
    vec![
        // Not of this language.
        (b" t", UnknownTag(b' '), 0),
        (b"[t t]", UnknownTag(b' '), 2),
        (b"l1+e", UnknownTag(b'l'), 0),
        (b"d1\"at", UnknownTag(b'd'), 0),
        (b"(t)", UnknownTag(b'('), 0),
        (b"-1+", UnknownTag(b'-'), 0),
        (b"+", UnknownTag(b'+'), 0),
        (b":", UnknownTag(b':'), 0),
        (b"\xff", UnknownTag(0xff), 0),
        (b"1t", UnknownTagAfterDigits(b't'), 0),
        (b"1.5+", UnknownTagAfterDigits(b'.'), 0),
        (b"i1e", UnknownTag(b'i'), 0),
        (b"F\0\0\0\0", Float32, 0),
        (b"[F\0\0\0\0]", Float32, 1),
        (b"#1+$", Set, 0),
        (b"[$", Set, 1),
        // Text.
        (b"1\"\xff", NotUtf8, 0),
        (b"2'\xc3\x28", NotUtf8, 0),
        (b"3\"\xed\xa0\x80", NotUtf8, 0), // a surrogate
        (b"2\"\xc0\x80", NotUtf8, 0),     // overlong
        // Structs.
        (b"{1'at}", KeyNotString, 1),
        (b"{1:at}", KeyNotString, 1),
        (b"{1+t}", KeyNotString, 1),
        (b"{[]t}", KeyNotString, 1),
        (b"{1\"at1\"bt1\"at}", DuplicateKey, 13),
        (b"{1\"at01\"at}", DuplicateKey, 10),
        (b"{1\"a}", KeyWithoutValue, 4),
        // Records.
        (b"<>", RecordWithoutLabel, 1),
        (b"<1\"at>", LabelNotSymbol, 1),
        (b"<t>", LabelNotSymbol, 1),
        (b"<<1'a>>", LabelNotSymbol, 1),
        // Ends.
        (b"]", WrongEnd, 0),
        (b"}", WrongEnd, 0),
        (b">", WrongEnd, 0),
        (b"[}", WrongEnd, 1),
        (b"[>", WrongEnd, 1),
        (b"{]", WrongEnd, 1),
        (b"{1\"a]", WrongEnd, 4),
        (b"<1'a]", WrongEnd, 4),
        (b"[[]}", WrongEnd, 3),
        // Sizes. None of these has the bytes it claims.
        (b"17:", TooLong(16), 0),
        (b"0000000017\"", TooLong(16), 0),
        (b"9999999999:", TooLong(16), 0),
        (b"00000000001+", TooManyDigits(10), 0),
        (b"12345678901", TooManyDigits(10), 0),
        (b"[[[[", TooDeep(3), 3),
        (b"[<1'a{[", KeyNotString, 6),
        (b"[<1'a{1\"k[", TooDeep(3), 9),
        (b"[tttttttt", TooManyItems(8), 8),
        (b"<1'attttttt", TooManyItems(8), 10),
        (b"{1\"at1\"bt1\"ct1\"dt", TooManyItems(8), 16),
        (
            b"[16:0123456789abcdef16:0123456789abcdef16:0123456789abcdef16:",
            TooLarge(64),
            58,
        ),
        // Whole, and then some; or not whole.
        (b"tt", Trailing, 1),
        (b"[]]", Trailing, 2),
        (b"", Truncated, 0),
        (b"[", Truncated, 1),
        (b"16:abc", Truncated, 6),
        (b"D\0\0", Truncated, 3),
        (b"12", Truncated, 2),
    ]
}

#[test]
fn hostile_bytes_are_refused_by_name_and_place() {
    for (bytes, kind, at) in table() {
        let error = decode(bytes, &SMALL).unwrap_err();
        assert_eq!(error, DecodeError { kind, at }, "{}", bytes.escape_ascii());
        assert_eq!(error.fault(), Fault::PeerMisbehaved);
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn a_stream_gone_wrong_stays_wrong_and_keeps_nothing() {
    for (bytes, kind, at) in table() {
        if matches!(kind, Trailing | Truncated) {
            continue; // a stream may go on
        }
        let mut decoder = Decoder::new(SMALL);
        decoder.push(b"t");
        assert!(matches!(decoder.decode(), Ok(Progress::Complete(_))));
        // A byte at a time: the error is the same, and comes no later than with all bytes.
        let mut result = Ok(());
        for byte in bytes {
            decoder.push(&[*byte]);
            result = decoder
                .decode()
                .map(|progress| assert_eq!(progress, Progress::NeedMore));
            if result.is_err() {
                break;
            }
        }
        assert_eq!(
            result,
            Err(DecodeError { kind, at }),
            "{}",
            bytes.escape_ascii()
        );
        decoder.push(b"t");
        assert_eq!(decoder.decode(), Err(DecodeError { kind, at }));
        assert!(!decoder.is_between_values());
    }
}

#[test]
fn spans_are_refused_where_values_are_for_shape_and_size() {
    for (bytes, kind, _) in table() {
        // What may stand where, and text in keys, is not the business of spans.
        let of_shape = matches!(
            kind,
            WrongEnd | TooLong(_) | TooDeep(_) | TooManyDigits(_) | TooLarge(_) | Truncated | Set
        );
        if of_shape {
            let refused = children(bytes, &SMALL).map_err(|error| error.kind);
            // An atom and nothing at all are told apart from containers first.
            let atom =
                !bytes.starts_with(b"[") && !bytes.starts_with(b"{") && !bytes.starts_with(b"<");
            match refused {
                Err(NotAContainer) => assert!(atom, "{}", bytes.escape_ascii()),
                other => assert_eq!(other, Err(kind), "{}", bytes.escape_ascii()),
            }
        }
    }
    let error = |bytes: &[u8]| children(bytes, &SMALL).unwrap_err().kind;
    assert_eq!(error(b"t"), NotAContainer);
    assert_eq!(error(b"1:a"), NotAContainer);
    assert_eq!(error(b"[]t"), Trailing);
    assert_eq!(error(b"[ttttttttt]"), TooManyItems(8));
    assert_eq!(children(b"[]", &SMALL), Ok(vec![]));
    let parts: Vec<&[u8]> = vec![b"1'a", b"[t[]]", b"{1\"k1+}"];
    assert_eq!(children(b"<1'a[t[]]{1\"k1+}>", &SMALL), Ok(parts));
}

#[test]
fn each_limit_lets_through_exactly_what_it_says() {
    let at_limit: [&[u8]; 5] = [
        b"16:0123456789abcdef",
        b"0123456789+",
        b"[[[]]]",
        b"[ttttttt]",
        b"[16:0123456789abcdef16:0123456789abcdef16:0123456789abcdef2:ab]",
    ];
    for bytes in at_limit {
        assert!(decode(bytes, &SMALL).is_ok(), "{}", bytes.escape_ascii());
    }
    assert_eq!(at_limit[4].len(), 63);
    let over = b"[16:0123456789abcdef16:0123456789abcdef16:0123456789abcdef4:abcd]";
    assert_eq!(decode(over, &SMALL).unwrap_err().kind, TooLarge(64));
}

#[test]
fn new_limits_hold_from_the_next_value_on() {
    let tighter = Limits { length: 2, ..SMALL };
    let mut decoder = Decoder::new(SMALL);
    decoder.push(b"[3:abc");
    assert_eq!(decoder.decode(), Ok(Progress::NeedMore));
    decoder.set_limits(tighter);
    decoder.push(b"3:def]3:ghi");
    let Ok(Progress::Complete(received)) = decoder.decode() else {
        panic!("begun before")
    };
    assert_eq!(received.bytes, b"[3:abc3:def]");
    assert_eq!(
        decoder.decode(),
        Err(DecodeError {
            kind: TooLong(2),
            at: 0
        })
    );

    let mut decoder = Decoder::new(tighter);
    decoder.set_limits(SMALL);
    decoder.push(b"3:abc");
    assert!(matches!(decoder.decode(), Ok(Progress::Complete(_))));
}

#[test]
fn deep_nesting_is_refused_long_before_any_stack() {
    let deep = vec![b'['; 1 << 20];
    assert_eq!(
        decode(&deep, &Limits::MESSAGE).unwrap_err().kind,
        TooDeep(128)
    );
    assert_eq!(
        children(&deep, &Limits::MESSAGE).unwrap_err().kind,
        TooDeep(128)
    );
}

#[test]
fn what_would_be_refused_is_not_sent() {
    let encode = |value: &Value| encode(value, KeyOrder::Syrup, &SMALL).unwrap_err();
    let nested = |depth: usize| (0..depth).fold(Value::Bool(true), |v, _| Value::List(vec![v]));
    assert_eq!(encode(&nested(4)), EncodeError::TooDeep(3));
    assert_eq!(encode(&nested(10_000)), EncodeError::TooDeep(3));
    assert_eq!(encode(&Value::Bytes(vec![0; 17])), EncodeError::TooLong(16));
    assert_eq!(
        encode(&Value::List(vec![Value::Bool(true); 8])),
        EncodeError::TooManyItems(8)
    );
    assert_eq!(
        encode(&Value::integer(10_000_000_000u64)),
        EncodeError::TooManyDigits(10)
    );
    let huge = Value::Integer(BigInt::from(2).pow(1 << 20));
    assert_eq!(encode(&huge), EncodeError::TooManyDigits(10));
    let long = Value::List(vec![Value::Bytes(vec![0; 16]); 4]);
    assert_eq!(encode(&long), EncodeError::TooLarge(64));
    assert_eq!(encode(&long).fault(), Fault::ApiMisuse);
}

#[test]
fn a_writer_takes_one_value_and_only_values() {
    let new = || Writer::new(KeyOrder::Syrup, SMALL);
    assert_eq!(new().finish(), Err(EncodeError::Unbalanced));
    assert_eq!(new().end(), Err(EncodeError::Unbalanced));

    let mut writer = new();
    writer.begin_list().unwrap();
    writer.begin_record("a").unwrap();
    writer.verbatim(b"007+").unwrap();
    writer.end().unwrap();
    writer.value(&Value::Bool(true)).unwrap();
    let not_a_value = DecodeError {
        kind: Trailing,
        at: 1,
    };
    assert_eq!(
        writer.verbatim(b"tt"),
        Err(EncodeError::NotAValue(not_a_value))
    );
    assert_eq!(
        writer
            .verbatim(b"[[[]]]")
            .map_err(|e| matches!(e, EncodeError::NotAValue(_))),
        Err(true)
    );
    writer.end().unwrap();
    assert_eq!(
        writer.value(&Value::Bool(true)),
        Err(EncodeError::Unbalanced)
    );
    assert_eq!(writer.begin_list(), Err(EncodeError::Unbalanced));
    assert_eq!(writer.finish(), Ok(b"[<1'a007+>t]".to_vec()));

    // What is passed on counts like what is written: eight items, and no ninth.
    let mut full = new();
    full.begin_list().unwrap();
    full.verbatim(b"{1\"a<1'bt>}").unwrap();
    full.verbatim(b"[]").unwrap();
    full.value(&Value::Bool(true)).unwrap();
    assert_eq!(
        full.value(&Value::Bool(true)),
        Err(EncodeError::TooManyItems(8))
    );

    let mut open = new();
    open.begin_list().unwrap();
    assert_eq!(open.finish(), Err(EncodeError::Unbalanced));
}

#[test]
fn keys_that_verify_anything_are_refused() {
    // The identity point: with S = 0 and R = the identity, a lax check accepts every message.
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&identity);
    let refused = PublicKey(identity).verify(b"anything", &Signature(signature));
    assert_eq!(refused, Err(KeyError::WrongSignature));
    // Not a point at all.
    let mut key = [0; 32];
    key[0] = 2;
    assert_eq!(
        PublicKey(key).verify(b"", &Signature([0; 64])),
        Err(KeyError::NotAKey)
    );
}
