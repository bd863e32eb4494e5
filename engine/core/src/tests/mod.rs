//! The core alone, with a ledger in memory and workers played by the test: each rule of `turn`
//! once.

use std::collections::{BTreeMap, BTreeSet};

use kenvat_store::{Delta, EngineHash, Part, Reservation, VatId};

use super::event::{Death, Effect, Event, Ledger, LedgerError, Reserved};
use super::limits::{CoreLimits, FRAME_BYTES, UNDONE_PAUSE_MS};
use super::{Core, Loaded, Settings, rows};
use crate::api::{Call, CallError, Deploy, KilledBy, RequestKey, VatLimits};
use kenvat_wire::protocol::{
    AbortedBy, Delivery, FromWorker, HandOver, Outcome, PROTOCOL_VERSION, Reply, Thrown,
    TimerChange, ToWorker, TrackerKind,
};

use kenvat_wire::seed::{SEED_BYTES, Seed};

mod hand_over;
mod pending_deployments;
mod randomness;
mod space;
mod spill;
mod timers;
mod worker_slots;

type Waiter = u32;

/// Rows as committed and applied.
#[derive(Default)]
struct Rows {
    rows: BTreeMap<(u8, Vec<u8>), Vec<u8>>,
    last_vat: u64,
    /// What the next wishes for room are answered.
    refuses: Option<Reserved>,
    behind: BTreeSet<VatId>,
    /// Rows of this table cannot be read.
    rotten: Option<u8>,
    /// Seeds given out; each is its number.
    seeds: u8,
}

impl Ledger for Rows {
    fn get(&self, table: u8, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError> {
        if self.rotten == Some(table) {
            return Err(LedgerError("damaged".into()));
        }
        Ok(self.rows.get(&(table, key.to_vec())).cloned())
    }

    fn reserve(&mut self, _wish: &Reservation<'_>) -> Result<Reserved, LedgerError> {
        Ok(self.refuses.clone().unwrap_or(Reserved::Taken))
    }

    fn is_behind(&self, vat: VatId) -> bool {
        self.behind.contains(&vat)
    }

    fn has_stopped(&self) -> bool {
        false
    }

    fn next_vat_id(&mut self) -> VatId {
        self.last_vat += 1;
        VatId(self.last_vat)
    }

    fn seed(&mut self) -> Result<Seed, LedgerError> {
        self.seeds += 1;
        Ok(Seed::from([self.seeds; SEED_BYTES]))
    }
}

/// The core, and everything it wanted that was not looked at yet.
struct Bench {
    core: Core<Waiter>,
    rows: Rows,
    staged: Vec<Part>,
    effects: Vec<Effect<Waiter>>,
    now_ms: i64,
    next_waiter: Waiter,
    /// Timers the next hand-over sets and clears.
    timers: Vec<TimerChange>,
}

impl Bench {
    fn new() -> Bench {
        let settings = Settings {
            engine: EngineHash([7; 32]),
            page_limit: 100,
            sleep_after_ms: Some(1000),
            awake_max: 2,
            limits: CoreLimits::default(),
        };
        Bench {
            core: Core::new(settings, Loaded::default(), 0),
            rows: Rows::default(),
            staged: Vec::new(),
            effects: Vec::new(),
            now_ms: 0,
            next_waiter: 0,
            timers: Vec::new(),
        }
    }

    /// A bench with one vat `v` that exists and is durable.
    fn with_vat() -> Bench {
        let mut bench = Bench::new();
        let waiter = bench.deploy("v");
        let turns = bench.deliveries();
        assert_eq!(turns.len(), 1);
        bench.hand_over(1, 1, 1, vec![value(1, "{\"$undefined\":true}")]);
        assert!(bench.commit_wanted());
        bench.commit();
        assert!(bench.take(
            |e| matches!(e, Effect::AnswerDeploy { waiter: w, answer: Ok(_) } if *w == waiter)
        ));
        bench.event(Event::WorkerGone {
            vat: VatId(1),
            generation: 1,
            death: Death::Killed,
            running: None,
        });
        bench.effects.clear();
        bench
    }

