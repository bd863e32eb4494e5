//! Limits through the real program: set by the host, set for one vat, raised on a heap that is
//! full, shown with who set them, and refused where they make no sense.

mod common;

use std::os::unix::net::UnixStream;

use common::World;
use serde_json::Value;

const HOARDER: &str = "\
export default () => {
  const kept = [];
  return {
    keep: (mib) => { for (let i = 0; i < mib; i++) kept.push(new Uint8Array(1 << 20)); },
    count: () => kept.length,
    mark: () => { kept.forEach((part, at) => { part[5000] = at % 251; }); },
    sum: () => kept.reduce((sum, part) => sum + part[5000], 0),
    loop: () => { for (;;); },
  };
};
";

/// The row of a limit.
fn limit<'a>(table: &'a Value, name: &str) -> (&'a Value, &'a Value) {
    let rows = table.as_array().expect("is a list");
    let row = rows
        .iter()
        .find(|row| row["name"] == name)
        .expect("is there");
    (&row["value"], &row["set_by"])
}

#[test]
fn a_limit_says_who_set_it_and_counts() {
    let world = World::new().with("hoarder.js", HOARDER);
    let host = world.serve(&["host", "--limit", "gas=50_000_000", "--limit", "awake=7"]);
    world.ok(&["deploy", "hoarder.js", "--name", "plain"]);
    let own = ["--limit", "gas=5_000_000", "--limit", "turn=5s"];
    world.ok(&[&["deploy", "hoarder.js", "--name", "own"], &own[..]].concat());
    let table = world.json(&["limits"]);
    assert_eq!(limit(&table, "gas"), (&50_000_000.into(), &"host".into()));
    assert_eq!(limit(&table, "awake"), (&7.into(), &"host".into()));
    assert_eq!(limit(&table, "turn"), (&10_000.into(), &"default".into()));
    let table = world.json(&["limits", "own"]);
    assert_eq!(limit(&table, "gas"), (&5_000_000.into(), &"vat".into()));
    assert_eq!(limit(&table, "turn"), (&5_000.into(), &"vat".into()));
    let table = world.json(&["limits", "plain"]);
    assert_eq!(limit(&table, "gas"), (&50_000_000.into(), &"host".into()));
    assert_eq!(world.json(&["show", "own"])["limits"]["gas"], 5_000_000);

    let said = world.run(&["--json", "call", "own", "loop"]);
    assert_eq!(said.status, 1);
    let error: Value = serde_json::from_str(&said.err).expect("is JSON");
    assert_eq!(error["error"]["code"], -32001, "{error}");
    assert_eq!(world.ok(&["call", "own", "count"]), "0");

    // The vat's own limits stay with it; the host's are the next host's to set.
    host.kill();
    let _host = world.host();
    let table = world.json(&["limits", "own"]);
    assert_eq!(limit(&table, "gas"), (&5_000_000.into(), &"vat".into()));
    world.ok(&["limits", "own", "--unset", "gas"]);
    let table = world.json(&["limits", "own"]);
    assert_eq!(
        limit(&table, "gas"),
        (&100_000_000.into(), &"default".into())
    );
    assert_eq!(limit(&table, "turn"), (&5_000.into(), &"vat".into()));
}

#[test]
fn a_full_heap_goes_on_where_it_was_once_its_limit_is_raised() {
    let world = World::new().with("hoarder.js", HOARDER);
    let host = world.host();
    world.ok(&[
        "deploy",
        "hoarder.js",
        "--name",
        "v",
        "--limit",
        "heap=8MiB",
    ]);
    world.ok(&["call", "v", "keep", "4"]);
    let said = world.run(&["--json", "call", "v", "keep", "20"]);
    let error: Value = serde_json::from_str(&said.err).expect("is JSON");
    assert_eq!(error["error"]["code"], -32002, "{error}");
    assert_eq!(world.ok(&["call", "v", "count"]), "4");
    world.ok(&["limits", "v", "--set", "heap=64MiB"]);
    world.ok(&["call", "v", "keep", "20"]);
    world.ok(&["call", "v", "mark"]);
    let sum = (0..24).sum::<u32>().to_string();
    assert_eq!(world.ok(&["call", "v", "sum"]), sum);
    // What was written beyond the image's first end is recovered from the journal, too.
    host.kill();
    assert_eq!(world.json(&["verify"])["damages"], serde_json::json!([]));
    let host = world.host();
    assert_eq!(world.ok(&["call", "v", "sum"]), sum);
    // Lowered below what it has: it keeps what it has, and gets no more.
    world.ok(&["limits", "v", "--set", "heap=8MiB"]);
    assert_eq!(world.ok(&["call", "v", "sum"]), sum);
    assert_eq!(world.run(&["call", "v", "keep", "20"]).status, 1);
    assert_eq!(world.ok(&["call", "v", "count"]), "24");
    drop(host);
    assert_eq!(world.json(&["verify"])["damages"], serde_json::json!([]));
}

