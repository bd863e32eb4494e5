//! One worker process: started from a sealed copy of its engine, spoken to over one socket.
//!
//! Promises: the child gets its socket, its image, and nothing else of the host's; no read or write
//! here blocks; what is read is bounded; a dead child is reaped. Does not know what messages mean.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, getpriority_process, kill_process, pidfd_open,
    prlimit, setpriority_process,
};

use super::landlock;
use super::watchdog::{CLOSED_GRACE, Verdict, Watchdog};
use kenvat_core::event::Death;
use kenvat_wire::protocol::{
    self, CodecError, FROM_WORKER_BYTES_MAX, FromWorker, IMAGE_FD, SOCKET_FD, STATUS_BYTES,
    STATUS_FD, STATUS_PAGES_AT, STATUS_TURN_AT, ToWorker,
};

/// Descriptors from here on are clear of the numbers the child's own descriptors get.
const OTHERS_FD_MIN: i32 = 16;
/// Bytes asked of the socket at once.
const READ_BYTES: usize = 256 << 10;
/// Descriptors a worker may have: its own stay below ten.
const WORKER_FDS_MAX: u64 = 16;
/// How much nicer than the host a worker is. A turn that computes as long as it may must not keep
/// the processor from the thread that answers everybody else's calls; among workers nothing
/// changes. A third of the host's weight: enough for the host to go first, and not so little that
/// other programs on the machine take all there is.
const NICER: i32 = 5;
const NICE_MAX: i32 = 19;
/// Bytes of a dead worker's last words that are kept.
const LAST_WORDS_BYTES: usize = 2048;

/// An engine ready to be executed: a sealed copy in memory, so that nothing on disk can change it.
#[derive(Debug)]
pub(crate) struct Executable(OwnedFd);

impl Executable {
    pub fn seal(bytes: &[u8]) -> io::Result<Executable> {
        let file = sealed_memfd("kenvat-worker", bytes)?;
        Ok(Executable(fcntl_dupfd_cloexec(file, OTHERS_FD_MIN)?))
    }
}

fn sealed_memfd(name: &str, bytes: &[u8]) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(memfd_create(name, flags)?);
    file.write_all(bytes)?;
    fcntl_add_seals(
        &file,
        SealFlags::SEAL | SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK,
    )?;
    Ok(file)
}

