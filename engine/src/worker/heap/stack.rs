//! JavaScript's own stack, at a fixed address beside the heap (H7).
//!
//! Promises: every turn begins at the same depth of the same zeroed pages, so a stack address that
//! QuickJS left in the heap is the same in every process, and how deep a program may recurse is the
//! engine's property, not the machine's.

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};

use super::layout::{PAGE_BYTES, STACK_ADDRESS, STACK_BYTES};
use super::mapping::MapError;

/// Maps stack and guard page.
pub fn map() -> Result<(), MapError> {
    let os = |errno: rustix::io::Errno| MapError::Os {
        what: "map JavaScript's stack",
        source: errno.into(),
    };
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED_NOREPLACE;
    let guard = std::ptr::with_exposed_provenance_mut(STACK_ADDRESS - PAGE_BYTES);
    // SAFETY: MAP_FIXED_NOREPLACE maps over nothing.
    unsafe { mmap_anonymous(guard, PAGE_BYTES, ProtFlags::empty(), flags) }.map_err(os)?;
    let stack = std::ptr::with_exposed_provenance_mut(STACK_ADDRESS);
    let prot = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: as above.
    unsafe { mmap_anonymous(stack, STACK_BYTES, prot, flags) }.map_err(os)?;
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
