//! The clock over one worker: whether it still does what it was asked.
//!
//! Promises: whatever a worker claims on its status page, and whatever it does not say, it is found
//! out after a bounded time: one turn for longer than a turn may run, no turn at all for as long
//! while a hand-over is owed, a hand-over owed for longer than all its turns may run together, or a
//! socket closed by a process that lives on. Does not know processes or descriptors; times are
//! arguments.

use std::time::{Duration, Instant};

use kenvat_wire::protocol::{FromWorker, ToWorker};

/// A process that ends by itself closes its socket a moment before.
pub(crate) const CLOSED_GRACE: Duration = Duration::from_secs(1);

/// What the host has asked of a worker, and since when.
#[derive(Debug, Default)]
pub(crate) struct Watchdog {
    /// The last turn sent, and the last one handed over or undone.
    sent: u64,
    handed: u64,
    /// Since when it has been starting.
    starting: Option<Instant>,
    /// Since when a hand-over that was asked for is owed.
    asked: Option<Instant>,
    /// What it was last seen at, and since when.
    seen: Option<(Option<u64>, Instant)>,
    closed: Option<Instant>,
    /// Ended by the host because of the time it took.
    pub overran: bool,
}

/// What is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fine,
    /// It took too long: ended, and its turn given up.
    Overran,
    /// It hides from the host: ended for breaking the rules.
    Closed,
}

impl Watchdog {
    /// The worker is told this.
    pub fn sent(&mut self, message: &ToWorker, now: Instant) {
        match message {
            ToWorker::Start(_) => self.starting = Some(now),
            ToWorker::HandOver => self.asked = Some(now),
            ToWorker::Deliver { turns, hand_over } => {
                self.sent = turns.last().map_or(self.sent, |last| last.turn);
                if *hand_over {
                    self.asked = Some(now);
                }
            }
            ToWorker::Applied { .. } | ToWorker::AbortSeen => {}
        }
    }

    /// The worker said this.
    pub fn received(&mut self, message: &FromWorker) {
        match message {
            FromWorker::Ready { .. } => self.starting = None,
            // Says that it lives, not that it comes to an end.
            FromWorker::Delta { .. } => {}
            FromWorker::HandOver(hand_over) => {
                self.handed = hand_over.last_turn;
                self.asked = None;
            }
            // Nothing is handed over, but what was sent was run.
            FromWorker::Aborted { .. } | FromWorker::Starting { .. } => {
                self.handed = self.sent;
                self.asked = None;
            }
        }
        self.seen = None;
    }

    /// The host did not listen for so long: that is not the worker's time.
    pub fn paused(&mut self, time: Duration) {
        self.asked = self.asked.map(|since| since + time);
        self.seen = None;
    }

    pub fn closed(&mut self, now: Instant) {
        self.closed.get_or_insert(now);
    }

    /// Whether it has to be looked at although nothing is out.
    pub fn is_suspect(&self) -> bool {
        self.closed.is_some() || self.owes().is_some()
    }

    fn owes(&self) -> Option<Instant> {
        self.starting.or(self.asked)
    }