/// An image that exists in memory only, these pages and zeros up to `length`: for genesis and for
/// first turns. Returned as a descriptor for reading only (I1).
pub(crate) fn image_in_memory(
    pages: impl Iterator<Item = (u32, Vec<u8>)>,
    length: u64,
) -> io::Result<File> {
    let file = File::from(memfd_create("kenvat-image", MemfdFlags::CLOEXEC)?);
    for (page, content) in pages {
        let at = u64::from(page) * kenvat_store::PAGE_BYTES as u64;
        file.write_all_at(&content, at)?;
    }
    file.set_len(length)?;
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Why there is no worker.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpawnError {
    #[error("{0}")]
    Os(#[from] io::Error),
    #[error("this kernel has Landlock and does not put it on: {0}")]
    Landlock(#[source] io::Error),
}

impl SpawnError {
    /// What the kernel said.
    pub fn cause(&self) -> &io::Error {
        let (SpawnError::Os(cause) | SpawnError::Landlock(cause)) = self;
        cause
    }
}

impl From<Errno> for SpawnError {
    fn from(errno: Errno) -> SpawnError {
        SpawnError::Os(errno.into())
    }
}

/// A running worker.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    pidfd: OwnedFd,
    socket: Arc<UnixStream>,
    last_words: OwnedFd,
    /// Shared with the worker, which writes there which turn it runs.
    status: File,
    watchdog: Watchdog,
    turn_max: Duration,
    input: Vec<u8>,
    /// Bytes of `input` already decoded.
    taken: usize,
    output: Vec<u8>,
    /// Bytes of `output` already written.
    written: usize,
    /// The socket took less than there was; whoever waits for it also waits to write.
    pub blocked: bool,
    /// A caller's thread listens to it, or did last: the engine's is told nothing of its socket.
    pub is_unwatched: bool,
    /// Since when it is not listened to: its last hand-over is large and under way.
    held_since: Option<Instant>,
    /// Pages its heap may grow to.
    pub page_limit: u32,
}

/// What one read brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// There may be whole messages to take.
    Bytes,
    /// Nothing more for now.
    Nothing,
    /// The other end is closed.
    End,
}

impl Worker {
    /// `turn_max` is how long one of its turns may run.
    pub fn spawn(
        engine: &Executable,
        image: File,
        turn_max: Duration,
    ) -> Result<Worker, SpawnError> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        // The write end does not block either: a worker must not hang on its own last words.
        let (words, mouth) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let status = File::from(memfd_create("kenvat-status", MemfdFlags::CLOEXEC)?);
        status.set_len(STATUS_BYTES as u64)?;
        let mut command = Command::new(format!("/proc/self/fd/{}", engine.0.as_raw_fd()));
        command
            .env_clear()
            .current_dir("/")
            // A key that interrupts the host at its terminal is the host's to answer, and a signal
            // to the worker's own group reaches nobody else.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(mouth));
        landlock::close_in(&mut command, OTHERS_FD_MIN).map_err(SpawnError::Landlock)?;
        command
            .fd_mappings(vec![
                FdMapping {
                    parent_fd: theirs.into(),
                    child_fd: SOCKET_FD,
                },
                FdMapping {
                    parent_fd: image.into(),
                    child_fd: IMAGE_FD,
                },
                FdMapping {
                    parent_fd: status.try_clone()?.into(),
                    child_fd: STATUS_FD,
                },
            ])
            .map_err(|error| io::Error::other(error.to_string()))?;
        let mut child = command.spawn()?;
        let pidfd = match confine(&child) {
            Ok(pidfd) => pidfd,
            Err(errno) => {
                // Fails only when it is reaped already.
                let _ = child.kill();
                child.wait()?;
                return Err(errno.into());
            }
        };
        Ok(Worker {
            child,
            pidfd,
            socket: Arc::new(ours),
            last_words: words,
            status,
            watchdog: Watchdog::default(),
            turn_max,
            input: Vec::new(),
            taken: 0,
            output: Vec::new(),
            written: 0,
            blocked: false,
            is_unwatched: false,
            held_since: None,
            page_limit: 0,
        })
    }

    pub fn process(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Stops listening to it; false when that is so already.
    pub fn hold(&mut self) -> bool {
        let was_heard = self.held_since.is_none();
        self.held_since.get_or_insert_with(Instant::now);
        was_heard
    }

    /// Listens again; false when it is listened to.
    pub fn release(&mut self) -> bool {
        let Some(since) = self.held_since.take() else {
            return false;
        };
        self.watchdog.paused(since.elapsed());
        true
    }

    pub fn is_held(&self) -> bool {
        self.held_since.is_some()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn socket(&self) -> impl AsFd + '_ {
        self.socket.as_fd()
    }

    /// The same, for a thread that waits for it while the worker may be ended.
    pub fn socket_shared(&self) -> Arc<UnixStream> {
        self.socket.clone()
    }

    /// Readable once the process has ended.
    pub fn pidfd(&self) -> impl AsFd + '_ {
        self.pidfd.as_fd()
    }

    /// Queues a message; `send` writes it.
    pub fn queue(&mut self, message: &ToWorker) {
        self.watchdog.sent(message, Instant::now());
        protocol::encode(message, &mut self.output);
    }

    /// Whether something is queued.
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Writes what the socket takes now. True when something is left for later.
    pub fn send(&mut self) -> bool {
        while self.written < self.output.len() {
            match (&*self.socket).write(&self.output[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                // The process is gone or going; its end is told by the pidfd.
                Err(_) => break,
            }
        }
        self.output.clear();
        self.written = 0;
        false
    }

    /// Reads what is there, once.
    pub fn hear(&mut self) -> Heard {
        if self.taken == self.input.len() {
            self.input.clear();
            self.taken = 0;
        }
        // Into memory as it is: clearing so much before each read took longer than the read.
        self.input.reserve(READ_BYTES);
        match rustix::io::read(&*self.socket, spare_capacity(&mut self.input)) {
            Ok(0) => {
                self.watchdog.closed(Instant::now());
                Heard::End
            }
            Ok(_) | Err(Errno::INTR) => Heard::Bytes,
            Err(Errno::AGAIN) => Heard::Nothing,
            Err(_) => Heard::End,
        }
    }

    /// The next whole message heard, if there is one.
    pub fn take(&mut self) -> Result<Option<FromWorker>, CodecError> {
        let rest = &self.input[self.taken..];
        let Some(length) = protocol::frame_length(rest, FROM_WORKER_BYTES_MAX)? else {
            return Ok(None);
        };
        let Some(frame) = rest.get(..length) else {
            // A long message arrives in pieces; the ones before it need not be kept.
            self.input.drain(..self.taken);
            self.taken = 0;
            return Ok(None);
        };
        let message = protocol::decode(&frame[4..])?;
        self.taken += length;
        self.watchdog.received(&message);
        Ok(Some(message))
    }

    /// Bytes of the message that has begun and is not there whole.
    pub fn under_way(&self) -> usize {
        let rest = &self.input[self.taken..];
        let length = protocol::frame_length(rest, FROM_WORKER_BYTES_MAX);
        length.ok().flatten().unwrap_or(0)
    }

    pub fn kill(&mut self) {
        // Fails only when the process is reaped already.
        let _ = kill_process(Pid::from_child(&self.child), Signal::KILL);
    }

    /// The turn it says it runs: a claim.
    pub fn running(&self) -> Option<u64> {
        self.claim(STATUS_TURN_AT).filter(|turn| *turn != 0)
    }

    /// The pages it says it found written for its last hand-over: a claim.
    pub fn pages_written(&self) -> u64 {
        self.claim(STATUS_PAGES_AT).unwrap_or(0)
    }

    fn claim(&self, at: u64) -> Option<u64> {
        let mut word = [0; 8];
        // The page is ours and in memory; a short read would mean that it is not there: no claim.
        self.status.read_exact_at(&mut word, at).ok()?;
        Some(u64::from_ne_bytes(word))
    }

    /// Ends it when it has been at one turn for longer than a turn may, when it does not do what it
    /// was asked, or when it has closed its socket and lives on. The last is a breach of the rules,
    /// told by its name.
    pub fn look(&mut self, now: Instant) -> Option<&'static str> {
        let running = self.running();
        match self.watchdog.judge(running, now, self.turn_max) {
            Verdict::Fine => None,
            Verdict::Overran => {
                self.kill();
                None
            }
            Verdict::Closed => {
                self.kill();
                Some("it closed its socket and went on")
            }
        }
    }

    /// Whether somebody has to look at it again although no turn is out.
    pub fn is_suspect(&self) -> bool {
        self.watchdog.is_suspect()
    }

    /// Reaps an ended process: how it died, and what it said last.
    pub fn reap(&mut self) -> io::Result<(Death, String)> {
        let status = self.child.wait()?;
        let death = match (status.code(), status.signal()) {
            (Some(code), _) => Death::Exit(code),
            (None, Some(signal)) if is_own_fault(signal) => Death::Signal(signal),
            _ if self.watchdog.overran => Death::Clock,
            _ => Death::Killed,
        };
        let mut words = vec![0; LAST_WORDS_BYTES];
        let count = rustix::io::read(&self.last_words, &mut words).unwrap_or(0);
        words.truncate(count);
        Ok((death, sanitize(&String::from_utf8_lossy(&words))))
    }

    /// Blocking use, for genesis and checks: sends what is queued and gives the next message;
    /// `None` when there is none in time, or the worker says no more.
    pub fn wait_for_message(&mut self, until: Instant) -> Result<Option<FromWorker>, CodecError> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            let mut flags = PollFlags::IN;
            flags.set(PollFlags::OUT, self.send());
            if !wait_for(&self.socket, flags, until) || self.hear() == Heard::End {
                return Ok(None);
            }
        }
    }

    /// Reaps a worker that says no more; one that lives on nevertheless is ended.
    pub fn finish(&mut self) -> io::Result<(Death, String)> {
        if !wait_for(&self.pidfd, PollFlags::IN, Instant::now() + CLOSED_GRACE) {
            self.kill();
        }
        self.reap()
    }
}

