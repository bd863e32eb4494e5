//! Errors as people and programs meet them: one sentence, a name, a number, a way on.
//!
//! Promises: every error of engine, store and socket becomes a `Trouble` with an exit status
//! (`docs/interfaces.md` section 2) and a JSON-RPC code (`docs/interfaces.md` section 3), decided
//! here and nowhere else; text that a vat chose is shown without control characters. Does not
//! print.

use std::fmt::Write as _;

use kenvat_engine::api::{CallError, DeployError, KilledBy, ProgramError};
use kenvat_engine::{OpenError, Stopped};
use serde::{Deserialize, Serialize};

/// Exit status: the vat answered with an error.
pub const EXIT_VAT: u8 = 1;
/// Exit status: wrong usage.
pub const EXIT_USAGE: u8 = 2;
/// Exit status: the host or its files are at fault.
pub const EXIT_HOST: u8 = 3;
/// Exit status: `call` stopped waiting, the call goes on.
pub const EXIT_WAITING: u8 = 4;

/// JSON-RPC codes, the same on the gateway and in `--json` errors.
pub mod code {
    pub const NOT_JSON: i32 = -32700;
    pub const BAD_REQUEST: i32 = -32600;
    pub const NO_METHOD: i32 = -32601;
    pub const BAD_ARGUMENTS: i32 = -32602;
    pub const HOST: i32 = -32603;
    pub const THROWN: i32 = -32000;
    pub const GAS: i32 = -32001;
    pub const MEMORY: i32 = -32002;
    pub const TURN_KILLED: i32 = -32003;
    pub const UNAVAILABLE: i32 = -32004;
    pub const OVERLOADED: i32 = -32005;
    pub const KEY_REUSED: i32 = -32006;
    /// The command line's own: it no longer waits for an answer.
    pub const WAITING: i32 = -32007;
}

/// The name of the trouble a stopping host answers with: whoever has an id asks the next host.
const STOPPED: &str = "Stopped";

/// What the worker calls a method that the object does not have.
const NO_SUCH_METHOD: &str = "NoSuchMethod";

/// Something that did not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    pub code: i32,
    /// For programs: `UnknownVat`, or the name of the error the vat threw.
    pub name: String,
    pub message: String,
    /// What to do next; may be empty.
    pub hint: String,
    /// Where in the author's files; may be empty.
    pub stack: String,
    pub exit: u8,
    /// More of the same, found at once.
    #[serde(default, skip_serializing_if = "are_none")]
    pub others: Box<[Trouble]>,
}

impl Trouble {
    fn new(exit: u8, code: i32, name: &str, message: String, hint: &str) -> Trouble {
        let (name, hint) = (name.to_owned(), hint.to_owned());
        Trouble {
            code,
            name,
            message,
            hint,
            stack: String::new(),
            exit,
            others: Box::default(),
        }
    }

    /// The caller asked for something that cannot be.
    pub fn usage(message: impl Into<String>, hint: &str) -> Trouble {
        Trouble::new(EXIT_USAGE, code::BAD_REQUEST, "Usage", message.into(), hint)
    }

    /// The arguments of a call are not what a call takes.
    pub fn arguments(message: impl Into<String>, hint: &str) -> Trouble {
        Trouble::new(
            EXIT_USAGE,
            code::BAD_ARGUMENTS,
            "BadArguments",
            message.into(),
            hint,
        )
    }

    /// The host, its files or its machine are at fault.
    pub fn host(message: impl Into<String>, hint: &str) -> Trouble {
        Trouble::new(EXIT_HOST, code::HOST, "Host", message.into(), hint)
    }

    /// Another process holds the store.
    pub fn in_use(message: impl Into<String>, hint: &str) -> Trouble {
        Trouble::new(EXIT_HOST, code::HOST, "InUse", message.into(), hint)
    }

    /// Too much is under way: nothing was done.
    pub fn overloaded(message: impl Into<String>) -> Trouble {
        Trouble::new(
            EXIT_HOST,
            code::OVERLOADED,
            "Overloaded",
            message.into(),
            "try again shortly",
        )
    }

    /// The disk is full: nothing was done.
    pub fn no_room(message: impl Into<String>) -> Trouble {
        Trouble::new(
            EXIT_HOST,
            code::OVERLOADED,
            "DiskFull",
            message.into(),
            "free some room on the disk of the store; the host goes on by itself",
        )
    }

    /// An answer is no longer waited for; the call goes on.
    pub fn waiting(message: impl Into<String>, hint: &str) -> Trouble {
        Trouble::new(
            EXIT_WAITING,
            code::WAITING,
            "StillRunning",
            message.into(),
            hint,
        )
    }

