//! The commands without a host: each opens the store, does its work, and closes it.

mod common;

use common::World;
use serde_json::{Value, json};

fn deployed() -> World {
    let world = World::new();
    world.ok(&["deploy", "counter.js", "--name", "counter"]);
    world
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value
        .as_object()
        .expect("is an object")
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    keys
}

#[test]
fn a_vat_lives_from_command_to_command_without_a_host() {
    let world = deployed();
    assert_eq!(world.ok(&["call", "counter", "incr"]), "1");
    assert_eq!(world.ok(&["call", "counter", "incr", "41"]), "42");
    assert_eq!(world.ok(&["call", "counter", "incr", "-2"]), "40");
    assert_eq!(world.ok(&["call", "counter", "read"]), "40");
    assert_eq!(world.json(&["show", "counter"])["turns"], 5);
}

#[test]
fn arguments_and_results_are_json() {
    let world = deployed();
    let echoed = world.ok(&[
        "call",
        "counter",
        "echo",
        "tea",
        "{\"a\":[1,null]}",
        "-1",
        "\"7\"",
    ]);
    let echoed: Value = serde_json::from_str(&echoed).expect("is JSON");
    assert_eq!(echoed, json!(["tea", {"a": [1, null]}, -1, "7"]));
    assert_eq!(
        world.ok(&["call", "counter", "echo", "--json", "--", "-v"]),
        r#"["--json","--","-v"]"#
    );
    assert_eq!(world.ok(&["call", "counter", "nothing"]), "");
    assert_eq!(
        world.json(&["call", "counter", "nothing"]),
        json!({"$undefined": true})
    );
}

#[test]
fn the_same_id_is_answered_again_and_not_run_again() {
    let world = deployed();
    for _ in 0..3 {
        assert_eq!(world.ok(&["call", "--id", "a", "counter", "incr"]), "1");
    }
    assert_eq!(world.ok(&["call", "--id", "b", "counter", "incr"]), "2");
    let other = world.run(&["--json", "call", "--id", "a", "counter", "incr", "5"]);
    assert_eq!(other.status, 2);
    let error: Value = serde_json::from_str(&other.err).expect("is JSON");
    assert_eq!(error["error"]["code"], -32006);
    assert_eq!(world.ok(&["call", "counter", "read"]), "2");
}

#[test]
fn shapes_for_programs_are_the_contracts() {
    let world = World::new();
    assert_eq!(world.json(&["ls"]), json!([]));
    assert!(!world.data().exists(), "looking must not make a store");
    let made = world.json(&["deploy", "counter.js", "--name", "counter"]);
    assert_eq!(keys(&made), ["id", "name", "url"]);
    assert_eq!(
        (&made["name"], &made["url"]),
        (&json!("counter"), &Value::Null)
    );
    let list = world.json(&["ls"]);
    for key in [
        "name",
        "id",
        "state",
        "turns",
        "heap_bytes",
        "outbox",
        "engine",
        "source_sha256",
    ] {
        assert!(!list[0][key].is_null(), "{key}: {list}");
    }
    let sheet = world.json(&["show", "counter"]);
    for key in ["heap_sha256", "genesis_sha256", "engine", "source_sha256"] {
        assert_eq!(
            sheet[key].as_str().map(str::len),
            Some(64),
            "{key}: {sheet}"
        );
    }
    assert_eq!(
        (&sheet["peers"], &sheet["last_error"]),
        (&json!([]), &Value::Null)
    );
    assert!(sheet["limits"]["heap_bytes"].as_u64() > Some(0), "{sheet}");
    let verified = world.json(&["verify"]);
    assert_eq!(verified["damages"], json!([]));
    assert!(verified["read_bytes"].as_u64() > Some(0), "{verified}");
    let limits = world.json(&["limits"]);
    let first = &limits[0];
    assert_eq!(keys(first), ["meaning", "name", "set_by", "unit", "value"]);
}

#[test]
fn people_get_tables() {
    let world = World::new();
    let empty = world.run(&["ls"]);
    assert_eq!((empty.status, empty.out.as_str()), (0, ""));
    assert!(empty.err.contains("kenvat run"), "{empty:?}");
    world.ok(&["deploy", "counter.js", "--name", "counter"]);
    let table = world.ok(&["ls"]);
    let mut lines = table.lines();
    assert!(
        lines.next().expect("a head").starts_with("NAME     STATE"),
        "{table}"
    );
    assert!(
        lines.next().expect("a row").starts_with("counter  "),
        "{table}"
    );
    assert!(world.ok(&["show", "counter"]).contains("heap sha256"));
    assert!(world.ok(&["limits"]).contains("256.0 MiB"));
    assert!(world.ok(&["verify"]).ends_with("read, 0 damages"));
}

