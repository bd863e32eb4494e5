//! Every limit of the engine's host side, each with its name, in one table.

use std::ops::RangeInclusive;

use kenvat_store::PAGE_BYTES;

use crate::api::Limit;
use crate::protocol::{SENT_BYTES_HELD, SENT_BYTES_MAX, STACK_BYTES_MAX, TIMERS_MAX};

/// Bytes of one call's method and arguments.
pub const CALL_BYTES_MAX: usize = 16 << 20;
/// Bytes of a method's name.
pub const METHOD_BYTES_MAX: usize = 1024;
/// Bytes of a deployment's sources together.
pub const SOURCE_BYTES_MAX: usize = 16 << 20;
/// Requests that wait for one vat.
pub const QUEUE_REQUESTS_MAX: usize = 10_000;
/// Bytes of the requests that wait for one vat.
pub const QUEUE_BYTES_MAX: usize = 64 << 20;
/// Requests of one vat that are consumed and whose promise is pending.
pub const OPEN_REQUESTS_MAX: usize = 100_000;
/// Turns a worker may run ahead of its last hand-over: bounds what a death makes run again.
pub const GROUP_TURNS_MAX: usize = 1_024;
/// Bytes of the messages of those turns, unless one message alone is larger.
pub const GROUP_BYTES_MAX: usize = 24 << 20;
/// Bytes of one answer: it must fit into a row of the catalog, and into one message.
pub const REPLY_BYTES_MAX: usize = 16 << 20;
/// Bytes a hand-over may answer and log: what one turn may send, and what its worker held before.
pub const HANDED_BYTES_MAX: usize = SENT_BYTES_MAX + SENT_BYTES_HELD;
/// Bytes of a delta that comes with its hand-over: a piece and the last page of it. A larger one
/// goes to a side file (J7).
pub const DELTA_BYTES_MAX: usize = kenvat_store::PIECE_BYTES_MAX;
/// Bytes of deltas on their way to side files, of all vats: beyond it their workers wait.
pub const SIDE_BYTES_QUEUED: usize = 64 << 20;
/// Bytes of hand-overs after which a frame takes no more, unless one alone is larger: the others
/// wait for the next one.
pub const FRAME_BYTES: usize = 4 << 20;
/// Bytes of answers kept for one client.
pub const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// Bytes of answers kept for all clients together.
pub const HOST_ANSWER_BYTES_MAX: u64 = 1 << 30;
/// Answers kept for one client.
pub const ANSWERS_MAX: u64 = 100_000;
/// Ids of one client that are remembered after their answer was dropped.
pub const ANSWERS_GONE_MAX: u64 = 1_000_000;
/// Bytes of a contract's own reason for undoing a turn.
pub const ABORT_REASON_BYTES_MAX: usize = 4096;
/// Gas a turn may use.
pub const GAS_MAX: u64 = 100_000_000;
/// Milliseconds a turn may run.
pub const TURN_MS_MAX: u64 = 10_000;
/// Deaths of a worker over one message before the message is answered with an error (T3).
pub const POISON_DEATHS: u32 = 3;
/// Kills of a worker from outside over one message, in a row, before the message is answered with
/// an error: an operator does not do that, a machine without memory does.
pub const KILLS_MAX: u32 = 10;
/// Vats being born at once.
pub const BIRTHS_MAX: usize = 64;
/// Milliseconds from a deployment until its start has settled, waits for its own timers included.
pub const START_MS_MAX: i64 = 600_000;
/// Vats at once whose start waits for a timer: each has a process, and no turn that would end.
pub const STARTS_WAITING_MAX: usize = 16;
/// Starts of workers that fail for want of descriptors, memory or process numbers, in a row, before
/// those who wait are told.
pub const START_TRIES_MAX: u32 = 8;
/// Milliseconds until the first start after such a failure; twice as many after each further one.
pub const START_PAUSE_MS: i64 = 25;
/// Milliseconds such a pause has at most.
pub const START_PAUSE_MS_MAX: i64 = 5_000;
/// Deaths of a worker before it took any message, after which the vat is broken (T3).
pub const START_DEATHS: u32 = 3;

/// Bytes a heap may grow to unless told otherwise.
pub const HEAP_BYTES_MAX: u64 = 256 << 20;
/// Milliseconds after which an idle vat sleeps.
pub const SLEEP_AFTER_MS: u64 = 60_000;
/// Vats awake at once, where the machine has the descriptors for it.
pub const AWAKE_MAX: usize = 1_024;

/// The limits of the core that can be set when a host starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreLimits {
    /// Bytes of one call's method and arguments.
    pub message: usize,
    /// Requests that wait for one vat, and their bytes.
    pub waiting: usize,
    pub waiting_bytes: usize,
    /// Requests of one vat that are consumed and whose promise is pending.
    pub open: usize,
    /// Answers kept for one client, and their bytes.
    pub answers: u64,
    pub answer_bytes: u64,
}

impl Default for CoreLimits {
    fn default() -> CoreLimits {
        CoreLimits {
            message: CALL_BYTES_MAX,
            waiting: QUEUE_REQUESTS_MAX,
            waiting_bytes: QUEUE_BYTES_MAX,
            open: OPEN_REQUESTS_MAX,
            answers: ANSWERS_MAX,
            answer_bytes: ANSWER_BYTES_MAX,
        }
    }
}

