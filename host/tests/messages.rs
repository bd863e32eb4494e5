//! Messages that say what happened, where and what to do: stores that may not be used, too few
//! descriptors, hints only where they fit, logs whole at every seam.

mod common;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use common::World;
use rustix::process::geteuid;

/// A user who owns nothing here.
const NOBODY: u32 = 65_534;

fn set_mode(path: &std::path::Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("is ours");
}

/// Runs commands of the program as a user who may not use the store: another one, or, where this
/// user cannot become another one, the same without the folder's permissions.
struct Other {
    folder: tempfile::TempDir,
}

impl Other {
    fn new() -> Other {
        let folder = tempfile::tempdir().expect("a folder");
        set_mode(folder.path(), 0o755);
        // Others may not enter the folder the program was built in.
        let program = folder.path().join("kenvat");
        std::fs::copy(env!("CARGO_BIN_EXE_kenvat"), &program).expect("copies it");
        Other { folder }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn said(&self, args: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(self.folder.path().join("kenvat"));
        command.current_dir(self.folder.path());
        command.env("KENVAT_DATA", self.data()).args(args);
        if geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let output = command.output().expect("runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), text)
    }
}

#[test]
fn a_store_that_this_user_may_not_use_is_not_one_that_is_missing() {
    let other = Other::new();
    let world = World::new().with_data_at(other.data());
    world.ok(&["deploy", "counter.js", "--name", "counter"]);
    // A folder others may not enter, and one they may look at but not write.
    let modes: &[u32] = if geteuid().is_root() {
        &[0o700, 0o755]
    } else {
        &[0o000, 0o500]
    };
    for mode in modes {
        set_mode(&other.data(), *mode);
        for args in [
            &["ls"][..],
            &["show", "counter"],
            &["call", "counter", "incr"],
            &["host", "--listen", "127.0.0.1:0"],
        ] {
            let (status, text) = other.said(args);
            assert_eq!(status, Some(3), "{mode:o} {args:?}: {text}");
            assert!(
                text.contains("may not be used by this user"),
                "{args:?}: {text}"
            );
            assert!(
                !text.contains("no store") && !text.contains("verify"),
                "{args:?}: {text}"
            );
            let owner = format!("belongs to user {}", geteuid().as_raw());
            assert!(
                !geteuid().is_root() || text.contains(&owner),
                "{args:?}: {text}"
            );
        }
        let (status, text) = other.said(&["verify"]);
        assert_eq!(status, Some(3), "{mode:o}: {text}");
        let is_readable = mode == &0o500;
        let names = text.contains("may not be used by this user");
        assert!(
            is_readable || names && !text.contains("no store"),
            "{mode:o}: {text}"
        );
        set_mode(&other.data(), 0o700);
    }
    assert_eq!(world.ok(&["call", "counter", "incr"]), "1");
}

#[test]
fn too_few_descriptors_are_said_with_their_number_and_what_raises_it() {
    let world = World::new();
    world.ok(&["deploy", "counter.js", "--name", "counter"]);
    for files in [12, 16, 20, 30] {
        for args in [
            "call counter incr",
            "deploy counter.js --name c2",
            "host --listen 127.0.0.1:0",
        ] {
            let program = env!("CARGO_BIN_EXE_kenvat");
            let limited = format!("ulimit -n {files}; exec {program} {args}");
            let mut command = Command::new("sh");
            let model = world.command(&[]);
            command.current_dir(model.get_current_dir().expect("has one"));
            command
                .env("KENVAT_DATA", world.data())
                .args(["-c", &limited]);
            let output = command.output().expect("runs");
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(3), "{args}: {text}");
            let count = format!("only {files} files");
            assert!(
                text.contains(&count) && text.contains("ulimit -n"),
                "{args}: {text}"
            );
        }
    }
    assert_eq!(world.ok(&["call", "counter", "incr"]), "1");
}

#[test]
fn a_turn_that_undid_itself_is_not_told_of_limits() {
    let world = World::new().with(
        "a.js",
        "export default ({ abort }) => ({ no: () => abort('no'), loop: () => { for (;;); } });\n",
    );
    world.ok(&["deploy", "a.js", "--name", "a", "--limit", "gas=1_000_000"]);
    let said = world.run(&["call", "a", "no"]);
    assert_eq!(said.status, 1, "{said:?}");
    assert!(
        said.err.contains("undone: no") && !said.err.contains("limits"),
        "{said:?}"
    );
    // Where a limit has to do with it, it is.
    let said = world.run(&["call", "a", "loop"]);
    assert!(said.err.contains("kenvat limits"), "{said:?}");
}

#[test]
fn a_log_is_printed_in_whole_lines_and_characters() {
    const LINES: usize = 400;
    let world = World::new().with(
        "u.js",
        "export default () => ({ run(n) { for (let i = 0; i < n; i++) \
         console.log(`line ${i} ` + 'é€😀'.repeat(1000) + ` end ${i}`); return n; } });\n",
    );
    world.ok(&["deploy", "u.js", "--name", "u"]);
    world.ok(&["call", "u", "run", &LINES.to_string()]);
    let _host = world.host();
    for json in [false, true] {
        let text = match json {
            true => world.ok(&["--json", "logs", "u"]),
            false => world.ok(&["logs", "u"]),
        };
        assert_eq!(text.lines().count(), LINES);
        for (at, line) in text.lines().enumerate() {
            let is_whole = line.contains(&format!("line {at} é€😀"))
                && line.contains(&format!("😀 end {at}"))
                && !line.contains('\u{fffd}');
            assert!(is_whole, "{at}: {:.60}", line);
        }
    }
}

#[test]
fn verify_beside_a_call_that_has_the_store_names_it_and_no_damage() {
    let world = World::new();
    world.ok(&["deploy", "counter.js", "--name", "counter"]);
    let mut waiting = world.start(&["-v", "call", "counter", "wait"]);
    let pid = waiting.pid().to_string();
    let mut said = BufReader::new(waiting.child().stderr.take().expect("is piped")).lines();
    let opened = said.find(|line| line.as_ref().expect("is text").contains("no host runs"));
    opened.expect("is said").expect("is text");
    let said = world.run(&["verify"]);
    assert_eq!(said.status, 3, "{said:?}");
    assert!(
        said.err.contains(&format!("in use by process {pid}")),
        "{said:?}"
    );
    assert!(!said.err.contains("not what was written"), "{said:?}");
    waiting.kill();
    world.ok(&["verify"]);
}
