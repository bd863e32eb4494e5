//! `kenvat check`: reads as a deployment would, runs nothing, touches no store.

mod common;

use common::{Said, World};
use serde_json::{Value, json};

fn check(world: &World, file: &str) -> Said {
    world.run(&["check", file])
}

/// What a failed check says, as JSON.
fn error_of(world: &World, file: &str) -> Value {
    let said = world.run(&["--json", "check", file]);
    assert_eq!(said.out, "", "{said:?}");
    let error: Value = serde_json::from_str(&said.err).expect("is JSON");
    error["error"].clone()
}

#[test]
fn a_good_program_is_told_what_it_makes_and_no_store_is_made() {
    let world = World::new()
        .with(
            "named.js",
            "import { two } from './lib/two.js';\nexport const init = () => {};\n\
             export const m = (x) => x ! p(two);\nwhile (true);\n",
        )
        .with(
            "lib/two.js",
            "export const two = 2; throw new Error('never run');",
        )
        .with(
            "common.js",
            "#!/usr/bin/env kenvat\nexports.m = () => 1; throw 1;\n",
        );
    for (file, shape, exports, files) in [
        (
            "counter.js",
            "default",
            json!(["default"]),
            json!(["counter.js"]),
        ),
        (
            "named.js",
            "named",
            json!(["init", "m"]),
            json!(["lib/two.js", "named.js"]),
        ),
        ("common.js", "commonjs", json!([]), json!(["common.js"])),
    ] {
        let sheet = world.json(&["check", file]);
        let expected = json!({
            "entry": file, "shape": shape, "exports": exports, "files": files,
        });
        assert_eq!(sheet, expected);
    }
    let said = world.ok(&["check", "named.js"]);
    let methods = "named.js can be read: the functions among its exports are the root object's \
                   methods: m; init runs once\n2 files: lib/two.js, named.js";
    assert_eq!(said, methods);
    assert!(!world.data().exists(), "no store");
}

#[test]
fn a_bad_program_is_told_what_deploying_it_would_tell() {
    let world = World::new()
        .with(
            "syntax.js",
            "export default (x) => ({\n\tm: () => x ! a ! b('é') +* 2,\n});\n",
        )
        .with(
            "form.js",
            "const é = 1;\nexport default (x) => x?.y ! m();\n",
        )
        .with(
            "common.js",
            "exports.m = (x) => x ! a() ! b;\nexports.n = (;\n",
        )
        .with("imported.js", "import './syntax.js';\nexport default {};\n")
        .with(
            "bare.js",
            "// left-pad\nimport pad from 'left-pad';\nexport default {};\n",
        )
        .with("node.js", "import fs from 'node:fs';\nexport default {};\n")
        .with("typed.js", "import './x.ts';\nexport default {};\n")
        .with("data.js", "import d from './d.json';\nexport default {};\n")
        .with("d.json", "{}")
        .with(
            "gone.js",
            "import {\n  a,\n} from './nowhere.js';\nexport default {};\n",
        )
        .with(
            "unlinked.js",
            "import { m, no } from './named.js';\nexport default {};\n",
        )
        .with("named.js", "export const m = 1;\n")
        .with("nothing.js", "let x = 1;\n")
        .with("d.ts", "let x: number;\n")
        .with(
            "deep.js",
            &format!("export default {{}};\nlet x = {};\n", "[".repeat(3_000)),
        );
    for (file, status, parts) in [
        (
            "syntax.js",
            1,
            &["syntax.js:2:27: ", "m: () => x ! a ! b('é') +* 2,"][..],
        ),
        (
            "form.js",
            1,
            &[
                "form.js:2:28: x?.y ! m(): ",
                "export default (x) => x?.y ! m();",
            ],
        ),
        ("common.js", 1, &["common.js:2:14: ", "exports.n = (;"]),
        ("imported.js", 1, &["syntax.js:2:27: "]),
        ("bare.js", 1, &["left-pad", "bundle", "bare.js:2:18"]),
        ("node.js", 1, &["node:fs", "powers", "node.js:1:17"]),
        ("typed.js", 1, &["./x.ts", "compile", "typed.js:1:9"]),
        ("data.js", 1, &["./d.json", "--give", "data.js:1:16"]),
        ("gone.js", 1, &["cannot find './nowhere.js'", "gone.js:3:9"]),
        (
            "unlinked.js",
            1,
            &["'no' is not exported by named.js", "unlinked.js:1:13"],
        ),
        ("nothing.js", 1, &["exports nothing to call"]),
        (
            "deep.js",
            1,
            &["deep.js:2:", "nests deeper", "variable or a function"],
        ),
        ("d.ts", 2, &["TypeScript", "compile"]),
        ("absent.js", 2, &["absent.js"]),
        (".", 2, &["folder"]),
    ] {
        let said = check(&world, file);
        assert_eq!(
            (said.status, said.out.as_str()),
            (status, ""),
            "{file}: {said:?}"
        );
        for part in parts {
            assert!(
                said.err.contains(part),
                "{file} without {part:?}:\n{}",
                said.err
            );
        }
        assert!(
            !said.err.contains("__k"),
            "the author's own text: {}",
            said.err
        );
        // Word for word, but for what only a deployment can leave behind.
        let deploy = world.run(&["deploy", file, "--name", "a"]);
        let told = deploy.err.replace("  no vat was left behind\n", "");
        assert_eq!((deploy.status, told), (said.status, said.err), "{file}");
    }
}

