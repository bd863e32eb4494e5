//! Failures of calls as programs see them: a JSON-RPC code, a name and a message.
//!
//! Promises: the gateway, `--json` and the command line agree on these three, because they are
//! decided here and nowhere else. Does not know exit statuses, hints or who asked.

use std::fmt::Write as _;

use kenvat_engine::Stopped;
use kenvat_engine::api::{CallError, KilledBy};

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

/// The name of the failure with which a host that stops answers. A client that has an id asks the
/// next host.
pub const STOPPED: &str = "Stopped";

/// The name under which the worker reports a method that the object does not have.
pub const NO_SUCH_METHOD: &str = "NoSuchMethod";

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: i32,
    /// For programs: `UnknownVat`, or the name of the error that the vat threw.
    pub name: String,
    pub message: String,
}

impl Failure {
    fn new(code: i32, name: &str, message: String) -> Failure {
        let name = name.to_owned();
        Failure {
            code,
            name,
            message,
        }
    }

    /// An error that a vat's program threw.
    pub fn thrown(name: &str, message: &str) -> Failure {
        match (name, message) {
            (NO_SUCH_METHOD, _) => Failure::new(code::NO_METHOD, name, message.to_owned()),
            (_, "") => Failure::new(code::THROWN, name, name.to_owned()),
            _ => Failure::new(code::THROWN, name, format!("{name}: {message}")),
        }
    }

    /// The message without the error's name before it.
    pub fn bare_message(&self) -> &str {
        let rest = self.message.strip_prefix(&self.name);
        let rest = rest.and_then(|rest| rest.strip_prefix(": "));
        rest.unwrap_or(&self.message)
    }
}

impl From<&CallError> for Failure {
    fn from(error: &CallError) -> Failure {
        let (code, name, message) = match error {
            CallError::Thrown { name, message, .. } => return Failure::thrown(name, message),
            CallError::UnknownVat { name, nearest } => {
                (code::UNAVAILABLE, "UnknownVat", unknown_vat(name, nearest))
            }
            CallError::BadArguments(why) => {
                let message = format!("the arguments are not JSON: {why}");
                (code::BAD_ARGUMENTS, "BadArguments", message)
            }
            CallError::BadRequest(why) => (code::BAD_REQUEST, "Usage", why.clone()),
            CallError::KeyReused { .. } => (code::KEY_REUSED, "KeyReused", error.to_string()),
            CallError::AnswerGone { .. } => (code::KEY_REUSED, "AnswerGone", error.to_string()),
            CallError::Overloaded(_) => (code::OVERLOADED, "Overloaded", error.to_string()),
            CallError::NoSpace(_) => (code::OVERLOADED, "DiskFull", error.to_string()),
            CallError::Unavailable { .. } => (code::UNAVAILABLE, "Unavailable", error.to_string()),
            CallError::TurnKilled { by, .. } => (killed(*by), "TurnKilled", error.to_string()),
            // The engine may learn new errors before this program names them.
            _ => (code::HOST, "Host", error.to_string()),
        };
        Failure::new(code, name, message)
    }
}

impl From<&Stopped> for Failure {
    fn from(stopped: &Stopped) -> Failure {
        Failure::new(code::HOST, STOPPED, stopped.to_string())
    }
}

fn killed(by: KilledBy) -> i32 {
    match by {
        KilledBy::Gas => code::GAS,
        KilledBy::Heap => code::MEMORY,
        KilledBy::Clock
        | KilledBy::Request
        | KilledBy::Crash
        | KilledBy::Stack
        | KilledBy::Sent => code::TURN_KILLED,
    }
}

fn unknown_vat(name: &str, nearest: &[String]) -> String {
    let mut message = format!("no vat is called \"{name}\"");
    if let Some(first) = nearest.first() {
        let _ = write!(message, "; did you mean \"{first}\"?");
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thrown_error_has_its_name_before_its_message_and_also_without() {
        let failure = Failure::thrown("TypeError", "ouch");
        assert_eq!(failure.message, "TypeError: ouch");
        assert_eq!(failure.bare_message(), "ouch");
        assert_eq!(Failure::thrown("Error", "").message, "Error");
        let missing = Failure::thrown(NO_SUCH_METHOD, "no method \"inc\"");
        assert_eq!(
            (missing.code, missing.message.as_str()),
            (code::NO_METHOD, "no method \"inc\"")
        );
    }
}
