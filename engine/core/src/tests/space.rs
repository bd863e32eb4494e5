//! A full disk, as the core meets it (I2, J8).

use kenvat_store::{PART_OVERHEAD_BYTES, Row};

use super::*;
use crate::api::{CLIENT_BYTES_MAX, REQUEST_ID_BYTES_MAX, VatState};
use crate::requests::answers::{Answers, Home, rows_bytes};
use crate::rows::Settled;

fn no_room() -> Option<Reserved> {
    Some(Reserved::NoSpace("the disk is full: grow heap/1".into()))
}

fn is_refused(answer: Option<Result<String, CallError>>) -> bool {
    matches!(answer, Some(Err(CallError::NoSpace(_))))
}

impl Bench {
    fn room(&mut self, caught_up: &[u64], has_space: bool) {
        let caught_up = caught_up.iter().map(|id| VatId(*id)).collect();
        self.event(Event::Space {
            caught_up,
            has_space,
        });
    }

    /// A worker of vat `v` that is ready, and its generation.
    fn awake(&mut self) -> u64 {
        let generation = self.started().expect("a call starts it");
        self.ready(generation);
        generation
    }

    fn state(&self) -> VatState {
        let mut vats = self.core.vats();
        vats.next().expect("there is one").state
    }
}

#[test]
fn j8_a_hand_over_without_room_leaves_no_trace_and_the_next_call_is_tried() {
    let mut bench = Bench::with_vat();
    let first = bench.call("grow", Some("k"));
    let generation = bench.awake();
    let second = bench.call("grow", None);
    bench.rows.refuses = no_room();
    bench.hand_over(generation, 1, 2, vec![value(2, "1")]);
    // Also the turn that ran after it and was not handed over yet.
    assert!(is_refused(bench.answer(first)) && is_refused(bench.answer(second)));
    assert!(bench.killed(generation) && bench.staged.is_empty() && !bench.commit_wanted());
    assert!(bench.core.lacks_space());
    bench.gone(generation, Death::Killed);
    assert!(
        bench.started().is_none(),
        "nothing waits, so nothing is tried again"
    );
    // The same key is a new request, with the turn number nobody took.
    bench.deliveries();
    let again = bench.call("grow", Some("k"));
    let generation = bench.awake();
    bench.rows.refuses = None;
    assert_eq!(bench.deliveries().len(), 1);
    bench.hand_over(generation, 1, 2, vec![value(2, "1")]);
    assert!(bench.commit_wanted());
    bench.commit();
    assert_eq!(bench.answer(again), Some(Ok("1".to_owned())));
    bench.room(&[], true);
    assert!(!bench.core.lacks_space());
}

#[test]
fn i2_while_the_disk_is_full_turns_go_one_by_one_so_that_one_refuses_itself_alone() {
    let mut bench = Bench::with_vat();
    let grows = bench.call("grow", None);
    let generation = bench.awake();
    bench.rows.refuses = no_room();
    bench.hand_over(generation, 1, 2, vec![value(2, "1")]);
    assert!(is_refused(bench.answer(grows)));
    let calls = [bench.call("read", None), bench.call("grow", None)];
    bench.deliveries();
    bench.gone(generation, Death::Killed);
    let generation = bench.awake();
    assert_eq!(bench.deliveries().len(), 1);
    bench.rows.refuses = None;
    bench.hand_over(generation, 1, 2, vec![value(2, "7")]);
    assert!(bench.commit_wanted());
    bench.commit();
    assert_eq!(bench.answer(calls[0]), Some(Ok("7".to_owned())));
    assert_eq!(bench.deliveries().len(), 1);
    bench.rows.refuses = no_room();
    bench.hand_over(generation, 2, 3, vec![value(3, "1")]);
    assert!(is_refused(bench.answer(calls[1])));
}

#[test]
fn i2_a_vat_whose_image_is_behind_keeps_its_copies_and_gets_no_other_worker() {
    let mut bench = Bench::with_vat();
    let waiter = bench.call("m", None);
    let generation = bench.awake();
    bench.hand_over(generation, 1, 2, vec![value(2, "1")]);
    assert!(bench.commit_wanted());
    bench.rows.behind.insert(VatId(1));
    bench.commit();
    assert_eq!(
        bench.answer(waiter),
        Some(Ok("1".to_owned())),
        "it is committed"
    );
    let is_told = |bench: &mut Bench| {
        bench.take(|effect| {
            let Effect::SendToWorker { message, .. } = effect else {
                return false;
            };
            matches!(message, ToWorker::Applied { .. })
        })
    };
    bench.call("m", None);
    assert!(!is_told(&mut bench));
    // It dies: no other one starts on an image that lacks what was handed over (T1).
    bench.gone(generation, Death::Killed);
    assert!(bench.started().is_none());
    bench.room(&[1], true);
    assert!(bench.started().is_some());
}

#[test]
fn t3_a_bus_error_on_a_full_disk_is_no_poison() {
    let mut bench = Bench::with_vat();
    for _ in 0..5 {
        let waiter = bench.call("grow", None);
        let generation = bench.awake();
        bench.dies(generation, Death::NoSpace, Some(2));
        assert!(is_refused(bench.answer(waiter)));
        assert!(bench.staged.is_empty(), "no death is counted");
    }
    // Not even where it cannot map its heap; nobody waits for the next one to die as well.
    let waiter = bench.call("read", None);
    let generation = bench.started().unwrap();
    bench.gone(generation, Death::NoSpace);
    assert!(is_refused(bench.answer(waiter)) && bench.started().is_none());
    assert_eq!(bench.state(), VatState::Asleep);
}

