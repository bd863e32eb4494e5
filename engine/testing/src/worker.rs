//! A host for the worker's tests: one vat, its image in a temporary file, everything in order.
//!
//! It does what the real one does to a worker and no more: starts it with socket and image,
//! delivers turns, applies deltas with pwrite, tells what it applied, and kills.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::OnceLock;

use command_fds::{CommandFdExt, FdMapping};
use kenvat_engine::{WORKER, WORKER_C_FLAGS, WORKER_FLAGS};
use kenvat_wire::protocol::{
    Delivery, DueTimer, FROM_WORKER_BYTES_MAX, FromWorker, HandOver, IMAGE_FD, LogLine, Message,
    Outcome, PROTOCOL_VERSION, Program, SOCKET_FD, STATUS_BYTES, STATUS_FD, STATUS_PAGES_AT, Start,
    Thrown, TimerChange, ToWorker, TrackerKind, decode, encode, frame_length,
};
use kenvat_wire::seed::{SEED_BYTES, Seed};

pub const PAGE_BYTES: usize = 4096;
pub const PAGE_LIMIT: u32 = 16_384;
/// Gas a turn may use here: a few million steps.
pub const GAS: u64 = 20_000_000;
/// The time the harness gives turns unless a test says otherwise.
pub const TIME_MS: i64 = 1_700_000_000_000;
/// Likewise their chance: bytes that stand nowhere by themselves.
pub const CHANCE: [u8; SEED_BYTES] = *b"\x9d chance \xe7 of the harness \x8b\xf2!!!!";

/// Where files of test programs stay between runs: `TARGET_DIR/tmp`, which cargo names to tests and
/// not to libraries. A test program is `TARGET_DIR/[TRIPLE/]PROFILE/deps/NAME`.
fn kept_folder() -> PathBuf {
    let program = std::env::current_exe().expect("the test program has a path");
    let target = program.ancestors().nth(3);
    target
        .expect("the test program lies where cargo puts it")
        .join("tmp")
}

/// The worker executable in a file of its own, written once.
pub fn worker_file() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| executable_file("kenvat-worker", WORKER))
}

/// A file of this name with these bytes, which can be run.
///
/// Another process copies the bytes: if this one had the executable open for writing, a child that
/// another thread starts meanwhile would inherit the descriptor, and the kernel would refuse to
/// run the file ("text file busy") until that child executes its own program.
pub fn executable_file(name: &str, bytes: &[u8]) -> PathBuf {
    let folder = kept_folder();
    let path = folder.join(name);
    if fs::read(&path).is_ok_and(|found| found == bytes) {
        return path;
    }
    fs::create_dir_all(&folder).expect("make the folder");
    let beside = |end: &str| folder.join(format!("{name}.{}{end}", std::process::id()));
    let (data, fresh) = (beside(".data"), beside(""));
    fs::write(&data, bytes).expect("write the executable's bytes");
    let mut install = Command::new("install");
    let installed = install.args(["-m", "755"]).args([&data, &fresh]).status();
    assert!(
        installed.expect("install runs").success(),
        "install {data:?}"
    );
    fs::remove_file(&data).expect("remove the bytes");
    fs::rename(&fresh, &path).expect("put the executable in its place");
    path
}

