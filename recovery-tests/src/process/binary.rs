//! Where the program under test is, built if it is missing or older than its sources.
//!
//! `cargo test --workspace` has built it already, for the host's own tests; alone, this crate's
//! tests build it themselves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// What the program is made of, relative to the workspace.
const SOURCES: [&str; 10] = [
    "store/src",
    "engine/build.rs",
    "engine/core/src",
    "engine/src",
    "engine/syntax/src",
    "engine/wire/src",
    "engine/worker/js",
    "engine/worker/src",
    "host/src",
    "Cargo.lock",
];

/// The path of `kenvat`, in the profile this test was built in.
pub fn kenvat() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let test = std::env::current_exe().expect("a test knows its own path");
        let profile = test
            .ancestors()
            .nth(2)
            .expect("tests lie in TARGET/PROFILE/deps");
        let binary = profile.join("kenvat");
        if is_stale(&binary) {
            build(profile);
        }
        assert!(binary.is_file(), "cargo built no {}", binary.display());
        binary
    })
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the workspace")
}

fn is_stale(binary: &Path) -> bool {
    let Ok(built) = fs::metadata(binary).and_then(|data| data.modified()) else {
        return true;
    };
    SOURCES
        .iter()
        .any(|source| newest(&workspace().join(source)) > Some(built))
}

/// When something below was last changed.
fn newest(path: &Path) -> Option<SystemTime> {
    let data = fs::metadata(path).ok()?;
    if data.is_file() {
        return data.modified().ok();
    }
    let entries = fs::read_dir(path).ok()?;
    entries
        .filter_map(|entry| newest(&entry.ok()?.path()))
        .max()
}

fn build(profile: &Path) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(workspace())
        .args(["build", "--locked", "-p", "kenvat"]);
    command
        .arg("--target-dir")
        .arg(profile.parent().expect("a profile lies in the target"));
    if profile.file_name().is_some_and(|name| name == "release") {
        command.arg("--release");
    }
    let status = command.status().expect("cargo starts");
    assert!(status.success(), "cargo could not build kenvat");
}
