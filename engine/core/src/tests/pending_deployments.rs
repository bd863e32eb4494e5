//! Starts that wait for timers: no vat before they settle, none at all when they do not.

use super::*;
use crate::api::DeployError;
use crate::limits::{PENDING_DEPLOYMENTS_MAX, START_MS_MAX};
use kenvat_wire::protocol::{DueTimer, Message};

const WELL: &str = "{\"$undefined\":true}";

fn says(bench: &mut Bench, vat: u64, turn: u64, next: Option<(u64, i64)>) {
    bench.event(Event::FromWorker {
        vat: VatId(vat),
        generation: vat,
        message: FromWorker::Starting {
            generation: vat,
            last_turn: turn,
            next: next.map(|(timer, due_ms)| DueTimer { timer, due_ms }),
        },
    });
}

/// Why the deployment failed, if it did.
fn refused(bench: &mut Bench, waiter: Waiter) -> Option<DeployError> {
    let mut found = None;
    bench.effects.retain(|effect| match effect {
        Effect::AnswerDeploy {
            waiter: it,
            answer: Err(error),
        } if *it == waiter => {
            found = Some(error.clone());
            false
        }
        _ => true,
    });
    found
}

fn timers_delivered(bench: &mut Bench) -> Vec<(u64, i64, u64)> {
    let mut found = Vec::new();
    bench.effects.retain(|effect| match effect {
        Effect::SendToWorker {
            message: ToWorker::Deliver { turns, hand_over },
            ..
        } => {
            assert!(hand_over);
            for turn in turns {
                if let Message::Timer { timer } = turn.message {
                    found.push((turn.turn, turn.time_ms, timer));
                }
            }
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
fn a_start_waits_for_its_timers_and_is_one_frame_when_it_settles() {
    let mut bench = Bench::new();
    let waiter = bench.deploy("v");
    let early = bench.call("m", None);
    assert_eq!(timers_delivered(&mut bench), []);
    says(&mut bench, 1, 1, Some((1, 300)));
    assert!(!bench.core.has_turns_out(), "nothing runs");
    assert!(bench.core.is_quiet(), "a stopping host need not wait");
    assert_eq!(bench.core.next_tick_ms(), Some(300));
    assert!(bench.staged.is_empty() && bench.core.vats().next().is_none());
    tick(&mut bench, 299);
    assert_eq!(timers_delivered(&mut bench), []);
    tick(&mut bench, 310);
    assert_eq!(timers_delivered(&mut bench), [(2, 310, 1)]);
    assert!(bench.core.has_turns_out() && !bench.core.is_quiet());
    says(&mut bench, 1, 2, Some((5, 310)));
    tick(&mut bench, 311);
    assert_eq!(timers_delivered(&mut bench), [(3, 311, 5)]);
    assert!(bench.staged.is_empty());
    bench.timers = vec![TimerChange {
        timer: 9,
        due_ms: Some(5_000),
    }];
    bench.hand_over(1, 1, 3, vec![value(1, WELL)]);
    assert!(bench.killed(1) && bench.commit_wanted());
    assert!(bench.answer(early).is_none());
    bench.commit();
    assert!(
        bench.take(
            |e| matches!(e, Effect::AnswerDeploy { waiter: w, answer: Ok(_) } if *w == waiter)
        )
    );
    let vat = bench.core.vats().next().expect("it is there now");
    assert_eq!(vat.counters.turns, 3);
    assert_eq!(bench.core.next_timer_ms(), Some(5_000));
    // The call that waited is turn 4.
    let generation = bench.started().expect("for the call");
    bench.ready(generation);
    bench.hand_over(generation, 1, 4, vec![value(4, "7")]);
    bench.commit();
    assert_eq!(bench.answer(early), Some(Ok("7".to_owned())));
}

#[test]
fn a_start_that_fails_later_leaves_no_vat() {
    type End = fn(&mut Bench);
    let ends: [(&str, End); 5] = [
        ("threw", |bench| {
            let thrown = Thrown {
                name: "Error".into(),
                message: "threw".into(),
                stack: String::new(),
                nearest: vec![],
            };
            let outcome = Outcome::Thrown(thrown);
            bench.hand_over(
                1,
                1,
                2,
                vec![Reply {
                    request: 1,
                    outcome,
                }],
            );
        }),
        ("nothing is left to settle", |bench| says(bench, 1, 2, None)),
        ("died of signal 11", |bench| {
            bench.gone(1, Death::Signal(11))
        }),
        ("too much gas", |bench| {
            bench.event(Event::FromWorker {
                vat: VatId(1),
                generation: 1,
                message: FromWorker::Aborted {
                    generation: 1,
                    turn: 2,
                    by: AbortedBy::Gas,
                    why: "too much gas".into(),
                },
            });
        }),
        ("terminated before", |bench| {
            bench.event(Event::Terminate {
                vat: "v".into(),
                waiter: 99,
            });
            assert!(bench.take(|e| matches!(
                e,
                Effect::AnswerDone {
                    waiter: 99,
                    answer: Ok(())
                }
            )));
        }),
    ];
    for (why, end) in ends {
        let mut bench = Bench::new();
        let waiter = bench.deploy("v");
        let early = bench.call("m", None);
        says(&mut bench, 1, 1, Some((1, 10)));
        tick(&mut bench, 10);
        assert_eq!(timers_delivered(&mut bench), [(2, 10, 1)]);
        end(&mut bench);
        let said = refused(&mut bench, waiter).expect(why).to_string();
        assert!(said.contains(why), "{said}");
        assert!(matches!(
            bench.answer(early),
            Some(Err(CallError::UnknownVat { .. }))
        ));
        assert!(bench.staged.is_empty() && !bench.commit_wanted());
        assert_eq!(bench.core.next_tick_ms(), None);
        bench.deploy("v");
        let again = |e: &Effect<Waiter>| matches!(e, Effect::StartDeployment { vat: VatId(2), .. });
        assert!(bench.take(again), "{why}: the name is free");
    }
}

#[test]
fn a_start_may_take_so_long_and_so_many_may_wait() {
    let mut bench = Bench::new();
    let waiter = bench.deploy("v");
    says(&mut bench, 1, 1, Some((1, START_MS_MAX + 1)));
    let said = refused(&mut bench, waiter).expect("too late").to_string();
    assert!(said.contains("may take 600 s"), "{said}");
    assert!(bench.killed(1));

    let waiter = bench.deploy("v");
    says(&mut bench, 2, 1, Some((1, START_MS_MAX)));
    assert_eq!(refused(&mut bench, waiter), None);
    tick(&mut bench, START_MS_MAX + 1);
    assert_eq!(timers_delivered(&mut bench).len(), 1);
    says(&mut bench, 2, 2, Some((2, 0)));
    assert!(refused(&mut bench, waiter).is_some(), "its time is over");

    let later = bench.now_ms + 1_000;
    for n in 0..PENDING_DEPLOYMENTS_MAX as u64 {
        let waiter = bench.deploy(&format!("w{n}"));
        says(&mut bench, 3 + n, 1, Some((1, later)));
        assert_eq!(refused(&mut bench, waiter), None);
    }
    let waiter = bench.deploy("one-more");
    let more = 3 + PENDING_DEPLOYMENTS_MAX as u64;
    says(&mut bench, more, 1, Some((1, later)));
    let said = refused(&mut bench, waiter);
    assert!(matches!(said, Some(DeployError::Overloaded(_))), "{said:?}");
    // Those that were let wait may wait again, though all the others do.
    tick(&mut bench, later);
    assert_eq!(timers_delivered(&mut bench).len(), PENDING_DEPLOYMENTS_MAX);
    for n in 0..PENDING_DEPLOYMENTS_MAX as u64 {
        says(&mut bench, 3 + n, 2, Some((2, later + 1_000)));
    }
    let failed = |e: &Effect<Waiter>| matches!(e, Effect::AnswerDeploy { .. });
    assert!(!bench.take(failed));
}

#[test]
fn t1_a_start_that_breaks_the_rules_leaves_no_vat() {
    let lies: [fn(&mut Bench); 5] = [
        |bench| says(bench, 1, 2, Some((1, 10))),
        |bench| {
            says(bench, 1, 1, Some((1, 10)));
            says(bench, 1, 1, Some((1, 10)));
        },
        |bench| {
            says(bench, 1, 1, Some((1, 10)));
            bench.hand_over(1, 1, 1, vec![value(1, WELL)]);
        },
        |bench| bench.hand_over(1, 1, 1, vec![]),
        |bench| {
            says(bench, 1, 1, Some((1, 0)));
            tick(bench, 0);
            bench.hand_over(1, 1, 2, vec![value(1, WELL), value(2, "0")]);
        },
    ];
    for lie in lies {
        let mut bench = Bench::new();
        let waiter = bench.deploy("v");
        lie(&mut bench);
        let said = refused(&mut bench, waiter).expect("refused").to_string();
        assert!(said.contains("broke the rules"), "{said}");
        assert!(bench.killed(1) && bench.staged.is_empty());
    }
    // One that has started long since says that it starts.
    let mut bench = Bench::with_vat();
    bench.call("m", None);
    let generation = bench.started().unwrap();
    bench.ready(generation);
    bench.event(Event::FromWorker {
        vat: VatId(1),
        generation,
        message: FromWorker::Starting {
            generation,
            last_turn: 2,
            next: None,
        },
    });
    assert!(bench.killed(generation));
}

#[test]
fn what_waits_for_a_start_is_bounded_and_its_name_is_told() {
    let mut bench = Bench::new();
    bench.deploy("v");
    says(&mut bench, 1, 1, Some((1, 1_000)));
    let huge = || Call {
        vat: "v".into(),
        method: "m".into(),
        args: format!("[\"{}\"]", "x".repeat(15 << 20)),
        key: None,
    };
    let mut refused = 0;
    for waiter in 100..110 {
        bench.event(Event::Call {
            call: huge(),
            waiter,
        });
        refused += usize::from(matches!(
            bench.answer(waiter),
            Some(Err(CallError::Overloaded(_)))
        ));
    }
    assert_eq!(refused, 6, "64 MiB wait");
    bench.event(Event::Wake {
        vat: "v".into(),
        waiter: 99,
    });
    assert!(bench.take(|e| matches!(
        e,
        Effect::AnswerDone {
            waiter: 99,
            answer: Err(CallError::Unavailable { .. })
        }
    )));
}

#[test]
fn a_second_first_hand_over_creates_nothing() {
    let mut bench = Bench::new();
    let waiter = bench.deploy("v");
    bench.hand_over(1, 1, 1, vec![value(1, WELL)]);
    assert!(bench.commit_wanted());
    let staged = bench.staged.len();
    bench.hand_over(1, 1, 1, vec![value(1, WELL)]);
    assert_eq!(bench.staged.len(), staged, "its vat is in a frame already");
    bench.commit();
    assert_eq!(refused(&mut bench, waiter), None);
    assert_eq!(bench.core.vats().count(), 1);
}
