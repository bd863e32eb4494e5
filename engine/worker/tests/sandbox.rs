//! What a worker that was taken over can still do: nothing outside itself (E3).
//!
//! The worker here is built with feature `misbehave`: its programs may make any system call with
//! any arguments, in the middle of a turn, behind the same walls as every worker's.

use std::borrow::Cow;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use kenvat_engine::{CallError, Engine};
use kenvat_testing::engine::{Ask, open};
use kenvat_testing::worker::{TestVat, executable_file, genesis_by, other_worker};
use kenvat_wire::protocol::{HandOver, ToWorker, TrackerKind};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, getpgid, getpriority_process, pidfd_open};

const TRACKERS: [TrackerKind; 3] = [
    TrackerKind::Userfaultfd,
    TrackerKind::PrivatePages,
    TrackerKind::Mprotect,
];
/// Where a heap lies (H6).
const HEAP: u64 = if cfg!(target_arch = "x86_64") {
    0x2000_0000_0000
} else {
    0x10_0000_0000
};
const PROGRAM: &str = "let n = 0; const kept = [];\n\
    export const run = (...words) => syscall(...words);\n\
    export const incr = () => ++n;\n\
    export const spin = () => { for (;;); };\n\
    export const grow = () => { for (let i = 0; i < 40; i++) kept.push(new Uint8Array(100000)); };";
/// Names the folder of the store to the process that plays a host.
const HOST_DIR: &str = "KENVAT_TEST_HOST_DIR";

struct Misbehaving {
    bytes: Vec<u8>,
    file: PathBuf,
    genesis: HandOver,
}

/// Asked for first by every test, so that the file is written before anything else is started.
fn misbehaving() -> &'static Misbehaving {
    static WORKER: OnceLock<Misbehaving> = OnceLock::new();
    WORKER.get_or_init(|| {
        let bytes = other_worker("misbehave");
        let file = executable_file("kenvat-worker-misbehaving", &bytes);
        let genesis = genesis_by(Command::new(&file), None);
        Misbehaving {
            bytes,
            file,
            genesis,
        }
    })
}

fn vat(tracker: TrackerKind) -> TestVat {
    let worker = misbehaving();
    let mut vat = TestVat::born(&worker.file, &worker.genesis);
    vat.tracker = Some(tracker);
    vat.deploy(&[("main.js", PROGRAM)], &[]);
    vat
}

