//! The realm and its compartments: what a program finds, cannot change, and is told.

use kenvat_testing::worker::TestVat;

/// A vat whose `run` evaluates a script in a fresh compartment, and `both` one in each of two.
const RUNNER: &str = "const shown = (work) => { try { return String(work()); } \
    catch (e) { return `${e.name}: ${e.message}`; } };\n\
    export default { run: (text) => shown(() => new Compartment().evaluate(text)), \
    both: (first, second) => [first, second].map((text) => \
      shown(() => new Compartment().evaluate(text))) };";

/// What the last statement of a script gives, in a compartment of its own.
fn run(vat: &mut TestVat, script: &str) -> String {
    let args = serde_json::to_string(&[script]).expect("strings are JSON");
    let value = vat.value("run", &args);
    serde_json::from_str(&value).expect("a string")
}

fn table(cases: &[(&str, &str)]) {
    let mut vat = TestVat::deployed(RUNNER);
    for (script, expected) in cases {
        assert_eq!(run(&mut vat, script), *expected, "{script}");
    }
}

#[test]
fn a_compartment_finds_names_on_its_own_global_and_nowhere_else() {
    table(&[
        ("typeof nowhere", "undefined"),
        ("nowhere", "ReferenceError: nowhere is not defined"),
        ("nowhere = 1", "ReferenceError: nowhere is not defined"),
        ("globalThis.here = 1; here", "1"),
        ("globalThis.here = 1; here = 2; globalThis.here", "2"),
        ("typeof kenvat$globals", "undefined"),
        // A constant of the scope's that is never made: `typeof` of one throws, too.
        (
            "typeof arguments",
            "ReferenceError: arguments is not initialized",
        ),
        ("delete globalThis.Map; typeof Map", "undefined"),
        (
            "typeof console + typeof queueMicrotask + typeof powers",
            "undefinedundefinedundefined",
        ),
        ("this === globalThis", "true"),
        ("(function () { return this; })()", "undefined"),
        (
            "globalThis.own = function () { return this; }; own()",
            "undefined",
        ),
        (
            "var a = 1; function b() {} [typeof globalThis.a, typeof globalThis.b]",
            "undefined,undefined",
        ),
        ("let a = 1; eval('typeof a')", "undefined"),
        ("eval('var c = 1'); typeof c", "undefined"),
        ("with ({}) {}", "SyntaxError: invalid keyword: with"),
    ]);
}

#[test]
fn a_compartment_has_its_own_eval_function_and_compartment() {
    table(&[
        ("eval('1 + 1')", "2"),
        ("(0, eval)('1 + 1')", "2"),
        ("eval(5)", "5"),
        ("globalThis.x = 3; eval('x')", "3"),
        ("globalThis.x = 3; (0, eval)('x')", "3"),
        ("new Function('a', 'b', 'return a + b')(1, 2)", "3"),
        ("Function('return this')()", "undefined"),
        ("globalThis.x = 3; Function('return x')()", "3"),
        ("(() => {}) instanceof Function", "true"),
        (
            "Function.prototype === Object.getPrototypeOf(() => {})",
            "true",
        ),
        ("new Compartment({ x: 5 }).evaluate('x')", "5"),
        (
            "globalThis.x = 5; new Compartment().evaluate('typeof x')",
            "undefined",
        ),
        ("new Compartment() instanceof Compartment", "true"),
        (
            "const c = new Compartment(); c.globalThis === c.evaluate('globalThis')",
            "true",
        ),
        (
            "const c = new Compartment(); c.evaluate('eval') === eval",
            "false",
        ),
        (
            "const c = new Compartment(); c.evaluate('Map') === Map",
            "true",
        ),
        (
            "Function('/*', '*/){')",
            "SyntaxError: unexpected token in expression: '*'",
        ),
    ]);
}

