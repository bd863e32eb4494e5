//! Where QuickJS's parser stands in the text it reads.
//!
//! QuickJS reads by recursion, so a text that nests too deep ends as calls do that nest too deep,
//! and names no place; nor do its errors in regular expressions. The parser's own state knows: it
//! lies on the stack, as four words in a row: the end of the token before, where the text begins,
//! where it reads on, where the text ends. So it can be found while a message is made, by the two
//! that are known.
//!
//! Promises: while a text is read, the last place of which a message was made is kept; a stack that
//! ran out is the text's fault only if most of the stack was free when reading began, and nothing
//! of the program runs. Does not know what a text is.

use std::cell::Cell;

use super::heap::layout::STACK_LIMIT_BYTES;
use super::heap::stack;

/// A text that is being read.
#[derive(Clone, Copy)]
struct Reading {
    start: usize,
    end: usize,
    /// The stack below is the parser's.
    frame: usize,
    purpose: Purpose,
}

/// What a text is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Nothing of it will run.
    Parse,
    /// It runs once it is read, and messages are then its own.
    Run,
}

/// Where reading stopped, in bytes from the text's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// What stands here goes deeper than there is stack to read it.
    TooDeep(usize),
    /// A message was made after the token that ends here.
    Message(usize),
}

thread_local! {
    static READING: Cell<Option<Reading>> = const { Cell::new(None) };
    static STOP: Cell<Option<Stop>> = const { Cell::new(None) };
}

/// Has a text read by `work`; also says where that stopped, if it did.
pub fn read<T>(text: &[u8], purpose: Purpose, work: impl FnOnce() -> T) -> (T, Option<Stop>) {
    let start = text.as_ptr().addr();
    let reading = Reading {
        start,
        end: start + text.len(),
        frame: stack::pointer(),
        purpose,
    };
    let outer = (READING.replace(Some(reading)), STOP.take());
    let done = work();
    let stop = STOP.take();
    READING.set(outer.0);
    STOP.set(outer.1);
    (done, stop)
}

/// A message is being made; true when it says that the stack ran out and the text is to blame.
pub fn on_message(ran_out: bool) -> bool {
    let Some(reading) = READING.get() else {
        return false;
    };
    if !ran_out && reading.purpose == Purpose::Run {
        return false;
    }
    let Some((before, at)) = state(reading) else {
        return false;
    };
    // At its end it is read; what makes messages then is the program that runs.
    let is_read = at == reading.end && reading.purpose == Purpose::Run;
    if !ran_out {
        // What is said after the stack ran out is of that.
        if !matches!(STOP.get(), Some(Stop::TooDeep(_))) {
            STOP.set(Some(Stop::Message(before - reading.start)));
        }
        return false;
    }
    if is_read || stack::used(reading.frame) > STACK_LIMIT_BYTES / 2 {
        return false;
    }
    STOP.set(Some(Stop::TooDeep(at - reading.start)));
    true
}

/// The end of the token before, and where the parser reads on.
fn state(reading: Reading) -> Option<(usize, usize)> {
    let within = reading.start..=reading.end;
    let is_state = |[before, start, at, end]: [usize; 4]| {
        let known = start == reading.start && end == reading.end;
        known && within.contains(&before) && (before..=end).contains(&at)
    };
    stack::find(reading.frame, is_state).map(|[before, _, at, _]| (before, at))
}
