//! What turns, starts and vats cost: the workloads of `kenvat bench`, each beside the raw disk.
//!
//! Promises: every bench works in a fresh folder and takes it away; each line says what the raw
//! disk took before and after it in the same run; counts (syncs, frames, bytes, pages) are exact,
//! times are of this machine at this hour. Does not print: `table` and `plot` give text to whoever
//! does.
//!
//! Code map: `bench/` one file a bench; `engine` a host in this process and its load; `child` a
//! host in a process of its own that can be killed, `control` how it is asked; `steps` what the
//! engine's trace says of each call; `raw` the disk by itself; `spread` percentiles; `record` the
//! lines and the figures to reach; `table`, `plot` the two ways to show them.
#![forbid(unsafe_code)]

mod bench;
pub mod child;
pub mod control;
pub mod engine;
pub mod plot;
pub mod raw;
pub mod record;
pub mod room;
pub mod spread;
pub mod steps;
pub mod table;

use std::io;
use std::path::{Path, PathBuf};

pub use crate::bench::Bench;
use crate::record::Line;

/// What a run may use.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Fresh folders are made inside; on the disk that is measured.
    pub dir: PathBuf,
    /// The `kenvat` executable, for hosts that are to be killed.
    pub program: PathBuf,
    /// The smallest run that exercises everything: its counts are true, its times are not.
    pub quick: bool,
}

impl Settings {
    /// A fresh folder for one bench.
    pub fn folder(&self) -> Result<tempfile::TempDir, BenchError> {
        tempfile::Builder::new()
            .prefix("kenvat-bench-")
            .tempdir_in(&self.dir)
            .map_err(io_at("make a folder in", &self.dir))
    }

    /// The full size, or the quick one.
    pub fn size<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

/// Who is told how far a run is.
pub trait Progress {
    /// Something begins that has so many steps; 0 when that is not known.
    fn begin(&mut self, what: &str, steps: u64);
    /// So many steps more are done.
    fn step(&mut self, by: u64);
}

/// Tells nobody.
#[derive(Debug)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&mut self, _: &str, _: u64) {}
    fn step(&mut self, _: u64) {}
}

/// Runs one bench; its lines say what came out.
pub fn run(
    bench: Bench,
    settings: &Settings,
    progress: &mut dyn Progress,
) -> Result<Vec<Line>, BenchError> {
    let mut lines = bench.run(settings, progress)?;
    for line in &mut lines {
        line.sign(bench, settings);
    }
    Ok(lines)
}

/// Why a bench has nothing to say.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    #[error("{context}: {source}")]
    Io { context: String, source: io::Error },
    /// A host in this process did not do what it was asked.
    #[error("the host of the bench failed: {0}")]
    Engine(String),
    /// A host in a process of its own did not.
    #[error("the host that `kenvat bench` started failed: {0}")]
    Child(String),
    /// The workload did not come out as it must for its figures to mean anything.
    #[error("the bench went wrong: {0}")]
    Workload(String),
    #[error("the plot could not be drawn: {0}")]
    Plot(String),
}

pub(crate) fn io_at(what: &str, path: &Path) -> impl FnOnce(io::Error) -> BenchError {
    let context = format!("{what} {}", path.display());
    move |source| BenchError::Io { context, source }
}
