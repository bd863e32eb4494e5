//! Plain JavaScript in a vat means what it means elsewhere, whatever a rewriting would make of it;
//! and the names of what a rewriting puts in are worth nothing to who writes them.

use kenvat_testing::worker::{TestVat, thrown};

/// A vat whose `run` evaluates an async function's body; it answers with what that returns.
const RUNNER: &str = "
const evil = (body) => 'const a = 0;\\na <!--`\\n' + body + '\\n//`.y;\\n';
export default { async run(body) {
  const C = new Compartment({ Compartment, harden, evil });
  return C.evaluate(`(async () => {${body}\\n})`)();
} };";

fn run(vat: &mut TestVat, body: &str) -> String {
    let args = serde_json::to_string(&[body]).expect("strings are JSON");
    vat.value("run", &args)
}

fn table(cases: &[(&str, &str)]) {
    let mut vat = TestVat::deployed(RUNNER);
    for (body, expected) in cases {
        assert_eq!(run(&mut vat, body), *expected, "{body}");
    }
}

/// What `m` of a program of these files answers.
fn answer(files: &[(&str, &str)]) -> String {
    let mut vat = TestVat::new();
    vat.deploy(files, &[]);
    vat.value("m", "[]")
}

#[test]
fn html_like_comments_are_operators_in_a_module() {
    let program = "let i = 1, r;\nr = 0 <!--i\n;\n\
        export const m = () => [r, i, String(() => r <!--i)];";
    assert_eq!(
        answer(&[("main.js", program)]),
        r#"[true,0,"() => r <!--i"]"#
    );
    // The text behind `<!--` is a template there, and nothing of it runs.
    table(&[(
        "const A = new Compartment({}, { x: evil('globalThis.put = 1;') + 'export const go = 1;' });
         try { await A.import('x'); } catch (e) { return [e.name, typeof A.globalThis.put]; }",
        r#"["TypeError","undefined"]"#,
    )]);
}

#[test]
fn await_is_a_name_in_a_script() {
    table(&[
        (
            "return (0, eval)('var await = 6, g = 2; await / 2 / g')",
            "1.5",
        ),
        (
            "return (0, eval)('var await = 6; let q = 0;\\nawait\\n{ q = 1 }; q + await')",
            "7",
        ),
        (
            "return (0, eval)('var await = { p: 1 }; String(await.p)')",
            r#""1""#,
        ),
        (
            "const f = (0, eval)('(async () => { class A { x = await / 2 / 3 } })'); return 1",
            "1",
        ),
    ]);
    let reach = "try { return typeof new Compartment().evaluate(text('__kv_s.valueOf()')); } \
         catch (e) { return e.name; }";
    for way in [
        "`var await = 1; var out; await / (out = ${use}) / 1; out`",
        "`var await = 1; var out;\\nawait\\n{ ${use} }`",
    ] {
        table(&[(
            &format!("const text = (use) => {way}; {reach}"),
            r#""ReferenceError""#,
        )]);
    }
}

#[test]
fn names_that_are_put_in_are_an_authors_own_where_he_writes_them() {
    let main = "const __kv_i = 1, __kv_m = 2; let __kv_x = 3, __kv_d = 4, __kv_s = 5;\n\
        const later = await import('./x.js');\n\
        export default { async m() { return [__kv_i, __kv_m, __kv_x, __kv_d, __kv_s, later.a,\n\
          await ({ p: 6 }) ! p, typeof import.meta, typeof $0000s]; } };";
    assert_eq!(
        answer(&[("main.js", main), ("x.js", "export const a = 'x'")]),
        r#"[1,2,3,4,5,"x",6,"object","undefined"]"#
    );
    table(&[
        // Held: the importer of a compartment has no name in its programs.
        (
            "const C = new Compartment(); harden(C.globalThis);
             try { C.evaluate(`__kv_i.leak = 1`); return 'named'; } catch (e) { return e.name; }",
            r#""ReferenceError""#,
        ),
        (
            "const names = ['G', 'B', 'L', 'i', 's', 'c', 'g', 'x', 'm', 'd', 'a'];
             return names.filter((n) => { try { eval(`__kv_${n}`); return true; }
               catch (e) { return e.name !== 'ReferenceError'; } })",
            "[]",
        ),
        (
            "return ['G', 'i', 's'].filter((n) => { try { eval(`\\\\u005f_kv_${n}`); return true; }
               catch (e) { return e.name !== 'ReferenceError'; } })",
            "[]",
        ),
        (
            "return eval(`var __kv_s = (x) => x + 1; [__kv_s(1), typeof (1 ! p)]`)",
            r#"[2,"object"]"#,
        ),
    ]);
}

