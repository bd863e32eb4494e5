//! `kenvat bench` runs, records and draws; and what it counts is what is promised. No time is
//! asserted: those are for a quiet machine.

mod common;

use common::World;
use serde_json::Value;

const BENCHES: [&str; 9] = [
    "checkpoint",
    "throughput",
    "wake",
    "create",
    "restart",
    "scale",
    "disk",
    "sleepers",
    "neighbour",
];

/// What one update may write (`kenvat bench` has the same figure to reach). Today it is 9: runtime
/// and context, root, method's name, key, `typeof`'s string, map, its methods, its record, counter.
const PAGES_WRITTEN_MAX: f64 = 11.0;

fn line<'a>(lines: &'a [Value], bench: &str, case: &str) -> &'a Value {
    let found = |line: &&Value| line["bench"] == bench && line["case"] == case;
    let found = lines.iter().find(found);
    found.unwrap_or_else(|| panic!("no line `{case}` of {bench} in {lines:?}"))
}

#[test]
fn a_quick_run_of_every_bench_counts_what_is_promised() {
    let world = World::new();
    let folder = world.data().parent().expect("has a folder").to_owned();
    let record = folder.join("results.jsonl");
    let plot = folder.join("plot.svg");
    let (file, picture) = (record.display().to_string(), plot.display().to_string());
    // Not the folder of temporary files, which may be memory.
    let dir = env!("CARGO_TARGET_TMPDIR");
    let args = ["--json", "bench", "--quick", "--dir", dir];
    let args = [&args[..], &["--record", &file, "--plot", &picture]].concat();
    let printed = world.ok(&args);
    let recorded = std::fs::read_to_string(&record).expect("is written");
    assert_eq!(recorded.trim_end(), printed, "what is printed is recorded");
    let lines: Vec<Value> = recorded
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for bench in BENCHES {
        assert!(lines.iter().any(|line| line["bench"] == bench), "{bench}");
    }
    for line in &lines {
        let [p50, p90, p99, max] =
            ["p50", "p90", "p99", "max"].map(|name| line[name].as_f64().expect("a number"));
        assert!(p50 <= p90 && p90 <= p99 && p99 <= max, "{line}");
        assert!(line["quick"] == true && line["unit"].is_string(), "{line}");
        if line["unit"] == "us" && !line["raw"].is_null() {
            assert!(
                line["ratio"].as_f64().is_some_and(|ratio| ratio > 0.0),
                "{line}"
            );
        }
    }
    let syncs = line(&lines, "checkpoint", "syncs a frame");
    assert_eq!(
        (&syncs["p50"], &syncs["max"]),
        (&1.0.into(), &1.0.into()),
        "{syncs}"
    );
    assert_eq!(syncs["counts"]["frames a call"], 1.0, "{syncs}");
    let delta = line(&lines, "checkpoint", "delta of an update");
    assert!(
        delta["max"]
            .as_f64()
            .is_some_and(|bytes| (8.0..=1024.0).contains(&bytes)),
        "{delta}"
    );
    let written = line(&lines, "checkpoint", "pages written");
    let pages = written["max"].as_f64().expect("a number");
    assert!((1.0..=PAGES_WRITTEN_MAX).contains(&pages), "{written}");
    let picture = std::fs::read_to_string(&plot).expect("is drawn");
    assert!(picture.starts_with("<svg") && BENCHES[..1].iter().all(|name| picture.contains(name)));
    assert!(!world.data().exists(), "the store of --data is not touched");
}

#[test]
fn benches_are_listed_and_an_unknown_one_is_refused() {
    let world = World::new();
    let listed = world.json(&["bench", "--list"]);
    let names: Vec<&str> = listed
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|bench| bench["name"].as_str())
        .collect();
    assert_eq!(names, BENCHES);
    let said = world.run(&["bench", "thruput"]);
    assert!(said.status == 2 && said.err.contains("--list"), "{said:?}");
    let said = world.run(&["bench", "--record", "x.jsonl", "wake"]);
    assert_eq!(said.status, 2, "{said:?}");
}
