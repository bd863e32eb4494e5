//! What happened, line by line: for people after a failure, and to compare two runs of one seed.
//!
//! Promises: the hash covers every line; only the last lines are kept.

use std::collections::VecDeque;

use kenvat_core::event::Effect;
use kenvat_store::Part;
use kenvat_wire::protocol::{FromWorker, ToWorker};

/// Lines kept for people.
const LINES_KEPT: usize = 200;

/// The story of one run.
#[derive(Clone, Debug)]
pub struct Trace {
    hash: u64,
    lines: u64,
    last: VecDeque<String>,
}

impl Trace {
    pub fn new(seed: u64) -> Trace {
        Trace {
            hash: seed ^ FNV_OFFSET,
            lines: 0,
            last: VecDeque::new(),
        }
    }

    pub fn line(&mut self, line: String) {
        for byte in line.bytes().chain([b'\n']) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
        self.lines += 1;
        if self.last.len() == LINES_KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// Equal for equal stories, as far as 64 bits tell.
    pub fn digest(&self) -> (u64, u64) {
        (self.hash, self.lines)
    }

    /// The last lines.
    pub fn tail(&self) -> String {
        self.last.iter().map(|line| format!("{line}\n")).collect()
    }
}

/// An effect in a few words, the same in every run.
pub fn describe(effect: &Effect<u64>) -> String {
    match effect {
        Effect::Stage(Part::Heap { vat, delta }) => {
            format!(
                "stage heap {vat} {:?}",
                delta
                    .runs()
                    .map(|run| run.pages().start)
                    .collect::<Vec<_>>()
            )
        }
        // Its hash is of bytes that a store makes with a key of its own.
        Effect::Stage(Part::Spill(side)) => {
            let (pages, log, bytes) = (side.pages(), side.log_bytes(), side.bytes());
            format!("stage a spill file of {bytes} bytes: {pages} pages, {log} bytes of log")
        }
        Effect::Stage(Part::Row(row)) => format!("stage row {} {:?}", row.table, row.key),
        Effect::Stage(Part::Log { vat, bytes }) => format!("stage log {vat} {}", bytes.len()),
        Effect::SendToWorker {
            generation,
            message,
            ..
        } => match message {
            ToWorker::Deliver { turns, hand_over } => {
                let turns: Vec<u64> = turns.iter().map(|turn| turn.turn).collect();
                format!("to {generation}: turns {turns:?}, hand over: {hand_over}")
            }
            other => format!("to {generation}: {other:?}"),
        },
        other => format!("{other:?}"),
    }
}

/// A worker's message in a few words.
pub fn short(message: &FromWorker) -> String {
    match message {
        FromWorker::Ready { generation, .. } => format!("ready {generation}"),
        FromWorker::Aborted { turn, by, .. } => format!("undid turn {turn}: {by:?}"),
        FromWorker::Delta { generation, bytes } => {
            format!("{} bytes of delta of {generation}", bytes.len())
        }
        FromWorker::Starting {
            last_turn, next, ..
        } => format!("starts at turn {last_turn} and waits for {next:?}"),
        FromWorker::HandOver(it) => {
            format!(
                "hand-over {} of {} to turn {}",
                it.number, it.generation, it.last_turn
            )
        }
    }
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
