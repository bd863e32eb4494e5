//! Seeds in the core: one a turn, the same again when the turn is.

use super::*;

/// Turns delivered since last asked, with time and seed.
fn given(bench: &mut Bench) -> Vec<(u64, i64, Seed)> {
    let mut found = Vec::new();
    bench.effects.retain(|effect| match effect {
        Effect::SendToWorker {
            message: ToWorker::Deliver { turns, .. },
            ..
        } => {
            let one = |turn: &Delivery| (turn.turn, turn.time_ms, turn.seed.clone());
            found.extend(turns.iter().map(one));
            false
        }
        _ => true,
    });
    found
}

#[test]
fn a_turn_delivered_again_has_its_seed_again_and_no_other_turn_has_it() {
    let mut bench = Bench::with_vat();
    bench.call("a", None);
    bench.call("b", None);
    let first = bench.started().unwrap();
    bench.ready(first);
    let before = given(&mut bench);
    assert_eq!(before.len(), 2);
    assert_ne!(before[0].2, before[1].2);
    bench.now_ms += 50;
    bench.event(Event::WorkerGone {
        vat: VatId(1),
        generation: first,
        death: Death::Killed,
        running: None,
    });
    let second = bench.started().unwrap();
    bench.ready(second);
    // One by one, as a worker died with them.
    assert_eq!(given(&mut bench), before[..1]);
    bench.hand_over(second, 1, 2, vec![value(2, "0")]);
    bench.commit();
    assert_eq!(given(&mut bench), before[1..]);
    bench.hand_over(second, 2, 3, vec![value(3, "0")]);
    bench.call("c", None);
    let next = given(&mut bench);
    assert_eq!(next.len(), 1);
    assert!(before.iter().all(|turn| turn.2 != next[0].2));
}
