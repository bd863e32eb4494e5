//! Every limit of the engine's host side, each with its name, in one table.

use std::ops::RangeInclusive;

use kenvat_store::{JOURNAL_BYTES_MAX, LOG_FILE_BYTES, PAGE_BYTES};

use crate::api::{Limit, LimitError};
use kenvat_wire::protocol::{
    LOG_LINE_BYTES_MAX, SENT_BYTES_HELD, SENT_BYTES_MAX, STACK_BYTES_MAX, TIMERS_MAX,
};

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
pub const DELTA_BYTES_MAX: usize = kenvat_store::CHUNK_BYTES_MAX;
/// Bytes of deltas on their way to side files, of all vats: beyond it their workers wait. As many
/// of what hand-overs say besides.
pub const SPILL_BYTES_QUEUED: usize = 64 << 20;
/// Bytes that a hand-over logs and answers under keys, so few that they are no reason for a side
/// file: its two syncs would cost more.
pub const SPILL_BYTES_MIN: usize = 64 << 10;
/// Bytes of a worker's message beyond which there is memory for some of them at a time only: more
/// than a piece of a delta, or a hand-over that goes into a frame whole.
pub const LONG_MESSAGE_BYTES: usize = DELTA_BYTES_MAX + FRAME_BYTES;
/// Bytes of hand-overs after which a frame takes no more: the others wait for the next one. One
/// that alone would have more goes to a side file, by its delta or by what it says (J7).
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
pub const DEPLOYMENTS_MAX: usize = 64;
/// Milliseconds from a deployment until its start has settled, waits for its own timers included.
pub const START_MS_MAX: i64 = 600_000;
/// Vats at once whose start waits for a timer: each has a process, and no turn that would end.
pub const PENDING_DEPLOYMENTS_MAX: usize = 16;
/// Starts of workers that fail for want of descriptors, memory or process numbers, in a row, before
/// those who wait are told.
pub const START_TRIES_MAX: u32 = 8;
/// Milliseconds until the first start after such a failure; twice as many after each further one.
pub const START_PAUSE_MS: i64 = 25;
/// Milliseconds such a pause has at most.
pub const START_PAUSE_MS_MAX: i64 = 5_000;
/// Milliseconds a vat waits for its next turn after one that went past a limit: as long as a dozen
/// small turns of another vat. One it undid itself, by `powers.abort`, is no such turn.
pub const UNDONE_PAUSE_MS: u64 = 4;
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
    /// Bytes of a deployment's sources together, and vats being born at once.
    pub source: usize,
    pub deployments: usize,
    /// Milliseconds a vat's start may take, and vats at once whose start waits for a timer.
    pub start: u64,
    pub pending_deployments: usize,
    /// Requests that wait for one vat, and their bytes.
    pub waiting: usize,
    pub waiting_bytes: usize,
    /// Requests of one vat that are consumed and whose promise is pending.
    pub open: usize,
    /// Turns a worker may run ahead of its last hand-over.
    pub group: usize,
    /// Answers kept for one client, their bytes, those of all clients, and ids of one client that
    /// are remembered without their answer.
    pub answers: u64,
    pub answer_bytes: u64,
    pub host_answer_bytes: u64,
    pub ids: u64,
    /// Deaths of a worker over one message before the message is answered with an error.
    pub poison: u32,
    /// Milliseconds a vat waits for its next turn after one that went past a limit.
    pub pause: u64,
    /// Bytes of hand-overs after which a frame takes no more, and of what a hand-over says that are
    /// no reason for a spill file. No option: a simulation has smaller ones.
    pub frame: usize,
    pub spill_min: usize,
}

impl Default for CoreLimits {
    fn default() -> CoreLimits {
        CoreLimits {
            message: CALL_BYTES_MAX,
            source: SOURCE_BYTES_MAX,
            deployments: DEPLOYMENTS_MAX,
            start: START_MS_MAX as u64,
            pending_deployments: PENDING_DEPLOYMENTS_MAX,
            waiting: QUEUE_REQUESTS_MAX,
            waiting_bytes: QUEUE_BYTES_MAX,
            open: OPEN_REQUESTS_MAX,
            group: GROUP_TURNS_MAX,
            answers: ANSWERS_MAX,
            answer_bytes: ANSWER_BYTES_MAX,
            host_answer_bytes: HOST_ANSWER_BYTES_MAX,
            ids: ANSWERS_GONE_MAX,
            poison: POISON_DEATHS,
            pause: UNDONE_PAUSE_MS,
            frame: FRAME_BYTES,
            spill_min: SPILL_BYTES_MIN,
        }
    }
}

