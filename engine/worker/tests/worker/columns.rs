//! Errors in texts that a program makes code of show the author's columns, also behind an infix
//! `!`, in any later turn, and however many texts there are.

use kenvat_testing::worker::{TestVat, thrown};

/// Evaluates text in each way there is, and keeps what it makes.
const RUNNER: &str = "
const made = new Map();
export default {
  eval(name, text) { made.set(name, eval(text)); },
  Function(name, text) { made.set(name, Function('x', text)); },
  evaluate(name, text) { made.set(name, new Compartment({}).evaluate(text)); },
  async module(name, text) {
    const { namespace } = await new Compartment({}, { './m.js': text }).import('./m.js');
    made.set(name, namespace.f);
  },
  run: (name) => made.get(name)(null),
  tell(name) { try { made.get(name)(null); } catch (e) { console.log(e); } },
  many(count) { for (let n = 0; n < count; n += 1) eval(`(x) => x ! m${n}`); },
};";

/// Texts that throw behind sends, and how each is written without: columns are the same.
const SENDS: [(&str, &str); 4] = [
    (
        "eval",
        "(x) => {\n  if (x) x ! a, x ! b(1) ! c, x ! a(2); else return x.y.z + x ! a; }",
    ),
    ("Function", "if (x) { x ! a, x ! b } return x.y.z"),
    (
        "evaluate",
        "(x) => { if (x) return(x) ! é(1); const y = 'é'; x.y }",
    ),
    (
        "module",
        "export const g = 1;\nexport const f = (x) => { if (x) x ! a; return x.y.z + x ! a; };",
    ),
];

fn json(texts: &[&str]) -> String {
    serde_json::to_string(texts).expect("strings are JSON")
}

#[test]
fn an_evaluated_texts_places_are_the_authors() {
    let mut vat = TestVat::deployed(RUNNER);
    for (way, sends) in SENDS {
        let commas = sends.replace('!', ",");
        vat.value(way, &json(&["sends", sends]));
        vat.value(way, &json(&["commas", &commas]));
        for _ in 0..2 {
            let error = vat.thrown("run", r#"["sends"]"#);
            assert_eq!(error, vat.thrown("run", r#"["commas"]"#), "{way}");
            let file = if way == "module" { "m.js:" } else { "eval:" };
            assert!(error.stack.contains(file), "{way}: {error:?}");
            vat.kill();
        }
        vat.value("tell", r#"["sends"]"#);
        vat.value("tell", r#"["commas"]"#);
        let [.., told, expected] = &vat.log[..] else {
            panic!("two lines")
        };
        assert_eq!(told.text, expected.text, "{way}");
    }
}

#[test]
fn a_syntax_error_in_an_evaluated_text_is_where_the_author_put_it() {
    let mut vat = TestVat::deployed(RUNNER);
    for (way, text, place) in [
        ("eval", "1;\n x ! a ! b + 'é'; let let = 1", "eval:2:24"),
        ("evaluate", "(() => { return(x) ! a +* 2 })", "eval:1:25"),
        ("evaluate", "x ! a ! b +* 2", "eval:1:12"),
        ("Function", "x ! a ! b +* 2", "eval:3:12"),
        ("module", "export const f = x ! a ! b +* 2", "./m.js:1:29"),
        // Such as name no place by themselves.
        ("eval", "x ! a ! b(/(/)", "eval:1:11"),
        ("eval", "1;\n  /[/", "eval:2:3"),
        ("Function", "x ! a ! b(/(/)", "eval:3:11"),
        ("module", "export const f = x ! a ! b(/(/)", "./m.js:1:28"),
    ] {
        let error = vat.thrown(way, &json(&["n", text]));
        assert_eq!(error.name, "SyntaxError", "{text}: {error:?}");
        let in_stack = format!("    at {place}");
        let in_message = format!("{place}: ");
        let shown = error.stack.lines().next() == Some(&in_stack);
        assert!(
            shown || error.message.starts_with(&in_message),
            "{text}: {error:?}"
        );
    }
}

#[test]
fn a_commonjs_files_places_are_the_authors() {
    let sends = "exports.m = (x) => {\n\
        \x20 if (x) x ! a, x ! b(1) ! c, x ! a(2); else return x.y.z + x ! a; };";
    let mut with = TestVat::deployed(sends);
    let mut without = TestVat::deployed(&sends.replace('!', ","));
    for _ in 0..2 {
        let error = with.thrown("m", "[null]");
        assert_eq!(error, without.thrown("m", "[null]"));
        assert!(error.stack.contains("main.js:2:"), "{error:?}");
        with.kill();
        without.kill();
    }
}

#[test]
fn texts_of_one_name_have_their_own_columns() {
    let mut vat = TestVat::deployed(RUNNER);
    let texts = [
        "export const f = (x) => { if (x) x ! a; return x.y; };",
        "export const f = (x) => { if (x) { x ! a ! b ! c ! d } return x.y; };",
    ];
    for text in texts {
        vat.value("module", &json(&[text, text]));
    }
    for text in texts {
        let column = text.find("x.y").expect("is there") + 1;
        let error = vat.thrown("run", &json(&[text]));
        assert!(
            error.stack.contains(&format!("(./m.js:1:{column})")),
            "{column}: {error:?}"
        );
    }
}

#[test]
fn however_many_texts_send_the_maps_stay_bounded_and_no_number_is_shown() {
    let mut vat = TestVat::deployed(RUNNER);
    let text = "(x) => { if (x) x ! a; return x.y.z }";
    vat.value("eval", &json(&["first", text]));
    let exact = vat.thrown("run", r#"["first"]"#);
    vat.value("many", "[2000]");
    let pages = vat.used_pages;
    for _ in 0..5 {
        vat.value("many", "[2000]");
    }
    assert!(
        vat.used_pages < pages + 64,
        "{pages} pages became {}",
        vat.used_pages
    );
    vat.value("eval", &json(&["last", text]));
    assert_eq!(vat.thrown("run", r#"["last"]"#), exact);
    // The oldest map is gone: the column is the rewritten line's, file and line are what they were.
    let error = vat.thrown("run", r#"["first"]"#);
    assert!(error.stack.contains("(eval:1:"), "{error:?}");
    assert_ne!(error.stack, exact.stack);
    assert!(!error.stack.contains('\u{fdd0}'), "{error:?}");
}

#[test]
fn a_text_without_sends_costs_no_map() {
    let mut vat = TestVat::deployed(
        "export const one = (t) => { eval(t); }; export const two = (t) => { eval(t); };",
    );
    vat.value("one", r#"["1"]"#);
    vat.value("one", r#"["1"]"#);
    let without = vat.delta_bytes;
    vat.value("two", r#"["Promise ! a"]"#);
    vat.value("two", r#"["Promise ! a"]"#);
    let with = vat.delta_bytes;
    assert!(
        without < with,
        "{without} bytes without a send, {with} with"
    );
}

#[test]
fn a_program_that_fails_in_an_evaluated_text_is_shown_there() {
    let text = "eval('1;\\n null ! a; null.x')";
    let error = thrown(TestVat::new().deploy(&[("main.js", text)], &[]));
    assert!(error.stack.contains("eval:2:12"), "{error:?}");
}