/// Waits until a descriptor is ready; false when time is up.
fn wait_for(descriptor: &impl AsFd, flags: PollFlags, until: Instant) -> bool {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let mut one = [PollFd::new(descriptor, flags)];
        let timeout = Timespec::try_from(left).unwrap_or_default();
        match poll(&mut one, Some(&timeout)) {
            Ok(ready) => return ready > 0,
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

/// The walls a worker needs no part in, so that engines older than a wall get it too (E3). It waits
/// for its first message meanwhile, which nobody has queued yet.
fn confine(child: &Child) -> rustix::io::Result<OwnedFd> {
    let pid = Pid::from_child(child);
    let limits = [
        // A core would hold a vat's secrets, outside its store.
        (Resource::Core, 0),
        // No file grows by its hand, no process starts (a root user's may, but for the filter).
        (Resource::Fsize, 0),
        (Resource::Nproc, 0),
        (Resource::Nofile, WORKER_FDS_MAX),
    ];
    for (resource, most) in limits {
        let most = Some(most);
        let limit = Rlimit {
            current: most,
            maximum: most,
        };
        prlimit(Some(pid), resource, limit)?;
    }
    // No wall: where a policy forbids it, a worker is as important as the host.
    let _ = getpriority_process(None)
        .and_then(|nice| setpriority_process(Some(pid), (nice + NICER).min(NICE_MAX)));
    pidfd_open(pid, PidfdFlags::empty())
}

/// Signals a process brings upon itself (T3); others come from outside and say nothing about it.
fn is_own_fault(signal: i32) -> bool {
    [
        Signal::SEGV,
        Signal::BUS,
        Signal::ILL,
        Signal::FPE,
        Signal::ABORT,
        Signal::SYS,
    ]
    .iter()
    .any(|own| own.as_raw() == signal)
}

/// Last words are a worker's: one line of printable text, whatever they were.
fn sanitize(text: &str) -> String {
    let line = text.lines().last().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(300).collect()
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
        let _ = self.child.wait();
    }
}
