//! Properties: what goes out comes back, and no bytes whatever do harm.

use std::collections::BTreeMap;

use kenvat_netlayer::codec::{
    BigInt, Decoder, Float64, KeyOrder, Limits, Progress, Record, Struct, Value, Writer, children,
    decode, encode,
};
use kenvat_netlayer::locator::Locator;
use kenvat_netlayer::sturdyref::Sturdyref;
use kenvat_netlayer::swissnum::{Swissnum, SwissnumForm};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

/// Low enough that generated values now and then go past them.
const TIGHT: Limits = Limits {
    bytes: 200,
    length: 20,
    depth: 3,
    items: 12,
    integer_digits: 25,
};

fn any_text() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<char>(), 0..12).prop_map(String::from_iter)
}

fn any_integer() -> impl Strategy<Value = BigInt> {
    prop_oneof![
        any::<i64>().prop_map(BigInt::from),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|b| BigInt::from_signed_bytes_be(&b)),
    ]
}

fn to_struct(entries: BTreeMap<String, Value>) -> Value {
    Value::Struct(Struct::new(entries.into_iter().collect()).unwrap())
}

fn any_value() -> impl Strategy<Value = Value> {
    let atom = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any_integer().prop_map(Value::Integer),
        any::<u64>().prop_map(|bits| Value::Float(Float64::from_bits(bits))),
        any_text().prop_map(Value::String),
        any_text().prop_map(Value::Symbol),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
    ];
    atom.prop_recursive(5, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
            prop::collection::btree_map(any_text(), inner.clone(), 0..6).prop_map(to_struct),
            (any_text(), prop::collection::vec(inner, 0..6))
                .prop_map(|(label, fields)| Value::Record(Record { label, fields })),
        ]
    })
}

fn any_order() -> impl Strategy<Value = KeyOrder> {
    prop_oneof![Just(KeyOrder::Syrup), Just(KeyOrder::PlainString)]
}

/// Bytes that look like Syrup more often than chance would have it.
fn likely_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        8 => prop::sample::select(b"tf[]{}<>:\"'+-D0123".to_vec()),
        1 => any::<u8>(),
    ];
    prop::collection::vec(byte, 0..80)
}

/// The order of the draft, said as it is said there: the coded keys, sorted as bytes.
fn syrup_sorted(keys: &[String]) -> Vec<Vec<u8>> {
    let mut coded: Vec<Vec<u8>> = keys
        .iter()
        .map(|key| format!("{}\"{key}", key.len()).into_bytes())
        .collect();
    coded.sort();
    coded
}

