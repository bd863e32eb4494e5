//! The interface of a program that carries vats inside, and what misuse of it gets: an error that
//! says which, nothing lost, and a next open that works.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use kenvat_engine::{Call, CallError, DeployError, Engine, Fault, OpenError, Stopped};
use kenvat_testing::engine::{Ask, options};

const COUNTER: &str = "
    let n = 0; let later;
    export const incr = () => ++n;
    export const fail = () => { n++; throw TypeError('on purpose'); };
    export const spin = (rounds) => { for (let i = 0; i < rounds; i++) n += 0; return n; };
    export const wait = () => new Promise((resolve) => { later = resolve; });
    export const go = () => { later(n); };
";

fn counter(dir: &Path) -> Engine {
    let engine = Engine::open(dir).expect("opens");
    engine.deploy("counter", COUNTER).expect("deploys");
    engine
}

/// The next open works, and the vat has counted so far.
fn assert_goes_on(dir: &Path, count: u64) {
    let engine = Engine::open(dir).expect("the next open works");
    let next = engine
        .call("counter", "incr", "[]")
        .expect("the vat goes on");
    assert_eq!(next, (count + 1).to_string());
    engine.assert_no_damage();
    engine.stop().expect("a clean stop");
}

#[test]
fn a_vat_lives_from_engine_to_engine_whichever_way_they_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = counter(folder.path());
    assert_eq!(engine.call("counter", "incr", "[]").expect("counts"), "1");
    engine.stop().expect("a clean stop");
    // Dropped with a call under way, which is told so; the store is free when the drop returns.
    let engine = Engine::open(folder.path()).expect("opens");
    let open = engine.send("counter", "wait", "[]");
    assert_eq!(engine.call("counter", "incr", "[]").expect("counts"), "2");
    drop(engine);
    assert_eq!(open.wait(), Err(Stopped));
    let engine = Engine::open(folder.path()).expect("opens");
    assert_eq!(engine.call("counter", "incr", "[]").expect("counts"), "3");
    // Its owner given up, it stops when the last handle goes; only a later open can tell when.
    let handle = engine.into_handle();
    let counted = handle.call(Call::new("counter", "incr", "[]")).wait();
    assert_eq!(counted, Ok(Ok("4".to_owned())));
    handle
        .stop()
        .wait()
        .expect("answered")
        .expect("a clean stop");
    drop(handle);
    assert_goes_on(folder.path(), 4);
}

#[test]
fn every_error_says_whose_fault_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = counter(folder.path());
    for (vat, method, args, fault, text) in [
        (
            "nobody",
            "incr",
            "[]",
            Fault::Caller,
            "no vat is called `nobody`",
        ),
        (
            "counter",
            "incr",
            "[",
            Fault::Caller,
            "the arguments are not JSON",
        ),
        (
            "counter",
            "incr",
            "{}",
            Fault::Caller,
            "expected a sequence",
        ),
        ("counter", "fail", "[]", Fault::Vat, "TypeError: on purpose"),
        ("counter", "none", "[]", Fault::Vat, "none"),
    ] {
        let error = engine.call(vat, method, args).expect_err(method);
        assert_eq!(error.fault(), fault, "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }
    for (name, source, fault, text) in [
        ("counter", COUNTER, Fault::Caller, "exists already"),
        (
            "Not a name",
            COUNTER,
            Fault::Caller,
            "cannot be a vat's name",
        ),
        ("bad", "export const = 1;", Fault::Vat, "bad.js:1"),
        ("bad", "throw RangeError('at once')", Fault::Vat, "at once"),
    ] {
        let error = engine.deploy(name, source).expect_err(name);
        assert_eq!(error.fault(), fault, "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }
    assert_eq!(engine.handle().list().wait().expect("answered").len(), 1);
    engine.stop().expect("a clean stop");
    assert_goes_on(folder.path(), 1);
}

#[test]
fn a_call_after_the_stop_is_told_so_and_so_is_one_that_waits() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = counter(folder.path());
    let waits = engine.send("counter", "wait", "[]");
    let kept = engine.handle().clone();
    engine.stop().expect("a clean stop");
    assert_eq!(waits.wait(), Err(Stopped));
    for _ in 0..2 {
        let called = engine.call("counter", "incr", "[]");
        assert_eq!(called, Err(CallError::Stopped));
        let deployed = engine.deploy("other", COUNTER);
        assert_eq!(deployed, Err(DeployError::Stopped));
        assert_eq!(kept.list().wait().map(drop), Err(Stopped));
        engine.stop().expect("nothing is left to do");
    }
    assert_eq!(CallError::Stopped.fault(), Fault::Host);
    assert_goes_on(folder.path(), 0);
}

#[test]
fn one_folder_is_opened_once_in_one_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("store");
    let engine = counter(&dir);
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&dir, &link).expect("a link");
    for again in [dir.clone(), link] {
        match Engine::open(&again) {
            Err(error @ OpenError::InUse { pid, .. }) => {
                assert_eq!(pid, std::process::id());
                assert_eq!(error.fault(), Fault::Caller);
                assert!(error.to_string().contains("this process"), "{error}");
            }
            other => panic!("{other:?}"),
        }
        // The one that has it noticed nothing.
        engine.call("counter", "incr", "[]").expect("counts");
    }
    drop(engine);
    assert_goes_on(&dir, 2);
}