/// One system call as a turn: its number and arguments as JSON.
type SystemCall = (&'static str, i64, String);

/// The signal that ended the worker in this call.
fn signal_of(vat: &mut TestVat, (name, number, arguments): &SystemCall) -> Option<i32> {
    let comma = if arguments.is_empty() { "" } else { "," };
    let (_, message) = vat.call_message("run", &format!("[{number}{comma}{arguments}]"));
    let turn = vat.delivery(message);
    vat.wake().send(&ToWorker::Deliver {
        turns: vec![turn],
        hand_over: true,
    });
    let mut process = vat.process.take().expect("awake");
    if let Some(message) = process.receive() {
        panic!("{name}({arguments}) came back: {message:?}");
    }
    process.wait().signal()
}

/// What a call gives that comes back.
fn result_of(vat: &mut TestVat, number: i64, arguments: &str) -> i64 {
    let value = vat.value("run", &format!("[{number},{arguments}]"));
    value.parse().expect("a number")
}

macro_rules! calls {
    ($($name:ident($($argument:expr),*);)*) => {
        vec![$((
            stringify!($name),
            libc::$name,
            <[String]>::join(&[$(serde_json::json!($argument).to_string()),*], ","),
        )),*]
    };
}

/// A process that has nothing to do with Kenvat and must not notice anything.
struct Victim(Child);

impl Victim {
    fn start() -> Victim {
        let mut cat = Command::new("cat");
        cat.stdin(Stdio::piped()).stdout(Stdio::null());
        Victim(cat.spawn().expect("start cat"))
    }

    fn is_unharmed(&mut self) -> bool {
        let status = format!("/proc/{}/status", self.0.id());
        let status = fs::read_to_string(status).expect("its status");
        let alive = self.0.try_wait().expect("look at it").is_none();
        alive && status.contains("TracerPid:\t0\n")
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Files, names and other places.
fn calls_about_files(folder: &Path) -> Vec<SystemCall> {
    let (there, fresh) = (folder.join("there"), folder.join("fresh"));
    let (create, here) = (libc::O_CREAT | libc::O_WRONLY, libc::AT_FDCWD);
    calls! {
        SYS_openat(here, fresh, create, 0o600);
        SYS_openat(here, there, libc::O_RDONLY, 0);
        SYS_openat(here, "/proc/self/mem", libc::O_RDWR, 0);
        SYS_openat2(here, there, 0, 0);
        SYS_open_by_handle_at(here, 0, 0);
        SYS_memfd_create("m", 0);
        SYS_unlinkat(here, there, 0);
        SYS_mkdirat(here, fresh, 0o700);
        SYS_renameat2(here, there, here, fresh, 0);
        SYS_linkat(here, there, here, fresh, 0);
        SYS_symlinkat("x", here, fresh);
        SYS_mknodat(here, fresh, libc::S_IFIFO, 0);
        SYS_fchmodat(here, there, 0o777);
        SYS_truncate(there, 0);
        SYS_chdir(folder);
        SYS_chroot(folder);
        SYS_mount("none", folder, "tmpfs", 0, 0);
        SYS_getdents64(3, 0, 0);
        SYS_readlinkat(here, "/proc/self/exe", 0, 0);
        SYS_newfstatat(here, there, 0, 0);
        SYS_statx(here, there, 0, 0, 0);
        SYS_dup(3);
        SYS_fcntl(3, libc::F_SETFL, libc::O_NONBLOCK);
        SYS_io_uring_setup(1, 0);
        SYS_inotify_init1(0);
    }
}

/// The network, and the one socket used otherwise.
fn calls_about_sockets() -> Vec<SystemCall> {
    calls! {
        SYS_socket(libc::AF_INET, libc::SOCK_STREAM, 0);
        SYS_socket(libc::AF_UNIX, libc::SOCK_STREAM, 0);
        SYS_socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, 0);
        SYS_connect(3, "address", 7);
        SYS_bind(3, "address", 7);
        SYS_listen(3, 1);
        SYS_accept4(3, 0, 0, 0);
        SYS_setsockopt(3, libc::SOL_SOCKET, libc::SO_SNDBUF, 0, 4);
        SYS_getsockopt(3, libc::SOL_SOCKET, libc::SO_PEERCRED, 0, 0);
        SYS_getpeername(3, 0, 0);
        SYS_shutdown(3, 2);
        SYS_sendmsg(3, 0, 0);
        SYS_recvmsg(3, 0, 0);
        SYS_sendto(3, "bytes", 5, 0, "address", 7);
        SYS_sendto(4, "bytes", 5, 0, 0, 0);
        SYS_recvfrom(4, 0, 0, 0, 0, 0);
        SYS_write(3, "bytes", 5);
        SYS_write(1, "bytes", 5);
        SYS_read(3, 0, 0);
        SYS_ioctl(3, libc::FIONBIO, 0);
        SYS_ioctl(2, libc::TIOCSTI, "x");
    }
}

/// Other processes, and what this one is.
fn calls_about_processes(victim: u32) -> Vec<SystemCall> {
    let host = std::process::id();
    calls! {
        SYS_kill(host, libc::SIGKILL);
        SYS_kill(victim, libc::SIGKILL);
        SYS_kill(0, libc::SIGKILL);
        SYS_kill(-1, 0);
        SYS_tkill(victim, libc::SIGKILL);
        SYS_tgkill(victim, victim, libc::SIGKILL);
        SYS_rt_sigqueueinfo(victim, libc::SIGKILL, 0);
        SYS_pidfd_open(victim, 0);
        SYS_ptrace(libc::PTRACE_ATTACH, victim, 0, 0);
        SYS_ptrace(libc::PTRACE_SEIZE, host, 0, 0);
        SYS_process_vm_readv(host, 0, 0, 0, 0, 0);
        SYS_process_vm_writev(victim, 0, 0, 0, 0, 0);
        SYS_prlimit64(victim, libc::RLIMIT_NOFILE, 0, 0);
        SYS_setpriority(libc::PRIO_PROCESS, host, 19);
        SYS_clone(libc::SIGCHLD, 0, 0, 0, 0);
        SYS_clone(libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND, 0, 0, 0, 0);
        SYS_clone3(0, 0);
        SYS_execve("/bin/true", 0, 0);
        SYS_execveat(libc::AT_FDCWD, "/bin/true", 0, 0, 0);
        SYS_unshare(libc::CLONE_NEWUSER);
        SYS_setns(3, 0);
        SYS_setuid(0);
        SYS_setsid();
        SYS_setpgid(0, 0);
        SYS_getpid();
        SYS_getppid();
        SYS_prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0);
        SYS_prctl(libc::PR_SET_PDEATHSIG, 0, 0, 0, 0);
        SYS_seccomp(libc::SECCOMP_SET_MODE_FILTER, 0, 0);
        SYS_bpf(0, 0, 0);
        SYS_perf_event_open(0, 0, -1, -1, 0);
        SYS_add_key("user", "name", "x", 1, -3);
        SYS_keyctl(0, -3, 1);
        SYS_personality(0);
        SYS_reboot(0, 0, 0, 0);
        SYS_init_module(0, 0, 0);
        SYS_rt_sigaction(libc::SIGTERM, 0, 0, 8);
        SYS_rt_sigprocmask(0, 0, 0, 8);
    }
}

/// Memory that is run, shared, or put over other memory; and what tells one run from another.
fn calls_about_memory() -> Vec<SystemCall> {
    let (read, write, run) = (libc::PROT_READ, libc::PROT_WRITE, libc::PROT_EXEC);
    let anonymous = libc::MAP_ANONYMOUS | libc::MAP_PRIVATE;
    calls! {
        SYS_mprotect(HEAP, 4096, read | write | run);
        SYS_mprotect(HEAP, 4096, run);
        SYS_mprotect(HEAP, 4096, read | libc::PROT_GROWSDOWN);
        SYS_pkey_mprotect(HEAP, 4096, read | run, -1);
        SYS_mmap(0, 4096, read | run, anonymous, -1, 0);
        SYS_mmap(0, 4096, read | write | run, anonymous, -1, 0);
        SYS_mmap(0, 4096, read | write, libc::MAP_ANONYMOUS | libc::MAP_SHARED, -1, 0);
        SYS_mmap(HEAP, 4096, read | write, anonymous | libc::MAP_FIXED, -1, 0);
        SYS_mmap(0, 4096, read, libc::MAP_PRIVATE, 3, 0);
        SYS_mremap(HEAP, 4096, 4096, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, 0x4000_0000);
        SYS_remap_file_pages(HEAP, 4096, 0, 0, 0);
        SYS_madvise(HEAP, 4096, libc::MADV_REMOVE);
        SYS_madvise(HEAP, 4096, libc::MADV_MERGEABLE);
        SYS_process_madvise(3, 0, 0, libc::MADV_DONTNEED, 0);
        SYS_mlock(HEAP, 4096);
        SYS_shmget(1, 4096, libc::IPC_CREAT);
        SYS_userfaultfd(1);
        SYS_futex(HEAP, 0, 0, 0, 0, 0);
        SYS_clock_gettime(0, 0);
        SYS_getrandom(0, 0, 0);
        SYS_nanosleep(0, 0);
        SYS_ppoll(0, 0, 0, 0, 0);
    }
}

#[test]
fn a_call_that_is_not_allowed_ends_the_worker_and_has_no_effect() {
    misbehaving();
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("there"), "as it was").expect("write a file");
    let mut victim = Victim::start();
    let mut calls = calls_about_files(folder.path());
    calls.extend(calls_about_sockets());
    calls.extend(calls_about_processes(victim.0.id()));
    calls.extend(calls_about_memory());
    // No call has these numbers; the first is how x86-64 spells getpid for 32-bit pointers.
    calls.push(("x32 getpid", 0x4000_0000 + 39, "0".to_owned()));
    calls.push(("none", 100_000, "0".to_owned()));
    for tracker in TRACKERS {
        let mut vat = vat(tracker);
        for call in &calls {
            let found = signal_of(&mut vat, call);
            assert_eq!(found, Some(libc::SIGSYS), "{tracker:?} {call:?}");
        }
        assert_eq!(vat.value("incr", "[]"), "1", "the vat itself goes on");
    }
    assert!(victim.is_unharmed());
    let there = fs::read_to_string(folder.path().join("there")).expect("still there");
    assert_eq!(there, "as it was");
    assert_eq!(fs::read_dir(folder.path()).expect("list it").count(), 1);
}

