//! Who has a process: `places` through the core, with more vats than processes.

use super::*;
use crate::LoadedVat;
use crate::rows::{CountersRow, VatRow};

/// Vats `v1` to `v4` asleep, two places.
pub(super) struct Town {
    pub(super) bench: Bench,
}

impl Town {
    pub(super) fn new() -> Town {
        let mut bench = Bench::new();
        let mut loaded = Loaded::default();
        for id in 1..=4 {
            loaded.vats.push(LoadedVat {
                id: VatId(id),
                row: VatRow {
                    name: format!("v{id}"),
                    engine: [7; 32],
                    page_limit: 100,
                    source_sha256: String::new(),
                    created_ms: 0,
                },
                counters: CountersRow {
                    turns: 1,
                    used_pages: 5,
                },
                limits: VatLimits::default(),
                poison: None,
                damage: None,
            });
        }
        let settings = Settings {
            engine: EngineHash([7; 32]),
            page_limit: 100,
            sleep_after_ms: Some(60_000),
            awake_max: 2,
            limits: CoreLimits::default(),
        };
        bench.core = Core::new(settings, loaded, 0);
        Town { bench }
    }

    pub(super) fn call(&mut self, vat: u64) -> Waiter {
        self.bench.next_waiter += 1;
        let waiter = self.bench.next_waiter;
        let call = Call {
            vat: format!("v{vat}"),
            method: "m".into(),
            args: "[]".into(),
            key: None,
        };
        self.bench.event(Event::Call { call, waiter });
        waiter
    }

    /// Workers started since the last look: vat and generation.
    pub(super) fn starts(&mut self) -> Vec<(u64, u64)> {
        let mut found = Vec::new();
        self.bench.effects.retain(|effect| match effect {
            Effect::StartWorker { vat, generation } => {
                found.push((vat.0, *generation));
                false
            }
            _ => true,
        });
        found
    }

    fn hear(&mut self, vat: u64, generation: u64, message: FromWorker) {
        self.bench.event(Event::FromWorker {
            vat: VatId(vat),
            generation,
            message,
        });
    }

    pub(super) fn ready(&mut self, vat: u64, generation: u64) {
        let message = FromWorker::Ready {
            generation,
            protocol: PROTOCOL_VERSION,
            tracker: TrackerKind::Userfaultfd,
        };
        self.hear(vat, generation, message);
    }

    /// The worker does its turn, and the frame is committed and applied.
    fn answers(&mut self, vat: u64, generation: u64, number: u64, turn: u64) {
        self.hands_over(vat, generation, number, vec![value(turn, "1")]);
        assert!(self.bench.commit_wanted());
        self.bench.commit();
    }

    /// The worker hands over the turn that the only reply answers.
    pub(super) fn hands_over(
        &mut self,
        vat: u64,
        generation: u64,
        number: u64,
        replies: Vec<Reply>,
    ) {
        let turn = replies[0].request;
        let message = FromWorker::HandOver(HandOver {
            generation,
            number,
            last_turn: turn,
            replies,
            log: vec![],
            timers: Vec::new(),
            pieces: 0,
            used_pages: 5,
            delta: delta_of(turn),
        });
        self.hear(vat, generation, message);
    }

    fn gone(&mut self, vat: u64, generation: u64) {
        self.dies(vat, generation, None);
    }

    fn dies(&mut self, vat: u64, generation: u64, running: Option<u64>) {
        self.bench.event(Event::WorkerGone {
            vat: VatId(vat),
            generation,
            death: Death::Killed,
            running,
        });
    }

    fn refused(&mut self, vat: u64, generation: u64) {
        self.bench.event(Event::WorkerNotStarted {
            vat: VatId(vat),
            generation,
            why: "no descriptor left".into(),
            transient: true,
        });
    }

    fn time(&mut self, now_ms: i64) {
        self.bench.now_ms = now_ms;
        self.bench.event(Event::Tick);
    }

    /// Lets time go by until a worker is started: its generation.
    fn next_start(&mut self) -> u64 {
        loop {
            if let [(_, generation)] = self.starts()[..] {
                return generation;
            }
            self.next_time();
        }
    }

    /// The time at which the core wants to be asked again comes.
    fn next_time(&mut self) {
        let due = self.bench.core.next_tick_ms().expect("somebody waits");
        self.time(due.max(self.bench.now_ms));
    }
}

#[test]
fn at_the_bound_the_longest_idle_vat_sleeps_for_the_next_one() {
    let mut town = Town::new();
    for (at, vat) in [(0, 1), (10, 2)] {
        town.bench.now_ms = at;
        town.call(vat);
        let [(started, generation)] = town.starts()[..] else {
            panic!("one start")
        };
        assert_eq!(started, vat);
        town.ready(vat, generation);
        town.answers(vat, generation, 1, 2);
    }
    town.bench.now_ms = 20;
    let waiter = town.call(3);
    assert!(town.starts().is_empty(), "no place yet");
    assert!(town.bench.killed(1), "v1 has been idle for longest");
    assert!(!town.bench.killed(2));
    town.gone(1, 1);
    assert_eq!(town.starts(), [(3, 3)]);
    town.ready(3, 3);
    town.answers(3, 3, 1, 2);
    assert_eq!(town.bench.answer(waiter), Some(Ok("1".into())));
}

