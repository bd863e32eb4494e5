//! The same engine, heap and messages give the same heap, bit for bit, and the same answers
//! (G8): whatever the machine's addresses, environment and processor show, however
//! written pages are found, however turns are grouped, and across restarts and undone turns.

use std::os::unix::fs::FileExt;
use std::process::Command;

use kenvat_testing::worker::{PAGE_BYTES, TIME_MS, TestVat, worker_file};
use kenvat_wire::protocol::{
    AbortedBy, Delivery, FromWorker, Message, Outcome, ToWorker, TrackerKind,
};

/// Of everything a program can compute with that could differ somewhere.
const PROGRAM: &str = r#"
const map = new Map(); const weak = new WeakMap(); const words = new Set(); const kept = [];
let n = 0; let text = ''; let late;
const numbers = (x) => [Math.sin, Math.cos, Math.tan, Math.asin, Math.acos, Math.atan, Math.sinh,
  Math.cosh, Math.tanh, Math.asinh, Math.acosh, Math.atanh, Math.exp, Math.expm1, Math.log,
  Math.log1p, Math.log2, Math.log10, Math.sqrt, Math.cbrt, Math.fround, Math.trunc, Math.round,
].map((f) => f(x)).concat(Math.pow(x, 1.37), x ** -2.5, Math.atan2(x, 3), Math.hypot(x, 7),
  x % 0.7);
export default ({ clock, random }) => ({
  async work(step) {
    n += 1;
    words.add(random.int(97)).add(clock.now() % 89);
    kept.push(random.bytes(step % 300));
    const some = numbers(step / 7 + 0.1).concat(numbers(1 / (step + 2)));
    map.set('k' + (step % 37), some);
    const key = { step }; kept.push(key); weak.set(key, some.map(String).join());
    if (kept.length > 20) kept.shift();
    const sorted = some.toSorted().map((x) => x.toFixed(5)).concat(some.map((x) => x.toString(36)));
    text = (text + sorted.join(' ')).slice(-3000);
    words.add(text.match(/\d+\.\d{3}/g)?.at(-1)).add(text.normalize('NFD').length % 97);
    text = text.replace(/(\d)(?=(\d{3})+\b)/g, '$1_').toUpperCase().replaceAll('_', '');
    const floats = Float32Array.from(some); floats.sort();
    // Cycles, so that garbage is collected now and then.
    for (let i = 0; i < 400; i += 1) { const a = { i, t: 'x' + i }; a.self = { a }; }
    late?.(step);
    const waited = new Promise((resolve) => { late = resolve; });
    await null;
    kept.at(-1).waited = waited;
    return [new Date(step * 1e9).toString(),
      new Date(2024, 1, step).toLocaleString(), text.slice(-40),
      JSON.stringify([...floats]), weak.get(key).length, words.size, [...map.keys()].join(),
      random.int(1e15), parseFloat(text),
      (12345.678 * step).toExponential(9), 10n ** BigInt(step % 40),
      'ß'.localeCompare('z'), n];
  },
  loop() { kept.length = 0; map.clear(); random.bytes(99); for (;;); },
  deep() { words.clear(); const f = () => { try { f(); } finally { n += 1; } }; f(); },
});
"#;

const STEPS: u32 = 90;

/// What is different about a life of the vat.
struct Circumstances {
    name: &'static str,
    tracker: TrackerKind,
    command: fn() -> Option<Command>,
    /// Turns delivered together.
    group: usize,
    /// Hand-overs the host is behind with applying them.
    lag: usize,
    /// Groups after which the process ends and another goes on; 0 for never.
    sleep_after: usize,
    /// Groups after which a turn is undone; 0 for never.
    undo_after: usize,
}

fn plain() -> Option<Command> {
    Some(Command::new(worker_file()))
}

fn elsewhere() -> Option<Command> {
    let mut command = Command::new(worker_file());
    command
        .env_clear()
        .env("TZ", "Asia/Kathmandu")
        .env("LC_ALL", "tr_TR.UTF-8")
        .env("LANG", "de_DE.UTF-8")
        .env("X", "y".repeat(30_000))
        .env(
            "GLIBC_TUNABLES",
            "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX,-BMI2,-ERMS",
        )
        .current_dir("/");
    Some(command)
}

