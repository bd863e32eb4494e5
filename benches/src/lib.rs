//! Workloads the benches share: the raw disk, and a host with `examples/kv.js` in it.
//!
//! Both live in one folder under the target folder, so that they share one disk: a temporary folder
//! is often memory, where a sync costs nothing and means nothing.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use kenvat_engine::api::{Call, CallError, Deploy};
use kenvat_engine::shell::{Answer, Engine, EngineOptions, start};

/// Keys of the map that `kv.js` holds.
pub const KEYS: u64 = 1_000;

/// A folder on the disk this workspace is on.
pub fn folder() -> io::Result<tempfile::TempDir> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    std::fs::create_dir_all(&target)?;
    tempfile::Builder::new().prefix("bench-").tempdir_in(target)
}

/// What the disk itself takes: one preallocated file, overwritten in place and synced.
pub struct RawDisk {
    file: File,
    block: Vec<u8>,
    at: u64,
    length: u64,
}

impl RawDisk {
    /// Blocks of `bytes`, over and over a written file of 16 MiB.
    pub fn new(folder: &Path, bytes: usize) -> io::Result<RawDisk> {
        let path = folder.join(format!("raw-{bytes}"));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        let length = 16 << 20;
        file.write_all_at(&vec![0; length], 0)?;
        file.sync_all()?;
        Ok(RawDisk {
            file,
            block: vec![0x5a; bytes],
            at: 0,
            length: length as u64,
        })
    }

    /// One write and one sync.
    pub fn commit(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.block, self.at)?;
        rustix::fs::fdatasync(&self.file)?;
        self.at += self.block.len() as u64;
        if self.at + self.block.len() as u64 > self.length {
            self.at = 0;
        }
        Ok(())
    }
}

/// A host with vats named `kv0`, `kv1`, …, each filled with its keys.
pub struct Host {
    pub engine: Engine,
    _folder: tempfile::TempDir,
}

impl Host {
    /// # Panics
    /// If the host cannot be made: a bench has nothing to say then.
    pub fn with_vats(count: usize) -> Host {
        let folder = folder().expect("a folder under target");
        let engine = start(EngineOptions::new(folder.path().join("store"))).expect("a host starts");
        let source = std::fs::read_to_string(example("kv.js")).expect("examples/kv.js");
        for vat in 0..count {
            let deploy = Deploy {
                name: format!("kv{vat}"),
                entry: "kv.js".to_owned(),
                files: vec![("kv.js".to_owned(), source.clone())],
                give: vec![],
            };
            engine
                .deploy(deploy)
                .wait()
                .expect("answered")
                .expect("kv.js deploys");
            let fill: Vec<_> = (0..KEYS).map(|key| update(&engine, vat, key)).collect();
            for answer in fill {
                answer.wait().expect("answered").expect("an update");
            }
        }
        Host {
            engine,
            _folder: folder,
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // A bench that failed has its own error to show.
        let _ = self.engine.stop().wait();
    }
}

/// One `update(k, v)` on its way.
pub type Update = Answer<Result<String, CallError>>;

/// Sends one `update(k, v)`.
pub fn update(engine: &Engine, vat: usize, turn: u64) -> Update {
    engine.call(Call {
        vat: format!("kv{vat}"),
        method: "update".to_owned(),
        args: format!("[\"k{}\",{turn}]", turn % KEYS),
        key: None,
    })
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples")
        .join(name)
}
