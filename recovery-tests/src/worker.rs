//! The worker model: a process that speaks the real protocol and runs the simulated program.
//!
//! Promises what `kenvat-worker` promises: turns in order, one hand-over when asked for and never
//! an empty one, deltas by H1, some of them in pieces (J7). It can die between any two messages;
//! what it had written into its socket by then is still heard, the rest is lost. Does not know
//! frames.

use std::collections::VecDeque;
use std::io;

use kenvat_core::event::Death;
use kenvat_store::VatId;
use kenvat_wire::protocol::{
    Delivery, DueTimer, FromWorker, HandOver, LogLine, Message, Outcome, PROTOCOL_VERSION, Reply,
    Thrown, TimerChange, ToWorker, TrackerKind,
};

use crate::chance::Chance;
use crate::heap::Heap;
use crate::program::{Method, Said, Token, USED_PAGES, header};
use crate::words::{self, Memory, Output};

/// The signal a poisoned message ends its worker with.
const SIGSEGV: i32 = 11;
/// The turn of a deployment, and its request.
const FIRST_TURN: u64 = 1;
/// One of so many deltas comes in pieces, of so many pages each, and goes to a spill file.
const PIECEMEAL: u64 = 6;
const PIECE_PAGES: usize = 2;
/// Milliseconds a start that waits waits for each of its timers.
const START_WAIT_MS: i64 = 700;

/// What a deployed program does in its start function, by the text of its source.
pub mod start {
    pub const WELL: &str = "well";
    pub const THROWS: &str = "throws";
    pub const NEVER_SETTLES: &str = "never settles";
    pub const DIES: &str = "dies";
    /// Waits for timers, and then does one of the above.
    pub const WAITS: &str = "waits, well";
    pub const WAITS_AND_THROWS: &str = "waits, throws";
    pub const WAITS_FOR_EVER: &str = "waits, never settles";
    pub const WAITS_AND_DIES: &str = "waits, dies";

    /// Timers that a start which waits waits for, one after the other.
    pub const WAITS_FOR: u64 = 2;

    /// What it does in the end, and how many timers it waits for before.
    pub fn parse(program: &str) -> (&str, u64) {
        match program.strip_prefix("waits, ") {
            Some(then) => (then, WAITS_FOR),
            None => (program, 0),
        }
    }
}

/// A start that has not settled.
struct Starting {
    then: String,
    /// Timers it will wait for.
    left: u64,
    next: Option<DueTimer>,
}

/// One process.
pub struct Worker {
    pub vat: VatId,
    pub generation: u64,
    /// Messages of the host it has not read.
    pub inbox: VecDeque<ToWorker>,
    /// Messages the host has not read.
    pub outbox: VecDeque<FromWorker>,
    /// How it ended, once it has.
    pub dead: Option<Death>,
    heap: Heap,
    hand_overs: u64,
    /// The last turn run, where it is not handed over yet.
    ran: Option<u64>,
    output: Output,
    lines: Vec<LogLine>,
    timers: Vec<TimerChange>,
    starting: Option<Starting>,
}

impl Worker {
    pub fn new(vat: VatId, generation: u64, heap: Heap) -> Worker {
        let ready = FromWorker::Ready {
            generation,
            protocol: PROTOCOL_VERSION,
            tracker: TrackerKind::Userfaultfd,
        };
        Worker {
            vat,
            generation,
            inbox: VecDeque::new(),
            outbox: VecDeque::from([ready]),
            dead: None,
            heap,
            hand_overs: 0,
            ran: None,
            output: Output::default(),
            lines: Vec::new(),
            timers: Vec::new(),
            starting: None,
        }
    }

    /// Reads and does the next message. An error is the disk's: the mapping cannot be read.
    pub fn hear(&mut self, chance: &mut Chance) -> io::Result<()> {
        match self.inbox.pop_front() {
            None | Some(ToWorker::Start(_) | ToWorker::AbortSeen) => {}
            Some(ToWorker::Applied { number }) => self.heap.applied(number),
            Some(ToWorker::HandOver) => self.hand_over(chance)?,
            Some(ToWorker::Deliver { turns, hand_over }) => {
                for turn in turns {
                    if let Some(death) = self.run(turn)? {
                        self.die(death, chance);
                        return Ok(());
                    }
                }
                if hand_over {
                    self.hand_over(chance)?;
                }
            }
        }
        Ok(())
    }

    /// Reads and does all that came, or dies of it.
    pub fn hear_all(&mut self, chance: &mut Chance) -> io::Result<()> {
        while self.dead.is_none() && !self.inbox.is_empty() {
            self.hear(chance)?;
        }
        Ok(())
    }

    /// Ends the process. Of what it said, only a beginning had reached the socket.
    pub fn die(&mut self, death: Death, chance: &mut Chance) {
        let sent = chance.below(self.outbox.len() as u64 + 1) as usize;
        self.outbox.truncate(sent);
        self.inbox.clear();
        self.dead = Some(death);
    }

    /// Makes the next hand-over one that breaks a rule; false if none waits.
    pub fn lie(&mut self, chance: &mut Chance) -> bool {
        let waiting = self.outbox.iter_mut().find_map(|message| match message {
            FromWorker::HandOver(hand_over) => Some(hand_over),
            // Of turns nobody delivered.
            FromWorker::Starting { last_turn, .. } => {
                *last_turn += 1;
                None
            }
            _ => None,
        });
        let Some(hand_over) = waiting else {
            return false;
        };
        match chance.below(7) {
            6 => hand_over.pieces += 1,
            5 => hand_over.timers.extend(
                [TimerChange {
                    timer: 0,
                    due_ms: None,
                }; 2],
            ),
            0 => hand_over.number += 1,
            1 => hand_over.last_turn += 2_000,
            2 => hand_over.delta.push(1),
            3 => hand_over.used_pages = u32::MAX,
            _ => hand_over.replies.push(Reply {
                request: u64::MAX,
                outcome: Outcome::Value("0".to_owned()),
            }),
        }
        true
    }