/// Without randomised addresses, where that may be asked for.
fn fixed() -> Option<Command> {
    let tried = Command::new("setarch").arg("-R").arg("true").status();
    if !tried.is_ok_and(|status| status.success()) {
        eprintln!("setarch -R cannot be used here: not tried without ASLR");
        return None;
    }
    let mut command = Command::new("setarch");
    command.arg("-R").arg(worker_file());
    Some(command)
}

/// A turn past a limit, behind one that is then delivered again (T2).
fn undo(vat: &mut TestVat, first: Message, bad: &str, by: AbortedBy) {
    let first = vat.delivery(first);
    let bad = Delivery {
        turn: first.turn + 1,
        time_ms: first.time_ms + 5,
        seed: vat.seed(1 << 50),
        message: Message::Call {
            request: 1 << 40,
            method: bad.to_owned(),
            args: "[]".to_owned(),
        },
    };
    let process = vat.process.as_mut().expect("awake");
    process.send(&ToWorker::Deliver {
        turns: vec![first.clone(), bad],
        hand_over: true,
    });
    match process.receive() {
        Some(FromWorker::Aborted {
            turn, by: found, ..
        }) => {
            assert_eq!((turn, found), (first.turn + 1, by));
        }
        other => panic!("no abort: {}", other.is_some()),
    }
    process.send(&ToWorker::AbortSeen);
    process.send(&ToWorker::Deliver {
        turns: vec![first],
        hand_over: true,
    });
    assert!(vat.take_hand_over());
}

/// A heap's bytes, and what each request was answered.
type Life = (Vec<u8>, Vec<(u64, Outcome)>);

/// What came of the same messages in these circumstances.
fn live(how: &Circumstances) -> Option<Life> {
    let mut vat = TestVat::new();
    vat.tracker = Some(how.tracker);
    vat.lag = how.lag;
    vat.wake_by((how.command)()?);
    assert_eq!(
        vat.deploy(&[("main.js", PROGRAM)], &[]),
        kenvat_testing::worker::undefined()
    );
    let mut step = 0;
    let mut groups = 0;
    while step < STEPS {
        let mut messages = Vec::new();
        while step < STEPS && messages.len() < how.group {
            messages.push(vat.call_message("work", &format!("[{step}]")).1);
            step += 1;
        }
        vat.time_ms = TIME_MS;
        groups += 1;
        if how.undo_after > 0 && groups % how.undo_after == 0 {
            let (bad, by) = match groups / how.undo_after % 2 {
                0 => ("loop", AbortedBy::Gas),
                _ => ("deep", AbortedBy::Stack),
            };
            undo(&mut vat, messages.remove(0), bad, by);
            if !messages.is_empty() {
                vat.run(messages);
            }
        } else {
            vat.run(messages);
        }
        if how.sleep_after > 0 && groups % how.sleep_after == 0 {
            vat.kill();
            vat.wake_by((how.command)()?);
        }
    }
    vat.kill();
    let mut bytes = vec![0; vat.used_pages as usize * PAGE_BYTES];
    vat.image.read_exact_at(&mut bytes, 0).expect("the image");
    let mut replies: Vec<_> = vat.replies.drain().collect();
    replies.sort_by_key(|(request, _)| *request);
    Some((bytes, replies))
}

