//! Hand-overs too large for a frame, as the core meets them (J7).

use super::*;
use crate::check::Violation;
use crate::rows::{self, AnswerRow};
use crate::spill::Spill;
use kenvat_store::backend::memory::MemoryBackend;
use kenvat_store::{Options, Row, SpillFile, Store};
use kenvat_wire::protocol::LogLine;

const LARGE: usize = FRAME_BYTES + 1;

fn long(begin: &str) -> String {
    format!("\"{begin}{}\"", "x".repeat(LARGE))
}

fn handed(generation: u64, number: u64, last_turn: u64, replies: Vec<Reply>) -> HandOver {
    HandOver {
        generation,
        number,
        last_turn,
        replies,
        log: vec![],
        timers: vec![],
        pieces: 0,
        used_pages: 5,
        delta: delta_of(last_turn),
    }
}

impl Bench {
    /// What the host does with a large hand-over; why the worker lied.
    fn large(&mut self, generation: u64, hand_over: HandOver) -> Result<(), String> {
        assert!(self.core.is_large(VatId(1), &hand_over));
        let aside = self.core.spill(VatId(1), generation, hand_over);
        let checked = write(
            aside
                .expect("its worker counts")
                .map_err(|why| why.to_string())?,
        );
        let checked = Box::new(checked.map_err(|error| error.to_string())?);
        self.event(Event::LargeHandOver {
            vat: VatId(1),
            generation,
            checked,
        });
        Ok(())
    }

    /// Rows of this table in the frame being filled, and where they are among its parts.
    fn staged_rows(&self, table: u8) -> Vec<(usize, &Row)> {
        let parts = self.staged.iter().enumerate();
        let rows = parts.filter_map(|(at, part)| match part {
            Part::Row(row) if row.table == table => Some((at, row)),
            _ => None,
        });
        rows.collect()
    }

    /// The side file the frame being filled names, and where.
    fn staged_side(&self) -> Option<(usize, &SpillFile)> {
        let mut parts = self.staged.iter().enumerate();
        parts.find_map(|(at, part)| match part {
            Part::Spill(side) => Some((at, side)),
            _ => None,
        })
    }

    fn staged_bytes(&self) -> usize {
        let bytes = |part: &Part| match part {
            Part::Row(row) => row.key.len() + row.value.as_ref().map_or(0, Vec::len),
            Part::Log { bytes, .. } => bytes.len(),
            Part::Heap { delta, .. } => delta.as_bytes().len(),
            _ => 0,
        };
        self.staged.iter().map(bytes).sum()
    }
}

fn write(spill: Spill) -> Result<super::super::Checked, Violation> {
    let (mut store, _) = Store::open(MemoryBackend::new(), Options::default()).unwrap();
    let mut writer = store.begin_spill(VatId(1), 100).unwrap();
    let contents = spill.check()?;
    for row in contents.rows() {
        let value = row.value.expect("rows are set");
        writer.push_row(row.table, row.key, &value).unwrap();
    }
    writer.push_log(contents.log()).unwrap();
    let side = writer.finish(None).unwrap();
    Ok(contents.with_file(side))
}

#[test]
fn j7_kept_answers_and_log_are_in_the_file_and_the_frame_says_that_there_was_one() {
    let mut bench = Bench::with_vat();
    let kept = bench.call("a", Some("k"));
    let other = bench.call("b", None);
    let generation = bench.started().unwrap();
    bench.ready(generation);
    let answers = vec![value(2, &long("kept")), value(3, &long("other"))];
    let mut hand_over = handed(generation, 1, 3, answers);
    hand_over.log = vec![LogLine {
        turn: 2,
        level: "log".into(),
        text: "said".into(),
    }];
    bench.large(generation, hand_over).unwrap();
    assert!(bench.staged_bytes() < 1000, "{}", bench.staged_bytes());
    assert!(bench.answer(kept).is_none(), "not before its frame");
    // What the file sets stands behind what the frame says for the case of its damage.
    let answers = bench.staged_rows(rows::ANSWERS);
    let [(at, row)] = answers[..] else {
        panic!("{answers:?}")
    };
    let row: AnswerRow = rows::read(rows::ANSWERS, row.value.as_ref().unwrap()).unwrap();
    assert_eq!(row, AnswerRow::Gone);
    let (side_at, side) = bench.staged_side().expect("a file is named");
    assert!(side.bytes() as usize > LARGE && (side.bytes() as usize) < 2 * LARGE);
    assert_eq!(side.log_bytes(), b"2 log said\n".len() as u64);
    assert!(at < side_at);
    bench.commit();
    assert_eq!(bench.answer(kept), Some(Ok(long("kept"))));
    assert_eq!(bench.answer(other), Some(Ok(long("other"))));
}

