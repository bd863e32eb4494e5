//! What is in a heap: every kind of live state through a hundred processes, no address that another
//! process could not have, and deltas as small as what changed.

use std::collections::BTreeMap;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use kenvat_engine::WORKER;
use kenvat_testing::worker::{PAGE_BYTES, TestVat, maps};
use kenvat_wire::protocol::{Outcome, ToWorker, TrackerKind};

/// Of every kind of state a program can have, one that lives across turns, stepped by each call.
const STATES: &str = r#"
class Account {
  #balance = 0n;
  static made = 0;
  constructor(owner) { this.owner = owner; Account.made += 1; }
  put(n) { this.#balance += BigInt(n); return this; }
  get balance() { return this.#balance; }
}
class Savings extends Account {
  rate = 0.5;
  interest() { return Number(this.balance) * this.rate; }
}

const key = Symbol('key');
const weak = new WeakMap();
const holder = { [key]: 0 };
weak.set(holder, { steps: 0 });
const accounts = new Map([['ann', new Savings('ann')], ['bob', new Account('bob')]]);
const seen = new Set();
const floats = new Float64Array(8);
const view = new DataView(new ArrayBuffer(16));
const log = [];
const proxied = new Proxy({ count: 0 }, {
  get: (target, name) => (name === 'twice' ? target.count * 2 : Reflect.get(target, name)),
  set: (target, name, value) => { target[name] = value; return true; },
});
function* counting() {
  let n = 0;
  for (;;) { try { n += (yield n) ?? 1; } finally { log.push(n % 10); } }
}
const generator = counting();
generator.next();
const bound = function (a, b) { return [this.tag, a, b].join(); }.bind({ tag: 'bound' }, 1);
const sticky = /\d/y;
const text = '12345678901234567890';
const date = new Date(Date.UTC(2024, 1, 29));
const getters = { get now() { return log.length; } };
const frozen = harden({ deep: [{ value: 1 }] });

let wake;
let gate = new Promise((resolve) => { wake = resolve; });
const suspended = (async () => {
  const got = [];
  for (;;) {
    got.push(await gate);
    gate = new Promise((resolve) => { wake = resolve; });
    if (got.length > 5) got.shift();
    holder.got = got.join();
  }
})();
async function* stream() { let n = 0; while (true) { yield n; n += 1; await null; } }
const items = stream();
let closure = () => 0;
const thrown = [];

export default {
  async step(n) {
    accounts.get('ann').put(n);
    accounts.get('bob').put(1);
    seen.add(n % 7);
    floats[n % 8] += Math.sin(n) + Math.sqrt(n) ** 1.5;
    view.setInt32(0, view.getInt32(0) + n);
    proxied.count += 1;
    holder[key] += 1;
    weak.get(holder).steps += n;
    generator.next(2);
    sticky.lastIndex = n % 10;
    if (!sticky.test(text)) throw new Error('sticky');
    date.setUTCDate(date.getUTCDate() + 1);
    const before = closure;
    closure = n % 20 === 0 ? () => n : () => before() + 1;
    try { null.x; } catch (error) { thrown[0] = error; }
    wake(n);
    if (log.length > 50) log.splice(0, 40);
    const item = await items.next();
    return item.value;
  },
  state: () => ({
    ann: accounts.get('ann').balance, interest: accounts.get('ann').interest(),
    bob: accounts.get('bob').balance, made: Account.made,
    seen: [...seen].sort(), floats: [...floats], int: view.getInt32(0), twice: proxied.twice,
    symbol: holder[key], steps: weak.get(holder).steps, got: holder.got,
    generated: generator.next(0).value, bound: bound(2), date: date.toISOString(),
    closure: closure(), getter: getters.now, frozen: frozen.deep[0].value,
    error: [thrown[0] instanceof TypeError, thrown[0].message],
    json: JSON.stringify({ a: [1, { b: null }] }), sorted: [3, 1, 2].toSorted(),
    label: `${String(key)} ${typeof suspended.then}`,
  }),
  async churn() {
    const big = [];
    for (let i = 0; i < 30000; i += 1) big.push({ i, s: 'x' + i, a: [i] });
    const tree = new Map(big.map((entry) => [entry.s, entry]));
    const wait = big.slice(0, 500).map(async (entry) => { await null; return entry.i; });
    const cycles = big.map((entry) => ({ entry }));
    cycles.forEach((c, i) => { c.next = cycles[i + 1] ?? cycles[0]; });
    const sum = (await Promise.all(wait)).reduce((a, b) => a + b);
    const buffer = new ArrayBuffer(3_000_000);
    new Uint8Array(buffer).fill(7);
    return [tree.size, sum, buffer.byteLength, 'ab'.repeat(100000).replace(/b/g, '').length];
  },
};
"#;

#[test]
fn every_kind_of_state_goes_on_through_a_hundred_processes() {
    // The same program in one process is the measure: nothing a restart does may show.
    let mut steady = TestVat::deployed(STATES);
    let mut killed = TestVat::deployed(STATES);
    let trackers = [
        TrackerKind::Userfaultfd,
        TrackerKind::PrivatePages,
        TrackerKind::Mprotect,
    ];
    for n in 0..100 {
        killed.kill();
        killed.tracker = Some(trackers[n % 3]);
        let args = format!("[{n}]");
        assert_eq!(killed.value("step", &args), n.to_string());
        assert_eq!(steady.value("step", &args), n.to_string());
        if n % 5 == 0 {
            assert_eq!(
                killed.value("state", "[]"),
                steady.value("state", "[]"),
                "restart {n}"
            );
        }
        if n % 40 == 20 {
            let churned = killed.value("churn", "[]");
            assert_eq!(churned, "[30000,124750,3000000,100000]");
            assert_eq!(churned, steady.value("churn", "[]"));
        }
    }
    // Invariant 8: same engine, heap and messages, same bytes.
    killed.kill();
    steady.kill();
    let pages = killed.used_pages.max(steady.used_pages) as usize;
    assert_eq!(killed.used_pages, steady.used_pages);
    let read = |vat: &TestVat| {
        let mut bytes = vec![0; pages * PAGE_BYTES];
        vat.image
            .read_exact_at(&mut bytes, 0)
            .expect("read the image");
        bytes
    };
    let differ = read(&killed)
        .iter()
        .zip(read(&steady))
        .filter(|(a, b)| **a != *b)
        .count();
    assert_eq!(differ, 0, "bytes that differ between the two heaps");
}

/// Address ranges of the worker's ELF program headers.
fn executable_ranges() -> Vec<Range<u64>> {
    let word = |at: usize| u64::from_le_bytes(WORKER[at..at + 8].try_into().unwrap());
    let half = |at: usize| usize::from(u16::from_le_bytes(WORKER[at..at + 2].try_into().unwrap()));
    let (table, size, count) = (word(32) as usize, half(54), half(56));
    let headers = (0..count).map(|n| table + n * size);
    let loaded = headers.filter(|at| WORKER[*at..*at + 4] == [1, 0, 0, 0]);
    // Whole pages are mapped, also what the file has around a segment: it is the same in every
    // process of this executable.
    let page = |address: u64| address & !(PAGE_BYTES as u64 - 1);
    loaded
        .map(|at| (word(at + 16), word(at + 16) + word(at + 40)))
        .map(|(start, end)| page(start)..page(end + PAGE_BYTES as u64 - 1))
        .collect()
}

fn mapped_ranges(maps: &str) -> Vec<(Range<u64>, String)> {
    let lines = maps.lines().map(|line| {
        let (range, rest) = line.split_once(' ').expect("a line of maps");
        let (start, end) = range.split_once('-').expect("a range");
        let hex = |text: &str| u64::from_str_radix(text, 16).expect("hexadecimal");
        (hex(start)..hex(end), rest.to_owned())
    });
    lines.collect()
}

/// Ranges of addresses and what lies there.
type Mappings = Vec<(Range<u64>, String)>;

/// A heap after heavy use, with the mappings of the process that used it where they can be seen.
fn used_heap() -> Option<(Vec<u8>, Mappings)> {
    let mut vat = TestVat::deployed(STATES);
    for n in 0..60 {
        vat.value("step", &format!("[{n}]"));
    }
    vat.value("churn", "[]");
    vat.value("state", "[]");
    vat.call("missing", "[]");
    let maps = mapped_ranges(&maps(vat.wake().child.id())?);
    let mut bytes = vec![0; vat.used_pages as usize * PAGE_BYTES];
    vat.image
        .read_exact_at(&mut bytes, 0)
        .expect("read the image");
    Some((bytes, maps))
}

/// Words of a heap by what they point to.
#[derive(Default)]
struct Scan {
    own: usize,
    code: usize,
    on_stack: usize,
    /// Offset of the word, and what it says.
    strangers: BTreeMap<usize, String>,
}

fn scan(bytes: &[u8], maps: &[(Range<u64>, String)], executable: &[Range<u64>]) -> Scan {
    let heap = 0x2000_0000_0000_u64..0x2000_0000_0000 + (64 << 30);
    let stack = heap.start - (16 << 20)..heap.start - (14 << 20);
    let mut scan = Scan::default();
    for (at, word) in bytes.chunks_exact(8).enumerate() {
        let word = u64::from_le_bytes(word.try_into().unwrap());
        if heap.contains(&word) {
            scan.own += 1;
        } else if stack.contains(&word) {
            scan.on_stack += 1;
        } else if executable.iter().any(|range| range.contains(&word)) {
            scan.code += 1;
        } else if let Some((_, what)) = maps.iter().find(|(range, _)| range.contains(&word)) {
            scan.strangers
                .insert(at * 8, format!("{word:#x} in {what}"));
        }
    }
    scan
}

#[test]
fn no_word_of_a_heap_points_where_another_process_has_something_else() {
    // The C heap of a static executable lies below 1 GiB, at a place drawn for each process, and
    // four bytes of text or of a hash look like an address there now and then. A pointer points
    // into its own process's mappings in every process: only such a word counts.
    let executable = executable_ranges();
    assert!(!executable.is_empty());
    let scans: Option<Vec<Scan>> = (0..4)
        .map(|_| {
            let (bytes, maps) = used_heap()?;
            Some(scan(&bytes, &maps, &executable))
        })
        .collect();
    let Some(scans) = scans else { return };
    let Scan {
        own,
        code,
        on_stack,
        strangers,
    } = &scans[0];
    eprintln!("{own} words into the heap, {code} into the executable, {on_stack} into the stack");
    assert!(*own > 10_000 && *code > 300, "the scan sees pointers");
    let everywhere = |at: &usize| scans.iter().all(|scan| scan.strangers.contains_key(at));
    let strangers: Vec<_> = strangers.iter().filter(|(at, _)| everywhere(at)).collect();
    assert!(strangers.is_empty(), "{strangers:#?}");
}

#[test]
fn the_scan_sees_an_address_that_does_not_belong() {
    let Some((mut bytes, maps)) = used_heap() else {
        return;
    };
    let elsewhere = maps
        .iter()
        .find(|(_, what)| what.ends_with("[stack]"))
        .expect("a stack");
    bytes[4096..4104].copy_from_slice(&(elsewhere.0.start + 64).to_le_bytes());
    let found = scan(&bytes, &maps, &executable_ranges());
    assert!(found.strangers.contains_key(&4096));
}

#[test]
fn a_small_change_is_a_small_delta() {
    let source = "const map = new Map(); for (let i = 0; i < 1000; i += 1) map.set('k' + i, i);\n\
        let n = 0;\n\
        export default { incr: () => (n += 1), set: (k, v) => { map.set(k, v); return v; },\n\
          sum: () => { let s = 0; for (const v of map.values()) s += v; return s; } };";
    let mut vat = TestVat::deployed(source);
    vat.kill();
    let mut worst = |method: &str, args: fn(u32) -> String| {
        let (mut bytes, mut pages) = (0, 0);
        for n in 0..60 {
            vat.value(method, &args(n));
            // The first calls make what later ones find: shapes, inline storage, arenas.
            if n >= 20 {
                bytes = bytes.max(vat.delta_bytes);
                pages = pages.max(vat.delta_pages.len());
            }
        }
        eprintln!("{method}: at most {bytes} bytes in {pages} pages");
        (bytes, pages)
    };
    let (bytes, pages) = worst("incr", |_| "[]".to_owned());
    assert!(
        bytes <= 96 && pages <= 4,
        "incr: {bytes} bytes, {pages} pages"
    );
    let (bytes, pages) = worst("set", |n| format!("[\"k{}\",{n}]", n * 7));
    assert!(
        bytes <= 200 && pages <= 8,
        "set: {bytes} bytes, {pages} pages"
    );
    let (bytes, pages) = worst("sum", |_| "[]".to_owned());
    assert!(
        bytes <= 200 && pages <= 6,
        "sum: {bytes} bytes, {pages} pages"
    );
}

/// The most pages that calls of one method write once all is warm, and pages that other methods
/// wrote at each call are watched again.
fn most_written(vat: &mut TestVat, method: &str) -> u64 {
    let mut most = 0;
    for n in 0..80 {
        vat.value(method, "[]");
        if n >= 70 {
            most = most.max(vat.wake().pages_written());
        }
    }
    most
}

#[test]
fn calling_several_methods_of_one_prototype_writes_one_page_for_them() {
    let source = "const map = new Map([[1, 1]]);\n\
        export default { none: () => map !== 1, one: () => map.has(2),\n\
          all: () => map.has(2) || map.get(2) || map.delete(2) };";
    let mut vat = TestVat::deployed(source);
    let [none, one, all] = ["none", "one", "all"].map(|method| most_written(&mut vat, method));
    assert!(none > 0, "pages are counted");
    // One for the map's methods, however many, and one where the function that calls them lies
    // apart. Methods made one by one at their first use lay on a page each.
    assert!(
        one <= none + 2 && all <= none + 2,
        "{none}, {one}, {all} pages"
    );
}

#[test]
fn what_every_turn_writes_of_the_runtime_and_the_context_is_one_page() {
    let vat = TestVat::new();
    let word = |at| {
        let mut word = [0; 8];
        vat.image.read_exact_at(&mut word, at).expect("the header");
        u64::from_le_bytes(word)
    };
    // See `js/header.rs`.
    let [runtime, context] = [16, 24].map(word);
    assert_ne!(runtime, context);
    let page = PAGE_BYTES as u64;
    assert_eq!(
        runtime / page,
        context / page,
        "{runtime:x} and {context:x}"
    );
}

#[test]
fn turns_of_one_group_are_one_delta_and_hand_overs_are_only_made_when_asked() {
    let mut vat = TestVat::deployed("let n = 0; export default { incr: () => (n += 1) };");
    let calls: Vec<_> = (0..100).map(|_| vat.call_message("incr", "[]")).collect();
    let last = calls[99].0;
    vat.run(calls.into_iter().map(|(_, message)| message).collect());
    assert_eq!(
        vat.replies.remove(&last),
        Some(Outcome::Value("100".into()))
    );
    assert!(vat.delta_bytes < 600, "{} bytes", vat.delta_bytes);
    // Without the wish nothing comes until it is asked for; asked with nothing new, nothing comes.
    let (_, message) = vat.call_message("incr", "[]");
    let turns = vec![vat.delivery(message)];
    let process = vat.wake();
    process.send(&ToWorker::HandOver);
    process.send(&ToWorker::Deliver {
        turns,
        hand_over: false,
    });
    process.send(&ToWorker::HandOver);
    process.send(&ToWorker::HandOver);
    assert!(vat.take_hand_over());
    assert_eq!(vat.value("incr", "[]"), "102");
}

#[test]
fn what_was_not_handed_over_is_gone_and_what_was_is_not() {
    let mut vat = TestVat::deployed("let n = 0; export default { incr: () => (n += 1) };");
    assert_eq!(vat.value("incr", "[]"), "1");
    for _ in 0..5 {
        let (_, message) = vat.call_message("incr", "[]");
        let turns = vec![vat.delivery(message)];
        vat.wake().send(&ToWorker::Deliver {
            turns,
            hand_over: false,
        });
    }
    vat.kill();
    vat.turn -= 5;
    assert_eq!(vat.value("incr", "[]"), "2");
}
