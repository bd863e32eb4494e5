//! Timers in the core: set with their turn, due once, never before their time.

use super::*;
use crate::rows::{self, CountersRow, TimerRow, VatRow};
use kenvat_wire::protocol::{Message, TIMERS_MAX};

fn set(timer: u64, due_ms: i64) -> TimerChange {
    let due_ms = Some(due_ms);
    TimerChange { timer, due_ms }
}

fn cleared(timer: u64) -> TimerChange {
    let due_ms = None;
    TimerChange { timer, due_ms }
}

/// A bench whose vat runs as the generation given and has set these timers, durably.
fn with_timers(timers: Vec<TimerChange>) -> (Bench, u64) {
    let mut bench = Bench::with_vat();
    bench.call("m", None);
    let generation = bench.started().unwrap();
    bench.ready(generation);
    bench.deliveries();
    bench.timers = timers;
    bench.hand_over(generation, 1, 2, vec![value(2, "0")]);
    bench.commit();
    bench.effects.clear();
    (bench, generation)
}

fn kept(bench: &Bench) -> Vec<(u64, i64)> {
    let rows = bench.rows.rows.iter();
    rows.filter(|((table, _), _)| *table == rows::TIMERS)
        .map(|((table, key), value)| {
            let (_, timer) = rows::parse_timer_key(key).unwrap();
            let row: TimerRow = rows::read(*table, value).unwrap();
            (timer, row.due_ms)
        })
        .collect()
}

/// Timers' messages delivered since last asked: turn, time, timer.
fn fired(bench: &mut Bench) -> Vec<(u64, i64, u64)> {
    let mut found = Vec::new();
    bench.effects.retain(|effect| match effect {
        Effect::SendToWorker {
            message: ToWorker::Deliver { turns, .. },
            ..
        } => {
            found.extend(turns.iter().map(|delivery| match delivery.message {
                Message::Timer { timer } => (delivery.turn, delivery.time_ms, timer),
                ref other => panic!("{other:?}"),
            }));
            false
        }
        _ => true,
    });
    found
}

fn tick(bench: &mut Bench, now_ms: i64) {
    bench.now_ms = now_ms;
    bench.event(Event::Tick);
}

#[test]
fn a_timer_is_durable_with_its_turn_and_fires_once_when_due() {
    let (mut bench, generation) = with_timers(vec![set(1, 500), set(2, 300)]);
    assert_eq!(kept(&bench), [(1, 500), (2, 300)]);
    assert_eq!(bench.core.next_tick_ms(), Some(300));
    tick(&mut bench, 299);
    assert_eq!(fired(&mut bench), []);
    tick(&mut bench, 300);
    assert_eq!(fired(&mut bench), [(3, 300, 2)]);
    tick(&mut bench, 301);
    assert_eq!(fired(&mut bench), [], "once");
    bench.hand_over(generation, 2, 3, vec![]);
    assert_eq!(kept(&bench), [(1, 500), (2, 300)], "not before the commit");
    bench.commit();
    assert_eq!(kept(&bench), [(1, 500)]);
    assert!(!bench.core.has_requests(), "nothing is left of it");
    tick(&mut bench, 900);
    assert_eq!(fired(&mut bench), [(4, 900, 1)]);
}

#[test]
fn t1_a_timers_turn_has_no_answer_and_a_lie_about_timers_ends_the_worker() {
    let (mut bench, generation) = with_timers(vec![set(1, 10)]);
    tick(&mut bench, 10);
    bench.hand_over(generation, 2, 3, vec![value(3, "1")]);
    assert!(bench.killed(generation), "nobody asked");
    assert_eq!(kept(&bench), [(1, 10)]);
    let (mut bench, generation) = with_timers(vec![set(1, 10)]);
    bench.call("m", None);
    bench.timers = vec![set(1, 20)];
    bench.hand_over(generation, 2, 3, vec![value(3, "1")]);
    assert!(bench.killed(generation), "set twice");
}

#[test]
fn t1_which_turns_are_timers_is_known_to_the_turn() {
    let (mut bench, generation) = with_timers(vec![set(1, 10), set(2, 10)]);
    tick(&mut bench, 10);
    assert_eq!(fired(&mut bench), [(3, 10, 1), (4, 10, 2)]);
    bench.hand_over(generation, 2, 3, vec![]);
    bench.commit();
    // The turn behind the one handed over is a timer's still.
    bench.hand_over(generation, 3, 4, vec![value(4, "1")]);
    assert!(bench.killed(generation), "nobody asked");
    // The one that was handed over is none any more: no timer more is allowed for it.
    let (mut bench, generation) = with_timers(vec![set(1, 10)]);
    tick(&mut bench, 10);
    bench.hand_over(generation, 2, 3, vec![]);
    bench.commit();
    bench.call("m", None);
    let many = 10..=10 + TIMERS_MAX as u64;
    bench.timers = many.map(|timer| set(timer, 900)).collect();
    bench.hand_over(generation, 3, 4, vec![value(4, "1")]);
    assert!(bench.killed(generation), "one timer too many");
}

