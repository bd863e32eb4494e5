//! What taking a module apart gives, form by form.

use super::*;
use crate::names::Hidden;

fn apart(text: &str) -> (String, Module) {
    let module = take_apart(text.as_bytes()).expect("a module");
    (
        String::from_utf8(module.text.clone()).expect("UTF-8"),
        module,
    )
}

fn locals(module: &Module) -> Vec<(String, String)> {
    let pairs = module
        .exports
        .iter()
        .filter_map(|(name, export)| match export {
            Export::Local(local) => Some((name.clone(), local.clone())),
            _ => None,
        });
    pairs.collect()
}

#[test]
fn every_form_of_import_is_read_and_blanked() {
    let text = "import a, { b as c, default as d, 'e f' as g } from './x.js';\n\
                import * as n from \"y\"\nimport 'z';f(a)";
    let (out, module) = apart(text);
    assert_eq!(out.trim_start_matches([' ', ';', '\n']), "f(a)");
    assert_eq!(out.len(), text.len());
    assert_eq!(out.lines().count(), text.lines().count());
    assert_eq!(module.requests, ["./x.js", "y", "z"]);
    let seen: Vec<_> = module
        .bindings
        .iter()
        .map(|b| (b.local.as_str(), b.specifier.as_str(), b.name.as_deref()))
        .collect();
    assert_eq!(
        seen,
        [
            ("a", "./x.js", Some("default")),
            ("c", "./x.js", Some("b")),
            ("d", "./x.js", Some("default")),
            ("g", "./x.js", Some("e f")),
            ("n", "y", None),
        ]
    );
}

#[test]
fn every_form_of_export_is_read() {
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    for (text, expected) in [
        (
            "export const a = f(1, 2), b = [3, 4]\nfoo(), bar()",
            vec!["a", "b"],
        ),
        (
            "export let { a, b: [c, { d = { q: 1 } }], ...e } = x, g",
            vec!["a", "c", "d", "e", "g"],
        ),
        ("export var a;\nlet b, c", vec!["a"]),
        ("export function f() { g, h }", vec!["f"]),
        ("export async function* f() {}", vec!["f"]),
        ("export class A extends B { x = 1 }", vec!["A"]),
        ("let a; export { a }; export { a as b }", vec!["a", "b"]),
    ] {
        let (out, module) = apart(text);
        let names: Vec<String> = module.exports.keys().cloned().collect();
        let expected: Vec<String> = {
            let mut names: Vec<String> = expected.iter().map(|n| n.to_string()).collect();
            names.sort();
            names
        };
        assert_eq!(names, expected, "{text}");
        assert!(!out.contains("export"), "{out}");
        assert_eq!(out.len(), text.len());
    }
    let (_, module) =
        apart("export * from 'a'; export * as b from 'c'; export { d as e } from 'f'");
    assert_eq!(module.stars, ["a"]);
    assert_eq!(module.requests, ["a", "c", "f"]);
    assert_eq!(
        module.exports["b"],
        Export::Namespace {
            specifier: "c".into()
        }
    );
    let from = |s: &str, n: &str| Export::From {
        specifier: s.into(),
        name: n.into(),
    };
    assert_eq!(module.exports["e"], from("f", "d"));
    let (_, module) = apart("import { x as y } from 'm'; export { y as z }");
    assert_eq!(module.exports["z"], from("m", "x"));
    let (out, module) = apart("export default 5");
    assert_eq!(
        (out.as_str(), locals(&module)),
        (
            "const {default:__kv_d}={default:         5}",
            vec![pair("default", "__kv_d")]
        )
    );
}

#[test]
fn default_exports_have_the_names_they_should() {
    for (text, becomes) in [
        (
            "export default function () {}",
            "               function __kv_d () {}",
        ),
        (
            "export default async function* () {}",
            "               async function* __kv_d () {}",
        ),
        (
            "export default function f() {}",
            "               function f() {}",
        ),
        ("export default class A {}", "               class A {}"),
        (
            "export default class { x }\nf()",
            "const {default:__kv_d}={default:         class { x }}\nf()",
        ),
        (
            "export default class extends A {}",
            "const {default:__kv_d}={default:         class extends A {}}",
        ),
        (
            "export default async () => 1;",
            "const {default:__kv_d}={default:         async () => 1};",
        ),
        (
            "export default `a${b}c`\nf",
            "const {default:__kv_d}={default:         `a${b}c`}\nf",
        ),
        (
            "export default x ! p\n",
            "const {default:__kv_d}={default:         __kv_g(x ,/*__kv_*/ \"p\")}\n",
        ),
        (
            "export default [import('x')]",
            "const {default:__kv_d}={default:         [__kv_i('x')]}",
        ),
        (
            "export default import.meta.url",
            "const {default:__kv_d}={default:         __kv_m.meta.url}",
        ),
    ] {
        assert_eq!(apart(text).0, becomes);
    }
}

