//! The files in `engines/`: worker executables and their genesis images, kept while a vat is pinned
//! to them.
//!
//! Promises: an executable is returned only if its SHA-256 is its name; both files and their
//! entries are durable before the catalog names them; a file the catalog does not name is removed.

use crate::backend::{Backend, File, read_all};
use crate::catalog::table;
use crate::codec::EngineRecord;
use crate::error::{Damage, OpenError, StoreError};
use crate::genesis::{GENESIS_FILE_BYTES_MAX, Genesis};
use crate::ids::EngineHash;
use crate::options::ENGINE_BYTES_MAX;
use crate::space::CATALOG_STEP_BYTES;
use crate::store::Store;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

/// The folder.
pub(crate) const ENGINES_DIR: &str = "engines";

/// An engine the catalog names.
#[derive(Debug)]
pub(crate) struct Engine {
    pub record: EngineRecord,
    /// Read and checked when the first vat needs it.
    pub genesis: Option<Arc<Genesis>>,
}

impl Engine {
    pub(crate) fn new(record: EngineRecord) -> Engine {
        Engine {
            record,
            genesis: None,
        }
    }
}

/// What is known of an engine without reading its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineInfo {
    pub hash: EngineHash,
    pub executable_bytes: u64,
    pub genesis_pages: u32,
    pub genesis_sha256: [u8; 32],
}

/// An executable, ready to be read.
#[derive(Debug)]
pub struct EngineReading<B: Backend> {
    backend: B,
    hash: EngineHash,
    bytes: u64,
}

impl<B: Backend> EngineReading<B> {
    /// Reads it and checks it against its name.
    pub fn read(self) -> Result<Vec<u8>, StoreError> {
        let path = executable_path(self.hash);
        let bytes = read_file(&self.backend, &path, ENGINE_BYTES_MAX)?;
        if bytes.len() as u64 != self.bytes {
            let what = format!("{} bytes, not {}", bytes.len(), self.bytes);
            return Err(Damage::new(path, 0, what).into());
        }
        let found: [u8; 32] = Sha256::digest(&bytes).into();
        if found != self.hash.0 {
            return Err(Damage::new(path, 0, "the SHA-256 is not the file's name").into());
        }
        Ok(bytes)
    }
}

/// Why an engine was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    #[error("an executable of {bytes} bytes is larger than the {limit} allowed")]
    TooLarge { bytes: usize, limit: usize },
    /// The same executable came with another genesis image before: one of them is not its own (E4).
    #[error("engine {0} is known with another genesis image")]
    GenesisDiffers(EngineHash),
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub(crate) fn executable_path(hash: EngineHash) -> String {
    format!("{ENGINES_DIR}/{hash}")
}

pub(crate) fn genesis_path(hash: EngineHash) -> String {
    format!("{ENGINES_DIR}/{hash}.genesis")
}

impl<B: Backend> Store<B> {
    /// Stores an engine; a known one is left unchanged.
    pub fn put_engine(
        &mut self,
        executable: &[u8],
        genesis: &Genesis,
    ) -> Result<EngineHash, EngineError> {
        self.shared.latch.check()?;
        if executable.len() > ENGINE_BYTES_MAX {
            let bytes = executable.len();
            return Err(EngineError::TooLarge {
                bytes,
                limit: ENGINE_BYTES_MAX,
            });
        }
        let hash = EngineHash(Sha256::digest(executable).into());
        if let Some(known) = self.engines.get(&hash) {
            return match known.record.genesis_sha256 == genesis.sha256() {
                true => Ok(hash),
                false => Err(EngineError::GenesisDiffers(hash)),
            };
        }
        self.write_durable(&executable_path(hash), executable)?;
        self.write_durable(&genesis_path(hash), &genesis.encode())?;
        self.sync_engines()?;
        let record = EngineRecord {
            executable_bytes: executable.len() as u64,
            genesis_pages: genesis.page_count(),
            genesis_sha256: genesis.sha256(),
        };
        self.shared
            .catalog
            .write(|batch| batch.put_record(table::ENGINES, &hash.0, &record))?;
        let engine = Engine {
            record,
            genesis: Some(Arc::new(genesis.clone())),
        };
        self.engines.insert(hash, engine);
        Ok(hash)
    }

    /// Writes the executable of a known engine again, from identical bytes. A crash meanwhile
    /// leaves it damaged, as it was.
    pub fn repair_executable(&self, executable: &[u8]) -> Result<(), StoreError> {
        self.shared.latch.check()?;
        let hash = EngineHash(Sha256::digest(executable).into());
        if !self.engines.contains_key(&hash) {
            return Err(StoreError::UnknownEngine(hash));
        }
        self.write_durable(&executable_path(hash), executable)?;
        self.sync_engines()
    }