impl CoreLimits {
    /// One of them by its name in the table; `None` where it is none of these.
    pub fn get(&self, name: &str) -> Option<u64> {
        Some(match name {
            "message" => self.message as u64,
            "source" => self.source as u64,
            "births" => self.deployments as u64,
            "start" => self.start,
            "starts-waiting" => self.pending_deployments as u64,
            "waiting" => self.waiting as u64,
            "waiting-bytes" => self.waiting_bytes as u64,
            "open" => self.open as u64,
            "group" => self.group as u64,
            "answers" => self.answers,
            "answer-bytes" => self.answer_bytes,
            "host-answer-bytes" => self.host_answer_bytes,
            "ids" => self.ids,
            "poison" => u64::from(self.poison),
            "pause" => self.pause,
            _ => return None,
        })
    }

    /// Sets one that was found settable to this.
    pub fn set(&mut self, name: &str, value: u64) {
        let size = usize::try_from(value).unwrap_or(usize::MAX);
        match name {
            "message" => self.message = size,
            "source" => self.source = size,
            "births" => self.deployments = size,
            "start" => self.start = value,
            "starts-waiting" => self.pending_deployments = size,
            "waiting" => self.waiting = size,
            "waiting-bytes" => self.waiting_bytes = size,
            "open" => self.open = size,
            "group" => self.group = size,
            "answers" => self.answers = value,
            "answer-bytes" => self.answer_bytes = value,
            "host-answer-bytes" => self.host_answer_bytes = value,
            "ids" => self.ids = value,
            "poison" => self.poison = u32::try_from(value).unwrap_or(u32::MAX),
            "pause" => self.pause = value,
            _ => unreachable!("checked: it can be set"),
        }
    }
}

/// Whether a limit can be set, and why not.
enum Can {
    /// To one of these. Below the least, nothing would work; above the most, a fixed bound of a
    /// message, a row or an address would be met first.
    BeSet(RangeInclusive<u64>),
    /// It is in the executable its vat was born with, where it decides which turns are undone:
    /// every host must draw the same line, or the same messages would not make the same heap.
    Engine,
    /// It is in how files, frames and messages are laid out, where another one bounds it.
    Layout,
}

impl Can {
    fn why_not(&self) -> &'static str {
        match self {
            Can::BeSet(_) => "",
            Can::Engine => "it belongs to the engine a vat is born with",
            Can::Layout => "it belongs to the layout of files and messages",
        }
    }
}

