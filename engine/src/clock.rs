//! What time it is, for turns, timers and whatever waits.
//!
//! Promises: never steps back while the host runs, and never stands still. Where the machine's own
//! clock is set back, this one goes on at half its pace until the other has caught up, so that a
//! timer set before is late by at most as long again as it had to run; where it is set forward,
//! this one follows at once, as timers wait for a time of day. Does not know who asks.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A clock as of when it was last read.
#[derive(Debug)]
pub(crate) struct Clock(Cell<Reading>);

#[derive(Clone, Copy, Debug)]
struct Reading {
    /// Since 1970.
    said: Duration,
    at: Instant,
}

impl Clock {
    pub fn new() -> Clock {
        let (said, at) = (machine_time(), Instant::now());
        Clock(Cell::new(Reading { said, at }))
    }

    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        let next = self.0.get().next(machine_time(), Instant::now());
        self.0.set(next);
        i64::try_from(next.said.as_millis()).unwrap_or(i64::MAX)
    }
}

impl Reading {
    fn next(self, machine: Duration, at: Instant) -> Reading {
        let slow = self.said + at.saturating_duration_since(self.at) / 2;
        let said = machine.max(slow);
        Reading { said, at }
    }
}

/// What the machine's clock says. One that is set before 1970 says 1970.
pub(crate) fn machine_time() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_forward_at_once_and_back_at_half_its_pace_until_the_machine_has_caught_up() {
        let begun = Instant::now();
        let seconds = Duration::from_secs;
        let mut reading = Reading {
            said: seconds(1_000),
            at: begun,
        };
        let mut read = |machine: u64, after: u64| {
            reading = reading.next(seconds(machine), begun + seconds(after));
            reading.said.as_secs_f64()
        };
        assert_eq!(read(1_010, 10), 1_010.0);
        // Set forward an hour, then back two.
        assert_eq!(read(4_611, 11), 4_611.0);
        assert_eq!(read(2_588, 12), 4_611.5);
        assert_eq!(read(4_600, 14), 4_612.5);
        assert_eq!(read(4_612, 26), 4_618.5);
        assert_eq!(read(4_622, 36), 4_623.5);
        assert_eq!(read(4_625, 39), 4_625.0, "caught up");
        assert_eq!(read(4_626, 40), 4_626.0);
    }

    #[test]
    fn read_often_it_moves_all_the_same() {
        let begun = Instant::now();
        let mut reading = Reading {
            said: Duration::from_secs(9),
            at: begun,
        };
        for step in 1..=1_000_000 {
            reading = reading.next(Duration::ZERO, begun + Duration::from_micros(step));
        }
        assert_eq!(reading.said, Duration::from_millis(9_500));
    }

    #[test]
    fn the_first_reading_is_the_machines() {
        let clock = Clock::new();
        let apart = i128::from(clock.now_ms()) - machine_time().as_millis() as i128;
        assert!(apart.abs() < 60_000, "{apart} ms");
    }
}
