//! The worker as an executable and a process: how it is built, what it refuses, how it ends.

use std::os::unix::fs::FileExt;
use std::process::Command;

use kenvat_engine::WORKER;
use kenvat_testing::worker::{
    GAS, PAGE_LIMIT, Process, TestVat, apply, blank_image, genesis, genesis_by, start, worker_file,
};
use kenvat_wire::protocol::{
    AbortedBy, Delivery, EXIT_PROTOCOL, FromWorker, Message, PROTOCOL_VERSION, Start, ToWorker,
    TrackerKind,
};

/// Every way to find written pages.
const TRACKERS: [TrackerKind; 3] = [
    TrackerKind::Userfaultfd,
    TrackerKind::PrivatePages,
    TrackerKind::Mprotect,
];

#[test]
fn the_worker_is_static_and_at_a_fixed_address() {
    assert_eq!(WORKER[..4], *b"\x7fELF");
    let half = |at: usize| u16::from_le_bytes(WORKER[at..at + 2].try_into().unwrap());
    let word = |at: usize| u64::from_le_bytes(WORKER[at..at + 8].try_into().unwrap()) as usize;
    assert_eq!(half(16), 2, "ET_EXEC: linked at a fixed address");
    let (table, size, count) = (word(32), usize::from(half(54)), usize::from(half(56)));
    for n in 0..count {
        let kind = &WORKER[table + n * size..][..4];
        assert_ne!(kind, 2u32.to_le_bytes(), "PT_DYNAMIC: it wants a loader");
        assert_ne!(kind, 3u32.to_le_bytes(), "PT_INTERP: it wants a loader");
    }
    let text = String::from_utf8_lossy(WORKER);
    for name in ["CARGO_MANIFEST_DIR", "HOME"] {
        let Some(folder) = std::env::var_os(name) else {
            continue;
        };
        let folder = folder.to_string_lossy().into_owned();
        assert!(
            !text.contains(&folder),
            "the folder {folder} stands in the executable"
        );
    }
}

#[test]
fn genesis_is_the_same_bytes_wherever_it_is_made() {
    let first = &genesis().delta;
    let mut other = Command::new(worker_file());
    other
        .env("TZ", "Asia/Kathmandu")
        .env("LC_ALL", "tr_TR.UTF-8")
        .env("X", "y".repeat(5000));
    other.env("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX2,-FMA");
    other.current_dir("/");
    assert!(*first == genesis_by(other, Some(TrackerKind::PrivatePages)).delta);
    assert!(*first == genesis_by(Command::new(worker_file()), Some(TrackerKind::Mprotect)).delta);
    let mut fixed = Command::new("setarch");
    fixed.arg("-R").arg(worker_file());
    match Command::new("setarch").arg("-R").arg("true").status() {
        Ok(status) if status.success() => assert!(*first == genesis_by(fixed, None).delta),
        _ => eprintln!("setarch -R cannot be used here: not tried without ASLR"),
    }
    eprintln!(
        "genesis: {} pages in use, {} bytes",
        genesis().used_pages,
        first.len()
    );
}

#[test]
fn the_worker_runs_where_there_is_nothing_but_itself() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    // A link, as a file that was just written may still be open in somebody's forked child.
    std::fs::hard_link(worker_file(), folder.path().join("w")).expect("link the worker");
    let mut probe = Command::new("chroot");
    let probe = probe
        .arg(folder.path())
        .arg("/w")
        .stderr(std::process::Stdio::null())
        .status();
    // Status 2 is the worker's own, so chroot went well.
    if !probe.is_ok_and(|status| status.code() == Some(2)) {
        eprintln!("chroot cannot be used here (it takes root): not tried");
        return;
    }
    let mut command = Command::new("chroot");
    command.arg(folder.path()).arg("/w");
    // No /proc there: neither pagemap tracker can be had, the last one can.
    assert!(genesis_by(command, None).delta == genesis().delta);
}

#[test]
fn started_by_hand_it_says_what_it_is() {
    for arguments in [&["--help"][..], &[]] {
        let output = Command::new(worker_file())
            .args(arguments)
            .output()
            .expect("run");
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("`kenvat` starts it, not a person"), "{text}");
    }
}

