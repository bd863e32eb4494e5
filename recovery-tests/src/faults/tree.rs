//! A copy of the workspace that faults are planted in.
//!
//! Promises: the workspace itself is never written to; a file that held a fault is as it was once
//! the guard is dropped.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Fault;

/// Folders that are no part of the sources.
const LEFT_OUT: [&str; 2] = ["target", ".git"];

/// The copy, with a target folder of its own beside it, so that a second run compiles less.
#[derive(Debug)]
pub struct Tree {
    sources: PathBuf,
    target: PathBuf,
}

/// Why a fault cannot be planted.
#[derive(Debug, thiserror::Error)]
pub enum PlantError {
    /// The file cannot be read or written.
    #[error("{file}: {source}")]
    Io {
        /// Which one, relative to the workspace.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// The text it changes is not there once: the program has changed since.
    #[error("the text to change stands {times} times in {file}, not once; look at it anew")]
    NotOnce {
        /// In which file.
        file: String,
        /// How often it stands there.
        times: usize,
    },
}

/// A planted fault. Dropped, it is taken out again.
#[derive(Debug)]
pub struct Planted {
    path: PathBuf,
    sound: String,
}

impl Tree {
    /// Copies the sources of `workspace` to `folder`, or brings an older copy up to date. Files
    /// that have not changed keep their time, so that cargo compiles nothing for them.
    pub fn of(workspace: &Path, folder: &Path) -> io::Result<Tree> {
        let tree = Tree {
            sources: folder.join("sources"),
            target: folder.join("target"),
        };
        copy(workspace, &tree.sources)?;
        Ok(tree)
    }

    /// Where cargo is to run.
    pub fn sources(&self) -> &Path {
        &self.sources
    }

    /// Where it is to build.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Plants a fault.
    pub fn plant(&self, fault: &Fault) -> Result<Planted, PlantError> {
        let path = self.sources.join(&fault.file);
        let failed = |source| PlantError::Io {
            file: fault.file.clone(),
            source,
        };
        let sound = fs::read_to_string(&path).map_err(failed)?;
        let times = sound.matches(&fault.original).count();
        if times != 1 {
            let file = fault.file.clone();
            return Err(PlantError::NotOnce { file, times });
        }
        let text = sound.replacen(&fault.original, &fault.planted, 1);
        fs::write(&path, text).map_err(failed)?;
        Ok(Planted { path, sound })
    }
}

impl Drop for Planted {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.path, &self.sound) {
            // The next run copies the sound file again.
            eprintln!("{}: {error}; the fault is still in it", self.path.display());
        }
    }
}

/// Makes `to` a copy of `from`: what differs is written, what is too much is removed.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        let origin = from.join(entry.file_name());
        if origin.is_dir() != entry.path().is_dir() || !origin.exists() {
            match entry.path().is_dir() {
                true => fs::remove_dir_all(entry.path())?,
                false => fs::remove_file(entry.path())?,
            }
        }
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let copied = to.join(&name);
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if !LEFT_OUT.iter().any(|out| name == *out) {
                copy(&entry.path(), &copied)?;
            }
        } else if kind.is_file() {
            let text = fs::read(entry.path())?;
            if !fs::read(&copied).is_ok_and(|found| found == text) {
                fs::write(&copied, text)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{PlantError, Tree};
    use crate::faults::Fault;
    use std::fs;

    #[test]
    fn a_fault_is_planted_once_and_taken_out_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let origin = folder.path().join("origin");
        fs::create_dir_all(origin.join("target")).expect("folders");
        fs::write(origin.join("target/x"), "built").expect("a file");
        fs::write(origin.join("a.rs"), "one two two").expect("a file");
        let tree = Tree::of(&origin, &folder.path().join("copy")).expect("a copy");
        assert!(!tree.sources().join("target").exists());
        let mut fault = Fault {
            name: "one is none".to_owned(),
            file: "a.rs".to_owned(),
            tests: Vec::new(),
            equal: None,
            original: "one".to_owned(),
            planted: "none".to_owned(),
        };
        let read = || fs::read_to_string(tree.sources().join("a.rs")).expect("the file");
        let planted = tree.plant(&fault).expect("it stands there once");
        assert_eq!(read(), "none two two");
        drop(planted);
        assert_eq!(read(), "one two two");
        fault.original = "two".to_owned();
        let error = tree.plant(&fault).expect_err("it stands there twice");
        assert!(matches!(error, PlantError::NotOnce { times: 2, .. }));
        assert_eq!(
            fs::read(origin.join("a.rs")).expect("the origin"),
            b"one two two"
        );
    }
}
