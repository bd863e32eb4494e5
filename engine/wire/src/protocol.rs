//! What host and worker say to each other: message types, their coding, their framing.
//!
//! Promises: a message is `length: u32 LE` followed by that many bytes of bincode 2 (standard
//! configuration, little endian, variable integers); a length beyond the receiver's limit is
//! refused before anything is allocated; bytes left over after a message are an error. Does not
//! know what a heap is, and decides nothing: the checks of a hand-over (T1) are the host's, in
//! `turn`.
//!
//! An old worker keeps working with a new host, so a change here is a new `PROTOCOL_VERSION` and
//! the host keeps speaking the old ones.

use bincode::{Decode, Encode};

use crate::seed::Seed;

/// The version this build speaks.
pub const PROTOCOL_VERSION: u32 = 4;

/// The descriptor of the worker's status page: one page shared with the host, where the worker
/// notes the turn it runs (T3).
pub const STATUS_FD: i32 = 5;

/// Bytes of the status page.
pub const STATUS_BYTES: usize = 4096;

/// Where on it the turn stands that the worker runs, a word; 0 for none.
pub const STATUS_TURN_AT: u64 = 0;

/// Where on it stands how many pages were found written for the last hand-over, a word.
pub const STATUS_PAGES_AT: u64 = 8;

/// Bytes a turn may send: its answers, and its log lines as they stand in the log (J7).
pub const SENT_BYTES_MAX: usize = 64 << 20;

/// Bytes of a log line; a longer one is cut.
pub const LOG_LINE_BYTES_MAX: usize = 64 << 10;

/// Bytes sent that a worker holds before it hands over unasked. So a hand-over has at most these
/// and what one more turn sent.
pub const SENT_BYTES_HELD: usize = 16 << 20;

/// What a line of the log or an answer counts besides its text.
pub const SENT_OVERHEAD_BYTES: usize = 32;

/// Bytes of a delta that go with their hand-over, but for the last page of them. A larger one goes
/// before it, in pieces of this size (J7).
pub const DELTA_PIECE_BYTES: usize = 4 << 20;

/// Bytes of one message from a worker, coded: a piece of a delta, everything a hand-over may send,
/// and what goes with it.
pub const FROM_WORKER_BYTES_MAX: usize =
    DELTA_PIECE_BYTES + SENT_BYTES_MAX + SENT_BYTES_HELD + (1 << 20);

/// Bytes of one message to a worker, coded: a batch of calls, each at most 16 MiB.
pub const TO_WORKER_BYTES_MAX: usize = 64 << 20;

/// The descriptor the worker finds its socket at.
pub const SOCKET_FD: i32 = 3;

/// The descriptor the worker finds its heap image at, opened for reading only (I1).
pub const IMAGE_FD: i32 = 4;

/// Bytes of JavaScript's stack: calls that nest deeper end their turn. A property of the engine,
/// not a setting: how deep a program gets must not depend on the host it runs on.
pub const STACK_BYTES_MAX: usize = 1 << 20;

/// The worker's exit status when the heap would have grown past its limit.
pub const EXIT_HEAP_LIMIT: i32 = 77;

/// The worker's exit status when the host broke the protocol, or speaks another one.
pub const EXIT_PROTOCOL: i32 = 78;

/// Host to worker.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ToWorker {
    /// The first message, once.
    Start(Start),
    /// Run these turns in order. With `hand_over`, hand over when the last of them is done;
    /// otherwise go on, and hand over when asked.
    Deliver {
        turns: Vec<Delivery>,
        hand_over: bool,
    },
    /// Hand over now everything run since the last hand-over. A worker that has run nothing since
    /// answers nothing.
    HandOver,
    /// The hand-overs up to and including this number are in the image (H1).
    Applied { number: u64 },
    /// The host heard that a turn was undone, and delivers again what was not handed over. What it
    /// sent before this is void.
    AbortSeen,
}

/// Powers a vat has unless they are withheld from it. None lets it reach anybody, or keep anything
/// from its host: they give it its own turns' time, chance and end.
pub const DEFAULT_POWERS: [&str; 4] = ["abort", "clock", "random", "timer"];

/// Timers a vat may have set at a time.
pub const TIMERS_MAX: usize = 10_000;

/// How a worker begins.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Start {
    pub protocol: u32,
    /// Which life of this vat's worker this is; every message back carries it.
    pub generation: u64,
    /// Pages of 4 KiB the heap may grow to. The image file is at least this long.
    pub page_limit: u32,
    /// Make a genesis heap in an empty image instead of resuming one, hand it over, and end.
    pub genesis: bool,
    /// Gas a turn may use, in QuickJS's polls of 10,000.
    pub gas: u64,
    /// How to find written pages; `None` lets the worker take the best there is.
    pub tracker: Option<TrackerKind>,
}