    /// Judges it. `running` is the turn it claims to run; `most` what a turn may take.
    pub fn judge(&mut self, running: Option<u64>, now: Instant, most: Duration) -> Verdict {
        if self.overran {
            return Verdict::Fine;
        }
        if self.closed.is_some_and(|since| now - since >= CLOSED_GRACE) {
            self.closed = None;
            return Verdict::Closed;
        }
        // Claiming no turn is fine for a worker that owes nothing.
        if running.is_none() && self.owes().is_none() {
            self.seen = None;
            return Verdict::Fine;
        }
        let since = match self.seen {
            Some((same, since)) if same == running => since,
            _ => {
                self.seen = Some((running, now));
                now
            }
        };
        let turns = u32::try_from(self.sent.saturating_sub(self.handed)).unwrap_or(u32::MAX);
        let together = most.saturating_mul(turns.saturating_add(1));
        let late = self.owes().is_some_and(|since| now - since >= together);
        if now - since < most && !late {
            return Verdict::Fine;
        }
        self.overran = true;
        Verdict::Overran
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kenvat_wire::protocol::{Delivery, HandOver, Message, Start, TrackerKind};

    const MOST: Duration = Duration::from_secs(10);
    const LOOK: Duration = Duration::from_millis(250);

    fn deliver(from: u64, to: u64, hand_over: bool) -> ToWorker {
        let turn = |turn| Delivery {
            turn,
            time_ms: 0,
            seed: [0; 32].into(),
            message: Message::Call {
                request: turn,
                method: String::new(),
                args: String::new(),
            },
        };
        ToWorker::Deliver {
            turns: (from..=to).map(turn).collect(),
            hand_over,
        }
    }

    fn start() -> ToWorker {
        ToWorker::Start(Start {
            protocol: 1,
            generation: 1,
            page_limit: 1,
            genesis: false,
            gas: 1,
            tracker: None,
        })
    }

    fn handed_over(last_turn: u64) -> FromWorker {
        FromWorker::HandOver(HandOver {
            generation: 1,
            number: 1,
            last_turn,
            replies: vec![],
            log: vec![],
            timers: Vec::new(),
            used_pages: 1,
            pieces: 0,
            delta: vec![],
        })
    }

    /// Looks four times a second; after how long the verdict was another than fine.
    fn until(
        watchdog: &mut Watchdog,
        begun: Instant,
        claims: impl Fn(u32) -> Option<u64>,
        looks: u32,
    ) -> Option<(Duration, Verdict)> {
        (0..looks).find_map(|at| {
            let verdict = watchdog.judge(claims(at), begun + LOOK * at, MOST);
            (verdict != Verdict::Fine).then_some((LOOK * at, verdict))
        })
    }

    #[test]
    fn a_worker_that_is_never_ready_is_found_out() {
        let (mut watchdog, begun) = (Watchdog::default(), Instant::now());
        watchdog.sent(&start(), begun);
        watchdog.sent(&deliver(1, 5, false), begun);
        let found = until(&mut watchdog, begun, |_| None, 100);
        assert_eq!(found, Some((MOST, Verdict::Overran)));
    }

    #[test]
    fn one_turn_for_too_long_is_found_out() {
        let (mut watchdog, begun) = (Watchdog::default(), Instant::now());
        watchdog.sent(&deliver(1, 1, false), begun);
        let found = until(&mut watchdog, begun, |_| Some(1), 100);
        assert_eq!(found, Some((MOST, Verdict::Overran)));
        assert!(watchdog.overran);
    }

    #[test]
    fn a_worker_that_never_claims_its_turn_is_found_out_as_early() {
        let (mut watchdog, begun) = (Watchdog::default(), Instant::now());
        watchdog.sent(&deliver(1, 1, true), begun);
        let found = until(&mut watchdog, begun, |_| None, 100);
        assert_eq!(found, Some((MOST, Verdict::Overran)));
    }

    #[test]
    fn a_worker_that_claims_another_turn_at_each_look_is_found_out_in_the_end() {
        let (mut watchdog, begun) = (Watchdog::default(), Instant::now());
        watchdog.sent(&deliver(1, 3, true), begun);
        let found = until(&mut watchdog, begun, |at| Some(u64::from(at) + 1), 1000);
        assert_eq!(found, Some((MOST * 4, Verdict::Overran)));
    }

    #[test]
    fn a_worker_that_is_ready_and_hands_over_is_never_accused() {
        let (mut watchdog, begun) = (Watchdog::default(), Instant::now());
        watchdog.sent(&start(), begun);
        for turn in 1..=20 {
            watchdog.sent(&deliver(turn, turn, true), begun);
            assert_eq!(until(&mut watchdog, begun, |_| Some(turn), 30), None);
            watchdog.received(&handed_over(turn));
        }
        let ready = FromWorker::Ready {
            generation: 1,
            protocol: 1,
            tracker: TrackerKind::Userfaultfd,
        };
        watchdog.received(&ready);
        // Turns it was not asked to hand over: it is through, and waits.
        watchdog.sent(&deliver(21, 30, false), begun);
        assert_eq!(until(&mut watchdog, begun, |_| None, 1000), None);
        assert!(!watchdog.is_suspect());
    }

    #[test]
    fn a_socket_closed_by_a_process_that_lives_on_is_a_breach() {
        let (mut watchdog, begun) = (Watchdog::default(), Instant::now());
        watchdog.closed(begun);
        assert!(watchdog.is_suspect());
        let found = until(&mut watchdog, begun, |_| None, 100);
        assert_eq!(found, Some((CLOSED_GRACE, Verdict::Closed)));
    }
}