/// A row of the table: name, default, unit, whether it can be set, meaning.
type Row = (&'static str, u64, &'static str, Can, &'static str);

const PAGES_BYTES_MAX: u64 = kenvat_store::PAGE_LIMIT_MAX as u64 * PAGE_BYTES as u64;

/// Every limit, once.
const ROWS: [Row; 30] = {
    use Can::{BeSet, Engine, Layout};
    [
        (
            "heap",
            HEAP_BYTES_MAX,
            "bytes",
            BeSet(4 << 20..=PAGES_BYTES_MAX),
            "what a vat's heap may grow to",
        ),
        (
            "gas",
            GAS_MAX,
            "units",
            BeSet(10_000..=u64::MAX),
            "what a turn may compute: calls and backward jumps",
        ),
        (
            "turn",
            TURN_MS_MAX,
            "ms",
            BeSet(10..=86_400_000),
            "how long a turn may run",
        ),
        (
            "start",
            START_MS_MAX as u64,
            "ms",
            BeSet(1..=7 * 24 * 3600 * 1000),
            "how long a vat's start may take, waits for its own timers included",
        ),
        (
            "starts-waiting",
            PENDING_DEPLOYMENTS_MAX as u64,
            "vats",
            BeSet(1..=10_000),
            "vats at once whose start waits for a timer",
        ),
        (
            "sleep-after",
            SLEEP_AFTER_MS,
            "ms",
            BeSet(0..=u64::MAX),
            "an idle vat's process ends after this; 0 is never",
        ),
        (
            "awake",
            AWAKE_MAX as u64,
            "vats",
            BeSet(1..=1 << 20),
            "processes at once; the longest idle sleeps for the next",
        ),
        (
            "stack",
            STACK_BYTES_MAX as u64,
            "bytes",
            Engine,
            "how deep a turn's calls may nest; the engine's",
        ),
        (
            "message",
            CALL_BYTES_MAX as u64,
            "bytes",
            BeSet(1 << 10..=CALL_BYTES_MAX as u64),
            "method and arguments of one call",
        ),
        (
            "method",
            METHOD_BYTES_MAX as u64,
            "bytes",
            Layout,
            "a method's name",
        ),
        (
            "source",
            SOURCE_BYTES_MAX as u64,
            "bytes",
            BeSet(1 << 10..=SOURCE_BYTES_MAX as u64),
            "all files of one deployment",
        ),
        (
            "waiting",
            QUEUE_REQUESTS_MAX as u64,
            "requests",
            BeSet(1..=10_000_000),
            "calls that wait for one vat",
        ),
        (
            "waiting-bytes",
            QUEUE_BYTES_MAX as u64,
            "bytes",
            BeSet(1 << 20..=16 << 30),
            "calls that wait for one vat",
        ),
        (
            "open",
            OPEN_REQUESTS_MAX as u64,
            "requests",
            BeSet(1..=10_000_000),
            "calls of one vat whose promise is pending",
        ),
        (
            "timers",
            TIMERS_MAX as u64,
            "timers",
            Engine,
            "timers one vat has set; the engine's",
        ),
        (
            "group",
            GROUP_TURNS_MAX as u64,
            "turns",
            BeSet(1..=GROUP_TURNS_MAX as u64),
            "turns run ahead of a hand-over, and again after a death",
        ),
        (
            "sent",
            SENT_BYTES_MAX as u64,
            "bytes",
            Engine,
            "what a turn may send: its answers and log lines; the engine's",
        ),
        (
            "value",
            REPLY_BYTES_MAX as u64,
            "bytes",
            Engine,
            "one answer; the engine's",
        ),
        (
            "log-line",
            LOG_LINE_BYTES_MAX as u64,
            "bytes",
            Engine,
            "a log line, cut where it is longer; the engine's",
        ),
        (
            "delta",
            DELTA_BYTES_MAX as u64,
            "bytes",
            Layout,
            "heap change that goes into a frame; more goes to a file of its own",
        ),
        (
            "frame",
            FRAME_BYTES as u64,
            "bytes",
            Layout,
            "hand-overs in one frame of the journal; what is larger goes to a file of its own",
        ),
        (
            "journal",
            JOURNAL_BYTES_MAX,
            "bytes",
            Layout,
            "journal no fold has covered: past it commits wait, and so much disk is held in hand",
        ),
        (
            "log",
            2 * LOG_FILE_BYTES,
            "bytes",
            Layout,
            "a vat's log kept: its oldest half goes when it is full",
        ),
        (
            "births",
            DEPLOYMENTS_MAX as u64,
            "vats",
            BeSet(1..=10_000),
            "deployments at once",
        ),
        (
            "answers",
            ANSWERS_MAX,
            "answers",
            BeSet(1..=100_000_000),
            "answers kept for one client",
        ),
        (
            "answer-bytes",
            ANSWER_BYTES_MAX,
            "bytes",
            BeSet(1 << 20..=HOST_ANSWER_BYTES_MAX),
            "answers kept for one client",
        ),
        (
            "host-answer-bytes",
            HOST_ANSWER_BYTES_MAX,
            "bytes",
            BeSet(1 << 20..=1 << 40),
            "answers kept for all clients",
        ),
        (
            "ids",
            ANSWERS_GONE_MAX,
            "ids",
            BeSet(1..=100_000_000),
            "ids of one client remembered without their answer",
        ),
        (
            "poison",
            POISON_DEATHS as u64,
            "deaths",
            BeSet(1..=100),
            "worker deaths before a message is refused",
        ),
        (
            "pause",
            UNDONE_PAUSE_MS,
            "ms",
            BeSet(0..=60_000),
            "a vat's wait for its next turn after one past a limit",
        ),
    ]
};

/// Whether the limit exists, can be set, and to this.
pub fn check_settable(name: &str, value: u64) -> Result<(), LimitError> {
    let settable = || {
        let settable = ROWS.iter().filter(|row| matches!(row.3, Can::BeSet(_)));
        settable.map(|row| row.0).collect::<Vec<_>>().join(", ")
    };
    let Some((.., can, _)) = ROWS.iter().find(|row| row.0 == name) else {
        return Err(LimitError::Unknown {
            name: name.to_owned(),
            settable: settable(),
        });
    };
    match can {
        Can::BeSet(range) if range.contains(&value) => Ok(()),
        Can::BeSet(range) => Err(LimitError::OutOfRange {
            name: name.to_owned(),
            least: *range.start(),
            most: *range.end(),
            value,
        }),
        fixed => Err(LimitError::Fixed {
            name: name.to_owned(),
            why: fixed.why_not(),
            settable: settable(),
        }),
    }
}

/// The table `kenvat limits` shows, with its defaults.
pub fn table() -> Vec<Limit> {
    let row = |(name, value, unit, _, meaning): &Row| Limit {
        name,
        value: *value,
        unit,
        set_by: "default".to_owned(),
        meaning,
    };
    ROWS.iter().map(row).collect()
}
