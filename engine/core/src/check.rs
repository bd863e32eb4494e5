//! T1: what a worker hands over is a claim until it has passed here.
//!
//! Promises: an accepted hand-over consumes delivered turns in order and at least one of them,
//! answers only requests that are open or consumed in it, each once, stays within every limit, and
//! its delta is well formed. Does not know where any of it goes.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use kenvat_store::{Delta, DeltaError, SpillFile};

use crate::limits::{DELTA_BYTES_MAX, HANDED_BYTES_MAX, REPLY_BYTES_MAX};
use crate::timers::Timer;
use kenvat_wire::protocol::{HandOver, LogLine, Outcome, Reply, TIMERS_MAX, TimerChange};
use kenvat_wire::text::{escaped_bytes, push_escaped};

/// What the host knows of the vat whose worker hands over.
pub struct Expected<'a> {
    /// Number of the last hand-over accepted from this generation.
    pub number: u64,
    pub handed_turn: u64,
    /// Last turn delivered.
    pub last_turn: u64,
    /// Requests consumed in earlier turns and not answered.
    pub open: &'a BTreeMap<u64, u64>,
    pub timers: &'a BTreeMap<u64, Timer>,
    /// Turns delivered that are timers', which have no answer.
    pub timer_turns: &'a BTreeSet<u64>,
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
    pub timers: Vec<TimerChange>,
    pub used_pages: u32,
    pub delta: Delta,
    /// The file with what is too large for a frame, durable and checked before (J7): the delta, or
    /// log and kept answers, or both.
    pub side: Option<SpillFile>,
    /// Whether the answers kept for clients are in that file, and a new vat's sources.
    pub rows_are_spilled: bool,
}

impl Checked {
    /// Bytes of it that a frame has, roughly.
    pub fn frame_bytes(&self) -> usize {
        let answers = match self.rows_are_spilled {
            true => 0,
            false => self.replies.iter().map(Reply::bytes).sum(),
        };
        self.delta.as_bytes().len() + self.log.len() + answers
    }
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
    #[error("timer {0} set or cleared twice")]
    TimerTwice(u64),
    #[error("timer {0} set, which is set already")]
    TimerKnown(u64),
    #[error("{found} timers; the limit is {limit}")]
    Timers { found: usize, limit: usize },
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
    check_place(&hand_over, expected)?;
    check_content(hand_over, expected.handed_turn, expected.page_limit)
}

/// What can be said with the vat at hand, and without a look at every byte.
pub fn check_place(hand_over: &HandOver, expected: &Expected<'_>) -> Result<(), Violation> {
    let HandOver {
        number,
        last_turn,
        used_pages,
        ..
    } = *hand_over;
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
    within("delta", hand_over.delta.len(), DELTA_BYTES_MAX)?;
    check_replies(&hand_over.replies, last_turn, expected)?;
    check_timers(&hand_over.timers, expected)
}

/// The rest: every byte of it. On any thread.
pub fn check_content(
    hand_over: HandOver,
    handed_turn: u64,
    page_limit: u32,
) -> Result<Checked, Violation> {
    let HandOver {
        number,
        last_turn,
        replies,
        log,
        timers,
        used_pages,
        delta,
        ..
    } = hand_over;
    check_json(&replies)?;
    let sent: usize = replies.iter().map(Reply::bytes).sum();
    let left = HANDED_BYTES_MAX.saturating_sub(sent);
    let log = check_log(&log, handed_turn, last_turn, left)?;
    let delta = Delta::parse(delta, page_limit)?;
    Ok(Checked {
        number,
        last_turn,
        replies,
        log,
        timers,
        used_pages,
        delta,
        side: None,
        rows_are_spilled: false,
    })
}

fn check_replies(replies: &[Reply], last: u64, expected: &Expected<'_>) -> Result<(), Violation> {
    let mut seen = HashSet::with_capacity(replies.len());
    for reply in replies {
        let request = reply.request;
        let consumed_here = request > expected.handed_turn
            && request <= last
            && !expected.timer_turns.contains(&request);
        if !consumed_here && !expected.open.contains_key(&request) {
            return Err(Violation::NotOpen(request));
        }
        if !seen.insert(request) {
            return Err(Violation::AnsweredTwice(request));
        }
        within("an answer", reply.bytes(), REPLY_BYTES_MAX)?;
    }
    within(
        "answers",
        replies.iter().map(Reply::bytes).sum(),
        HANDED_BYTES_MAX,
    )
}

fn check_json(replies: &[Reply]) -> Result<(), Violation> {
    for Reply { request, outcome } in replies {
        let Outcome::Value(json) = outcome else {
            continue;
        };
        let read = serde_json::from_str::<serde::de::IgnoredAny>(json);
        read.map_err(|error| Violation::NotJson {
            request: *request,
            why: error.to_string(),
        })?;
    }
    Ok(())
}

fn check_timers(changes: &[TimerChange], expected: &Expected<'_>) -> Result<(), Violation> {
    let mut seen = HashSet::with_capacity(changes.len());
    let mut count = expected.timers.len();
    for TimerChange { timer, due_ms } in changes {
        if !seen.insert(*timer) {
            return Err(Violation::TimerTwice(*timer));
        }
        let known = expected.timers.contains_key(timer);
        match (due_ms, known) {
            (Some(_), true) => return Err(Violation::TimerKnown(*timer)),
            (Some(_), false) => count += 1,
            (None, true) => count -= 1,
            // Its turn was undone, of which the vat knows nothing.
            (None, false) => {}
        }
    }
    // What fires in this hand-over is still counted: a vat at its limit may be one turn late.
    match count > TIMERS_MAX + expected.timer_turns.len() {
        true => Err(Violation::Timers {
            found: count,
            limit: TIMERS_MAX,
        }),
        false => Ok(()),
    }
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
        write_line(&mut out, line.turn, &line.level, &line.text);
    }
    Ok(out.into_bytes())
}

/// Renders one line.
pub fn write_line(out: &mut String, turn: u64, level: &str, text: &str) {
    out.push_str(&format!("{turn} {level} "));
    push_escaped(out, text);
    out.push('\n');
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
            timers: vec![
                TimerChange {
                    timer: 4,
                    due_ms: None,
                },
                TimerChange {
                    timer: 9,
                    due_ms: Some(-1),
                },
            ],
            used_pages: 10,
            pieces: 0,
            delta: vec![],
        }
    }

    fn run(change: impl FnOnce(&mut HandOver)) -> Result<Checked, Violation> {
        let open = BTreeMap::from([(2, 0)]);
        let timer = Timer {
            due_ms: 5,
            message: None,
        };
        let timers = BTreeMap::from([(4, timer)]);
        let expected = Expected {
            number: 0,
            handed_turn: 5,
            last_turn: 7,
            open: &open,
            timers: &timers,
            timer_turns: &BTreeSet::new(),
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
        assert!(matches!(
            run(|h| h.timers[1].timer = 4),
            Err(V::TimerTwice(4))
        ));
        assert!(matches!(
            run(|h| h.timers[0].due_ms = Some(7)),
            Err(V::TimerKnown(4))
        ));
        let many = |h: &mut HandOver| {
            let set = |timer| TimerChange {
                timer,
                due_ms: Some(0),
            };
            h.timers = (10..10 + TIMERS_MAX as u64).map(set).collect();
        };
        assert!(matches!(run(many), Err(V::Timers { .. })));
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
