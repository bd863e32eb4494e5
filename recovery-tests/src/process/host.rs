//! A store in a folder of its own, and the host that serves it.
//!
//! Promises: nothing outlives its test; a start returns when the host serves; a kill is SIGKILL and
//! returns when the process is gone.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::binary::kenvat;
use super::control::Control;

/// A folder with a store to be, and the program run on it.
#[derive(Debug)]
pub struct Store {
    folder: TempDir,
}

impl Store {
    pub fn new() -> Store {
        Store {
            folder: tempfile::tempdir().expect("a folder of our own"),
        }
    }

    /// The store's folder.
    pub fn dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Writes a source file beside the store; its path.
    pub fn source(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("the folder is ours");
        path
    }

    /// The program on this store.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(kenvat());
        command.arg("--data").arg(self.dir()).args(args);
        command
            .env_remove("KENVAT_DATA")
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command that must succeed; what it printed, without the last newline.
    pub fn ok(&self, args: &[&str]) -> String {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(args).output().expect("it starts");
        let errors = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "{args:?}: {status}: {errors}");
        String::from_utf8(stdout)
            .expect("text")
            .trim_end()
            .to_owned()
    }

    /// Makes a vat through a host or without one.
    pub fn deploy(&self, name: &str, source: &Path) {
        self.ok(&[
            "deploy",
            source.to_str().expect("a plain path"),
            "--name",
            name,
        ]);
    }

    /// What its hosts said on stderr, all of them.
    pub fn errors(&self) -> String {
        fs::read_to_string(self.errors_file()).unwrap_or_default()
    }

    fn errors_file(&self) -> PathBuf {
        self.folder.path().join("errors")
    }

    /// Starts a host; returns when it serves.
    pub fn serve(&self) -> HostProcess {
        self.serve_under(&[])
    }

    /// The same with the program started by another one: `strace` and its options, say.
    pub fn serve_under(&self, wrapper: &[&OsStr]) -> HostProcess {
        let host = self.command(&["--json", "host", "--listen", "127.0.0.1:0"]);
        let mut command = match wrapper {
            [] => host,
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command
                    .args(rest)
                    .arg(host.get_program())
                    .args(host.get_args());
                command.env_remove("KENVAT_DATA").stdin(Stdio::null());
                command
            }
        };
        // A file, since nobody reads a pipe while the host runs, and a full one would stop it.
        let errors = self.errors_file();
        let file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&errors);
        command
            .stdout(Stdio::piped())
            .stderr(file.expect("the folder is ours"));
        let mut child = command.spawn().expect("it starts");
        let mut first = String::new();
        let out = child.stdout.take().expect("is piped");
        BufReader::new(out)
            .read_line(&mut first)
            .expect("its output is text");
        if first.is_empty() {
            let _ = child.wait();
            panic!("the host does not serve: {}", self.errors());
        }
        let report: Value = serde_json::from_str(&first).expect("its report is JSON");
        let pid = report["pid"]
            .as_u64()
            .and_then(|pid| u32::try_from(pid).ok());
        let pid = pid.expect("the report names the process");
        HostProcess {
            child,
            pid,
            dir: self.dir(),
        }
    }
}

impl Default for Store {
    fn default() -> Store {
        Store::new()
    }
}

/// A host that serves. Killed when dropped.
#[derive(Debug)]
pub struct HostProcess {
    child: Child,
    pid: u32,
    dir: PathBuf,
}

impl HostProcess {
    /// The process that serves; under a wrapper it is not the one that was started.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// A connection to it.
    pub fn connect(&self) -> Control {
        Control::connect(&self.dir).expect("it serves")
    }

    /// SIGKILL; returns when it is gone, with its lock on the store.
    pub fn kill(&mut self) {
        self.end();
    }

    /// Asks it to end, as a person would with Ctrl-C, and waits until it is gone.
    pub fn ask_to_stop(&mut self) {
        signal(self.pid, rustix::process::Signal::TERM);
        self.child.wait().expect("it is our child");
    }

    /// Waits for the end of one that is ending; whether it ended by itself and without a fault.
    pub fn ended_well(&mut self) -> bool {
        self.child.wait().expect("it is our child").success()
    }

    /// Ends it by `signal`, as a person would, and waits for its last word.
    pub fn stop(mut self) {
        signal(self.pid, rustix::process::Signal::TERM);
        self.child.wait().expect("it is our child");
    }

    /// Kills one of its workers, the nth of those there are; false where there is none.
    pub fn kill_worker(&self, nth: usize) -> bool {
        let workers = children(self.pid);
        match workers.get(nth % workers.len().max(1)) {
            Some(worker) => {
                signal(*worker, rustix::process::Signal::KILL);
                true
            }
            None => false,
        }
    }

    fn end(&mut self) {
        if self.pid != self.child.id() {
            signal(self.pid, rustix::process::Signal::KILL);
        }
        // Fails where it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        self.end();
    }
}

fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    // A process that ended by itself meanwhile is no matter.
    let _ = rustix::process::kill_process(pid.expect("a process number"), signal);
}

/// The processes whose parent is this one.
pub fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("Linux has /proc");
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut found: Vec<u32> = pids.filter(|pid| parent_of(*pid) == Some(parent)).collect();
    found.sort_unstable();
    found
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name, in parentheses, and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}