fn refused(messages: &[ToWorker]) -> Option<i32> {
    let image = blank_image();
    apply(&image, &genesis().delta);
    let mut command = Command::new(worker_file());
    command.stderr(std::process::Stdio::null());
    let mut process = Process::spawn(command, &image);
    messages.iter().for_each(|message| process.send(message));
    while process.receive().is_some() {}
    process.wait().code()
}

#[test]
fn a_host_that_breaks_the_protocol_is_left_with_a_status() {
    let delivery = |turn| Delivery {
        turn,
        time_ms: 0,
        seed: [0; 32].into(),
        message: Message::Call {
            request: turn,
            method: "m".into(),
            args: "[]".into(),
        },
    };
    let deliver = |turns: &[u64]| ToWorker::Deliver {
        turns: turns.iter().map(|turn| delivery(*turn)).collect(),
        hand_over: true,
    };
    let older = ToWorker::Start(Start {
        protocol: PROTOCOL_VERSION + 1,
        generation: 1,
        page_limit: PAGE_LIMIT,
        genesis: false,
        gas: GAS,
        tracker: None,
    });
    let start = || start(1, false, None);
    assert_eq!(refused(&[older]), Some(EXIT_PROTOCOL));
    assert_eq!(refused(&[ToWorker::HandOver]), Some(EXIT_PROTOCOL));
    assert_eq!(refused(&[start(), start()]), Some(EXIT_PROTOCOL));
    assert_eq!(refused(&[start(), deliver(&[3, 3])]), Some(EXIT_PROTOCOL));
    assert_eq!(
        refused(&[start(), ToWorker::Applied { number: 1 }]),
        Some(EXIT_PROTOCOL)
    );
    let image = blank_image();
    for bytes in [&[0xff; 64][..], &[1, 0, 0, 0, 99], &[3, 0, 0, 0, 2, 0, 0]] {
        let mut command = Command::new(worker_file());
        command.stderr(std::process::Stdio::null());
        let mut process = Process::spawn(command, &image);
        process.send_bytes(bytes);
        while process.receive().is_some() {}
        assert_eq!(process.wait().code(), Some(EXIT_PROTOCOL), "{bytes:?}");
    }
}

#[test]
fn an_image_that_is_no_heap_or_damaged_is_refused_without_a_crash() {
    use std::os::unix::fs::FileExt;
    let resume = |change: &dyn Fn(&std::fs::File)| {
        let image = blank_image();
        apply(&image, &genesis().delta);
        change(&image);
        let mut command = Command::new(worker_file());
        command.stderr(std::process::Stdio::null());
        let mut process = Process::spawn(command, &image);
        process.send(&start(1, false, None));
        assert!(process.receive().is_none());
        process.wait().code()
    };
    let write = |at: u64, word: u64| {
        move |image: &std::fs::File| image.write_all_at(&word.to_le_bytes(), at).expect("write")
    };
    assert_eq!(resume(&write(0, 0)), Some(1), "no magic");
    assert_eq!(resume(&write(8, 9)), Some(1), "another format");
    for at in [16, 24, 32] {
        assert_eq!(
            resume(&write(at, 0x1234_5678)),
            Some(1),
            "an address outside"
        );
        assert_eq!(resume(&write(at, 0)), Some(1), "no address");
    }
    assert_eq!(
        resume(&write(4096, u64::MAX)),
        Some(1),
        "more pages than the limit"
    );
    assert_eq!(
        resume(&|image| image.set_len(4096).expect("cut")),
        Some(1),
        "a short image"
    );
}

#[test]
fn a_worker_ends_with_its_host() {
    let mut vat = TestVat::deployed("export default { m: () => 1 };");
    let process = vat.process.take().expect("awake");
    assert_eq!(process.close().code(), Some(0));
    assert_eq!(vat.value("m", "[]"), "1");
}

