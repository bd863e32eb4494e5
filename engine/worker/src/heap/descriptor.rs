//! The descriptors the host leaves open for the worker, and what becomes of all others.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Where there is no close_range (before Linux 5.9), numbers up to this are closed one by one; the
/// host's limit on a worker's descriptors lies below.
const NUMBER_MAX: RawFd = 1024;

/// Takes over an inherited descriptor; `None` when nothing is open there.
pub fn inherit(number: i32) -> Option<OwnedFd> {
    // SAFETY: fcntl with F_GETFD touches no memory and fails on a number that is not open.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return None;
    }
    // SAFETY: open, and inherited across exec: nothing in this process owns it. The worker takes
    // each number once.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Closes every descriptor but these.
pub fn close_all_but(mut kept: Vec<RawFd>) -> io::Result<()> {
    kept.sort_unstable();
    let mut first = 0;
    for number in kept {
        if first < number {
            close_numbers(first, number - 1)?;
        }
        first = number + 1;
    }
    close_numbers(first, RawFd::MAX)
}

fn close_numbers(first: RawFd, last: RawFd) -> io::Result<()> {
    // SAFETY: nothing in this process owns any of them: the caller names those in use.
    let closed = unsafe { libc::close_range(first.cast_unsigned(), last.cast_unsigned(), 0) };
    if closed == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() != Some(libc::ENOSYS) {
        return Err(error);
    }
    for number in first..=last.min(NUMBER_MAX) {
        // SAFETY: as above. Most are not open, which closing says and we may ignore.
        unsafe { libc::close(number) };
    }
    Ok(())
}
