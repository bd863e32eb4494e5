//! The messages between host and worker, byte by byte: workers of every age speak them.
//!
//! A message is its length (u32 LE) and its body, coded as in `store/FORMAT.md` ("Coding"); the
//! bytes below were worked out from there, not by the library that does the coding. A change of
//! them cuts a host off from the workers its vats were born with, so it is a new
//! `PROTOCOL_VERSION`. Whatever bytes a message has, it is read or refused.

use bincode::Encode;
use kenvat_wire::protocol::{
    AbortedBy, Delivery, DueTimer, FromWorker, HandOver, LogLine, Message, Outcome,
    PROTOCOL_VERSION, Program, Reply, Start, Thrown, TimerChange, ToWorker, TrackerKind, decode,
    encode,
};
use kenvat_wire::seed::{SEED_BYTES, Seed};

fn program() -> Program {
    Program {
        entry: "main.js".into(),
        files: vec![("main.js".into(), "1".into())],
        give: vec![("k".into(), "2".into())],
        deny: vec!["timer".into()],
    }
}

fn deliver(message: Message, hand_over: bool) -> ToWorker {
    let turn = Delivery {
        turn: 7,
        time_ms: -1,
        seed: Seed::from([0xa5; SEED_BYTES]),
        message,
    };
    ToWorker::Deliver {
        turns: vec![turn],
        hand_over,
    }
}

fn hand_over() -> HandOver {
    let thrown = Thrown {
        name: "TypeError".into(),
        message: "no".into(),
        stack: String::new(),
        nearest: vec!["a".into()],
    };
    HandOver {
        generation: 3,
        number: 1,
        last_turn: 9,
        replies: vec![
            Reply {
                request: 1,
                outcome: Outcome::Value("1".into()),
            },
            Reply {
                request: 2,
                outcome: Outcome::Thrown(thrown),
            },
        ],
        log: vec![LogLine {
            turn: 9,
            level: "log".into(),
            text: "hi".into(),
        }],
        timers: vec![
            TimerChange {
                timer: 5,
                due_ms: Some(1000),
            },
            TimerChange {
                timer: 6,
                due_ms: None,
            },
        ],
        used_pages: 141,
        pieces: 0,
        delta: vec![7; 3],
    }
}

/// What the host says, and its bytes.
fn to_worker() -> Vec<(ToWorker, &'static str)> {
    vec![
        (
            ToWorker::Start(Start {
                protocol: 4,
                generation: 3,
                page_limit: 256,
                genesis: false,
                gas: 10_000,
                tracker: None,
            }),
            "0b000000000403fb000100fb102700",
        ),
        (
            ToWorker::Start(Start {
                protocol: 4,
                generation: 3,
                page_limit: 256,
                genesis: false,
                gas: 10_000,
                tracker: Some(TrackerKind::Mprotect),
            }),
            "0c000000000403fb000100fb10270102",
        ),
        (
            deliver(
                Message::Deploy {
                    request: 1,
                    program: program(),
                },
                true,
            ),
            concat!(
                "4600000001010701a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5",
                "a5a5a5a5a5a5a5a50001076d61696e2e6a7301076d61696e2e6a73013101016b",
                "0132010574696d657201"
            ),
        ),
        (
            deliver(
                Message::Call {
                    request: 300,
                    method: "m".into(),
                    args: "[1]".into(),
                },
                false,
            ),
            concat!(
                "2f00000001010701a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5",
                "a5a5a5a5a5a5a5a501fb2c01016d035b315d00"
            ),
        ),
        (
            deliver(Message::Timer { timer: 5 }, false),
            concat!(
                "2700000001010701a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5",
                "a5a5a5a5a5a5a5a5020500"
            ),
        ),
        (
            deliver(
                Message::Check {
                    request: 1,
                    program: program(),
                },
                true,
            ),
            concat!(
                "4600000001010701a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5",
                "a5a5a5a5a5a5a5a50301076d61696e2e6a7301076d61696e2e6a73013101016b",
                "0132010574696d657201"
            ),
        ),
        (ToWorker::HandOver, "0100000002"),
        (ToWorker::Applied { number: 65_536 }, "0600000003fc00000100"),
        (ToWorker::AbortSeen, "0100000004"),
    ]
}

/// What a worker says, and its bytes.
fn from_worker() -> Vec<(FromWorker, &'static str)> {
    vec![
        (
            FromWorker::Ready {
                generation: 3,
                protocol: 4,
                tracker: TrackerKind::Userfaultfd,
            },
            "0400000000030400",
        ),
        (
            FromWorker::Delta {
                generation: 3,
                bytes: vec![7; 3],
            },
            "06000000010303070707",
        ),
        (
            FromWorker::HandOver(hand_over()),
            concat!(
                "33000000020301090201000131020109547970654572726f72026e6f00010161",
                "0109036c6f67026869020501fbd00706008d0003070707"
            ),
        ),
        (
            FromWorker::Starting {
                generation: 3,
                last_turn: 1,
                next: Some(DueTimer {
                    timer: 5,
                    due_ms: 1000,
                }),
            },
            "080000000303010105fbd007",
        ),
        (
            FromWorker::Starting {
                generation: 3,
                last_turn: 1,
                next: None,
            },
            "0400000003030100",
        ),
        (
            FromWorker::Aborted {
                generation: 3,
                turn: 9,
                by: AbortedBy::Stack,
                why: "deep".into(),
            },
            "09000000040309040464656570",
        ),
    ]
}

/// The message with its length, as it is sent.
fn sent<T: Encode>(message: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(message, &mut bytes);
    bytes
}

/// Bytes as a person compares them.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn messages_have_the_bytes_of_this_protocol() {
    assert_eq!(PROTOCOL_VERSION, 4, "bytes of another version belong here");
    for (message, bytes) in to_worker() {
        assert_eq!(hex(&sent(&message)), bytes, "{message:?}");
    }
    for (message, bytes) in from_worker() {
        assert_eq!(hex(&sent(&message)), bytes, "{message:?}");
    }
}

#[test]
fn whatever_the_bytes_a_message_is_read_or_refused() {
    let host = to_worker().into_iter().map(|(message, _)| sent(&message));
    let worker = from_worker().into_iter().map(|(message, _)| sent(&message));
    for mut bytes in host.chain(worker) {
        // The length is the frame's, and looked at before.
        for at in 4..bytes.len() {
            let was = bytes[at];
            for value in 0..=255 {
                bytes[at] = value;
                let _ = decode::<ToWorker>(&bytes[4..]);
                let _ = decode::<FromWorker>(&bytes[4..]);
            }
            bytes[at] = was;
            let _ = decode::<ToWorker>(&bytes[4..at]);
            let _ = decode::<FromWorker>(&bytes[4..at]);
        }
    }
}
