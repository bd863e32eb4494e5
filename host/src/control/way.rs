//! How a command that holds the store makes way for a host that wants it.
//!
//! Promises: a host that waits is seen by every command within `LOOK_EVERY`; one that is killed
//! while it waits is not. A call may wait for its answer for days, and would otherwise keep out the
//! host that is to answer it. Does not open or lock the store itself.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use tokio::time::sleep;

/// Locked by the host that waits; its content means nothing, and it is never removed, since a lock
/// on a removed file is one that nobody else sees.
const WAITING_NAME: &str = "host.waiting";

/// Between two looks of a command that could make way.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// While this lives, a host waits.
#[derive(Debug)]
pub struct Waiting(#[expect(dead_code, reason = "holds the lock until it is dropped")] File);

/// Says that this host waits; `None` where it cannot be said, and others will not make way.
pub fn announce(dir: &Path) -> Option<Waiting> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(dir.join(WAITING_NAME)).ok()?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(Waiting(file))
}

/// Whether a host waits for the store.
pub fn host_waits(dir: &Path) -> bool {
    let Ok(file) = File::open(dir.join(WAITING_NAME)) else {
        return false;
    };
    flock(&file, FlockOperation::NonBlockingLockShared).is_err()
}

/// Returns when a host waits.
pub async fn wanted(dir: &Path) {
    while !host_waits(dir) {
        sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_seen_for_as_long_as_it_waits() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(!host_waits(dir.path()));
        let waiting = announce(dir.path()).expect("nobody else waits");
        assert!(host_waits(dir.path()));
        assert!(announce(dir.path()).is_none());
        drop(waiting);
        assert!(!host_waits(dir.path()));
        assert!(announce(&dir.path().join("gone")).is_none());
    }
}
