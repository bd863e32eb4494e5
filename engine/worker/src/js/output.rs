//! What turns said since the last hand-over: answers and log lines, kept in this process only.
//!
//! They leave with the delta of the turns that made them, or not at all. Callbacks from C reach
//! this without an argument, hence one thread-local; the worker has one thread.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::value::Value;
use crate::abort;
use kenvat_wire::protocol::{
    DueTimer, LogLine, Outcome, Reply, SENT_BYTES_MAX, SENT_OVERHEAD_BYTES, Thrown, TimerChange,
};
use kenvat_wire::text::{beginning, escaped_bytes};

/// Bytes of one log line; what is longer is cut.
const LINE_BYTES_MAX: usize = kenvat_wire::protocol::LOG_LINE_BYTES_MAX;
/// Bytes of an exception's message or stack; what is longer is cut.
const THROWN_BYTES_MAX: usize = 64 << 10;

#[derive(Default)]
struct Turn {
    number: u64,
    /// Bytes it has sent.
    bytes: usize,
    /// Promises rejected in this turn and not handled so far, with their reasons.
    unhandled: Vec<Unhandled>,
}

#[derive(Default)]
struct State {
    replies: Vec<Reply>,
    log: Vec<LogLine>,
    /// Timers set (when) and cleared since the last hand-over.
    timers: BTreeMap<u64, Option<i64>>,
    bytes: usize,
    turn: Turn,
}

impl State {
    /// Counts what the turn sends; past the limit the turn is undone and keeps nothing (J7).
    fn may_send(&mut self, bytes: usize) -> bool {
        let bytes = bytes + SENT_OVERHEAD_BYTES;
        self.turn.bytes += bytes;
        self.bytes += bytes;
        let is_within = self.turn.bytes <= SENT_BYTES_MAX;
        if !is_within {
            abort::sent_too_much(format!(
                "the turn's answers and log lines are more than the {SENT_BYTES_MAX} bytes a turn \
                 may send"
            ));
        }
        is_within
    }
}

/// What a hand-over carries beside the delta.
#[derive(Debug, Default)]
pub struct Output {
    pub replies: Vec<Reply>,
    pub log: Vec<LogLine>,
    pub timers: Vec<TimerChange>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

fn with<T>(change: impl FnOnce(&mut State) -> T) -> T {
    STATE.with_borrow_mut(change)
}

pub fn begin_turn(number: u64) {
    with(|state| {
        state.turn = Turn {
            number,
            ..Turn::default()
        }
    });
}

/// Forgets everything said since the last hand-over: its turns are undone. Values are not given
/// back to a heap that is older than they are.
pub fn discard() {
    let state = with(std::mem::take);
    std::mem::forget(state.turn.unhandled);
}

/// Takes everything said since it was last taken.
pub fn take() -> Output {
    with(|state| {
        state.bytes = 0;
        Output {
            replies: std::mem::take(&mut state.replies),
            log: std::mem::take(&mut state.log),
            timers: std::mem::take(&mut state.timers)
                .into_iter()
                .map(|(timer, due_ms)| TimerChange { timer, due_ms })
                .collect(),
        }
    })
}

/// Bytes that wait to be handed over.
pub fn waiting_bytes() -> usize {
    with(|state| state.bytes)
}

/// Answers a request.
pub fn reply(request: u64, outcome: Outcome) {
    let outcome = bounded(outcome);
    let reply = Reply { request, outcome };
    with(|state| {
        if state.may_send(reply.bytes()) {
            state.replies.push(reply);
        }
    });
}

/// Sets a timer, or clears it. One that was set and cleared since the last hand-over never was.
pub fn timer(timer: u64, due_ms: Option<i64>) {
    with(|state| {
        let known = state.timers.remove(&timer).flatten().is_some();
        if due_ms.is_some() || !known {
            state.timers.insert(timer, due_ms);
        }
    });
}

/// A timer fired. One that was set since the last hand-over, by a start that waits for it, never
/// was.
pub fn fired(timer: u64) {
    with(|state| {
        if state.timers.get(&timer).copied().flatten().is_some() {
            state.timers.remove(&timer);
        }
    });
}

/// The timer due first of those set since the last hand-over.
pub fn next_timer() -> Option<DueTimer> {
    with(|state| {
        let set = state.timers.iter();
        let due = set.filter_map(|(timer, due_ms)| Some((due_ms.as_ref().copied()?, *timer)));
        let (due_ms, timer) = due.min()?;
        Some(DueTimer { timer, due_ms })
    })
}

/// Whether the request has an answer that waits to be handed over.
pub fn is_answered(request: u64) -> bool {
    with(|state| state.replies.iter().any(|reply| reply.request == request))
}

/// Writes a line to the vat's log.
pub fn log(level: &str, text: &str) {
    let text = cut(text, LINE_BYTES_MAX);
    with(|state| {
        if state.may_send(escaped_bytes(&text)) {
            state.log.push(LogLine {
                turn: state.turn.number,
                level: level.to_owned(),
                text,
            });
        }
    });
}

/// A promise that was rejected and that nobody handled so far.
pub struct Unhandled {
    pub promise: Value,
    pub reason: Value,
    /// What ran when it was rejected, where the reason does not know itself.
    pub place: Option<String>,
}

pub fn rejected(promise: Value, reason: Value, place: Option<String>) {
    let rejection = Unhandled {
        promise,
        reason,
        place,
    };
    with(|state| state.turn.unhandled.push(rejection));
}

pub fn handled(promise: &Value) {
    let found = with(|state| {
        let unhandled = &mut state.turn.unhandled;
        let at = unhandled
            .iter()
            .position(|other| other.promise.is_same_object(promise))?;
        Some(unhandled.remove(at))
    });
    // Dropped here, outside the borrow: freeing a value can run a finaliser.
    drop(found);
}

/// The rejections nobody handled.
pub fn take_unhandled() -> Vec<Unhandled> {
    with(|state| std::mem::take(&mut state.turn.unhandled))
}

pub fn thrown(name: &str, message: String) -> Outcome {
    let (stack, nearest) = (String::new(), Vec::new());
    Outcome::Thrown(Thrown {
        name: name.to_owned(),
        message,
        stack,
        nearest,
    })
}

/// A text of an error as far as it is told.
pub fn cut_error(text: &str) -> String {
    cut(text, THROWN_BYTES_MAX)
}

fn bounded(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Value(_) => outcome,
        Outcome::Thrown(thrown) => Outcome::Thrown(Thrown {
            name: cut_error(&thrown.name),
            message: cut_error(&thrown.message),
            stack: cut_error(&thrown.stack),
            nearest: thrown.nearest,
        }),
    }
}

fn cut(text: &str, limit: usize) -> String {
    match beginning(text, limit) {
        whole if whole.len() == text.len() => whole.to_owned(),
        part => format!("{part}…"),
    }
}
