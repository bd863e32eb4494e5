//! `x ! m(a)` in a vat: what it does, whatever the program does to it, and where errors are shown.

use kenvat_syntax::{Goal, Hidden, Names, rewrite_str};
use kenvat_testing::worker::{TestVat, thrown};
/// A vat whose `run` evaluates an async function's body in a fresh compartment, with `say` to say
/// what happens; it answers with what was said. With `true`, `S` stands for sends written as calls.
const RUNNER: &str = "
const sent = { M: (x, k, ...a) => E(x)[k](...a), F: (x, ...a) => E(x)(...a),
  G: (x, k) => E.get(x)[k] };
export default { async run(body) {
  const said = [];
  const say = (x) => { said.push(x); return x; };
  try {
    const run = new Compartment({ say, S: sent, E }).evaluate(`(async () => {${body}\\n})`);
    await run();
  } catch (e) { said.push(`${e.name}: ${e.message}`); }
  return said;
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

const X: &str = "const x = { n: 5, m(a, b) { return [this === x, a, b]; }, f: (a) => a * 2 };";

#[test]
fn the_five_forms_send() {
    table(&[
        (&format!("{X} say(await x ! m(1, 2))"), "[[true,1,2]]"),
        (&format!("{X} say(await x ! ['m'](1, 2))"), "[[true,1,2]]"),
        (&format!("{X} say(await x.f ! (4))"), "[8]"),
        (&format!("{X} say(await x ! n)"), "[5]"),
        (&format!("{X} say(await x ! ['n'])"), "[5]"),
        (
            &format!("{X} say(await Promise.resolve(x) ! f(await x ! n))"),
            "[10]",
        ),
        ("say(await 'text' ! length)", "[4]"),
        (
            "say(await 'a-b' ! split('-') ! reverse() ! join('+'))",
            r#"["b+a"]"#,
        ),
        ("say(await ((...a) => a.length) ! (...[1, 2], 3))", "[3]"),
        (
            "say(null ! m() instanceof Promise); await null ! m().catch((e) => say(e.name))",
            r#"[true,"TypeError"]"#,
        ),
    ]);
}

#[test]
fn a_send_runs_nothing_before_the_current_job_ends() {
    table(&[(
        "const p = ({ get m() { say('got'); return () => say('run'); } }) ! m();
         say('sent'); await p; say('done')",
        r#"["sent","got","run","done"]"#,
    )]);
}

#[test]
fn operand_key_and_arguments_are_evaluated_once_and_in_order() {
    table(&[(
        "const o = { a: (...n) => n.length }; \
         say(await (say('x'), o) ! [(say('k'), 'a')](say(1), say(2)))",
        r#"["x","k",1,2,2]"#,
    )]);
}

#[test]
fn every_way_to_code_knows_the_bang() {
    table(&[
        (
            "const o = { p: 7 }; say(await eval('o ! p'))",
            r#"["ReferenceError: o is not defined"]"#,
        ),
        ("globalThis.o = { p: 7 }; say(await eval('o ! p'))", "[7]"),
        ("say(await Function('o', 'return o ! p')({ p: 8 }))", "[8]"),
        (
            "say(await new Function('o', 'q = o ! p', 'return q')({ p: 8 }))",
            "[8]",
        ),
        (
            "say(await new Compartment({ o: { p: 9 } }).evaluate('o ! p'))",
            "[9]",
        ),
        (
            "say(await SES.confineExpr('o ! p', { o: { p: 10 } }))",
            "[10]",
        ),
    ]);
    let common = "exports.run = async () => (await { p: 11 } .q ! p, await ({ p: 11 }) ! p);";
    assert!(thrown_by(common, "run").contains("undefined"));
    let common = "exports.run = async () => await ({ p: 11 }) ! p;";
    assert_eq!(TestVat::deployed(common).value("run", "[]"), "11");
}

fn thrown_by(source: &str, method: &str) -> String {
    TestVat::deployed(source).thrown(method, "[]").message
}

#[test]
fn nothing_a_program_does_reaches_what_is_called() {
    let own = "const o = { p: 1 };";
    let hidden = [Hidden::Send, Hidden::Call, Hidden::Get];
    let names = hidden.map(|hidden| Names::default().name(hidden));
    let names = names.map(|name| format!("'{name}'")).join(", ");
    table(&[
        // Shadowed or taken away: everything a send could be thought to need.
        (
            &format!("{own} const E = null, Promise = null, Reflect = null; say(await o ! p)"),
            "[1]",
        ),
        (
            &format!(
                "{own} for (const k of [{names}]) globalThis[k] = () => say('caught'); \
            say(await o ! p)"
            ),
            "[1]",
        ),
        (
            &format!(
                "for (const k of [{names}]) {{ const C = new Compartment({{ [k]: 'mine', \
            o: {{ p: 2 }} }}); say(await C.evaluate('o ! p')); }}"
            ),
            "[2,2,2]",
        ),
        (
            &format!("say([{names}].map((k) => typeof globalThis[k]).join())"),
            r#"["undefined,undefined,undefined"]"#,
        ),
        (
            &format!(
                "for (const k of [{names}]) try {{ eval(k); say('seen'); }} \
            catch (e) {{ say(e.name); }}"
            ),
            r#"["ReferenceError","ReferenceError","ReferenceError"]"#,
        ),
        // A text that says the names is plain JavaScript, and its own sends go on.
        (
            &format!(
                "for (const k of [{names}]) say(await Function(k, 'o', \
            `return o ! m(${{k}})`)(3, {{ m: (x) => x }}))"
            ),
            "[3,3,3]",
        ),
        // As names of properties they are like any other.
        (
            "const o = { __kv_s: 1, __kv_g() { return 2; } }; say([o.__kv_s, o.__kv_g()])",
            "[[1,2]]",
        ),
    ]);
}

#[test]
fn functions_show_their_authors_text() {
    table(&[
        ("say(`${(a) => a ! b(c)}`)", r#"["(a) => a ! b(c)"]"#),
        (
            "const o = { m(x) { return(x) ! q } }; say(o.m.toString())",
            r#"["m(x) { return(x) ! q }"]"#,
        ),
        (
            "say(String(class A { m() { this ! [k]\n(1) } }))",
            r#"["class A { m() { this ! [k]\n(1) } }"]"#,
        ),
        (
            "say(Function('a', 'return a ! b').toString())",
            r#"["function anonymous(a\n) {\nreturn a ! b\n}"]"#,
        ),
        // What looks like a rewritten send is the author's, beside his own sends or not.
        (
            "say(String((x) => __kv_s(x ,/*__kv_*/ \"m\",1)))",
            r#"["(x) => __kv_s(x ,/*__kv_*/ \"m\",1)"]"#,
        ),
        (
            "say(String((x) => __kv_s(x ,/*__kv_*/ \"m\",x ! m(1))))",
            r#"["(x) => __kv_s(x ,/*__kv_*/ \"m\",x ! m(1))"]"#,
        ),
        ("say(String(() => import('x')))", r#"["() => import('x')"]"#),
        (
            "say(Function.prototype.toString.call(Math.max).includes('native code'))",
            "[true]",
        ),
        (
            "try { Function.prototype.toString.call({}) } catch (e) { say(e.name) }",
            r#"["TypeError"]"#,
        ),
    ]);
}

#[test]
fn a_syntax_error_shows_the_authors_text() {
    let refused = |source: &str| thrown(TestVat::new().deploy(&[("main.js", source)], &[]));
    // The rewriter's own.
    let error = refused("const é = 'é'; x ! y();\n\té(x?.y ! m());\n");
    assert_eq!(error.name, "SyntaxError");
    assert!(
        error.message.starts_with("main.js:2:9: x?.y ! m(): "),
        "{error:?}"
    );
    assert_eq!(
        error.stack,
        "    at main.js:2:9\n  2 | \té(x?.y ! m());\n    | \t       ^"
    );
    // The engine's, behind sends on the same line.
    let error = refused("x ! y(1) ! z; return(x) ! y; let let = 5;\n");
    assert!(error.message.starts_with("main.js:1:"), "{error:?}");
    assert!(
        error
            .stack
            .contains("  1 | x ! y(1) ! z; return(x) ! y; let let = 5;\n"),
        "{error:?}"
    );
    let error = refused("export const m = () => x ! y(1) ! z + 'é' +* 2;\n");
    assert!(error.message.starts_with("main.js:1:44: "), "{error:?}");
}

#[test]
fn an_exceptions_place_is_the_authors() {
    // Behind sends on its line, and in an evaluated text; the same with commas for the `!`s.
    let sends = "export const m = (x, a, b, c) => {\n\
        \x20 if (x.p) x ! a, x ! b(1) ! c, x ! [a](b); else return x.y.z + x ! a; };\n\
        export const e = (x) => Function('x', 'a', 'if (x.p) x ! a; return x.y.z')(x);";
    let commas = sends.replace(" ! [a]", " , [a]").replace('!', ",");
    let (mut sends, mut commas) = (TestVat::deployed(sends), TestVat::deployed(&commas));
    for _ in 0..2 {
        let error = sends.thrown("m", "[{}]");
        assert_eq!(error, commas.thrown("m", "[{}]"));
        assert!(error.stack.contains("main.js:2:"), "{error:?}");
        let error = sends.thrown("e", "[{}]");
        assert!(error.stack.contains("eval:3:"), "{error:?}");
        sends.kill();
        commas.kill();
    }
}

/// A generator of small programs, each written twice: with `!`, and with calls.
struct Programs {
    seed: u64,
    /// How many values were said, so that each is another.
    said: u32,
}

impl Programs {
    fn below(&mut self, bound: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed >> 11) % bound
    }

    fn pick(&mut self, from: &[&str]) -> String {
        from[self.below(from.len() as u64) as usize].to_owned()
    }

    /// White space that may stand anywhere, and before an infix `!`.
    fn space(&mut self, before_bang: bool) -> String {
        match before_bang {
            true => self.pick(&["", " ", "  ", "\t", " /* ! */ ", "\u{a0}"]),
            false => self.pick(&["", " ", "\n", " /* x\n! y */ ", " // ! z\n", "\r\n"]),
        }
    }

    /// An operand both ways. `o` is an object that answers to `a`, `b`, `s` with itself or a value.
    fn operand(&mut self, depth: u64) -> (String, String) {
        if depth == 0 {
            self.said += 1;
            let said = self.said;
            let plain = match self.below(7) {
                0 => format!("say({said})"),
                1 => "o".to_owned(),
                2 => format!("`t${{say({said})}}`"),
                3 => format!("(say({said}), o)"),
                4 => "/[/!]! x/g".to_owned(),
                5 => format!("[say({said})]"),
                _ => format!("o.s(say({said}))"),
            };
            return (plain.clone(), plain);
        }
        let both = |(bang, call): (String, String), make: &dyn Fn(&str) -> String| {
            (make(&bang), make(&call))
        };
        let kind = self.below(14);
        let inner = self.operand(depth - 1);
        match kind {
            0 => both(inner, &|x| format!("({x})")),
            1 => both(inner, &|x| format!("o.s({x})")),
            2 => both(inner, &|x| format!("(() => {{ return({x}) }})()")),
            3 => both(inner, &|x| format!("(0, {x})")),
            4 => both(inner, &|x| format!("`${{typeof {x}}}`")),
            5 => both(inner, &|x| format!("new C({x}).o")),
            6 => both(inner, &|x| format!("o[typeof {x}]")),
            7 => both(inner, &|x| format!("((x = {x}) => x)()")),
            8 => both(inner, &|x| format!("(true ? {x} : o)")),
            9 => both(inner, &|x| format!("class {{ static p = {x} }}.p")).wrapped(),
            _ => self.send(inner, depth),
        }
    }

    fn send(&mut self, (target, called): (String, String), depth: u64) -> (String, String) {
        let (before, after) = (self.space(true), self.space(false));
        // What ends in a way `!` does not follow goes into parentheses.
        let method = self.pick(&["a", "b", "s", "return", "of", "\\u0061"]);
        let name = method.replace("\\u0061", "a");
        let first = self.operand(depth - 1);
        let second = self.operand(0);
        let (args, call_args) = match self.below(4) {
            0 => (String::new(), String::new()),
            1 => (first.0, first.1),
            2 => (
                format!("{}, {}", first.0, second.0),
                format!("{}, {}", first.1, second.1),
            ),
            _ => (format!("...[{}],", first.0), format!("...[{}]", first.1)),
        };
        match self.below(5) {
            0 => (
                format!("{target}{before}!{after}({args})"),
                format!("S.F({called}, {call_args})"),
            ),
            1 => (
                format!("{target}{before}!{after}[say('{name}')]{after}({args})"),
                format!("S.M({called}, say('{name}'), {call_args})"),
            ),
            2 => (
                format!("{target}{before}!{after}['{name}']"),
                format!("S.G({called}, '{name}')"),
            ),
            3 => (
                format!("{target}{before}!{after}{method}"),
                format!("S.G({called}, '{name}')"),
            ),
            _ => (
                format!("{target}{before}!{after}{method}{after}({args})"),
                format!("S.M({called}, '{name}', {call_args})"),
            ),
        }
    }

    /// A body of an async function, both ways.
    fn body(&mut self) -> (String, String) {
        self.said = 0;
        let head = "class C { constructor(x) { this.x = x; this.o = o } }\n\
            const shown = (x) => typeof x === 'object' || typeof x === 'function' ? typeof x : x;\n\
            const o = { a: (...x) => (say('a' + x.length), o), b: (x) => x, s: (x) => x,\n\
            return: (x) => say('return'), of: 5, string: 'a' };\n\
            const tell = (p) => Promise.resolve(p).then((v) => say(shown(v)), (e) => say(e.name));";
        let (mut bang, mut call) = (head.to_owned(), head.to_owned());
        for _ in 0..3 {
            let depth = 1 + self.below(4);
            let (with, without) = self.operand(depth);
            let frames = [
                ("await tell(", ");"),
                ("if (typeof ", " !== 0) !o; else !o;"),
                ("for (const v of [", "]) await tell(v);"),
                ("let v = 0\nv = ", "\n!o;await tell(v)"),
                ("switch (", ") { case !o: break; default: !o\n}"),
                ("label: { await tell(!(", ")) }\n!o"),
            ];
            let (before, after) = frames[self.below(frames.len() as u64) as usize];
            let (open, close) = if before.starts_with("let") {
                ("{", "}")
            } else {
                ("", "")
            };
            for (body, text) in [(&mut bang, with), (&mut call, without)] {
                body.push_str(&format!("\n{open}{before}{text}{after}{close}"));
            }
        }
        (bang, call)
    }
}

trait Wrapped {
    fn wrapped(self) -> Self;
}

impl Wrapped for (String, String) {
    /// In parentheses: `class` at a statement's beginning would declare.
    fn wrapped(self) -> Self {
        (format!("({})", self.0), format!("({})", self.1))
    }
}

/// Programs a run tries; `KENVAT_BANG_PROGRAMS` sets another number, `KENVAT_BANG_SEED` the seed.
const PROGRAMS: u64 = 400;
const SEED: u64 = 0x5EED_0BA6;

fn asked(name: &str, otherwise: u64) -> u64 {
    let asked = std::env::var(name).ok();
    asked.map_or(otherwise, |asked| asked.parse().expect("a number"))
}

#[test]
fn generated_programs_do_what_they_do_written_as_calls() {
    let seed = asked("KENVAT_BANG_SEED", SEED);
    println!("seed {seed}");
    let mut programs = Programs { seed, said: 0 };
    let mut vat = TestVat::deployed(RUNNER);
    let mut sends = 0;
    for _ in 0..asked("KENVAT_BANG_PROGRAMS", PROGRAMS) {
        let (bang, call) = programs.body();
        let (text, columns) = rewrite_str(&bang, Goal::Script)
            .unwrap_or_else(|error| panic!("{}:{}: {error}\n{bang}", error.line, error.column));
        sends += u64::from(!columns.is_identity());
        // Without `!` nothing changes.
        let plain = rewrite_str(&call, Goal::Script).expect("plain JavaScript");
        assert!(plain.1.is_identity() && plain.0 == call, "{call}");
        let (with, without) = (run(&mut vat, &bang), run(&mut vat, &call));
        assert_eq!(
            with, without,
            "\n{bang}\n--- as calls\n{call}\n--- rewritten\n{text}"
        );
        assert!(!with.contains("SyntaxError"), "{with}\n{bang}");
    }
    assert!(sends > PROGRAMS / 2, "{sends} programs sent");
}
