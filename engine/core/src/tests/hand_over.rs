//! Hand-overs through the core: their order (J8), what their rows say, when copies may go (H1).

use super::worker_slots::Town;
use super::*;
use crate::rows::AnswerRow;

/// Vats of the turn counters in the frame being filled, in order.
fn counted(bench: &Bench) -> Vec<u64> {
    let rows = bench.staged.iter().filter_map(|part| match part {
        Part::Row(row) if row.table == rows::COUNTERS => rows::parse_vat_key(&row.key),
        _ => None,
    });
    rows.map(|vat| vat.0).collect()
}

#[test]
fn j8_a_small_hand_over_does_not_overtake_one_that_is_held_back() {
    let mut town = Town::new();
    for vat in [1, 2] {
        for _ in 0..4 {
            town.call(vat);
        }
    }
    assert_eq!(town.starts(), [(1, 1), (2, 2)]);
    town.ready(1, 1);
    town.ready(2, 2);
    let large = format!("\"{}\"", "x".repeat(FRAME_BYTES * 2 / 3));
    town.hands_over(1, 1, 1, vec![value(2, "1")]);
    assert!(town.bench.commit_wanted());
    // While that frame syncs: one fills the next, another one finds no room in it, and a small one
    // that would find some comes behind both.
    town.bench.staged.clear();
    town.hands_over(1, 1, 2, vec![value(3, &large)]);
    town.hands_over(1, 1, 3, vec![value(4, &large)]);
    town.hands_over(2, 2, 1, vec![value(2, "2")]);
    assert_eq!(counted(&town.bench), [1], "the others wait");
    town.bench.commit();
    assert!(town.bench.commit_wanted());
    assert_eq!(counted(&town.bench), [1, 2], "in the order received");
}

#[test]
fn h1_a_worker_keeps_its_copies_until_they_are_in_the_image() {
    let mut bench = Bench::with_vat();
    bench.call("a", None);
    let generation = bench.started().unwrap();
    bench.ready(generation);
    bench.hand_over(generation, 1, 2, vec![value(2, "1")]);
    let is_told = |effect: &Effect<Waiter>| {
        let Effect::SendToWorker { message, .. } = effect else {
            return false;
        };
        matches!(message, ToWorker::Applied { number: 1 })
    };
    bench.call("b", None);
    assert!(!bench.take(is_told), "it is only sealed");
    bench.event(Event::Committed);
    bench.call("c", None);
    assert!(!bench.take(is_told), "it is durable, and not in the image");
    bench.event(Event::Applied);
    assert!(bench.take(is_told));
}

#[test]
fn a_call_that_stays_open_is_in_the_catalog_with_its_key_and_its_turn() {
    let mut bench = Bench::with_vat();
    bench.call("later", Some("k"));
    bench.call("later", None);
    let generation = bench.started().unwrap();
    bench.ready(generation);
    bench.hand_over(generation, 1, 3, vec![]);
    bench.commit();
    let key = RequestKey {
        client: "c".into(),
        id: "k".into(),
    };
    let row = bench.rows.get(rows::ANSWERS, &rows::answer_key(&key));
    let row = row
        .unwrap()
        .expect("who asks after a restart is told that it is known");
    let row: AnswerRow = rows::read(rows::ANSWERS, &row).unwrap();
    assert!(
        matches!(
            row,
            AnswerRow::Open {
                vat: 1,
                request: 2,
                ..
            }
        ),
        "{row:?}"
    );
    for (turn, id) in [(2, Some("k")), (3, None)] {
        let row = bench.rows.get(rows::OPEN, &rows::open_key(VatId(1), turn));
        let row: rows::OpenRow = rows::read(rows::OPEN, &row.unwrap().unwrap()).unwrap();
        assert_eq!(row.key, id.map(|id| ("c".to_owned(), id.to_owned())));
    }
    bench.call("release", None);
    bench.hand_over(
        generation,
        2,
        4,
        vec![value(4, "1"), value(2, "2"), value(3, "3")],
    );
    bench.commit();
    let open = bench
        .rows
        .rows
        .keys()
        .filter(|(table, _)| *table == rows::OPEN);
    assert_eq!(open.count(), 0, "answered");
}

#[test]
fn t4_asked_again_while_its_frame_syncs_a_call_is_not_answered_before_it_is_durable() {
    let mut bench = Bench::with_vat();
    let first = bench.call("m", Some("k"));
    let generation = bench.started().unwrap();
    bench.ready(generation);
    bench.hand_over(generation, 1, 2, vec![value(2, "1")]);
    assert!(bench.commit_wanted());
    let again = bench.call("m", Some("k"));
    assert!(
        bench.answer(again).is_none(),
        "it is settled, and not durable"
    );
    bench.event(Event::Committed);
    let late = bench.call("m", Some("k"));
    for waiter in [first, again, late] {
        assert_eq!(bench.answer(waiter), Some(Ok("1".into())));
    }
}