#[test]
fn every_error_of_every_file_is_told_at_once() {
    let world = World::new()
        .with(
            "main.js",
            "import { a } from './a.js';\nimport './b.js';\nimport 'bare';\nimport './no.js';\n\
             export default async () => import('./later.js');\n",
        )
        .with("a.js", "export const b = 1;\nlet let = 1;\n")
        .with("b.js", "import './a.js';\nx ! #p;\n")
        .with("later.js", "a b\n");
    let error = error_of(&world, "main.js");
    assert_eq!(
        (&error["code"], &error["name"]),
        (&json!(-32000), &json!("TypeError"))
    );
    let others = error["others"].as_array().expect("a list");
    let mut places: Vec<&str> = [&error]
        .into_iter()
        .chain(others)
        .map(|error| {
            error["stack"]
                .as_str()
                .expect("a text")
                .lines()
                .next()
                .expect("one")
        })
        .map(|line| line.trim_start_matches("    at "))
        .collect();
    places.sort_unstable();
    assert_eq!(
        places,
        [
            "a.js:2:5",
            "b.js:2:5",
            "later.js:1:3",
            "main.js:3:9",
            "main.js:4:9"
        ]
    );
    let said = check(&world, "main.js");
    assert_eq!(said.err.matches("error: ").count(), 5, "{said:?}");
    // Names that are missing are told once everything can be read, all of them too.
    world.write("a.js", b"export const b = 1;\n");
    world.write("b.js", b"export { nope } from './a.js';\n");
    world.write("later.js", b"import { a, b } from './a.js';\n");
    world.write(
        "main.js",
        b"import { a } from './a.js';\nexport * from './b.js';\nimport('./later.js');\n",
    );
    let error = error_of(&world, "main.js");
    let others = error["others"].as_array().expect("a list");
    let all: Vec<&Value> = [&error].into_iter().chain(others).collect();
    let mut said: Vec<&str> = all
        .iter()
        .map(|error| error["message"].as_str().expect("a text"))
        .collect();
    said.sort_unstable();
    assert_eq!(
        said,
        [
            "SyntaxError: 'a' is not exported by a.js (imported by later.js:1)",
            "SyntaxError: 'a' is not exported by a.js (imported by main.js:1)",
            "SyntaxError: 'nope' is not exported by a.js (exported by b.js:1)",
        ]
    );
}

#[test]
fn no_end_of_errors_is_told_up_to_a_number() {
    let lines: String = (0..200).map(|at| format!("import 'bare{at}';\n")).collect();
    let world = World::new().with("many.js", &lines);
    let error = error_of(&world, "many.js");
    assert_eq!(error["others"].as_array().expect("a list").len(), 49);
}

#[test]
fn a_running_host_is_not_asked_and_a_broken_store_not_looked_at() {
    let world = World::new();
    let host = world.serve(&["run", "counter.js"]);
    world.ok(&["call", "counter", "incr"]);
    let before = world.json(&["show", "counter"]);
    world.ok(&["check", "counter.js"]);
    assert_eq!(world.json(&["show", "counter"]), before);
    assert_eq!(world.json(&["ls"]).as_array().expect("a list").len(), 1);
    drop(host);
    let world = World::new();
    std::fs::write(world.data(), "no folder").expect("writes");
    world.ok(&["check", "counter.js"]);
}

#[test]
fn a_program_that_takes_for_ever_to_read_is_given_up() {
    let text: String = (0..300_000).map(|at| format!("let v{at};\n")).collect();
    let world = World::new().with("slow.js", &format!("export default {{}};\n{text}"));
    let said = check(&world, "slow.js");
    assert_eq!(said.status, 1, "{said:?}");
    assert!(said.err.contains("longer than a turn may run"), "{said:?}");
}

#[test]
fn a_long_chain_of_imports_is_read_and_deployed() {
    const FILES: usize = 4_000;
    let world = World::new();
    for at in 0..FILES {
        let next = at + 1;
        let text = match next {
            FILES => "export const end = 1;".to_owned(),
            _ => format!("import './c{next}.js';"),
        };
        let head = if at == 0 {
            "export default { m: () => 5 };"
        } else {
            ""
        };
        world.write(&format!("c{at}.js"), format!("{head}{text}\n").as_bytes());
    }
    let said = world.ok(&["check", "c0.js"]);
    assert!(
        said.contains("4000 files: c0.js, c1.js") && said.ends_with(", …"),
        "{said}"
    );
    world.ok(&["deploy", "c0.js", "--name", "c"]);
    assert_eq!(world.ok(&["call", "c", "m"]), "5");
}
