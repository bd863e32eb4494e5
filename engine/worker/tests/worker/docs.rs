//! Every program and every error of docs/, run as it stands there.
//!
//! A block of JavaScript is a whole vat whose `run` answers what its last comment says: JSON, or
//! `undone: WHY; read() is JSON` where the turn is undone. A row of a table that begins with code
//! and an error is tried too.

use std::fs;
use std::path::Path;

use kenvat_engine::{CallError, Engine};
use kenvat_testing::worker::{TestVat, undefined};
use kenvat_wire::protocol::Outcome;

/// The chapters, by name.
fn chapters() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let mut chapters: Vec<_> = fs::read_dir(folder)
        .expect("docs/ is there")
        .map(|entry| entry.expect("an entry"))
        .map(|entry| {
            let text = fs::read_to_string(entry.path()).expect("a chapter is text");
            (entry.file_name().to_string_lossy().into_owned(), text)
        })
        .collect();
    chapters.sort();
    chapters
}

/// The programs, each with what it says it answers.
fn programs(text: &str) -> Vec<(&str, &str)> {
    let blocks = text.split("```js\n").skip(1);
    blocks
        .map(|rest| {
            let program = rest.split("```").next().expect("a block ends");
            let said = program.rsplit_once("; // ");
            let said = said.and_then(|(_, after)| after.lines().next());
            let said = said.unwrap_or_else(|| panic!("does not say what it answers: {program}"));
            (program, said)
        })
        .collect()
}

#[test]
fn every_program_answers_what_it_says() {
    let chapters = chapters();
    let counts: Vec<_> = chapters
        .iter()
        .map(|(name, text)| (name.as_str(), programs(text).len()))
        .filter(|(_, count)| *count > 0)
        .collect();
    assert_eq!(counts, [("promises.md", 4), ("vat-guide.md", 14)]);
    for (_, text) in &chapters {
        for (program, said) in programs(text) {
            match said.strip_prefix("undone: ") {
                Some(said) => is_undone(program, said),
                None => answers(program, said),
            }
        }
    }
}

fn answers(program: &str, said: &str) {
    let mut vat = TestVat::new();
    let deployed = vat.deploy(&[("main.js", program)], &[]);
    assert_eq!(deployed, undefined(), "{program}");
    let request = vat.send("run", "[]");
    while !vat.replies.contains_key(&request) && vat.fire_next() {}
    let wanted = Outcome::Value(said.to_owned());
    assert_eq!(vat.replies.remove(&request), Some(wanted), "{program}");
}

/// By a whole host with its default limits, as authors meet them.
fn is_undone(program: &str, said: &str) {
    let (reason, left) = said.split_once("; read() is ").expect("both are said");
    let folder = tempfile::tempdir().expect("a folder");
    let engine = Engine::open(folder.path()).expect("an engine opens");
    let deployed = engine.deploy("v", program);
    assert!(deployed.is_ok(), "{program}: {deployed:?}");
    match engine.call("v", "run", "[]") {
        Err(CallError::TurnKilled { why, .. }) => assert_eq!(why, reason, "{program}"),
        other => panic!("was not undone but gave {other:?}: {program}"),
    }
    assert_eq!(
        engine.call("v", "read", "[]").as_deref(),
        Ok(left),
        "{program}"
    );
    engine.stop().expect("a clean stop");
}

/// Code and error of a table's row, both written as code.
fn row(line: &str) -> Option<(&str, &str)> {
    let mut cells = line.strip_prefix("| ")?.split(" | ");
    let (code, error) = (cells.next()?, cells.next()?);
    Some((written_as_code(code)?, written_as_code(error)?))
}

fn written_as_code(cell: &str) -> Option<&str> {
    ["``", "`"]
        .into_iter()
        .find_map(|tick| cell.strip_prefix(tick)?.strip_suffix(tick))
}

#[test]
fn every_error_of_the_tables_is_what_the_code_beside_it_gives() {
    let mut vat = TestVat::deployed(
        "export default (powers) => ({ run: (text) => \
         Function('powers', `return (async () => {${text}\\n})()`)(powers) })",
    );
    let mut tried = 0;
    for (name, text) in chapters() {
        for (code, error) in text.lines().filter_map(row) {
            let args = serde_json::to_string(&[code]).expect("strings are JSON");
            let said = match vat.call("run", &args) {
                Outcome::Thrown(thrown) => {
                    // A syntax error begins with its place, which is not the same everywhere.
                    let place = thrown.message.starts_with("eval:");
                    let message = thrown.message.split_once(": ").filter(|_| place);
                    let message = message.map_or(&*thrown.message, |(_, message)| message);
                    format!("{}: {message}", thrown.name)
                }
                other => panic!("{name}: `{code}` gave {other:?}"),
            };
            assert_eq!(said, error, "{name}: `{code}`");
            tried += 1;
        }
    }
    assert!(tried >= 25, "only {tried} rows were found");
}