/// The ways to find written pages (H4, H5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum TrackerKind {
    Userfaultfd,
    PrivatePages,
    Mprotect,
}

/// One message for the vat, and what is fixed for its turn.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Delivery {
    /// Number of the turn in the vat's life, from 1, without gaps.
    pub turn: u64,
    /// The turn's time, milliseconds since 1970, fixed within the turn and the same if delivered
    /// again.
    pub time_ms: i64,
    /// What the turn's chance is drawn from; the same if delivered again.
    pub seed: Seed,
    pub message: Message,
}

/// What a turn is about.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Message {
    /// Load the vat's program; always turn 1. Answered when the start function (and `init`)
    /// settled; until then hand-overs that are asked for are answered with `Starting`.
    Deploy { request: u64, program: Program },
    /// Call a method of the root object.
    Call {
        request: u64,
        method: String,
        /// The arguments: one JSON array, in the mapping of `docs/interfaces.md` section 3.
        args: String,
    },
    /// A timer is due. Nobody waits for an answer.
    Timer { timer: u64 },
    /// Read a program as for deploying it, and run nothing of it. Answered with a value that says
    /// what was found (`kenvat_engine::check`).
    Check { request: u64, program: Program },
}

/// A vat's sources, all of them, as found when it was deployed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Program {
    /// Key into `files` of the module to load.
    pub entry: String,
    /// Path (as the author would write it, `/`-separated, relative to the entry's folder, no `..`
    /// left over inside) and text of each file.
    pub files: Vec<(String, String)>,
    /// `powers.K` and the JSON text of its value.
    pub give: Vec<(String, String)>,
    /// Default powers it does not get.
    pub deny: Vec<String>,
}

/// Worker to host.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum FromWorker {
    /// The heap is mapped and the worker waits for turns.
    Ready {
        generation: u64,
        protocol: u32,
        tracker: TrackerKind,
    },
    /// A piece of the delta of the hand-over that follows: whole runs, in order.
    Delta { generation: u64, bytes: Vec<u8> },
    /// What happened since the last hand-over.
    HandOver(HandOver),
    /// Instead of the first hand-over: the program's start has not settled, so there is no vat yet
    /// whose turns could be handed over. It can go on when this timer is due, and never if there is
    /// none.
    Starting {
        generation: u64,
        last_turn: u64,
        next: Option<DueTimer>,
    },
    /// This turn went past a limit: the heap is as it was last handed over, and everything
    /// delivered since waits to be delivered again (T2).
    Aborted {
        generation: u64,
        turn: u64,
        by: AbortedBy,
        why: String,
    },
}

/// What ended a turn that was undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum AbortedBy {
    Gas,
    Heap,
    /// The program asked for it: `powers.abort(reason)`.
    Request,
    /// Its answers and log lines are more than a turn may send.
    Sent,
    /// Its calls nested deeper than JavaScript's stack allows.
    Stack,
}

/// Turns run since the last hand-over, and what they changed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct HandOver {
    pub generation: u64,
    /// Counts this worker's hand-overs from 1.
    pub number: u64,
    /// The last turn in it; the first is the one after the previous hand-over's last.
    pub last_turn: u64,
    /// Answers, in the order they were made; each request is answered once.
    pub replies: Vec<Reply>,
    /// Lines of `console` output, each with the turn that wrote it.
    pub log: Vec<LogLine>,
    /// Timers set and cleared, each at most once.
    pub timers: Vec<TimerChange>,
    /// Pages from the heap's start that are in use, for `show` and for limits.
    pub used_pages: u32,
    /// Pieces of the delta that were sent before; if there are any, `delta` is empty.
    pub pieces: u32,
    /// Changed words, in the form of `store/FORMAT.md` ("Delta"): against the last hand-over.
    pub delta: Vec<u8>,
}

impl HandOver {
    /// Bytes of what it carries, without the framing around it.
    pub fn bytes(&self) -> usize {
        let replies: usize = self.replies.iter().map(Reply::bytes).sum();
        let log: usize = self.log.iter().map(|line| line.text.len()).sum();
        self.delta.len() + replies + log + self.timers.len() * size_of::<TimerChange>()
    }
}

impl Reply {
    /// Bytes of the answer's texts.
    pub fn bytes(&self) -> usize {
        match &self.outcome {
            Outcome::Value(json) => json.len(),
            Outcome::Thrown(thrown) => {
                let nearest: usize = thrown.nearest.iter().map(String::len).sum();
                thrown.name.len() + thrown.message.len() + thrown.stack.len() + nearest
            }
        }
    }
}

