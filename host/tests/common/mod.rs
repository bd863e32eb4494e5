//! What the tests of the real program share: a store in a folder of its own, the program run in it,
//! a host that can be killed, and a raw HTTP client.
//!
//! Promises: nothing outlives its test; a program that hangs fails its test instead of the run.
//! Does not look inside the store.

#![allow(dead_code, reason = "each test program uses its own part of this")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// No command of these tests takes longer, unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A vat with something of everything.
pub const COUNTER: &str = "\
export default (powers) => {
  let n = 0;
  let release;
  const gate = new Promise((resolve) => { release = resolve; });
  return {
    incr: (by = 1) => (n += by),
    read: () => n,
    echo: (...args) => args,
    nothing: () => undefined,
    given: (name) => powers[name],
    fail: (text) => { throw new TypeError(text); },
    say: (text) => { console.log(text); },
    wait: () => gate,
    go: (value) => { release(value); },
  };
};
";

/// A folder with a store to be and some sources.
pub struct World {
    folder: TempDir,
    data: PathBuf,
}

/// What a command said, and its exit status.
#[derive(Debug)]
pub struct Said {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl World {
    pub fn new() -> World {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        World { folder, data }.with("counter.js", COUNTER)
    }

    /// The same with its store in a folder of the same place.
    pub fn with_data(mut self, name: &str) -> World {
        self.data = self.folder.path().join(name);
        self
    }

    /// The same with its store on another file system.
    pub fn with_data_at(mut self, path: PathBuf) -> World {
        self.data = path;
        self
    }

    pub fn with(self, name: &str, text: &str) -> World {
        self.write(name, text.as_bytes());
        self
    }

    pub fn write(&self, name: &str, text: &[u8]) {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("has a folder")).expect("makes it");
        std::fs::write(path, text).expect("writes");
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kenvat"));
        command
            .current_dir(self.folder.path())
            .env("KENVAT_DATA", &self.data)
            .args(args);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn start(&self, args: &[&str]) -> Running {
        Running(Some(self.command(args).spawn().expect("starts")))
    }

    pub fn run(&self, args: &[&str]) -> Said {
        self.start(args).finish()
    }

    /// Runs a command that must succeed; its output without the last newline.
    pub fn ok(&self, args: &[&str]) -> String {
        let said = self.run(args);
        assert_eq!(said.status, 0, "{args:?}: {said:?}");
        said.out.trim_end_matches('\n').to_owned()
    }

    /// Runs a command with `--json` that must succeed.
    pub fn json(&self, args: &[&str]) -> Value {
        let text = self.ok(&[&["--json"], args].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}: {text}"))
    }

    /// Serves the store on a free port; returns when it serves.
    pub fn host(&self) -> Host {
        self.serve(&["host"])
    }

    /// `run` or `host`, with what it says when it serves.
    pub fn serve(&self, args: &[&str]) -> Host {
        self.serve_by(&[], args)
    }

    /// The same, the program started by another one that becomes it.
    pub fn serve_by(&self, wrapper: &[&str], args: &[&str]) -> Host {
        let args = [&["--json"], args, &["--listen", "127.0.0.1:0"]].concat();
        let program = self.command(&args);
        let mut command = match wrapper {
            [] => program,
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.current_dir(self.folder.path());
                command.env("KENVAT_DATA", &self.data);
                command.args(rest).arg(program.get_program());
                command.args(program.get_args()).stdin(Stdio::null());
                command.stdout(Stdio::piped()).stderr(Stdio::piped());
                command
            }
        };
        let mut child = command.spawn().expect("starts");
        let mut first = String::new();
        let out = child.stdout.take().expect("is piped");
        BufReader::new(out).read_line(&mut first).expect("reads");
        if first.is_empty() {
            panic!("no host: {:?}", Running(Some(child)).finish());
        }
        let report: Value = serde_json::from_str(&first).expect("is JSON");
        Host {
            child: Running(Some(child)),
            report,
            data: self.data.clone(),
        }
    }

