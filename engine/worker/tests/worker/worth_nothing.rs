//! What compartments could pass something through, found by any means: what rewriting inserts, what
//! each compartment has its own of, namespaces of modules, what the library hands out, messages.
//!
//! How a text could come to name what rewriting inserts does not matter here: a worker built for
//! the test lends it.

use std::collections::BTreeMap;

use kenvat_testing::worker::{TestVat, undefined, unrepaired};

/// What `run` of this program answers, as JSON.
fn run(body: &str) -> String {
    let source = format!(
        "const tell = (work) => {{ try {{ return work(); }} catch (e) {{ return e.name; }} }};\n\
         const isFunction = (x) => typeof x === 'function';\n\
         export default () => ({{ async run() {{\n{body}\n}} }});"
    );
    let mut vat = TestVat::new();
    assert_eq!(vat.deploy(&[("main.js", &source)], &[]), undefined());
    vat.value("run", "[]")
}

#[test]
fn what_rewriting_inserts_is_frozen_and_of_one_compartment() {
    // A worker that lends programs what no text of theirs can name.
    let mut vat = unrepaired("hidden-names", &mut BTreeMap::new());
    let source = "export default () => ({ run() {\n\
         const [A, B] = [new Compartment(), new Compartment()];\n\
         const [a, b] = [lendInserted(A), lendInserted(B)];\n\
         return a.map((f, at) => { let kept = 'refused';\n\
           try { f.leak = 1; kept = f.leak; } catch {}\n\
           return [typeof f, Object.isFrozen(f), f !== b[at], Object.getPrototypeOf(f),\n\
             Reflect.ownKeys(f).length, f === lendInserted(A)[at], kept]; }); } });";
    assert_eq!(vat.deploy(&[("main.js", source)], &[]), undefined());
    let worth_nothing = r#"["function",true,true,null,0,true,"refused"]"#;
    let told = vat.value("run", "[]");
    assert_eq!(told, format!("[{}]", [worth_nothing; 4].join(",")));
}

#[test]
fn what_a_module_is_given_is_frozen_and_of_that_module() {
    let told = run(
        "const modules = { m: 'export const got = [import.meta];', n: 'export const got = \
        [import.meta];' };
         const [A, B] = [new Compartment({}, modules), new Compartment({}, modules)];
         const read = async (C, name) => (await C.import(name)).namespace.got[0];
         const all = [await read(A, 'm'), await read(A, 'n'), await read(B, 'm')];
         return [new Set(all).size, all.every((meta) => Object.isFrozen(meta))];",
    );
    assert_eq!(told, "[3,true]");
}