#[test]
fn a_compartment_is_made_by_positions_or_by_options() {
    table(&[
        (
            "new Compartment({ a: 1 }, undefined, { name: 'n' }).name",
            "n",
        ),
        (
            "new Compartment({ __options__: true, globals: { a: 1 }, name: 'n' }).evaluate('a')",
            "1",
        ),
        ("new Compartment({ globals: { a: 2 } }).evaluate('a')", "2"),
        ("new Compartment({ globals: 7 }).evaluate('globals')", "7"),
        (
            "new Compartment({ __options__: 1 })",
            "TypeError: Compartment: __options__ must be true where it is given",
        ),
        (
            "new Compartment(5)",
            "TypeError: Compartment: the globals must be an object, not number",
        ),
        (
            "Compartment()",
            "TypeError: Compartment: write 'new Compartment(...)'",
        ),
        (
            "new Compartment().evaluate(5)",
            "TypeError: Compartment: evaluate takes a string, not number",
        ),
        ("`${new Compartment()}`", "[object Compartment]"),
        ("lockdown({ errorTaming: 'unsafe' })", "undefined"),
        ("SES.confine('a + b', { a: 1, b: 2 })", "3"),
        ("SES.confineExpr('{ a: 1 }').a", "1"),
        ("cajaVM.confine('a', { a: 1 }) + cajaVM.Nat(1)", "2"),
        ("cajaVM.def === harden && def === harden", "true"),
    ]);
}

#[test]
fn time_chance_and_stacks_are_not_for_the_asking() {
    table(&[
        (
            "Date.now()",
            "TypeError: Date.now: a vat has no clock of its own; use powers.clock",
        ),
        (
            "new Date()",
            "TypeError: new Date() without a time: a vat has no clock of its own; use \
             powers.clock, and new Date(time)",
        ),
        (
            "Date()",
            "TypeError: Date(): a vat has no clock of its own; use powers.clock",
        ),
        (
            "new Date(0).constructor === Date && Date.UTC(1970, 0) === 0",
            "true",
        ),
        ("class D extends Date {} new D(5).getTime()", "5"),
        (
            "Math.random()",
            "TypeError: Math.random: a vat has no chance of its own; use powers.random",
        ),
        ("new Error('x').stack === ''", "true"),
        ("try { null.x } catch (e) { e.stack }", ""),
        (
            "[typeof Error.captureStackTrace, typeof Error.prepareStackTrace, typeof \
             Error.stackTraceLimit]",
            "undefined,undefined,undefined",
        ),
        (
            "[typeof SharedArrayBuffer, typeof Atomics, typeof performance, typeof WeakRef, \
             typeof FinalizationRegistry]",
            "undefined,undefined,undefined,undefined,undefined",
        ),
        ("(() => {}).fileName", "undefined"),
    ]);
}

#[test]
fn primordials_are_frozen_and_heirs_can_still_override() {
    table(&[
        (
            "Array.prototype.x = 1",
            "TypeError: object is not extensible",
        ),
        (
            "Object.prototype.toString = 1",
            "TypeError: toString of a primordial is read-only",
        ),
        ("const o = {}; o.toString = () => 'mine'; `${o}`", "mine"),
        (
            "function F() {} F.prototype.constructor = 1; F.prototype.constructor",
            "1",
        ),
        (
            "const e = new Error('m'); e.message = 'n'; e.name = 'N'; `${e}`",
            "N: n",
        ),
        ("const e = new TypeError('m'); e.stack = 's'; e.stack", "s"),
        ("const a = []; a.concat = 5; a.concat", "5"),
        (
            "[Map().size, WeakMap() instanceof WeakMap, new Map([[1, 2]]).get(1)]",
            "0,true,2",
        ),
        (
            "class M extends Map { f() { return this.get(1); } } new M([[1, 3]]).f()",
            "3",
        ),
        ("Map.groupBy([1, 2], (x) => x % 2).get(1)", "1"),
    ]);
}