#[test]
fn a_vat_that_is_never_idle_gives_its_place_up_after_a_while_and_loses_nothing() {
    let mut town = Town::new();
    let mut last = [0; 3];
    for vat in [1, 2] {
        town.call(vat);
        last[vat as usize] = town.call(vat);
    }
    assert_eq!(town.starts(), [(1, 1), (2, 2)]);
    town.ready(1, 1);
    town.ready(2, 2);
    let third = town.call(3);
    town.time(100);
    assert!(!town.bench.killed(1) && !town.bench.killed(2), "too early");
    // v1 still owes a turn when its time is up: it is not ended before that is handed over.
    town.answers(1, 1, 1, 2);
    town.time(300);
    let later = town.call(1);
    assert!(!town.bench.killed(1), "a turn is out");
    town.answers(1, 1, 2, 3);
    assert_eq!(town.bench.answer(last[1]), Some(Ok("1".into())));
    assert!(town.bench.killed(1), "its time is up");
    town.gone(1, 1);
    assert_eq!(town.starts(), [(3, 3)]);
    town.ready(3, 3);
    town.answers(3, 3, 1, 2);
    assert_eq!(town.bench.answer(third), Some(Ok("1".into())));
    // v1 has its third call still waiting, and gets it done with the next process.
    // By now v2 is the one that has been awake for longest.
    town.answers(2, 2, 1, 2);
    town.answers(2, 2, 2, 3);
    assert_eq!(town.bench.answer(last[2]), Some(Ok("1".into())));
    assert!(town.bench.killed(2) && !town.bench.killed(3));
    town.gone(2, 2);
    assert_eq!(town.starts(), [(1, 4)]);
    town.ready(1, 4);
    town.answers(1, 4, 1, 4);
    assert_eq!(town.bench.answer(later), Some(Ok("1".into())));
}

#[test]
fn a_machine_without_descriptors_breaks_no_vat_and_is_asked_again() {
    let mut town = Town::new();
    town.call(1);
    town.starts();
    town.ready(1, 1);
    town.answers(1, 1, 1, 2);
    let waiter = town.call(2);
    assert_eq!(town.starts(), [(2, 2)]);
    town.refused(2, 2);
    assert!(town.bench.killed(1), "the idle one makes way");
    assert!(town.starts().is_empty(), "not before a pause");
    town.gone(1, 1);
    assert_eq!(town.next_start(), 3);
    town.ready(2, 3);
    town.answers(2, 3, 1, 2);
    assert_eq!(town.bench.answer(waiter), Some(Ok("1".into())));
}

#[test]
fn who_waits_for_a_machine_that_never_has_room_is_told_in_the_end() {
    let mut town = Town::new();
    let waiter = town.call(1);
    let mut tries = 0;
    let answer = loop {
        let generation = town.next_start();
        tries += 1;
        town.refused(1, generation);
        if let Some(answer) = town.bench.answer(waiter) {
            break answer;
        }
    };
    assert!(
        matches!(answer, Err(CallError::Overloaded(_))),
        "{answer:?}"
    );
    assert_eq!(tries, 10);
    assert!(town.bench.now_ms < 60_000);
    // The vat is not broken: the next call is tried, and runs when there is room.
    let waiter = town.call(1);
    let generation = town.next_start();
    town.ready(1, generation);
    town.answers(1, generation, 1, 2);
    assert_eq!(town.bench.answer(waiter), Some(Ok("1".into())));
}

#[test]
fn a_message_whose_worker_is_killed_from_outside_again_and_again_is_given_up() {
    let mut town = Town::new();
    let waiter = town.call(1);
    for kills in 1..=10 {
        let [(1, generation)] = town.starts()[..] else {
            panic!("start {kills}")
        };
        town.ready(1, generation);
        assert!(town.bench.answer(waiter).is_none());
        town.dies(1, generation, Some(2));
    }
    assert!(town.starts().is_empty());
    assert!(town.bench.commit_wanted());
    town.bench.commit();
    let answer = town.bench.answer(waiter);
    assert!(
        matches!(
            &answer,
            Some(Err(CallError::TurnKilled { by: KilledBy::Crash, why })) if why.contains("memory")
        ),
        "{answer:?}"
    );
}

#[test]
fn sleeping_vats_cost_a_tick_nothing() {
    let mut town = Town::new();
    assert_eq!(town.bench.core.next_tick_ms(), None, "nobody is awake");
    town.call(1);
    town.starts();
    town.ready(1, 1);
    town.answers(1, 1, 1, 2);
    town.next_time();
    assert!(town.bench.killed(1));
    town.gone(1, 1);
    while town.bench.core.next_tick_ms().is_some() {
        town.next_time();
    }
}
