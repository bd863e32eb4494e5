//! Programs that attack the realm, and programs that only use it.
//!
//! Each file of `hostile/` is a script run in a compartment of its own. Its last value, or what
//! that promises, is `true` when the attack went through. Its head names the repair it attacks and
//! why it must fail. It is run twice: by the worker, where it must not get through, and by a worker
//! that leaves that repair out, where it must: a program that fails either way proves nothing. Each
//! file of `honest/` must give `true`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use kenvat_testing::worker::{TestVat, unrepaired};

/// Fewer programs than this mean that a folder was not read.
const HOSTILE_MIN: usize = 150;
const HONEST_MIN: usize = 80;

const RUNNER: &str = "export default { async run(text) {\n\
    try { return await new Compartment().evaluate(text) === true ? 'true' : 'false'; }\n\
    catch (e) { return `${e.name}: ${e.message}`; } } };";

fn programs(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(folder);
    let mut found: Vec<(String, String)> = fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "js"))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a text");
            (path.display().to_string(), text)
        })
        .collect();
    found.sort();
    found
}

/// A vat with the runner. A program that gets through may spoil it for the next; none does.
fn runner(mut vat: TestVat) -> TestVat {
    let outcome = vat.deploy(&[("main.js", RUNNER)], &[]);
    assert_eq!(
        outcome,
        kenvat_testing::worker::undefined(),
        "the runner starts"
    );
    vat
}

/// What a program gives in this vat.
fn result(vat: &mut TestVat, text: &str) -> String {
    let args = serde_json::to_string(&[text]).expect("strings are JSON");
    let request = vat.send("run", &args);
    match vat.replies.remove(&request) {
        Some(kenvat_wire::protocol::Outcome::Value(value)) => value.trim_matches('"').to_owned(),
        other => format!("{other:?}"),
    }
}

/// The repairs a program's head names, without spaces.
fn repairs(path: &str, text: &str) -> String {
    let mut lines = text.lines();
    let first = lines
        .next()
        .and_then(|line| line.strip_prefix("// repair: "));
    let second = lines
        .next()
        .and_then(|line| line.strip_prefix("// reason: "));
    let (Some(names), Some(_)) = (first, second) else {
        panic!("{path}: the head does not say what it attacks and why it must fail");
    };
    names.replace(' ', "")
}

#[test]
fn every_attack_is_held_by_the_repair_it_names() {
    let programs = programs("hostile");
    assert!(programs.len() >= HOSTILE_MIN, "only {}", programs.len());
    let mut made = BTreeMap::new();
    let mut whole = runner(TestVat::new());
    let mut complaints = Vec::new();
    for (path, text) in &programs {
        let names = repairs(path, text);
        let held = result(&mut whole, text);
        if held == "true" {
            complaints.push(format!("{path}: got through"));
        }
        let free = result(&mut runner(unrepaired(&names, &mut made)), text);
        if free != "true" {
            complaints.push(format!("{path}: without {names} it fails as well: {free}"));
        }
    }
    let shown = complaints.join("\n");
    assert!(
        complaints.is_empty(),
        "{} of them:\n{shown}",
        complaints.len()
    );
}

#[test]
fn every_honest_program_runs() {
    let programs = programs("honest");
    assert!(programs.len() >= HONEST_MIN, "only {}", programs.len());
    let mut vat = runner(TestVat::new());
    let complaints: Vec<String> = programs
        .iter()
        .map(|(path, text)| (path, result(&mut vat, text)))
        .filter(|(_, found)| found != "true")
        .map(|(path, found)| format!("{path}: {found}"))
        .collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
