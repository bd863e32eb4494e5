//! Gives memory that the process has freed back to the system.
//!
//! Promises: only pages that the allocator holds free are given back; nothing else changes. Does
//! not know when that is worth while.

#![allow(
    unsafe_code,
    reason = "one call of the C library that has no safe wrapper"
)]

/// Gives back the free memory of the process's allocator. glibc keeps what a burst of large
/// messages took, up to 64 MiB in each of its arenas, until it is asked. Takes milliseconds, in
/// which other threads may wait for the allocator. Where the C library has no such call, nothing
/// happens.
pub fn release_free_memory() {
    #[cfg(target_env = "gnu")]
    // NEEDED: the C library's own call; the standard library and rustix have none for it.
    // SAFETY: it takes no pointers, locks the arenas that it trims, and may be called from any
    // thread at any time.
    let _ = unsafe { libc::malloc_trim(0) };
}
