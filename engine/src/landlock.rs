//! Landlock around a worker: one more wall, where the kernel has it (E3).
//!
//! Promises: what is started by a command given to `close_in` is in a domain of its own before it
//! executes anything, whatever engine it is. From there it opens no file and no folder, makes,
//! removes and executes none, but reads in its own folder of /proc; it traces nobody; and as far as
//! the kernel's version goes it connects and binds no TCP or UDP socket, and signals nobody. What
//! Landlock does not judge at all: looking at a name (stat), its mode and owner, and everything
//! about descriptors that are open already. A kernel without Landlock changes nothing, which is
//! told; one that has it and refuses keeps the worker from starting. Does not know what workers do.
//!
//! The wall is put up in the child, between fork and exec, and so by the one unsafe line of the
//! host's half. *Rejected*: a thread that closes itself in and then starts workers, which needs no
//! unsafe line. A domain opens onto itself: every worker could trace and kill that thread, which is
//! the host, and all its siblings.
//!
//! /proc/self is the one place a rule is made for, since trackers of written pages, those of old
//! engines too, open /proc/self/pagemap by its name. The executable needs none: it is in memory,
//! and Landlock does not judge what is on no file system that can be mounted.

#![allow(
    unsafe_code,
    reason = "a domain of a child's own is entered between fork and exec"
)]

use std::error::Error;
use std::fmt;
use std::io;
use std::os::fd::IntoRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::OnceLock;
use std::thread;

use landlock::{
    ABI, Access, AccessFs, AccessNet, LandlockStatus, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, Scope,
};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};

/// The newest version whose rights were looked at; on older kernels those they have are taken.
const NEWEST: ABI = ABI::V10;

/// Whether this kernel puts workers behind Landlock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Landlock {
    /// It does, with the rights of this version.
    On {
        /// Landlock's version, as the kernel counts them.
        version: i32,
    },
    /// It was not switched on when the kernel was started.
    Off,
    /// It has none, or keeps it from this process.
    Missing,
}

impl fmt::Display for Landlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Landlock::On { version } => write!(f, "workers are behind Landlock {version}"),
            Landlock::Off => f.write_str(
                "workers are without Landlock: it was not switched on when this kernel was \
                 started (lsm=)",
            ),
            Landlock::Missing => f.write_str("workers are without Landlock: this kernel has none"),
        }
    }
}

/// What there is here: tried out once, on a thread that ends with it.
///
/// # Errors
/// The kernel has it and refuses; so it will with every worker.
pub fn landlock() -> io::Result<Landlock> {
    static FOUND: OnceLock<Landlock> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return Ok(*found);
    }
    let trial = thread::Builder::new().name("kenvat-landlock".to_owned());
    let trial = trial.spawn(|| ruleset()?.restrict_self().map_err(|error| errno(&error)))?;
    let status = trial.join().expect("it does not panic");
    let found = match status?.landlock {
        LandlockStatus::Available { effective_abi, .. } => Landlock::On {
            version: effective_abi as i32,
        },
        LandlockStatus::NotEnabled => Landlock::Off,
        LandlockStatus::NotImplemented => Landlock::Missing,
    };
    Ok(*FOUND.get_or_init(|| found))
}

/// Has the child enter a domain of its own. To be called before anything that gives the child
/// descriptors: from `fd_min` on none may be among those.
pub(crate) fn close_in(command: &mut Command, fd_min: i32) -> io::Result<()> {
    let Landlock::On { .. } = landlock()? else {
        return Ok(());
    };
    let mut ruleset = Some(ruleset()?);
    let enter = move || enter(ruleset.take().ok_or(Errno::INVAL)?, fd_min);
    // NEEDED: only the child can enter, and std has no safe hook after fork.
    // SAFETY: `enter` makes system calls through rustix and the landlock crate, which on this way
    // neither allocate nor take locks, their errors included; the descriptors it makes and closes
    // are its own, as the ruleset's is.
    unsafe { command.pre_exec(enter) };
    Ok(())
}

/// Every right there is, and no rule.
fn ruleset() -> Result<RulesetCreated, Errno> {
    let made = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|made| made.handle_access(AccessNet::from_all(NEWEST)))
        .and_then(|made| made.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create);
    made.map_err(|error| errno(&error))
}

/// In the child: no more is done here than must be.
fn enter(ruleset: RulesetCreated, fd_min: i32) -> io::Result<()> {
    let own = open(
        c"/proc/self",
        OFlags::PATH | OFlags::DIRECTORY,
        Mode::empty(),
    )?;
    let rule = PathBeneath::new(&own, AccessFs::ReadFile);
    let closed_in = ruleset
        .add_rule(rule)
        .and_then(RulesetCreated::restrict_self);
    closed_in.map_err(|error| errno(&error))?;
    // The kernel makes such a folder anew once nobody holds it, and the rule is for this one. So
    // it goes along, until the worker closes what it does not need.
    let kept = fcntl_dupfd_cloexec(&own, fd_min)?;
    fcntl_setfd(&kept, FdFlags::empty())?;
    let _ = kept.into_raw_fd();
    Ok(())
}

/// What the kernel said. Anything else would be a mistake in what it was asked.
fn errno(error: &RulesetError) -> Errno {
    let said = error.source().and_then(|source| source.downcast_ref());
    said.and_then(Errno::from_io_error).unwrap_or(Errno::INVAL)
}
