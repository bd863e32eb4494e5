//! Nothing of the realm is there unseen, changes, or carries anything between two compartments.
//!
//! One test walks every object that globals and syntax lead to and compares it with a committed
//! list, `realm_objects.txt`; what compartments share must be frozen. The other leaves marks from
//! one compartment in whatever takes them, and looks for them from another. Each is also run on a
//! worker that leaves out a repair, where it must complain. The scripts are in `walk/`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use kenvat_testing::worker::{TestVat, unrepaired};
use serde_json::Value;

/// Set to write the list anew. Read the difference: each line is an object strangers share.
const WRITE: &str = "KENVAT_WRITE_REALM_OBJECTS";
/// Fewer objects than this are no walk of a realm.
const OBJECTS_MIN: usize = 1_000;
/// Fewer calls, or values looked at, than this try nothing.
const STEPS_MIN: u64 = 10_000;
/// How many objects marks are left in within one turn, which may use so much and no more.
const OBJECTS_A_TURN: usize = 10;
const MAIN: &str = include_str!("walk/main.js");
const WALK: &str = include_str!("walk/walk.js");
const FORMS: &str = include_str!("walk/forms.js");
const MARKER: &str = include_str!("walk/marker.js");

fn list_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/realm_objects.txt")
}

fn deployed(mut vat: TestVat) -> TestVat {
    let outcome = vat.deploy(&[("main.js", MAIN)], &[]);
    assert_eq!(
        outcome,
        kenvat_testing::worker::undefined(),
        "the program starts"
    );
    vat
}

fn call(vat: &mut TestVat, method: &str, args: &[Value]) -> Value {
    let args = serde_json::to_string(args).expect("JSON");
    serde_json::from_str(&vat.value(method, &args)).expect("JSON")
}

fn strings(value: &Value) -> Vec<String> {
    serde_json::from_value(value.clone()).expect("a list of strings")
}

/// The objects of this vat's realm, a line each, and what is wrong with any.
fn walked(vat: &mut TestVat) -> (BTreeSet<String>, Vec<String>) {
    let told = call(vat, "walk", &[WALK.into(), FORMS.into()]);
    let lines = strings(&told["lines"]);
    assert!(lines.len() >= OBJECTS_MIN, "only {} objects", lines.len());
    (lines.into_iter().collect(), strings(&told["faults"]))
}

fn listed() -> BTreeSet<String> {
    let text = fs::read_to_string(list_file()).expect("the list of objects");
    text.lines().map(str::to_owned).collect()
}

/// Lets a compartment leave marks, or look for them, everywhere; how much it did.
fn everywhere(vat: &mut TestVat, method: &str, early: bool) {
    let args = [WALK.into(), FORMS.into(), MARKER.into(), early.into()];
    let objects = call(vat, "choose", &args).as_u64().expect("a number") as usize;
    let steps: u64 = (0..objects)
        .step_by(OBJECTS_A_TURN)
        .map(|from| call(vat, method, &[from.into(), (from + OBJECTS_A_TURN).into()]))
        .map(|steps| steps.as_u64().expect("a number"))
        .sum();
    eprintln!("{method}: {steps} steps, {} pages", vat.used_pages);
    assert!(steps >= STEPS_MIN, "only {steps} steps");
}

/// Where marks left from one compartment are found from another.
fn found(vat: &mut TestVat) -> Vec<String> {
    everywhere(vat, "leave", false);
    let mut found = Vec::new();
    for early in [false, true] {
        everywhere(vat, "look", early);
        found.extend(strings(&call(vat, "found", &[])));
    }
    found
}

#[test]
fn every_object_of_the_realm_is_listed_and_what_is_shared_is_frozen() {
    let (objects, faults) = walked(&mut deployed(TestVat::new()));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    if std::env::var_os(WRITE).is_some() {
        let lines: String = objects.iter().map(|line| format!("{line}\n")).collect();
        fs::write(list_file(), lines).expect("write the list");
    }
    let listed = listed();
    let show = |them: BTreeSet<&String>| them.into_iter().cloned().collect::<Vec<_>>().join("\n");
    let new = show(objects.difference(&listed).collect());
    assert!(
        new.is_empty(),
        "not on the list ({WRITE}=1 writes it):\n{new}"
    );
    let gone = show(listed.difference(&objects).collect());
    assert!(
        gone.is_empty(),
        "only on the list ({WRITE}=1 writes it):\n{gone}"
    );
}

#[test]
fn the_walk_sees_what_is_not_frozen_and_what_is_new() {
    let mut made = BTreeMap::new();
    let (_, faults) = walked(&mut deployed(unrepaired("freeze", &mut made)));
    for path in ["globalThis.Array.prototype", "<iterator wrap>.__proto__"] {
        let fault = format!("not frozen: {path}");
        assert!(
            faults.contains(&fault),
            "{fault} is missing of {}",
            faults.len()
        );
    }
    let (objects, faults) = walked(&mut deployed(unrepaired("shared-memory", &mut made)));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let new: Vec<String> = objects.difference(&listed()).cloned().collect();
    let atomics = "shared globalThis.Atomics".to_owned();
    assert!(new.contains(&atomics), "{}", new.join("\n"));
}

#[test]
fn no_mark_left_from_one_compartment_is_found_from_another() {
    let found = found(&mut deployed(TestVat::new()));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_search_finds_a_mark_where_a_repair_is_missing() {
    let mut made = BTreeMap::new();
    let found = found(&mut deployed(unrepaired("prepare-stack-trace", &mut made)));
    let place = "globalThis.Error.prepareStackTrace".to_owned();
    assert!(found.contains(&place), "{}", found.join("\n"));
}
