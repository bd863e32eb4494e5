//! The turn's chance: a stream of bytes that only the turn's seed says (T2).
//!
//! Promises: the same seed gives the same bytes on every machine; seed and cipher lie outside the
//! heap and are wiped at the turn's end; drawing leaves nothing of them on JavaScript's stack.
//! Callbacks from C reach this without an argument, hence one thread-local; the worker has one
//! thread.

use std::cell::RefCell;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};

use super::heap::stack;
use kenvat_wire::seed::Seed;

#[derive(Default)]
struct State {
    seed: Option<Seed>,
    /// Made of the seed when the turn first draws, as most never do.
    stream: Option<ChaCha20Rng>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// A turn begins.
pub fn begin_turn(seed: &Seed) {
    STATE.with_borrow_mut(|state| state.seed = Some(seed.clone()));
}

/// The turn is over, well or not: what it drew from is wiped by being dropped.
pub fn end_turn() {
    STATE.with_borrow_mut(|state| {
        state.stream = None;
        state.seed = None;
    });
}

/// Fills `out` with the turn's next bytes; false between turns, when there are none.
pub fn draw(out: &mut [u8]) -> bool {
    STATE.with_borrow_mut(|State { seed, stream }| {
        let Some(seed) = seed else {
            return false;
        };
        stack::aside(|| {
            let make = || ChaCha20Rng::from_seed(*seed.bytes());
            stream.get_or_insert_with(make).fill_bytes(out);
        });
        true
    })
}

/// A whole number below `limit`, each as likely; `None` if there is none to be had.
pub fn below(limit: u64) -> Option<u64> {
    // The last numbers, which do not fill a whole round, would make the first ones likelier.
    let rest = (u64::MAX % limit.max(1) + 1) % limit.max(1);
    loop {
        let mut bytes = [0; 8];
        if limit == 0 || !draw(&mut bytes) {
            return None;
        }
        let found = u64::from_le_bytes(bytes);
        if found <= u64::MAX - rest {
            return Some(found % limit);
        }
    }
}
