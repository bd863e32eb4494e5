//! The walls of the worker's process, put up when heap and tracker stand and before the first byte
//! of the heap is looked at (E3).
//!
//! Promises: once `enter` has returned, the process has no descriptors but its socket, its last
//! words and its tracker's; nobody but root can look into it; and a system call that is not in
//! `allowed` ends it with SIGSYS, which the host counts as the vat's own fault (T3). A wall that
//! cannot be put up is an error: a worker without it does not run. Nothing in a heap depends on
//! what is allowed here, so a worker of another build may allow something else.
//!
//! Not allowed although something might call them: getpid, gettid and tgkill of `abort`. A panic of
//! the worker writes its words and then ends by SIGSYS instead of SIGABRT; both count alike.
//!
//! What a call may do besides its number is decided by its plain arguments only: the filter cannot
//! follow pointers. What the arguments leave open is closed by what there is to use them on: no
//! descriptor of a file, no second process, no memory shared for writing but the status page.

use std::collections::BTreeMap;
use std::io;

use libc::{
    SYS_brk, SYS_close, SYS_exit_group, SYS_futex, SYS_ioctl, SYS_madvise, SYS_mmap, SYS_mprotect,
    SYS_mremap, SYS_munmap, SYS_pread64, SYS_recvfrom, SYS_rt_sigaction, SYS_rt_sigreturn,
    SYS_sendto, SYS_sigaltstack, SYS_write,
};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};

use super::heap::descriptor::close_all_but;
use super::heap::tracker::{PAGEMAP_SCAN, UFFDIO_REGISTER};
use kenvat_wire::protocol::SOCKET_FD;

/// Standard error: a pipe, for the reason of an end.
const LAST_WORDS_FD: i32 = 2;
const FUTEX_WAKE_PRIVATE: u32 = (libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG) as u32;

/// Why a wall could not be put up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    #[error("{what}: {source}")]
    Os {
        what: &'static str,
        source: io::Error,
    },
    #[error("make the filter of system calls: {0}")]
    Filter(#[from] BackendError),
    #[error("put on the filter of system calls: {0}")]
    Install(#[from] seccompiler::Error),
}

/// Leaves the process with what a vat needs; `tracker` are the descriptors the tracker uses.
pub fn enter(tracker: &[i32]) -> Result<(), SandboxError> {
    let os = |what| move |source| SandboxError::Os { what, source };
    let mut kept = vec![LAST_WORDS_FD, SOCKET_FD];
    kept.extend_from_slice(tracker);
    close_all_but(kept).map_err(os("close what is not needed"))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|errno| os("close the process to others")(errno.into()))?;
    if cfg!(feature = "unfiltered") {
        return Ok(());
    }
    // Also sets no_new_privs, without which the kernel takes no filter from a plain user.
    Ok(seccompiler::apply_filter(&program()?)?)
}

fn program() -> Result<BpfProgram, BackendError> {
    let filter = SeccompFilter::new(
        allowed()?,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        TargetArch::try_from(std::env::consts::ARCH)?,
    )?;
    filter.try_into()
}

/// The calls that stay, each with the rules of which one must hold; none means any arguments.
/// Numbers differ between processors and names do not: every one of these is there on both.
fn allowed() -> Result<BTreeMap<i64, Vec<SeccompRule>>, BackendError> {
    let socket = int(0, SOCKET_FD as u32)?;
    let unnamed = |address: u8| long(address, u64::MAX, 0);
    let (data, private) = (
        (libc::PROT_READ | libc::PROT_WRITE) as u64,
        (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64,
    );
    Ok(BTreeMap::from([
        // The host: read with recv and written with send, and no other peer is named.
        (SYS_recvfrom, one(vec![socket.clone(), unnamed(4)?])?),
        (SYS_sendto, one(vec![socket, unnamed(4)?])?),
        // The reason of an end.
        (SYS_write, one(vec![int(0, LAST_WORDS_FD as u32)?])?),
        // The heap grows, and the third tracker protects and opens pages; never to execute.
        (SYS_mprotect, one(vec![long(2, !data, 0)?])?),
        // Rust's and QuickJS's C malloc outside the heap: large blocks have mappings of their own.
        // Exactly private and anonymous: no file, and no fixed place to put something over another.
        (
            SYS_mmap,
            one(vec![long(2, !data, 0)?, long(3, u64::MAX, private)?])?,
        ),
        (SYS_munmap, Vec::new()),
        // realloc of such a block; never to a place of the caller's choice.
        (
            SYS_mremap,
            one(vec![long(3, u64::MAX, libc::MREMAP_MAYMOVE as u64)?])?,
        ),
        // Small blocks.
        (SYS_brk, Vec::new()),
        // Undoing a turn clears the stack, settled pages go back to the base, malloc trims.
        (SYS_madvise, one(vec![int(2, libc::MADV_DONTNEED as u32)?])?),
        // The first tracker's scan, and the pages the heap grows by; in asynchronous mode
        // registering them gives no control of anything but this process's own memory.
        (
            SYS_ioctl,
            vec![
                SeccompRule::new(vec![int(1, PAGEMAP_SCAN)?])?,
                SeccompRule::new(vec![int(1, UFFDIO_REGISTER)?])?,
            ],
        ),
        // The second tracker's look at pagemap; no other descriptor here has positions.
        (SYS_pread64, Vec::new()),
        // The third tracker's handler comes back from its signal, and hands a fault that is none
        // of its own to Rust's handler, which asks for the default: so a real fault is seen as one.
        (SYS_rt_sigreturn, Vec::new()),
        (
            SYS_rt_sigaction,
            vec![
                SeccompRule::new(vec![int(0, libc::SIGSEGV as u32)?])?,
                SeccompRule::new(vec![int(0, libc::SIGBUS as u32)?])?,
            ],
        ),
        // The end: the signal stack is put away, descriptors are closed, and Rust's runtime wakes
        // whoever waits for its exit, which is nobody. Waiting is not needed with one thread.
        (SYS_sigaltstack, Vec::new()),
        (SYS_close, Vec::new()),
        (SYS_exit_group, Vec::new()),
        (SYS_futex, one(vec![int(1, FUTEX_WAKE_PRIVATE)?])?),
    ]))
}

fn one(conditions: Vec<SeccompCondition>) -> Result<Vec<SeccompRule>, BackendError> {
    Ok(vec![SeccompRule::new(conditions)?])
}

/// An argument the kernel takes as 32 bits, so only those are compared.
fn int(argument: u8, value: u32) -> Result<SeccompCondition, BackendError> {
    let (width, equal) = (SeccompCmpArgLen::Dword, SeccompCmpOp::Eq);
    SeccompCondition::new(argument, width, equal, value.into())
}

/// An argument of 64 bits whose bits under the mask are `value`.
fn long(argument: u8, mask: u64, value: u64) -> Result<SeccompCondition, BackendError> {
    let equal = SeccompCmpOp::MaskedEq(mask);
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, equal, value)
}
