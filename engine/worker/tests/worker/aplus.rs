//! Promises/A+ inside a vat: the community's own test suite, through an adapter.
//!
//! The suite is nobody's file here: npm fetches it into a temporary folder, and a runner of a few
//! lines stands for the parts of node it uses. By hand, with `--ignored --nocapture`.

use std::fs;
use std::process::Command;

use kenvat_testing::worker::{TestVat, undefined};
use kenvat_wire::protocol::Outcome;

const SUITE: &str = "promises-aplus-tests@2.1.2";

/// What the suite wants of node and mocha. Cases run one after the other, each to its `done`.
const RUNNER: &str = r#"
export default ({ timer }) => {
  const cases = [];
  let before = [];
  let path = [];
  const describe = (name, body) => {
    const outer = before;
    before = [...before];
    path.push(name);
    body();
    path.pop();
    before = outer;
  };
  const specify = (name, body) => cases.push({ name: [...path, name].join(' / '), body, before });
  const beforeEach = (work) => before.push(work);
  const afterEach = () => {};
  const setTimeout = (work, ms) => { timer.wake(ms ?? 0).then(work); };
  const fail = (message) => { throw new Error(`assertion: ${message}`); };
  const assert = (truth, message) => { if (!truth) fail(message ?? 'not true'); };
  assert.strictEqual = (a, b, message) => assert(a === b, message ?? 'not the same');
  assert.notStrictEqual = (a, b, message) => assert(a !== b, message ?? 'the same');
  let clock = 0;
  const spy = (work) => {
    const f = function (...args) {
      f.calls.push(args); f.times.push(clock += 1);
      return f.answer === undefined ? work?.apply(this, args) : f.answer();
    };
    f.calls = []; f.times = [];
    f.returns = (value) => { f.answer = () => value; return f; };
    f.throws = (error) => { f.answer = () => { throw error ?? new Error('stub'); }; return f; };
    return f;
  };
  const fits = (wish, found) => (wish?.same !== undefined ? wish.same[0] : wish) === found;
  const sinon = {
    spy, stub: () => spy(), match: { same: (value) => ({ same: [value] }) },
    assert: {
      calledWith: (f, ...args) =>
        assert(f.calls.some((call) => args.every((wish, at) => fits(wish, call[at]))),
          'calledWith'),
      notCalled: (f) => assert(f.calls.length === 0, 'called'),
      callOrder: (...all) => all.reduce((last, f) => {
        const time = f.times.find((at) => at > last); assert(time !== undefined, 'order');
        return time;
      }, 0),
    },
  };
  const adapter = ADAPTER;
  const global = { adapter };
  const files = FILES;
  const loaded = {};
  const require = (name) => {
    if (name === 'assert') return assert;
    if (name === 'sinon') return sinon;
    const file = name.replace(/^.*\//, '');
    if (loaded[file] === undefined) {
      const exports = (loaded[file] = {});
      files[file](exports, require, global, describe, specify, beforeEach, afterEach, setTimeout);
    }
    return loaded[file];
  };
  for (const name of Object.keys(files)) if (/^\d/.test(name)) require(name);
  return {
    count: () => cases.length,
    async run(at) {
      const { name, body, before: prepare } = cases[at];
      try {
        for (const work of prepare) work();
        if (body.length === 0) body();
        else await new Promise((resolve, reject) => {
          timer.wake(2000).then(() => reject(new Error('never done')));
          body((error) => (error === undefined ? resolve() : reject(error)));
        });
        return '';
      } catch (error) { return `${name}: ${error.message}`; }
    },
  };
};
"#;

const ADAPTERS: [(&str, &str); 3] = [
    (
        "makePromiseKit",
        "{ deferred: () => makePromiseKit(), resolved: (x) => { const k = makePromiseKit();
           k.resolve(x); return k.promise; }, rejected: (x) => { const k = makePromiseKit();
           k.reject(x); return k.promise; } }",
    ),
    (
        "Q",
        "{ deferred: Q.defer, resolved: (x) => { const d = Q.defer(); d.resolve(x);
           return d.promise;
           }, rejected: Q.reject }",
    ),
    (
        "HandledPromise",
        "{ deferred: () => { const d = {}; d.promise = new HandledPromise((resolve, reject) => {
           d.resolve = resolve; d.reject = reject; }, {}); return d; },
           resolved: (x) => new HandledPromise((resolve) => resolve(x)),
           rejected: (x) => new HandledPromise((_, reject) => reject(x)) }",
    ),
];

/// The suite's files as one object of functions; `None` when npm is not at hand.
fn suite() -> Option<String> {
    let folder = tempfile::tempdir().expect("a folder of our own");
    let pack = Command::new("npm")
        .args(["pack", "--silent", SUITE])
        .current_dir(&folder)
        .status();
    if !pack.is_ok_and(|status| status.success()) {
        return None;
    }
    let archive = fs::read_dir(&folder).ok()?.next()?.ok()?.path();
    let mut tar = Command::new("tar");
    tar.arg("xzf").arg(archive).current_dir(&folder);
    assert!(tar.status().is_ok_and(|status| status.success()), "tar");
    let tests = folder.path().join("package/lib/tests");
    let mut files = String::from("{\n");
    for place in [tests.join("helpers"), tests] {
        let mut paths: Vec<_> = fs::read_dir(place)
            .expect("the suite has these folders")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.is_file())
            .collect();
        paths.sort();
        for path in paths {
            let name = path
                .file_stem()
                .and_then(|name| name.to_str())
                .expect("a name");
            let text = fs::read_to_string(&path).expect("text");
            // A vat has no clock; the suite wants any date.
            let text = text.replace("new Date()", "new Date(0)");
            files.push_str(&format!(
                "'{name}': (exports, require, global, describe, specify, beforeEach, afterEach, \
                 setTimeout) => {{\n{text}\n}},\n"
            ));
        }
    }
    Some(files + "}")
}

#[test]
#[ignore = "fetches a test suite with npm"]
fn promises_keep_the_rules_of_the_community() {
    let Some(files) = suite() else {
        eprintln!("skipped: npm is not at hand, or has no {SUITE}");
        return;
    };
    for (name, adapter) in ADAPTERS {
        let source = RUNNER.replace("FILES", &files).replace("ADAPTER", adapter);
        let mut vat = TestVat::new();
        assert_eq!(vat.deploy(&[("main.js", &source)], &[]), undefined());
        let count: u32 = vat.value("count", "[]").parse().expect("a count");
        let mut failed = Vec::new();
        for at in 0..count {
            let request = vat.send("run", &format!("[{at}]"));
            while !vat.replies.contains_key(&request) && vat.fire_next() {}
            match vat.replies.remove(&request) {
                Some(Outcome::Value(said)) if said == "\"\"" => {}
                other => failed.push(format!("{other:?}")),
            }
        }
        println!(
            "{name}: {} of {count} cases pass",
            count as usize - failed.len()
        );
        // The suite writes to prototypes that are frozen here, and has two cases for code that is
        // not strict, of which there is none: those cannot be asked.
        let (impossible, wrong): (Vec<_>, Vec<_>) = failed
            .into_iter()
            .partition(|why| why.contains("prototype` modified") || why.contains("sloppy mode"));
        println!("{name}: {} cases cannot be asked", impossible.len());
        assert_eq!(wrong, Vec::<String>::new(), "{name}");
        assert!(count >= 872, "{name}: {count} cases are too few");
    }
}
