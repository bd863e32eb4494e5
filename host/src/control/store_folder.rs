//! The store's folder before it is opened: whether a store is in it, and whether this process may
//! use it.
//!
//! Promises: a folder that this process may not look into is never taken for one without a store;
//! each error names the folder, its owner, and what to do. Changes nothing. Does not know what is
//! in a store's files.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Access, access};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit};

use crate::user_error::UserError;

/// Files and folders of a store of which at least one exists once a store was made.
const STORE_PARTS: [&str; 4] = ["catalog.redb", "journal", "heap", "engines"];

/// The store's lock file.
const LOCK_NAME: &str = "lock";

/// Open files without which no store and no worker can be had: 32 are just enough for one vat.
const FILES_MIN: u64 = 48;

/// Whether a store was made in `dir`; an error if that cannot be found out.
pub fn has_store(dir: &Path) -> Result<bool, UserError> {
    for part in STORE_PARTS {
        match fs::symlink_metadata(dir.join(part)) {
            Ok(_) => return Ok(true),
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(not_entered(dir, &error)),
        }
    }
    Ok(false)
}

/// Whether this process may write a store in `dir`, if it is there, and may open enough files.
pub fn check_access(dir: &Path) -> Result<(), UserError> {
    raise_file_limit()?;
    // A folder that is not there yet is made, and the error is that of making it.
    let own = Access::READ_OK | Access::WRITE_OK;
    for (path, needed) in [
        (dir.to_owned(), own | Access::EXEC_OK),
        (dir.join(LOCK_NAME), own),
    ] {
        match access(&path, needed) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(Errno::ROFS) => return Err(read_only(dir)),
            Err(error) => return Err(not_entered(dir, &error.into())),
        }
    }
    Ok(())
}

/// Raises the limit of open files as far as allowed. A limit too low for any work would show as an
/// error of whatever needs one file too many.
fn raise_file_limit() -> Result<(), UserError> {
    let limit = getrlimit(Resource::Nofile);
    // If this is refused, the old limit remains.
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let _ = setrlimit(Resource::Nofile, raised);
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if files >= FILES_MIN {
        return Ok(());
    }
    Err(UserError::host(
        format!(
            "this process may open only {files} files at a time; a store and one worker need \
             {FILES_MIN}"
        ),
        "raise the limit where kenvat is started, as in ulimit -n 1024",
    ))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// The error that the folder or its files cannot be used, with whose they are.
pub fn not_entered(dir: &Path, error: &io::Error) -> UserError {
    let whole = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let us = geteuid().as_raw();
    if error.kind() != io::ErrorKind::PermissionDenied {
        return UserError::host(
            format!("the store {} cannot be reached: {error}", whole.display()),
            "--data DIR names another",
        );
    }
    // The nearest folder that may be looked at says whose it is.
    let known = whole.ancestors().find_map(|path| {
        let owner = fs::metadata(path).ok()?.uid();
        Some((path.to_owned(), owner))
    });
    let (message, hint) = match known {
        Some((path, owner)) if owner != us => (
            format!(
                "the store {} may not be used by this user ({us}): {} belongs to user {owner}",
                whole.display(),
                path.display()
            ),
            "run kenvat as that user, or name another store with --data DIR",
        ),
        _ => (
            format!(
                "the store {} may not be used by this user ({us}): {error}",
                whole.display()
            ),
            "its folder and files must be readable and writable for their owner (chmod -R u+rwX)",
        ),
    };
    UserError::host(message, hint)
}

fn read_only(dir: &Path) -> UserError {
    UserError::host(
        format!(
            "the store {} is on a file system that may only be read",
            dir.display()
        ),
        "kenvat verify reads it; anything else needs it mounted for writing",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_a_store_and_one_that_is_not_there_have_none() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(!has_store(dir.path()).expect("may be looked into"));
        assert!(!has_store(&dir.path().join("missing")).expect("is not there"));
        fs::write(dir.path().join("file"), "").expect("writes");
        assert!(!has_store(&dir.path().join("file")).expect("is no folder"));
        fs::create_dir(dir.path().join("heap")).expect("makes it");
        assert!(has_store(dir.path()).expect("may be looked into"));
        check_access(dir.path()).expect("is ours");
    }
}
