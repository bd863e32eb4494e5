//! The simulated program on words in pages: what the worker model executes.
//!
//! Promises: everything it knows is in those words between two turns, so all of it goes through
//! deltas, frames and images. `reference` is the same program without them.

use crate::program::{
    EXECUTED_PAGE, Method, PENDING_MAX, PENDING_PAGE, SCRATCH_PAGE, Said, Token, flips, header,
    line_of, place_of_pair, place_of_scratch, place_of_value,
};

/// Words that outlive the turn.
pub trait Memory {
    type Error;
    fn get(&mut self, page: u32, word: usize) -> Result<u64, Self::Error>;
    fn set(&mut self, page: u32, word: usize, value: u64) -> Result<(), Self::Error>;
}

/// What a turn lets out, by the turn that asked for it.
#[derive(Debug, Default)]
pub struct Output {
    pub replies: Vec<(u64, Said)>,
    pub lines: Vec<String>,
}

/// Runs one turn on words in pages. `Method::Poison` never gets here.
pub fn run<M: Memory>(
    heap: &mut M,
    turn: u64,
    token: Token,
    method: Method,
    out: &mut Output,
) -> Result<(), M::Error> {
    let executed = heap.get(0, header::EXECUTED)?;
    push(heap, EXECUTED_PAGE, executed, turn, token)?;
    heap.set(0, header::EXECUTED, executed + 1)?;
    flip(heap, executed)?;
    let said = match method {
        Method::Incr => Said::Value(raise(heap, header::COUNTER)?.to_string()),
        Method::Set { key, value } => {
            let (page, word) = place_of_value(key);
            let old = heap.get(page, word)?;
            heap.set(page, word, value)?;
            Said::Value(old.to_string())
        }
        Method::Later => {
            let pending = heap.get(0, header::PENDING)?;
            if pending < PENDING_MAX {
                push(heap, PENDING_PAGE, pending, turn, token)?;
                heap.set(0, header::PENDING, pending + 1)?;
                return Ok(());
            }
            Said::Value("\"full\"".to_owned())
        }
        Method::Release => Said::Value(release(heap, out)?.to_string()),
        Method::Throw => {
            raise(heap, header::COUNTER)?;
            Said::Thrown(token.to_string())
        }
        Method::Log => {
            out.lines.push(line_of(token));
            Said::Value(raise(heap, header::LINES)?.to_string())
        }
        Method::Wake { ms } => Said::Value(ms.to_string()),
        Method::Fired => {
            raise(heap, header::COUNTER)?;
            return Ok(());
        }
        Method::Poison => unreachable!("the worker model dies of it instead"),
    };
    out.replies.push((turn, said));
    Ok(())
}

/// Answers everything that waits; how much that was.
fn release<M: Memory>(heap: &mut M, out: &mut Output) -> Result<u64, M::Error> {
    let pending = heap.get(0, header::PENDING)?;
    let counter = heap.get(0, header::COUNTER)?;
    for at in 0..pending {
        let turn = heap.get(PENDING_PAGE, at as usize * 2)?;
        out.replies.push((turn, Said::Value(counter.to_string())));
        push(heap, PENDING_PAGE, at, 0, Token::of_word(0))?;
    }
    heap.set(0, header::PENDING, 0)?;
    Ok(pending)
}

fn raise<M: Memory>(heap: &mut M, word: usize) -> Result<u64, M::Error> {
    let value = heap.get(0, word)? + 1;
    heap.set(0, word, value)?;
    Ok(value)
}

/// Words that change and change back within a few turns, as reference counts do.
fn flip<M: Memory>(heap: &mut M, executed: u64) -> Result<(), M::Error> {
    for at in 0..=flips(executed) {
        let word = place_of_scratch(at);
        let value = heap.get(SCRATCH_PAGE, word)?;
        heap.set(SCRATCH_PAGE, word, value ^ 1)?;
    }
    Ok(())
}

fn push<M: Memory>(
    heap: &mut M,
    first: u32,
    at: u64,
    turn: u64,
    token: Token,
) -> Result<(), M::Error> {
    let (page, word) = place_of_pair(first, at);
    heap.set(page, word, turn)?;
    heap.set(page, word + 1, token.word())
}
