//! A client of a host's control socket, as a program in another process would be one.
//!
//! Promises: one write and as many reads a question as a client needs; an error of the host ends
//! the bench. Blocking, so that nothing but the socket stands between the clock and the host.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::BenchError;

/// The version of the control protocol this client speaks.
const CONTROL_VERSION: u32 = 2;
/// Bytes of an answer: far more than any of these benches asks for.
const ANSWER_BYTES_MAX: u32 = 32 << 20;
/// The exit status of what is the vat's fault.
const VAT_EXIT: u64 = 1;

/// A connection to a host.
#[derive(Debug)]
pub struct Control {
    stream: UnixStream,
    last_id: u64,
}

#[derive(Deserialize)]
struct Response {
    id: u64,
    #[serde(default, deserialize_with = "present")]
    ok: Option<Box<RawValue>>,
    error: Option<Value>,
}

/// Keeps `"ok": null` apart from no `ok`: null is an answer.
fn present<'de, D: Deserializer<'de>>(source: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(source).map(Some)
}

impl Control {
    /// Connects to the host that serves `dir`, however long the folder's path is.
    pub fn connect(dir: &Path) -> Result<Control, BenchError> {
        let connected = File::open(dir).and_then(|folder| {
            let path = format!("/proc/self/fd/{}/control.sock", folder.as_raw_fd());
            UnixStream::connect(path)
        });
        let stream = connected.map_err(|error| lost(&error))?;
        Ok(Control { stream, last_id: 0 })
    }

    /// Asks one question and waits for its answer.
    pub fn ask(&mut self, ask: &Value) -> Result<Box<RawValue>, BenchError> {
        self.send(ask)?;
        self.receive().map(|(_, answer)| answer)
    }

    /// Asks many, at most `in_flight` of them unanswered; `each` hears every answer with its
    /// question's place in the order, and may name a question to be asked next.
    pub fn ask_all(
        &mut self,
        questions: impl Iterator<Item = Value>,
        in_flight: usize,
        mut each: impl FnMut(u64, &RawValue) -> Option<Value>,
    ) -> Result<(), BenchError> {
        let (first, mut open) = (self.last_id + 1, 0);
        let mut questions = questions.peekable();
        let mut next: VecDeque<Value> = VecDeque::new();
        loop {
            while open < in_flight {
                let Some(question) = next.pop_front().or_else(|| questions.next()) else {
                    break;
                };
                self.send(&question)?;
                open += 1;
            }
            if open == 0 {
                return Ok(());
            }
            let (id, answer) = self.receive()?;
            open -= 1;
            next.extend(each(id - first, &answer));
        }
    }

    /// Asks a question that must be answered with an error of the vat's.
    pub fn ask_in_vain(&mut self, ask: &Value) -> Result<(), BenchError> {
        self.send(ask)?;
        let response = self.respond()?;
        match response.error {
            Some(error) if error["exit"] == VAT_EXIT => Ok(()),
            Some(error) => Err(child(&format!("it answered {}", error["message"]))),
            None => Err(child("a call came to an end that has none")),
        }
    }

    /// One end to send and one to receive, for two threads.
    pub fn split(self) -> Result<(Control, Control), BenchError> {
        let stream = self.stream.try_clone().map_err(|error| lost(&error))?;
        let last_id = self.last_id;
        Ok((self, Control { stream, last_id }))
    }

    /// Sends a question; `receive` brings its answer.
    pub fn send(&mut self, ask: &Value) -> Result<(), BenchError> {
        self.last_id += 1;
        let body = json!({"v": CONTROL_VERSION, "id": self.last_id, "ask": ask}).to_string();
        let length = u32::try_from(body.len()).map_err(|_| child("a question is too long"))?;
        let mut frame = Vec::with_capacity(body.len() + 4);
        frame.extend_from_slice(&length.to_le_bytes());
        frame.extend_from_slice(body.as_bytes());
        self.stream.write_all(&frame).map_err(|error| lost(&error))
    }

    /// The next answer, and the number of its question on this connection.
    pub fn receive(&mut self) -> Result<(u64, Box<RawValue>), BenchError> {
        let response = self.respond()?;
        match (response.ok, response.error) {
            (Some(ok), None) => Ok((response.id, ok)),
            (_, Some(error)) => Err(child(&format!("it answered {}", error["message"]))),
            (None, None) => Err(child("an answer is empty")),
        }
    }

    fn respond(&mut self) -> Result<Response, BenchError> {
        let mut header = [0; 4];
        let read = self.stream.read_exact(&mut header);
        read.map_err(|error| lost(&error))?;
        let length = u32::from_le_bytes(header);
        if length > ANSWER_BYTES_MAX {
            return Err(child("an answer is too long"));
        }
        let mut body = vec![0; length as usize];
        let read = self.stream.read_exact(&mut body);
        read.map_err(|error| lost(&error))?;
        serde_json::from_slice(&body)
            .map_err(|error| child(&format!("an answer is not understood: {error}")))
    }
}

/// A call of `update`, once-only like all that comes over the socket.
pub fn update(vat: &str, run: &str, turn: u64, keys: u64) -> Value {
    let args = format!("[\"k{}\",{turn}]", turn % keys);
    json!({"call": {"vat": vat, "method": "update", "args": args, "id": format!("{run}-{turn}")}})
}

/// A deployment of the workload.
pub fn deploy(name: &str) -> Value {
    let files = [("kv.js", crate::engine::KV)];
    json!({"deploy": {"name": name, "entry": "kv.js", "files": files, "give": []}})
}

fn lost(error: &io::Error) -> BenchError {
    BenchError::Child(format!("its control socket: {error}"))
}

fn child(what: &str) -> BenchError {
    BenchError::Child(what.to_owned())
}
