//! `verify`: bytes that are not what was written are found, with a host and without.

mod common;

use std::path::{Path, PathBuf};

use common::World;
use serde_json::{Value, json};

/// Every file in a folder of the store, by name.
fn files(world: &World, folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(world.data().join(folder))
        .expect("is there")
        .map(|entry| entry.expect("is there").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{folder}");
    files
}

/// Flips one bit of the byte in the middle of those that are not zero; returns where.
fn flip(path: &Path) -> u64 {
    let mut bytes = std::fs::read(path).expect("is there");
    let written: Vec<usize> = bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte != 0)
        .map(|(at, _)| at)
        .collect();
    let at = written[written.len() / 2];
    bytes[at] ^= 4;
    std::fs::write(path, bytes).expect("writes");
    at as u64
}

fn used() -> World {
    let world = World::new();
    world.ok(&["deploy", "counter.js", "--name", "counter"]);
    world.ok(&["call", "counter", "incr"]);
    world
}

/// What `verify` says; that it says so by its status; that it changed nothing.
fn verify(world: &World, sound: bool) -> Value {
    let said = world.run(&["--json", "verify"]);
    assert_eq!(said.status, if sound { 0 } else { 3 }, "{said:?}");
    let report: Value = serde_json::from_str(&said.out).expect("is JSON");
    assert!(report["read_bytes"].as_u64().is_some(), "{report}");
    assert_eq!(
        report["damages"].as_array().expect("a list").is_empty(),
        sound,
        "{report}"
    );
    report
}

fn relative(world: &World, path: &Path) -> Value {
    json!(
        path.strip_prefix(world.data())
            .expect("is inside")
            .to_str()
            .expect("is text")
    )
}

#[test]
fn a_flipped_bit_of_a_heap_is_found_with_its_vat() {
    let world = used();
    world.ok(&["deploy", "counter.js", "--name", "other"]);
    verify(&world, true);
    let heap = files(&world, "heap").remove(0);
    let at = flip(&heap);
    let damage = verify(&world, false)["damages"][0].clone();
    assert_eq!(damage["file"], relative(&world, &heap), "{damage}");
    assert_eq!(damage["vat"], "counter", "{damage}");
    let offset = damage["offset"].as_u64().expect("a number");
    assert!(offset <= at && at < offset + 4096, "{damage}, flipped {at}");
    assert_eq!(world.ok(&["call", "other", "incr"]), "1");
    assert_ne!(world.run(&["call", "counter", "incr"]).status, 0);
    let people = world.run(&["verify"]);
    assert!(people.out.contains("(vat counter)"), "{people:?}");
}

#[test]
fn a_store_too_damaged_to_open_is_reported_all_the_same() {
    for folder in ["journal", "engines"] {
        let world = used();
        for file in files(&world, folder) {
            flip(&file);
        }
        verify(&world, false);
    }
    let world = used();
    let catalog = world.data().join("catalog.redb");
    std::fs::write(&catalog, vec![0x5a; 1 << 16]).expect("writes");
    let damage = verify(&world, false)["damages"][0].clone();
    assert_eq!(damage["file"], "catalog.redb", "{damage}");
}

#[test]
fn verify_asks_the_running_host() {
    let world = used();
    let host = world.host();
    verify(&world, true);
    // A vat that runs goes on: its engine is in memory.
    world.ok(&["wake", "counter"]);
    for file in files(&world, "engines") {
        flip(&file);
    }
    verify(&world, false);
    assert_eq!(world.ok(&["call", "counter", "incr"]), "2");
    host.stop();
}

#[test]
fn a_damaged_engine_that_this_program_carries_is_written_again() {
    let world = used();
    for file in files(&world, "engines") {
        flip(&file);
    }
    let damages = verify(&world, false)["damages"].clone();
    assert_eq!(damages.as_array().map(Vec::len), Some(2), "{damages}");
    // The executable where a vat starts, the genesis image where one begins.
    let said = world.run(&["call", "counter", "incr"]);
    assert_eq!((said.status, said.out.trim()), (0, "2"), "{said:?}");
    assert!(said.err.contains("wrote it again"), "{said:?}");
    let said = world.run(&["deploy", "counter.js", "--name", "other"]);
    assert_eq!(said.status, 0, "{said:?}");
    assert!(said.err.contains("wrote it again"), "{said:?}");
    verify(&world, true);
    assert_eq!(world.ok(&["call", "other", "incr"]), "1");
}