/// The same worker built to lie elsewhere in memory and with other optimisation, with these
/// features (none where empty).
pub fn other_worker(features: &str) -> Vec<u8> {
    let folder = kept_folder().join("other-worker");
    fs::create_dir_all(&folder).expect("make the folder");
    // Two test programs may want one each, and cargo puts both at the same place.
    let lock = File::create(folder.join("lock")).expect("open the lock");
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("lock");
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut cargo = Command::new(env!("CARGO"));
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../worker");
    cargo.current_dir(package).env_clear();
    for (name, value) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let kept = ["PATH", "HOME", "CARGO_HOME"].contains(&&*text)
            || [
                "RUSTUP_",
                "CARGO_NET_",
                "CARGO_SOURCE_",
                "CARGO_REGISTR",
                "CARGO_HTTP_",
            ]
            .iter()
            .any(|prefix| text.starts_with(prefix));
        if kept {
            cargo.env(&name, &value);
        }
    }
    let flags = format!(
        "{}\x1f-Clink-arg=-Wl,{}=0x20000000",
        WORKER_FLAGS,
        // Rust links with its own lld on x86-64, and with GNU ld elsewhere.
        if cfg!(target_arch = "x86_64") {
            "--image-base"
        } else {
            "-Ttext-segment"
        }
    );
    let output = cargo
        .args(["build", "--locked", "--features", features])
        .args([
            "--bin",
            "kenvat-worker",
            "--profile",
            "worker",
            "--target",
            &triple,
        ])
        .arg("--target-dir")
        .arg(&folder)
        .env("KENVAT_INNER_BUILD", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        .env("CFLAGS", WORKER_C_FLAGS)
        .env("CARGO_PROFILE_WORKER_LTO", "off")
        .env("CARGO_PROFILE_WORKER_CODEGEN_UNITS", "16")
        .env("CARGO_PROFILE_WORKER_OPT_LEVEL", "1")
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    fs::read(folder.join(triple).join("worker/kenvat-worker")).expect("it was built")
}

/// A process of the worker and the host's end of its socket.
pub struct Process {
    pub child: Child,
    socket: UnixStream,
    status: File,
    input: Vec<u8>,
}

impl Process {
    pub fn spawn(mut command: Command, image: &File) -> Process {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        // Opened again for reading only, as the worker must get it (I1).
        let read_only = format!("/proc/self/fd/{}", image.as_raw_fd());
        let read_only = File::open(read_only).expect("open the image for reading");
        let status = tempfile::tempfile().expect("a temporary file");
        status.set_len(STATUS_BYTES as u64).expect("set the length");
        let fds = vec![
            FdMapping {
                parent_fd: OwnedFd::from(theirs),
                child_fd: SOCKET_FD,
            },
            FdMapping {
                parent_fd: OwnedFd::from(read_only),
                child_fd: IMAGE_FD,
            },
            FdMapping {
                parent_fd: OwnedFd::from(status.try_clone().expect("a second descriptor")),
                child_fd: STATUS_FD,
            },
        ];
        command.fd_mappings(fds).expect("map the descriptors");
        let child = command.spawn().expect("start the worker");
        // The command holds its copies of the descriptors; the socket must close with the worker.
        drop(command);
        Process {
            child,
            socket: ours,
            status,
            input: Vec::new(),
        }
    }

    pub fn send(&mut self, message: &ToWorker) {
        let mut bytes = Vec::new();
        encode(message, &mut bytes);
        self.send_bytes(&bytes);
    }

    /// A worker that has ended takes nothing more; the next `receive` tells.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        match self.socket.write_all(bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            Err(error) => panic!("write to the worker: {error}"),
        }
    }

    /// The next message; `None` when the worker has ended.
    pub fn receive(&mut self) -> Option<FromWorker> {
        loop {
            let length = frame_length(&self.input, FROM_WORKER_BYTES_MAX).expect("a frame");
            if let Some(length) = length.filter(|length| *length <= self.input.len()) {
                let message = decode(&self.input[4..length]).expect("a message");
                self.input.drain(..length);
                return Some(message);
            }
            let mut piece = [0; 65_536];
            match self.socket.read(&mut piece) {
                Ok(0) => return None,
                Ok(read) => self.input.extend_from_slice(&piece[..read]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("read from the worker: {error}"),
            }
        }
    }

    /// The turn the status page says is running; 0 for none.
    pub fn running(&self) -> u64 {
        self.status_word(0)
    }

    /// Pages found written for the last hand-over.
    pub fn pages_written(&self) -> u64 {
        self.status_word(STATUS_PAGES_AT)
    }

    fn status_word(&self, at: u64) -> u64 {
        let mut word = [0; 8];
        self.status
            .read_exact_at(&mut word, at)
            .expect("read the status page");
        u64::from_ne_bytes(word)
    }

    pub fn kill(mut self) {
        self.child.kill().expect("kill the worker");
        self.child.wait().expect("reap the worker");
    }

    /// Closes the socket and waits for the worker to end by itself.
    pub fn close(mut self) -> ExitStatus {
        drop(self.socket);
        self.child.wait().expect("reap the worker")
    }

    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().expect("reap the worker")
    }
}

