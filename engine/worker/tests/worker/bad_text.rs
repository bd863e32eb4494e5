//! Text that is none, that is too much, or that nests too deep: read or refused with its place, in
//! every way that text becomes code, and never the end of the worker or of the turn.

use kenvat_engine::Engine;
use kenvat_testing::worker::{TestVat, undefined};
use kenvat_wire::protocol::{FromWorker, Outcome, Thrown, ToWorker};

/// Makes code of a text in each way there is; says what came of it.
const RUNNER: &str = "
const ways = {
  eval: (text) => eval(text),
  Function: (text) => Function(text),
  parameter: (text) => Function(text, ''),
  evaluate: (text) => new Compartment({}).evaluate(text),
  module: async (text) => {
    const { namespace } = await new Compartment({}, { './m.js': text }).import('./m.js');
    return namespace.v;
  },
};
export default {
  async run(way, text) {
    try {
      const value = await ways[way](text);
      return typeof value === 'function' ? 'function' : value;
    } catch (e) {
      return `${e.name}: ${e.message}`;
    }
  },
  nest(way, head, open, count, close, tail) {
    return this.run(way, head + open.repeat(count) + 1 + close.repeat(count) + tail);
  },
};";

const WAYS: [&str; 4] = ["eval", "Function", "evaluate", "module"];

fn run(vat: &mut TestVat, way: &str, text: &str) -> String {
    let args = serde_json::to_string(&[way, text]).expect("strings are JSON");
    vat.value("run", &args)
}

/// What may be written over and over, before and behind a value, and how often.
const NESTS: [(&str, &str, usize); 17] = [
    ("(", ")", 5_000),
    ("[", "]", 5_000),
    ("[", "", 1_000_000),
    ("(", ")", 1_000_000),
    ("`${", "}`", 5_000),
    ("{a:", "}", 20_000),
    ("!", "", 100_000),
    ("new ", "", 100_000),
    ("x=>", "", 100_000),
    ("1?2:", "", 100_000),
    ("1**", "", 100_000),
    ("a=", "", 100_000),
    ("()=>{return ", "}", 20_000),
    ("function(){return ", "}", 20_000),
    ("class{a=", "}", 20_000),
    ("", " ! a()", 100_000),
    ("", " ! a", 2_000),
];

fn is_refusal_with_a_place(message: &str, file: &str) -> bool {
    let place = message
        .strip_prefix("SyntaxError: ")
        .unwrap_or(message)
        .strip_prefix(file);
    let numbers: Vec<&str> = place.unwrap_or_default().splitn(4, ':').collect();
    let is_number = |text: &&str| text.parse::<u32>().is_ok_and(|number| number > 0);
    let ["", line, column, what] = &numbers[..] else {
        return false;
    };
    let says = [
        "the text nests deeper here than can be read (brackets",
        "brackets are nested more than 65536 deep",
    ];
    is_number(line) && is_number(column) && says.iter().any(|words| what.trim().starts_with(words))
}

#[test]
fn a_text_that_nests_too_deep_is_refused_with_its_place_and_the_turn_goes_on() {
    let mut vat = TestVat::deployed(RUNNER);
    for way in WAYS {
        let head = match way {
            "module" => "export const v =\n ",
            "Function" => "return ",
            _ => "v =\n ",
        };
        let file = if way == "module" { "./m.js" } else { "eval" };
        for (open, close, count) in NESTS {
            let args = serde_json::json!([way, head, open, count, close, ";"]).to_string();
            let said: String =
                serde_json::from_str(&vat.value("nest", &args)).expect("is a string");
            assert!(is_refusal_with_a_place(&said, file), "{way} {open}: {said}");
            // What is no deeper than people write is read.
            let args = serde_json::json!([way, head, open, 100, close, ";"]).to_string();
            let said = vat.value("nest", &args);
            assert!(!said.contains("nests"), "{way} {open}: {said}");
        }
    }
}

#[test]
fn calls_that_nest_too_deep_are_still_the_end_of_their_turn() {
    // Also where the last of them reads a text.
    let source = "export const m = () => { try { return m() + 1 } catch { return 7 } };
        export const e = () => eval('(() => { const f = () => f() + 1; return f() })()');
        export const r = () => { try { return eval('1') + r() } catch { return 7 } };
        export const ok = () => 1;";
    for method in ["m", "e", "r"] {
        let mut vat = TestVat::deployed(source);
        let (_, message) = vat.call_message(method, "[]");
        let turn = vat.delivery(message);
        let deliver = ToWorker::Deliver {
            turns: vec![turn],
            hand_over: true,
        };
        vat.wake().send(&deliver);
        let said = vat.wake().receive();
        assert!(
            matches!(said, Some(FromWorker::Aborted { .. })),
            "{method}: {said:?}"
        );
    }
}

