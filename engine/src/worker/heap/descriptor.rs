//! The two descriptors the host leaves open for the worker.

use std::os::fd::{FromRawFd, OwnedFd};

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