/// What a limit that can be set may be. Below the least, nothing would work; above the most, a
/// fixed bound of a message, a row or an address would be met first.
fn range(name: &str) -> Option<RangeInclusive<u64>> {
    Some(match name {
        "heap" => 4 << 20..=u64::from(kenvat_store::PAGE_LIMIT_MAX) * PAGE_BYTES as u64,
        "gas" => 10_000..=u64::MAX,
        "turn" => 10..=86_400_000,
        "sleep-after" => 0..=u64::MAX,
        "awake" => 1..=1 << 20,
        "message" => 1 << 10..=CALL_BYTES_MAX as u64,
        "waiting" => 1..=10_000_000,
        "waiting-bytes" => 1 << 20..=16 << 30,
        "open" => 1..=10_000_000,
        "answers" => 1..=100_000_000,
        "answer-bytes" => 1 << 20..=HOST_ANSWER_BYTES_MAX,
        _ => return None,
    })
}

/// The limits that can be set, for people.
pub const SETTABLE: [&str; 11] = [
    "heap",
    "gas",
    "turn",
    "sleep-after",
    "awake",
    "message",
    "waiting",
    "waiting-bytes",
    "open",
    "answers",
    "answer-bytes",
];

/// Whether the limit exists, can be set, and to this.
pub fn check_settable(name: &str, value: u64) -> Result<(), String> {
    let Some(range) = range(name) else {
        let known = SETTABLE.join(", ");
        return Err(match table().iter().any(|limit| limit.name == name) {
            true => format!("the limit `{name}` is fixed; these can be set: {known}"),
            false => format!("there is no limit `{name}`; these can be set: {known}"),
        });
    };
    if range.contains(&value) {
        return Ok(());
    }
    let (least, most) = (range.start(), range.end());
    Err(format!(
        "the limit `{name}` can be {least} to {most}, not {value}"
    ))
}

/// The table `kenvat limits` shows, with its defaults.
pub fn table() -> Vec<Limit> {
    let row = |name, value, unit, meaning| Limit {
        name,
        value,
        unit,
        set_by: "default".to_owned(),
        meaning,
    };
    vec![
        row(
            "heap",
            HEAP_BYTES_MAX,
            "bytes",
            "what a vat's heap may grow to",
        ),
        row(
            "gas",
            GAS_MAX,
            "units",
            "what a turn may compute: calls and backward jumps",
        ),
        row("turn", TURN_MS_MAX, "ms", "how long a turn may run"),
        row(
            "start",
            START_MS_MAX as u64,
            "ms",
            "how long a vat's start may take, waits for its own timers included",
        ),
        row(
            "starts-waiting",
            STARTS_WAITING_MAX as u64,
            "vats",
            "vats at once whose start waits for a timer",
        ),
        row(
            "sleep-after",
            SLEEP_AFTER_MS,
            "ms",
            "an idle vat's process ends after this; 0 is never",
        ),
        row(
            "awake",
            AWAKE_MAX as u64,
            "vats",
            "processes at once; the longest idle sleeps for the next",
        ),
        row(
            "stack",
            STACK_BYTES_MAX as u64,
            "bytes",
            "how deep a turn's calls may nest; the same for every vat of an engine",
        ),
        row(
            "message",
            CALL_BYTES_MAX as u64,
            "bytes",
            "method and arguments of one call",
        ),
        row(
            "method",
            METHOD_BYTES_MAX as u64,
            "bytes",
            "a method's name",
        ),
        row(
            "source",
            SOURCE_BYTES_MAX as u64,
            "bytes",
            "all files of one deployment",
        ),
        row(
            "waiting",
            QUEUE_REQUESTS_MAX as u64,
            "requests",
            "calls that wait for one vat",
        ),
        row(
            "waiting-bytes",
            QUEUE_BYTES_MAX as u64,
            "bytes",
            "calls that wait for one vat",
        ),
        row(
            "open",
            OPEN_REQUESTS_MAX as u64,
            "requests",
            "calls of one vat whose promise is pending",
        ),
        row(
            "timers",
            TIMERS_MAX as u64,
            "timers",
            "timers one vat has set",
        ),
        row(
            "group",
            GROUP_TURNS_MAX as u64,
            "turns",
            "turns run ahead of a hand-over",
        ),
        row(
            "sent",
            SENT_BYTES_MAX as u64,
            "bytes",
            "what a turn may send: its answers and log lines",
        ),
        row(
            "delta",
            DELTA_BYTES_MAX as u64,
            "bytes",
            "heap change that goes into a frame; more goes to a file of its own",
        ),
        row(
            "answers",
            ANSWERS_MAX,
            "answers",
            "answers kept for one client",
        ),
        row(
            "answer-bytes",
            ANSWER_BYTES_MAX,
            "bytes",
            "answers kept for one client",
        ),
        row(
            "ids",
            ANSWERS_GONE_MAX,
            "ids",
            "ids of one client remembered without their answer",
        ),
        row(
            "poison",
            u64::from(POISON_DEATHS),
            "deaths",
            "worker deaths before a message is refused",
        ),
    ]
}