#[test]
fn evaluators_of_a_compartment_are_frozen_and_its_own() {
    let told = run("const [A, B] = [new Compartment(), new Compartment()];
         const out = ['eval', 'Function', 'Compartment'].map((name) => {
           const f = A.globalThis[name];
           return [f.name, f.length, Object.isFrozen(f), f !== B.globalThis[name],
             f instanceof Function, isFunction(f), Object.getPrototypeOf(f) === Function.prototype];
         });
         const { Function: F, Compartment: C, eval: e } = A.globalThis;
         class Sub extends F {}
         class Mine extends C { twice(t) { return [this.evaluate(t), this.evaluate(t)]; } }
         out.push(new F('a', 'return a * 2')(4), F('return this')(), new Sub('return 5')(),
           new Sub('') instanceof Sub, new Mine().twice('1 + 1'), tell(() => C()),
           tell(() => new e('1')), e(7), e('6 * 7'), tell(() => new (F.bind(null))('return 1')()),
           F.prototype === Function.prototype, `${e}`.includes('native code'));
         return out;");
    let own = |name: &str, length: u32| format!(r#"["{name}",{length},true,true,true,true,true]"#);
    let expected = format!(
        "[{},{},{},8,{{\"$undefined\":true}},5,true,[2,2],\"TypeError\",\"TypeError\",7,42,1,true,\
         true]",
        own("eval", 1),
        own("Function", 1),
        own("Compartment", 0)
    );
    assert_eq!(told, expected);
}

#[test]
fn a_namespace_has_data_properties_that_live_and_nothing_else() {
    let told = run(
        "const C = new Compartment({}, { m: 'export let n = 1; export const up = () => { n += 1; \
        };\\
           export default class {}; export { n as \"a b\" }', late: 'export * from \"./m\"; \\
           import * as self from \"late\"; export const read = () => { try { return self.after; } \\
             catch (e) { return e.name; } }; export const early = read(); export const after = 1;',
           './m': 'export const x = 1;' });
         const { namespace: ns } = await C.import('m');
         const d = Object.getOwnPropertyDescriptor(ns, 'n');
         ns.up();
         const late = (await C.import('late')).namespace;
    return [Object.keys(ns), d.value, d.writable, d.enumerable, d.configurable, d.get === undefined,
           ns.n, ns['a b'], Object.isFrozen(ns), Object.isExtensible(ns),
           tell(() => { ns.n = 5; }), tell(() => { ns.other = 5; }), tell(() => { delete ns.n; }),
           tell(() => Object.freeze(ns) === ns), tell(() => harden(ns) === ns),
           tell(() => Object.defineProperty(ns, 'n', { value: 9 })),
           tell(() => Object.defineProperty(ns, 'n', { value: 2, writable: false }) === ns),
        tell(() => Object.setPrototypeOf(ns, {})), Object.getPrototypeOf(ns), 'n' in ns, 'zz' in ns,
           ns[Symbol.toStringTag], Reflect.ownKeys(ns).length, ns.zz === undefined,
           { ...ns }.n, late.early, late.read(), late.x];",
    );
    assert_eq!(
        told,
        concat!(
            r#"[["a b","default","n","up"],1,false,true,false,true,2,2,true,false,"TypeError","#,
            r#""TypeError","TypeError",true,true,"TypeError",true,"TypeError",null,true,false,"#,
            r#""Module",5,true,2,"ReferenceError",1,1]"#
        )
    );
}

