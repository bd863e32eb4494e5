//! The thread that makes frames durable goes first.
//!
//! Each frame waits for the disk two or three times, and each time the thread that waits has to
//! get a processor back from a worker in the middle of its turn. That was most of what a commit
//! took at full load (p99 900 µs, 240 for the disk itself). So the thread asks to go before all
//! others of the machine, and for a tenth of a millisecond at a time, which is all it needs between
//! two waits: the kernel takes a processor away at once only for who asks for less than who has it.
//!
//! Promises: nothing but when the calling thread runs depends on it; where the machine does not
//! allow it, the thread keeps its importance and asks for the short stretch alone, which is free.

#![allow(unsafe_code, reason = "one system call that rustix does not have")]

use std::io;

/// As important as may be. Needs `CAP_SYS_NICE`, or `LimitNICE=-20` of whoever starts the host.
const FIRST: i32 = -20;
/// How long the thread asks to run at once, in nanoseconds: the least the kernel takes.
const STRETCH_NS: u64 = 100_000;

/// Puts the calling thread first, as far as it may be put there.
pub(crate) fn raise() {
    // No wall and no need: a host whose threads are all alike is slower under load, no more.
    let _ = schedule(FIRST).or_else(|_| schedule(own_nice()));
}

fn own_nice() -> i32 {
    rustix::process::getpriority_process(None).unwrap_or(0)
}

/// Asks for this importance, and for short stretches (Linux 6.12; older ones ignore those).
fn schedule(nice: i32) -> io::Result<()> {
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: libc::SCHED_OTHER as u32,
        sched_flags: 0,
        sched_nice: nice,
        sched_priority: 0,
        sched_runtime: STRETCH_NS,
        sched_deadline: 0,
        sched_period: 0,
    };
    const THIS_THREAD: libc::pid_t = 0;
    const NO_FLAGS: libc::c_uint = 0;
    // SAFETY: the call reads a `sched_attr` of the size it names, which lives until it returns, and
    // writes no memory; what it changes is when this thread runs.
    let result = unsafe {
        libc::syscall(
            libc::SYS_sched_setattr,
            THIS_THREAD,
            &raw const attributes,
            NO_FLAGS,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes() -> libc::sched_attr {
        // SAFETY: numbers only, for all of which zero is one.
        let mut found: libc::sched_attr = unsafe { std::mem::zeroed() };
        let size = size_of::<libc::sched_attr>() as libc::c_uint;
        // SAFETY: the call writes as many bytes as it is told there are.
        let result = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut found, size, 0) };
        assert_eq!(result, 0, "{}", io::Error::last_os_error());
        found
    }

    #[test]
    fn a_thread_is_put_first_where_that_is_allowed_and_stays_itself_where_not() {
        let before = own_nice();
        let beside = std::thread::spawn(|| {
            let allowed = schedule(FIRST).is_ok();
            raise();
            (allowed, attributes())
        });
        let (allowed, found) = beside.join().unwrap();
        let expected = if allowed { FIRST } else { before };
        assert_eq!(found.sched_nice, expected);
        assert_eq!(found.sched_policy, libc::SCHED_OTHER as u32);
        // A kernel that knows of no stretches says none.
        assert!(
            [0, STRETCH_NS].contains(&found.sched_runtime),
            "{}",
            found.sched_runtime
        );
        assert_eq!(own_nice(), before, "the other threads are as they were");
    }
}
