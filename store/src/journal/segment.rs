//! A segment: a file of preallocated sectors, made once, used again and again, never renamed.
//!
//! ```text
//!   0  magic "KVJOURNL"
//!   8  version: u32 LE
//!  12  number: u32 LE     its name in `journal/`, eight digits
//!  16  bytes: u64 LE      of the file
//!  24  store_id           16 bytes; a segment of another store is refused
//!  40  zeros
//! 508  crc: u32 LE        CRC-32 of bytes 0..508
//! 512  sectors
//! ```
//! Promises: a segment is registered in the catalog only after zeros and directory are synced (J5);
//! a file not registered was never used and may be removed.

use super::sector::SECTOR_BYTES;
use crate::backend::{Backend, File};
use crate::error::{Damage, OpenError};
use crate::write_throttle::{CHUNK_BYTES, WriteThrottle};
use std::io;
use std::sync::Arc;

/// The folder.
pub(crate) const JOURNAL_DIR: &str = "journal";
/// What this program writes.
pub(crate) const SEGMENT_VERSION: u32 = 1;
/// Where the first frame begins.
pub(crate) const FIRST_FRAME: u64 = SECTOR_BYTES as u64;
const MAGIC: &[u8; 8] = b"KVJOURNL";
const FOREIGN: &str = "a segment of another store";

/// An open segment.
#[derive(Debug)]
pub(crate) struct Segment<F> {
    pub number: u32,
    pub bytes: u64,
    pub file: Arc<F>,
}

impl<F> Clone for Segment<F> {
    fn clone(&self) -> Segment<F> {
        Segment {
            number: self.number,
            bytes: self.bytes,
            file: self.file.clone(),
        }
    }
}

/// The path of a segment.
pub(crate) fn path(number: u32) -> String {
    format!("{JOURNAL_DIR}/{number:08}")
}

/// The number a file in `journal/` has, if it is a segment's name.
pub(crate) fn number_of(name: &str) -> Option<u32> {
    let number = name.parse().ok()?;
    if format!("{number:08}") == name {
        Some(number)
    } else {
        None
    }
}

/// Makes a segment and makes it durable. The caller registers it afterwards.
pub(crate) fn create<B: Backend>(
    backend: &B,
    store_id: &[u8; 16],
    number: u32,
    bytes: u64,
) -> io::Result<Segment<B::File>> {
    settle(backend, fill(backend, store_id, number, bytes, None)?)
}

/// Writes the content of a segment, not durable yet. This step may find no space. With a throttle
/// the content goes to the disk in chunks; otherwise its sync would delay a commit for as long as
/// writing the whole segment takes.
pub(crate) fn fill<B: Backend>(
    backend: &B,
    store_id: &[u8; 16],
    number: u32,
    bytes: u64,
    throttle: Option<&WriteThrottle>,
) -> io::Result<Segment<B::File>> {
    let file = backend.create(&path(number))?;
    let zeros = vec![0; CHUNK_BYTES as usize];
    let mut at = SECTOR_BYTES as u64;
    file.write_at(0, &header(store_id, number, bytes))?;
    while at < bytes {
        let chunk = (bytes - at).min(CHUNK_BYTES) as usize;
        file.write_at(at, &zeros[..chunk])?;
        let end = at + chunk as u64;
        if let Some(throttle) = throttle {
            throttle.before(chunk as u64);
            // Writing back is a sync, so missing space is an error like others.
            file.write_back(at..end).map_err(io::Error::other)?;
        }
        at = end;
    }
    Ok(Segment {
        number,
        bytes,
        file: Arc::new(file),
    })
}

/// Makes the content and the directory entry durable.
pub(crate) fn settle<B: Backend>(
    backend: &B,
    segment: Segment<B::File>,
) -> io::Result<Segment<B::File>> {
    segment.file.sync_data()?;
    backend.sync_dir(JOURNAL_DIR)?;
    Ok(segment)
}

/// Opens a registered segment and checks that it is the right one.
pub(crate) fn open<B: Backend>(
    backend: &B,
    store_id: &[u8; 16],
    number: u32,
    bytes: u64,
) -> Result<Segment<B::File>, OpenError> {
    let path = path(number);
    let io_damage = |error: io::Error| {
        let what = match error.kind() {
            io::ErrorKind::NotFound => "the file is missing".to_owned(),
            _ => format!("cannot be read: {error}"),
        };
        OpenError::Damaged(Damage::new(&path, 0, what))
    };
    let file = backend.open(&path).map_err(io_damage)?;
    let found = file.len().map_err(io_damage)?;
    if found != bytes {
        let what = format!("the file has {found} bytes, not {bytes}");
        return Err(Damage::new(&path, found.min(bytes), what).into());
    }
    let mut sector = [0; SECTOR_BYTES];
    file.read_at(0, &mut sector).map_err(io_damage)?;
    check_header(&path, &sector, store_id, number, bytes)?;
    Ok(Segment {
        number,
        bytes,
        file: Arc::new(file),
    })
}