    /// The same trouble with another way on.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Trouble {
        self.hint = hint.into();
        self
    }

    /// Whether the host stopped before it could answer: nothing is known of what was asked.
    pub fn is_stopped(&self) -> bool {
        self.name == STOPPED
    }

    /// Whether the vat asked for does not exist.
    pub fn is_unknown_vat(&self) -> bool {
        self.name == "UnknownVat"
    }

    /// Lines for a person, the last without a newline.
    pub fn sentence(&self) -> String {
        let mut text = String::new();
        for trouble in std::iter::once(self).chain(&self.others) {
            let _ = writeln!(text, "error: {}", plain(&trouble.message));
            for line in trouble.stack.lines().filter(|line| !line.trim().is_empty()) {
                let _ = writeln!(text, "    {}", plain(line.trim_end()));
            }
        }
        if !self.hint.is_empty() {
            let _ = writeln!(text, "  {}", plain(&self.hint));
        }
        text.truncate(text.trim_end().len());
        text
    }

    /// The `--json` form.
    pub fn json(&self) -> String {
        let mut error = serde_json::json!({
            "code": self.code, "name": self.name, "message": self.message,
            "hint": self.hint, "stack": self.stack,
        });
        if !self.others.is_empty() {
            let other = |other: &Trouble| {
                serde_json::json!({
                    "name": other.name, "message": other.message, "stack": other.stack,
                })
            };
            error["others"] = self.others.iter().map(other).collect();
        }
        serde_json::json!({"error": error}).to_string()
    }
}

/// In serde's form.
fn are_none(others: &[Trouble]) -> bool {
    others.is_empty()
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Trouble {
        let text = error.to_string();
        match error {
            CallError::Thrown {
                name,
                message,
                stack,
                nearest,
            } => thrown(name, message, stack, &nearest),
            CallError::UnknownVat { name, nearest } => unknown_vat(&name, &nearest),
            CallError::BadArguments(why) => Trouble::arguments(
                format!("the arguments are not JSON: {why}"),
                "each argument is JSON (12, true, '\"text\"', '{\"a\":1}') or a bare word",
            ),
            CallError::BadRequest(why) => Trouble::usage(why, ""),
            CallError::KeyReused { .. } => Trouble::new(
                EXIT_USAGE,
                code::KEY_REUSED,
                "KeyReused",
                text,
                "an id stands for one request for good: take a new one",
            ),
            CallError::AnswerGone { .. } => Trouble::new(
                EXIT_HOST,
                code::KEY_REUSED,
                "AnswerGone",
                text,
                "it is never run a second time: ask the vat what became of it, with a new id",
            ),
            CallError::Overloaded(_) => Trouble::overloaded(text),
            CallError::NoSpace(_) => Trouble::no_room(text),
            CallError::Unavailable { name, .. } => Trouble::new(
                EXIT_VAT,
                code::UNAVAILABLE,
                "Unavailable",
                text,
                &format!("kenvat show {name} tells more"),
            ),
            CallError::TurnKilled { by, .. } => Trouble::new(
                EXIT_VAT,
                match by {
                    KilledBy::Gas => code::GAS,
                    KilledBy::Heap => code::MEMORY,
                    KilledBy::Clock
                    | KilledBy::Request
                    | KilledBy::Crash
                    | KilledBy::Stack
                    | KilledBy::Sent => code::TURN_KILLED,
                },
                "TurnKilled",
                text,
                "the vat is as it was before the call; kenvat limits shows what a turn may use",
            ),
            CallError::Host(why) => Trouble::host(why, "kenvat verify checks the store"),
            // The engine may learn new errors before this program names them.
            _ => Trouble::host(text, ""),
        }
    }
}

impl From<DeployError> for Trouble {
    fn from(error: DeployError) -> Trouble {
        match error {
            DeployError::NameTaken(name) => {
                let message = format!("a vat called \"{name}\" exists already, or is being made");
                let hint = format!("take another --name, or end it: kenvat terminate {name}");
                Trouble {
                    name: "NameTaken".into(),
                    ..Trouble::usage(message, &hint)
                }
            }
            DeployError::BadRequest(why) => Trouble::usage(why, ""),
            DeployError::Overloaded(_) => Trouble::overloaded(error.to_string()),
            DeployError::NoSpace(_) => Trouble::no_room(error.to_string()),
            DeployError::Program {
                name,
                message,
                stack,
            } => {
                let mut trouble = thrown(name, message, stack, &[]);
                trouble.hint = "no vat was left behind".into();
                trouble
            }
            DeployError::Host(why) => Trouble::host(why, "kenvat verify checks the store"),
            other => Trouble::host(other.to_string(), ""),
        }
    }
}

impl From<ProgramError> for Trouble {
    fn from(error: ProgramError) -> Trouble {
        thrown(error.name, error.message, error.stack, &[])
    }
}

