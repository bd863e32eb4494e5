//! JavaScript's own stack, at a fixed address beside the heap (H7), and one for what must not be
//! seen on it.
//!
//! Promises: every turn begins at the same depth of the same zeroed pages, so a stack address that
//! QuickJS left in the heap is the same in every process, and how deep a program may recurse is the
//! engine's property, not the machine's. What is computed aside leaves nothing on either stack:
//! neither a secret, nor registers' content that depends on the processor.

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};

use super::layout::{ASIDE_ADDRESS, ASIDE_BYTES, PAGE_BYTES, STACK_ADDRESS, STACK_BYTES};
use super::mapping::MapError;

/// Maps both stacks, each with its guard page.
pub fn map() -> Result<(), MapError> {
    map_one(ASIDE_ADDRESS, ASIDE_BYTES)?;
    map_one(STACK_ADDRESS, STACK_BYTES)
}

fn map_one(address: usize, bytes: usize) -> Result<(), MapError> {
    let os = |errno: rustix::io::Errno| MapError::Os {
        what: "map JavaScript's stack",
        source: errno.into(),
    };
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED_NOREPLACE;
    let guard = std::ptr::with_exposed_provenance_mut(address - PAGE_BYTES);
    // SAFETY: MAP_FIXED_NOREPLACE maps over nothing.
    unsafe { mmap_anonymous(guard, PAGE_BYTES, ProtFlags::empty(), flags) }.map_err(os)?;
    let stack = std::ptr::with_exposed_provenance_mut(address);
    let prot = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: as above.
    unsafe { mmap_anonymous(stack, bytes, prot, flags) }.map_err(os)?;
    Ok(())
}

/// Zeros the stack: an undone turn leaves no word of itself (H7). Not to be called from inside
/// `enter`.
pub fn zero() -> std::io::Result<()> {
    let stack = std::ptr::with_exposed_provenance_mut(STACK_ADDRESS);
    // SAFETY: these bytes are a private anonymous mapping of ours that nobody runs on now: dropping
    // its pages makes them zeros again.
    unsafe { madvise(stack, STACK_BYTES, Advice::LinuxDontNeed) }?;
    Ok(())
}

/// Runs `work` at the top of JavaScript's stack. Must not be called from inside itself.
pub fn enter<R>(work: impl FnOnce() -> R) -> R {
    let stack = std::ptr::with_exposed_provenance_mut(STACK_ADDRESS);
    // SAFETY: `map` mapped these bytes; address and size are multiples of any stack alignment; the
    // worker aborts on panic, so `work` can only return; nobody else is on this stack.
    unsafe { psm::on_stack(stack, STACK_BYTES, work) }
}

/// Runs `work` on the stack for secrets and wipes that. For code that calls nothing unknown and
/// needs little; must not be called from inside itself.
pub fn aside(work: impl FnOnce()) {
    let stack = std::ptr::with_exposed_provenance_mut::<u8>(ASIDE_ADDRESS);
    // SAFETY: as in `enter`.
    unsafe { psm::on_stack(stack, ASIDE_BYTES, work) };
    // SAFETY: `map` mapped these bytes, and nobody runs on them now.
    unsafe { stack.write_bytes(0, ASIDE_BYTES) };
}

/// About where the caller's frame is.
#[inline(never)]
pub fn pointer() -> usize {
    let here = 0_u8;
    std::hint::black_box(&raw const here).expose_provenance()
}

/// Bytes of JavaScript's stack in use above a frame.
pub fn used(frame: usize) -> usize {
    (STACK_ADDRESS + STACK_BYTES).saturating_sub(frame)
}

/// The first four words in a row that are what is looked for, from a caller's frame down to the one
/// that runs; `None` anywhere but on JavaScript's stack.
pub fn find(frame: usize, is_it: impl Fn([usize; 4]) -> bool) -> Option<[usize; 4]> {
    const WORD: usize = size_of::<usize>();
    let lowest = pointer().next_multiple_of(WORD);
    let highest = frame / WORD * WORD;
    let ours = STACK_ADDRESS..=STACK_ADDRESS + STACK_BYTES - WORD;
    if !ours.contains(&lowest) || !ours.contains(&highest) {
        return None;
    }
    let word = |address: usize| {
        let at = std::ptr::with_exposed_provenance::<usize>(address);
        // SAFETY: an aligned word of a mapping of ours that is never unmapped; nobody else writes
        // while we read, and any bits are a number.
        unsafe { at.read_volatile() }
    };
    let mut found = [0; 4];
    let mut at = highest;
    while at > lowest {
        at -= WORD;
        found = [word(at), found[0], found[1], found[2]];
        if is_it(found) {
            return Some(found);
        }
    }
    None
}
