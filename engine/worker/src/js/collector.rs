//! When cycles of garbage are collected.
//!
//! Reference counts free most of a heap at once; what is left are cycles, and finding them takes a
//! walk over every object, which writes to each of their headers. QuickJS would walk in the middle
//! of a turn, whenever the heap is half as large again as after the last walk. Here a walk is due
//! when the heap has doubled, and happens *between* turns: at the latest before the next one, and
//! before that if the worker has nothing else to do. Inside a turn QuickJS walks only if that turn
//! alone makes the heap grow by half of all that, so that garbage never passes for need.
//!
//! Promises: which turns a walk lies between depends on the heap and its limit alone, never on
//! when anybody waited; so it is the same in every life of the vat. The threshold that says so is
//! QuickJS's own, in the heap.

use rquickjs::qjs;

use super::realm::Realm;
use super::value::Cx;
use crate::heap::mapping;

/// Live bytes below which nothing is collected: a small vat is not walked over while it is being
/// set up.
const FIRST_COLLECTION_BYTES: u64 = 1 << 20;

/// Bytes that must be allocated before another walk however full the heap is.
const STEP_BYTES_MIN: u64 = 1 << 20;

/// The place of `malloc_state.malloc_size` in a JSRuntime: behind the allocator's functions and the
/// number of blocks. `prepare` checks it.
const LIVE_BYTES_AT: usize = size_of::<qjs::JSMallocFunctions>() + size_of::<usize>();

/// Sets a fresh heap's threshold; false when this build of QuickJS keeps its size elsewhere.
pub fn prepare(cx: Cx) -> bool {
    // SAFETY: a structure of numbers only.
    let mut usage: qjs::JSMemoryUsage = unsafe { std::mem::zeroed() };
    // SAFETY: a live runtime; the structure is filled.
    unsafe { qjs::JS_ComputeMemoryUsage(cx.runtime(), &mut usage) };
    if u64::try_from(usage.malloc_size) != Ok(live_bytes(cx)) {
        return false;
    }
    // A genesis heap is the same whatever limit it was made under.
    set_threshold(cx, threshold_after(live_bytes(cx), u64::MAX));
    true
}

/// Collects if that is due; tells whether it did. Runs on JavaScript's stack, between turns.
pub fn collect_if_due(realm: &Realm) -> bool {
    let cx = realm.cx;
    if live_bytes(cx) <= threshold(cx) {
        return false;
    }
    // SAFETY: a live runtime, and no value is in use outside the heap between turns.
    unsafe { qjs::JS_RunGC(cx.runtime()) };
    set_threshold(cx, threshold_after(live_bytes(cx), mapping::limit_bytes()));
    true
}

/// Runs a turn with QuickJS's own threshold put further away, and puts ours back.
pub fn around_turn(realm: &Realm, turn: impl FnOnce()) {
    let (cx, limit) = (realm.cx, mapping::limit_bytes());
    let due = threshold(cx);
    let inside = inside_turn(due, limit);
    set_threshold(cx, inside);
    turn();
    match threshold(cx) {
        same if same == inside => set_threshold(cx, due),
        // QuickJS collected, and noted one and a half times what was left.
        set => set_threshold(cx, threshold_after(set / 3 * 2, limit)),
    }
}

/// The size at which the next walk is due, after one that left `live` bytes: double, or half-way
/// to the limit if that is nearer.
fn threshold_after(live: u64, limit: u64) -> u64 {
    let double = live.saturating_mul(2).max(FIRST_COLLECTION_BYTES);
    let half_way = live / 2 + limit / 2;
    double
        .min(half_way)
        .max(live.saturating_add(STEP_BYTES_MIN))
}

/// The size at which a walk inside a turn is due, given that between turns.
fn inside_turn(due: u64, limit: u64) -> u64 {
    (due / 2 * 3).min(due / 2 + limit / 2).max(due)
}

fn live_bytes(cx: Cx) -> u64 {
    let at = cx.runtime().wrapping_byte_add(LIVE_BYTES_AT).cast::<u64>();
    // SAFETY: inside the live runtime, and aligned; `prepare` made sure that this is the number.
    unsafe { at.read() }
}

fn threshold(cx: Cx) -> u64 {
    // SAFETY: a live runtime.
    unsafe { qjs::JS_GetGCThreshold(cx.runtime()) as u64 }
}

fn set_threshold(cx: Cx, bytes: u64) {
    // SAFETY: a live runtime.
    unsafe { qjs::JS_SetGCThreshold(cx.runtime(), bytes as qjs::size_t) };
}
