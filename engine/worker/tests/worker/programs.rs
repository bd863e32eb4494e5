//! What a program may look like, and what its author is told when it cannot run.

use kenvat_testing::worker::{TIME_MS, TestVat, thrown, undefined};
use kenvat_wire::protocol::{AbortedBy, FromWorker, Message, Outcome, Thrown, ToWorker};

fn deploy(files: &[(&str, &str)], give: &[(&str, &str)]) -> (TestVat, Outcome) {
    let mut vat = TestVat::new();
    let outcome = vat.deploy(files, give);
    (vat, outcome)
}

fn refused(files: &[(&str, &str)]) -> Thrown {
    thrown(deploy(files, &[]).1)
}

#[test]
fn every_shape_of_a_program_makes_a_root() {
    let shapes: &[(&str, &str)] = &[
        (
            "a start function",
            "export default (powers) => ({ m: (x) => [powers.k, x] });",
        ),
        (
            "an async one",
            "export default async (powers) => { await null; return { m: (x) => [powers.k, x] }; };",
        ),
        (
            "a named default",
            "export default function start(p) { return { m: (x) => [p.k, x] }; }",
        ),
        (
            "an object",
            "const k = 5; export default { m: (x) => [k, x] };",
        ),
        (
            "a promise of one",
            "export default Promise.resolve({ m: (x) => [5, x] });",
        ),
        (
            "named functions",
            "let k; export const init = (p) => { k = p.k; };\n\
                             export function m(x) { return [k, x]; }\nexport const K = 1;",
        ),
        (
            "an async init",
            "let k; export const init = async (p) => { await null; k = p.k; };\n\
                           export const m = (x) => [k, x];",
        ),
        (
            "top-level await",
            "const k = await Promise.resolve(5);\nexport const m = (x) => [k, x];",
        ),
        (
            "CommonJS",
            "let k;\nexports.init = (p) => { k = p.k };\nexports.m = (x) => [k, x];",
        ),
        (
            "CommonJS, replaced",
            "module.exports = (p) => ({ m: (x) => [p.k, x] });",
        ),
        (
            "CommonJS, an object",
            "module.exports = { m(x) { return [5, x]; } };",
        ),
        (
            "inherited methods",
            "class A { m(x) { return [this.k, x]; } }\n\
                               class B extends A { k = 5; }\nexport default () => new B();",
        ),
    ];
    for (name, source) in shapes {
        let (mut vat, outcome) = deploy(&[("main.js", source)], &[("k", "5")]);
        assert_eq!(outcome, undefined(), "{name}");
        assert_eq!(vat.value("m", "[6]"), "[5,6]", "{name}");
        vat.kill();
        assert_eq!(vat.value("m", r#"["é"]"#), r#"[5,"é"]"#, "{name}, resumed");
    }
}

#[test]
fn init_is_waited_for_and_runs_once() {
    let source = "export let count = 0;\n\
                  export const init = async () => { await 0; await 0; count += 1; };\n\
                  export const read = () => count;";
    let (mut vat, outcome) = deploy(&[("main.js", source)], &[]);
    assert_eq!(outcome, undefined());
    assert_eq!(vat.value("read", "[]"), "1");
    vat.kill();
    assert_eq!(vat.value("read", "[]"), "1");
    assert_eq!(
        vat.thrown("init", "[]").name,
        "NoSuchMethod",
        "init is nobody's method"
    );
}

#[test]
fn modules_import_each_other_by_relative_paths() {
    let files = [
        (
            "main.js",
            "import { twice } from './lib/math.js';\nexport const m = (x) => twice(x);",
        ),
        (
            "lib/math.js",
            "import { two } from '../two.js';\nexport const twice = (x) => x * two;",
        ),
        ("two.js", "export const two = 2;"),
    ];
    let (mut vat, outcome) = deploy(&files, &[]);
    assert_eq!(outcome, undefined());
    assert_eq!(vat.value("m", "[21]"), "42");
}

#[test]
fn a_dynamic_import_works_while_deploying_and_is_rejected_after() {
    let files = [
        (
            "main.js",
            "const { two } = await import('./two.js');\n\
             export const m = () => two;\nexport const later = () => import('./two.js');",
        ),
        ("two.js", "export const two = 2;"),
    ];
    let (mut vat, outcome) = deploy(&files, &[]);
    assert_eq!(outcome, undefined());
    assert_eq!(vat.value("m", "[]"), "2");
    let error = vat.thrown("later", "[]");
    assert_eq!(error.name, "TypeError");
    assert!(
        error.message.contains("while a vat is deployed"),
        "{error:?}"
    );
}

#[test]
fn a_syntax_error_shows_its_place_and_the_line() {
    let source = "export default () => {\n  let n = 0;\n\treturn { incr: () => n +* 2 };\n};\n";
    let error = refused(&[("main.js", source)]);
    assert_eq!(error.name, "SyntaxError");
    assert!(error.message.starts_with("main.js:3:26: "), "{error:?}");
    let expected = "    at main.js:3:26\n  3 | \treturn { incr: () => n +* 2 };\n    | \t";
    assert!(error.stack.starts_with(expected), "{error:?}");
    assert!(
        error.stack.ends_with("    ^") && !error.stack.ends_with('\n'),
        "{error:?}"
    );
}

#[test]
fn a_syntax_error_in_an_imported_or_commonjs_file_is_shown_there() {
    let files = [
        ("main.js", "import './b.js';"),
        ("b.js", "let a = 1;\nlet b = ;\n"),
    ];
    let error = refused(&files);
    assert!(error.message.starts_with("b.js:2:9: "), "{error:?}");
    assert!(error.stack.contains("2 | let b = ;"), "{error:?}");
    let error = refused(&[("main.js", "exports.a = 1;\nexports.b = (;\n")]);
    assert!(error.message.starts_with("main.js:2:14: "), "{error:?}");
}

#[test]
fn an_exception_in_the_start_function_shows_the_authors_stack() {
    let source = "const inner = () => {\n  throw new RangeError('no luck');\n};\n\
                  export default (powers) => {\n  inner();\n};\n";
    let error = refused(&[("main.js", source)]);
    assert_eq!(
        (error.name.as_str(), error.message.as_str()),
        ("RangeError", "no luck")
    );
    assert!(error.stack.contains("at inner (main.js:2:"), "{error:?}");
    assert!(error.stack.contains("(main.js:5:"), "{error:?}");
    assert!(
        !error.stack.contains("kenvat:") && error.stack.lines().count() == 2,
        "{error:?}"
    );
    let error = refused(&[("main.js", "exports.a = 1;\nnull.x;\n")]);
    assert!(
        error.stack.contains("main.js:2:"),
        "lines of CommonJS are the author's: {error:?}"
    );
    let (vat, outcome) = deploy(&[("main.js", source)], &[]);
    assert_eq!(thrown(outcome).message, "no luck");
    assert!(
        vat.log.is_empty(),
        "an answered exception is not logged too: {:?}",
        vat.log
    );
    let late = "export default async () => {\n  await null;\n  throw new Error('late');\n};";
    assert!(refused(&[("main.js", late)]).stack.contains("main.js:3:"));
}

#[test]
fn what_cannot_be_imported_is_refused_with_what_to_do() {
    let importing = |name: &str| {
        let source = format!("// first line\nimport x from '{name}';\nexport default {{}};");
        refused(&[("main.js", &source)])
    };
    for (name, advice) in [
        ("left-pad", "bundle"),
        ("node:fs", "powers"),
        ("./types.ts", "TypeScript"),
        ("./data.json", "JSON cannot be imported"),
        (
            "./missing.js",
            "cannot find './missing.js' (imported by main.js:2)",
        ),
        ("../outside.js", "outside"),
    ] {
        let error = importing(name);
        assert_eq!(error.name, "TypeError");
        assert!(error.message.contains(advice), "{name}: {error:?}");
        assert!(error.message.contains("main.js:2"), "{name}: {error:?}");
    }
    assert!(refused(&[("main.ts", "")]).message.contains("TypeScript"));
    let required = refused(&[("main.js", "const x = require('fs');\nexports.m = () => x;")]);
    assert!(
        required.message.contains("cannot require 'fs'"),
        "{required:?}"
    );
}

#[test]
fn a_program_that_makes_no_root_is_told_why() {
    assert!(
        refused(&[("main.js", "1 + 1;")])
            .message
            .contains("exports nothing to call")
    );
    assert!(
        refused(&[("main.js", "export default () => 5;")])
            .message
            .contains("gave 5")
    );
    assert!(
        refused(&[("main.js", "export default () => {};")])
            .message
            .contains("gave nothing")
    );
    assert!(
        refused(&[("main.js", "export default 'x';")])
            .message
            .contains("must be an object")
    );
    let bad_give = deploy(&[("main.js", "export default {}")], &[("k", "{")]).1;
    assert!(thrown(bad_give).message.contains("powers.k"));
}

#[test]
fn a_missing_method_names_the_nearest_that_exist() {
    let source = "class Base { deposit() {} withdraw() {} }\n\
                  class Derived extends Base { balance() {} data = 1; \
                  get trap() { throw new Error('a getter ran'); } }\n\
                  export default () => new Derived();";
    let mut vat = TestVat::deployed(source);
    let error = vat.thrown("balanse", "[]");
    assert_eq!(error.name, "NoSuchMethod");
    assert_eq!(error.nearest, ["balance", "deposit", "withdraw"]);
    for method in [
        "toString",
        "constructor",
        "hasOwnProperty",
        "data",
        "trap",
        "__proto__",
        "",
    ] {
        let found = vat.call(method, "[]");
        let name = match found {
            Outcome::Thrown(thrown) => thrown.name,
            Outcome::Value(value) => panic!("{method} gave {value}"),
        };
        assert_eq!(name, "NoSuchMethod", "{method}");
    }
}

/// What calls of these methods from outside are answered with, or the names a refusal lists.
fn called(source: &str, methods: &[&str]) -> Vec<String> {
    let mut vat = TestVat::deployed(source);
    let answer = |method: &&str| match vat.call(method, r#"["eve"]"#) {
        Outcome::Value(value) => value,
        Outcome::Thrown(thrown) => format!("{} {:?}", thrown.name, thrown.nearest),
    };
    methods.iter().map(answer).collect()
}

#[test]
fn a_method_is_what_the_author_wrote_from_outside() {
    // As code from before 2015 makes classes: the constructor can be called, and is no method.
    let before_2015 = "let owner = null; function Wallet(who) { owner = who; }\n\
         Wallet.prototype.read = () => owner;\n\
         Wallet.prototype.viaE = async () => { const w = new Wallet('bob');\n\
           for (const attempt of [() => E(w).constructor('eve'), () => w ! constructor('eve'),\n\
             () => Q(w).send('constructor', 'eve'), () => E(E.get(w).constructor)('eve'),\n\
             () => E(Promise.resolve(w)).constructor('eve')])\n\
             await attempt().catch(() => {});\n\
           return owner; };\n\
         export default () => new Wallet('ann');";
    assert_eq!(
        called(before_2015, &["constructor", "read", "viaE"]),
        [r#"NoSuchMethod ["read", "viaE"]"#, r#""ann""#, r#""bob""#]
    );
    // What a class inherits from the realm is nobody's to call; what it overrides is its own.
    for (parent, inherited) in [
        ("Map", "set"),
        ("Set", "add"),
        ("Array", "push"),
        ("Uint8Array", "fill"),
        ("Date", "setTime"),
        ("Error", "toString"),
        ("Object", "hasOwnProperty"),
        ("Function", "bind"),
        ("(function () {}).constructor", "call"),
        ("Iterator", "map"),
        ("Compartment", "evaluate"),
        ("Flow", "makeVow"),
    ] {
        let source = format!(
            "class Middle extends ({parent}) {{ middle() {{ return 1; }} }}\n\
             class Store extends Middle {{ own() {{ return 2; }} }}\n\
             const store = Reflect.construct(Object, [], Store);\n\
             const tell = (p) => p.then(() => 'ran', (e) => e.message);\n\
             export default () => ({{ out: () => tell(E(store).{inherited}('x')),\n\
               own: () => tell(E(store).own()), middle: () => tell(store ! middle()),\n\
               bang: () => tell(store ! {inherited}('x')) }});"
        );
        let refused = format!(r#""the target has no method `{inherited}`; it has own, middle""#);
        let ran = r#""ran""#.to_owned();
        assert_eq!(
            called(&source, &["out", "bang", "own", "middle"]),
            [refused.clone(), refused, ran.clone(), ran],
            "{parent}"
        );
    }
    let of_map = "class Store extends Map { put(v) { this.set('v', v); return this.get('v'); }\n\
                  get(k) { return super.get(k) ?? 'none'; } }\n\
                  export default () => new Store();";
    assert_eq!(
        called(of_map, &["set", "put", "get", "size", "clear", "forEach"]),
        [
            r#"NoSuchMethod ["get", "put"]"#,
            r#""eve""#,
            r#""none""#,
            r#"NoSuchMethod ["get", "put"]"#,
            r#"NoSuchMethod ["get", "put"]"#,
            r#"NoSuchMethod ["get", "put"]"#,
        ]
    );
}

#[test]
fn a_hint_lists_what_can_be_called_and_nothing_else() {
    // Hidden by a nearer property that is no method; inherited from the realm; an accessor.
    let source = "class A { hidden() {} seen() {} }\n\
                  class B extends A { hidden = 1; get trap() { return () => 1; } static s() {} }\n\
                  B.prototype.constructor = function odd() {};\n\
                  export default () => new B();";
    assert_eq!(
        called(source, &["x", "hidden", "trap", "s"]),
        [r#"NoSuchMethod ["seen"]"#; 4]
    );
}

#[test]
fn data_keeps_the_realms_methods_within_the_vat() {
    let source = "export default () => ({ async run() { const m = new Map([[1, 2]]);\n\
        return [await E(m).get(1), await (m ! has(1)), await Q(m).send('has', 9),\n\
          await E([3, 1, 2]).toSorted(), await E('text').toUpperCase(),\n\
          await E({ a: 1 }).hasOwnProperty('a'), await E(5).toFixed(1),\n\
          await E(new Uint8Array([7])).at(0), await E(/x/).test('x'),\n\
          await E([1]).constructor(9).catch((e) => e.constructor.name),\n\
          await E((a) => a).call(1, 2).catch((e) => e.constructor.name),\n\
          await E({ m() {} }).hasOwnProperty('m').catch((e) => e.constructor.name),\n\
          await E(Far('f', {})).toString().catch((e) => e.constructor.name),\n\
          await E.get({ m() {} }).toString, await E.get({ m() {} }).constructor]; } });";
    let told = concat!(
        r#"[2,true,false,[1,2,3],"TEXT",true,"5.0",7,true,"TypeError","TypeError","TypeError","#,
        r#""TypeError",{"$undefined":true},{"$undefined":true}]"#
    );
    assert_eq!(called(source, &["run"]), [told]);
}

#[test]
fn a_proxy_answers_for_itself_and_gives_nothing_of_the_realm() {
    let source = "class Store extends Array { m() { return 'm'; } }\n\
        const tell = (p) => p.then((v) => `${v}`, (e) => e.constructor.name);\n\
        export default () => ({ async run() { const p = new Proxy(new Store(), {});\n\
          const lent = new Proxy({}, { get: (t, key) =>\n\
            (key === 'then' ? undefined : () => `lent ${key}`) });\n\
          return [await tell(E(p).m()), await tell(E(p).push(1)), p.length,\n\
            await tell(E(lent).any()), await tell(E(lent).constructor())]; } });";
    assert_eq!(
        called(source, &["run"]),
        [r#"["m","TypeError",0,"lent any","TypeError"]"#]
    );
}

#[test]
fn a_root_with_a_then_is_refused_by_name() {
    for source in [
        "export default () => ({ ping: () => 1, then(resolve) { resolve({ other() {} }); } });",
        "export default { then(resolve) { for (;;); } };",
        "export function then(resolve) { resolve({}); } export function ping() {}",
        "exports.then = (resolve) => resolve({}); exports.ping = () => 1;",
        "class A { then() {} } export default () => new (class extends A {})();",
        "export default () => ({ get then() { throw new Error('it ran'); } });",
        "export default () => new Proxy({}, { get: (t, key) => (key === 'then' ? () => {} : 1) });",
    ] {
        let message = refused(&[("main.js", source)]).message;
        assert!(message.contains("method `then`"), "{source}: {message}");
    }
    // Promises of all kinds are waited for, and a `then` that is data is nothing to call.
    for source in [
        "export default async () => ({ ping: () => 1 });",
        "export default () => Q({ ping: () => 1 });",
        "export default () => Vow.resolve({ ping: () => 1 });",
        "export default () => ({ then: 1, ping: () => 1 });",
    ] {
        assert_eq!(
            TestVat::deployed(source).value("ping", "[]"),
            "1",
            "{source}"
        );
    }
}

#[test]
fn a_start_that_waits_is_handed_over_when_it_settles() {
    let source = "let go; const gate = new Promise((resolve) => { go = resolve; });\n\
                  export default async (powers) => {\n\
                  console.log('begins'); await powers.timer.wake(5); await powers.timer.wake(7);\n\
                  return { open() { go(); return 1; }, wait: () => gate.then(() => 'through') };\n\
                  };";
    let mut vat = TestVat::new();
    let deployment = vat.deploy_message(&[("main.js", source)]);
    // No host delivers a call before the start has settled; a worker that is sent one says so.
    let (early, call) = vat.call_message("open", "[]");
    assert_eq!(vat.starting(vec![deployment, call]), Some((1, TIME_MS + 5)));
    vat.time_ms += 6;
    let second = vat.starting(vec![Message::Timer { timer: 1 }]);
    assert_eq!(second, Some((2, TIME_MS + 13)));
    // Asked again it says the same again.
    vat.process.as_mut().unwrap().send(&ToWorker::HandOver);
    assert_eq!(vat.take_starting(), second);
    vat.time_ms += 7;
    vat.run(vec![Message::Timer { timer: 2 }]);
    assert_eq!(vat.replies.remove(&1), Some(undefined()));
    let early = vat.replies.remove(&early).expect("answered");
    assert_eq!(thrown(early).name, "NotStarted");
    assert!(vat.timers.is_empty(), "both have fired");
    assert_eq!(vat.log.len(), 1);
    vat.kill();
    let waiting = vat.send("wait", "[]");
    vat.kill();
    assert_eq!(vat.value("open", "[]"), "1");
    assert_eq!(
        vat.replies.remove(&waiting),
        Some(Outcome::Value("\"through\"".into()))
    );
}

#[test]
fn a_start_that_nothing_is_left_to_settle_names_no_timer() {
    for source in [
        "export default new Promise(() => {});",
        "await new Promise(() => {});\nexport default {};",
        "export const init = async ({ timer }) => {\n\
         const it = timer.wake(5); timer.cancel(it); await it.catch(() => new Promise(() => {}));\n\
         };\nexport const m = () => {};",
    ] {
        let mut vat = TestVat::new();
        let deployment = vat.deploy_message(&[("main.js", source)]);
        assert_eq!(vat.starting(vec![deployment]), None, "{source}");
    }
}

#[test]
fn a_start_that_logs_without_end_is_undone() {
    let source = "export default async ({ timer }) => {\n\
                  const line = 'x'.repeat(60_000);\n\
                  for (;;) { await timer.wake(1);\n\
                  for (let i = 0; i < 100; i += 1) console.log(line); } };";
    let mut vat = TestVat::new();
    let deployment = vat.deploy_message(&[("main.js", source)]);
    let mut next = vat.starting(vec![deployment]);
    for turn in 2.. {
        let (timer, due_ms) = next.expect("it waits");
        vat.time_ms = due_ms;
        let timer = vat.delivery(Message::Timer { timer });
        let process = vat.process.as_mut().unwrap();
        process.send(&ToWorker::Deliver {
            turns: vec![timer],
            hand_over: true,
        });
        match process.receive() {
            Some(FromWorker::Starting { next: due, .. }) => {
                next = due.map(|due| (due.timer, due.due_ms));
            }
            Some(FromWorker::Aborted { by, why, .. }) => {
                assert_eq!(by, AbortedBy::Sent, "{why}");
                assert!((3..6).contains(&turn), "{turn} turns");
                return;
            }
            _ => panic!("neither waits nor ends"),
        }
    }
}

#[test]
fn console_lines_carry_their_turn_and_level_and_show_values_readably() {
    let source = "export default { say() {\n\
        console.log('a', 1, -0, 10n, null, undefined, true, Symbol('s'));\n\
        console.warn({ a: [1, 'x', { b: new Map([['k', new Set([1])]]) }], 'b-c': () => {} });\n\
        const loop = {}; loop.self = loop; console.info(loop, [loop]);\n\
        console.error(new TypeError('bad'), new Date(0), /x/g, new Uint8Array([1, 2]));\n\
        class P { x = 1; get y() { throw 1; } } console.debug(new P(), Far('f', {}));\n\
        console.log({ __proto__: null, get trap() { throw new Error('ran'); } });\n\
    } };";
    let mut vat = TestVat::deployed(source);
    vat.call("say", "[]");
    let lines: Vec<(u64, &str, &str)> = vat
        .log
        .iter()
        .map(|l| (l.turn, l.level.as_str(), l.text.as_str()))
        .collect();
    assert_eq!(
        lines[0],
        (2, "log", "a 1 -0 10n null undefined true Symbol(s)")
    );
    let map =
        "{ a: [ 1, \"x\", { b: Map(1) { \"k\" => Set(1) { 1 } } } ], \"b-c\": [Function: b-c] }";
    assert_eq!(lines[1], (2, "warn", map));
    assert_eq!(
        lines[2],
        (2, "info", "{ self: [circular] } [ { self: [circular] } ]")
    );
    assert!(
        lines[3]
            .2
            .starts_with("TypeError: bad\n    at say (main.js:5:"),
        "{:?}",
        lines[3]
    );
    assert!(
        lines[3]
            .2
            .ends_with("1970-01-01T00:00:00.000Z /x/g Uint8Array(2) [ 1, 2 ]")
    );
    assert_eq!(lines[4], (2, "debug", "[P] { x: 1 } [Alleged: f] {}"));
    assert_eq!(lines[5], (2, "log", "{ trap: [accessor] }"));
}

#[test]
fn rejections_nobody_handles_and_errors_in_jobs_are_logged_once() {
    let source = "export default {\n\
        lose() { Promise.reject(new Error('lost')); Promise.reject(1).catch(() => {}); },\n\
        job() { queueMicrotask(() => { throw new RangeError('in a job'); }); },\n\
        answered() { return Promise.reject(new Error('mine')); } };";
    let mut vat = TestVat::deployed(source);
    vat.call("lose", "[]");
    assert_eq!(vat.log.len(), 1);
    assert!(
        vat.log[0]
            .text
            .starts_with("unhandled rejection: Error: lost\n"),
        "{:?}",
        vat.log
    );
    vat.call("job", "[]");
    assert!(
        vat.log[1].text.contains("RangeError: in a job"),
        "{:?}",
        vat.log
    );
    assert_eq!(vat.thrown("answered", "[]").message, "mine");
    assert_eq!(
        vat.log.len(),
        2,
        "an answered rejection is handled: {:?}",
        vat.log
    );
}

#[test]
fn thrown_values_of_every_kind_are_shown() {
    let source = "export default {\n\
        text() { throw 'plain'; }, nothing() { throw undefined; },\n\
        object() { throw { code: 7 }; }, named() { throw { name: 'Mine', message: 'm' }; },\n\
        hostile() { throw { get message() { throw 1; }, get name() { return {}; } }; },\n\
        async later() { await null; null.x; } };";
    let mut vat = TestVat::deployed(source);
    let mut told = |method: &str| {
        let thrown = vat.thrown(method, "[]");
        (thrown.name, thrown.message)
    };
    let pair = |name: &str, message: &str| (name.to_owned(), message.to_owned());
    assert_eq!(told("text"), pair("Error", "plain"));
    assert_eq!(told("nothing"), pair("Error", "undefined"));
    assert_eq!(told("object"), pair("Error", "{ code: 7 }"));
    assert_eq!(told("named"), pair("Mine", "m"));
    assert_eq!(told("hostile").0, "Error");
    assert_eq!(told("later").0, "TypeError");
    assert!(vat.thrown("later", "[]").stack.contains("main.js:5:"));
}

#[test]
fn harden_far_and_nat_do_what_they_say() {
    let source = "const outcome = (work) => {\n\
        try { work(); return 'fine'; } catch (e) { return e.name; } };\n\
        export default {\n\
        harden() { const inner = { a: [1] }; let ran = false; const x = harden({ inner, \
            get g() { ran = true; return 1; }, f() {} });\n\
          return [Object.isFrozen(x), Object.isFrozen(inner.a), Object.isFrozen(x.f), ran, \
            Object.isFrozen(Object.prototype), def === harden || def(x) === x]; },\n\
        state() { class C { #n = 0; up() { return ++this.#n; } } const c = harden(new C()); \
          c.up(); return [c.up(), Object.isFrozen(C.prototype)]; },\n\
        far() { const f = Far('tag', { m: () => 1 }); return [String(f), Object.isFrozen(f), \
          outcome(() => Far('again', f)), outcome(() => Far(1, {})), \
          outcome(() => Far('x', 1))]; },\n\
        nat() { return [Nat(0), Nat(5), String(Nat(7n)), ...[-1, 1.5, NaN, 2 ** 53, '1', -1n].map(\
          (n) => outcome(() => Nat(n)))]; },\n\
        patched() { return [outcome(() => { Array.prototype.push = 1; }), \
          outcome(() => { Object.freeze = 1; })]; } };";
    let mut vat = TestVat::deployed(source);
    assert_eq!(
        vat.value("harden", "[]"),
        "[true,true,true,false,true,true]"
    );
    assert_eq!(vat.value("state", "[]"), "[2,true]");
    let far = r#"["[object Alleged: tag]",true,"TypeError","TypeError","TypeError"]"#;
    assert_eq!(vat.value("far", "[]"), far);
    let range = r#""RangeError","RangeError","RangeError","RangeError","RangeError","RangeError""#;
    assert_eq!(vat.value("nat", "[]"), format!("[0,5,\"7\",{range}]"));
    assert_eq!(vat.value("patched", "[]"), r#"["TypeError","TypeError"]"#);
}

#[test]
fn local_time_is_utc() {
    let source = "export default { now: () => [new Date(0).toString(), \
                  new Date(2024, 1, 29, 12).getTimezoneOffset(), new Date(5 * 36e5).getHours()] };";
    let mut vat = TestVat::deployed(source);
    let zone = r#"["Thu Jan 01 1970 00:00:00 GMT+0000"#;
    let now = vat.value("now", "[]");
    assert!(now.starts_with(zone) && now.ends_with(",0,5]"), "{now}");
}
