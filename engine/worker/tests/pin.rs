//! A vat goes on with the very worker it was born with, whatever this build's worker is (E2).

use std::path::{Path, PathBuf};

use kenvat_engine::api::VatInfo;
use kenvat_engine::{Engine, WORKER};
use kenvat_testing::engine::{Ask, open};
use kenvat_testing::worker::other_worker;
use sha2::{Digest, Sha256};

const COUNTER: &str = "let n = 0; export const incr = () => ++n;";

fn with_worker(dir: &Path, worker: &[u8]) -> Engine {
    open(dir, |options| options.worker = worker.to_vec().into())
}

/// What the vat's process really executes; `None` where that cannot be seen, as workers let nobody
/// but root look into them.
fn executes(info: &VatInfo) -> Option<String> {
    let pid = info.worker_pid.expect("it is awake");
    match std::fs::read(format!("/proc/{pid}/exe")) {
        Ok(bytes) => Some(sha256(&bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            eprintln!("what a worker executes is shown to root only: not tried");
            None
        }
        Err(error) => panic!("read a worker's executable: {error}"),
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn engine_file(dir: &Path, hash: &str) -> PathBuf {
    dir.join("engines").join(hash)
}

#[test]
fn an_old_vat_goes_on_with_its_worker_and_a_new_one_gets_the_new() {
    // A heap of the one resumed by the other would crash at its first call.
    let other = other_worker("");
    let (old_hash, new_hash) = (sha256(WORKER), sha256(&other));
    assert_ne!(old_hash, new_hash);
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("store");

    let engine = with_worker(&dir, WORKER);
    engine.deploy("old", COUNTER).expect("it deploys");
    assert_eq!(engine.call("old", "incr", "[]").unwrap(), "1");
    engine.stop().expect("a clean stop");

    let engine = with_worker(&dir, &other);
    engine.deploy("new", COUNTER).expect("it deploys");
    assert_eq!(engine.call("old", "incr", "[]").unwrap(), "2");
    assert_eq!(engine.call("new", "incr", "[]").unwrap(), "1");
    let (old, new) = (engine.info("old"), engine.info("new"));
    for (info, hash) in [(&old, &old_hash), (&new, &new_hash)] {
        assert_eq!(info.engine, *hash);
        assert!(executes(info).is_none_or(|found| found == *hash));
    }
    engine.stop().expect("a clean stop");

    let engine = with_worker(&dir, WORKER);
    assert_eq!(engine.call("old", "incr", "[]").unwrap(), "3");
    assert_eq!(engine.call("new", "incr", "[]").unwrap(), "2");
    engine
        .handle()
        .terminate("new")
        .wait()
        .expect("answered")
        .expect("it ends");
    assert!(
        engine_file(&dir, &new_hash).exists(),
        "kept while the host runs"
    );
    engine.stop().expect("a clean stop");
    assert!(
        !engine_file(&dir, &new_hash).exists(),
        "no vat names it any more"
    );
    assert!(engine_file(&dir, &old_hash).exists());
}