#[test]
fn answers_that_nobody_keeps_take_no_frame_and_no_file() {
    let mut bench = Bench::with_vat();
    let calls = [bench.call("a", None), bench.call("b", None)];
    let generation = bench.started().unwrap();
    bench.ready(generation);
    let answers = vec![value(2, &long("a")), value(3, &long("b"))];
    let hand_over = handed(generation, 1, 3, answers.clone());
    assert!(!bench.core.is_large(VatId(1), &hand_over));
    bench.hand_over(generation, 1, 3, answers);
    // There is room for others in it.
    assert!(bench.staged_bytes() < 1000);
    bench.commit();
    let [a, b] = calls.map(|call| bench.answer(call));
    assert_eq!((a, b), (Some(Ok(long("a"))), Some(Ok(long("b")))));
}

#[test]
fn t1_what_goes_to_a_file_is_checked_like_what_does_not() {
    let mut bench = Bench::with_vat();
    bench.call("a", Some("k"));
    let generation = bench.started().unwrap();
    bench.ready(generation);
    let lie = |bench: &Bench, change: &dyn Fn(&mut HandOver)| {
        let mut hand_over = handed(generation, 1, 2, vec![value(2, &long("a"))]);
        change(&mut hand_over);
        let aside = bench.core.spill(VatId(1), generation, hand_over);
        match aside.expect("its worker counts") {
            Err(why) => why.to_string(),
            Ok(aside) => match write(aside).unwrap_err() {
                violation @ Violation::NotJson { .. } => violation.to_string(),
                other => panic!("{other}"),
            },
        }
    };
    assert!(lie(&bench, &|it| it.number = 2).contains("hand-over 2 where 1 was due"));
    assert!(lie(&bench, &|it| it.replies.push(value(9, "1"))).contains("not open"));
    assert!(lie(&bench, &|it| it.generation = 9).contains("generation 9"));
    let not_json = |it: &mut HandOver| it.replies = vec![value(2, &"}".repeat(LARGE))];
    assert!(lie(&bench, &not_json).contains("is not JSON"));
    let dead = handed(7, 1, 2, vec![]);
    assert!(bench.core.spill(VatId(1), 7, dead).is_none());
    assert!(bench.staged.is_empty());
}

#[test]
fn a_large_hand_over_waits_for_what_was_held_back_before_it() {
    let mut bench = Bench::with_vat();
    let keys = ["b", "c", "d"];
    let first = bench.call("a", None);
    let generation = bench.started().unwrap();
    bench.ready(generation);
    bench.hand_over(generation, 1, 2, vec![value(2, "1")]);
    for key in keys {
        bench.call(key, Some(key));
    }
    // While that frame syncs: one fills the next, another one finds no room in it.
    let half = format!("\"{}\"", "x".repeat(FRAME_BYTES - 100));
    bench.hand_over(generation, 2, 3, vec![value(3, &half)]);
    bench.hand_over(generation, 3, 4, vec![value(4, &half)]);
    for _ in 0..3 {
        assert!(bench.core.is_image_behind(VatId(1)));
        bench.commit();
    }
    assert!(!bench.core.is_image_behind(VatId(1)));
    assert_eq!(bench.answer(first), Some(Ok("1".to_owned())));
    let last = handed(generation, 4, 5, vec![value(5, &long("d"))]);
    bench.large(generation, last).unwrap();
    assert!(bench.staged_side().is_some());
}

#[test]
fn j8_a_large_hand_over_without_room_for_its_frame_leaves_no_trace() {
    let mut bench = Bench::with_vat();
    let call = bench.call("a", Some("k"));
    let generation = bench.started().unwrap();
    bench.ready(generation);
    bench.rows.refuses = Some(Reserved::NoSpace("the disk is full: grow logs/1".into()));
    let hand_over = handed(generation, 1, 2, vec![value(2, &long("a"))]);
    bench.large(generation, hand_over).unwrap();
    let answer = bench.answer(call);
    assert!(matches!(answer, Some(Err(CallError::NoSpace(_)))));
    assert!(bench.staged.is_empty() && !bench.commit_wanted());
    assert!(bench.killed(generation));
}