#[test]
fn utilities_do_what_they_say() {
    table(&[
        (
            "new TextEncoder().encode('aé€😀\\ud800').join()",
            "97,195,169,226,130,172,240,159,152,128,239,191,189",
        ),
        (
            "new TextDecoder().decode(new Uint8Array([239, 187, 191, 97, 255, 98]))",
            "a\u{fffd}b",
        ),
        (
            "new TextDecoder('utf-8', { fatal: true }).decode(new Uint8Array([255]))",
            "TypeError: TextDecoder: the bytes are not UTF-8",
        ),
        (
            "const d = new TextDecoder(); [[226], [130], [172]].map((b) => d.decode(new \
             Uint8Array(b), { stream: true })).join('')",
            "€",
        ),
        (
            "const d = new TextDecoder(); d.decode(new Uint8Array([226]), { stream: true }) + \
             d.decode()",
            "\u{fffd}",
        ),
        (
            "const b = new Uint8Array(4); const r = new TextEncoder().encodeInto('a€€', b); \
             [r.read, r.written, b]",
            "2,4,97,226,130,172",
        ),
        (
            "new TextDecoder('latin1')",
            "RangeError: TextDecoder: only utf-8 is known, not latin1",
        ),
        (
            "const a = { x: [1, { y: 2n }] }; const b = structuredClone(a); b.x[1].y === 2n && \
             b.x !== a.x",
            "true",
        ),
        (
            "structuredClone({ a: [() => 1] })",
            "TypeError: structuredClone: the value.a[0] is a function, which is passed by \
             reference and has no copy",
        ),
        (
            "structuredClone({ get a() { return 1; } })",
            "TypeError: structuredClone: the value.a is an accessor, which cannot be copied",
        ),
        (
            "const a = {}; a.a = a; structuredClone(a)",
            "TypeError: structuredClone: the value.a contains itself",
        ),
        (
            "const e = structuredClone(new RangeError('m')); `${e instanceof RangeError} ${e}`",
            "true RangeError: m",
        ),
        ("assert(false, 'why')", "Error: why"),
        ("assert.equal(1, 2)", "RangeError: Expected 1 is same as 2"),
        (
            "assert.typeof(1, 'string')",
            "TypeError: 1 must be a string",
        ),
        (
            "assert.Fail`no ${assert.quote('x')} for ${'secret'}`",
            "Error: no \"x\" for (a string)",
        ),
    ]);
}

