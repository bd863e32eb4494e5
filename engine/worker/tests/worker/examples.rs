//! examples/slides.js in a vat whose worker dies after every call, so that each trade's second
//! phase and each timer finds another process.

use kenvat_testing::worker::TestVat;
use kenvat_wire::protocol::Outcome;

const AT_FIRST: &str = r#"{"alice":{"money":100,"stock":0},"bob":{"money":0,"stock":100}}"#;
const AFTER_TRADE: &str = r#"{"alice":{"money":90,"stock":7},"bob":{"money":10,"stock":93}}"#;

fn slides() -> TestVat {
    TestVat::deployed(include_str!("../../../../examples/slides.js"))
}

/// The answer, for which timers may have to fire; the worker is killed before each and at the end.
fn call(vat: &mut TestVat, method: &str, args: &str) -> Outcome {
    let request = vat.send(method, args);
    loop {
        vat.kill();
        if let Some(outcome) = vat.replies.remove(&request) {
            return outcome;
        }
        assert!(vat.fire_next(), "{method} waits for nothing");
    }
}

fn value(vat: &mut TestVat, method: &str, args: &str) -> String {
    match call(vat, method, args) {
        Outcome::Value(json) => json,
        Outcome::Thrown(thrown) => panic!("{method} threw {thrown:?}"),
    }
}

#[test]
fn an_exchange_of_the_slides_happens_whole_or_not_at_all() {
    let mut vat = slides();
    assert_eq!(value(&mut vat, "purses", "[]"), AT_FIRST);
    assert_eq!(value(&mut vat, "trade", "[10, 7]"), AFTER_TRADE);
    for (args, missing) in [("[1000, 1]", "-910"), ("[1, 1000]", "-907")] {
        let Outcome::Thrown(thrown) = call(&mut vat, "trade", args) else {
            panic!("{args} is more than there is");
        };
        assert_eq!(thrown.message, format!("not a natural number: {missing}"));
        assert_eq!(value(&mut vat, "purses", "[]"), AFTER_TRADE);
    }
}

#[test]
fn an_exchange_of_the_slides_that_is_stuck_can_be_left() {
    let mut vat = slides();
    assert_eq!(value(&mut vat, "stuck", "[]"), r#""alice cancels""#);
    assert_eq!(value(&mut vat, "purses", "[]"), AT_FIRST);
}

#[test]
fn a_payment_of_the_slides_buys_and_a_race_with_time_ends() {
    let mut vat = slides();
    assert_eq!(value(&mut vat, "buy", "[10]"), r#""a book""#);
    let paid = r#"{"alice":{"money":90,"stock":0},"bob":{"money":10,"stock":100}}"#;
    assert_eq!(value(&mut vat, "purses", "[]"), paid);
    assert_eq!(value(&mut vat, "hurry", "[]"), r#""timeout""#);
}
