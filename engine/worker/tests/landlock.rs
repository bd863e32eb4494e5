//! What a worker can still do when its own walls have failed: nothing outside itself, by Landlock
//! alone (E3).
//!
//! The worker here is built with feature `unfiltered`: its programs may make any system call, and
//! no filter stands before the kernel. The host is the real one. On a kernel without Landlock the
//! same calls must succeed, which shows that they are calls worth refusing; that the wall itself
//! was not tested is then shown even by a run in which every test passes.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use kenvat_engine::{Engine, Landlock, landlock};
use kenvat_testing::engine::open;
use kenvat_testing::worker::other_worker;
use kenvat_wire::protocol::TrackerKind;
use serde_json::{Value, json};

const TRACKERS: [TrackerKind; 3] = [
    TrackerKind::Userfaultfd,
    TrackerKind::PrivatePages,
    TrackerKind::Mprotect,
];
const PROGRAM: &str = "export const run = (...words) => syscall(...words);";

/// Versions of Landlock that brought what is tried.
const FILES: i32 = 1;
const CONNECTIONS: i32 = 4;
const SIGNALS: i32 = 6;

/// The kernel's version of Landlock, asked without the engine; 0 where there is none.
fn version() -> i32 {
    let (nothing, none, ask_version) = (std::ptr::null::<u8>(), 0_usize, 1_u32);
    // SAFETY: with this flag, and only then, the call takes no attributes and makes nothing.
    let found = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            nothing,
            none,
            ask_version,
        )
    };
    i32::try_from(found.max(0)).expect("a version")
}

/// A process of the same user that has nothing to do with Kenvat.
struct Stranger(Child);

impl Stranger {
    fn start() -> Stranger {
        let mut cat = Command::new("cat");
        cat.stdin(Stdio::piped()).stdout(Stdio::null());
        Stranger(cat.spawn().expect("start cat"))
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A system call as a turn of this vat: what it gives, its error number below zero.
fn run(engine: &Engine, vat: &str, words: &Value) -> i64 {
    let answer = engine.call(vat, "run", &words.to_string());
    answer.expect("it comes back").parse().expect("a number")
}

/// The thread that starts workers of the host that runs here.
fn starter() -> u32 {
    let tasks = fs::read_dir("/proc/self/task").expect("this process's threads");
    let mut starters = tasks.filter_map(|task| {
        let task = task.expect("a thread");
        let name = fs::read_to_string(task.path().join("comm")).ok()?;
        let number = task.file_name().to_str()?.parse().ok()?;
        (name == "kenvat-engine\n").then_some(number)
    });
    starters.next().expect("a host runs")
}

/// A vat that has taken over its worker, on a kernel with this version.
struct Bad<'a> {
    engine: &'a Engine,
    version: i32,
}

impl Bad<'_> {
    fn run(&self, words: Value) -> i64 {
        run(self.engine, "bad", &words)
    }

    /// Makes a call that this process itself may make, and that Landlock refuses since a version.
    fn tries(&self, since: i32, refusal: i32, words: Value) {
        let (version, text) = (self.version, words.to_string());
        let found = self.run(words);
        if version >= since {
            assert_eq!(found, -i64::from(refusal), "Landlock {version}: {text}");
        } else {
            assert!(found >= 0, "Landlock {version}: {text}: {found}");
        }
    }

    fn tries_files(&self, folder: &Path, stranger: u32) {
        let here = libc::AT_FDCWD;
        let open = |path: &str, how: i32| json!([libc::SYS_openat, here, path, how, 0o600]);
        let there = folder.join("there");
        fs::write(&there, "as it was").expect("write a file");
        let host = std::process::id();
        for path in [
            there.display().to_string(),
            format!("/proc/{host}/environ"),
            format!("/proc/{stranger}/status"),
        ] {
            self.tries(FILES, libc::EACCES, open(&path, libc::O_RDONLY));
        }
        let (fresh, made) = (folder.join("fresh"), folder.join("made"));
        let fresh = fresh.display().to_string();
        let make = libc::O_CREAT | libc::O_WRONLY;
        self.tries(FILES, libc::EACCES, open(&fresh, make));
        let make_folder = json!([libc::SYS_mkdirat, here, made, 0o700]);
        self.tries(FILES, libc::EACCES, make_folder);
        self.tries(
            FILES,
            libc::EACCES,
            json!([libc::SYS_unlinkat, here, there, 0]),
        );
        let is_refused = self.version >= FILES;
        let untouched = there.exists() && !made.exists() && !Path::new(&fresh).exists();
        assert_eq!(untouched, is_refused);
        if is_refused {
            // Where it may, it is another program afterwards.
            let execute = json!([libc::SYS_execve, "/bin/true", 0, 0]);
            self.tries(FILES, libc::EACCES, execute);
        }
    }