/// Refuses a file that is a segment of another store; anything else is fine.
pub(crate) fn refuse_foreign<B: Backend>(
    backend: &B,
    store_id: &[u8; 16],
    name: &str,
) -> Result<(), OpenError> {
    let path = format!("{JOURNAL_DIR}/{name}");
    let mut sector = [0; SECTOR_BYTES];
    let read = backend
        .open(&path)
        .and_then(|file| file.read_at(0, &mut sector));
    if read.is_ok() && has_right_crc(&sector) && sector.get(24..40) != Some(store_id) {
        return Err(Damage::new(path, 24, FOREIGN).into());
    }
    Ok(())
}

/// The segment size that holds frames of `sectors` sectors and an end after them.
pub(crate) fn bytes_for(sectors: usize, usual: u64) -> u64 {
    let needed = (sectors as u64 + 2) * SECTOR_BYTES as u64;
    usual.max(needed).next_multiple_of(SECTOR_BYTES as u64)
}

fn header(store_id: &[u8; 16], number: u32, bytes: u64) -> [u8; SECTOR_BYTES] {
    let mut sector = [0; SECTOR_BYTES];
    sector[..8].copy_from_slice(MAGIC);
    sector[8..12].copy_from_slice(&SEGMENT_VERSION.to_le_bytes());
    sector[12..16].copy_from_slice(&number.to_le_bytes());
    sector[16..24].copy_from_slice(&bytes.to_le_bytes());
    sector[24..40].copy_from_slice(store_id);
    let crc = crc32fast::hash(&sector[..508]);
    sector[508..].copy_from_slice(&crc.to_le_bytes());
    sector
}

fn has_right_crc(sector: &[u8; SECTOR_BYTES]) -> bool {
    sector.starts_with(MAGIC)
        && sector
            .split_last_chunk::<4>()
            .is_some_and(|(rest, crc)| crc32fast::hash(rest) == u32::from_le_bytes(*crc))
}

/// Says what is wrong with a header. The version is tested before the checksum, because a later
/// version may use another checksum.
pub(crate) fn check_header(
    path: &str,
    sector: &[u8; SECTOR_BYTES],
    store_id: &[u8; 16],
    number: u32,
    bytes: u64,
) -> Result<(), OpenError> {
    let expected = header(store_id, number, bytes);
    if *sector == expected {
        return Ok(());
    }
    if !sector.starts_with(MAGIC) {
        return Err(Damage::new(path, 0, "not a journal segment").into());
    }
    let crc_is_right = has_right_crc(sector);
    let version = sector
        .get(8..12)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u32::from_le_bytes);
    if let Some(version) = version.filter(|&version| crc_is_right && version != SEGMENT_VERSION) {
        return Err(OpenError::other_version(
            path,
            version.into(),
            SEGMENT_VERSION.into(),
        ));
    }
    if crc_is_right && sector.get(24..40) != Some(store_id) {
        return Err(Damage::new(path, 24, FOREIGN).into());
    }
    let at = sector
        .iter()
        .zip(&expected)
        .position(|(a, b)| a != b)
        .unwrap_or(0);
    Err(Damage::new(
        path,
        at as u64,
        "the segment's header is not what was written",
    )
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_refused_for_the_right_reason() {
        let good = header(&[1; 16], 3, 4096);
        let check = |sector: &[u8; SECTOR_BYTES]| check_header("s", sector, &[1; 16], 3, 4096);
        assert!(check(&good).is_ok());
        assert!(
            check_header("s", &good, &[2; 16], 3, 4096)
                .unwrap_err()
                .to_string()
                .contains("another store")
        );
        assert!(check_header("s", &good, &[1; 16], 4, 4096).is_err());
        for bit in 0..SECTOR_BYTES * 8 {
            let mut flipped = good;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(
                matches!(check(&flipped), Err(OpenError::Damaged(_))),
                "bit {bit}"
            );
        }
        for (version, word) in [(2u32, "newer"), (0, "older")] {
            let mut other = good;
            other[8..12].copy_from_slice(&version.to_le_bytes());
            let crc = crc32fast::hash(&other[..508]);
            other[508..].copy_from_slice(&crc.to_le_bytes());
            assert!(check(&other).unwrap_err().to_string().contains(word));
        }
    }

    #[test]
    fn names_have_one_reading() {
        assert_eq!(number_of("00000012"), Some(12));
        assert_eq!(number_of("12"), None);
        assert_eq!(number_of("+0000012"), None);
    }
}