#[test]
fn every_error_has_its_status_its_place_and_a_way_on() {
    let world = deployed()
        .with("typed.ts", "let x: number")
        .with(
            "syntax.js",
            "export default () => ({\n  m() { return 1 +; },\n});\n",
        )
        .with(
            "throws.js",
            "export default () => {\n  throw new RangeError('no way');\n};\n",
        )
        .with(
            "gone.js",
            "import { x } from './nowhere.js';\nexport default () => ({ x() {} });\n",
        )
        .with("My Vat.js", "");
    world.write("latin.js", b"// caf\xe9");
    let table: &[(&[&str], i32, &[&str])] = &[
        (
            &["call", "countr", "read"],
            2,
            &["\"countr\"", "\"counter\"?", "kenvat ls"],
        ),
        (&["call", "counter", "raed"], 1, &["raed", "read"]),
        (
            &["call", "counter", "fail", "ouch"],
            1,
            &["TypeError", "ouch"],
        ),
        (
            &["call", "counter", "echo", "{\"a\":"],
            2,
            &["argument 1", "line 1 column 5"],
        ),
        (
            &["call", "counter", "echo", "1", "[1,"],
            2,
            &["argument 2", "line 1 column 3"],
        ),
        (&["call", "counter", "--nope", "read"], 2, &["--nope"]),
        (
            &["call", "--timeout", "0", "counter", "read"],
            2,
            &["--timeout 0"],
        ),
        (&["call", "counter"], 2, &["METHOD"]),
        (&["show", "counte"], 2, &["\"counter\"?"]),
        (&["terminate", "counter"], 2, &["--yes"]),
        (
            &["deploy", "counter.js", "--name", "counter"],
            2,
            &["exists already", "--name"],
        ),
        (
            &["deploy", "counter.js", "--name", "new", "--deny", "clok"],
            2,
            &["--deny clok", "abort, clock, random, timer"],
        ),
        (
            &["deploy", "counter.js", "--name", "Big"],
            2,
            &["\"Big\"", "a-z"],
        ),
        (&["deploy", "absent.js", "--name", "a"], 2, &["absent.js"]),
        (
            &["deploy", "counter", "--name", "a"],
            2,
            &["did you mean counter.js"],
        ),
        (
            &["deploy", "typed.ts", "--name", "a"],
            2,
            &["TypeScript", "compile"],
        ),
        (
            &["deploy", "latin.js", "--name", "a"],
            2,
            &["byte 6", "UTF-8"],
        ),
        (
            &["deploy", "syntax.js", "--name", "a"],
            1,
            &["SyntaxError", "syntax.js:2:", "return 1 +;"],
        ),
        (
            &["deploy", "throws.js", "--name", "a"],
            1,
            &["RangeError: no way", "throws.js:2:"],
        ),
        (
            &["deploy", "gone.js", "--name", "a"],
            1,
            &["nowhere.js", "gone.js:1:"],
        ),
        (
            &["deploy", "counter.js", "--name", "a", "--give", "b=bank"],
            2,
            &["come later"],
        ),
        (&["run", "My Vat.js"], 2, &["--name"]),
        (
            &["run", "counter.js", "--listen", "0.0.0.0:0"],
            2,
            &["--insecure"],
        ),
        (&["host", "--listen", "nowhere"], 2, &["ADDRESS:PORT"]),
        (&["chek", "counter.js"], 2, &["chek", "check"]),
    ];
    for (args, status, parts) in table {
        let said = world.run(args);
        assert_eq!(said.status, *status, "{args:?}: {said:?}");
        assert_eq!(said.out, "", "{args:?}");
        for part in *parts {
            assert!(
                said.err.contains(part),
                "{args:?} without {part:?}:\n{}",
                said.err
            );
        }
    }
    let names: Vec<Value> = world
        .json(&["ls"])
        .as_array()
        .expect("a list")
        .iter()
        .map(|v| v["name"].clone())
        .collect();
    assert_eq!(names, ["counter"], "what failed left a vat");
}