fn deployed(text: &str) -> Outcome {
    TestVat::new().deploy(&[("main.js", text)], &[])
}

/// The error of deploying a text, which is also what checking it finds.
fn refused(text: &str) -> Thrown {
    let Outcome::Thrown(error) = deployed(text) else {
        panic!("this is deployed: {:?}", text.get(..200))
    };
    let files = [("main.js".to_owned(), text.to_owned())];
    let report = kenvat_engine::check("main.js", &files).expect("is checked");
    let [found] = &report.errors[..] else {
        panic!("one error: {report:?}")
    };
    assert_eq!(
        (&error.name, &error.message, &error.stack),
        (&found.name, &found.message, &found.stack)
    );
    error
}

#[test]
fn a_program_that_nests_too_deep_is_refused_with_place_and_line() {
    for (open, close, count) in NESTS {
        let nest = open.repeat(count) + "1" + &close.repeat(count);
        for head in ["export default {};\n", "exports.a = 1;\n"] {
            let error = refused(&format!("{head}let a = {nest};\n"));
            assert!(
                is_refusal_with_a_place(&error.message, "main.js"),
                "{open}: {error:?}"
            );
            assert!(error.message.starts_with("main.js:2:"), "{error:?}");
            let lines: Vec<&str> = error.stack.lines().collect();
            assert_eq!(lines.len(), 3, "{error:?}");
            assert!(
                error.stack.len() < 1_000 && lines[2].ends_with('^'),
                "{error:?}"
            );
        }
    }
}

#[test]
fn odd_texts_are_read_or_refused_with_their_place_as_a_program() {
    let root = "export default { m: () => v };";
    for (text, expected) in [
        (format!("\u{feff}const v = 1; {root}"), "1"),
        (format!("#!/usr/bin/env kenvat\nconst v = 2; {root}"), "2"),
        (
            "#!/usr/bin/env kenvat\nexports.m = () => 3;".to_owned(),
            "3",
        ),
        ("\u{feff}exports.m = () => 4;".to_owned(), "4"),
        (format!("const v = 5;\r\n// x\r\n{root}\r\n"), "5"),
        (format!("const v = 6;\u{2028}{root}"), "6"),
        (format!("const v = 'a\0b'.length + 4; {root}"), "7"),
        ("exports.m = () => 8;\n<!-- a\n--> b\n".to_owned(), "8"),
        (format!("const v = '\u{10ffff}'.length + 7; {root}"), "9"),
        ("const a = 10\n!0; exports.m = () => a".to_owned(), "10"),
    ] {
        let mut vat = TestVat::new();
        let outcome = vat.deploy(&[("main.js", &text)], &[]);
        assert_eq!(outcome, undefined(), "{text:?}");
        assert_eq!(vat.value("m", "[]"), expected, "{text:?}");
    }
    for (text, place, line) in [
        ("let v;\r\nlet let;\r\n", "main.js:2:5", "let let;"),
        ("let v;\rlet let;\r", "main.js:2:5", "let let;"),
        ("let v;\u{2029}let let;", "main.js:2:5", "let let;"),
        ("let v = '\u{2028}';\nlet let;", "main.js:2:5", "let let;"),
        ("let v;\nlet a\0b;", "main.js:2:6", "let a\0b;"),
        ("let v;\n<!-- no", "main.js:2:1", "<!-- no"),
        ("\u{feff}let let;", "main.js:1:6", "\u{feff}let let;"),
        ("#! x\nlet let;", "main.js:2:5", "let let;"),
        ("let v;\n #! x", "main.js:2:2", " #! x"),
        ("let v =\n x ! a(/(/);", "main.js:2:8", " x ! a(/(/);"),
        ("exports.v =\n x ! a(/(/);", "main.js:2:8", " x ! a(/(/);"),
        (
            "let v;\n\t/(?<a>.)(?<a>.)/;",
            "main.js:2:2",
            "\t/(?<a>.)(?<a>.)/;",
        ),
    ] {
        let error = refused(text);
        assert_eq!(error.name, "SyntaxError", "{text:?}: {error:?}");
        assert!(
            error.message.starts_with(&format!("{place}: ")),
            "{text:?}: {error:?}"
        );
        assert!(
            error
                .stack
                .lines()
                .nth(1)
                .is_some_and(|shown| shown.ends_with(line)),
            "{text:?}: {error:?}"
        );
    }
}

