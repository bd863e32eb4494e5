//! The disk by itself: one `pwrite` and one `fdatasync` on blocks written before.
//!
//! Promises: nothing stands between the calls and the kernel, and the file is written and synced
//! before the first measurement, so that no block is allocated during one.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::spread::Spread;
use crate::{BenchError, Settings, io_at};

/// Bytes of the file that is written over and over, at least.
const FILE_BYTES: usize = 16 << 20;

/// The raw sync at which the figures to reach are stated, in microseconds.
pub const REFERENCE_US: f64 = 120.0;

/// How far a steady disk's medians, and its p90 from its p50, may be apart.
const WAVER_MAX: f64 = 1.6;

/// What the disk itself takes.
#[derive(Debug)]
pub struct RawDisk {
    file: File,
    block: Vec<u8>,
    at: u64,
    length: u64,
}

impl RawDisk {
    /// Blocks of `bytes` on a file in `folder`, which must not have one of this size yet.
    pub fn new(folder: &Path, bytes: usize) -> io::Result<RawDisk> {
        let path = folder.join(format!("raw-{bytes}"));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        let length = FILE_BYTES.max(bytes * 4);
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

    /// Many of them, one after the other.
    pub fn measure(&mut self, count: usize) -> io::Result<Spread> {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let begun = Instant::now();
            self.commit()?;
            times.push(begun.elapsed());
        }
        Ok(Spread::of_times(&times))
    }
}

/// The raw disk before and after a bench, in the same folder and at the same size; microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Raw {
    pub bytes: u64,
    pub before: Spread,
    pub after: Spread,
}

impl Raw {
    /// One write and sync, p50, in microseconds: the mean of before and after.
    pub fn p50(&self) -> f64 {
        f64::midpoint(self.before.p50, self.after.p50)
    }

    /// The same, p99.
    pub fn p99(&self) -> f64 {
        f64::midpoint(self.before.p99, self.after.p99)
    }

    /// Whether the disk was the same before and after, and steady: where it was not, other work
    /// stood between the clock and the disk, and figures against it mean little.
    pub fn is_steady(&self) -> bool {
        let (before, after) = (self.before, self.after);
        let moved = before.p50.max(after.p50) / before.p50.min(after.p50).max(1.0);
        let wide = |spread: Spread| spread.p90 > spread.p50 * WAVER_MAX;
        moved <= WAVER_MAX && !wide(before) && !wide(after)
    }

    /// What an absolute figure is multiplied with on this disk at this hour.
    pub fn scale(&self) -> f64 {
        self.p50() / REFERENCE_US
    }
}

/// A bench between two measurements of the disk.
#[derive(Debug)]
pub struct Beside {
    disk: RawDisk,
    bytes: u64,
    count: usize,
    before: Spread,
}

impl Beside {
    /// Measures the disk before.
    pub fn begin(settings: &Settings, folder: &Path, bytes: u64) -> Result<Beside, BenchError> {
        let count = settings.size(1_000, 20);
        let size = usize::try_from(bytes.max(512)).unwrap_or(FILE_BYTES);
        let told = || io_at("measure the disk in", folder);
        let mut disk = RawDisk::new(folder, size).map_err(told())?;
        let before = disk.measure(count).map_err(told())?;
        Ok(Beside {
            disk,
            bytes: size as u64,
            count,
            before,
        })
    }

    /// Measures the disk after.
    pub fn end(mut self, folder: &Path) -> Result<Raw, BenchError> {
        let after = self.disk.measure(self.count);
        Ok(Raw {
            bytes: self.bytes,
            before: self.before,
            after: after.map_err(io_at("measure the disk in", folder))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_wavers_is_told_from_a_steady_one() {
        let spread = |p50: f64, p90: f64| Spread {
            count: 9,
            p50,
            p90,
            p99: p90,
            max: p90,
        };
        let raw = |before, after| Raw {
            bytes: 512,
            before,
            after,
        };
        let steady = spread(120.0, 150.0);
        assert!(raw(steady, spread(140.0, 200.0)).is_steady());
        assert!(!raw(steady, spread(240.0, 260.0)).is_steady());
        assert!(!raw(spread(120.0, 4000.0), steady).is_steady());
    }
}