#[test]
fn a_compartments_modules_are_those_it_was_given() {
    let source = "export default { async run(setup, specifier, read) {\n\
          const c = new Compartment({ __options__: true, ...setup });\n\
          try { const { namespace } = await c.import(specifier);\n\
            return String(new Compartment({ ns: namespace }).evaluate(read)); }\n\
          catch (e) { return `${e.name}: ${e.message}`; } } };";
    let mut vat = TestVat::deployed(source);
    let mut told = |setup: &str, specifier: &str, read: &str| {
        let args = format!("[{setup},{specifier:?},{read:?}]");
        let value = vat.value("run", &args);
        serde_json::from_str::<String>(&value).expect("a string")
    };
    let two = "{\"modules\":{\"a\":\"import { n, up } from 'b'; up(); export { n }; export * from \
     'b'; export default 7\",\"b\":\"export let n = 1; export const up = () => { n += 1; }; \
      export function who() { return this; }\"}}";
    assert_eq!(
        told(
            two,
            "a",
            "[ns.n, ns.default, Object.keys(ns), (0, ns.up)(), ns.n]"
        ),
        "2,7,default,n,up,who,,3"
    );
    assert_eq!(
        told(two, "c", "1"),
        "TypeError: cannot import 'c': this compartment was not given it"
    );
    let asks =
        |text: &str| format!(r#"{{"modules":{{"a":{text:?},"./b.js":"export const b = 2"}}}}"#);
    let cases = [
        (
            "import './main.js'",
            "1",
            "TypeError: cannot import './main.js' (imported by a): this compartment was not given \
             it",
        ),
        (
            "export const x = await import('b').catch((e) => e.message)",
            "ns.x",
            "cannot import 'b' (imported by a): this compartment was not given it",
        ),
        ("export const x = (await import('./b.js')).b", "ns.x", "2"),
        (
            "export const m = import.meta, t = typeof this",
            "[Reflect.ownKeys(ns.m).length, Object.isFrozen(ns.m), Object.getPrototypeOf(ns.m), \
             ns.t]",
            "0,true,,undefined",
        ),
        (
            "import { b } from './b.js'; let x; try { b = 3 } catch (e) { x = e.name } export { x \
             }",
            "ns.x",
            "TypeError",
        ),
        (
            "import { c } from './b.js'",
            "1",
            "SyntaxError: 'c' is not exported by ./b.js (imported by a)",
        ),
        (
            "import * as b from './b.js'; export const x = [b[Symbol.toStringTag], \
             Object.isFrozen(b)]",
            "ns.x",
            "Module,true",
        ),
        (
            "export default function () {} export { x as y }; var x = 5",
            "[ns.default.name, ns.y]",
            "default,5",
        ),
        (
            "export default class { static a = 1 }",
            "[ns.default.name, ns.default.a]",
            "default,1",
        ),
        (
            "export const f = async () => (await import('./b.js')).b; export const x = await f()",
            "ns.x",
            "2",
        ),
        ("return 5", "1", "SyntaxError: return not in a function"),
        (
            "}); (async function () {",
            "1",
            "SyntaxError: unexpected token in expression: '}'",
        ),
        ("yield", "1", "SyntaxError: unexpected 'yield' keyword"),
    ];
    for (text, read, expected) in cases {
        assert_eq!(told(&asks(text), "a", read), expected, "{text}");
    }
    let circle = "{\"modules\":{\"a\":\"import { g } from 'b'; export function f() { return 'f' } \
     export const x = g()\",\"b\":\"import { f } from 'a'; export const g = () => f()\"}}";
    assert_eq!(told(circle, "a", "ns.x"), "f");
    let names = "{\"modules\":{\"a\":{\"namespace\":{\"n\":4}},\"b\":{\"source\":\"export { n as \
     default } from 'a'\"}},\"__noNamespaceBox__\":false}";
    assert_eq!(told(names, "b", "ns.default"), "4");
}

#[test]
fn a_programs_modules_are_in_no_table_and_share_nothing_they_do_not_export() {
    let mut vat = TestVat::new();
    let main = "import { bump, n } from './lib.js';\nlet x = 1; var y = 2; function z() {}\n\
        globalThis.shared = 5;\n\
        export default { names: () => [typeof globalThis.x, typeof globalThis.y, \
          typeof q, shared],\n\
          live: () => { bump(); return n; },\n\
          late: () => import('./lib.js').catch((e) => e.message),\n\
          strange: () => new Compartment()\
            .evaluate(`import('./lib.js').catch((e) => e.message)`),\n\
          where: () => { throw new Error('here'); },\n\
          sent: () => ({ m: (a) => a + 1 }) ! m(4) };";
    let lib = "export let n = 0; let q = 1; export const bump = () => { n += 1; };";
    let outcome = vat.deploy(&[("main.js", main), ("lib.js", lib)], &[]);
    assert_eq!(outcome, kenvat_testing::worker::undefined());
    assert_eq!(
        vat.value("names", "[]"),
        r#"["undefined","undefined","undefined",5]"#
    );
    assert_eq!(vat.value("live", "[]"), "1");
    vat.kill();
    assert_eq!(vat.value("live", "[]"), "2");
    let late = vat.value("late", "[]");
    assert!(
        late.contains("while a vat is deployed, and not after"),
        "{late}"
    );
    let strange = vat.value("strange", "[]");
    assert!(strange.contains("was not given it"), "{strange}");
    let thrown = vat.thrown("where", "[]");
    assert!(thrown.stack.contains("main.js:8:26"), "{thrown:?}");
    assert_eq!(vat.value("sent", "[]"), "5");
}

#[test]
fn a_compartment_is_small_and_the_genesis_heap_too() {
    let used =
        kenvat_testing::worker::genesis().used_pages as usize * kenvat_testing::worker::PAGE_BYTES;
    eprintln!("genesis: {used} bytes");
    assert!(used <= 5 << 19, "the genesis heap has {used} bytes");
    let source = "const kept = [];\n\
        export default { make: (n) => { for (let i = 0; i < n; i += 1) \
          kept.push(new Compartment()); return kept.length; } };";
    let mut vat = TestVat::deployed(source);
    vat.value("make", "[10]");
    let before = vat.used_pages as usize;
    let count = 200;
    vat.value("make", &format!("[{count}]"));
    let bytes = (vat.used_pages as usize - before) * kenvat_testing::worker::PAGE_BYTES / count;
    eprintln!("a compartment: {bytes} bytes");
    assert!(bytes <= 10 << 10, "a compartment takes {bytes} bytes");
}

/// `cargo test --release --test worker -- times_of --ignored --nocapture`, on an idle machine.
#[test]
#[ignore = "prints times; counts are checked by the tests above"]
fn times_of_harden_and_of_a_compartment() {
    let source = "export default { none: () => { for (let i = 0; i < 10000; i += 1) \
          ({ a: i, b: i, c: i }); },\n\
        harden: () => { for (let i = 0; i < 10000; i += 1) harden({ a: i, b: i, c: i }); },\n\
        make: () => { for (let i = 0; i < 1000; i += 1) new Compartment(); },\n\
        run: () => { for (let i = 0; i < 1000; i += 1) new Compartment().evaluate('1'); } };";
    let mut vat = TestVat::deployed(source);
    for (method, count) in [
        ("none", 10_000),
        ("harden", 10_000),
        ("make", 1000),
        ("run", 1000),
    ] {
        let mut least = std::time::Duration::MAX;
        for _ in 0..5 {
            let start = std::time::Instant::now();
            vat.value(method, "[]");
            least = least.min(start.elapsed());
        }
        eprintln!(
            "{method}: {:?} each, the turn and its hand-over included",
            least / count
        );
    }
}

#[test]
fn an_option_of_a_compartment_is_understood_or_refused_by_name() {
    table(&[
        (
            "new Compartment({}, {}, { transforms: [() => '2'] }).evaluate('1')",
            "2",
        ),
        (
            "new Compartment({}, {}, { transforms: [(t) => t + '1', (t) => t + '2'] \
            }).evaluate('3')",
            "312",
        ),
        (
            "new Compartment({ __options__: true, transforms: [() => { throw new Error('no'); }] })\
             .evaluate('1')",
            "Error: no",
        ),
        (
            "const c = new Compartment({}, {}, { transforms: [(t) => t.replace('bad', 'good')] });\
             [c.evaluate('\"bad\"'), c.globalThis.eval('\"bad\"'), c.globalThis.Function('return \
             \"bad\"')(),\
             c.evaluate('eval(\"`b` + `ad`\") + (0, eval)(\"`bad`\")')].join()",
            "good,good,good,badgood",
        ),
        (
            "new Compartment().evaluate('1', { transforms: [(t) => t + '+ 1'] })",
            "2",
        ),
        (
            "new Compartment().evaluate('1', { sloppyGlobalsMode: true })",
            "TypeError: Compartment: evaluate does not know the option sloppyGlobalsMode",
        ),
        (
            "new Compartment({}, {}, { transforms: () => '2' })",
            "TypeError: Compartment: transforms must be an array",
        ),
        (
            "new Compartment({}, {}, { transforms: [1] })",
            "TypeError: Compartment: transforms[0] must be a function",
        ),
        (
            "new Compartment({}, {}, { transforms: [() => 1] }).evaluate('1')",
            "TypeError: Compartment: transforms[0] gave number, not a text",
        ),
        (
            "new Compartment({}, {}, { transfroms: [] })",
            "TypeError: Compartment: the option transfroms is not known",
        ),
        (
            "new Compartment({}, {}, { importHook: async () => {} })",
            "TypeError: Compartment: the option importHook is not supported yet",
        ),
        (
            "new Compartment({ __options__: true, resolveHook: (s) => s })",
            "TypeError: Compartment: the option resolveHook is not supported yet",
        ),
        (
            "new Compartment({}, {}, { globals: {} })",
            "TypeError: Compartment: the option globals is not known",
        ),
        (
            "new Compartment({}, {}, {}, {})",
            "TypeError: Compartment: globals, modules and options are taken, and nothing more",
        ),
        (
            "new Compartment({}, { m: { source: 'x', compartment: {} } })",
            "TypeError: Compartment: module 'm': compartment is not supported yet (a module is \
            source \
             text, { source } or { namespace })",
        ),
        (
            "new Compartment({}, { m: { imports: [], exports: [], execute() {} } })",
            "TypeError: Compartment: module 'm': imports is not supported yet (a module is source \
             text, { source } or { namespace })",
        ),
        (
            "new Compartment({}, { m: { source: 1 } })",
            "TypeError: Compartment: the source of module 'm' must be text",
        ),
        (
            "new Compartment({}, { m: { namespace: 'x' } })",
            "TypeError: Compartment: the namespace of module 'm' must be an object",
        ),
    ]);
}

#[test]
fn assert_makes_the_errors_that_were_asked_for() {
    table(&[
        (
            "const e = assert.error('m', TypeError, { cause: 1, errors: [2], properties: { p: 3 }, \
             code: 4 }); [e instanceof TypeError, e.message, e.cause, e.errors[0], e.p, e.code, \
             e.name, Object.keys(e).length, Object.isFrozen(e)].join()",
            "true,m,1,2,3,4,TypeError,0,true",
        ),
        (
            "const e = assert.error('m', AggregateError, { errors: [new Error('a')] }); \
             [e instanceof AggregateError, e.message, e.errors[0].message].join()",
            "true,m,a",
        ),
        (
            "try { assert.fail('m', AggregateError); } catch (e) { `${e.name} \
            ${e.errors.length}`; }",
            "AggregateError 0",
        ),
        (
            "assert.error('m', Error, { errorName: 'Mine' }).name",
            "Error",
        ),
        (
            "Object.isFrozen(assert.error('m', Error, { sanitize: false }))",
            "false",
        ),
        (
            "String(assert.details`a ${assert.bare('plain words')} ${assert.bare('not(plain)')} \
            ${1}`)",
            "a plain words \"not(plain)\" (a number)",
        ),
        (
            "const told = []; const mine = assert.makeAssert((e) => told.push(e.message)); \
             try { mine(false, 'first'); } catch (e) { told.push(e.message); } \
             try { mine.equal(1, 2); } catch (e) { told.push(e.name); } told.join()",
            "first,first,Expected 1 is same as 2,RangeError",
        ),
        (
            "try { assert.makeAssert(undefined, true).Fail`no ${'secret'}`; } catch (e) { \
            e.message; }",
            "no \"secret\"",
        ),
        (
            "Object.keys(assert).join()",
            "fail,details,quote,bare,error,makeError,note,equal,typeof,string,Fail,makeAssert",
        ),
    ]);
}

#[test]
fn what_ses_repairs_of_the_override_mistake_is_repaired() {
    table(&[
        (
            "const a = Object.create(Array.prototype); a.push = 1; a[Symbol.iterator] = 2; \
             a.concat = 3; [a.push, a[Symbol.iterator], a.concat].join()",
            "1,2,3",
        ),
        (
            "const t = Object.create(Uint8Array.prototype); for (const k of ['subarray', 'set', \
             'slice', 'fill', 'toString', 'constructor']) t[k] = k; \
             [t.subarray, t.set, t.slice, t.fill, t.constructor].join()",
            "subarray,set,slice,fill,constructor",
        ),
        (
            "const i = Object.create(Iterator.prototype); i[Symbol.iterator] = 1; i.toString = 2; \
             [i[Symbol.iterator], i.toString].join()",
            "1,2",
        ),
        (
            "const f = function* () {}; f.constructor = 1; const g = async () => {}; \
             g.constructor = 2; const h = async function* () {}; h.constructor = 3; \
             [f.constructor, g.constructor, h.constructor].join()",
            "1,2,3",
        ),
        (
            "const a = []; a.push(1, 2); [...a, ...new Uint8Array([3]).subarray(0)].join()",
            "1,2,3",
        ),
        (
            "Array.prototype.push = 1",
            "TypeError: push of a primordial is read-only",
        ),
        (
            "Array.prototype[Symbol.iterator] = 1",
            "TypeError: [Symbol.iterator] of a primordial is read-only",
        ),
    ]);
}

#[test]
fn far_leaves_the_tags_that_bundled_code_looks_for() {
    table(&[
        (
            "const style = Symbol.for('passStyle'); const f = Far('it', { m() {} }); \
             const p = Object.getPrototypeOf(f); [f[style], p[Symbol.toStringTag], \
             Reflect.ownKeys(f).length, Reflect.ownKeys(p).length, Object.isFrozen(p), \
             Object.getPrototypeOf(p) === Object.prototype, String(f)].join()",
            "remotable,Alleged: it,1,2,true,true,[object Alleged: it]",
        ),
        (
            "const f = Far('fn', () => 5); [f(), f[Symbol.for('passStyle')], f instanceof \
            Function, \
             Reflect.ownKeys(f).join('+')].join()",
            "5,remotable,true,length+name",
        ),
        (
            "class C { m() { return 1; } } const f = Far('c', new C()); [f instanceof C, f.m(), \
             f[Symbol.for('passStyle')]].join()",
            "true,1,remotable",
        ),
    ]);
}