#[test]
fn default_exports_are_called_default() {
    let names = "export const names = [];\n";
    let program = |exported: &str| {
        let main = "import d, * as all from './x.js'; export default { m: () => [d.name, \
             String(d), all.names ?? 0] };";
        let x = format!("{names}{exported}");
        answer(&[("main.js", main), ("x.js", &x)])
    };
    assert_eq!(
        program("export default function () {}\nnames.push(1)"),
        r#"["default","function () {}",[1]]"#
    );
    assert_eq!(
        program("export default class { static { names.push(this.name) } }"),
        r#"["default","class { static { names.push(this.name) } }",["default"]]"#
    );
    assert_eq!(
        program("export default () => 1"),
        r#"["default","() => 1",[]]"#
    );
    // Before its module runs, to a module of a circle.
    let main = "import './x.js'; export default function () {}; export const m = () => seen.name;\n\
        import { seen } from './x.js';";
    let x = "import f from './main.js'; export const seen = { name: f.name };";
    let mut vat = TestVat::new();
    vat.deploy(
        &[
            (
                "main.js",
                "export * from './y.js'; export { m as default } from './y.js'",
            ),
            ("y.js", &main.replace("main.js", "y.js")),
            ("x.js", &x.replace("main.js", "y.js")),
        ],
        &[],
    );
}

#[test]
fn early_errors_are_early() {
    table(&[
        (
            "const texts = ['import()', 'import(...a)', 'import(a, b, c)', 'new import(a)',
               'new.target', '() => new.target', 'import.meta', 'import.x'];
             const names = texts.map((text) => { try { eval(text); return 'ran'; }
               catch (e) { return e.name; } });
             return [...new Set(names)]",
            r#"["SyntaxError"]"#,
        ),
        (
            "try { Function('import()'); return 'ran' } catch (e) { return e.name }",
            r#""SyntaxError""#,
        ),
        (
            "return typeof eval('(function () { return new.target; })')()",
            r#""undefined""#,
        ),
        (
            "try { return eval('arguments') } catch (e) { return e.name }",
            r#""ReferenceError""#,
        ),
        (
            "return eval('(function () { return arguments.length; })')(1, 2)",
            "2",
        ),
        (
            "return eval('this') === globalThis && eval('(() => this)()') === globalThis",
            "true",
        ),
    ]);
    let error = thrown(TestVat::new().deploy(&[("main.js", "export const a = arguments;")], &[]));
    assert_eq!(error.name, "ReferenceError", "{error:?}");
    let program = "export const t = typeof this; export const m = (...a) => [t, String(f)];
        function f() { return arguments; }";
    assert_eq!(
        answer(&[("main.js", program)]),
        r#"["undefined","function f() { return arguments; }"]"#
    );
}

#[test]
fn every_spelling_of_import_and_export_is_read() {
    let main = "import {} from './x.js'; import from from './x.js' with {};\n\
        import { \\u0061 as \\u{62}, '__proto__' as p, 'q\"\\u0041' as q } from './x.js';\n\
        import * as all from './x.js';\n\
        export default { m: () => [from, b, p, q, Object.keys(all).sort()] };";
    let x = "const a = 1; export { a, a as __proto__, a as 'q\"A' }; export default 2;";
    assert_eq!(
        answer(&[("main.js", main), ("x.js", x)]),
        r#"[2,1,1,1,["__proto__","a","default","q\"A"]]"#
    );
}

#[test]
fn a_file_that_only_an_import_call_names_is_read_when_the_program_is_deployed() {
    let later = "export default { m: async () => import('./x.js') };";
    let refused = |files: &[(&str, &str)]| thrown(TestVat::new().deploy(files, &[]));
    let error = refused(&[("main.js", later)]);
    assert!(
        error
            .message
            .contains("cannot find './x.js' (imported by main.js:1)"),
        "{error:?}"
    );
    let error = refused(&[("main.js", later), ("x.js", "let let;")]);
    assert!(error.message.starts_with("x.js:1:"), "{error:?}");
    let error = refused(&[
        ("main.js", later),
        ("x.js", "import { a } from './y.js'"),
        ("y.js", ""),
    ]);
    assert!(
        error.message.contains("'a' is not exported by y.js"),
        "{error:?}"
    );
    // It runs when it is imported, and what no file can be is left to the one who asks for it.
    let main = "export const m = () => [globalThis.ran ?? 0, e];
        let e; try { await import('bare'); } catch (error) { e = error.name; }
        if (globalThis.no) await import('./x.js');";
    assert_eq!(
        answer(&[("main.js", main), ("x.js", "globalThis.ran = 1;")]),
        r#"[0,"TypeError"]"#
    );
}
