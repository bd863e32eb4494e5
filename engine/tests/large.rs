//! Turns that write and drop much: what they cost is what they leave behind.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use kenvat_engine::api::{Call, CallError, Deploy};
use kenvat_engine::shell::{Engine, EngineOptions, start};

const PROGRAM: &str = "let kept = null;
    export const sort = () => {
        let seed = 1;
        const next = () => (seed = (seed * 48271) % 2147483647);
        const many = Array.from({ length: 1_000_000 }, next);
        many.sort((a, b) => a - b);
        return many[0] <= many[1] && many[999_998] <= many[999_999];
    };
    export const keep = () => {
        kept = Array.from({ length: 400_000 }, (_, i) => ({ i }));
        return kept.length;
    };
    export const drop = () => { kept = null; };
    export const nothing = () => 0;";

fn host(dir: &Path) -> Engine {
    let mut options = EngineOptions::new(dir.join("store"));
    // What these turns compute is not what is tried here.
    options.gas = u64::MAX;
    options.turn_ms = u64::MAX;
    start(options).expect("a host starts")
}

fn deploy(engine: &Engine, source: &str) {
    let deploy = Deploy {
        name: "v".to_owned(),
        entry: "p.js".to_owned(),
        files: vec![("p.js".to_owned(), source.to_owned())],
        give: Vec::new(),
    };
    engine
        .deploy(deploy)
        .wait()
        .expect("answered")
        .expect("it deploys");
}

fn call(engine: &Engine, method: &str) -> Result<String, CallError> {
    let call = Call {
        vat: "v".to_owned(),
        method: method.to_owned(),
        args: "[]".to_owned(),
        key: None,
    };
    engine.call(call).wait().expect("answered")
}

/// Bytes the vat's image takes on disk.
fn image_bytes(dir: &Path) -> u64 {
    let images = fs::read_dir(dir.join("store/heap")).expect("the folder is there");
    let blocks = |image: fs::DirEntry| image.metadata().expect("an image").blocks();
    images
        .map(|image| blocks(image.expect("an entry")) * 512)
        .sum()
}

/// Bytes of memory that are the worker's own.
fn private_bytes(engine: &Engine) -> u64 {
    let info = engine
        .show("v")
        .wait()
        .expect("answered")
        .expect("it exists");
    let pid = info.worker_pid.expect("awake");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.parse::<u64>().ok())
        .expect("a number of KiB")
        << 10
}

#[test]
fn what_a_turn_wrote_and_dropped_is_not_in_its_delta() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = host(folder.path());
    deploy(&engine, PROGRAM);
    assert_eq!(call(&engine, "sort").as_deref(), Ok("true"));
    let journal = fs::read_dir(folder.path().join("store/journal")).expect("the folder is there");
    let lengths = journal.map(|segment| segment.expect("an entry").metadata().map(|m| m.len()));
    let largest = lengths.map(|len| len.expect("a segment")).max();
    assert_eq!(
        largest,
        Some(16 << 20),
        "no segment was made for a large frame"
    );
    assert!(
        image_bytes(folder.path()) < 4 << 20,
        "{}",
        image_bytes(folder.path())
    );
    engine
        .stop()
        .wait()
        .expect("answered")
        .expect("a clean stop");
}

#[test]
fn what_is_dropped_gives_disk_and_memory_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = host(folder.path());
    deploy(&engine, PROGRAM);
    assert_eq!(call(&engine, "keep").as_deref(), Ok("400000"));
    // A vat goes to sleep when its image is up to date.
    engine.sleep("v").wait().expect("answered").expect("asleep");
    let full = image_bytes(folder.path());
    assert!(full > 20 << 20, "{full}");
    call(&engine, "drop").expect("answered");
    // The worker hears that this was applied together with its next turn, and gives back what that
    // turn left alone.
    call(&engine, "nothing").expect("answered");
    call(&engine, "nothing").expect("answered");
    let (memory, disk) = (private_bytes(&engine), image_bytes(folder.path()));
    assert!(disk < full / 8, "{disk} of {full} bytes on disk");
    assert!(memory < full / 4, "{memory} bytes of memory, {full} before");
    engine.sleep("v").wait().expect("answered").expect("asleep");
    let report = engine.verify().wait().expect("answered").expect("verified");
    assert!(report.damages.is_empty(), "{:?}", report.damages);
    assert_eq!(call(&engine, "keep").as_deref(), Ok("400000"));
    engine
        .stop()
        .wait()
        .expect("answered")
        .expect("a clean stop");
}