#[test]
fn invariant_8_the_same_messages_give_the_same_heap_in_all_circumstances() {
    let base = Circumstances {
        name: "one process",
        tracker: TrackerKind::Userfaultfd,
        command: plain,
        group: 1,
        lag: 0,
        sleep_after: 0,
        undo_after: 0,
    };
    let others = [
        Circumstances {
            name: "groups, private pages, another environment and processor",
            tracker: TrackerKind::PrivatePages,
            command: elsewhere,
            group: 7,
            lag: 2,
            ..base
        },
        Circumstances {
            name: "write protection, restarts, fixed addresses",
            tracker: TrackerKind::Mprotect,
            command: fixed,
            group: 4,
            sleep_after: 6,
            ..base
        },
        Circumstances {
            name: "undone turns",
            undo_after: 15,
            lag: 1,
            ..base
        },
        Circumstances {
            name: "undone turns and restarts, private pages",
            tracker: TrackerKind::PrivatePages,
            command: elsewhere,
            group: 2,
            undo_after: 11,
            sleep_after: 4,
            ..base
        },
        Circumstances {
            name: "one group",
            tracker: TrackerKind::Mprotect,
            group: STEPS as usize,
            ..base
        },
    ];
    let (heap, answers) = live(&base).expect("it runs");
    assert_eq!(answers.len(), STEPS as usize);
    let computed = |(_, outcome): &(u64, Outcome)| matches!(outcome, Outcome::Value(_));
    assert!(answers.iter().all(computed), "{:?}", answers.last());
    // 90 steps leave some 13 MiB of cycles: they were collected.
    assert!(heap.len() < 6 << 20, "{} bytes", heap.len());
    for how in &others {
        let Some((other, others_answers)) = live(how) else {
            continue;
        };
        assert!(answers == others_answers, "{}: other answers", how.name);
        assert_eq!(heap.len(), other.len(), "{}", how.name);
        let differ: Vec<usize> = (0..heap.len())
            .filter(|at| heap[*at] != other[*at])
            .collect();
        let first = differ.first();
        assert!(
            differ.is_empty(),
            "{}: {} bytes differ, the first at {first:?}",
            how.name,
            differ.len()
        );
    }
}

/// Of everything that makes the engine read a text or keep one, and nothing of the time.
const TIMELESS: &str = "import * as more from './more.js';\n\
    const kept = [more]; const map = new Map();\n\
    export default { async work(n) { map.set(n, String(n / 7));\n\
      kept.length = Math.min(kept.length, 9);\n\
      const c = new Compartment({ n }, { m: `export const x = ${n}; export default class {}`,\n\
        bad: 'export { from nowhere' }, { transforms: [(text) => text] });\n\
      kept.push(c.evaluate('n + 1'), (await c.import('m')).namespace, Function(`return ${n}`),\n\
     await c.import('bad').catch((e) => e.message), /(a|b)+/.exec('xabx'), 0 / 0, Math.sqrt(-n));\n\
      try { c.evaluate('({'); } catch (e) { kept.push(e.message); }\n\
      return [await (({ m: () => n }) ! m()), kept.length, `${new Date(n)}`]; } };";

/// A vat that was given the same at other times, elsewhere, in one process or several.
fn timeless(start_ms: i64, command: fn() -> Option<Command>, sleeps: bool) -> Option<Life> {
    let mut vat = TestVat::new();
    vat.time_ms = start_ms;
    vat.wake_by(command()?);
    let files = [
        ("main.js", TIMELESS),
        (
            "more.js",
            "export const late = () => 1; export default async function () {}",
        ),
    ];
    assert_eq!(vat.deploy(&files, &[]), kenvat_testing::worker::undefined());
    for step in 0..12 {
        vat.time_ms += 1 + start_ms % 977;
        let call = vat.call_message("work", &format!("[{step}]")).1;
        vat.run(vec![call]);
        if sleeps && step % 3 == 2 {
            vat.kill();
            vat.wake_by(command()?);
        }
    }
    vat.kill();
    let mut bytes = vec![0; vat.used_pages as usize * PAGE_BYTES];
    vat.image.read_exact_at(&mut bytes, 0).expect("the image");
    let mut replies: Vec<_> = vat.replies.drain().collect();
    replies.sort_by_key(|(request, _)| *request);
    Some((bytes, replies))
}

#[test]
fn vats_that_were_told_the_same_at_other_times_have_the_same_heap() {
    let (heap, answers) = timeless(TIME_MS, plain, false).expect("it runs");
    let computed = |(_, outcome): &(u64, Outcome)| matches!(outcome, Outcome::Value(_));
    assert!(answers.iter().all(computed), "{:?}", answers.last());
    for (start_ms, command, sleeps) in [
        (
            TIME_MS + 86_400_123,
            plain as fn() -> Option<Command>,
            false,
        ),
        (1, elsewhere, true),
        (TIME_MS * 2, fixed, true),
    ] {
        let Some((other, other_answers)) = timeless(start_ms, command, sleeps) else {
            continue;
        };
        assert!(answers == other_answers, "{start_ms}: other answers");
        assert_eq!(heap.len(), other.len(), "{start_ms}");
        let differ = (0..heap.len()).filter(|at| heap[*at] != other[*at]);
        assert_eq!(
            differ.collect::<Vec<_>>(),
            Vec::<usize>::new(),
            "{start_ms}"
        );
    }
}