    /// The same for its genesis image.
    pub fn repair_genesis(
        &mut self,
        hash: EngineHash,
        genesis: &Genesis,
    ) -> Result<(), EngineError> {
        self.shared.latch.check()?;
        let known = self.engines.get(&hash).map(|engine| &engine.record);
        let known = known.ok_or(StoreError::UnknownEngine(hash))?;
        if known.genesis_sha256 != genesis.sha256() {
            return Err(EngineError::GenesisDiffers(hash));
        }
        self.write_durable(&genesis_path(hash), &genesis.encode())?;
        self.sync_engines()?;
        if let Some(engine) = self.engines.get_mut(&hash) {
            engine.genesis = Some(Arc::new(genesis.clone()));
        }
        Ok(())
    }

    fn sync_engines(&self) -> Result<(), StoreError> {
        let synced = self.shared.backend.sync_dir(ENGINES_DIR);
        synced.map_err(|error| self.shared.latch.io("sync", ENGINES_DIR, error))
    }

    fn write_durable(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let latch = &self.shared.latch;
        let write = || {
            let file = self.shared.backend.create(path)?;
            file.write_at(0, bytes)?;
            Ok(file)
        };
        let file = write().map_err(|error| latch.io_or_full("write", path, error))?;
        let synced = file.sync_data();
        synced.map_err(|error| latch.io("sync", path, error))
    }

    /// The executable, checked against its name.
    pub fn engine(&self, hash: EngineHash) -> Result<Vec<u8>, StoreError> {
        self.read_engine(hash)?.read()
    }

    /// The same, to be read on any thread.
    pub fn read_engine(&self, hash: EngineHash) -> Result<EngineReading<B>, StoreError> {
        self.shared.latch.check()?;
        let known = self.engines.get(&hash);
        Ok(EngineReading {
            backend: self.shared.backend.clone(),
            hash,
            bytes: known
                .ok_or(StoreError::UnknownEngine(hash))?
                .record
                .executable_bytes,
        })
    }

    /// Engines the store keeps.
    pub fn engines(&self) -> Vec<EngineInfo> {
        let info = |(&hash, engine): (&EngineHash, &Engine)| EngineInfo {
            hash,
            executable_bytes: engine.record.executable_bytes,
            genesis_pages: engine.record.genesis_pages,
            genesis_sha256: engine.record.genesis_sha256,
        };
        self.engines.iter().map(info).collect()
    }

    pub fn engine_known(&self, hash: EngineHash) -> bool {
        self.engines.contains_key(&hash)
    }

    /// Hash of the heap new vats of that engine begin with.
    pub fn genesis_sha256(&self, hash: EngineHash) -> Option<[u8; 32]> {
        self.engines
            .get(&hash)
            .map(|engine| engine.record.genesis_sha256)
    }

    /// Removes engines to which no vat is pinned, except those in `keep`. Returns what was removed.
    pub fn remove_unused_engines(
        &mut self,
        keep: &[EngineHash],
    ) -> Result<Vec<EngineHash>, StoreError> {
        self.shared.latch.check()?;
        let used: BTreeSet<EngineHash> = self.vats.values().map(|vat| vat.engine).collect();
        let is_unused = |hash: &&EngineHash| !used.contains(hash) && !keep.contains(hash);
        let unused: Vec<EngineHash> = self.engines.keys().filter(is_unused).copied().collect();
        if unused.is_empty() {
            return Ok(unused);
        }
        self.reserve_for_catalog(CATALOG_STEP_BYTES)?;
        // The rows go first: the next open removes a file that no row names, while a row without
        // its file would be damage.
        self.shared.catalog.write(|batch| {
            unused
                .iter()
                .try_for_each(|hash| batch.put(table::ENGINES, &hash.0, None))
        })?;
        for &hash in &unused {
            self.engines.remove(&hash);
            for path in [executable_path(hash), genesis_path(hash)] {
                match self.shared.backend.remove(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(self.shared.latch.io("remove", &path, error));
                    }
                    _ => {}
                }
            }
        }
        Ok(unused)
    }

    /// The genesis image, read and checked the first time.
    pub fn genesis(&mut self, hash: EngineHash) -> Result<Arc<Genesis>, OpenError> {
        let engine = self
            .engines
            .get_mut(&hash)
            .ok_or(StoreError::UnknownEngine(hash))?;
        if let Some(genesis) = &engine.genesis {
            return Ok(genesis.clone());
        }
        let path = genesis_path(hash);
        let bytes = read_file(&self.shared.backend, &path, GENESIS_FILE_BYTES_MAX)?;
        let genesis = Genesis::parse(&bytes, &path, &engine.record.genesis_sha256)?;
        let genesis = Arc::new(genesis);
        engine.genesis = Some(genesis.clone());
        Ok(genesis)
    }
}

/// Reads a file that must exist; any failure is damage of that file.
pub(crate) fn read_file<B: Backend>(
    backend: &B,
    path: &str,
    limit: usize,
) -> Result<Vec<u8>, StoreError> {
    let read = backend.open(path).and_then(|file| read_all(&file, limit));
    read.map_err(|error| {
        let what = match error.kind() {
            io::ErrorKind::NotFound => "the file is missing".to_owned(),
            _ => format!("cannot be read: {error}"),
        };
        Damage::new(path, 0, what).into()
    })
}
