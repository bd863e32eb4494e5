//! A vat goes on with the very worker it was born with, whatever this build's worker is (E2).

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::process::Command;

use kenvat_engine::WORKER;
use kenvat_engine::api::{Call, CallError, Deploy, VatInfo};
use kenvat_engine::shell::{Engine, EngineOptions, start};
use sha2::{Digest, Sha256};

const COUNTER: &str = "let n = 0; export const incr = () => ++n;";

/// The same worker built to lie elsewhere in memory and with other optimisation: a heap of the one
/// resumed by the other would crash at its first call.
fn other_worker() -> Vec<u8> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("other-worker");
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).env_clear();
    for (name, value) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let kept = ["PATH", "HOME", "CARGO_HOME"].contains(&&*text)
            || [
                "RUSTUP_",
                "CARGO_NET_",
                "CARGO_SOURCE_",
                "CARGO_REGISTR",
                "CARGO_HTTP_",
            ]
            .iter()
            .any(|prefix| text.starts_with(prefix));
        if kept {
            cargo.env(&name, &value);
        }
    }
    let flags = format!(
        "{}\x1f-Clink-arg=-Wl,{}=0x20000000",
        env!("KENVAT_WORKER_FLAGS"),
        // Rust links with its own lld on x86-64, and with GNU ld elsewhere.
        if cfg!(target_arch = "x86_64") {
            "--image-base"
        } else {
            "-Ttext-segment"
        }
    );
    let output = cargo
        .args([
            "build",
            "--locked",
            "--no-default-features",
            "--features",
            "worker",
        ])
        .args([
            "--bin",
            "kenvat-worker",
            "--profile",
            "worker",
            "--target",
            &triple,
        ])
        .arg("--target-dir")
        .arg(&folder)
        .env("KENVAT_INNER_BUILD", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        .env("CARGO_PROFILE_WORKER_LTO", "off")
        .env("CARGO_PROFILE_WORKER_CODEGEN_UNITS", "16")
        .env("CARGO_PROFILE_WORKER_OPT_LEVEL", "1")
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::read(folder.join(triple).join("worker/kenvat-worker")).expect("it was built")
}

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

/// What the vat's process really executes.
fn executes(info: &VatInfo) -> String {
    let pid = info.worker_pid.expect("it is awake");
    sha256(&std::fs::read(format!("/proc/{pid}/exe")).expect("its executable"))
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
    let other = other_worker();
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
    assert_eq!(
        (old.engine.as_str(), executes(&old)),
        (old_hash.as_str(), old_hash.clone())
    );
    assert_eq!(
        (new.engine.as_str(), executes(&new)),
        (new_hash.as_str(), new_hash.clone())
    );
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