pub fn start(generation: u64, genesis: bool, tracker: Option<TrackerKind>) -> ToWorker {
    let (protocol, page_limit) = (PROTOCOL_VERSION, PAGE_LIMIT);
    ToWorker::Start(Start {
        protocol,
        generation,
        page_limit,
        genesis,
        gas: GAS,
        tracker,
    })
}

/// An image of zeros.
pub fn blank_image() -> File {
    let image = tempfile::tempfile().expect("a temporary file");
    image
        .set_len(u64::from(PAGE_LIMIT) * PAGE_BYTES as u64)
        .expect("set the length");
    image
}

/// Makes a genesis heap with a worker started by `command`; gives the hand-over.
pub fn genesis_by(command: Command, tracker: Option<TrackerKind>) -> HandOver {
    let mut process = Process::spawn(command, &blank_image());
    process.send(&start(1, true, tracker));
    let Some(FromWorker::HandOver(hand_over)) = process.receive() else {
        panic!("no genesis heap came");
    };
    assert_eq!((hand_over.number, hand_over.last_turn), (1, 0));
    assert!(process.close().success());
    hand_over
}

/// The genesis heap, made once a test program.
pub fn genesis() -> &'static HandOver {
    static GENESIS: OnceLock<HandOver> = OnceLock::new();
    GENESIS.get_or_init(|| genesis_by(Command::new(worker_file()), None))
}

/// Writes a delta's words.
pub fn apply(image: &File, delta: &[u8]) {
    each_run(delta, |at, content| {
        image.write_all_at(content, at * 8).expect("pwrite")
    });
}

/// The pages a delta names.
pub fn pages_of(delta: &[u8]) -> BTreeSet<u32> {
    let mut pages = BTreeSet::new();
    each_run(delta, |at, _| {
        pages.insert((at / 512) as u32);
    });
    pages
}

/// Visits the runs of a well-formed delta: index of the first word in the heap, and the words.
fn each_run(delta: &[u8], mut visit: impl FnMut(u64, &[u8])) {
    let (mut rest, mut end) = (delta, 0);
    while let Some((header, tail)) = rest.split_at_checked(8) {
        let page = u32::from_le_bytes(header[..4].try_into().unwrap());
        let first = u64::from(u16::from_le_bytes(header[4..6].try_into().unwrap()));
        let words = usize::from(u16::from_le_bytes(header[6..].try_into().unwrap()));
        if first == 0xffff {
            let pages = page..page + words as u32;
            assert!(words > 0 && pages.end <= PAGE_LIMIT);
            assert!(u64::from(page) * 512 >= end, "runs are sorted and disjoint");
            end = u64::from(pages.end) * 512;
            pages.for_each(|page| visit(u64::from(page) * 512, &[0; PAGE_BYTES]));
            rest = tail;
            continue;
        }
        assert!(words > 0 && first as usize + words <= 512 && page < PAGE_LIMIT);
        let at = u64::from(page) * 512 + first;
        assert!(at >= end, "runs are sorted and disjoint");
        let (content, after) = tail.split_at(words * 8);
        visit(at, content);
        (rest, end) = (after, at + words as u64);
    }
    assert!(rest.is_empty(), "bytes after the last run");
}

fn misbehaving() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| executable_file("kenvat-worker-misbehaving", &other_worker("misbehave")))
}

