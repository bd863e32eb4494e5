//! Files of others, which hold no infix `!`: each must come out as it went in.
//!
//! Reads the `.js` files of this workspace, of the npm packages this machine has, and those below
//! the folder that `KENVAT_JS_FILES` names. Skips with a notice what is not there.

use std::fs;
use std::path::{Path, PathBuf};

use crate::scan::{Scanner, Stop};
use std::borrow::Cow;

use crate::*;

/// Where package managers put npm packages for everybody.
const PACKAGES: [&str; 3] = [
    "/usr/lib/node_modules",
    "/usr/local/lib/node_modules",
    "/usr/share/nodejs",
];

/// Fewer files than this in the workspace mean that the wrong folder was read.
const OWN_FILES_MIN: usize = 5;

#[test]
fn a_file_without_an_infix_bang_comes_out_as_it_went_in() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let own = unchanged(&own);
    assert!(own >= OWN_FILES_MIN, "{own} files of the workspace");
    let asked = std::env::var_os("KENVAT_JS_FILES").map(PathBuf::from);
    if let Some(folder) = &asked {
        assert!(unchanged(folder) > 0, "no files in KENVAT_JS_FILES");
    }
    let found: usize = PACKAGES
        .iter()
        .map(|folder| unchanged(folder.as_ref()))
        .sum();
    println!("{own} files of the workspace, {found} of npm packages");
    if found == 0 && asked.is_none() {
        println!("skipped: no npm packages here; KENVAT_JS_FILES may name a folder of them");
    }
}

/// Tries every file below a folder; how many there were.
fn unchanged(folder: &Path) -> usize {
    let mut folders = vec![folder.to_owned()];
    let mut count = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            let name = entry.file_name();
            if kind.is_dir() && !["target", ".git"].iter().any(|skipped| name == **skipped) {
                folders.push(path);
            } else if kind.is_file() && is_javascript(&path) {
                count += usize::from(file_unchanged(&path));
            }
        }
    }
    count
}

fn is_javascript(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    matches!(ending, Some("js" | "mjs" | "cjs"))
}

fn file_unchanged(path: &Path) -> bool {
    let Ok(text) = fs::read(path) else {
        return false;
    };
    if sends(&text) {
        return false;
    }
    let name = path.to_string_lossy();
    let goal = match name.ends_with(".mjs") || name.ends_with(".module.js") {
        true => Goal::Module,
        false => Goal::Script,
    };
    let came_out = rewrite(&text, goal).unwrap_or_else(|error| {
        panic!(
            "{}:{}:{}: {error}",
            path.display(),
            error.line,
            error.column
        )
    });
    assert!(
        matches!(came_out.text, Cow::Borrowed(same) if same == text),
        "{} was changed",
        path.display()
    );
    // Left alone because it was understood, not because the scanner gave up.
    if let Err(Stop::Malformed(malformed, place)) = Scanner::new(&text, goal).run() {
        println!(
            "not read to its end: {}:{}: {malformed}",
            path.display(),
            place.line
        );
    }
    true
}

/// Our own programs for `!` say so in their first line.
fn sends(text: &[u8]) -> bool {
    let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    first.windows(7).any(|window| window == b"infix !")
}