proptest! {
    #![proptest_config(ProptestConfig {
        // A failure prints its seed and leaves it beside this file, to be committed with the mend.
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_value_comes_back_from_its_bytes(value in any_value(), order in any_order()) {
        let bytes = encode(&value, order, &Limits::MESSAGE).unwrap();
        prop_assert_eq!(decode(&bytes, &Limits::MESSAGE), Ok(value));
    }

    #[test]
    fn what_encodes_within_limits_decodes_within_them_and_else_not(
        value in any_value(),
        order in any_order(),
    ) {
        let bytes = encode(&value, order, &Limits::MESSAGE).unwrap();
        let fits = encode(&value, order, &TIGHT);
        prop_assert_eq!(fits.is_ok(), decode(&bytes, &TIGHT).is_ok(), "{:?}", fits);
        if let Ok(fits) = fits {
            prop_assert_eq!(fits, bytes);
        }
    }

    #[test]
    fn pieces_make_no_difference(
        values in prop::collection::vec(any_value(), 1..4),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let coded: Vec<Vec<u8>> = values
            .iter()
            .map(|value| encode(value, KeyOrder::Syrup, &Limits::MESSAGE).unwrap())
            .collect();
        let stream = coded.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        cuts.push(stream.len());
        cuts.sort();
        let (mut decoder, mut from, mut seen) = (Decoder::new(Limits::MESSAGE), 0, 0);
        for to in cuts {
            decoder.push(&stream[from..to]);
            from = to;
            while let Progress::Complete(received) = decoder.decode().unwrap() {
                prop_assert_eq!(&received.value, &values[seen]);
                prop_assert_eq!(received.bytes, coded[seen].as_slice());
                seen += 1;
            }
        }
        prop_assert_eq!(seen, values.len());
    }

    #[test]
    fn syrup_order_is_that_of_the_coded_keys(
        keys in prop::collection::btree_set("[ab]{0,12}", 0..8),
    ) {
        let keys: Vec<String> = keys.into_iter().collect();
        let entries = keys.iter().map(|key| (key.clone(), Value::Bool(true))).collect();
        let bytes = encode(&to_struct(entries), KeyOrder::Syrup, &Limits::MESSAGE).unwrap();
        let expected: Vec<u8> =
            syrup_sorted(&keys).iter().flat_map(|key| [key.as_slice(), b"t"].concat()).collect();
        prop_assert_eq!(&bytes[1..bytes.len() - 1], expected);
    }

    #[test]
    fn spans_are_the_parts_and_put_together_make_the_whole(
        label in any_text(),
        fields in prop::collection::vec(any_value(), 0..5),
    ) {
        let value = Value::record(label.clone(), fields.clone());
        let bytes = encode(&value, KeyOrder::Syrup, &Limits::MESSAGE).unwrap();
        let parts = children(&bytes, &Limits::MESSAGE).unwrap();
        prop_assert_eq!(parts.len(), fields.len() + 1);
        let mut writer = Writer::new(KeyOrder::Syrup, Limits::MESSAGE);
        writer.begin_record(&label).unwrap();
        for (part, field) in parts[1..].iter().zip(&fields) {
            prop_assert_eq!(&decode(part, &Limits::MESSAGE).unwrap(), field);
            writer.verbatim(part).unwrap();
        }
        writer.end().unwrap();
        prop_assert_eq!(writer.finish(), Ok(bytes));
    }

    #[test]
    fn no_bytes_panic_and_what_is_read_can_be_written(
        bytes in prop_oneof![likely_bytes(), prop::collection::vec(any::<u8>(), 0..80)],
    ) {
        let _ = children(&bytes, &TIGHT);
        let mut decoder = Decoder::new(Limits::MESSAGE);
        decoder.push(&bytes);
        while let Ok(Progress::Complete(received)) = decoder.decode() {
            let again = encode(&received.value, KeyOrder::Syrup, &Limits::MESSAGE).unwrap();
            prop_assert_eq!(decode(&again, &Limits::MESSAGE), Ok(received.value));
            // The canonical bytes are never longer than what was received.
            prop_assert!(again.len() <= received.bytes.len());
        }
    }

    #[test]
    fn altered_bytes_never_panic(
        value in any_value(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = encode(&value, KeyOrder::Syrup, &Limits::MESSAGE).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(value) = decode(&bytes, &Limits::MESSAGE) {
            let _ = (Locator::from_value(&value), Sturdyref::from_value(&value));
            prop_assert!(encode(&value, KeyOrder::Syrup, &Limits::MESSAGE).is_ok());
        }
        let _ = children(&bytes, &Limits::MESSAGE);
    }

    #[test]
    fn sturdyrefs_come_back_from_every_form(
        transport in "[^.]{1,8}",
        designator in "\\PC{1,12}",
        hints in prop::option::of(prop::collection::btree_map("\\PC{1,6}", any_text(), 1..4)),
        number in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let peer = Locator::new(transport, designator, hints).unwrap();
        let sturdyref = Sturdyref { peer, swissnum: Swissnum::new(number).unwrap() };
        for form in [SwissnumForm::Base64Url, SwissnumForm::Percent] {
            let uri = sturdyref.reveal_uri(form);
            prop_assert_eq!(Sturdyref::parse(&uri, Some(form)), Ok(sturdyref.clone()), "{}", uri);
        }
        prop_assert_eq!(Locator::parse(&sturdyref.peer.to_uri()), Ok(sturdyref.peer.clone()));
        prop_assert_eq!(Sturdyref::from_value(&sturdyref.to_value()), Ok(sturdyref));
    }

    #[test]
    fn no_text_panics_as_a_uri(tail in "[a-z%./s?=&#é]{0,24}", any in "\\PC{0,40}") {
        for uri in [format!("ocapn://{tail}"), any] {
            let _ = Locator::parse(&uri);
            if let Ok(sturdyref) = Sturdyref::parse(&uri, None) {
                let again = sturdyref.reveal_uri(SwissnumForm::Base64Url);
                prop_assert_eq!(Sturdyref::parse(&again, None), Ok(sturdyref));
            }
        }
    }
}
