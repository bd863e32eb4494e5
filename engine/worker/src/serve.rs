//! The loop over the socket: turns in, hand-overs out.
//!
//! Promises: turns run in the order they came; a request to hand over, or news of what was applied,
//! is answered between two turns at the latest; each hand-over is written in one piece. Does not
//! decide when to hand over, except when so much waits to be said that it would not fit.

use std::collections::VecDeque;

use super::abort;
use super::heap::checkpoint::Checkpoint;
use super::heap::layout::{HEAP_PAGES_MAX, Page, STATE_PAGE};
use super::heap::mapping::{self, MapError};
use super::heap::region::Region;
use super::heap::status::Status;
use super::heap::tracker::{self, Tracker};
use super::heap::{Tables, descriptor, stack};
use super::js::vat::{self, GenesisError, HeaderError, Vat};
use super::link::Link;
use super::sandbox::{self, SandboxError};
use kenvat_wire::protocol::{
    AbortedBy, CodecError, Delivery, EXIT_HEAP_LIMIT, EXIT_PROTOCOL, FromWorker, HandOver,
    IMAGE_FD, Message, PROTOCOL_VERSION, SENT_BYTES_HELD, SOCKET_FD, STATUS_FD, Start, ToWorker,
};

/// Why the worker ends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum End {
    /// The host closed the socket or is gone: the ordinary end.
    #[error("the host closed the connection")]
    Closed,
    #[error("the host broke the protocol: {0}")]
    Protocol(String),
    #[error("the heap needs more than its limit of {limit} pages")]
    HeapLimit { limit: u32 },
    #[error("this is the process of one Kenvat vat; `kenvat` starts it, not a person")]
    ByHand,
    /// A heap holds code addresses: one made by a movable executable could never be resumed.
    #[error("this worker was not built by the engine's build script, so it cannot keep a heap")]
    NotStatic,
    #[error("{0}")]
    Map(#[from] MapError),
    #[error("{0}")]
    Header(#[from] HeaderError),
    #[error("{0}")]
    Genesis(#[from] GenesisError),
    #[error("{0}")]
    Sandbox(#[from] SandboxError),
    #[error("{what}: {source}")]
    Io {
        what: &'static str,
        source: std::io::Error,
    },
}

impl End {
    /// The process's exit status.
    pub fn status(&self) -> i32 {
        match self {
            End::Closed => 0,
            End::HeapLimit { .. } => EXIT_HEAP_LIMIT,
            End::Protocol(_) => EXIT_PROTOCOL,
            End::ByHand | End::NotStatic => 2,
            _ => 1,
        }
    }
}

impl From<CodecError> for End {
    fn from(error: CodecError) -> End {
        End::Protocol(error.to_string())
    }
}

pub(super) fn io<E: Into<std::io::Error>>(what: &'static str) -> impl FnOnce(E) -> End {
    move |source| End::Io {
        what,
        source: source.into(),
    }
}

/// Serves the host until one of us ends.
pub fn serve() -> End {
    match run() {
        Ok(never) => match never {},
        Err(end) => end,
    }
}

enum Never {}

fn run() -> Result<Never, End> {
    mapping::reserve()?;
    if !cfg!(kenvat_static_worker) {
        return Err(End::NotStatic);
    }
    // Only a worker made to misbehave is told what to leave out.
    let by_hand = std::env::args_os().len() > 1 && !cfg!(feature = "misbehave");
    let (Some(socket), Some(image), Some(status)) = (
        descriptor::inherit(SOCKET_FD),
        descriptor::inherit(IMAGE_FD),
        descriptor::inherit(STATUS_FD),
    ) else {
        return Err(End::ByHand);
    };
    if by_hand {
        return Err(End::ByHand);
    }
    let kill = Some(rustix::process::Signal::KILL);
    rustix::process::set_parent_process_death_signal(kill).map_err(io("follow the host"))?;
    let mut link = Link::new(socket);
    let start = match link.wait()? {
        ToWorker::Start(start) => start,
        _ => return Err(End::Protocol("the first message is not `Start`".to_owned())),
    };
    if start.protocol != PROTOCOL_VERSION {
        let found = start.protocol;
        let what = format!("the host speaks version {found}, this worker {PROTOCOL_VERSION}");
        return Err(End::Protocol(what));
    }
    let region = mapping::map_image(&image, start.page_limit)?;
    // Growth needs no descriptor; nothing else may have it either.
    drop(image);
    stack::map()?;
    let status = Status::map(status).map_err(io("map the status page"))?;
    let tracker = tracker::start(region, start.tracker).map_err(io("track written pages"))?;
    // From here on bytes of the heap are read and run.
    sandbox::enter(&tracker.descriptors())?;
    let heap = Heap {
        region,
        tracker,
        status,
    };
    if start.genesis {
        genesis(link, &start, heap)
    } else {
        resume(link, &start, heap)
    }
}

/// What stands before the first byte of the heap is looked at.
struct Heap {
    region: Region,
    tracker: Box<dyn Tracker>,
    status: Status,
}

/// Makes a heap, hands it over, waits for the host to close.
fn genesis(mut link: Link, start: &Start, heap: Heap) -> Result<Never, End> {
    let checkpoint =
        Checkpoint::start(heap.region, heap.tracker, 0).map_err(io("track written pages"))?;
    let vat = Vat::genesis(&heap.region)?;
    let mut worker = Worker::new(start, vat, checkpoint, heap.status);
    worker.hand_over(&mut link)?;
    loop {
        if !matches!(link.wait()?, ToWorker::Applied { .. }) {
            return Err(End::Protocol("a genesis heap takes no turns".to_owned()));
        }
    }
}

/// Goes on with a heap.
fn resume(mut link: Link, start: &Start, heap: Heap) -> Result<Never, End> {
    let used = used_in_image(&heap.region, start.page_limit)?;
    if !mapping::grow(used) {
        return Err(End::HeapLimit {
            limit: start.page_limit,
        });
    }
    let mapped = mapping::extent().mapped;
    let checkpoint =
        Checkpoint::start(heap.region, heap.tracker, mapped).map_err(io("track written pages"))?;
    let vat = Vat::resume(&heap.region, start.page_limit)?;
    let worker = Worker::new(start, vat, checkpoint, heap.status);
    link.send(&FromWorker::Ready {
        generation: start.generation,
        protocol: PROTOCOL_VERSION,
        tracker: worker.checkpoint.tracker().kind(),
    })?;
    worker.turns(link)
}

/// Pages the image's allocator says are in use: a claim, checked before anything is mapped by it.
fn used_in_image(region: &Region, limit: u32) -> Result<u32, End> {
    let mut page = Page::ZERO;
    if limit <= STATE_PAGE {
        return Err(MapError::Limit { found: limit }.into());
    }
    region.read_base(STATE_PAGE, &mut page);
    let used = Tables::frontier_of(&page);
    if used > limit.min(HEAP_PAGES_MAX) {
        return Err(MapError::Used { used, limit }.into());
    }
    Ok(used)
}

/// What is to be done, in order.
enum Task {
    Turn(Box<Delivery>),
    HandOver,
}

struct Worker {
    generation: u64,
    /// Gas a turn may use.
    gas: u64,
    vat: Vat,
    checkpoint: Checkpoint,
    status: Status,
    tasks: VecDeque<Task>,
    /// Number of the last hand-over.
    number: u64,
    /// The last turn run, if one was, and whether anything was run since the last hand-over.
    last_turn: Option<u64>,
    dirty: bool,
    /// A hand-over was asked for before the turn it is to hand over was run.
    wanted: bool,
    /// The request of a deployment whose start has not settled: nothing is handed over before.
    starting: Option<u64>,
    /// A turn was undone and the host has not heard of it: what arrives was sent before.
    deaf: bool,
}

impl Worker {
    fn new(start: &Start, vat: Vat, checkpoint: Checkpoint, status: Status) -> Worker {
        Worker {
            generation: start.generation,
            gas: start.gas,
            vat,
            checkpoint,
            status,
            tasks: VecDeque::new(),
            number: 0,
            last_turn: None,
            // A genesis heap is handed over without a turn; a resumed one has nothing to hand over.
            dirty: start.genesis,
            wanted: false,
            starting: None,
            deaf: false,
        }
    }

    fn turns(mut self, mut link: Link) -> Result<Never, End> {
        loop {
            while let Some(message) = link.poll()? {
                self.take(message, &mut link)?;
            }
            match self.tasks.pop_front() {
                Some(Task::Turn(delivery)) => self.turn(&delivery, &mut link)?,
                Some(Task::HandOver) => self.hand_over(&mut link)?,
                None => {
                    self.rest()?;
                    let message = link.wait()?;
                    self.take(message, &mut link)?;
                }
            }
        }
    }

    /// Nothing is to be done and everything is handed over: the time for what would otherwise be
    /// done before the next turn and at its hand-over.
    fn rest(&mut self) -> Result<(), End> {
        if !self.dirty && !self.deaf && self.vat.collect_if_due() {
            self.checkpoint
                .settle(mapping::extent())
                .map_err(io("find what a collection changed"))?;
        }
        Ok(())
    }

    fn take(&mut self, message: ToWorker, link: &mut Link) -> Result<(), End> {
        match message {
            ToWorker::AbortSeen => {
                self.deaf = false;
                Ok(())
            }
            ToWorker::Deliver { .. } | ToWorker::HandOver if self.deaf => Ok(()),
            ToWorker::Start(_) => Err(End::Protocol("a second `Start`".to_owned())),
            ToWorker::Deliver { turns, hand_over } => {
                self.tasks
                    .extend(turns.into_iter().map(|turn| Task::Turn(Box::new(turn))));
                self.tasks.extend(hand_over.then_some(Task::HandOver));
                Ok(())
            }
            // Turns and the wish can arrive together: the wish then waits for the first turn, as
            // the host asks once and waits.
            ToWorker::HandOver if !self.dirty => {
                self.wanted = !self.tasks.is_empty();
                Ok(())
            }
            ToWorker::HandOver => self.hand_over(link),
            ToWorker::Applied { number } if number <= self.number => {
                self.checkpoint.applied(number);
                Ok(())
            }
            ToWorker::Applied { number } => Err(End::Protocol(format!(
                "hand-over {number} applied before it was made"
            ))),
        }
    }

    fn turn(&mut self, delivery: &Delivery, link: &mut Link) -> Result<(), End> {
        // Turns may be left out: one that was undone is consumed by the host alone.
        if let Some(last) = self.last_turn.filter(|last| *last >= delivery.turn) {
            return Err(End::Protocol(format!(
                "turn {} after turn {last}",
                delivery.turn
            )));
        }
        self.vat.collect_if_due();
        self.status.running(delivery.turn);
        self.vat.run(delivery, self.gas);
        self.status.running(0);
        if let Some((by, why)) = abort::reason() {
            return self.abort(delivery.turn, by, why, link);
        }
        self.last_turn = Some(delivery.turn);
        self.dirty = true;
        if let Message::Deploy { request, .. } = delivery.message {
            self.starting = Some(request);
        }
        self.starting.take_if(|request| vat::is_answered(*request));
        if self.starting.is_some() && vat::waiting_bytes() > SENT_BYTES_HELD {
            let why = format!(
                "it has logged more than the {SENT_BYTES_HELD} bytes a start may before it settles"
            );
            return self.abort(delivery.turn, AbortedBy::Sent, why, link);
        }
        if self.wanted || vat::waiting_bytes() > SENT_BYTES_HELD {
            self.hand_over(link)?;
        }
        Ok(())
    }

    /// Undoes everything since the last hand-over, and says so (T2).
    fn abort(&mut self, turn: u64, by: AbortedBy, why: String, link: &mut Link) -> Result<(), End> {
        self.checkpoint
            .undo(mapping::extent())
            .map_err(io("put the heap back"))?;
        stack::zero().map_err(io("clear the stack"))?;
        mapping::clear_exhausted();
        vat::discard_output();
        self.tasks.clear();
        self.last_turn = None;
        self.dirty = false;
        self.wanted = false;
        self.starting = None;
        self.deaf = true;
        link.send(&FromWorker::Aborted {
            generation: self.generation,
            turn,
            by,
            why,
        })
    }

    fn hand_over(&mut self, link: &mut Link) -> Result<(), End> {
        if !self.dirty {
            return Ok(());
        }
        if self.starting.is_some() {
            self.wanted = false;
            return link.send(&FromWorker::Starting {
                generation: self.generation,
                last_turn: self.last_turn.unwrap_or(0),
                next: vat::next_timer(),
            });
        }
        let number = self.number + 1;
        let (generation, mut pieces, mut sent) = (self.generation, 0, Ok(()));
        let send = |bytes| {
            pieces += 1;
            if sent.is_ok() {
                sent = link.send(&FromWorker::Delta { generation, bytes });
            }
        };
        let mut delta = self
            .checkpoint
            .hand_over(number, mapping::extent(), send)
            .map_err(io("find what changed in the heap"))?;
        if pieces > 0 && !delta.is_empty() {
            pieces += 1;
            let bytes = std::mem::take(&mut delta);
            sent = sent.and_then(|()| link.send(&FromWorker::Delta { generation, bytes }));
        }
        sent?;
        self.status.pages_written(self.checkpoint.pages_written());
        let vat::Output {
            replies,
            log,
            timers,
        } = vat::take_output();
        link.send(&FromWorker::HandOver(HandOver {
            generation: self.generation,
            number,
            last_turn: self.last_turn.unwrap_or(0),
            replies,
            log,
            timers,
            used_pages: vat::used_pages(),
            pieces,
            delta,
        }))?;
        self.number = number;
        self.dirty = false;
        self.wanted = false;
        Ok(())
    }
}
