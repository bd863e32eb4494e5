//! Tests reach an engine through its own interface and `kenvat_testing::engine`, and no test file
//! builds an interface of its own: each would have to be changed with the engine's.

use super::{Source, hold};

/// Literals of what is asked of an engine. Split, so that this file may name them.
const LITERALS: [&str; 3] = [
    concat!("Deploy", " {"),
    concat!("Call", " {"),
    concat!("EngineOptions", "::new("),
];
/// Functions that stand in front of an engine's own.
const FUNCTIONS: [&str; 7] = ["ask", "call", "deploy", "engine", "host", "send", "stop"];

fn builds_a_facade(line: &str) -> Option<String> {
    let has = |literal: &&&str| {
        let before = line.split(**literal).next().unwrap_or_default();
        // `Message::Call` and such are what workers are told.
        let is_another = before.ends_with("::") || before.ends_with(char::is_alphanumeric);
        line.contains(**literal) && !is_another
    };
    if let Some(literal) = LITERALS.iter().find(has) {
        let why = "`Deploy::new`, `Call::new` and `kenvat_testing::engine::open` are there for it";
        return Some(format!("a test makes its own `{literal}`: {why}"));
    }
    let name = line.trim_start().strip_prefix("fn ")?.split('(').next()?;
    let is_of_engine = line.contains("&Engine") || line.contains("-> Engine");
    (is_of_engine && FUNCTIONS.contains(&name)).then(|| {
        format!("`fn {name}` stands in front of an engine's own: `Engine` or `Ask` has it")
    })
}

#[test]
fn no_test_file_builds_a_facade_of_the_engine() {
    fn rule(source: &Source) -> Vec<String> {
        let is_there = source.path.starts_with("engine/testing/");
        let concerns = source.is_test() && source.text.contains("kenvat_engine");
        if !source.is_rust() || !concerns || is_there {
            return Vec::new();
        }
        let lines = source.text.lines().zip(1..);
        lines
            .filter_map(|(line, at)| Some(source.complain(at, &builds_a_facade(line)?)))
            .collect()
    }
    let literal = concat!("use kenvat_engine::Deploy;\nlet deploy = Deploy", " {\n");
    hold(rule, ("engine/tests/engine/a.rs", literal));
    let function = "use kenvat_engine::Engine;\nfn call(engine: &Engine) -> String {\n";
    hold(rule, ("engine/tests/engine/a.rs", function));
    let options = concat!("use kenvat_engine::x;\nEngineOptions", "::new(dir)\n");
    hold(rule, ("host/tests/a.rs", options));
}