/// Names the folder to a process that plays another program.
const DIR: &str = "KENVAT_TEST_EMBEDDING_DIR";

/// This test program, to run one of its tests in another process.
fn other_process(program: &Path, test: &str, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .args([
            "--exact",
            &format!("embedding::{test}"),
            "--ignored",
            "--nocapture",
        ])
        .env(DIR, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// Whether the process ends well and its test ran.
fn assert_passes(mut child: Child) {
    let out = BufReader::new(child.stdout.take().expect("is piped"));
    let lines: Vec<_> = out.lines().map(|line| line.expect("is text")).collect();
    assert!(child.wait().expect("is reaped").success(), "{lines:?}");
    assert!(
        lines.iter().any(|line| line.contains("1 passed")),
        "{lines:?}"
    );
}

/// Not a test of its own: holds a store until it is killed.
#[test]
#[ignore = "run by a_store_another_process_holds_is_refused_with_its_number"]
fn a_holder() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    let engine = counter(Path::new(&dir));
    assert_eq!(engine.call("counter", "incr", "[]").expect("counts"), "1");
    println!("\nholds");
    // Nobody writes to it: this waits for the end of whoever started it, or for the kill.
    std::io::stdin().lines().for_each(drop);
}

#[test]
fn a_store_another_process_holds_is_refused_with_its_number() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = std::env::current_exe().expect("this program");
    let mut holder = other_process(&program, "a_holder", folder.path())
        .spawn()
        .expect("starts");
    let out = BufReader::new(holder.stdout.take().expect("is piped"));
    let mut lines = out.lines().map(|line| line.expect("is text"));
    assert!(lines.any(|line| line == "holds"), "it opens the store");
    match Engine::open(folder.path()) {
        Err(OpenError::InUse { pid, .. }) => assert_eq!(pid, holder.id()),
        other => panic!("{other:?}"),
    }
    holder.kill().expect("is killed");
    holder.wait().expect("is reaped");
    assert_goes_on(folder.path(), 1);
}

/// Not a test of its own: a user who may write neither of two folders.
#[test]
#[ignore = "run by a_folder_that_cannot_be_written_is_refused_and_stays_as_it_is"]
fn a_stranger() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    for name in ["store", "empty", "empty/below"] {
        match Engine::open(Path::new(&dir).join(name)) {
            Err(error @ OpenError::NotWritable { .. }) => {
                assert_eq!(error.fault(), Fault::Caller);
                let cause = std::error::Error::source(&error).expect("has its cause");
                let cause = cause.source().expect("has the system's error");
                assert!(cause.is::<std::io::Error>(), "{cause}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// Every file of a folder with what is in it.
fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push((path.clone(), fs::read(&path).expect("a file"))),
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_folder_that_cannot_be_written_is_refused_and_stays_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("store");
    let engine = counter(&dir);
    assert_eq!(engine.call("counter", "incr", "[]").expect("counts"), "1");
    engine.stop().expect("a clean stop");
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).expect("a folder");
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    mode(folder.path(), 0o755).expect("may be entered");
    for path in [&dir, &empty] {
        mode(path, 0o555).expect("may not be written");
    }
    let before = contents(&dir);
    // Root may write everything: then it is another user, to whom the folders do not belong either.
    let program = folder.path().join("program");
    fs::copy(std::env::current_exe().expect("this program"), &program).expect("is copied");
    mode(&program, 0o755).expect("may be run");
    let mut stranger = other_process(&program, "a_stranger", folder.path());
    if rustix::process::geteuid().is_root() {
        stranger.uid(65_534).gid(65_534);
    }
    assert_passes(stranger.spawn().expect("starts"));
    assert!(contents(&dir) == before, "the store was changed");
    assert_eq!(contents(&empty), []);
    for path in [&dir, &empty] {
        mode(path, 0o755).expect("may be written");
    }
    assert_goes_on(&dir, 1);
}

#[test]
fn a_path_that_is_a_file_is_refused_and_the_file_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "precious").expect("a file");
    for path in [file.clone(), file.join("below")] {
        match Engine::open(&path) {
            Err(error @ OpenError::NotAFolder { .. }) => {
                assert!(error.to_string().contains("not a folder"), "{error}");
                assert_eq!(error.fault(), Fault::Caller);
            }
            other => panic!("{}: {other:?}", path.display()),
        }
    }
    assert_eq!(fs::read(&file).expect("is there"), b"precious");
    fs::remove_file(&file).expect("is removed");
    counter(&file).stop().expect("a clean stop");
    assert_goes_on(&file, 0);
}