    fn run(&mut self, delivery: Delivery) -> io::Result<Option<Death>> {
        let Delivery {
            turn,
            time_ms,
            seed: _,
            message,
        } = delivery;
        let (method, args) = match &message {
            Message::Timer { timer } if self.starting.is_some() => {
                let next = self.starting.as_ref().and_then(|it| it.next);
                let next = next.expect("the host fires what the start waits for");
                assert!(next.timer == *timer && time_ms >= next.due_ms, "{next:?}");
                return self.go_on_starting(turn, time_ms);
            }
            Message::Timer { timer } => {
                let (token, due_ms) = Token::of_timer(*timer);
                assert!(
                    time_ms >= due_ms,
                    "the timer of {token} fired {} ms early",
                    due_ms - time_ms
                );
                let (token, output) = (token.fired(), &mut self.output);
                words::run(&mut self.heap, turn, token, Method::Fired, output)?;
                self.ran = Some(turn);
                return Ok(None);
            }
            Message::Call { method, args, .. } => (method, args),
            Message::Deploy { program, .. } => {
                let source = program.files.first().map(|(_, text)| text.as_str());
                let (then, left) = start::parse(source.unwrap_or_default());
                self.starting = Some(Starting {
                    then: then.to_owned(),
                    left: left + 1,
                    next: None,
                });
                return self.go_on_starting(turn, time_ms);
            }
            Message::Check { .. } => unreachable!("the core asks no vat's worker to check"),
        };
        // Nobody asks this, unless the host took the other content of a key for a call of its own.
        let Some((token, method)) = Method::parse(method, args) else {
            return Ok(Some(Death::Exit(1)));
        };
        if method == Method::Poison {
            return Ok(Some(Death::Signal(SIGSEGV)));
        }
        words::run(&mut self.heap, turn, token, method, &mut self.output)?;
        if let Method::Wake { ms } = method {
            let due_ms = time_ms + ms as i64;
            self.timers.push(TimerChange {
                timer: token.timer(due_ms),
                due_ms: Some(due_ms),
            });
        }
        let lines = std::mem::take(&mut self.output.lines);
        let level = || "log".to_owned();
        self.lines.extend(lines.into_iter().map(|text| LogLine {
            turn,
            level: level(),
            text,
        }));
        self.ran = Some(turn);
        Ok(None)
    }

    /// The start goes as far as it can. While it waits it leaves a mark that it takes away in the
    /// end, so that a vat which shows it was made too early.
    fn go_on_starting(&mut self, turn: u64, time_ms: i64) -> io::Result<Option<Death>> {
        let starting = self.starting.as_mut().expect("asked of starts alone");
        self.ran = Some(turn);
        starting.left -= 1;
        if starting.left > 0 {
            starting.next = Some(DueTimer {
                timer: turn,
                due_ms: time_ms + START_WAIT_MS,
            });
            self.heap.set(0, header::COUNTER, turn)?;
            return Ok(None);
        }
        starting.next = None;
        self.heap.set(0, header::COUNTER, 0)?;
        let said = match starting.then.as_str() {
            start::DIES => return Ok(Some(Death::Signal(SIGSEGV))),
            start::NEVER_SETTLES => return Ok(None),
            start::THROWS => Said::Thrown("no such start".to_owned()),
            _ => Said::Value("{\"$undefined\":true}".to_owned()),
        };
        self.output.replies.push((FIRST_TURN, said));
        self.starting = None;
        Ok(None)
    }

    fn hand_over(&mut self, chance: &mut Chance) -> io::Result<()> {
        if let (Some(last_turn), Some(Starting { next, .. })) = (self.ran, &self.starting) {
            self.outbox.push_back(FromWorker::Starting {
                generation: self.generation,
                last_turn,
                next: *next,
            });
            return Ok(());
        }
        let Some(last_turn) = self.ran.take() else {
            return Ok(());
        };
        self.hand_overs += 1;
        let mut pages = self.heap.hand_over(self.hand_overs)?;
        let mut pieces = 0;
        // As if there were too much for one message.
        if !pages.is_empty() && chance.one_in(PIECEMEAL) {
            for piece in pages.chunks(PIECE_PAGES) {
                let (generation, bytes) = (self.generation, piece.concat());
                self.outbox
                    .push_back(FromWorker::Delta { generation, bytes });
                pieces += 1;
            }
            pages.clear();
        }
        let replies = std::mem::take(&mut self.output.replies).into_iter();
        let replies = replies.map(|(request, said)| Reply {
            request,
            outcome: outcome(said),
        });
        self.outbox.push_back(FromWorker::HandOver(HandOver {
            generation: self.generation,
            number: self.hand_overs,
            last_turn,
            replies: replies.collect(),
            log: std::mem::take(&mut self.lines),
            timers: std::mem::take(&mut self.timers),
            pieces,
            used_pages: USED_PAGES,
            delta: pages.concat(),
        }));
        Ok(())
    }
}

fn outcome(said: Said) -> Outcome {
    match said {
        Said::Value(json) => Outcome::Value(json),
        Said::Thrown(message) => Outcome::Thrown(Thrown {
            name: "Error".to_owned(),
            message,
            stack: String::new(),
            nearest: Vec::new(),
        }),
    }
}