#[test]
fn odd_texts_are_read_or_refused_when_they_are_evaluated() {
    let mut vat = TestVat::deployed(RUNNER);
    for (text, ways, expected) in [
        ("\u{feff}'a'", &["eval", "evaluate"][..], r#""a""#),
        ("#! x\n'b'", &["eval", "evaluate"], r#""b""#),
        ("'c'\r\n<!-- x\r\n--> y", &["eval", "evaluate"], r#""c""#),
        ("'\\ud800'.length", &["eval", "evaluate"], "1"),
        ("'a\0b'.length", &["eval", "evaluate"], "3"),
        ("1;\n2\r! 3", &["eval", "evaluate"], "false"),
        ("", &["Function", "parameter"], r#""function""#),
        ("/* \0 */", &["Function", "parameter"], r#""function""#),
        ("export const v = 5;\r\n", &["module"], "5"),
        ("\u{feff}#! x", &["eval"], r#"invalid first character"#),
        ("<!-- x", &["module"], "unexpected token"),
        ("#! x", &["Function"], "invalid first character"),
        (
            "1 \0",
            &["eval", "evaluate", "Function", "module"],
            "SyntaxError",
        ),
    ] {
        for way in ways {
            let said = run(&mut vat, way, text);
            assert!(said.contains(expected), "{way} {text:?}: {said}");
        }
    }
    // Lone surrogates, which JSON cannot bring in.
    let source = "
        const lone = '\\ud800', other = '\\udfff';
        const is = (x) => x === lone;
        export const read = async () => [
          eval(`'${lone}'`), Function(`return '${lone}'`)(),
          Function('x', `y = '${lone}'`, 'return y')(),
          new Compartment({}).evaluate(`'${lone}'`),
          (await new Compartment({}, { m: `export const v = '${lone}'` }).import('m')).namespace.v,
        ].map(is).join();
        const refused = (make) => { try { make(); return 'made'; } catch (e) { return e.name; } };
        export const no = () => [
          refused(() => eval(lone)), refused(() => eval(`let a${other}`)),
          refused(() => Function(lone)), refused(() => Function(lone, '')),
          refused(() => new Compartment({}).evaluate(`x ! ${lone}`)),
        ].join();";
    let mut vat = TestVat::deployed(source);
    assert_eq!(vat.value("read", "[]"), r#""true,true,true,true,true""#);
    let no = ["SyntaxError"; 5].join(",");
    assert_eq!(vat.value("no", "[]"), format!("{no:?}"));
}

#[test]
fn a_text_of_sixteen_mebibytes_is_read_and_a_longer_one_refused() {
    const MOST: usize = 16 << 20;
    let head = "export default { m: () => v.length };\nconst v = '";
    let long = MOST - head.len() - 2;
    let folder = tempfile::tempdir().expect("a folder");
    let engine = Engine::open(folder.path()).expect("an engine opens");
    let call = |vat: &str, args: &str| engine.call(vat, "m", args).expect("no error");
    // The engine counts the file's name as well.
    let text = |length: usize| format!("{head}{}';", "x".repeat(length - "most.js".len()));
    engine.deploy("most", &text(long)).expect("is deployed");
    assert_eq!(call("most", "[]"), (long - 7).to_string());
    let refused = engine
        .deploy("more", &text(long + 1))
        .expect_err("is too long");
    assert!(
        refused.to_string().contains("the limit is 16777216"),
        "{refused}"
    );
    let eval = "export const m = (n) => { try { return eval(`'${'x'.repeat(n)}'`).length }
          catch (e) { return `${e.name}: ${e.message}` } };";
    engine.deploy("eval", eval).expect("is deployed");
    let evaluated = call("eval", &format!("[{}]", MOST - 2));
    assert_eq!(evaluated, (MOST - 2).to_string());
    let refusal = r#""SyntaxError: eval:1:1: a source is at most 16777216 bytes""#;
    assert_eq!(call("eval", &format!("[{}]", MOST - 1)), refusal);
    engine.stop().expect("clean");
}