#[test]
fn a_limit_that_makes_no_sense_is_refused_and_says_what_would() {
    let world = World::new();
    for (limit, hint) in [
        ("nope=1", "there is no limit"),
        ("heap=1KiB", "4194304"),
        ("heap=10s", "256MiB"),
        ("stack=1MiB", "is fixed: it belongs to the engine"),
        ("sent=1MiB", "is fixed: it belongs to the engine"),
        ("delta=1MiB", "is fixed: it belongs to the layout"),
        ("message=32MiB", "1024 to 16777216"),
        ("poison=0", "1 to 100"),
        ("control-clients=0", "1 to 100000"),
        ("connection-bytes=1MiB", "67108864 to"),
        ("gas", "NAME=VALUE"),
    ] {
        let said = world.run(&["host", "--listen", "127.0.0.1:0", "--limit", limit]);
        assert_eq!(said.status, 2, "{limit}: {said:?}");
        assert!(said.err.contains(hint), "{limit}: {}", said.err);
    }
    let said = world.run(&["deploy", "counter.js", "--name", "c", "--limit", "awake=3"]);
    assert_eq!(said.status, 2, "{said:?}");
    world.ok(&["deploy", "counter.js", "--name", "c"]);
    for change in [
        ["--set", "awake=3"],
        ["--unset", "awake"],
        ["--set", "heap=1"],
    ] {
        let said = world.run(&[&["limits", "c"], &change[..]].concat());
        assert_eq!(said.status, 2, "{change:?}: {said:?}");
    }
    assert_eq!(world.run(&["limits", "nobody"]).status, 2);
}

/// Every limit that can be set is set here to something else, shown as that, and the rest say
/// nothing of anybody.
#[test]
fn every_limit_is_shown_and_those_that_can_be_set_are() {
    let set = [
        ("heap", 128 << 20),
        ("gas", 1_000_000),
        ("turn", 9_000),
        ("sleep-after", 30_000),
        ("awake", 9),
        ("message", 2_000),
        ("source", 4_000),
        ("waiting", 5),
        ("waiting-bytes", 2 << 20),
        ("open", 6),
        ("group", 7),
        ("births", 3),
        ("answers", 8),
        ("answer-bytes", 3 << 20),
        ("host-answer-bytes", 4 << 20),
        ("ids", 9),
        ("poison", 2),
        ("control-clients", 30),
        ("gateway-clients", 20),
        ("connection-bytes", 64 << 20),
    ];
    let world = World::new().with("long.js", &format!("// {}\n{HOARDER}", "x".repeat(4_000)));
    let mut args = vec!["host".to_owned()];
    for (name, value) in set {
        args.extend(["--limit".to_owned(), format!("{name}={value}")]);
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let host = world.serve(&args);
    let table = world.json(&["limits"]);
    for (name, value) in set {
        assert_eq!(
            limit(&table, name),
            (&value.into(), &"host".into()),
            "{name}"
        );
    }
    let rows = table.as_array().expect("is a list");
    let unset = rows.iter().filter(|row| row["set_by"] == "default");
    assert_eq!(unset.count(), rows.len() - set.len());
    for fixed in [
        "stack",
        "sent",
        "value",
        "journal",
        "log",
        "in-flight",
        "body",
    ] {
        assert_eq!(limit(&table, fixed).1, "default", "{fixed}");
    }
    // They count.
    world.ok(&["deploy", "counter.js", "--name", "c"]);
    let said = world.run(&["deploy", "long.js", "--name", "long"]);
    assert!(
        said.status == 2 && said.err.contains("limit is 4000"),
        "{said:?}"
    );
    let long = format!("\"{}\"", "x".repeat(2_000));
    let said = world.run(&["call", "c", "echo", &long]);
    assert!(
        said.status == 2 && said.err.contains("at most 2000 bytes"),
        "{said:?}"
    );
    host.stop();
    // A host's limits end with it.
    assert_eq!(limit(&world.json(&["limits"]), "poison").1, "default");
}

#[test]
fn one_client_too_many_is_told_and_an_operator_still_gets_in() {
    let world = World::new();
    world.ok(&["deploy", "counter.js", "--name", "c"]);
    let _host = world.serve(&["host", "--limit", "control-clients=3"]);
    // The host takes them in before whoever comes later, and nobody came before.
    let held: Vec<_> = (0..3)
        .map(|_| UnixStream::connect(world.data().join("control.sock")).expect("connects"))
        .collect();
    let said = world.run(&["call", "c", "incr"]);
    assert!(
        said.status == 3 && said.err.contains("control-clients"),
        "{said:?}"
    );
    world.ok(&["ls"]);
    drop(held);
}