/// Every way past a limit, and whether the turn is undone in a heap that goes on.
const GREEDY: &str = "const kept = []; let n = 0;\nexport default (powers) => ({\n\
    grow() { for (;;) kept.push(new Uint8Array(100000)); },\n\
    catches() { for (;;) { try { for (;;) kept.push({ a: [1, 2, 3] }); } catch {} } },\n\
    one() { return new ArrayBuffer(1e9).byteLength; },\n\
    loop() { kept.push(1); for (;;); },\n\
    jobs() { kept.push(1); const again = () => { Promise.resolve().then(again); }; again(); },\n\
    stubborn() { for (;;) { try { for (;;); } catch {} finally { kept.push(2); } } },\n\
    regexp() { kept.push(1); return /^(a+)+$/.test('a'.repeat(40) + 'b'); },\n\
    asked() { kept.push(1); try { powers.abort('no balance'); } catch {} kept.push(2); },\n\
    async later() { kept.push(1); await null; powers.abort(); },\n\
    deep() { kept.push(1); const f = () => f(); f(); },\n\
    caught() { const f = () => { try { return f(); } catch { kept.push(3); } }; return f(); },\n\
    finals() { const f = () => { try { f(); } finally { kept.push(4); } };\n\
        try { f(); } catch {} },\n\
    async waits() { kept.push(1); const f = async () => { await f(); };\n\
        try { await f(); } catch {} },\n\
    getter() { const o = { get x() { return this.x; } }; kept.push(1); try { o.x; } catch {} },\n\
    proxy() { let p = {}; for (let i = 0; i < 1e5; i++) p = new Proxy(p, {});\n\
        try { p.x; } catch { kept.push(5); } },\n\
    json() { try { JSON.parse('['.repeat(1e5)); } catch { kept.push(6); } },\n\
    text() { let a = []; for (let i = 0; i < 1e5; i++) a = [a];\n\
        try { JSON.stringify(a); } catch { kept.push(7); } },\n\
    flat() { let a = []; for (let i = 0; i < 1e5; i++) a = [a];\n\
        try { a.flat(Infinity); } catch { kept.push(8); } },\n\
    joined() { let a = []; for (let i = 0; i < 1e5; i++) a = [a];\n\
        try { String(a); } catch { kept.push(9); } },\n\
    pattern() { try { new RegExp('(?:'.repeat(1e5)); } catch { kept.push(11); } },\n\
    bound() { let f = () => 1; for (let i = 0; i < 1e4; i++) f = Function.prototype.call.bind(f);\n\
        try { f(); } catch { kept.push(12); } },\n\
    compare() { const f = (a, b) => [2, 1].sort(f); try { f(); } catch { kept.push(13); } },\n\
    shown() { const o = { toString() { return `${o}`; } };\n\
        try { console.log(`${o}`); } catch { kept.push(14); } },\n\
    fine() { return kept.length; },\n\
    nest(n) { const f = (n) => n > 0 ? 1 + f(n - 1) : 0; return f(n); },\n\
    incr() { return ++n; } });";

#[test]
fn a_turn_past_a_limit_is_undone_to_the_bit_and_the_worker_goes_on() {
    let methods = [
        ("grow", AbortedBy::Heap),
        ("catches", AbortedBy::Heap),
        ("one", AbortedBy::Heap),
        ("loop", AbortedBy::Gas),
        ("jobs", AbortedBy::Gas),
        ("stubborn", AbortedBy::Gas),
        ("regexp", AbortedBy::Gas),
        ("deep", AbortedBy::Stack),
        ("caught", AbortedBy::Stack),
        ("finals", AbortedBy::Stack),
        ("waits", AbortedBy::Stack),
        ("getter", AbortedBy::Stack),
        ("proxy", AbortedBy::Stack),
        ("json", AbortedBy::Stack),
        ("text", AbortedBy::Stack),
        ("flat", AbortedBy::Stack),
        ("joined", AbortedBy::Stack),
        ("pattern", AbortedBy::Stack),
        ("bound", AbortedBy::Stack),
        ("compare", AbortedBy::Stack),
        ("shown", AbortedBy::Stack),
        ("asked", AbortedBy::Request),
        ("later", AbortedBy::Request),
    ];
    for tracker in TRACKERS {
        let mut vat = TestVat::deployed(GREEDY);
        vat.kill();
        vat.tracker = Some(tracker);
        let before = heap_bytes(&vat);
        for (method, by) in methods {
            let what = format!("{tracker:?} {method}");
            assert_eq!(vat.value("incr", "[]"), "1", "{what}");
            let (_, message) = vat.call_message(method, "[]");
            let turn = vat.delivery(message);
            let number = turn.turn;
            let process = vat.wake();
            process.send(&ToWorker::Deliver {
                turns: vec![turn],
                hand_over: true,
            });
            match process.receive() {
                Some(FromWorker::Aborted {
                    turn, by: found, ..
                }) => {
                    assert_eq!((turn, found), (number, by), "{what}");
                }
                Some(_) => panic!("{what}: the turn was handed over"),
                None => panic!("{what}: the worker ended"),
            }
            assert_eq!(process.running(), 0);
            // What was sent before the host heard of it is void.
            process.send(&ToWorker::HandOver);
            process.send(&ToWorker::AbortSeen);
            assert_eq!(vat.value("fine", "[]"), "0", "{what}: left no trace");
            assert_eq!(vat.value("incr", "[]"), "2", "{what}");
            let after = heap_bytes(&vat);
            // A heap that never met the turn, with the same calls, is the same bit for bit.
            vat.kill();
            vat.image.write_all_at(&before, 0).expect("pwrite");
            assert_eq!(vat.value("incr", "[]"), "1");
            assert_eq!(vat.value("fine", "[]"), "0");
            assert_eq!(vat.value("incr", "[]"), "2");
            assert!(after == heap_bytes(&vat), "{what}: not the same heap");
            vat.kill();
            vat.image.write_all_at(&before, 0).expect("pwrite");
        }
    }
}