#[test]
fn errors_for_programs_are_json_on_stderr() {
    let world = deployed();
    let table: &[(&[&str], i64, &str)] = &[
        (&["call", "countr", "read"], -32004, "UnknownVat"),
        (&["call", "counter", "raed"], -32601, "NoSuchMethod"),
        (&["call", "counter", "fail", "x"], -32000, "TypeError"),
        (&["call", "counter", "echo", "[1,"], -32602, "BadArguments"),
        (&["deploy", "absent.js", "--name", "a"], -32600, "Usage"),
        (&["no-such-command"], -32600, "Usage"),
    ];
    for (args, code, name) in table {
        let said = world.run(&[&["--json"], *args].concat());
        let error: Value = serde_json::from_str(&said.err).expect("is JSON");
        assert_eq!(error["error"]["code"], *code, "{error}");
        assert_eq!(error["error"]["name"], *name, "{error}");
        assert!(error["error"]["message"].is_string() && error["error"]["hint"].is_string());
    }
}

#[test]
fn no_store_is_made_by_asking() {
    let world = World::new();
    for args in [
        &["call", "a", "b"][..],
        &["show", "a"],
        &["verify"],
        &["logs", "a"],
    ] {
        let said = world.run(args);
        assert_eq!(said.status, 2, "{said:?}");
        assert!(said.err.contains("there is no store in"), "{said:?}");
    }
    assert!(!world.data().exists());
}

#[test]
fn given_data_is_in_powers() {
    let world = World::new();
    let give = "limit=json:{\"most\":100}";
    world.ok(&["deploy", "counter.js", "--name", "c", "--give", give]);
    assert_eq!(
        world.json(&["call", "c", "given", "limit"]),
        json!({"most": 100})
    );
}

#[test]
fn sources_in_several_files_make_one_vat() {
    let world = World::new()
        .with(
            "vats/a.js",
            "import { two } from '../lib/two.js';\nexport default () => ({ get: () => two });\n",
        )
        .with(
            "lib/two.js",
            "import { one } from './one.js'; export const two = one + 1;\n",
        )
        .with("lib/one.js", "export const one = 1;\n");
    world.ok(&["deploy", "vats/a.js", "--name", "a"]);
    assert_eq!(world.ok(&["call", "a", "get"]), "2");
}

#[test]
fn a_vat_is_put_away_brought_back_and_ended() {
    let world = deployed();
    world.ok(&["call", "counter", "incr"]);
    assert_eq!(world.ok(&["wake", "counter"]), "counter is awake");
    assert_eq!(world.json(&["sleep", "counter"])["state"], "asleep");
    assert_eq!(world.ok(&["call", "counter", "incr"]), "2");
    world.ok(&["terminate", "counter", "--yes"]);
    assert_eq!(world.json(&["ls"]), json!([]));
    assert_eq!(world.run(&["call", "counter", "read"]).status, 2);
    world.ok(&["deploy", "counter.js", "--name", "counter"]);
    assert_eq!(world.ok(&["call", "counter", "read"]), "0");
}

#[test]
fn the_log_is_what_was_committed() {
    let world = deployed();
    world.ok(&["call", "counter", "say", "first"]);
    world.ok(&["call", "counter", "say", "second\nline \u{1b}[2J"]);
    let log = world.ok(&["logs", "counter"]);
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(lines[0].ends_with(" log first"), "{log}");
    assert!(lines[1].contains("second\\nline"), "{log}");
    assert!(!log.contains('\u{1b}'), "{log:?}");
    let first = world.ok(&["--json", "logs", "counter"]);
    let first: Value = serde_json::from_str(first.lines().next().expect("a line")).expect("JSON");
    assert_eq!(
        (&first["level"], &first["text"]),
        (&json!("log"), &json!("first"))
    );
}

#[test]
fn waiting_is_given_up_with_the_id_and_the_call_is_not() {
    let world = deployed();
    let said = world.run(&["call", "--id", "w", "--timeout", "0.5", "counter", "wait"]);
    assert_eq!((said.status, said.out.as_str()), (4, ""), "{said:?}");
    assert!(said.err.contains("--id w"), "{said:?}");
    world.ok(&["call", "counter", "go", "7"]);
    assert_eq!(world.ok(&["call", "--id", "w", "counter", "wait"]), "7");
}