impl From<OpenError> for Trouble {
    fn from(error: OpenError) -> Trouble {
        let text = error.to_string();
        match error {
            OpenError::InUse { dir, pid } => Trouble::in_use(
                format!("the store {} is in use by process {pid}", dir.display()),
                "wait until it is done, or end it",
            ),
            OpenError::Worker(_) | OpenError::Io { .. } => Trouble::host(text, ""),
            _ => Trouble::host(
                format!("the store was not opened: {text}"),
                "kenvat verify lists every damage with its file and offset",
            ),
        }
    }
}

impl From<Stopped> for Trouble {
    fn from(stopped: Stopped) -> Trouble {
        let hint = "what was asked may or may not have happened: ask again with the same id";
        Trouble::new(EXIT_HOST, code::HOST, STOPPED, stopped.to_string(), hint)
    }
}

fn thrown(name: String, message: String, stack: String, nearest: &[String]) -> Trouble {
    let missing = name == NO_SUCH_METHOD;
    let code = if missing {
        code::NO_METHOD
    } else {
        code::THROWN
    };
    let hint = match nearest {
        [first, ..] if missing => {
            format!(
                "did you mean \"{first}\"? the object has: {}",
                nearest.join(", ")
            )
        }
        _ => String::new(),
    };
    let said = if message.is_empty() {
        name.clone()
    } else {
        format!("{name}: {message}")
    };
    let said = if missing { message } else { said };
    Trouble {
        stack,
        ..Trouble::new(EXIT_VAT, code, &name, said, &hint)
    }
}

fn unknown_vat(name: &str, nearest: &[String]) -> Trouble {
    let mut message = format!("no vat is called \"{name}\"");
    if let Some(first) = nearest.first() {
        let _ = write!(message, "; did you mean \"{first}\"?");
    }
    let hint = "kenvat ls shows all of them";
    Trouble::new(EXIT_USAGE, code::UNAVAILABLE, "UnknownVat", message, hint)
}

/// Text from elsewhere with its control characters spelled out, newlines and tabs kept: a vat must
/// not be able to drive the terminal that shows its errors.
pub fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            c if c.is_control() => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// Bytes as people read them.
pub fn bytes(count: u64) -> String {
    const STEP: f64 = 1024.0;
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if value < STEP {
            break;
        }
        value /= STEP;
        unit = larger;
    }
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_vat_is_said_with_the_nearest_name() {
        let error = CallError::UnknownVat {
            name: "countr".into(),
            nearest: vec!["counter".into()],
        };
        let trouble = Trouble::from(error);
        assert_eq!(
            trouble.message,
            "no vat is called \"countr\"; did you mean \"counter\"?"
        );
        assert_eq!(
            (trouble.exit, trouble.code),
            (EXIT_USAGE, code::UNAVAILABLE)
        );
        assert_eq!(
            trouble.sentence(),
            "error: no vat is called \"countr\"; did you mean \"counter\"?\n  \
             kenvat ls shows all of them"
        );
    }

    #[test]
    fn a_missing_method_is_told_from_an_exception() {
        let error = |name: &str| CallError::Thrown {
            name: name.into(),
            message: "no method \"inc\"".into(),
            stack: String::new(),
            nearest: vec!["incr".into(), "read".into()],
        };
        let missing = Trouble::from(error("NoSuchMethod"));
        assert_eq!(missing.code, code::NO_METHOD);
        assert_eq!(
            missing.hint,
            "did you mean \"incr\"? the object has: incr, read"
        );
        let other = Trouble::from(error("TypeError"));
        assert_eq!((other.code, other.exit), (code::THROWN, EXIT_VAT));
        assert_eq!(other.message, "TypeError: no method \"inc\"");
    }

    #[test]
    fn a_vat_cannot_drive_the_terminal() {
        let error = CallError::Thrown {
            name: "Error".into(),
            message: "\u{1b}[2Jgone".into(),
            stack: "at \u{7}x".into(),
            nearest: Vec::new(),
        };
        let shown = Trouble::from(error).sentence();
        assert!(!shown.contains(['\u{1b}', '\u{7}']), "{shown:?}");
        assert!(shown.contains("\\u{1b}[2Jgone"), "{shown}");
    }

    #[test]
    fn errors_for_programs_have_four_fields_at_least() {
        let json: serde_json::Value =
            serde_json::from_str(&Trouble::usage("a", "b").json()).expect("is JSON");
        assert_eq!(json["error"]["message"], "a");
        assert_eq!(json["error"]["hint"], "b");
        assert_eq!(json["error"]["code"], -32600);
        assert_eq!(json["error"]["name"], "Usage");
    }

    #[test]
    fn bytes_are_read_easily() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(256 << 20), "256.0 MiB");
    }
}