/// Ways to use up the heap where the engine's C code, a job or the library stands between the
/// allocation and whoever could catch its failure.
const HOARDERS: &str = "const kept = []; let n = 0;\n\
    const hoard = () => { try { for (;;) kept.push(new Uint8Array(1e5)); } catch {} };\n\
    export default {\n\
    plainly() { for (;;) hoard(); },\n\
    finals() { for (;;) { try { hoard(); throw 1; } catch {} finally { kept.push({}); } } },\n\
    small() { for (;;) { try { for (;;) kept.push({ a: [n] }); } catch { kept.length = 0; } } },\n\
    once() { try { kept.push('x'.repeat(2 ** 29)); } catch {} },\n\
    grown() { let s = 'xyz'; try { for (;;) { s += s; kept.push([...s]); } } catch {} },\n\
    jobs() { const again = () => { hoard(); Promise.resolve().then(again, again); }; again(); },\n\
    async awaits() { for (;;) { try { await hoard(); } catch {} } },\n\
    thenable() { return { then(ok) { hoard(); hoard(); ok(1); } }; },\n\
    json() { return JSON.stringify({ get a() { hoard(); return 1; }, toJSON() { hoard();\n\
        return { get b() { hoard(); return 2; } }; } }); },\n\
    parsed() { return JSON.parse('[1,2]', () => { hoard(); return 1; }); },\n\
    sorts() { return [3, 2, 1].sort(() => { hoard(); return -1; }); },\n\
    replaced() { return 'abc'.replace(/./g, () => { hoard(); return 'd'; }); },\n\
    getter() { return { get a() { hoard(); return 1; } }.a; },\n\
    proxy() { return new Proxy({}, { get() { hoard(); return 1; } }).a; },\n\
    *made() { try { yield 1; } finally { hoard(); } },\n\
    iterates() { for (const x of this.made()) return x; },\n\
    primitive() { return +{ [Symbol.toPrimitive]() { hoard(); return 4; } }; },\n\
    tags() { const t = () => { hoard(); return 1; }; return t`a${1}`; },\n\
    from() { return Array.from({ length: 3 }, () => { hoard(); return 1; }); },\n\
    maps() { const m = new Map(); try { for (;;) m.set(n++, [n]); } catch {} return m.size; },\n\
    binds() { let f = () => 1; try { for (;;) f = f.bind(null, f); } catch {} return 1; },\n\
    regexp() { return new RegExp('(a'.repeat(200) + ')'.repeat(200)).exec('a'.repeat(200)) &&\n\
        hoard(); },\n\
    prints() { for (;;) { hoard(); console.log({ get a() { hoard(); return kept; } }); } },\n\
    returns() { const a = []; try { for (;;) a.push('y'.repeat(1e5)); } catch {} return a; },\n\
    throws() { try { hoard(); } finally { throw { get message() { hoard(); return 'm'; } }; } },\n\
    classes() { return class { static x = hoard(); static { hoard(); } } && 1; },\n\
    fine() { return kept.length; },\n\
    incr() { return ++n; } };";

