//! A host in a process of its own: `kenvat host`, which can be killed like any other.
//!
//! Promises: `start` returns when the host serves, without polling; a host that is dropped is
//! killed, and its workers with it. What it says on stderr is shown.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::control::{self, Control};
use crate::engine::{KEYS, name};
use crate::{BenchError, Settings, io_at};

/// Questions without an answer while vats are filled.
const IN_FLIGHT: usize = 128;

/// A serving host.
#[derive(Debug)]
pub struct ChildHost {
    child: Child,
    dir: PathBuf,
}

impl ChildHost {
    /// Serves the store in `dir`, making it if it is not there.
    pub fn start(settings: &Settings, dir: &Path) -> Result<ChildHost, BenchError> {
        let mut child = Command::new(&settings.program)
            .arg("--data")
            .arg(dir)
            .args(["--json", "host", "--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(io_at("start", &settings.program))?;
        let out = child.stdout.take().expect("is piped");
        let host = ChildHost {
            child,
            dir: dir.to_owned(),
        };
        // It says where it serves as soon as it does, and nothing after that.
        let mut first = String::new();
        let read = BufReader::new(out).read_line(&mut first);
        read.map_err(io_at("hear from", &settings.program))?;
        if first.is_empty() {
            return Err(BenchError::Child("it ended before it served".to_owned()));
        }
        Ok(host)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn connect(&self) -> Result<Control, BenchError> {
        Control::connect(&self.dir)
    }

    /// One vat of the workload, its keys filled.
    pub fn with_vat(self) -> Result<ChildHost, BenchError> {
        let mut control = self.connect()?;
        control.ask(&control::deploy(&name(0)))?;
        let fill = (0..KEYS).map(|turn| control::update(&name(0), "fill", turn, KEYS));
        control.ask_all(fill, IN_FLIGHT, |_, _| None)?;
        Ok(self)
    }

    /// The process of a vat that is awake.
    pub fn worker(&self, control: &mut Control, vat: &str) -> Result<Option<u32>, BenchError> {
        let sheet = control.ask(&json!({"show": {"vat": vat}}))?;
        let sheet: Value = serde_json::from_str(sheet.get())
            .map_err(|error| BenchError::Child(format!("its sheet: {error}")))?;
        Ok(sheet["worker_pid"]
            .as_u64()
            .and_then(|pid| pid.try_into().ok()))
    }

    /// `kill -9` of the host and of these workers.
    pub fn kill(mut self, workers: impl IntoIterator<Item = u32>) {
        for worker in workers {
            let pid = i32::try_from(worker).ok().and_then(Pid::from_raw);
            // One that died with its host is gone already.
            let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
        }
        self.end();
    }

    fn end(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for ChildHost {
    fn drop(&mut self) {
        self.end();
    }
}
