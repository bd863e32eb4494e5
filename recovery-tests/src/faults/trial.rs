//! Building with a fault in it and running the tests that must notice.
//!
//! Promises: a fault that does not compile, and a test that runs nothing, are told apart from one
//! that was noticed; a program that hangs is ended and counts as noticed.

use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::{Fault, Tree};

/// How long the tests of one fault may run. The slowest of them takes a tenth of it.
const TEST_TIME_MAX: Duration = Duration::from_secs(600);

/// What became of one fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A test failed for it, or did not end.
    Caught,
    /// All its tests passed.
    Survived,
    /// It says itself why no test can notice it.
    Equal,
    /// It could not be tried: it does not compile, or its test does not exist.
    Broken(String),
}

/// Runs cargo in a tree.
#[derive(Debug)]
pub struct Trial<'a> {
    tree: &'a Tree,
    cargo: std::ffi::OsString,
}

/// How a run of `cargo test` ended.
struct Ended {
    /// Nothing where it was ended for taking too long.
    succeeded: Option<bool>,
    output: String,
}

impl<'a> Trial<'a> {
    /// Trials in this tree, by the cargo that runs this program where that is known.
    pub fn new(tree: &'a Tree) -> Trial<'a> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        Trial { tree, cargo }
    }

    /// Whether the tests of a fault pass without it, and run at all.
    pub fn without(&self, fault: &Fault) -> io::Result<Verdict> {
        for test in &fault.tests {
            let ended = self.run(test, false)?;
            if ended.succeeded != Some(true) {
                let why = format!("{} fails without it:\n{}", test.join(" "), ended.output);
                return Ok(Verdict::Broken(why));
            }
            if tests_run(&ended.output) == 0 {
                let why = format!("{} runs no test", test.join(" "));
                return Ok(Verdict::Broken(why));
            }
        }
        Ok(Verdict::Survived)
    }

    /// What the tests of a fault say to it. The fault must be planted in the tree.
    pub fn with(&self, fault: &Fault) -> io::Result<Verdict> {
        if fault.tests.is_empty() {
            return Ok(Verdict::Equal);
        }
        for test in &fault.tests {
            let built = self.run(test, true)?;
            if built.succeeded != Some(true) {
                let why = format!("it does not compile:\n{}", built.output);
                return Ok(Verdict::Broken(why));
            }
            if self.run(test, false)?.succeeded != Some(true) {
                return Ok(Verdict::Caught);
            }
        }
        Ok(Verdict::Survived)
    }

    fn run(&self, test: &[String], only_build: bool) -> io::Result<Ended> {
        let mut cargo = Command::new(&self.cargo);
        cargo.arg("test").args(["--locked", "--quiet"]);
        if only_build {
            cargo.arg("--no-run");
        }
        cargo.args(test).current_dir(self.tree.sources());
        cargo.env("CARGO_TARGET_DIR", self.tree.target());
        cargo.stdin(Stdio::null()).stdout(Stdio::piped());
        // One stream would be in order, but two are read as easily and nothing depends on it.
        cargo.stderr(Stdio::piped());
        let limit = (!only_build).then_some(TEST_TIME_MAX);
        wait(cargo.spawn()?, limit)
    }
}

/// Waits for a process and what it writes; ends it when the time is over.
fn wait(mut child: Child, limit: Option<Duration>) -> io::Result<Ended> {
    let (say, heard) = mpsc::channel();
    let streams: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|out| Box::new(out) as _),
        child.stderr.take().map(|out| Box::new(out) as _),
    ];
    for mut stream in streams.into_iter().flatten() {
        let say = say.clone();
        thread::spawn(move || {
            let mut text = Vec::new();
            let read = stream.read_to_end(&mut text);
            // Whoever waits may have given up.
            let _ = say.send(read.map(|_| text));
        });
    }
    drop(say);
    let mut output = Vec::new();
    loop {
        let text = match limit {
            Some(limit) => heard.recv_timeout(limit),
            None => heard.recv().map_err(mpsc::RecvTimeoutError::from),
        };
        match text {
            Ok(text) => output.extend(text?),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                child.kill()?;
                child.wait()?;
                return Ok(Ended {
                    succeeded: None,
                    output: String::from_utf8_lossy(&output).into_owned(),
                });
            }
        }
    }
    let succeeded = Some(child.wait()?.success());
    let output = String::from_utf8_lossy(&output).into_owned();
    Ok(Ended { succeeded, output })
}

/// How many tests a run says that passed.
fn tests_run(output: &str) -> u64 {
    let results = output.lines().filter_map(|line| {
        let counts = line.strip_prefix("test result: ok. ")?;
        counts.split(" passed").next()?.parse::<u64>().ok()
    });
    results.sum()
}

#[cfg(test)]
mod tests {
    use super::tests_run;

    #[test]
    fn passed_tests_are_counted_over_all_binaries() {
        let output = "running 2 tests\n..\ntest result: ok. 2 passed; 0 failed\n\n\
                      test result: ok. 0 passed; 0 failed\ntest result: ok. 3 passed; 1 failed";
        assert_eq!(tests_run(output), 5);
        assert_eq!(tests_run(""), 0);
    }
}
