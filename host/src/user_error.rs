//! User errors: every failure as what happened, where, and what to do.
//!
//! Promises: every error of engine, store, gateway and socket becomes a `UserError` with an exit
//! status (`docs/interfaces.md` section 2), decided here and nowhere else; code, name and message
//! of a call's failure are those of `failure`; text that a vat chose is shown without control
//! characters. Does not print.

use std::fmt::Write as _;

use kenvat_engine::api::{CallError, DeployError, KilledBy, ProgramError};
use kenvat_engine::{OpenError, Stopped};
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, NO_SUCH_METHOD, STOPPED, code};
use crate::gateway::{BindError, TokenError};

/// Exit status: the vat answered with an error.
pub const EXIT_VAT: u8 = 1;
/// Exit status: wrong usage.
pub const EXIT_USAGE: u8 = 2;
/// Exit status: the host or its files are at fault.
pub const EXIT_HOST: u8 = 3;
/// Exit status: `call` stopped waiting, the call goes on.
pub const EXIT_WAITING: u8 = 4;

/// An error as a person reads it and a program parses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserError {
    pub code: i32,
    /// For programs: `UnknownVat`, or the name of the error the vat threw.
    pub name: String,
    pub message: String,
    /// What to do next; may be empty.
    pub hint: String,
    /// Where in the author's files; may be empty.
    pub stack: String,
    pub exit: u8,
    /// Further errors that were found at the same time.
    #[serde(default, skip_serializing_if = "are_none")]
    pub others: Box<[UserError]>,
}

impl UserError {
    fn new(exit: u8, code: i32, name: &str, message: String, hint: &str) -> UserError {
        let (name, hint) = (name.to_owned(), hint.to_owned());
        UserError {
            code,
            name,
            message,
            hint,
            stack: String::new(),
            exit,
            others: Box::default(),
        }
    }

    /// A call's failure with what a person needs besides.
    fn of(failure: Failure, exit: u8, hint: &str) -> UserError {
        let Failure {
            code,
            name,
            message,
        } = failure;
        UserError::new(exit, code, &name, message, hint)
    }

    /// The request cannot be carried out as it was made.
    pub fn usage(message: impl Into<String>, hint: &str) -> UserError {
        UserError::new(EXIT_USAGE, code::BAD_REQUEST, "Usage", message.into(), hint)
    }

    /// The arguments of a call are not what a call takes.
    pub fn arguments(message: impl Into<String>, hint: &str) -> UserError {
        UserError::new(
            EXIT_USAGE,
            code::BAD_ARGUMENTS,
            "BadArguments",
            message.into(),
            hint,
        )
    }

    /// The host, its files or its machine are at fault.
    pub fn host(message: impl Into<String>, hint: &str) -> UserError {
        UserError::new(EXIT_HOST, code::HOST, "Host", message.into(), hint)
    }

    /// Another process holds the store.
    pub fn in_use(message: impl Into<String>, hint: &str) -> UserError {
        UserError::new(EXIT_HOST, code::HOST, "InUse", message.into(), hint)
    }

    /// Too much is under way: nothing was done.
    pub fn overloaded(message: impl Into<String>) -> UserError {
        UserError::new(
            EXIT_HOST,
            code::OVERLOADED,
            "Overloaded",
            message.into(),
            TRY_AGAIN,
        )
    }

    /// The disk is full: nothing was done.
    pub fn disk_full(message: impl Into<String>) -> UserError {
        UserError::new(
            EXIT_HOST,
            code::OVERLOADED,
            "DiskFull",
            message.into(),
            FREE_SPACE,
        )
    }

    /// The command no longer waits for the answer; the call goes on.
    pub fn waiting(message: impl Into<String>, hint: &str) -> UserError {
        UserError::new(
            EXIT_WAITING,
            code::WAITING,
            "StillRunning",
            message.into(),
            hint,
        )
    }

    /// The same error with another hint.
    pub fn with_hint(mut self, hint: impl Into<String>) -> UserError {
        self.hint = hint.into();
        self
    }