    /// By the number of one of the process's threads; needs the right to trace it.
    fn tries_to_look_into(&self, others: &[u32]) {
        let memory = self.memory();
        for other in others {
            let look = json!([libc::SYS_get_robust_list, other, memory, memory + 8]);
            self.tries(FILES, libc::EPERM, look);
        }
    }

    /// Likewise.
    fn tries_to_signal(&self, others: &[u32]) {
        for other in others {
            self.tries(SIGNALS, libc::EPERM, json!([libc::SYS_tkill, other, 0]));
        }
    }

    fn tries_the_network(&self) {
        let (inet, stream) = (libc::AF_INET, libc::SOCK_STREAM);
        let socket = || self.run(json!([libc::SYS_socket, inet, stream, 0]));
        // One that listens at a port of the kernel's choice, and its address.
        let (listening, address) = (socket(), self.memory());
        assert_eq!(self.run(json!([libc::SYS_listen, listening, 1])), 0);
        // Room for it: a number without a zero byte, and far more than there is.
        let room = "\x10\x10\x10\x10";
        let name = json!([libc::SYS_getsockname, listening, address, room]);
        assert_eq!(self.run(name), 0);
        let length = size_of::<libc::sockaddr_in>();
        let connect = json!([libc::SYS_connect, socket(), address, length]);
        self.tries(CONNECTIONS, libc::EACCES, connect);
        // The other one has the port, which must be free to be refused for this reason alone.
        assert_eq!(self.run(json!([libc::SYS_close, listening])), 0);
        let bind = json!([libc::SYS_bind, socket(), address, length]);
        self.tries(CONNECTIONS, libc::EACCES, bind);
    }

    /// Where a page of zeros is.
    fn memory(&self) -> i64 {
        let (prot, private) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        );
        let at = self.run(json!([libc::SYS_mmap, 0, 4096, prot, private, -1, 0]));
        assert!(at > 0, "mapped at {at}");
        at
    }
}

#[test]
fn without_its_filter_a_worker_reaches_nothing_outside_itself_where_there_is_landlock() {
    let (version, worker) = (version(), other_worker("unfiltered"));
    let told = landlock().expect("a kernel that has Landlock puts it on");
    match told {
        // The kernel's may be newer than what the engine knows of.
        Landlock::On { version: known } => assert!((1..=version).contains(&known), "{told}"),
        none => assert_eq!(version, 0, "{none}"),
    }
    let stranger = Stranger::start();
    for tracker in TRACKERS {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = open(folder.path().join("store"), |options| {
            options.worker = worker.clone().into();
            options.tracker = Some(tracker);
        });
        engine.deploy("neighbour", PROGRAM).expect("it deploys");
        engine.deploy("bad", PROGRAM).expect("it deploys");
        let getpid = run(&engine, "neighbour", &json!([libc::SYS_getpid]));
        let neighbour = u32::try_from(getpid).expect("a process");
        let bad = Bad {
            engine: &engine,
            version,
        };
        bad.tries_files(folder.path(), stranger.0.id());
        // The thread that starts workers shares all of the host's memory.
        let others = [std::process::id(), starter(), stranger.0.id()];
        bad.tries_to_look_into(&others);
        bad.tries_to_signal(&others);
        // Workers let nobody but root look into them, Landlock or not.
        bad.tries_to_signal(&[neighbour]);
        bad.tries_the_network();
        // Nobody else noticed, and the host still ends whom it wants to.
        assert_eq!(
            run(&engine, "neighbour", &json!([libc::SYS_getpid])),
            getpid
        );
        engine.stop().expect("a clean stop");
    }
    if version == 0 {
        // Past what the test runner keeps to itself of a test that passes.
        let _ = writeln!(io::stderr(), "\nNOT TESTED: Landlock, as {told}");
    }
}
