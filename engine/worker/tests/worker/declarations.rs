//! examples/kenvat.d.ts against a running vat: each name it declares is there, and each name that
//! is there is the language's own or declared; likewise the members of every interface.

use std::collections::BTreeSet;

use kenvat_testing::worker::TestVat;

const DECLARATIONS: &str = include_str!("../../../../examples/kenvat.d.ts");

/// What the language brings, which editors know by themselves.
const LANGUAGE: &str = "AggregateError Array ArrayBuffer AsyncDisposableStack BigInt BigInt64Array \
    BigUint64Array Boolean DataView Date DisposableStack Error EvalError Float16Array Float32Array \
    Float64Array Function Infinity Int16Array Int32Array Int8Array Iterator JSON Map Math NaN \
    Number Object Promise Proxy RangeError ReferenceError Reflect RegExp Set String \
    SuppressedError Symbol SyntaxError TypeError URIError Uint16Array Uint32Array Uint8Array \
    Uint8ClampedArray WeakMap WeakSet decodeURI decodeURIComponent encodeURI encodeURIComponent \
    escape eval globalThis isFinite isNaN parseFloat parseInt undefined unescape";

/// Interfaces and what in a vat they describe.
const DESCRIBED: [(&str, &str); 24] = [
    ("Powers", "powers"),
    ("TurnClock", "powers.clock"),
    ("Random", "powers.random"),
    ("Timer", "powers.timer"),
    ("Clock", "powers.timer.every(1)"),
    ("EventualSend", "E"),
    ("HandledPromiseConstructor", "HandledPromise"),
    ("PromiseKit", "makePromiseKit()"),
    ("Deferred", "Q.defer()"),
    ("QPromise", "Object.getPrototypeOf(Q(1))"),
    ("QFunction", "Q"),
    ("Flow", "Flow.prototype"),
    ("FlowConstructor", "Flow"),
    ("Vow", "Vow.prototype"),
    ("VowConstructor", "Vow"),
    ("Compartment", "Compartment.prototype"),
    ("CompartmentConstructor", "Compartment"),
    ("Assert", "assert"),
    ("Console", "console"),
    ("TextEncoder", "TextEncoder.prototype"),
    ("TextEncoderConstructor", "TextEncoder"),
    ("TextDecoder", "TextDecoder.prototype"),
    ("Ses", "SES"),
    ("CajaVm", "cajaVM"),
];

/// Interfaces of what authors write themselves, and those that have no names.
const UNDESCRIBED: [&str; 4] = [
    "Handler",
    "CompartmentOptions",
    "ErrorOptions",
    "TextDecoderConstructor",
];

/// The names an object in a vat has, but for those of every function and prototype.
fn names(vat: &mut TestVat, of: &str) -> BTreeSet<String> {
    let args = serde_json::to_string(&[of]).expect("strings are JSON");
    let names: Vec<String> =
        serde_json::from_str(&vat.value("names", &args)).expect("a list of names");
    let of_all = ["length", "name", "constructor"];
    // A compartment has a name of its own.
    let kept =
        |name: &str| !of_all.contains(&name) || (of, name) == ("Compartment.prototype", "name");
    names.into_iter().filter(|name| kept(name)).collect()
}

fn vat() -> TestVat {
    TestVat::deployed(
        "export default (powers) => ({ names: (text) => \
         Object.getOwnPropertyNames(Function('powers', `return ${text}`)(powers)) })",
    )
}

fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

/// The members of each interface, by the file's indentation.
fn interfaces() -> Vec<(&'static str, BTreeSet<String>)> {
    let blocks = DECLARATIONS.split("\n  interface ").skip(1);
    blocks
        .map(|block| {
            let body = block.split("\n  }").next().expect("it ends");
            let lines = body.lines().skip(1);
            let members = lines
                .filter_map(|line| line.strip_prefix("    "))
                .map(|line| line.strip_prefix("readonly ").unwrap_or(line))
                .map(identifier)
                .filter(|name| !name.is_empty() && *name != "new")
                .map(str::to_owned);
            (identifier(block), members.collect())
        })
        .collect()
}

#[test]
fn the_declared_globals_are_those_a_vat_has() {
    let declared: BTreeSet<String> = DECLARATIONS
        .lines()
        .filter_map(|line| {
            let line = line.strip_prefix("declare ")?;
            let rest = ["const ", "function "]
                .iter()
                .find_map(|word| line.strip_prefix(word))?;
            Some(identifier(rest).to_owned())
        })
        .collect();
    let language: BTreeSet<String> = LANGUAGE.split_whitespace().map(str::to_owned).collect();
    let known: BTreeSet<String> = declared.union(&language).cloned().collect();
    assert_eq!(known.len(), declared.len() + language.len(), "none is both");
    assert_eq!(names(&mut vat(), "globalThis"), known);
}

#[test]
fn the_declared_members_are_those_the_objects_have() {
    let mut vat = vat();
    let interfaces = interfaces();
    assert_eq!(interfaces.len(), DESCRIBED.len() + UNDESCRIBED.len());
    for (interface, members) in &interfaces {
        let Some((_, object)) = DESCRIBED.iter().find(|(name, _)| name == interface) else {
            assert!(UNDESCRIBED.contains(interface), "what is a {interface}?");
            continue;
        };
        assert_eq!(names(&mut vat, object), *members, "{interface}: {object}");
    }
}
