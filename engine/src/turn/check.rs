//! T1: what a worker hands over is a claim until it has passed here.
//!
//! Promises: an accepted hand-over consumes delivered turns in order and at least one of them,
//! answers only requests that are open or consumed in it, each once, stays within every limit, and
//! its delta is well formed. Does not know where any of it goes.

use std::collections::{BTreeMap, HashSet};

use kenvat_store::{Delta, DeltaError};

use super::limits::{DELTA_BYTES_MAX, HANDED_BYTES_MAX, REPLY_BYTES_MAX};
use crate::protocol::{HandOver, LogLine, Outcome, Reply};
use crate::text::{escaped_bytes, push_escaped};

/// What the host knows of the vat whose worker hands over.
pub struct Expected<'a> {
    /// Number of the last hand-over accepted from this generation.
    pub number: u64,
    pub handed_turn: u64,
    /// Last turn delivered.
    pub last_turn: u64,
    /// Requests consumed in earlier turns and not answered.
    pub open: &'a BTreeMap<u64, u64>,
    pub page_limit: u32,
}

/// A hand-over that keeps the rules.
#[derive(Debug)]
pub struct Checked {
    pub number: u64,
    pub last_turn: u64,
    pub replies: Vec<Reply>,
    /// The log lines, as they stand in the vat's log.
    pub log: Vec<u8>,
    pub used_pages: u32,
    pub delta: Delta,
}

/// What a worker did that it may not. It is ended; nothing of the hand-over has an effect.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    #[error("hand-over {found} where {expected} was due")]
    Number { found: u64, expected: u64 },
    #[error("turn {found} handed over; {from} to {to} were due")]
    Turn { found: u64, from: u64, to: u64 },
    #[error("request {0} answered, which is not open")]
    NotOpen(u64),
    #[error("request {0} answered twice")]
    AnsweredTwice(u64),
    #[error("the answer to request {request} is not JSON: {why}")]
    NotJson { request: u64, why: String },
    #[error("a log line of turn {0}, which is not part of the hand-over")]
    LogTurn(u64),
    #[error("a log level of another kind than log, info, warn, error, debug")]
    LogLevel,
    #[error("{found} bytes of {what}; the limit is {limit}")]
    TooMuch {
        what: &'static str,
        found: usize,
        limit: usize,
    },
    #[error("{found} pages in use; the limit is {limit}")]
    Pages { found: u32, limit: u32 },
    #[error("delta: {0}")]
    Delta(#[from] DeltaError),
}

/// Checks one hand-over.
pub fn check(hand_over: HandOver, expected: &Expected<'_>) -> Result<Checked, Violation> {
    let HandOver {
        number,
        last_turn,
        replies,
        log,
        used_pages,
        delta,
        ..
    } = hand_over;
    if number != expected.number + 1 {
        return Err(Violation::Number {
            found: number,
            expected: expected.number + 1,
        });
    }
    if last_turn <= expected.handed_turn || last_turn > expected.last_turn {
        return Err(Violation::Turn {
            found: last_turn,
            from: expected.handed_turn + 1,
            to: expected.last_turn,
        });
    }
    if used_pages > expected.page_limit {
        return Err(Violation::Pages {
            found: used_pages,
            limit: expected.page_limit,
        });
    }
    within("delta", delta.len(), DELTA_BYTES_MAX)?;
    check_replies(&replies, last_turn, expected)?;
    let sent: usize = replies.iter().map(Reply::bytes).sum();
    let log = check_log(
        &log,
        expected.handed_turn,
        last_turn,
        HANDED_BYTES_MAX.saturating_sub(sent),
    )?;
    let delta = Delta::parse(delta, expected.page_limit)?;
    Ok(Checked {
        number,
        last_turn,
        replies,
        log,
        used_pages,
        delta,
    })
}

fn check_replies(replies: &[Reply], last: u64, expected: &Expected<'_>) -> Result<(), Violation> {
    let mut seen = HashSet::with_capacity(replies.len());
    for reply in replies {
        let request = reply.request;
        let consumed_here = request > expected.handed_turn && request <= last;
        if !consumed_here && !expected.open.contains_key(&request) {
            return Err(Violation::NotOpen(request));
        }
        if !seen.insert(request) {
            return Err(Violation::AnsweredTwice(request));
        }
        within("an answer", reply.bytes(), REPLY_BYTES_MAX)?;
        if let Outcome::Value(json) = &reply.outcome {
            serde_json::from_str::<serde::de::IgnoredAny>(json).map_err(|error| {
                Violation::NotJson {
                    request,
                    why: error.to_string(),
                }
            })?;
        }
    }
    within(
        "answers",
        replies.iter().map(Reply::bytes).sum(),
        HANDED_BYTES_MAX,
    )
}

