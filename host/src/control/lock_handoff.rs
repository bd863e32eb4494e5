//! Lock hand-off: how a command that holds the store's lock learns that a host wants it.
//!
//! Promises: every command sees a host that waits within `POLL_EVERY`, and does not see one that
//! was killed while it waited. A call may wait for its answer for days, and would otherwise keep
//! out the host that is to answer it. Does not open or lock the store itself.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use tokio::time::sleep;

/// The host that waits holds a lock on this file. Its content means nothing. It is never removed,
/// because nobody else would see a lock on a removed file.
const REQUEST_NAME: &str = "host.waiting";

/// How often a command that holds the store checks for a request.
const POLL_EVERY: Duration = Duration::from_millis(100);

/// A host's request for the store; it stands while this value lives.
#[derive(Debug)]
pub struct HandoffRequest(#[expect(dead_code, reason = "holds the lock until it is dropped")] File);

/// Requests the store for this host; `None` where the request cannot be made, so that others will
/// not give up the store early.
pub fn request(dir: &Path) -> Option<HandoffRequest> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(dir.join(REQUEST_NAME)).ok()?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(HandoffRequest(file))
}

/// Whether a host requests the store.
pub fn is_requested(dir: &Path) -> bool {
    let Ok(file) = File::open(dir.join(REQUEST_NAME)) else {
        return false;
    };
    flock(&file, FlockOperation::NonBlockingLockShared).is_err()
}

/// Returns when a host requests the store.
pub async fn requested(dir: &Path) {
    while !is_requested(dir) {
        sleep(POLL_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_stands_for_as_long_as_its_host_waits() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(!is_requested(dir.path()));
        let standing = request(dir.path()).expect("nobody else waits");
        assert!(is_requested(dir.path()));
        assert!(request(dir.path()).is_none());
        drop(standing);
        assert!(!is_requested(dir.path()));
        assert!(request(&dir.path().join("gone")).is_none());
    }
}
