//! The mapping of JSON to values and back.

use kenvat_testing::worker::TestVat;

const ECHO: &str = "
const outcome = (work) => { try { return work(); } catch (error) { return String(error); } };
export default {
  echo: (x) => x,
  type: (x) => typeof x,
  same: (x) => [Object.is(x, -0), Number.isNaN(x), x === Infinity],
  show: (code) => (0, eval)(code),
  keys: (x) => [Object.keys(x), Object.getPrototypeOf(x) === Object.prototype, x.polluted],
  bytes: (x) => [x instanceof Uint8Array, x.length, ...x],
  patch() {
    const then = () => { throw new Error('then'); };
    return [
      () => { JSON.stringify = JSON.parse = then; },
      () => { Array.prototype.toJSON = Object.prototype.toJSON = then; },
      () => { Object.defineProperty(Object.prototype, 'a', { set: then, configurable: true }); },
      () => { Array.prototype[Symbol.iterator] = then; },
      () => { Promise.prototype.then = then; },
      () => { Promise.resolve = then; },
    ].map((change) => { try { change(); return 'changed'; } catch { return 'refused'; } });
  },
};
";

#[test]
fn values_come_back_as_they_went() {
    let mut vat = TestVat::deployed(ECHO);
    for json in [
        "null",
        "true",
        "false",
        "0",
        "-1",
        "2147483647",
        "-2147483648",
        "2147483648",
        "1.5",
        "0.1",
        "9007199254740993",
        "1e21",
        "1e-7",
        "123456789012345680000",
        "5e-324",
        "1e300",
        r#""""#,
        r#""a\"\\\n\r\t/é😀\u0001""#,
        "[]",
        "[1,[2,[3]]]",
        "{}",
        r#"{"a":{"b":[null]}}"#,
        r#"{"$bigint":"12"}"#,
        r#"{"$bigint":"-9223372036854775809"}"#,
        r#"{"$bigint":"123456789012345678901234567890"}"#,
        r#"{"$undefined":true}"#,
        r#"{"$bytes":"AAEC/w=="}"#,
        r#"{"$bytes":""}"#,
        r#"{"$number":"NaN"}"#,
        r#"{"$number":"Infinity"}"#,
        r#"{"$number":"-Infinity"}"#,
        r#"{"$number":"-0"}"#,
        r#"{"$$bigint":"12"}"#,
        r#"{"a":1,"$$ref":2,"$$$x":3}"#,
        r#"{"__proto__":{"polluted":1}}"#,
        r#"{"constructor":1,"toString":2}"#,
        r#"[{"$undefined":true},{"$bigint":"1"}]"#,
        r#"{"10":1,"2":2,"b":3,"a":4}"#,
    ] {
        let expected = match json {
            "9007199254740993" => "9007199254740992",
            // Integer keys come first, in order: JavaScript's order, not JSON's.
            r#"{"10":1,"2":2,"b":3,"a":4}"# => r#"{"2":2,"10":1,"b":3,"a":4}"#,
            json => json,
        };
        assert_eq!(vat.value("echo", &format!("[{json}]")), expected);
    }
    assert_eq!(
        vat.value("echo", " [ {\n\"a\" : [ 1 , 2 ] } ] "),
        r#"{"a":[1,2]}"#
    );
    assert_eq!(
        vat.value("echo", r#"["\ud83d\ude00\/\b\f"]"#),
        "\"😀/\\u0008\\u000c\""
    );
    assert_eq!(vat.value("echo", r#"[{"a":1,"a":2}]"#), r#"{"a":2}"#);
    assert_eq!(vat.value("echo", "[-0]"), r#"{"$number":"-0"}"#);
}

#[test]
fn escapes_become_the_values_they_name() {
    let mut vat = TestVat::deployed(ECHO);
    assert_eq!(vat.value("type", r#"[{"$bigint":"12"}]"#), "\"bigint\"");
    assert_eq!(
        vat.value("type", r#"[{"$undefined":true}]"#),
        "\"undefined\""
    );
    assert_eq!(vat.value("type", "[1]"), "\"number\"");
    assert_eq!(
        vat.value("same", r#"[{"$number":"-0"}]"#),
        "[true,false,false]"
    );
    assert_eq!(
        vat.value("same", r#"[{"$number":"NaN"}]"#),
        "[false,true,false]"
    );
    assert_eq!(
        vat.value("same", r#"[{"$number":"Infinity"}]"#),
        "[false,false,true]"
    );
    assert_eq!(
        vat.value("bytes", r#"[{"$bytes":"AAEC/w=="}]"#),
        "[true,4,0,1,2,255]"
    );
    let keys = vat.value("keys", r#"[{"__proto__":{"polluted":1}}]"#);
    assert_eq!(keys, r#"[["__proto__"],true,{"$undefined":true}]"#);
    assert_eq!(
        vat.value("keys", r#"[{"$$a":1}]"#),
        r#"[["$a"],true,{"$undefined":true}]"#
    );
}

#[test]
fn what_is_not_json_or_not_of_the_mapping_is_refused_with_the_place() {
    let mut vat = TestVat::deployed(ECHO);
    for (args, place) in [
        ("", "is not a JSON array"),
        ("5", "is not a JSON array"),
        ("{}", "is not a JSON array"),
        ("[1,]", "a value is missing at byte 3"),
        ("[1 2]", "`,` is missing at byte 3"),
        ("[01]", "`,` is missing"),
        ("[1.]", "a digit is missing"),
        ("[+1]", "a value is missing"),
        ("[\"a]", "a string does not end"),
        ("[\"\n\"]", "a string does not end"),
        (r#"["\x"]"#, "unknown escape"),
        (r#"["\ud800"]"#, "lone surrogate"),
        (r#"["\u12"]"#, "four hexadecimal"),
        ("[nul]", "malformed"),
        ("[1]x", "something follows"),
        (r#"[{"a":{"$bigint":"x"}}]"#, "[0].a has a `$bigint`"),
        (r#"[{"$bigint":"1","a":1}]"#, "more than the key"),
        (r#"[{"a":1,"$b":1}]"#, "write `$$b`"),
        (r#"[{"$b":1}]"#, "write `$$b`"),
        (r#"[{"$number":"1"}]"#, "NaN, Infinity"),
        (r#"[{"$bytes":"*"}]"#, "base64"),
        (r#"[{"$ref":"x"}]"#, "cannot be passed yet"),
        (r#"[{"$undefined":1}]"#, "malformed"),
        (r#"[{"a"}]"#, "`:` is missing"),
        (r#"[{1:1}]"#, "a key is missing"),
    ] {
        let thrown = vat.thrown("echo", args);
        assert_eq!(thrown.name, "TypeError", "{args}");
        assert!(thrown.message.contains(place), "{args}: {}", thrown.message);
    }
    let deep = format!("[{}{}]", "[".repeat(500), "]".repeat(500));
    assert!(
        vat.thrown("echo", &deep)
            .message
            .contains("deeper than 120")
    );
    let digits = format!(r#"[{{"$bigint":"{}"}}]"#, "9".repeat(20_001));
    assert!(vat.thrown("echo", &digits).message.contains("20000 digits"));
}

#[test]
fn keys_that_collide_by_construction_are_refused_and_others_are_not() {
    let mut vat = TestVat::deployed("export default { count: (x) => Object.keys(x).length };");
    let (a, b) = ("\u{5000}\u{5000}", "\u{4fff}\u{5107}");
    let keys = |digit: fn(u32) -> bool| -> String {
        let key = |i: u32| -> String {
            (0..16)
                .map(|bit| if digit(i >> bit) { b } else { a })
                .collect()
        };
        let list: Vec<String> = (0..60_000).map(|i| format!("{:?}:1", key(i))).collect();
        list.join(",")
    };
    let colliding = format!("[{{{}}}]", keys(|bits| bits & 1 == 1));
    let thrown = vat.thrown("count", &colliding);
    assert!(thrown.message.contains("collide"), "{}", thrown.message);
    let plain: Vec<String> = (0..60_000).map(|i| format!("\"k{i}\":1")).collect();
    assert_eq!(
        vat.value("count", &format!("[{{{}}}]", plain.join(","))),
        "60000"
    );
}

#[test]
fn results_that_cannot_be_passed_are_refused_with_the_place() {
    let mut vat = TestVat::deployed(ECHO);
    for (code, place) in [
        ("() => 1", "the result is a function"),
        (
            "({ a: [{ m() {} }] })",
            "the result.a[0] is an object with methods (`m` is a function)",
        ),
        ("Far('x', {})", "the result is a Far object"),
        ("({ a: [1, Symbol('x')] })", "the result.a[1] is a symbol"),
        (
            "({ 'a b': new Date(0) })",
            "the result[\"a b\"] is a Date: convert it",
        ),
        ("new Map()", "the result is a Map instance"),
        (
            "[new (class Foo { x = 1 })()]",
            "the result[0] is a Foo instance",
        ),
        ("new Error('x')", "is an Error"),
        (
            "[Promise.resolve(1)]",
            "the result[0] is a promise: await it first",
        ),
        ("new Proxy({}, {})", "is a Proxy"),
        (
            "({ get x() { throw new Error('ran') } })",
            "the result.x is an accessor",
        ),
        (
            "Object.defineProperty([1], 0, { get() { throw 1 } })",
            "the result[0] is an accessor",
        ),
        (
            "const o = { a: {} }; o.a.b = o; o",
            "the result.a.b leads back to an object it is in",
        ),
        (
            "let d = 1; for (let i = 0; i < 300; i++) d = [d]; d",
            "deeper than 120",
        ),
        (
            "({ length: 1, __proto__: Array.prototype })",
            "is a Array instance",
        ),
        ("'\\ud800'", "not well-formed"),
        ("({ '\\ud800': 1 })", "key that is not well-formed"),
        ("new Float64Array(1)", "is a Float64Array instance"),
        ("Object(1)", "is a Number instance"),
    ] {
        let thrown = vat.thrown("show", &format!("[{}]", quoted(code)));
        assert_eq!(thrown.name, "TypeError", "{code}: {thrown:?}");
        assert!(thrown.message.contains(place), "{code}: {}", thrown.message);
    }
    for (code, json) in [
        ("[1,,3]", r#"[1,{"$undefined":true},3]"#),
        ("({ __proto__: null, a: 1 })", r#"{"a":1}"#),
        ("({ [Symbol('s')]: 1, a: 1 })", r#"{"a":1}"#),
        ("const shared = [1]; [shared, shared]", "[[1],[1]]"),
        ("new Uint8Array([1, 2]).subarray(1)", r#"{"$bytes":"Ag=="}"#),
        ("new ArrayBuffer(2)", r#"{"$bytes":"AAA="}"#),
        ("({ then: 1 })", r#"{"then":1}"#),
        ("({ toJSON: 1 })", r#"{"toJSON":1}"#),
        ("({ then(ok) { ok(5); } })", "5"),
        ("1e21 + 0", "1e21"),
        ("0.5 - 0.5", "0"),
        ("2 ** 31", "2147483648"),
    ] {
        assert_eq!(
            vat.value("show", &format!("[{}]", quoted(code))),
            json,
            "{code}"
        );
    }
}

#[test]
fn the_builtins_cannot_be_patched_under_the_mapping() {
    let mut vat = TestVat::deployed(ECHO);
    let refused = format!("[{}]", [r#""refused""#; 6].join(","));
    assert_eq!(vat.value("patch", "[]"), refused);
    assert_eq!(
        vat.value("echo", r#"[{"a":[1,{"b":2}]}]"#),
        r#"{"a":[1,{"b":2}]}"#
    );
    assert_eq!(
        vat.value("show", r#"["(async () => ({ a: 1 }))()"]"#),
        r#"{"a":1}"#
    );
}

fn quoted(code: &str) -> String {
    format!("\"{}\"", code.replace('\\', "\\\\").replace('"', "\\\""))
}
