//! What things take: blocks on the disk, memory of a process, bytes written; and what the machine
//! is.
//!
//! Promises: disk use is what is allocated, not how long files are. A figure the system does not
//! give is an error, never a zero.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::Advice;

use crate::{BenchError, io_at};

/// Bytes of one block as `stat` counts them.
const BLOCK_BYTES: u64 = 512;

/// Kinds of file system, as `statfs` numbers them.
const FILE_SYSTEMS: [(i64, &str); 6] = [
    (0xEF53, "ext4"),
    (0x5846_5342, "xfs"),
    (0x9123_683E, "btrfs"),
    (TMPFS, "tmpfs"),
    (0x794C_7630, "overlayfs"),
    (0x2FC1_2FC1, "zfs"),
];
const TMPFS: i64 = 0x0102_1994;

/// Bytes allocated below a folder. Files that go away meanwhile count nothing.
pub fn disk_bytes(folder: &Path) -> Result<u64, BenchError> {
    let mut sum = 0;
    each_file(folder, &mut |_, meta| {
        sum += meta.blocks() * BLOCK_BYTES;
        Ok(())
    })?;
    Ok(sum)
}

/// Bytes allocated for one file.
pub fn file_bytes(path: &Path) -> Result<u64, BenchError> {
    let meta = fs::metadata(path).map_err(io_at("look at", path))?;
    Ok(meta.blocks() * BLOCK_BYTES)
}

/// Makes everything below a folder durable and lets the page cache forget it.
pub fn forget_cached(folder: &Path) -> Result<(), BenchError> {
    each_file(folder, &mut |path, meta| {
        if meta.is_file() {
            let file = fs::File::open(path).map_err(io_at("open", path))?;
            // Dirty pages are not forgotten.
            file.sync_all().map_err(io_at("sync", path))?;
            rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)
                .map_err(|error| io_at("let go of", path)(error.into()))?;
        }
        Ok(())
    })
}

fn each_file(
    folder: &Path,
    see: &mut dyn FnMut(&Path, &fs::Metadata) -> Result<(), BenchError>,
) -> Result<(), BenchError> {
    for entry in fs::read_dir(folder).map_err(io_at("read the folder", folder))? {
        let path = entry.map_err(io_at("read the folder", folder))?.path();
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => each_file(&path, see)?,
            Ok(meta) => see(&path, &meta)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_at("look at", &path)(error)),
        }
    }
    Ok(())
}

/// Bytes of memory a process has resident.
pub fn resident_bytes(pid: u32) -> Result<u64, BenchError> {
    let kib = proc_number(&format!("/proc/{pid}/status"), "VmRSS:")?;
    Ok(kib * 1024)
}

/// Bytes this process had its file systems write, as the kernel charges them.
pub fn written_bytes() -> Result<u64, BenchError> {
    proc_number("/proc/self/io", "write_bytes:")
}

fn proc_number(path: &str, name: &str) -> Result<u64, BenchError> {
    let text = fs::read_to_string(path).map_err(io_at("read", Path::new(path)))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| BenchError::Workload(format!("{path} has no `{name}`")))
}

/// Whether a folder is in memory, where a sync costs nothing and means nothing.
pub fn is_memory(folder: &Path) -> bool {
    kind(folder) == Some(TMPFS)
}

fn kind(folder: &Path) -> Option<i64> {
    #[allow(
        clippy::unnecessary_cast,
        reason = "the field's type is another on other machines"
    )]
    rustix::fs::statfs(folder)
        .ok()
        .map(|found| found.f_type as i64)
}

/// The machine in a few words.
pub fn machine(folder: &Path) -> String {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel.split('-').next().unwrap_or_default().trim();
    let kind = kind(folder);
    let name = FILE_SYSTEMS
        .iter()
        .find(|(number, _)| Some(*number) == kind);
    let name = name.map_or("another file system", |(_, name)| name);
    format!("{cpus} cpus, Linux {kernel}, {name}")
}
