//! The table `cases.txt`, and the cases that do not fit into a line.

use super::from_table;
use std::borrow::Cow;

use crate::*;

/// Fewer cases than this mean that the table was not read to its end.
const CASES_MIN: usize = 300;

#[test]
fn the_table_holds() {
    let mut failures = Vec::new();
    let mut count = 0;
    for line in include_str!("cases.txt").lines() {
        if line.is_empty() || line.starts_with("# ") || line.starts_with("## ") {
            continue;
        }
        let (author, expected) = line.split_once("  =>  ").expect("two columns");
        count += 1;
        if let Err(difference) = check(&from_table(author), expected) {
            failures.push(format!("{line}\n  {difference}"));
        }
    }
    assert!(count >= CASES_MIN, "{count} cases");
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

fn check(author: &str, expected: &str) -> Result<(), String> {
    let result = rewrite_str(author, Goal::Module);
    if let Some(error) = expected.strip_prefix("error ") {
        let (place, words) = error.split_once(' ').expect("a place and words");
        let said = match &result {
            Err(error) => format!("{}:{} {error}", error.line, error.column),
            Ok((text, _)) => format!("rewritten: {text}"),
        };
        return match said.starts_with(&format!("{place} {words}")) {
            true => Ok(()),
            false => Err(said),
        };
    }
    let (text, _) = result.map_err(|error| error.to_string())?;
    if expected == "same" {
        return match text {
            Cow::Borrowed(_) => Ok(()),
            Cow::Owned(text) => Err(text),
        };
    }
    let names = Names::of(author.as_bytes());
    let plain = without_marks(&text, names);
    if plain != with_names(&from_table(expected), names) {
        return Err(plain);
    }
    let lines = |text: &str| text.matches(['\n', '\r', '\u{2028}', '\u{2029}']).count();
    assert_eq!(lines(&text), lines(author), "{author}");
    match restore(text.as_bytes(), names) {
        Some(restored) if restored == author.as_bytes() => Ok(()),
        restored => Err(format!("restored: {:?}", restored.map(String::from_utf8))),
    }
}

fn with_names(text: &str, names: Names) -> String {
    let mut text = text.to_owned();
    for (short, hidden) in [
        ("$s", Hidden::Send),
        ("$c", Hidden::Call),
        ("$g", Hidden::Get),
    ] {
        // A glued call: its name is followed by a space.
        let name = names.name(hidden);
        text = text.replace(&format!("{short}("), &format!("{name}("));
        text = text.replace(&format!("{short} ("), &format!("{name} ("));
    }
    text
}

/// A rewritten text without the marks that `restore` goes by.
fn without_marks(text: &str, names: Names) -> String {
    let tag = names.tag();
    text.replace(&format!("/*{tag}*/"), "")
        .replace(&format!("/*{tag}]*/"), "")
}

fn rewritten(source: &str, goal: Goal) -> String {
    let text = rewrite_str(source, goal).expect("is rewritten").0;
    without_marks(&text, Names::of(source.as_bytes()))
}

#[test]
fn html_like_comments_are_comments_in_scripts_alone() {
    let text = "a <!-- b ! c\n--> d ! e\nf --> g ! h";
    assert_eq!(
        rewritten(text, Goal::Script),
        "a <!-- b ! c\n--> d ! e\nf --> __kv_g(g , \"h\")"
    );
    // There `<!--` is three operators, and so is what follows.
    let error = rewrite_str(text, Goal::Module).expect_err("an update of a send");
    assert_eq!(
        (error.refusal, error.line, error.column),
        (Refusal::Updated, 1, 10)
    );
    assert_eq!(rewritten("--> a ! b", Goal::Script), "--> a ! b");
    assert_eq!(
        rewritten("/* */ --> a ! b\n/*\n*/ --> c ! d", Goal::Script),
        "/* */ --> a ! b\n/*\n*/ --> c ! d"
    );
}

#[test]
fn bytes_that_are_no_text_are_left_as_they_are() {
    // A lone surrogate in a string, a name that is none, a zero.
    let source = b"'\xED\xA0\x80'; x ! m('\xED\xBF\xBF', \xFF\xFE, \0";
    let error = rewrite(source, Goal::Script).expect_err("a zero is no token");
    assert_eq!(error.refusal, Refusal::Unreadable(Malformed::Character));
    let source = b"x ! m('\xED\xBF\xBF', \xFF)";
    let text = rewrite(source, Goal::Script).expect("is rewritten").text;
    assert_eq!(&*text, b"__kv_s(x ,/*__kv_*/ \"m\",'\xED\xBF\xBF', \xFF)");
    assert_eq!(
        restore(&text, Names::default()).as_deref(),
        Some(&source[..])
    );
}

#[test]
fn limits_are_refused_with_their_names() {
    let refusal = |source: &str| {
        rewrite_str(source, Goal::Module)
            .map(drop)
            .expect_err("refused")
            .refusal
    };
    let spaces = " ".repeat(SOURCE_BYTES_MAX - 5);
    assert!(rewrite_str(&format!("x ! p{spaces}"), Goal::Module).is_ok());
    assert_eq!(refusal(&format!("x ! p {spaces}")), Refusal::TooLong);
    let deep = |depth: usize| "(".repeat(depth) + "x ! p" + &")".repeat(depth);
    assert!(rewrite_str(&deep(DEPTH_MAX), Goal::Module).is_ok());
    assert_eq!(refusal(&deep(DEPTH_MAX + 1)), Refusal::TooDeep);
    for bracket in [
        "(",
        "[",
        "{",
        "`${",
        "a ? [",
        "x ! [",
        "x ! (",
        "class A { [",
        "({ a() {",
    ] {
        assert_eq!(
            refusal(&bracket.repeat(1_000_000)),
            Refusal::TooDeep,
            "{bracket}"
        );
    }
    let chain = |sends: u32| "x".to_owned() + &"!p".repeat(sends as usize);
    let longest = chain(SENDS_MAX);
    let text = rewrite_str(&longest, Goal::Module).expect("is rewritten").0;
    assert!(text.ends_with(",/*__kv_*/\"p\")"));
    let restored = restore(text.as_bytes(), Names::default());
    assert_eq!(restored.as_deref(), Some(longest.as_bytes()));
    assert_eq!(refusal(&chain(SENDS_MAX + 1)), Refusal::TooManySends);
}

#[test]
fn time_grows_with_the_text_and_no_faster() {
    // Each would take minutes if anything here were quadratic.
    let repeated = |piece: &str| piece.repeat((1 << 20) / piece.len());
    let pieces = [
        "async /* */ ",
        "let /* */ ",
        "import /* */ ",
        "\\u{",
        "\\u{0",
        "x\\u{0",
        "/*",
        "/",
        "'",
        "`",
        "`${`",
        "<!--",
        "-->",
        "a\n",
        "!",
        "x!a;",
        "a!b(",
        "?.",
        "({a:",
        "\u{2028}",
        "\r",
        "class ",
        "function ",
        "new ",
        "x ? ",
        "=> ",
        "__kv_",
        "$000",
        "get ",
        "static ",
        "export ",
        "case ",
        "[",
    ];
    for piece in pieces {
        for goal in [Goal::Script, Goal::Module] {
            let _ = rewrite_str(&repeated(piece), goal);
        }
        let names = Names::default();
        for put_in in ["__kv_s(", ",/*__kv_*/", ",/*__kv_*/\"", ")/*__kv_]*/"] {
            let _ = restore(repeated(&format!("{put_in}{piece}")).as_bytes(), names);
            let _ = restore(format!("{put_in}{}", repeated(piece)).as_bytes(), names);
        }
    }
}

#[test]
fn columns_lead_back_to_the_authors() {
    let author = "a; return(x) ! m(b, c)\n  y ! p + `\n` + z ! [k] ! q(d)\r\nu ! v";
    let (text, columns) = rewrite_str(author, Goal::Module).expect("is rewritten");
    assert!(!columns.is_identity());
    let columns = Columns::from_bytes(&columns.to_bytes());
    // Each name of the author's stands at a place that leads back to where it stood.
    for name in [
        "a", "x", "m", "b", "c", "y", "p", "z", "k", "q", "d", "u", "v",
    ] {
        let (line, column) = place_of(author, name);
        let (now_line, now) = place_of(&text, name);
        assert_eq!(now_line, line, "{name}");
        assert_eq!(columns.author(line, now), column, "{name}");
    }
    // All of what was put before an operand is that operand's place; a `!` has its own.
    let line = text.lines().next().expect("a line");
    let name = line.find("__kv_s").expect("a call") as u32 + 1;
    for column in name..name + 8 {
        assert_eq!(columns.author(1, column), 10);
    }
    assert_eq!(
        columns.author(1, line.find(" ,").expect("a comma") as u32 + 2),
        14
    );
    assert_eq!(columns.author(99, 7), 7);
    assert_eq!(
        columns.author(1, u32::MAX),
        columns.author(1, u32::MAX),
        "no overflow"
    );
}

/// Line and column of a name that stands in a text once, outside the words put there.
fn place_of(text: &str, name: &str) -> (u32, u32) {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut places = text.match_indices(name).filter(|(at, _)| {
        let before = text[..*at].chars().next_back().is_some_and(is_part);
        let after = text[at + name.len()..].chars().next().is_some_and(is_part);
        !before && !after
    });
    let at = places.next().expect("stands there").0;
    let before = &text[..at];
    let start = before.rfind(['\n', '\r']).map_or(0, |at| at + 1);
    let breaks = before.replace("\r\n", "\n").matches(['\n', '\r']).count();
    (breaks as u32 + 1, (at - start) as u32 + 1)
}

#[test]
fn bytes_that_are_no_columns_map_to_themselves() {
    for bytes in [
        &[0x80][..],
        &[0xFF; 12],
        &[3, 1],
        &[0xFE, 0xFF, 0xFF, 0xFF, 0x7F, 1, 1],
    ] {
        assert_eq!(Columns::from_bytes(bytes).author(3, 4), 4, "{bytes:?}");
    }
}

#[test]
fn any_functions_text_is_restored() {
    let functions = [
        "function f() { x ! m(a) }",
        "async function* () { yield x ! m(a) }",
        "x => x ! p",
        "(a, b) => a ! [b](x ! y)",
        "async x => { await x ! m() }",
        "class A extends (x ! p) { #y = x ! z; static { x ! w } [x ! v]() {} }",
        "m(a = x ! p) { return(a) ! q() }",
        "get x() { return this ! p }",
        "static async *[x ! k](y) { y ! m() }",
        "#p() { this.#q ! m() }",
        "'s'() { x ! m() }",
        "5() { x ! m() }",
        "*g() { yield x ! m() }",
        "if(a) { a ! b }",
        "for(a) { a ! b }",
        "class(a) { a ! b }",
        "function(a) { a ! b }",
        "import(a) { a ! b }",
        "export(a) { a ! b }",
        "default(a) { a ! b }",
        "case(a) { a ! b }",
        "return(a) { a ! b }",
        "new(a) { a ! b }",
        "catch(a) { a ! b }",
        "yield(a) { a ! b }",
        "let(a) { a ! b }",
        "async(a) { a ! b }",
        "in(a) { a ! b }",
        "break(a) { a ! b }",
        "extends(a) { a ! b }",
        "get if() { a ! b }",
        "set class(a) { a ! b }",
    ];
    for function in functions {
        // As a member of an object or class, or as an expression: rewritten there and cut out.
        let whole = [
            format!("x = ({function})"),
            format!("x = {{ {function} }}"),
            format!("class X {{ {function} }}"),
        ];
        let cut = whole.iter().find_map(|whole| {
            let (text, columns) = rewrite_str(whole, Goal::Module).ok()?;
            if columns.is_identity() {
                return None;
            }
            let at = whole.find(function)?;
            let end = text.len() - (whole.len() - at - function.len());
            Some(text[at..end].to_owned())
        });
        let cut = cut.unwrap_or_else(|| panic!("{function} is not rewritten"));
        let restored = restore(cut.as_bytes(), Names::default())
            .map(|text| String::from_utf8(text).expect("text"));
        assert_eq!(restored.as_deref(), Some(function), "{cut}");
    }
    let none = |text: &str| assert_eq!(restore(text.as_bytes(), Names::default()), None, "{text}");
    none("function f() { x, y }");
    for odd in [
        "__kv_",
        "__kv_s",
        "__kv_s (",
        "__kv_d",
        "/*__kv_*/",
        ",/*__kv_*/",
        ",/*__kv_*/\"p",
        ",/*__kv_*/\"p\" 5",
        "/*__kv_]*/",
        ")/*__kv_]*/x",
    ] {
        none(odd);
    }
}

#[test]
fn whatever_is_put_in_is_restored() {
    let names = Names::default();
    let text = "f(__kv_i('x'), __kv_m.meta, a </*__kv_<*/!--b, function __kv_d() {})";
    assert_eq!(
        restore(text.as_bytes(), names).map(|text| String::from_utf8(text).expect("text")),
        Some("f(import('x'), import.meta, a <!--b, function() {})".to_owned())
    );
    // Of a text with other names this is what its author wrote.
    let other = Names::of(text.as_bytes());
    assert_eq!(restore(text.as_bytes(), other), None);
}