#[test]
fn t3_no_program_can_catch_that_its_heap_is_full() {
    let methods: Vec<&str> = HOARDERS
        .lines()
        .filter_map(|line| line.trim().split_once('(').map(|(name, _)| name))
        .map(|name| name.trim_start_matches("async ").trim_start_matches('*'))
        .filter(|name| {
            name.chars().all(|c| c.is_ascii_lowercase()) && !["made", "hoard"].contains(name)
        })
        .take_while(|name| *name != "fine")
        .collect();
    assert!(methods.len() > 24, "{methods:?}");
    for tracker in TRACKERS {
        let mut vat = TestVat::deployed(HOARDERS);
        vat.kill();
        vat.tracker = Some(tracker);
        for (expected, method) in (1u32..).zip(&methods) {
            let what = format!("{tracker:?} {method}");
            let (_, message) = vat.call_message(method, "[]");
            let turns = vec![vat.delivery(message)];
            let process = vat.wake();
            process.send(&ToWorker::Deliver {
                turns,
                hand_over: true,
            });
            match process.receive() {
                Some(FromWorker::Aborted { by, why, .. }) => {
                    assert_eq!(by, AbortedBy::Heap, "{what}: {why}");
                    assert!(why.contains("heap"), "{what}: {why}");
                }
                Some(_) => panic!("{what}: the turn was handed over"),
                None => panic!("{what}: the worker ended"),
            }
            process.send(&ToWorker::AbortSeen);
            assert_eq!(vat.value("incr", "[]"), expected.to_string(), "{what}");
            assert_eq!(vat.value("fine", "[]"), "0", "{what}: left no trace");
        }
    }
}

/// How deep a function may call itself before the turn is undone.
fn depth(vat: &mut TestVat) -> u32 {
    let mut fits = |n: u32| {
        let (request, message) = vat.call_message("nest", &format!("[{n}]"));
        let turns = vec![vat.delivery(message)];
        let process = vat.process.as_mut().expect("awake");
        process.send(&ToWorker::Deliver {
            turns,
            hand_over: false,
        });
        process.send(&ToWorker::HandOver);
        match process.receive() {
            Some(FromWorker::HandOver(hand_over)) => {
                assert_eq!(hand_over.replies[0].request, request);
                true
            }
            Some(FromWorker::Aborted { by, why, .. }) => {
                assert_eq!(by, AbortedBy::Stack);
                assert!(why.contains("stack"), "{why}");
                process.send(&ToWorker::AbortSeen);
                false
            }
            other => panic!("no answer of a worker: {}", other.is_some()),
        }
    };
    let (mut fits_at, mut fails_at) = (0u32, 1 << 20);
    while fails_at - fits_at > 1 {
        let middle = fits_at.midpoint(fails_at);
        *(if fits(middle) {
            &mut fits_at
        } else {
            &mut fails_at
        }) = middle;
    }
    fits_at
}

#[test]
fn h7_the_stack_runs_out_at_the_same_call_wherever_the_worker_runs() {
    let asleep = || {
        let mut vat = TestVat::deployed(GREEDY);
        vat.kill();
        vat
    };
    let mut vat = asleep();
    vat.wake();
    let first = depth(&mut vat);
    eprintln!("{first} calls fit");
    assert!(first > 1_000, "{first} calls");
    for tracker in TRACKERS {
        let mut other = Command::new(worker_file());
        other.env("X", "y".repeat(50_000)).env("TZ", "Asia/Tokyo");
        other.env("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX2,-FMA");
        let mut vat = asleep();
        vat.tracker = Some(tracker);
        vat.wake_by(other);
        assert_eq!(depth(&mut vat), first, "{tracker:?}");
    }
}

/// As much of the image as these heaps ever use.
fn heap_bytes(vat: &TestVat) -> Vec<u8> {
    let mut bytes = vec![0; 8 << 20];
    vat.image.read_exact_at(&mut bytes, 0).expect("pread");
    bytes
}

#[test]
fn the_status_page_says_which_turn_a_worker_runs() {
    let mut vat = TestVat::deployed("export default { m() { for (let i = 0; i < 3e6; i++); } };");
    let (_, message) = vat.call_message("m", "[]");
    let turn = vat.delivery(message);
    let number = turn.turn;
    let process = vat.wake();
    assert_eq!(process.running(), 0);
    process.send(&ToWorker::Deliver {
        turns: vec![turn],
        hand_over: true,
    });
    let mut seen = false;
    while !seen {
        seen = process.running() == number;
        assert!(
            process
                .child
                .try_wait()
                .expect("look at the worker")
                .is_none()
        );
    }
    assert!(matches!(process.receive(), Some(FromWorker::HandOver(_))));
    assert_eq!(process.running(), 0);
}
