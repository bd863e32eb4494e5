//! Every program of docs/promises.md, run as it stands there.

mod common;

use common::{TestVat, undefined};
use kenvat_engine::protocol::Outcome;

#[test]
fn every_program_of_the_chapter_answers_what_it_says() {
    let text = include_str!("../../docs/promises.md");
    let programs: Vec<&str> = text
        .split("```js\n")
        .skip(1)
        .map(|rest| rest.split("```").next().expect("a block ends"))
        .collect();
    assert_eq!(programs.len(), 4, "the chapter's programs");
    for program in programs {
        let mut vat = TestVat::new();
        assert_eq!(vat.deploy(&[("main.js", program)], &[]), undefined());
        let request = vat.send("run", "[]");
        while !vat.replies.contains_key(&request) && vat.fire_next() {}
        let said = program
            .rsplit("; // ")
            .next()
            .and_then(|rest| rest.lines().next());
        let wanted = Outcome::Value(said.expect("it says what it answers").to_owned());
        assert_eq!(vat.replies.remove(&request), Some(wanted), "{program}");
    }
}
