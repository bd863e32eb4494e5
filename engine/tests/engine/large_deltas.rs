//! Turns that write and drop much: what they cost is what they leave behind.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use kenvat_engine::Engine;
use kenvat_testing::engine::{Ask, open};

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
    let bytes = new Uint8Array(0);
    export const grow = () => {
        bytes = new Uint8Array(100 * 1024 * 1024);
        for (let i = 0; i < bytes.length; i += 64) bytes[i] = 1 + i % 251;
        return bytes.length;
    };
    export const sum = () => {
        let sum = 0;
        for (let i = 0; i < bytes.length; i += 4096) sum += bytes[i];
        return sum;
    };
    export const nothing = () => 0;";

/// What these turns compute is not what is tried here.
fn unbounded(dir: &Path) -> Engine {
    open(dir.join("store"), |options| {
        options.gas = u64::MAX;
        options.turn_ms = u64::MAX;
    })
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
    let info = engine.info("v");
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
    let engine = unbounded(folder.path());
    engine.deploy("v", PROGRAM).expect("it deploys");
    assert_eq!(engine.call("v", "sort", "[]").as_deref(), Ok("true"));
    let journal = fs::read_dir(folder.path().join("store/journal")).expect("the folder is there");
    let lengths = journal.map(|segment| segment.expect("an entry").metadata().map(|m| m.len()));
    let largest = lengths.map(|len| len.expect("a segment")).max();
    assert_eq!(
        largest,
        Some(4 << 20),
        "no segment was made for a large frame"
    );
    assert!(
        image_bytes(folder.path()) < 4 << 20,
        "{}",
        image_bytes(folder.path())
    );
    engine.stop().expect("a clean stop");
}

#[test]
fn what_is_dropped_gives_disk_and_memory_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = unbounded(folder.path());
    engine.deploy("v", PROGRAM).expect("it deploys");
    assert_eq!(engine.call("v", "keep", "[]").as_deref(), Ok("400000"));
    // A vat goes to sleep when its image is up to date.
    engine.put_to_sleep("v");
    let full = image_bytes(folder.path());
    assert!(full > 20 << 20, "{full}");
    engine.call("v", "drop", "[]").expect("answered");
    // The worker hears that this was applied together with its next turn, and gives back what that
    // turn left alone.
    engine.call("v", "nothing", "[]").expect("answered");
    engine.call("v", "nothing", "[]").expect("answered");
    let (memory, disk) = (private_bytes(&engine), image_bytes(folder.path()));
    assert!(disk < full / 8, "{disk} of {full} bytes on disk");
    assert!(memory < full / 4, "{memory} bytes of memory, {full} before");
    engine.put_to_sleep("v");
    engine.assert_no_damage();
    assert_eq!(engine.call("v", "keep", "[]").as_deref(), Ok("400000"));
    engine.stop().expect("a clean stop");
}

/// What `sum` says of the bytes `grow` wrote.
fn sum_of_bytes() -> String {
    let sum: u64 = (0..100 * 1024 * 1024u64)
        .step_by(4096)
        .map(|i| 1 + i % 251)
        .sum();
    sum.to_string()
}

fn side_files(dir: &Path) -> usize {
    fs::read_dir(dir.join("store/side"))
        .expect("the folder is there")
        .count()
}

/// The side file made last, of those that are there.
fn newest_side(dir: &Path) -> Option<std::ffi::OsString> {
    let files = fs::read_dir(dir.join("store/side")).expect("the folder is there");
    files.map(|file| file.expect("an entry").file_name()).max()
}

#[test]
fn j7_a_large_delta_is_durable_in_a_side_file_and_only_its_vat_waits() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = unbounded(folder.path());
    engine.deploy("v", PROGRAM).expect("it deploys");
    engine
        .deploy("w", "let n = 0; export const incr = () => ++n;")
        .expect("it deploys");
    let large = engine.send("v", "grow", "[]");
    let behind = engine.send("v", "sum", "[]");
    let mut other = 0;
    // While it is on its way: the worker needs longer to fill the bytes than a call here takes.
    while side_files(folder.path()) == 0 {
        other += 1;
        let answer = engine.send("w", "incr", "[]").wait().expect("answered");
        assert_eq!(answer, Ok(other.to_string()));
    }
    for _ in 0..20 {
        other += 1;
        let answer = engine.send("w", "incr", "[]").wait().expect("answered");
        assert_eq!(answer, Ok(other.to_string()));
    }
    assert_eq!(large.wait().expect("answered").as_deref(), Ok("104857600"));
    assert_eq!(behind.wait().expect("answered"), Ok(sum_of_bytes()));
    let journal = fs::read_dir(folder.path().join("store/journal")).expect("the folder is there");
    let lengths = journal.map(|segment| segment.expect("an entry").metadata().map(|m| m.len()));
    let largest = lengths.map(|len| len.expect("a segment")).max();
    assert_eq!(
        largest,
        Some(4 << 20),
        "no segment was made for a large frame"
    );
    engine.put_to_sleep("v");
    assert!(image_bytes(folder.path()) > 100 << 20);
    engine.assert_no_damage();
    assert_eq!(
        engine.call("v", "sum", "[]"),
        Ok(sum_of_bytes()),
        "by another process"
    );
    engine.stop().expect("a clean stop");
    assert_eq!(side_files(folder.path()), 0, "folded");
    let engine = unbounded(folder.path());
    assert_eq!(
        engine.call("v", "sum", "[]"),
        Ok(sum_of_bytes()),
        "by another host"
    );
    engine.stop().expect("a clean stop");
}

#[test]
fn j7_a_worker_killed_while_its_large_delta_is_on_its_way_loses_and_repeats_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = unbounded(folder.path());
    let source = "let n = 0, bytes;
        export const grow = () => { bytes = new Uint8Array(40 << 20).fill(++n); return n; };";
    engine.deploy("v", source).expect("it deploys");
    for expected in 1..=6 {
        let before = newest_side(folder.path());
        let answer = engine.send("v", "grow", "[]");
        let mut killed = false;
        while newest_side(folder.path()) == before {
            std::thread::yield_now();
        }
        let info = engine.info("v");
        if let Some(pid) = info.worker_pid {
            let pid = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a process id");
            // Gone already where it was quick.
            killed = rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok();
        }
        let answer = answer.wait().expect("answered");
        assert_eq!(answer, Ok(expected.to_string()), "killed: {killed}");
        engine.put_to_sleep("v");
        engine
            .handle()
            .verify()
            .wait()
            .expect("answered")
            .expect("verified");
    }
    engine.stop().expect("a clean stop");
}

#[test]
fn j7_a_vat_may_be_born_large() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = unbounded(folder.path());
    let source = "const bytes = new Uint8Array(30 << 20).fill(7);
        export const at = () => bytes[bytes.length - 1] + bytes[0];";
    engine.deploy("v", source).expect("it deploys");
    assert_eq!(engine.call("v", "at", "[]").as_deref(), Ok("14"));
    engine.stop().expect("a clean stop");
    let engine = unbounded(folder.path());
    assert_eq!(engine.call("v", "at", "[]").as_deref(), Ok("14"));
    engine.stop().expect("a clean stop");
}