#[test]
fn a_worker_that_is_none_is_refused_before_any_vat_is_made_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = options(folder.path(), |options| {
        options.worker = b"no executable".as_slice().into();
    });
    match Engine::open_with(options) {
        Err(OpenError::Worker(error)) => assert!(!error.to_string().is_empty()),
        other => panic!("{other:?}"),
    }
    counter(folder.path()).stop().expect("a clean stop");
    assert_goes_on(folder.path(), 0);
}

/// Calls from another thread until told to stop; gives how many were answered.
fn others_go_on<R>(engine: &Engine, meanwhile: impl FnOnce() -> R) -> (u64, R) {
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let mut answered = 0;
            while !ends.load(SeqCst) || answered == 0 {
                engine
                    .call("other", "incr", "[]")
                    .expect("another vat goes on");
                answered += 1;
            }
            answered
        });
        let done = meanwhile();
        ends.store(true, SeqCst);
        (other.join().expect("does not panic"), done)
    })
}

#[test]
fn a_panic_in_a_caller_s_code_stops_nobody_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = counter(folder.path());
    engine.deploy("other", COUNTER).expect("deploys");
    const PANICS: u64 = 40;
    let panic_with_an_answer = |round: u64| {
        let spins = Call::new("counter", "spin", format!("[{}]", round * 1_000));
        let out = |_| panic!("on purpose, with the answer in hand");
        let call = AssertUnwindSafe(|| engine.handle().call_inline(spins, Duration::MAX, out));
        catch_unwind(call).expect_err("the panic is the caller's");
        engine
            .call("counter", "incr", "[]")
            .expect("its own next call works");
    };
    // Alone, when this thread carries its calls through, and beside other calls.
    (0..PANICS / 2).for_each(panic_with_an_answer);
    let (answered, ()) = others_go_on(&engine, || (0..PANICS / 2).for_each(panic_with_an_answer));
    assert!(answered > 0);
    engine.stop().expect("a clean stop");
    assert_goes_on(folder.path(), PANICS);
}

/// A task's waker that panics, on the thread that wakes it.
struct Panics(AtomicBool);

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
        panic!("on purpose, while it is woken");
    }
}

#[test]
fn a_panic_in_what_wakes_a_caller_stops_nobody_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = counter(folder.path());
    engine.deploy("other", COUNTER).expect("deploys");
    let panics = Arc::new(Panics(AtomicBool::new(false)));
    let waker = Waker::from(panics.clone());
    let polled = |call: Call| {
        let mut answer = engine.handle().call(call);
        let found = Pin::new(&mut answer).poll(&mut Context::from_waker(&waker));
        assert!(found.is_pending(), "{found:?}");
        answer
    };
    let waits = polled(Call::new("counter", "wait", "[]"));
    let (answered, ()) = others_go_on(&engine, || {
        engine
            .call("counter", "go", "[]")
            .expect("answers the one that waits");
    });
    assert!(answered > 0);
    assert_eq!(waits.wait(), Ok(Ok("0".to_owned())));
    assert!(panics.0.swap(false, SeqCst), "it was woken");
    // Also by the end of the engine, which answers nobody.
    let never = polled(Call::new("counter", "wait", "[]"));
    engine.stop().expect("a clean stop");
    assert!(panics.0.load(SeqCst), "it was woken");
    assert_eq!(never.wait(), Err(Stopped));
    assert_goes_on(folder.path(), 0);
}
