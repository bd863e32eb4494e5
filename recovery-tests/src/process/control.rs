//! The control socket's protocol as a stranger would write it: length, JSON, `{v, id, ask}`.
//!
//! Promises: a host that goes away is `Lost`, and says nothing about what was asked; an answer that
//! takes longer than `PATIENCE` is a panic, so that a hang is a failure.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

/// The control protocol spoken here.
const VERSION: u32 = 2;
/// No answer of these tests takes longer, unless something hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of an answer that are believed.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// The host went away before it answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost;

/// An answer: the value, or the error's name with its message.
pub type Asked = Result<Value, (String, String)>;

/// A connection to a host.
#[derive(Debug)]
pub struct Control {
    stream: UnixStream,
    last: u64,
}

impl Control {
    /// Connects to the host that serves the store in `dir`.
    pub fn connect(dir: &Path) -> Result<Control, Lost> {
        let stream = UnixStream::connect(dir.join("control.sock")).map_err(|_| Lost)?;
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a time limit that is not zero");
        Ok(Control { stream, last: 0 })
    }

    /// Calls a method and waits for its answer.
    pub fn call(&mut self, vat: &str, method: &str, args: &Value, id: &str) -> Result<Asked, Lost> {
        self.send_call(vat, method, args, id)?;
        self.receive()
    }

    /// Sends a call; `receive` gets its answer.
    pub fn send_call(
        &mut self,
        vat: &str,
        method: &str,
        args: &Value,
        id: &str,
    ) -> Result<(), Lost> {
        let args = args.to_string();
        self.send(&json!({"call": {"vat": vat, "method": method, "args": args, "id": id}}))
    }

    /// Asks anything of the protocol and waits for the answer.
    pub fn ask(&mut self, ask: &Value) -> Result<Asked, Lost> {
        self.send(ask)?;
        self.receive()
    }

    fn send(&mut self, ask: &Value) -> Result<(), Lost> {
        self.last += 1;
        let body = json!({"v": VERSION, "id": self.last, "ask": ask}).to_string();
        let mut frame = (body.len() as u32).to_le_bytes().to_vec();
        frame.extend_from_slice(body.as_bytes());
        self.stream.write_all(&frame).map_err(|_| Lost)
    }

    /// The answer to the last question.
    pub fn receive(&mut self) -> Result<Asked, Lost> {
        loop {
            let mut answer = self.read_message()?;
            if answer["id"] != self.last {
                continue;
            }
            let error = answer["error"].take();
            if error.is_null() {
                return Ok(Ok(answer["ok"].take()));
            }
            let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
            return match text("name").as_str() {
                // A host that was told to stop: the same as one that is gone.
                "Stopped" => Err(Lost),
                _ => Ok(Err((text("name"), text("message")))),
            };
        }
    }

    fn read_message(&mut self) -> Result<Value, Lost> {
        let mut header = [0; 4];
        self.read(&mut header)?;
        let length = u32::from_le_bytes(header) as usize;
        assert!(length <= ANSWER_BYTES_MAX, "an answer of {length} bytes");
        let mut body = vec![0; length];
        self.read(&mut body)?;
        Ok(serde_json::from_slice(&body).expect("the host answers in JSON"))
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<(), Lost> {
        self.stream
            .read_exact(bytes)
            .map_err(|error| match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                    panic!("no answer within {PATIENCE:?}: the host hangs")
                }
                _ => Lost,
            })
    }
}