    fn event(&mut self, event: Event<Waiter>) {
        self.core
            .handle(self.now_ms, event, &mut self.rows, &mut self.effects)
            .unwrap();
        self.core.flush(&mut self.rows, &mut self.effects).unwrap();
        let effects = std::mem::take(&mut self.effects);
        for effect in effects {
            match effect {
                Effect::Stage(part) => self.staged.push(part),
                other => self.effects.push(other),
            }
        }
    }

    fn deploy(&mut self, name: &str) -> Waiter {
        self.next_waiter += 1;
        let deploy = Deploy {
            name: name.to_owned(),
            entry: "v.js".to_owned(),
            files: vec![("v.js".to_owned(), "…".to_owned())],
            give: vec![],
            deny: vec![],
        };
        self.event(Event::Deploy {
            deploy,
            limits: VatLimits::default(),
            waiter: self.next_waiter,
        });
        self.next_waiter
    }

    fn call(&mut self, method: &str, key: Option<&str>) -> Waiter {
        self.next_waiter += 1;
        let key = key.map(|id| RequestKey {
            client: "c".into(),
            id: id.into(),
        });
        let call = Call {
            vat: "v".into(),
            method: method.into(),
            args: "[]".into(),
            key,
        };
        self.event(Event::Call {
            call,
            waiter: self.next_waiter,
        });
        self.next_waiter
    }

    fn ready(&mut self, generation: u64) {
        let message = FromWorker::Ready {
            generation,
            protocol: PROTOCOL_VERSION,
            tracker: TrackerKind::Userfaultfd,
        };
        self.event(Event::FromWorker {
            vat: VatId(1),
            generation,
            message,
        });
    }

    fn hand_over(&mut self, generation: u64, number: u64, last_turn: u64, replies: Vec<Reply>) {
        let hand_over = HandOver {
            generation,
            number,
            last_turn,
            replies,
            log: vec![],
            timers: std::mem::take(&mut self.timers),
            pieces: 0,
            used_pages: 5,
            delta: delta_of(last_turn),
        };
        let message = FromWorker::HandOver(hand_over);
        self.event(Event::FromWorker {
            vat: VatId(1),
            generation,
            message,
        });
    }

    /// The disk: everything staged so far becomes durable, then applied.
    fn commit(&mut self) {
        let staged = std::mem::take(&mut self.staged);
        self.event_without_flush(Event::Committed);
        for part in staged {
            if let Part::Row(row) = part {
                match row.value {
                    Some(value) => self.rows.rows.insert((row.table, row.key), value),
                    None => self.rows.rows.remove(&(row.table, row.key)),
                };
            }
        }
        self.event(Event::Applied);
    }

    fn event_without_flush(&mut self, event: Event<Waiter>) {
        self.core
            .handle(self.now_ms, event, &mut self.rows, &mut self.effects)
            .unwrap();
    }

    /// Takes the first effect of that kind; false if there is none.
    fn take(&mut self, wanted: impl Fn(&Effect<Waiter>) -> bool) -> bool {
        match self.effects.iter().position(wanted) {
            Some(at) => {
                self.effects.remove(at);
                true
            }
            None => false,
        }
    }

    fn commit_wanted(&mut self) -> bool {
        self.take(|effect| matches!(effect, Effect::Commit))
    }

    fn answer(&mut self, waiter: Waiter) -> Option<Result<String, CallError>> {
        let at = self
            .effects
            .iter()
            .position(|e| matches!(e, Effect::AnswerCall { waiter: w, .. } if *w == waiter))?;
        match self.effects.remove(at) {
            Effect::AnswerCall { answer, .. } => Some(answer),
            _ => None,
        }
    }

    /// Turns delivered and not looked at yet: number, time, whether a hand-over was asked with
    /// them.
    fn deliveries(&mut self) -> Vec<(u64, i64, bool)> {
        let mut found = Vec::new();
        self.effects.retain(|effect| match effect {
            Effect::SendToWorker {
                message: ToWorker::Deliver { turns, hand_over },
                ..
            } => {
                found.extend(
                    turns
                        .iter()
                        .map(|Delivery { turn, time_ms, .. }| (*turn, *time_ms, *hand_over)),
                );
                false
            }
            _ => true,
        });
        found
    }