#[test]
fn a_module_that_says_the_usual_names_gets_others() {
    let (out, module) = apart("const __kv_i = 1; export default import('x')");
    assert_eq!(module.names.name(Hidden::Import), "$0000i");
    assert_eq!(
        out,
        "const __kv_i = 1; const {default:$0000d}={default:         $0000i('x')}"
    );
}

#[test]
fn names_are_read_as_the_language_reads_them() {
    let (_, module) = apart(
        "import {} from './x.js'; import from from 'y' with {}; import { \\u0061 as \\u{62} } \
         from 'z'; import as, { as as of } from 'w'; let c; export { c as '__proto__', c as \
         '\\x41\"' }; export { as }",
    );
    assert_eq!(module.requests, ["./x.js", "y", "z", "w"]);
    let locals: Vec<&str> = module.bindings.iter().map(|b| b.local.as_str()).collect();
    assert_eq!(locals, ["from", "b", "as", "of"]);
    assert_eq!(module.bindings[1].name.as_deref(), Some("a"));
    let exports: Vec<&str> = module.exports.keys().map(String::as_str).collect();
    assert_eq!(exports, ["A\"", "__proto__", "as"]);
}

#[test]
fn columns_lead_back_to_the_authors() {
    let (out, module) = apart("a; export default b; q </**/ d;\nexport default (e)");
    for name in ["b", "q", "d", "e"] {
        let now = out
            .find(&format!(" {name}"))
            .or(out.find(&format!("({name}")))
            .unwrap()
            + 1;
        let line = out[..now].matches('\n').count();
        let column = now - out[..now].rfind('\n').map_or(0, |at| at + 1) + 1;
        let author = "a; export default b; q </**/ d;\nexport default (e)";
        let there = author.lines().nth(line).unwrap().rfind(name).unwrap() + 1;
        let column = module.columns.author(line as u32 + 1, column as u32);
        assert_eq!(column as usize, there, "{name}");
    }
    assert_eq!(apart("a <!--b").0, "a </*__kv_<*/!--b");
}

#[test]
fn dynamic_import_and_meta_are_found_where_they_are_operands() {
    let text = "const a = import('x'); o.import(1); ({ import() {} }); import.meta.url; \
                class C { import(x) {} static import = 1 }";
    let (out, _) = apart(text);
    assert_eq!(
        out,
        "const a = __kv_i('x'); o.import(1); ({ import() {} }); __kv_m.meta.url; \
         class C { import(x) {} static import = 1 }"
    );
    let (out, module) = apart("export const a = import('x'), { b = import('y') } = c");
    assert_eq!(out, "       const a = __kv_i('x'), { b = __kv_i('y') } = c");
    assert_eq!(module.exports.len(), 2);
    assert_eq!(module.dynamic, ["x", "y"]);
    let script = |text: &'static str| {
        let Script {
            rewritten,
            has_early_errors,
        } = script(text.as_bytes()).expect("is read");
        let text = String::from_utf8(rewritten.text.into_owned()).expect("UTF-8");
        (text, has_early_errors)
    };
    assert_eq!(script("f(import('x'))"), ("f(__kv_i('x'))".into(), true));
    assert_eq!(script("'import(1)'; x.import(2)").1, false);
    assert_eq!(script("new.target").1, true);
}

#[test]
fn what_cannot_be_taken_is_said() {
    let line = |text: &str| match take_apart(text.as_bytes()) {
        Err(ModuleError::Refused(error)) => error.line,
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(line("\nimport a from 'x' with { type: 'json' }"), 2);
    assert_eq!(take_apart(b"export {"), Err(ModuleError::Unread));
    for text in [
        "export default",
        "export",
        "export const",
        "import",
        "import {",
        "import *",
    ] {
        let _ = take_apart(text.as_bytes());
    }
}
