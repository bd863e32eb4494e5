//! `examples/embed.rs`, run and killed: what it printed is in its store, whenever it was killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

#[path = "../../../examples/embed.rs"]
#[allow(
    dead_code,
    reason = "its main reads the command line, which is the test runner's here"
)]
mod example;

/// Names the folder of the store to the process that is killed.
const DIR: &str = "KENVAT_TEST_EMBED_DIR";

/// Not a test of its own: the program that the test below kills.
#[test]
#[ignore = "run by the_example_goes_on_where_a_kill_left_it"]
fn the_example_until_it_is_killed() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    example::visit(Path::new(&dir), u64::MAX).expect("the book is signed");
}

/// Runs the example, kills it after it printed so many visits, and gives the visits it found and
/// the last one it printed.
fn run_and_kill(dir: &Path, after: usize) -> (u64, u64) {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["--exact", "embed::the_example_until_it_is_killed"])
        .args(["--ignored", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    let (mut found, mut last, mut printed) = (0, 0, 0);
    for line in BufReader::new(child.stdout.take().expect("is piped")).lines() {
        let line = line.expect("is text");
        if let Some(rest) = line.strip_prefix("a guest book with ") {
            let count = rest.strip_suffix(" visits").expect("a count");
            found = count.parse().expect("a number");
        } else if let Some(rest) = line.strip_prefix("signed: [") {
            last = rest
                .split(',')
                .next()
                .expect("a number")
                .parse()
                .expect("a number");
            printed += 1;
            if printed == after {
                child.kill().expect("is killed");
            }
        }
    }
    child.wait().expect("is reaped");
    assert!(printed >= after, "it ended after {printed} visits");
    (found, last)
}

#[test]
fn the_example_goes_on_where_a_kill_left_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("book");
    let mut before = 0;
    for after in [1, 20, 3, 50] {
        let (found, last) = run_and_kill(&dir, after);
        // One visit may have been durable and not printed yet.
        assert!(
            found == before || found == before + 1,
            "{found}, not {before}"
        );
        assert!(last >= found + after as u64, "{last} after {found}");
        before = last;
    }
    example::visit(&dir, 2).expect("ends by itself");
    let engine = kenvat_engine::Engine::open(&dir).expect("opens");
    let count: u64 = engine
        .call("book", "count", "[]")
        .expect("counts")
        .parse()
        .expect("a number");
    assert!(
        count == before + 2 || count == before + 3,
        "{count}, not {before} and 2"
    );
}