    /// Asks `show` until it says what is wanted: the host's own progress is what is waited for.
    pub fn until(&self, vat: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let sheet = self.json(&["show", vat]);
            if wanted(&sheet) {
                return sheet;
            }
            assert!(Instant::now() < deadline, "never so: {sheet}");
        }
    }
}

/// A program that is killed when its test ends.
pub struct Running(Option<Child>);

impl Running {
    pub fn pid(&self) -> u32 {
        self.0.as_ref().expect("runs").id()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid() as i32).expect("is a process");
        kill_process(pid, signal).expect("is ours");
    }

    pub fn kill(mut self) {
        let mut child = self.0.take().expect("runs");
        child.kill().expect("is ours");
        child.wait().expect("ends");
    }

    pub fn child(&mut self) -> &mut Child {
        self.0.as_mut().expect("runs")
    }

    pub fn finish(mut self) -> Said {
        let mut child = self.0.take().expect("runs");
        let pid = Pid::from_raw(child.id() as i32).expect("is a process");
        let (done, watch) = std::sync::mpsc::channel::<()>();
        let watchdog = std::thread::spawn(move || {
            if watch.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                let _ = kill_process(pid, Signal::KILL);
            }
        });
        child.stdin.take();
        let Output {
            status,
            stdout,
            stderr,
        } = child.wait_with_output().expect("ends");
        drop(done);
        watchdog.join().expect("ends");
        Said {
            status: status.code().unwrap_or(-1),
            out: String::from_utf8(stdout).expect("is text"),
            err: String::from_utf8(stderr).expect("is text"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A serving host.
pub struct Host {
    child: Running,
    pub report: Value,
    data: PathBuf,
}

impl Host {
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// What `kill -9` does.
    pub fn kill(self) {
        self.child.kill();
    }

    /// What Ctrl-C does.
    pub fn stop(self) -> Said {
        self.child.signal(Signal::INT);
        self.child.finish()
    }

    /// Waits until it ends by itself.
    pub fn end(self) -> Said {
        self.child.finish()
    }

    /// What becomes of `2>&1 | head -1`.
    pub fn close_stderr(&mut self) {
        self.child.child().stderr.take();
    }

    pub fn token(&self) -> String {
        std::fs::read_to_string(self.data.join("token"))
            .expect("is there")
            .trim()
            .to_owned()
    }

    pub fn connect(&self) -> TcpStream {
        let url = self.report["url"].as_str().expect("has one");
        let address = url
            .trim_start_matches("http://")
            .split('/')
            .next()
            .expect("has one");
        let stream = TcpStream::connect(address).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("sets it");
        stream
    }

    /// Sends bytes as they are and reads to the end.
    pub fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // The host may close before it has read everything, and that is its right.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// One POST; status and body.
    pub fn post(&self, path: &str, headers: &[&str], body: &str) -> (u16, String) {
        let mut lines = vec![format!("POST {path} HTTP/1.1"), "Host: x".to_owned()];
        lines.extend(headers.iter().map(|header| (*header).to_owned()));
        lines.push(format!("Content-Length: {}", body.len()));
        lines.push("Connection: close\r\n\r\n".to_owned());
        let answer = self.raw((lines.join("\r\n") + body).as_bytes());
        let status = answer
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (
            status.unwrap_or_else(|| panic!("no HTTP: {answer:?}")),
            body.to_owned(),
        )
    }

    /// One GET; status and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = self.raw(request.as_bytes());
        let status = answer
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status.unwrap_or(0), body.to_owned())
    }

    /// A JSON-RPC body, with the token and more headers.
    pub fn rpc(&self, vat: &str, headers: &[&str], body: &str) -> Value {
        let bearer = format!("Authorization: Bearer {}", self.token());
        let headers = [&[bearer.as_str()], headers].concat();
        let (status, body) = self.post(&format!("/vat/{vat}"), &headers, body);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
    }
}
