//! The list of planted faults is about the program as it is.
//!
//! Trying them takes an hour (`plant-faults`); that each can still be planted takes no time, and
//! without this the list would rot in silence.

use std::fs;
use std::path::Path;

use kenvat_recovery_tests::faults::read_all;

/// Fewer mean that the wrong folder was read.
const FAULTS_MIN: usize = 40;

#[test]
fn each_fault_can_be_planted_at_one_place() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = here.parent().expect("the crate lies in the workspace");
    let faults = read_all(&here.join("faults")).expect("the list can be read");
    assert!(faults.len() >= FAULTS_MIN, "only {} faults", faults.len());
    let mut wrong = Vec::new();
    for fault in &faults {
        let text = fs::read_to_string(workspace.join(&fault.file)).unwrap_or_default();
        let times = text.matches(&fault.original).count();
        if times != 1 {
            wrong.push(format!("{}: {}: {times} times", fault.file, fault.name));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
