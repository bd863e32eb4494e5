//! Kills a process at a chosen step of what it does, before its nth call of one kind; or has such
//! calls fail.
//!
//! Promises: a step is a system call that changes a file or tells somebody something; steps are
//! counted from the moment a tracer is attached, each thread and each kind on its own; the thread
//! that reaches the chosen one dies before it is carried out, with its whole process. Needs
//! `strace` and the right to trace a process that runs; `may_attach` says whether both are there.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The kinds of steps.
const KINDS: &str = "write,writev,pwrite64,pwritev,pwritev2,fsync,fdatasync,sync_file_range,\
                     ftruncate,fallocate,openat,unlink,unlinkat,rename,renameat,renameat2,\
                     mkdir,mkdirat,sendto,sendmsg,shutdown,clone,clone3,vfork,kill,\
                     pidfd_send_signal";

/// Calls of one kind that are all looked at; of those beyond, about `SPREAD`.
const FIRST: u32 = 12;
const SPREAD: u32 = 8;

/// A step to be killed at: the nth call of this kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub kind: String,
    pub nth: u32,
}

/// `strace`, attached to a process. Detached when dropped.
#[derive(Debug)]
pub struct Tracer {
    strace: Child,
}

impl Tracer {
    /// Writes to `file` what `steps` reads: every step of all threads `pid` has now, and with
    /// `follow` of what it starts.
    pub fn record(pid: u32, follow: bool, file: &Path) -> Tracer {
        let file = file.to_str().expect("a plain path");
        Tracer::attach(pid, follow, &["-o", file, "-e", &format!("trace={KINDS}")])
    }

    /// Kills the process at this step.
    pub fn kill_at(pid: u32, follow: bool, step: &Step) -> Tracer {
        let Step { kind, nth } = step;
        let trace = format!("trace={kind}");
        let inject = format!("inject={kind}:signal=KILL:when={nth}");
        Tracer::attach(
            pid,
            follow,
            &["-o", "/dev/null", "-e", &trace, "-e", &inject],
        )
    }

    /// Has calls of this kind fail with `error`, without being made; `when` is strace's: `1` is the
    /// first of each thread, `1+` all.
    pub fn fail(pid: u32, kind: &str, error: &str, when: &str) -> Tracer {
        let trace = format!("trace={kind}");
        let inject = format!("inject={kind}:error={error}:when={when}");
        Tracer::attach(
            pid,
            false,
            &["-o", "/dev/null", "-e", &trace, "-e", &inject],
        )
    }

    fn attach(pid: u32, follow: bool, options: &[&str]) -> Tracer {
        let mut strace = Command::new("strace");
        strace.args(options).args(["-e", "signal=none"]);
        // With -f it finds the threads itself, and says one word for all of them.
        let threads = match follow {
            true => vec![pid.to_string()],
            false => threads(pid),
        };
        if follow {
            strace.arg("-f");
        }
        for thread in &threads {
            strace.args(["-p", thread]);
        }
        strace.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut strace = strace.spawn().expect("strace starts");
        let mut said = BufReader::new(strace.stderr.take().expect("is piped"));
        for thread in &threads {
            let mut line = String::new();
            said.read_line(&mut line).expect("it speaks text");
            // A thread may end meanwhile; the first one is the process itself.
            let ended = line.contains("attach:") && fs::metadata(task(pid, thread)).is_err();
            assert!(
                line.contains("attached") || ended,
                "strace cannot attach: {line}"
            );
        }
        // Nobody may leave its pipe full.
        std::thread::spawn(move || said.read_to_end(&mut Vec::new()));
        Tracer { strace }
    }

    /// Lets a process go that runs on, with all of its steps written down.
    pub fn finish(mut self) {
        let pid = i32::try_from(self.strace.id()).ok();
        let pid = pid.and_then(rustix::process::Pid::from_raw);
        let told = rustix::process::kill_process(
            pid.expect("a process number"),
            rustix::process::Signal::TERM,
        );
        told.expect("it runs as long as what it traces");
        self.strace.wait().expect("it is our child");
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // Not asked to end: to let go it would wait for a process that may be dying, which waits
        // for it. Whoever its death finds stopped goes on. Fails where it is gone already.
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}

fn task(pid: u32, thread: &str) -> String {
    format!("/proc/{pid}/task/{thread}")
}

fn threads(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(task(pid, ""));
    let tasks = tasks.expect("the process runs").filter_map(Result::ok);
    tasks
        .map(|task| task.file_name().into_string().expect("a number"))
        .collect()
}

/// The steps of a record: of each kind as many as the thread with the most of them made, or a
/// choice of them.
pub fn steps(record: &str) -> Vec<Step> {
    let mut counts: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for line in record.lines() {
        // `PID  call(arguments…`; the second half of an interrupted call is none of its own.
        let Some((thread, call)) = line.split_once(char::is_whitespace) else {
            continue;
        };
        let kind = call.trim_start().split_once('(').map(|(kind, _)| kind);
        if let Some(kind) = kind.filter(|kind| KINDS.split(',').any(|known| known == *kind)) {
            *counts.entry((kind, thread)).or_default() += 1;
        }
    }
    let mut most: BTreeMap<&str, u32> = BTreeMap::new();
    for ((kind, _), count) in counts {
        let entry = most.entry(kind).or_default();
        *entry = count.max(*entry);
    }
    let each = |(kind, most): (&str, u32)| {
        let kind = kind.to_owned();
        chosen(most).map(move |nth| Step {
            kind: kind.clone(),
            nth,
        })
    };
    most.into_iter().flat_map(each).collect()
}

/// Of many calls of one kind, such as the pages of an image, the first ones and some of the others,
/// the last among them.
fn chosen(most: u32) -> impl Iterator<Item = u32> {
    let stride = (most.saturating_sub(FIRST) / SPREAD).max(1);
    (1..=most).filter(move |nth| *nth <= FIRST || (most - nth).is_multiple_of(stride))
}

/// Whether a process of ours can be traced here although it runs already: tried on one.
pub fn may_attach() -> bool {
    let Ok(mut target) = Command::new("sleep").arg("60").spawn() else {
        return false;
    };
    let pid = target.id().to_string();
    let mut strace = Command::new("strace");
    strace.args(["-o", "/dev/null", "-p", &pid]);
    strace.stdin(Stdio::null()).stderr(Stdio::piped());
    let attached = strace.spawn().is_ok_and(|mut strace| {
        let said = strace.stderr.take().expect("is piped");
        let mut line = String::new();
        let heard = BufReader::new(said).read_line(&mut line).is_ok();
        let _ = strace.kill();
        let _ = strace.wait();
        heard && line.contains("attached")
    });
    let _ = target.kill();
    let _ = target.wait();
    attached
}