/// Renders the lines as `TURN LEVEL TEXT`, one a line whatever the text holds.
fn check_log(
    lines: &[LogLine],
    handed: u64,
    last: u64,
    limit: usize,
) -> Result<Vec<u8>, Violation> {
    let mut out = String::new();
    for line in lines {
        if line.turn <= handed || line.turn > last {
            return Err(Violation::LogTurn(line.turn));
        }
        if !matches!(
            line.level.as_str(),
            "log" | "info" | "warn" | "error" | "debug"
        ) {
            return Err(Violation::LogLevel);
        }
        // What is escaped grows: the limit is about what will stand in the log.
        within("log", out.len() + escaped_bytes(&line.text), limit)?;
        out.push_str(&format!("{} {} ", line.turn, line.level));
        push_escaped(&mut out, &line.text);
        out.push('\n');
    }
    Ok(out.into_bytes())
}

fn within(what: &'static str, found: usize, limit: usize) -> Result<(), Violation> {
    if found > limit {
        return Err(Violation::TooMuch { what, found, limit });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hand_over() -> HandOver {
        HandOver {
            generation: 1,
            number: 1,
            last_turn: 6,
            replies: vec![
                Reply {
                    request: 6,
                    outcome: Outcome::Value("1".into()),
                },
                Reply {
                    request: 2,
                    outcome: Outcome::Value("{\"$undefined\":true}".into()),
                },
            ],
            log: vec![LogLine {
                turn: 6,
                level: "log".into(),
                text: "a\nb\u{1b}".into(),
            }],
            used_pages: 10,
            delta: vec![],
        }
    }

    fn run(change: impl FnOnce(&mut HandOver)) -> Result<Checked, Violation> {
        let open = BTreeMap::from([(2, 0)]);
        let expected = Expected {
            number: 0,
            handed_turn: 5,
            last_turn: 7,
            open: &open,
            page_limit: 10,
        };
        let mut hand_over = hand_over();
        change(&mut hand_over);
        check(hand_over, &expected)
    }

    #[test]
    fn an_honest_hand_over_passes_and_its_log_is_one_line_a_line() {
        let checked = run(|_| {}).unwrap();
        assert_eq!(checked.log, b"6 log a\\nb\\u{1b}\n");
    }

    #[test]
    fn each_lie_is_named() {
        use Violation as V;
        assert!(matches!(run(|h| h.number = 2), Err(V::Number { .. })));
        assert!(matches!(run(|h| h.last_turn = 5), Err(V::Turn { .. })));
        assert!(matches!(run(|h| h.last_turn = 8), Err(V::Turn { .. })));
        assert!(matches!(run(|h| h.used_pages = 11), Err(V::Pages { .. })));
        assert!(matches!(
            run(|h| h.replies[0].request = 7),
            Err(V::NotOpen(7))
        ));
        assert!(matches!(
            run(|h| h.replies[0].request = 3),
            Err(V::NotOpen(3))
        ));
        assert!(matches!(
            run(|h| h.replies[0].request = 2),
            Err(V::AnsweredTwice(2))
        ));
        assert!(matches!(
            run(|h| h.replies[0].outcome = Outcome::Value("}".into())),
            Err(V::NotJson { request: 6, .. })
        ));
        assert!(matches!(run(|h| h.log[0].turn = 5), Err(V::LogTurn(5))));
        assert!(matches!(
            run(|h| h.log[0].level = "x y".into()),
            Err(V::LogLevel)
        ));
        assert!(matches!(run(|h| h.delta = vec![1]), Err(V::Delta(_))));
        let page_ten = [10u32.to_le_bytes().as_slice(), &[0, 0, 1, 0], &[0; 8]].concat();
        assert!(matches!(run(|h| h.delta = page_ten), Err(V::Delta(_))));
        assert!(matches!(
            run(|h| h.delta = vec![0; DELTA_BYTES_MAX + 1]),
            Err(V::TooMuch { what: "delta", .. })
        ));
        let long = format!("\"{}\"", "x".repeat(REPLY_BYTES_MAX));
        assert!(matches!(
            run(|h| h.replies[0].outcome = Outcome::Value(long)),
            Err(V::TooMuch {
                what: "an answer",
                ..
            })
        ));
        let escaped = "\u{1}".repeat(HANDED_BYTES_MAX / 2);
        assert!(matches!(
            run(|h| h.log[0].text = escaped),
            Err(V::TooMuch { what: "log", .. })
        ));
        let long = "x".repeat(HANDED_BYTES_MAX);
        assert!(matches!(
            run(|h| h.log[0].text = long),
            Err(V::TooMuch { what: "log", .. })
        ));
    }
}