    /// Whether the host stopped before it could answer, so that the outcome is unknown.
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
        for error in std::iter::once(self).chain(&self.others) {
            let _ = writeln!(text, "error: {}", plain(&error.message));
            for line in error.stack.lines().filter(|line| !line.trim().is_empty()) {
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
            let other = |other: &UserError| {
                serde_json::json!({
                    "name": other.name, "message": other.message, "stack": other.stack,
                })
            };
            error["others"] = self.others.iter().map(other).collect();
        }
        serde_json::json!({"error": error}).to_string()
    }
}

/// For serde, which passes a reference.
fn are_none(others: &[UserError]) -> bool {
    others.is_empty()
}

impl From<CallError> for UserError {
    fn from(error: CallError) -> UserError {
        let failure = Failure::from(&error);
        match error {
            CallError::Thrown { stack, nearest, .. } => thrown(failure, stack, &nearest),
            error => {
                let (exit, hint) = advice(&error);
                UserError::of(failure, exit, &hint)
            }
        }
    }
}

/// Exit status and hint for a call that failed.
fn advice(error: &CallError) -> (u8, String) {
    let (exit, hint) = match error {
        CallError::UnknownVat { .. } => (EXIT_USAGE, "kenvat ls shows all of them"),
        CallError::BadArguments(_) => (
            EXIT_USAGE,
            "each argument is JSON (12, true, '\"text\"', '{\"a\":1}') or a bare word",
        ),
        CallError::BadRequest(_) => (EXIT_USAGE, ""),
        CallError::KeyReused { .. } => (
            EXIT_USAGE,
            "an id stands for one request for good: take a new one",
        ),
        CallError::AnswerGone { .. } => (
            EXIT_HOST,
            "it is never run a second time: ask the vat what became of it, with a new id",
        ),
        CallError::Overloaded(_) => (EXIT_HOST, TRY_AGAIN),
        CallError::NoSpace(_) => (EXIT_HOST, FREE_SPACE),
        CallError::Unavailable { name, .. } => {
            return (EXIT_VAT, format!("kenvat show {name} tells more"));
        }
        // The vat's own program asked for it, so no limit has to do with it.
        CallError::TurnKilled {
            by: KilledBy::Request,
            ..
        } => (EXIT_VAT, "the vat is as it was before the call"),
        CallError::TurnKilled { .. } => (
            EXIT_VAT,
            "the vat is as it was before the call; kenvat limits shows what a turn may use",
        ),
        CallError::Host(_) => (EXIT_HOST, "kenvat verify checks the store"),
        // The engine may learn new errors before this program names them.
        _ => (EXIT_HOST, ""),
    };
    (exit, hint.to_owned())
}

impl From<DeployError> for UserError {
    fn from(error: DeployError) -> UserError {
        match error {
            DeployError::NameTaken(name) => {
                let message = format!("a vat called \"{name}\" exists already, or is being made");
                let hint = format!("take another --name, or end it: kenvat terminate {name}");
                UserError {
                    name: "NameTaken".into(),
                    ..UserError::usage(message, &hint)
                }
            }
            DeployError::BadRequest(why) => UserError::usage(why, ""),
            DeployError::Overloaded(_) => UserError::overloaded(error.to_string()),
            DeployError::NoSpace(_) => UserError::disk_full(error.to_string()),
            DeployError::Program {
                name,
                message,
                stack,
            } => {
                let mut error = thrown(Failure::thrown(&name, &message), stack, &[]);
                error.hint = "no vat was left behind".into();
                error
            }
            DeployError::Host(why) => UserError::host(why, "kenvat verify checks the store"),
            other => UserError::host(other.to_string(), ""),
        }
    }
}

impl From<ProgramError> for UserError {
    fn from(error: ProgramError) -> UserError {
        let failure = Failure::thrown(&error.name, &error.message);
        thrown(failure, error.stack, &[])
    }
}