/// The other half: were every call deadly, or none made, the test above would show nothing.
#[test]
fn the_calls_a_worker_needs_go_on() {
    for tracker in TRACKERS {
        let mut vat = vat(tracker);
        let anonymous = format!("0,8192,3,{},-1,0", libc::MAP_ANONYMOUS | libc::MAP_PRIVATE);
        let at = result_of(&mut vat, libc::SYS_mmap, &anonymous);
        assert!(at > 0, "mapped at {at}");
        let calls = [
            (libc::SYS_mprotect, format!("{at},4096,1")),
            (
                libc::SYS_madvise,
                format!("{at},8192,{}", libc::MADV_DONTNEED),
            ),
            (libc::SYS_munmap, format!("{at},8192")),
        ];
        for (number, arguments) in calls {
            assert_eq!(result_of(&mut vat, number, &arguments), 0, "call {number}");
        }
        // Allowed, and of no use on the socket.
        let read = result_of(&mut vat, libc::SYS_pread64, "3,0,0,0");
        assert_eq!(read, -i64::from(libc::ESPIPE));
        // The image and the other descriptors it was started with are closed.
        for gone in [0, 1] {
            let closed = result_of(&mut vat, libc::SYS_close, &gone.to_string());
            assert_eq!(closed, -i64::from(libc::EBADF), "descriptor {gone}");
        }
        vat.value("grow", "[]");
        vat.kill();
        assert_eq!(vat.value("incr", "[]"), "1");
    }
}

