//! A vat's source files, collected from disk: the entry and what it imports by relative paths.
//!
//! Promises: paths are `/`-separated, without `.` and `..`, relative to the entry's folder, or to
//! the nearest folder above it that holds them all; a missing import is no error here, since only
//! the worker can say on which line it stands. Sizes are checked before a file is read. Does not
//! understand JavaScript: `kenvat_syntax::imports` reads it.

pub mod names;
mod point;

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use kenvat_syntax::imports;

use crate::user_error::UserError;

/// Bytes of all source files of a vat.
pub const SOURCE_BYTES_MAX: u64 = 16 << 20;

/// Source files of a vat.
pub const SOURCE_FILES_MAX: usize = 4096;

/// A vat's program as the engine takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    pub entry: String,
    /// Sorted by path.
    pub files: Vec<(String, String)>,
}

/// Reads `file` and everything it reaches by relative imports.
pub fn collect(file: &Path) -> Result<Sources, UserError> {
    let entry = locate(file)?;
    let mut found: BTreeMap<PathBuf, String> = BTreeMap::new();
    let mut waiting = VecDeque::from([entry.clone()]);
    let mut room = SOURCE_BYTES_MAX;
    while let Some(path) = waiting.pop_front() {
        if found.contains_key(&path) || !path.is_file() {
            continue;
        }
        if found.len() == SOURCE_FILES_MAX {
            return Err(UserError::usage(
                format!(
                    "{} imports more than {SOURCE_FILES_MAX} files",
                    entry.display()
                ),
                "bundle them into one file",
            ));
        }
        let text = read(&path, &mut room)?;
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        let named = imports::specifiers(&text);
        let is_relative = |name: &&String| name.starts_with("./") || name.starts_with("../");
        let relative = named.iter().filter(is_relative);
        waiting.extend(relative.map(|specifier| normal(&folder.join(specifier))));
        found.insert(path, text);
    }
    rebase(&entry, found)
}

/// The entry's path, absolute and free of links in its folder, so that `..` means what it says.
fn locate(file: &Path) -> Result<PathBuf, UserError> {
    if file.extension().is_some_and(|extension| extension == "ts") {
        let message = format!("{} is TypeScript, and vats run JavaScript", file.display());
        let hint = "compile it first (tsc, esbuild) and give the .js file";
        return Err(UserError::usage(message, hint));
    }
    if file.is_dir() {
        return Err(UserError::usage(
            format!("{} is a folder", file.display()),
            "give the file whose default export makes the vat",
        ));
    }
    let folder = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let entry = folder
        .canonicalize()
        .ok()
        .zip(file.file_name())
        .map(|(dir, name)| dir.join(name));
    match entry {
        Some(entry) if entry.is_file() => Ok(entry),
        _ => Err(missing(file)),
    }
}

fn missing(file: &Path) -> UserError {
    let whole = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let message = format!("there is no file {}", whole.display());
    let beside = file.with_extension("js");
    let hint = if beside != file && beside.is_file() {
        format!("did you mean {}?", beside.display())
    } else {
        "give the path of the vat's JavaScript file".to_owned()
    };
    UserError::usage(message, &hint)
}

