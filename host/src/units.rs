//! Parses limits as people write them: `heap=256MiB`, `turn=10s`, `gas=100_000_000`.
//!
//! Promises: a value means the same for a host and for one vat; a value without a
//! unit is in the limit's own unit (bytes, milliseconds, pieces); nothing is rounded. Knows of a
//! limit only its unit: which limits exist and what values they may have is known to the engine.

use crate::user_error::UserError;

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bytes,
    Milliseconds,
    Pieces,
}

/// `NAME=VALUE`, the value in the limit's own unit.
pub fn setting(text: &str) -> Result<(String, u64), UserError> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(misuse(format!("`{text}` is not NAME=VALUE")));
    };
    Ok((name.to_owned(), value_of(name, value)?))
}

/// Parses several settings.
pub fn settings(texts: &[String]) -> Result<Vec<(String, u64)>, UserError> {
    texts.iter().map(|text| setting(text)).collect()
}

/// A limit's value, in its own unit.
pub fn value_of(name: &str, text: &str) -> Result<u64, UserError> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_');
    let (digits, unit) = text.split_at(end.unwrap_or(text.len()));
    let digits: String = digits.chars().filter(|c| *c != '_').collect();
    let kind = kind_of(name);
    let factor = factor(kind, unit.trim());
    let value = factor.and_then(|factor| digits.parse::<u64>().ok()?.checked_mul(factor));
    value.ok_or_else(|| {
        let takes = match kind {
            Kind::Bytes => "bytes: 4096, 64KiB, 256MiB, 1GiB",
            Kind::Milliseconds => "a time: 500ms, 10s, 5min, or milliseconds",
            Kind::Pieces => "a whole number: 1000, 100_000_000",
        };
        misuse(format!("the limit `{name}` takes {takes}; not `{text}`"))
    })
}

fn kind_of(name: &str) -> Kind {
    match name {
        "heap" | "message" | "source" | "waiting-bytes" | "answer-bytes" | "host-answer-bytes"
        | "connection-bytes" => Kind::Bytes,
        // These are fixed. The error must say so, and not that the value is malformed.
        "stack" | "method" | "sent" | "value" | "log-line" | "delta" | "frame" | "journal"
        | "log" | "control-message" | "headers" | "body" | "batch-answer" => Kind::Bytes,
        "turn" | "sleep-after" => Kind::Milliseconds,
        _ => Kind::Pieces,
    }
}

fn factor(kind: Kind, unit: &str) -> Option<u64> {
    Some(match (kind, unit) {
        (_, "") => 1,
        (Kind::Bytes, "B") => 1,
        (Kind::Bytes, "KiB") => 1 << 10,
        (Kind::Bytes, "MiB") => 1 << 20,
        (Kind::Bytes, "GiB") => 1 << 30,
        (Kind::Bytes, "kB" | "KB") => 1_000,
        (Kind::Bytes, "MB") => 1_000_000,
        (Kind::Bytes, "GB") => 1_000_000_000,
        (Kind::Milliseconds, "ms") => 1,
        (Kind::Milliseconds, "s") => 1_000,
        (Kind::Milliseconds, "min") => 60_000,
        (Kind::Milliseconds, "h") => 3_600_000,
        _ => return None,
    })
}

fn misuse(message: String) -> UserError {
    UserError::usage(message, "for example --limit heap=256MiB --limit turn=10s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_read_in_its_own_unit() {
        for (text, value) in [
            ("heap=256MiB", 256 << 20),
            ("heap=4096", 4096),
            ("heap=1 GiB", 1 << 30),
            ("message=2MB", 2_000_000),
            ("turn=10s", 10_000),
            ("turn=250", 250),
            ("sleep-after=5min", 300_000),
            ("gas=100_000_000", 100_000_000),
            ("awake=7", 7),
        ] {
            let name = text.split('=').next().expect("has one").to_owned();
            assert_eq!(setting(text).expect(text), (name, value), "{text}");
        }
    }

    #[test]
    fn what_is_no_value_is_refused_with_an_example() {
        for text in [
            "heap",
            "heap=",
            "heap=MiB",
            "heap=-1",
            "heap=1.5GiB",
            "heap=10s",
            "turn=1MiB",
            "gas=10k",
            "gas=99999999999999999999",
            "heap=99999999999GiB",
        ] {
            assert!(setting(text).is_err(), "{text}");
        }
    }
}