fn with_misbehaving(dir: &Path) -> Engine {
    open(dir, |options| {
        options.worker = Cow::Borrowed(&misbehaving().bytes);
        options.gas = u64::MAX;
        options.turn_ms = 600_000;
    })
}

fn worker_of(engine: &Engine, vat: &str) -> Pid {
    let pid = engine.info(vat).worker_pid.expect("awake");
    Pid::from_raw(pid.cast_signed()).expect("a process id")
}

#[test]
fn a_host_answers_for_a_vat_that_misbehaves_and_its_neighbour_notices_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = with_misbehaving(&folder.path().join("store"));
    engine.deploy("bad", PROGRAM).expect("it deploys");
    engine.deploy("good", PROGRAM).expect("it deploys");
    assert_eq!(engine.call("good", "incr", "[]").unwrap(), "1");
    let neighbour = worker_of(&engine, "good");
    let fork = format!("[{},{},0,0,0,0]", libc::SYS_clone, libc::SIGCHLD);
    let error = engine.call("bad", "run", &fork).expect_err("no such call");
    assert!(matches!(error, CallError::TurnKilled { .. }), "{error:?}");
    assert_eq!(engine.call("bad", "incr", "[]").unwrap(), "1");
    assert_eq!(engine.call("good", "incr", "[]").unwrap(), "2");
    assert_eq!(worker_of(&engine, "good"), neighbour);
    engine.stop().expect("a clean stop");
}

#[test]
fn a_running_worker_has_all_its_walls() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = with_misbehaving(&folder.path().join("store"));
    engine.deploy("v", PROGRAM).expect("it deploys");
    assert_eq!(engine.call("v", "incr", "[]").unwrap(), "1");
    let pid = worker_of(&engine, "v");
    assert_eq!(getpgid(Some(pid)).expect("its group"), pid);
    let proc = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
    let status = fs::read_to_string(proc.join("status")).expect("its status");
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2", "Threads:\t1"] {
        assert!(
            status.lines().any(|found| found == line),
            "{line}: {status}"
        );
    }
    let limits = fs::read_to_string(proc.join("limits")).expect("its limits");
    for (name, most) in [
        ("Max core file size", "0"),
        ("Max file size", "0"),
        ("Max processes", "0"),
        ("Max open files", "16"),
    ] {
        let line = limits.lines().find(|line| line.starts_with(name));
        let rest = line.and_then(|line| line.strip_prefix(name));
        let found: Vec<_> = rest.unwrap_or_default().split_whitespace().collect();
        assert_eq!(found[..2], [most, most], "{name}");
    }
    // What the host gave it for its start is closed again.
    match descriptors(pid.as_raw_nonzero().get().cast_unsigned()) {
        Ok(found) => {
            let expected = ["[userfaultfd]", "pagemap", "pipe", "socket"];
            assert!(
                found.iter().all(|one| expected.contains(&&**one)),
                "{found:?}"
            );
        }
        Err(error) => eprintln!("a worker's descriptors cannot be seen ({error}): not tried"),
    }
    // It computes when the host does not want to.
    let nice = |pid| getpriority_process(pid).expect("its priority");
    assert_eq!(nice(Some(pid)), (nice(None) + 5).min(19));
    engine.stop().expect("a clean stop");
}