/// The answer to one request.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Reply {
    pub request: u64,
    pub outcome: Outcome,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Outcome {
    /// JSON text in the mapping of `docs/interfaces.md`; `{"$undefined":true}` for `undefined`.
    Value(String),
    Thrown(Thrown),
}

/// An exception, as its author may see it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Thrown {
    /// `TypeError`, `NoSuchMethod`, … (the error's `name`).
    pub name: String,
    pub message: String,
    /// Stack with file, line and column of the author's own files; may be empty.
    pub stack: String,
    /// The names that were there, when a method was not found (nearest first, at most 8).
    pub nearest: Vec<String>,
}

/// The timer of a vat that is due first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct DueTimer {
    pub timer: u64,
    /// Milliseconds since 1970.
    pub due_ms: i64,
}

/// A timer that was set or cleared. Its effect is absolute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TimerChange {
    /// Numbers the vat's timers; never used again.
    pub timer: u64,
    /// When it is due, in milliseconds since 1970; `None` clears it.
    pub due_ms: Option<i64>,
}

/// One line of a vat's log.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LogLine {
    pub turn: u64,
    /// `log`, `info`, `warn`, `error` or `debug`.
    pub level: String,
    pub text: String,
}

/// Why bytes were not a message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    #[error("a message of {found} bytes is longer than the {limit} allowed")]
    TooLong { found: usize, limit: usize },
    #[error("{0} bytes follow a message that was already complete")]
    Trailing(usize),
    #[error("not a message of this protocol: {0}")]
    Malformed(String),
}

/// Appends the framed message to `out`.
///
/// # Panics
/// If the message is longer than `u32::MAX` bytes; senders bound what they put in.
pub fn encode<T: Encode>(message: &T, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    bincode::encode_into_std_write(message, out, bincode::config::standard())
        .expect("writing to a Vec cannot fail");
    let length = u32::try_from(out.len() - start - 4).expect("senders bound their messages");
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// The length of the frame that begins `bytes`, header included, once enough is there to tell.
pub fn frame_length(bytes: &[u8], limit: usize) -> Result<Option<usize>, CodecError> {
    let Some(header) = bytes.first_chunk::<4>() else {
        return Ok(None);
    };
    let found = u32::from_le_bytes(*header) as usize;
    if found > limit {
        return Err(CodecError::TooLong { found, limit });
    }
    Ok(Some(found + 4))
}

/// Decodes the body of one frame (without its four bytes of length).
pub fn decode<T: Decode<()>>(body: &[u8]) -> Result<T, CodecError> {
    // The limit stops a forged length inside the message from reserving more than the message's
    // own order of magnitude: no value of these types takes over 64 times its coded size.
    let config = bincode::config::standard().with_limit::<{ FROM_WORKER_BYTES_MAX * 2 }>();
    let (message, read) = bincode::decode_from_slice(body, config)
        .map_err(|error| CodecError::Malformed(error.to_string()))?;
    match body.len() - read {
        0 => Ok(message),
        rest => Err(CodecError::Trailing(rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::SEED_BYTES;

    #[test]
    fn a_message_comes_back_as_it_went() {
        let message = ToWorker::Deliver {
            turns: vec![Delivery {
                turn: 7,
                time_ms: -1,
                seed: Seed::from([0xa5; SEED_BYTES]),
                message: Message::Call {
                    request: 3,
                    method: "m".into(),
                    args: "[1]".into(),
                },
            }],
            hand_over: true,
        };
        let mut bytes = Vec::new();
        encode(&message, &mut bytes);
        let length = frame_length(&bytes, 1000).unwrap().unwrap();
        assert_eq!(length, bytes.len());
        assert_eq!(decode::<ToWorker>(&bytes[4..]).unwrap(), message);
    }

    #[test]
    fn a_forged_length_is_refused_before_anything_is_read() {
        assert!(matches!(
            frame_length(&[0xff; 4], 1000),
            Err(CodecError::TooLong { limit: 1000, .. })
        ));
        assert!(frame_length(&[1, 0, 0], 1000).unwrap().is_none());
    }

    #[test]
    fn bytes_after_a_message_and_forged_inner_lengths_are_refused() {
        let mut bytes = Vec::new();
        encode(&ToWorker::HandOver, &mut bytes);
        bytes.push(0);
        assert!(matches!(
            decode::<ToWorker>(&bytes[4..]),
            Err(CodecError::Trailing(1))
        ));
        // Variant Deliver, then a vector said to hold 2^60 turns.
        let forged = [1, 253, 0, 0, 0, 0, 0, 0, 0, 16];
        assert!(matches!(
            decode::<ToWorker>(&forged),
            Err(CodecError::Malformed(_))
        ));
    }
}
