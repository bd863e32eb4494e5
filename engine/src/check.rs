//! Reading a program without deploying it: a worker on a genesis heap in memory, asked one thing.
//!
//! Promises: what parses is the engine that would run the program, in a process of its own behind
//! the same walls and limits as a deployment's; no store is opened, and nothing is left behind; it
//! ends in time whatever the program is. Blocks. Does not know what the worker looks for.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::clock::Clock;
use super::open::make_genesis;
use super::process::{Executable, Worker, image_in_memory};
use kenvat_core::api::{DeployError, ProgramError, ProgramReport};
use kenvat_core::limits::{GAS_MAX, HEAP_BYTES_MAX, SOURCE_BYTES_MAX, TURN_MS_MAX};
use kenvat_core::{pages_in, program};
use kenvat_wire::protocol::{
    Delivery, FromWorker, HandOver, Message, Outcome, PROTOCOL_VERSION, Program, Reply, Start,
    ToWorker,
};
use kenvat_wire::seed::SEED_BYTES;

/// Reads a program as this build's engine would for deploying it.
pub fn check(entry: &str, files: &[(String, String)]) -> Result<ProgramReport, DeployError> {
    program::check_sources(entry, files, &[], SOURCE_BYTES_MAX)?;
    let worker = start().map_err(DeployError::Host)?;
    let program = Program {
        entry: entry.to_owned(),
        files: files.to_vec(),
        give: Vec::new(),
        deny: Vec::new(),
    };
    let message = Message::Check {
        request: TURN,
        program,
    };
    match ask(worker, message)? {
        Outcome::Value(json) => understood(&json),
        Outcome::Thrown(thrown) => Err(thrown.into()),
    }
}

/// The one turn, its request, and the worker's generation.
const TURN: u64 = 1;

/// A worker on a heap that is in memory only.
fn start() -> Result<Worker, String> {
    let text = |error: &dyn std::fmt::Display| format!("a worker cannot be started: {error}");
    let bytes = crate::worker_bytes::WORKER;
    let genesis = make_genesis(bytes, None).map_err(|error| text(&error))?;
    let page_limit = pages_in(HEAP_BYTES_MAX);
    let length = u64::from(page_limit) * kenvat_store::PAGE_BYTES as u64;
    let image = image_in_memory(genesis.ranges(), length).map_err(|error| text(&error))?;
    let executable = Executable::seal(bytes).map_err(|error| text(&error))?;
    let mut worker = Worker::spawn(&executable, image, Duration::from_millis(TURN_MS_MAX))
        .map_err(|error| text(&error))?;
    worker.queue(&ToWorker::Start(Start {
        protocol: PROTOCOL_VERSION,
        generation: TURN,
        page_limit,
        genesis: false,
        gas: GAS_MAX,
        tracker: None,
    }));
    Ok(worker)
}

/// Has the worker run one turn; gives its answer.
fn ask(mut worker: Worker, message: Message) -> Result<Outcome, DeployError> {
    let turn = Delivery {
        turn: TURN,
        time_ms: Clock::new().now_ms(),
        // Nothing of the program runs, so nothing draws.
        seed: [0; SEED_BYTES].into(),
        message,
    };
    worker.queue(&ToWorker::Deliver {
        turns: vec![turn],
        hand_over: true,
    });
    let until = Instant::now() + Duration::from_millis(TURN_MS_MAX);
    loop {
        let heard = worker
            .wait_for_message(until)
            .map_err(|error| DeployError::Host(format!("the worker broke the rules: {error}")))?;
        match heard {
            Some(FromWorker::HandOver(HandOver { replies, .. })) => {
                let answer = replies.into_iter().find(|reply| reply.request == TURN);
                let unanswered = || DeployError::Host("the worker did not answer".to_owned());
                return answer
                    .map(|Reply { outcome, .. }| outcome)
                    .ok_or_else(unanswered);
            }
            Some(FromWorker::Aborted { why, .. }) => return Err(refused(&why)),
            // Whatever else it may have to say.
            _ if Instant::now() >= until => return Err(program::takes_too_long()),
            // The heap it stands on is nobody's, and goes with it.
            Some(FromWorker::Ready { .. } | FromWorker::Delta { .. }) => {}
            Some(FromWorker::Starting { .. }) => {
                let why = "the worker waits where there is nothing to wait for".to_owned();
                return Err(DeployError::Host(why));
            }
            None => {
                let ended = worker.finish();
                let (death, words) =
                    ended.map_err(|error| DeployError::Host(format!("reap a worker: {error}")))?;
                let how = program::describe(death);
                return Err(DeployError::Host(format!("the worker {how} {words}")));
            }
        }
    }
}

fn refused(why: &str) -> DeployError {
    DeployError::of_program(format!("the program cannot be read: {why}"))
}

/// The worker's answer, which is as good as the worker.
#[derive(Deserialize)]
struct Found {
    shape: String,
    exports: Vec<String>,
    errors: Vec<FoundError>,
}

#[derive(Deserialize)]
struct FoundError {
    name: String,
    message: String,
    stack: String,
}

fn understood(json: &str) -> Result<ProgramReport, DeployError> {
    let found: Found = serde_json::from_str(json)
        .map_err(|error| DeployError::Host(format!("the worker's answer is none: {error}")))?;
    let errors = found.errors.into_iter();
    Ok(ProgramReport {
        shape: found.shape,
        exports: found.exports,
        errors: errors
            .map(|error| ProgramError {
                name: error.name,
                message: error.message,
                stack: error.stack,
            })
            .collect(),
    })
}