/// Reads one file, of which `room` is left for all.
fn read(path: &Path, room: &mut u64) -> Result<String, UserError> {
    let unreadable = |error: std::io::Error| {
        UserError::usage(format!("{} cannot be read: {error}", path.display()), "")
    };
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(*room + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    *room = room.checked_sub(bytes.len() as u64).ok_or_else(|| {
        UserError::usage(
            format!(
                "{} and what it comes with are over {SOURCE_BYTES_MAX} bytes",
                path.display()
            ),
            "give data to the vat by calls, not as source",
        )
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let (line, start) = kenvat_syntax::line_of(error.as_bytes(), offset);
        let before = error.as_bytes().get(start..offset).unwrap_or_default();
        let column = String::from_utf8_lossy(before).chars().count() + 1;
        UserError::usage(
            format!(
                "{} is not UTF-8: byte {offset} begins no character (line {line}, column {column})",
                path.display()
            ),
            "save it as UTF-8; a lone surrogate is written '\\ud800'",
        )
    })
}

/// Names files by their paths from the deepest folder that holds the entry's folder and all files.
fn rebase(entry: &Path, found: BTreeMap<PathBuf, String>) -> Result<Sources, UserError> {
    let mut base = entry.parent().unwrap_or(Path::new("/"));
    while !found.keys().all(|path| path.starts_with(base)) {
        let Some(above) = base.parent() else { break };
        base = above;
    }
    let mut files = Vec::with_capacity(found.len());
    for (path, text) in &found {
        files.push((key(path, base)?, text.clone()));
    }
    files.sort();
    Ok(Sources {
        entry: key(entry, base)?,
        files,
    })
}

fn key(path: &Path, base: &Path) -> Result<String, UserError> {
    let inside = path.strip_prefix(base).unwrap_or(path);
    inside.to_str().map(str::to_owned).ok_or_else(|| {
        UserError::usage(
            format!("the file name {} is not UTF-8", path.display()),
            "rename it",
        )
    })
}

/// The path without `.` and `..`, which are resolved by the names alone, as module names are.
fn normal(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                parts.pop();
            }
            Component::CurDir => {}
            other => parts.push(other),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, files: &[(&str, &[u8])]) {
        for (name, text) in files {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().expect("has a folder")).expect("makes it");
            fs::write(path, text).expect("writes");
        }
    }

    fn keys(sources: &Sources) -> Vec<&str> {
        sources
            .files
            .iter()
            .map(|(path, _)| path.as_str())
            .collect()
    }

    #[test]
    fn imports_are_followed_and_named_from_the_entry() {
        let dir = tempfile::tempdir().expect("a folder");
        let a = b"import x from './lib/b.js'; import 'left-pad'; import './gone.js'" as &[u8];
        let b = b"export * from '../c.js'; export { z } from \"./b.js\"" as &[u8];
        write(
            dir.path(),
            &[
                ("a.js", a),
                ("lib/b.js", b),
                ("c.js", b""),
                ("unused.js", b""),
            ],
        );
        let sources = collect(&dir.path().join("a.js")).expect("collects");
        assert_eq!(sources.entry, "a.js");
        assert_eq!(keys(&sources), ["a.js", "c.js", "lib/b.js"]);
    }

    #[test]
    fn imports_above_the_entry_move_the_base_up() {
        let dir = tempfile::tempdir().expect("a folder");
        let entry = b"import '../../shared/s.js'" as &[u8];
        write(dir.path(), &[("x/vats/a.js", entry), ("shared/s.js", b"")]);
        let sources = collect(&dir.path().join("x/vats/a.js")).expect("collects");
        assert_eq!(sources.entry, "x/vats/a.js");
        assert_eq!(keys(&sources), ["shared/s.js", "x/vats/a.js"]);
    }

    #[test]
    fn links_are_followed_under_their_own_names() {
        let dir = tempfile::tempdir().expect("a folder");
        write(
            dir.path(),
            &[("real/b.js", b"1"), ("a.js", b"import './link.js'")],
        );
        std::os::unix::fs::symlink("real/b.js", dir.path().join("link.js")).expect("links");
        let sources = collect(&dir.path().join("a.js")).expect("collects");
        assert_eq!(keys(&sources), ["a.js", "link.js"]);
    }

    #[test]
    fn bad_entries_are_refused_with_what_is_wrong() {
        let dir = tempfile::tempdir().expect("a folder");
        write(
            dir.path(),
            &[("a.ts", b""), ("b.js", b"ok\xff"), ("c.js", b"")],
        );
        let said = |name: &str| collect(&dir.path().join(name)).expect_err("refused");
        assert!(said("a.ts").message.contains("TypeScript"));
        assert!(
            said("b.js").message.contains("byte 2"),
            "{:?}",
            said("b.js")
        );
        assert!(said("c").hint.contains("c.js"), "{:?}", said("c"));
        assert!(said("").message.contains("folder"));
        assert!(said("no/where.js").message.contains("no/where.js"));
    }

    #[test]
    fn sources_past_the_limit_are_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        write(dir.path(), &[("a.js", b"import './b.js'")]);
        let large = fs::File::create(dir.path().join("b.js")).expect("makes it");
        large.set_len(SOURCE_BYTES_MAX).expect("grows");
        let said = collect(&dir.path().join("a.js")).expect_err("refused");
        assert!(said.message.contains("16777216"), "{said:?}");
    }
}
