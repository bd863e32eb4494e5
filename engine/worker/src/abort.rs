//! Why the turn being run must be undone, and what it has used of its gas.
//!
//! Promises: the first reason stands; once there is one, nothing the program still does counts, and
//! QuickJS is stopped at its next poll. Gas is counted in QuickJS's polls, so the same turn costs
//! the same on every machine. Callbacks from C reach this without an argument, hence one
//! thread-local; the worker has one thread.

use std::cell::RefCell;

use super::heap::layout::STACK_LIMIT_BYTES;
use super::heap::mapping;
use kenvat_wire::protocol::AbortedBy;
use kenvat_wire::text::beginning;

/// What one poll stands for: QuickJS asks after so many calls and backward jumps.
const GAS_A_POLL: u64 = 10_000;
/// Bytes of a contract's own reason that are kept.
const REASON_BYTES_MAX: usize = 4096;

#[derive(Default)]
struct State {
    gas_limit: u64,
    gas_used: u64,
    reason: Option<(AbortedBy, String)>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// A turn begins, with so much gas.
pub fn begin_turn(gas_limit: u64) {
    STATE.with_borrow_mut(|state| {
        *state = State {
            gas_limit,
            ..State::default()
        }
    });
}

/// QuickJS polls: true when it is to stop.
pub fn poll() -> bool {
    let exceeded = STATE.with_borrow_mut(|state| {
        state.gas_used = state.gas_used.saturating_add(GAS_A_POLL);
        (state.gas_used > state.gas_limit).then_some(state.gas_limit)
    });
    if let Some(limit) = exceeded {
        note(AbortedBy::Gas, || {
            format!("the turn used more than its {limit} units of gas")
        });
    }
    is_wanted()
}

/// JavaScript's stack ran out. The program may catch the error; the turn is undone all the same.
pub fn stack_ran_out() {
    note(AbortedBy::Stack, || {
        format!("the turn's calls nest deeper than the {STACK_LIMIT_BYTES} bytes of stack allow")
    });
}

/// The turn has sent more than it may.
pub fn sent_too_much(why: String) {
    note(AbortedBy::Sent, || why);
}

/// The program wants this turn undone.
pub fn request(reason: &str) {
    note(AbortedBy::Request, || {
        beginning(reason, REASON_BYTES_MAX).to_owned()
    });
}

/// Keeps the first reason; a refused allocation is one, though noted elsewhere.
fn note(by: AbortedBy, why: impl FnOnce() -> String) {
    if mapping::exhausted() {
        return;
    }
    STATE.with_borrow_mut(|state| {
        state.reason.get_or_insert_with(|| (by, why()));
    });
}

/// Whether the turn is to be undone.
pub fn is_wanted() -> bool {
    mapping::exhausted() || STATE.with_borrow(|state| state.reason.is_some())
}

/// The reason, once the turn has ended.
pub fn reason() -> Option<(AbortedBy, String)> {
    let reason = STATE.with_borrow(|state| state.reason.clone());
    let heap = || {
        let why = format!(
            "the heap needs more than its limit of {} bytes",
            mapping::limit_bytes()
        );
        (AbortedBy::Heap, why)
    };
    reason.or_else(|| mapping::exhausted().then(heap))
}