#[test]
fn a_module_that_exports_then_takes_no_import_over() {
    let told = run(
        "const modules = { m: 'export const then = (ok) => ok(\"taken\"); export const x = 1;',
           by: 'import { then, x } from \"m\"; export const y = [typeof then, x];' };
         const C = new Compartment({}, modules);
         const plain = new Compartment({}, modules, { __noNamespaceBox__: true });
         const said = (p) => p.then((v) => v, (e) => e.message);
         return [(await C.import('m')).namespace.x, (await C.import('by')).namespace.y,
           await said(C.evaluate('import(\"m\")')), await said(plain.import('m'))];",
    );
    assert_eq!(
        told.matches("exports a function `then`").count(),
        2,
        "{told}"
    );
    assert!(told.starts_with(r#"[1,["function",1],"#), "{told}");
}

#[test]
fn globals_are_own_properties_and_never_a_prototype() {
    let told = run(
        "const globals = JSON.parse('{\"__proto__\": { \"got\": 1 }, \"toString\": 2}');
         const C = new Compartment(globals);
         return [C.evaluate('typeof got'), Object.getPrototypeOf(C.globalThis) === Object.prototype,
          C.evaluate('toString'), Object.getOwnPropertyNames(C.globalThis).includes('__proto__')];",
    );
    assert_eq!(told, r#"["undefined",true,2,true]"#);
}

#[test]
fn what_the_library_hands_out_is_frozen() {
    let told = run("const out = [];
         const see = (...all) => all.forEach((f) => out.push(Object.isFrozen(f)));
         const kit = makePromiseKit(); see(kit, kit.promise, kit.resolve, kit.reject);
         new HandledPromise((...all) => see(...all), {});
         new HandledPromise((a, b, present) => present({}, { proxy: { handler: {},
           revokerCallback: see } }));
         const d = Q.defer(); see(d, d.promise, d.resolve, d.reject);
         new Flow().makeVow((...all) => see(...all));
         see(Q.async(function* () {}), Q.memoize(() => 1), Far('x', {}), assert.quote(1));
         see(assert.bare('x'), assert.details`x`, assert.error('x'), assert.makeAssert());
         see(Object.getPrototypeOf(Far('x', {})));
         return [out.length, out.every((is) => is)];");
    assert_eq!(told, "[23,true]");
}

#[test]
fn no_message_of_assert_has_the_text_of_a_stack() {
    let told = run("return new Compartment().evaluate(`(() => {
           const e = (function secretNamedFunction() { return new Error('x'); })();
           const nested = { list: [e], map: new Map([['k', e]]) };
           const out = [];
           const said = (work) => { try { work(); } catch (x) { out.push(x.message); } };
           for (const value of [e, nested]) {
             said(() => assert.equal(value, 0)); said(() => assert.equal(0, value));
             said(() => assert.typeof(value, 'string')); said(() => assert.string(value));
             said(() => assert.typeof('', value)); said(() => assert.Fail\\`\\${value}\\`);
             said(() => assert.Fail\\`\\${assert.quote(value)}\\`);
             said(() => assert.makeAssert(undefined, true).Fail\\`\\${value}\\`);
             out.push(String(assert.quote(value)), String(assert.bare(value)), String(value));
           }
           return out;
         })()`);");
    for word in ["secretNamed", "at ", "eval:", "main.js", ".js:"] {
        assert!(!told.contains(word), "{word}: {told}");
    }
    assert!(told.contains("Error: x must be a string"), "{told}");
}

#[test]
fn there_is_one_nan_wherever_its_bits_can_be_read() {
    let told = run(
        "const f = new Float64Array(1), u = new BigUint64Array(f.buffer), v = new \
        DataView(f.buffer);
         const h = new Float32Array(1), hu = new Uint32Array(h.buffer);
         const q = new Float16Array(1), qu = new Uint16Array(q.buffer);
         const out = new Set(); const small = new Set(); const half = new Set();
         const put = (x) => {
           f[0] = x; out.add(u[0].toString(16));
           v.setFloat64(0, x, true); out.add(u[0].toString(16));
           f.fill(x); out.add(u[0].toString(16)); f.set([x]); out.add(u[0].toString(16));
           for (const made of [Float64Array.of(x), Float64Array.from([x]), new Float64Array([x]),
             structuredClone({ x }).x, [x].map((y) => y)[0], Object.freeze({ x }).x])
           out.add(new BigUint64Array(made.buffer ?? Float64Array.of(made).buffer)[0].toString(16));
           h[0] = x; small.add(hu[0].toString(16)); q[0] = x; half.add(qu[0].toString(16));
         };
     const carried = [0x7ff80000deadbeefn, 0xfff8000000000001n, 0x7ff0000000000001n].map((bits) => {
           u[0] = bits; return [f[0], v.getFloat64(0, true)]; }).flat();
         hu[0] = 0xffc12345; carried.push(h[0]); qu[0] = 0xfe01; carried.push(q[0]);
     const computed = [0 / 0, -(0 / 0), Math.sqrt(-1), NaN, -NaN, Infinity - Infinity, 0 * Infinity,
       Number('x'), parseFloat('x'), undefined * 1, Math.log(-1), Math.pow(-8, 1 / 3), Infinity % 1,
           Math.max(NaN, 1), Math.hypot(NaN), Math.acos(2), new Date(NaN).getTime(), NaN ** 1];
         let n = 0; n /= 0; let m = Infinity; m -= Infinity; const { x } = harden({ x: n });
         for (const nan of [...carried, ...computed, n, m, x]) {
           if (nan === nan) throw new Error(`${nan} is a number`);
           put(nan);
         }
         return [[...out], [...small], [...half]];",
    );
    assert_eq!(told, r#"[["7ff8000000000000"],["7fc00000"],["7c01"]]"#);
}