/// A vat whose worker leaves out these repairs. `made` keeps the genesis heaps for the next.
pub fn unrepaired(names: &str, made: &mut BTreeMap<String, HandOver>) -> TestVat {
    let command = || {
        let mut command = Command::new(misbehaving());
        command.arg(format!("--without={names}"));
        command
    };
    let genesis = made
        .entry(names.to_owned())
        .or_insert_with(|| genesis_by(command(), None));
    let mut vat = TestVat::born(misbehaving(), genesis);
    vat.wake_by(command());
    vat
}

/// A vat, awake or not.
pub struct TestVat {
    worker: PathBuf,
    pub image: File,
    pub process: Option<Process>,
    pub tracker: Option<TrackerKind>,
    pub generation: u64,
    pub turn: u64,
    pub number: u64,
    next_request: u64,
    pub time_ms: i64,
    /// What the seeds of its turns are made of, with the turn's number.
    pub chance: [u8; SEED_BYTES],
    /// Powers its program does not get.
    pub deny: Vec<String>,
    pub replies: HashMap<u64, Outcome>,
    pub log: Vec<LogLine>,
    /// Timers set and neither cleared nor fired, with their times.
    pub timers: BTreeMap<u64, i64>,
    /// Of the last hand-over.
    pub delta_bytes: usize,
    pub delta_pages: BTreeSet<u32>,
    pub used_pages: u32,
    /// How many hand-overs the host is behind with applying.
    pub lag: usize,
    /// Hand-overs not applied yet.
    waiting: VecDeque<(u64, Vec<u8>)>,
}

impl Default for TestVat {
    fn default() -> TestVat {
        TestVat::new()
    }
}

impl TestVat {
    /// A vat with a genesis heap, asleep.
    pub fn new() -> TestVat {
        TestVat::born(worker_file(), genesis())
    }

    /// A vat of this worker, with the genesis heap it made, asleep.
    pub fn born(worker: &Path, genesis: &HandOver) -> TestVat {
        let image = blank_image();
        apply(&image, &genesis.delta);
        TestVat {
            worker: worker.to_owned(),
            image,
            process: None,
            tracker: None,
            generation: 1,
            turn: 0,
            number: 0,
            next_request: 1,
            time_ms: TIME_MS,
            chance: CHANCE,
            deny: Vec::new(),
            replies: HashMap::new(),
            log: Vec::new(),
            timers: BTreeMap::new(),
            delta_bytes: 0,
            delta_pages: BTreeSet::new(),
            used_pages: genesis.used_pages,
            lag: 0,
            waiting: VecDeque::new(),
        }
    }

    /// A vat with this program, awake; the deployment must go well.
    pub fn deployed(source: &str) -> TestVat {
        let mut vat = TestVat::new();
        let outcome = vat.deploy(&[("main.js", source)], &[]);
        assert_eq!(outcome, undefined(), "the program starts");
        vat
    }

    pub fn wake(&mut self) -> &mut Process {
        if self.process.is_none() {
            self.wake_by(Command::new(&self.worker));
        }
        self.process.as_mut().expect("awake")
    }

    /// Starts the worker this way.
    pub fn wake_by(&mut self, command: Command) {
        self.generation += 1;
        self.number = 0;
        let mut process = Process::spawn(command, &self.image);
        process.send(&start(self.generation, false, self.tracker));
        let Some(FromWorker::Ready {
            generation,
            tracker,
            ..
        }) = process.receive()
        else {
            panic!("the worker does not resume");
        };
        assert_eq!(generation, self.generation);
        assert!(self.tracker.is_none_or(|wish| wish == tracker));
        self.process = Some(process);
    }

