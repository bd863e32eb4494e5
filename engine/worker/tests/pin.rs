//! A vat goes on with the very worker it was born with, whatever this build's worker is (E2).

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use kenvat_engine::WORKER;
use kenvat_engine::api::{Call, CallError, Deploy, VatInfo};
use kenvat_engine::{Engine, EngineOptions, start};
use kenvat_testing::worker::other_worker;
use sha2::{Digest, Sha256};

const COUNTER: &str = "let n = 0; export const incr = () => ++n;";

fn host(dir: &Path, worker: &[u8]) -> Engine {
    let mut options = EngineOptions::new(dir);
    options.worker = Cow::Owned(worker.to_vec());
    start(options).expect("a host starts")
}

fn deploy(engine: &Engine, name: &str) {
    let files = vec![("c.js".to_owned(), COUNTER.to_owned())];
    let deploy = Deploy {
        name: name.to_owned(),
        entry: "c.js".to_owned(),
        files,
        give: Vec::new(),
        deny: Vec::new(),
    };
    engine
        .deploy(deploy)
        .wait()
        .expect("answered")
        .expect("it deploys");
}

fn incr(engine: &Engine, vat: &str) -> Result<String, CallError> {
    let call = Call {
        vat: vat.to_owned(),
        method: "incr".to_owned(),
        args: "[]".to_owned(),
        key: None,
    };
    engine.call(call).wait().expect("answered")
}

fn show(engine: &Engine, vat: &str) -> VatInfo {
    engine
        .show(vat)
        .wait()
        .expect("answered")
        .expect("the vat exists")
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

    let engine = host(&dir, WORKER);
    deploy(&engine, "old");
    assert_eq!(incr(&engine, "old").unwrap(), "1");
    engine
        .stop()
        .wait()
        .expect("answered")
        .expect("a clean stop");

    let engine = host(&dir, &other);
    deploy(&engine, "new");
    assert_eq!(incr(&engine, "old").unwrap(), "2");
    assert_eq!(incr(&engine, "new").unwrap(), "1");
    let (old, new) = (show(&engine, "old"), show(&engine, "new"));
    for (info, hash) in [(&old, &old_hash), (&new, &new_hash)] {
        assert_eq!(info.engine, *hash);
        assert!(executes(info).is_none_or(|found| found == *hash));
    }
    engine
        .stop()
        .wait()
        .expect("answered")
        .expect("a clean stop");

    let engine = host(&dir, WORKER);
    assert_eq!(incr(&engine, "old").unwrap(), "3");
    assert_eq!(incr(&engine, "new").unwrap(), "2");
    engine
        .terminate("new")
        .wait()
        .expect("answered")
        .expect("it ends");
    assert!(
        engine_file(&dir, &new_hash).exists(),
        "kept while the host runs"
    );
    engine
        .stop()
        .wait()
        .expect("answered")
        .expect("a clean stop");
    assert!(
        !engine_file(&dir, &new_hash).exists(),
        "no vat names it any more"
    );
    assert!(engine_file(&dir, &old_hash).exists());
}