#[test]
fn a_timer_cleared_while_its_message_waits_or_is_out_is_gone() {
    let (mut bench, generation) = with_timers(vec![set(1, 10), set(2, 900)]);
    tick(&mut bench, 10);
    assert_eq!(fired(&mut bench), [(3, 10, 1)]);
    // Out already: its turn is consumed, and finds nothing to do.
    bench.timers = vec![cleared(2), cleared(1)];
    bench.hand_over(generation, 2, 3, vec![]);
    bench.commit();
    assert_eq!(kept(&bench), []);
    assert_eq!(bench.core.next_timer_ms(), None);
    // A timer whose turn was undone is gone here and not there: clearing it is no lie.
    bench.call("m", None);
    bench.timers = vec![cleared(1)];
    bench.hand_over(generation, 3, 4, vec![value(4, "1")]);
    assert!(!bench.killed(generation));
}

#[test]
fn a_sleeping_vat_wakes_for_its_timer_and_a_dead_worker_gets_it_again() {
    let (mut bench, generation) = with_timers(vec![set(1, 5000)]);
    bench.event(Event::Sleep {
        vat: "v".into(),
        waiter: 9,
    });
    bench.gone(generation, Death::Killed);
    assert_eq!(bench.core.next_timer_ms(), Some(5000));
    tick(&mut bench, 6000);
    let generation = bench.started().expect("it wakes");
    assert_eq!(fired(&mut bench), [(3, 6000, 1)]);
    bench.ready(generation);
    bench.now_ms = 7000;
    bench.gone(generation, Death::Killed);
    assert!(bench.started().is_some());
    assert_eq!(fired(&mut bench), [(3, 6000, 1)], "with the same time");
}

#[test]
fn t2_a_timers_turn_that_is_undone_is_consumed_and_said_in_the_log() {
    let (mut bench, generation) = with_timers(vec![set(1, 10)]);
    tick(&mut bench, 10);
    assert_eq!(fired(&mut bench), [(3, 10, 1)]);
    bench.aborts(generation, 3, AbortedBy::Gas);
    let line = bench.staged.iter().find_map(|part| match part {
        Part::Log { bytes, .. } => Some(String::from_utf8(bytes.clone()).unwrap()),
        _ => None,
    });
    let line = line.expect("the log says it");
    assert!(
        line.starts_with("3 error a timer's turn was undone"),
        "{line}"
    );
    bench.commit();
    assert_eq!(kept(&bench), []);
    tick(&mut bench, 100);
    assert_eq!(fired(&mut bench), []);
}

#[test]
fn what_fell_due_while_no_host_ran_fires_once() {
    let row = VatRow {
        name: "v".into(),
        engine: [7; 32],
        page_limit: 100,
        source_sha256: String::new(),
        created_ms: 0,
    };
    let (bench, _) = with_timers(vec![]);
    let mut next = Bench::new();
    next.rows = bench.rows;
    let loaded = Loaded {
        vats: vec![super::super::LoadedVat {
            id: VatId(1),
            row,
            counters: CountersRow {
                turns: 2,
                used_pages: 5,
            },
            limits: Default::default(),
            poison: None,
            damage: None,
        }],
        timers: vec![(VatId(1), 4, TimerRow { due_ms: 50 })],
        ..Loaded::default()
    };
    let settings = next.core.settings().clone();
    next.core = Core::new(settings, loaded, 9_000);
    assert_eq!(next.core.next_tick_ms(), Some(50));
    tick(&mut next, 9_000);
    assert!(next.started().is_some());
    assert_eq!(fired(&mut next), [(3, 9_000, 4)]);
    tick(&mut next, 10_000);
    assert_eq!(fired(&mut next), []);
}

#[test]
fn termination_takes_the_timers_along() {
    let (mut bench, generation) = with_timers(vec![set(1, 10), set(2, 900)]);
    tick(&mut bench, 10);
    bench.event(Event::Terminate {
        vat: "v".into(),
        waiter: 99,
    });
    bench.gone(generation, Death::Killed);
    bench.commit();
    assert_eq!(kept(&bench), []);
    assert_eq!(bench.core.next_timer_ms(), None);
    assert!(!bench.core.has_requests());
}

#[test]
fn a_first_turn_may_set_timers() {
    let mut bench = Bench::new();
    bench.deploy("v");
    bench.timers = vec![set(1, 70)];
    bench.hand_over(1, 1, 1, vec![value(1, "{\"$undefined\":true}")]);
    assert_eq!(bench.core.next_timer_ms(), None, "no vat yet");
    bench.commit();
    assert_eq!(kept(&bench), [(1, 70)]);
    assert_eq!(bench.core.next_timer_ms(), Some(70));
}