    /// Kills the worker: what it had not handed over is gone, and what it had is applied before the
    /// next one starts (T1).
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
        for (_, delta) in self.waiting.drain(..) {
            apply(&self.image, &delta);
        }
    }

    pub fn delivery(&mut self, message: Message) -> Delivery {
        self.turn += 1;
        Delivery {
            turn: self.turn,
            time_ms: self.time_ms,
            seed: self.seed(self.turn),
            message,
        }
    }

    /// The seed of a turn.
    pub fn seed(&self, turn: u64) -> Seed {
        let mut bytes = self.chance;
        for (byte, of_turn) in bytes.iter_mut().zip(turn.to_le_bytes()) {
            *byte ^= of_turn;
        }
        Seed::from(bytes)
    }

    pub fn request(&mut self) -> u64 {
        self.next_request += 1;
        self.next_request - 1
    }

    /// Delivers turns as one group and takes the hand-over they end with.
    pub fn run(&mut self, messages: Vec<Message>) {
        let turns = messages
            .into_iter()
            .map(|message| self.delivery(message))
            .collect();
        self.wake().send(&ToWorker::Deliver {
            turns,
            hand_over: true,
        });
        assert!(self.take_hand_over(), "the worker ended in a turn");
    }

    /// Takes one hand-over, applies it and says so; false when the worker has ended.
    pub fn take_hand_over(&mut self) -> bool {
        let (mut pieces, mut before) = (0, Vec::new());
        let mut hand_over = loop {
            match self.process.as_mut().expect("awake").receive() {
                Some(FromWorker::HandOver(hand_over)) => break hand_over,
                Some(FromWorker::Starting {
                    next: Some(next), ..
                }) => self.go_on_starting(next),
                Some(FromWorker::Delta { generation, bytes }) => {
                    assert_eq!(generation, self.generation);
                    pieces += 1;
                    before.extend(bytes);
                }
                _ => return false,
            }
        };
        assert_eq!(hand_over.generation, self.generation);
        assert_eq!(hand_over.pieces, pieces);
        if pieces > 0 {
            assert!(hand_over.delta.is_empty(), "all of it came before");
            hand_over.delta = before;
        }
        assert_eq!(hand_over.number, self.number + 1);
        assert_eq!(hand_over.last_turn, self.turn);
        self.number = hand_over.number;
        self.delta_bytes = hand_over.delta.len();
        self.delta_pages = pages_of(&hand_over.delta);
        self.waiting.push_back((self.number, hand_over.delta));
        self.used_pages = hand_over.used_pages;
        for reply in hand_over.replies {
            let twice = self.replies.insert(reply.request, reply.outcome);
            assert!(twice.is_none(), "request {} answered twice", reply.request);
        }
        self.log.extend(hand_over.log);
        for TimerChange { timer, due_ms } in hand_over.timers {
            match due_ms {
                Some(due_ms) => {
                    let twice = self.timers.insert(timer, due_ms);
                    assert!(twice.is_none(), "timer {timer} set twice");
                }
                None => drop(self.timers.remove(&timer)),
            }
        }
        while self.waiting.len() > self.lag
            && let Some((number, delta)) = self.waiting.pop_front()
        {
            apply(&self.image, &delta);
            let process = self.process.as_mut().expect("awake");
            process.send(&ToWorker::Applied { number });
        }
        true
    }

    /// Lets time pass until the timer is due that a start waits for.
    fn go_on_starting(&mut self, DueTimer { timer, due_ms }: DueTimer) {
        self.time_ms = self.time_ms.max(due_ms);
        let turns = vec![self.delivery(Message::Timer { timer })];
        let process = self.process.as_mut().expect("awake");
        process.send(&ToWorker::Deliver {
            turns,
            hand_over: true,
        });
    }

    /// Lets time pass until the first timer is due, and fires it; false when there is none.
    pub fn fire_next(&mut self) -> bool {
        let next = self.timers.iter().min_by_key(|(_, due_ms)| **due_ms);
        let Some((timer, due_ms)) = next.map(|(timer, due_ms)| (*timer, *due_ms)) else {
            return false;
        };
        self.time_ms = self.time_ms.max(due_ms);
        self.timers.remove(&timer);
        self.run(vec![Message::Timer { timer }]);
        true
    }

    fn program(&self, files: &[(&str, &str)], give: &[(&str, &str)]) -> Program {
        let pairs = |of: &[(&str, &str)]| {
            of.iter()
                .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
                .collect::<Vec<_>>()
        };
        Program {
            entry: files[0].0.to_owned(),
            files: pairs(files),
            give: pairs(give),
            deny: self.deny.clone(),
        }
    }

    /// A deployment as a message.
    pub fn deploy_message(&mut self, files: &[(&str, &str)]) -> Message {
        let program = self.program(files, &[]);
        Message::Deploy {
            request: self.request(),
            program,
        }
    }

    /// Delivers turns of a start that does not settle with them; the timer it waits for.
    pub fn starting(&mut self, messages: Vec<Message>) -> Option<(u64, i64)> {
        let turns = messages
            .into_iter()
            .map(|message| self.delivery(message))
            .collect();
        self.wake().send(&ToWorker::Deliver {
            turns,
            hand_over: true,
        });
        self.take_starting()
    }

    pub fn take_starting(&mut self) -> Option<(u64, i64)> {
        match self.process.as_mut().expect("awake").receive() {
            Some(FromWorker::Starting {
                generation,
                last_turn,
                next,
            }) => {
                assert_eq!((generation, last_turn), (self.generation, self.turn));
                next.map(|next| (next.timer, next.due_ms))
            }
            other => panic!("does not say that it starts: {}", other.is_some()),
        }
    }

    pub fn deploy(&mut self, files: &[(&str, &str)], give: &[(&str, &str)]) -> Outcome {
        let request = self.request();
        let program = self.program(files, give);
        self.run(vec![Message::Deploy { request, program }]);
        self.replies
            .remove(&request)
            .expect("the deployment is answered")
    }

    pub fn call_message(&mut self, method: &str, args: &str) -> (u64, Message) {
        let request = self.request();
        let (method, args) = (method.to_owned(), args.to_owned());
        (
            request,
            Message::Call {
                request,
                method,
                args,
            },
        )
    }

    /// Sends a call as a turn of its own; the answer may come with a later turn.
    pub fn send(&mut self, method: &str, args: &str) -> u64 {
        let (request, message) = self.call_message(method, args);
        self.run(vec![message]);
        request
    }

    /// Calls and gives the answer, which must come with the turn.
    pub fn call(&mut self, method: &str, args: &str) -> Outcome {
        let request = self.send(method, args);
        self.replies
            .remove(&request)
            .unwrap_or_else(|| panic!("{method} is not answered yet"))
    }

    /// The value of a call that must not throw.
    pub fn value(&mut self, method: &str, args: &str) -> String {
        match self.call(method, args) {
            Outcome::Value(json) => json,
            Outcome::Thrown(thrown) => panic!("{method} threw {thrown:?}"),
        }
    }

    pub fn thrown(&mut self, method: &str, args: &str) -> Thrown {
        match self.call(method, args) {
            Outcome::Thrown(thrown) => thrown,
            Outcome::Value(json) => panic!("{method} gave {json}"),
        }
    }
}

impl Drop for TestVat {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn undefined() -> Outcome {
    Outcome::Value(r#"{"$undefined":true}"#.to_owned())
}

pub fn thrown(outcome: Outcome) -> Thrown {
    match outcome {
        Outcome::Thrown(thrown) => thrown,
        Outcome::Value(json) => panic!("gave {json}"),
    }
}

/// `None` where they cannot be seen, as workers let nobody but root look into them.
pub fn maps(pid: u32) -> Option<String> {
    match fs::read_to_string(format!("/proc/{pid}/maps")) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            eprintln!("a worker's mappings are shown to root only: not tried");
            None
        }
        maps => Some(maps.expect("read the worker's mappings")),
    }
}