/// What its descriptors are, sorted and without numbers.
fn descriptors(pid: u32) -> std::io::Result<Vec<String>> {
    let mut kinds = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let link = fs::read_link(entry?.path())?;
        let link = link.to_string_lossy();
        let kind = link.split(":[").next().unwrap_or_default();
        let last = link.rsplit(['/', ':']).next().unwrap_or_default();
        kinds.push(
            if last.starts_with("[") && kind != "anon_inode" {
                kind
            } else {
                last
            }
            .to_owned(),
        );
    }
    kinds.sort();
    Ok(kinds)
}

#[test]
fn a_running_worker_has_its_socket_its_last_words_and_its_trackers_descriptors() {
    let expected: [&[&str]; 3] = [
        &["[userfaultfd]", "pagemap", "pipe", "socket"],
        &["pagemap", "pipe", "socket"],
        &["pipe", "socket"],
    ];
    for (tracker, expected) in TRACKERS.into_iter().zip(expected) {
        let mut vat = vat(tracker);
        vat.kill();
        // What the test's own process has open to inherit is given to the worker too.
        let (mut command, inherited) = (Command::new(&misbehaving().file), open_to_inherit());
        command.stderr(std::process::Stdio::piped());
        vat.wake_by(command);
        let pid = vat.process.as_ref().expect("awake").child.id();
        match descriptors(pid) {
            Ok(found) => assert_eq!(found, expected, "{tracker:?}"),
            Err(error) => eprintln!("a worker's descriptors cannot be seen ({error}): not tried"),
        }
        drop(inherited);
    }
}

/// A file that every process started from here gets.
fn open_to_inherit() -> fs::File {
    let file = tempfile::tempfile().expect("a temporary file");
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).expect("let it be inherited");
    file
}

#[test]
fn a_worker_does_not_outlive_a_killed_host() {
    misbehaving();
    let folder = tempfile::tempdir().expect("a folder");
    let mut other = Command::new(std::env::current_exe().expect("this program"));
    other
        .args(["--exact", "a_host_to_be_killed", "--ignored", "--nocapture"])
        .env(HOST_DIR, folder.path())
        .stdout(Stdio::piped());
    let mut other = other.spawn().expect("start a host");
    let out = other.stdout.take().expect("piped");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(out));
    let pid = lines
        .find_map(|line| line.ok()?.split_once("worker ")?.1.parse::<i32>().ok())
        .expect("it names its worker");
    let pid = Pid::from_raw(pid).expect("a process id");
    let worker = pidfd_open(pid, PidfdFlags::empty()).expect("the worker lives");
    other.kill().expect("kill the host");
    other.wait().expect("reap the host");
    // Readable when it has ended; without an end this waits until the test is stopped.
    let mut end = [PollFd::new(&worker, PollFlags::IN)];
    assert_eq!(poll(&mut end, None).expect("poll"), 1);
}

/// Not a test of its own: the host of the test above, with a worker in a turn without end.
#[test]
#[ignore = "run by a_worker_does_not_outlive_a_killed_host"]
fn a_host_to_be_killed() {
    let Some(dir) = std::env::var_os(HOST_DIR) else {
        return;
    };
    let engine = with_misbehaving(&Path::new(&dir).join("store"));
    engine.deploy("v", PROGRAM).expect("it deploys");
    assert_eq!(engine.call("v", "incr", "[]").unwrap(), "1");
    let pid = worker_of(&engine, "v");
    let never = engine.send("v", "spin", "[]");
    // A line of its own, as the test runner writes to the same place.
    println!("\nworker {}", pid.as_raw_nonzero());
    panic!("an endless turn ended: {:?}", never.wait());
}