    fn asked_to_hand_over(&mut self) -> bool {
        self.take(|e| {
            matches!(
                e,
                Effect::SendToWorker {
                    message: ToWorker::HandOver,
                    ..
                }
            )
        })
    }

    fn started(&mut self) -> Option<u64> {
        let at = self
            .effects
            .iter()
            .position(|e| matches!(e, Effect::StartWorker { .. }))?;
        match self.effects.remove(at) {
            Effect::StartWorker { generation, .. } => Some(generation),
            _ => None,
        }
    }

    fn killed(&mut self, generation: u64) -> bool {
        self.take(|e| matches!(e, Effect::KillWorker { generation: g, .. } if *g == generation))
    }

    fn gone(&mut self, generation: u64, death: Death) {
        self.dies(generation, death, None);
    }

    fn dies(&mut self, generation: u64, death: Death, running: Option<u64>) {
        let vat = VatId(1);
        self.event(Event::WorkerGone {
            vat,
            generation,
            death,
            running,
        });
    }

    fn aborts(&mut self, generation: u64, turn: u64, by: AbortedBy) {
        let why = "too much".to_owned();
        let message = FromWorker::Aborted {
            generation,
            turn,
            by,
            why,
        };
        self.event(Event::FromWorker {
            vat: VatId(1),
            generation,
            message,
        });
    }
}

fn value(request: u64, json: &str) -> Reply {
    Reply {
        request,
        outcome: Outcome::Value(json.to_owned()),
    }
}

fn delta_of(turn: u64) -> Vec<u8> {
    let mut bytes = vec![3, 0, 0, 0, 0, 0, 1, 0];
    bytes.extend_from_slice(&turn.to_le_bytes());
    Delta::parse(bytes.clone(), 100).expect("a run of one word");
    bytes
}

#[test]
fn alone_a_turn_commits_at_once_and_its_answer_waits_for_the_commit() {
    let mut bench = Bench::with_vat();
    let waiter = bench.call("m", None);
    let generation = bench.started().expect("the vat wakes for its message");
    assert_eq!(bench.deliveries(), vec![(2, 0, true)]);
    bench.hand_over(generation, 1, 2, vec![value(2, "7")]);
    assert!(bench.commit_wanted());
    assert!(
        bench.answer(waiter).is_none(),
        "nothing leaves before the commit"
    );
    bench.commit();
    assert_eq!(bench.answer(waiter), Some(Ok("7".into())));
    assert!(!bench.commit_wanted(), "one frame for one idle call");
}

#[test]
fn while_a_frame_syncs_workers_run_on_and_hand_over_when_it_is_applied() {
    let mut bench = Bench::with_vat();
    bench.call("a", None);
    let generation = bench.started().unwrap();
    bench.deliveries();
    bench.hand_over(generation, 1, 2, vec![value(2, "1")]);
    assert!(bench.commit_wanted());
    let (b, c) = (bench.call("b", None), bench.call("c", None));
    assert_eq!(bench.deliveries(), vec![(3, 0, false), (4, 0, false)]);
    assert!(!bench.asked_to_hand_over());
    bench.commit();
    assert!(bench.asked_to_hand_over());
    bench.hand_over(generation, 2, 4, vec![value(4, "3"), value(3, "2")]);
    assert!(bench.commit_wanted(), "two turns, one frame");
    bench.commit();
    assert_eq!(bench.answer(b), Some(Ok("2".into())));
    assert_eq!(bench.answer(c), Some(Ok("3".into())));
}

#[test]
fn a_promise_is_answered_in_a_later_turn_by_a_later_frame() {
    let mut bench = Bench::with_vat();
    let first = bench.call("later", Some("k"));
    let generation = bench.started().unwrap();
    bench.hand_over(generation, 1, 2, vec![]);
    bench.commit();
    assert!(bench.answer(first).is_none());
    let again = bench.call("later", Some("k"));
    assert!(
        bench.deliveries().len() == 1,
        "asked again, it is not run again"
    );
    let other = bench.call("release", None);
    bench.hand_over(
        generation,
        2,
        3,
        vec![value(2, "\"late\""), value(3, "null")],
    );
    bench.commit();
    assert_eq!(bench.answer(first), Some(Ok("\"late\"".into())));
    assert_eq!(bench.answer(again), Some(Ok("\"late\"".into())));
    assert_eq!(bench.answer(other), Some(Ok("null".into())));
    let third = bench.call("later", Some("k"));
    assert_eq!(
        bench.answer(third),
        Some(Ok("\"late\"".into())),
        "kept in the catalog"
    );
}

#[test]
fn the_window_of_a_client_is_written_once_a_frame_however_many_answers_move_it() {
    let mut bench = Bench::with_vat();
    let ids = ["a", "b", "c"];
    let waiters = ids.map(|id| bench.call("m", Some(id)));
    let generation = bench.started().unwrap();
    bench.hand_over(generation, 1, 4, (2..5).map(|at| value(at, "1")).collect());
    let staged_in = |bench: &Bench, table: u8| {
        let of_table = |part: &&Part| matches!(part, Part::Row(row) if row.table == table);
        bench.staged.iter().filter(of_table).count()
    };
    assert!(bench.commit_wanted());
    let counts = [rows::ANSWERS, rows::ANSWER_ORDER, rows::CLIENTS];
    assert_eq!(counts.map(|table| staged_in(&bench, table)), [3, 3, 1]);
    bench.commit();
    for waiter in waiters {
        assert_eq!(bench.answer(waiter), Some(Ok("1".into())));
    }
    let window = bench.rows.get(rows::CLIENTS, b"c").unwrap().unwrap();
    let window: rows::ClientRow = rows::read(rows::CLIENTS, &window).unwrap();
    assert_eq!((window.next, window.kept, window.first), (3, 0, 0));
    bench.call("m", None);
    bench.hand_over(generation, 2, 5, vec![value(5, "1")]);
    assert!(bench.commit_wanted());
    assert_eq!(staged_in(&bench, rows::CLIENTS), 0, "nothing moved it");
}

#[test]
fn a_key_with_another_content_is_refused_before_and_after_its_answer() {
    let mut bench = Bench::with_vat();
    bench.call("m", Some("k"));
    let other = bench.call("n", Some("k"));
    assert_eq!(
        bench.answer(other),
        Some(Err(CallError::KeyReused { id: "k".into() }))
    );
    let generation = bench.started().unwrap();
    bench.hand_over(generation, 1, 2, vec![value(2, "1")]);
    bench.commit();
    let later = bench.call("n", Some("k"));
    assert_eq!(
        bench.answer(later),
        Some(Err(CallError::KeyReused { id: "k".into() }))
    );
}

#[test]
fn a_dead_workers_turns_run_again_one_by_one_with_the_same_numbers_and_times() {
    let mut bench = Bench::with_vat();
    bench.now_ms = 50;
    let (a, b) = (bench.call("a", None), bench.call("b", None));
    let generation = bench.started().unwrap();
    bench.ready(generation);
    assert_eq!(bench.deliveries(), vec![(2, 50, true), (3, 50, false)]);
    bench.now_ms = 90;
    bench.gone(generation, Death::Killed);
    let next = bench.started().expect("its messages wait");
    assert_eq!(bench.deliveries(), vec![(2, 50, true)]);
    // What the dead generation still says is nobody's.
    bench.hand_over(generation, 1, 3, vec![]);
    assert!(!bench.commit_wanted());
    bench.hand_over(next, 1, 2, vec![value(2, "1")]);
    bench.commit();
    assert_eq!(bench.deliveries(), vec![(3, 50, true)]);
    bench.hand_over(next, 2, 3, vec![value(3, "2")]);
    bench.commit();
    assert_eq!(bench.answer(a), Some(Ok("1".into())));
    assert_eq!(bench.answer(b), Some(Ok("2".into())));
}

#[test]
fn a_new_worker_waits_until_what_the_old_one_handed_over_is_applied() {
    let mut bench = Bench::with_vat();
    bench.call("a", None);
    let generation = bench.started().unwrap();
    bench.ready(generation);
    bench.hand_over(generation, 1, 2, vec![value(2, "1")]);
    bench.call("b", None);
    bench.gone(generation, Death::Killed);
    assert!(
        bench.started().is_none(),
        "its image lacks the frame being synced"
    );
    bench.commit();
    assert!(bench.started().is_some());
}

#[test]
fn a_message_that_kills_its_worker_three_times_is_answered_with_an_error() {
    let mut bench = Bench::with_vat();
    let bad = bench.call("bad", None);
    let good = bench.call("good", None);
    for death in 1..=3 {
        let generation = bench.started().unwrap_or_else(|| panic!("start {death}"));
        bench.ready(generation);
        bench.deliveries();
        bench.dies(generation, Death::Signal(11), Some(2));
        assert!(
            bench.started().is_none(),
            "the count is durable before the next try"
        );
        assert!(
            bench.answer(bad).is_none(),
            "nothing is told before the commit"
        );
        assert!(bench.commit_wanted());
        bench.commit();
    }
    assert!(matches!(
        bench.answer(bad),
        Some(Err(CallError::TurnKilled {
            by: KilledBy::Crash,
            ..
        }))
    ));
    assert!(
        bench
            .rows
            .get(super::rows::POISON, &super::rows::vat_key(VatId(1)))
            .unwrap()
            .is_none()
    );
    let generation = bench.started().expect("the next message is well");
    assert_eq!(bench.deliveries(), vec![(3, 0, true)]);
    bench.hand_over(generation, 1, 3, vec![value(3, "1")]);
    bench.commit();
    assert_eq!(bench.answer(good), Some(Ok("1".into())));
}

#[test]
fn a_death_that_names_no_turn_among_several_is_tried_one_by_one_first() {
    let mut bench = Bench::with_vat();
    let bad = bench.call("bad", None);
    bench.call("good", None);
    for death in 0..=3 {
        let generation = bench.started().unwrap_or_else(|| panic!("start {death}"));
        bench.ready(generation);
        assert_eq!(bench.deliveries().len(), if death == 0 { 2 } else { 1 });
        bench.dies(generation, Death::Signal(11), None);
        if bench.commit_wanted() {
            bench.commit();
        }
    }
    assert!(matches!(
        bench.answer(bad),
        Some(Err(CallError::TurnKilled { .. }))
    ));
}

#[test]
fn an_undone_turn_is_consumed_in_its_place_and_the_others_go_on() {
    let mut bench = Bench::with_vat();
    let (a, b, c) = (
        bench.call("a", None),
        bench.call("b", None),
        bench.call("c", None),
    );
    let generation = bench.started().unwrap();
    bench.ready(generation);
    assert_eq!(bench.deliveries().len(), 3);
    bench.aborts(generation, 3, AbortedBy::Gas);
    assert!(bench.take(|e| matches!(
        e,
        Effect::SendToWorker {
            message: ToWorker::AbortSeen,
            ..
        }
    )));
    assert_eq!(
        bench.deliveries(),
        vec![(2, 0, true)],
        "what came before runs again"
    );
    assert!(bench.answer(b).is_none());
    bench.hand_over(generation, 1, 2, vec![value(2, "1")]);
    assert_eq!(bench.deliveries(), vec![], "the vat waits for a moment");
    let pause = UNDONE_PAUSE_MS.cast_signed();
    assert_eq!(bench.core.next_tick_ms(), Some(pause));
    bench.now_ms = pause - 1;
    bench.event(Event::Tick);
    assert_eq!(bench.deliveries(), vec![]);
    assert_eq!(bench.core.next_tick_ms(), Some(pause));
    bench.now_ms = pause;
    bench.event(Event::Tick);
    assert_eq!(
        bench.deliveries(),
        vec![(4, 0, false)],
        "the undone turn keeps its number"
    );
    bench.commit();
    assert_eq!(bench.answer(a), Some(Ok("1".into())));
    assert!(
        matches!(
            bench.answer(b),
            Some(Err(CallError::TurnKilled {
                by: KilledBy::Gas,
                ..
            }))
        ),
        "consumed in the frame of the turn before it"
    );
    assert!(bench.asked_to_hand_over());
    bench.hand_over(generation, 2, 4, vec![value(4, "3")]);
    bench.commit();
    assert_eq!(bench.answer(c), Some(Ok("3".into())));
}

#[test]
fn a_turn_its_vat_undid_itself_pauses_nobody() {
    let mut bench = Bench::with_vat();
    let waiter = bench.call("a", None);
    let generation = bench.started().unwrap();
    bench.ready(generation);
    bench.deliveries();
    bench.aborts(generation, 2, AbortedBy::Request);
    bench.commit();
    assert!(matches!(bench.answer(waiter), Some(Err(_))));
    bench.call("b", None);
    assert_eq!(bench.deliveries(), vec![(3, 0, true)]);
}

#[test]
fn a_turn_past_the_clock_is_given_up_at_once() {
    let mut bench = Bench::with_vat();
    let waiter = bench.call("loop", Some("k"));
    let generation = bench.started().unwrap();
    bench.ready(generation);
    bench.dies(generation, Death::Clock, Some(2));
    assert!(bench.commit_wanted());
    bench.commit();
    let killed = |answer| {
        matches!(
            answer,
            Some(Err(CallError::TurnKilled {
                by: KilledBy::Clock,
                ..
            }))
        )
    };
    assert!(killed(bench.answer(waiter)));
    let again = bench.call("loop", Some("k"));
    assert!(
        killed(bench.answer(again)),
        "its outcome is kept, it is not run again"
    );
}

#[test]
fn an_abort_waits_behind_a_hand_over_that_found_no_room() {
    let mut bench = Bench::with_vat();
    let large = |bench: &mut Bench, turn: u64, number: u64| {
        let json = format!("\"{}\"", "x".repeat(FRAME_BYTES - 100));
        bench.hand_over(2, number, turn, vec![value(turn, &json)]);
    };
    bench.call("a", None);
    assert_eq!(bench.started(), Some(2));
    bench.ready(2);
    large(&mut bench, 2, 1);
    assert!(bench.commit_wanted());
    // While that frame syncs: the next fills one of its own, the one after finds no room.
    bench.call("b", None);
    let c = bench.call("c", None);
    let d = bench.call("d", None);
    let e = bench.call("e", None);
    large(&mut bench, 3, 2);
    large(&mut bench, 4, 3);
    bench.deliveries();
    bench.aborts(2, 6, AbortedBy::Gas);
    for _ in 0..3 {
        bench.commit();
        if !bench.commit_wanted() {
            break;
        }
    }
    assert!(bench.answer(c).expect("was handed over").is_ok());
    let again = bench.deliveries();
    let turns: Vec<u64> = again.iter().map(|(turn, ..)| *turn).collect();
    assert_eq!(turns, vec![5], "turns 3 and 4 were handed over");
    bench.hand_over(2, 4, 5, vec![value(5, "1")]);
    while bench.commit_wanted() {
        bench.commit();
    }
    assert_eq!(bench.answer(d), Some(Ok("1".into())));
    assert!(matches!(
        bench.answer(e),
        Some(Err(CallError::TurnKilled {
            by: KilledBy::Gas,
            ..
        }))
    ));
    assert!(!bench.killed(2));
}

#[test]
fn an_abort_of_a_turn_that_is_not_out_is_a_lie() {
    let mut bench = Bench::with_vat();
    bench.call("m", None);
    let generation = bench.started().unwrap();
    bench.ready(generation);
    bench.aborts(generation, 7, AbortedBy::Heap);
    assert!(bench.killed(generation));
}

#[test]
fn a_lying_worker_is_ended_and_nothing_it_said_has_an_effect() {
    let mut bench = Bench::with_vat();
    let waiter = bench.call("m", None);
    let generation = bench.started().unwrap();
    bench.ready(generation);
    bench.staged.clear();
    bench.hand_over(generation, 1, 9, vec![]);
    assert!(bench.killed(generation));
    assert!(bench.staged.is_empty() && !bench.commit_wanted());
    bench.hand_over(generation, 1, 2, vec![value(2, "0")]);
    assert!(bench.staged.is_empty(), "nor what it says afterwards");
    bench.gone(generation, Death::Killed);
    assert!(
        bench.commit_wanted(),
        "its message counts as having killed it"
    );
    bench.commit();
    let next = bench.started().expect("a new worker runs the message");
    bench.hand_over(next, 1, 2, vec![value(2, "1")]);
    bench.commit();
    assert_eq!(bench.answer(waiter), Some(Ok("1".into())));
}

#[test]
fn a_worker_that_dies_before_it_is_ready_three_times_breaks_its_vat() {
    let mut bench = Bench::with_vat();
    let waiter = bench.call("m", None);
    for _ in 0..3 {
        let generation = bench.started().unwrap();
        bench.gone(generation, Death::Exit(1));
    }
    assert!(bench.started().is_none());
    assert!(matches!(
        bench.answer(waiter),
        Some(Err(CallError::Unavailable { .. }))
    ));
}

#[test]
fn a_failed_start_function_leaves_no_vat_and_its_name_is_free() {
    let mut bench = Bench::new();
    let waiter = bench.deploy("v");
    let early = bench.call("m", None);
    let thrown = Thrown {
        name: "SyntaxError".into(),
        message: "unexpected token".into(),
        stack: "v.js:1:1".into(),
        nearest: vec![],
    };
    bench.hand_over(
        1,
        1,
        1,
        vec![Reply {
            request: 1,
            outcome: Outcome::Thrown(thrown),
        }],
    );
    assert!(bench.killed(1) && bench.staged.is_empty() && !bench.commit_wanted());
    assert!(
        bench.take(
            |e| matches!(e, Effect::AnswerDeploy { waiter: w, answer: Err(_) } if *w == waiter)
        )
    );
    assert!(matches!(
        bench.answer(early),
        Some(Err(CallError::UnknownVat { .. }))
    ));
    bench.deploy("v");
    assert!(bench.take(|e| matches!(e, Effect::StartDeployment { vat: VatId(2), .. })));
}

#[test]
fn a_first_turn_counts_as_one_that_runs_until_it_is_in_a_frame() {
    let mut bench = Bench::new();
    assert!(!bench.core.has_turns_out());
    bench.deploy("v");
    assert!(bench.core.has_turns_out(), "the clock must be looked at");
    bench.hand_over(1, 1, 1, vec![value(1, "{\"$undefined\":true}")]);
    assert!(!bench.core.has_turns_out());
    bench.deploy("w");
    bench.event(Event::WorkerGone {
        vat: VatId(2),
        generation: 2,
        death: Death::Clock,
        running: Some(1),
    });
    assert!(!bench.core.has_turns_out());
}

#[test]
fn an_idle_vat_sleeps_and_wakes_on_a_message() {
    let mut bench = Bench::with_vat();
    bench.call("m", None);
    let generation = bench.started().unwrap();
    bench.ready(generation);
    bench.hand_over(generation, 1, 2, vec![value(2, "1")]);
    bench.commit();
    bench.now_ms = bench
        .core
        .next_tick_ms()
        .expect("an awake vat is looked at");
    bench.event(Event::Tick);
    assert!(bench.killed(generation));
    bench.gone(generation, Death::Killed);
    assert!(bench.core.next_tick_ms().is_none());
    bench.call("m", None);
    assert!(bench.started().is_some());
}

#[test]
fn termination_is_told_when_durable_and_answers_whoever_waited() {
    let mut bench = Bench::with_vat();
    let open = bench.call("later", Some("k"));
    let generation = bench.started().unwrap();
    bench.ready(generation);
    bench.hand_over(generation, 1, 2, vec![]);
    bench.commit();
    bench.event(Event::Terminate {
        vat: "v".into(),
        waiter: 99,
    });
    assert!(bench.killed(generation));
    bench.gone(generation, Death::Killed);
    assert!(bench.commit_wanted());
    assert!(
        bench
            .staged
            .iter()
            .any(|p| matches!(p, Part::Terminate { .. }))
    );
    assert!(!bench.take(|e| matches!(e, Effect::AnswerDone { .. })));
    bench.commit();
    assert!(bench.take(|e| matches!(
        e,
        Effect::AnswerDone {
            waiter: 99,
            answer: Ok(())
        }
    )));
    assert!(matches!(
        bench.answer(open),
        Some(Err(CallError::Unavailable { .. }))
    ));
    let again = bench.call("later", Some("k"));
    assert!(
        matches!(
            bench.answer(again),
            Some(Err(CallError::Unavailable { .. }))
        ),
        "kept"
    );
    let gone = bench.call("m", None);
    assert!(matches!(
        bench.answer(gone),
        Some(Err(CallError::UnknownVat { .. }))
    ));
}