#[test]
fn a_vat_whose_own_page_is_damaged_is_broken_and_nothing_else_stops() {
    let mut bench = Bench::with_vat();
    let waiter = bench.call("m", None);
    let generation = bench.awake();
    bench.rows.refuses = Some(Reserved::Damaged("heap/1 at byte 4096".into()));
    bench.hand_over(generation, 1, 2, vec![value(2, "1")]);
    let answer = bench.answer(waiter);
    assert!(
        matches!(answer, Some(Err(CallError::Unavailable { .. }))),
        "{answer:?}"
    );
    assert!(bench.killed(generation) && bench.staged.is_empty());
    assert_eq!(bench.state(), VatState::Broken);
    bench.rows.refuses = None;
    bench.deploy("w");
    assert!(bench.take(|effect| matches!(effect, Effect::StartDeployment { .. })));
}

#[test]
fn an_answer_that_cannot_be_read_is_told_to_who_asks_for_it_and_stops_nobody() {
    let mut bench = Bench::with_vat();
    bench.rows.rotten = Some(crate::rows::ANSWERS);
    let waiter = bench.call("m", Some("k"));
    let answer = bench.answer(waiter);
    assert!(
        matches!(&answer, Some(Err(CallError::Host(why))) if why.contains("`k`")),
        "{answer:?}"
    );
    bench.call("m", None);
    assert!(bench.started().is_some());
}

#[test]
fn j8_rows_about_answers_take_no_more_than_was_reckoned_and_bounds_are_met_again() {
    let limits = CoreLimits {
        answers: 3,
        ids: 2,
        host_answer_bytes: 400,
        ..CoreLimits::default()
    };
    let (mut kept, mut answers) = (Rows::default(), Answers::new(Vec::new(), limits));
    let settled = Settled::Value("7".repeat(100));
    let keys: Vec<RequestKey> = (0..60)
        .map(|at| RequestKey {
            client: format!("{:0>CLIENT_BYTES_MAX$}", at % 3),
            id: format!("{at:0>REQUEST_ID_BYTES_MAX$}"),
        })
        .collect();
    for of_frame in keys.chunks(10) {
        let mut rows = Vec::new();
        for key in of_frame {
            let answer = (&settled, Home::Frame);
            rows.extend(answers.keep((key, [9; 32]), answer, &kept).unwrap());
        }
        rows.extend(answers.take_moved());
        let bytes = |row: &Row| row.key.len() + row.value.as_ref().map_or(0, Vec::len);
        let taken: usize = rows
            .iter()
            .map(|row| bytes(row) + PART_OVERHEAD_BYTES)
            .sum();
        let own = of_frame.len() * (100 + 32);
        assert!(taken <= rows_bytes(of_frame.iter()) + own, "{taken}");
        for Row { table, key, value } in rows {
            match value {
                Some(value) => kept.rows.insert((table, key), value),
                None => kept.rows.remove(&(table, key)),
            };
        }
    }
    let with = |table: u8| kept.rows.keys().filter(|row| row.0 == table).count();
    assert!(
        with(rows::ANSWERS) < 30,
        "{}: old ones are forgotten",
        with(rows::ANSWERS)
    );
    assert_eq!(with(rows::ANSWERS), with(rows::ANSWER_ORDER));
    assert_eq!(with(rows::CLIENTS), 3);
}

#[test]
fn j8_a_vat_with_many_open_calls_ends_only_where_there_is_room_for_all_their_answers() {
    let mut bench = Bench::with_vat();
    let ids: Vec<String> = (0..200).map(|at| at.to_string()).collect();
    let calls: Vec<Waiter> = ids.iter().map(|id| bench.call("later", Some(id))).collect();
    let generation = bench.awake();
    bench.hand_over(generation, 1, 201, vec![]);
    assert!(bench.commit_wanted());
    bench.commit();
    bench.rows.refuses = no_room();
    let terminate = |bench: &mut Bench, waiter: Waiter| {
        let vat = "v".to_owned();
        bench.event(Event::Terminate { vat, waiter });
        bench.gone(generation, Death::Killed);
    };
    let told = |bench: &mut Bench, waiter: Waiter, is_done: bool| {
        bench.take(|effect| {
            matches!(effect, Effect::AnswerDone { waiter: w, answer }
                if *w == waiter && answer.is_ok() == is_done)
        })
    };
    terminate(&mut bench, 1_000);
    assert!(told(&mut bench, 1_000, false) && !bench.commit_wanted());
    assert!(bench.staged.is_empty() && bench.answer(calls[0]).is_none());
    bench.rows.refuses = None;
    terminate(&mut bench, 1_001);
    assert!(bench.commit_wanted());
    bench.commit();
    assert!(told(&mut bench, 1_001, true));
    for call in calls {
        assert!(matches!(
            bench.answer(call),
            Some(Err(CallError::Unavailable { .. }))
        ));
    }
}