impl From<OpenError> for UserError {
    fn from(error: OpenError) -> UserError {
        let text = error.to_string();
        match error {
            OpenError::InUse { dir, pid } => UserError::in_use(
                format!("the store {} is in use by process {pid}", dir.display()),
                "wait until it is done, or end it",
            ),
            OpenError::Worker(_) | OpenError::Io { .. } => UserError::host(text, ""),
            error => {
                let hint = match is_damage(&error) {
                    true => "kenvat verify lists every damage with its file and offset",
                    false => "",
                };
                UserError::host(format!("the store was not opened: {text}"), hint)
            }
        }
    }
}

/// Whether bytes of the store are not what was written.
fn is_damage(error: &OpenError) -> bool {
    use kenvat_store::{OpenError as Opening, StoreError};
    let OpenError::Store { source, .. } = error else {
        return matches!(error, OpenError::Catalog { .. });
    };
    matches!(
        source,
        Opening::Damaged(_) | Opening::Store(StoreError::Damaged(_))
    )
}

impl From<Stopped> for UserError {
    fn from(stopped: Stopped) -> UserError {
        let hint = "what was asked may or may not have happened: ask again with the same id";
        UserError::of(Failure::from(&stopped), EXIT_HOST, hint)
    }
}

impl From<BindError> for UserError {
    fn from(error: BindError) -> UserError {
        let text = error.to_string();
        match error {
            BindError::NotAnAddress { .. } => UserError::usage(
                text,
                "say ADDRESS:PORT, as in --listen 127.0.0.1:7411; port 0 takes a free one",
            ),
            BindError::Public { .. } => UserError::usage(
                text,
                "listen on 127.0.0.1 behind something that speaks TLS, or add --insecure",
            ),
            BindError::Taken { .. } | BindError::Refused { .. } => UserError::host(
                text,
                "choose another with --listen, as in --listen 127.0.0.1:0 for any free port",
            ),
        }
    }
}

impl From<TokenError> for UserError {
    fn from(error: TokenError) -> UserError {
        UserError::host(
            error.to_string(),
            "it belongs to the host's owner, mode 0600",
        )
    }
}

fn thrown(failure: Failure, stack: String, nearest: &[String]) -> UserError {
    let hint = match nearest {
        [first, ..] if failure.name == NO_SUCH_METHOD => {
            format!(
                "did you mean \"{first}\"? the object has: {}",
                nearest.join(", ")
            )
        }
        _ => String::new(),
    };
    UserError {
        stack,
        ..UserError::of(failure, EXIT_VAT, &hint)
    }
}

/// Hint: nothing is wrong but the load.
const TRY_AGAIN: &str = "try again shortly";

/// Hint: the disk of the store is full.
const FREE_SPACE: &str = "free some space on the disk of the store; the host goes on by itself";

/// Text with its control characters escaped, except newlines and tabs: a vat must not be able to
/// control the terminal that shows its errors.
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

/// A number of bytes as a person reads it.
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
        let error = UserError::from(error);
        assert_eq!(
            error.message,
            "no vat is called \"countr\"; did you mean \"counter\"?"
        );
        assert_eq!((error.exit, error.code), (EXIT_USAGE, code::UNAVAILABLE));
        assert_eq!(
            error.sentence(),
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
        let missing = UserError::from(error("NoSuchMethod"));
        assert_eq!(missing.code, code::NO_METHOD);
        assert_eq!(
            missing.hint,
            "did you mean \"incr\"? the object has: incr, read"
        );
        let other = UserError::from(error("TypeError"));
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
        let shown = UserError::from(error).sentence();
        assert!(!shown.contains(['\u{1b}', '\u{7}']), "{shown:?}");
        assert!(shown.contains("\\u{1b}[2Jgone"), "{shown}");
    }

    #[test]
    fn errors_for_programs_have_four_fields_at_least() {
        let json: serde_json::Value =
            serde_json::from_str(&UserError::usage("a", "b").json()).expect("is JSON");
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
