//! When what is written beside commits goes to the disk: in pieces, each right behind a frame.
//!
//! Why: a frame's sync waits for whatever the disk was given before it, and takes along what the
//! disk has not made durable yet. Where everything else is written by the piece, and a piece goes
//! when the sync of a frame has just returned, the next frame finds the disk idle, or one piece
//! before it.
//!
//! Promises: behind each frame there is a place for one piece, whoever writes it; on a disk nobody
//! commits on, nobody waits for longer than `IDLE`; for one place nobody waits for longer than
//! `PATIENCE`, nor at all once the journal is half full (J7): frames, however large and close to
//! each other, do not starve a fold. Knows nothing of what is written.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that go to the disk at once: about what it writes in the time of one sync.
pub(crate) const CHUNK_BYTES: u64 = 128 << 10;
/// What a sync counts as besides: it writes what belongs to the file, and has the disk empty its
/// cache.
pub(crate) const SYNC_BYTES: u64 = CHUNK_BYTES / 2;
/// Nobody commits where no frame ended for so long: under load one ends more often.
const IDLE: Duration = Duration::from_millis(1);
/// The longest wait for one place.
const PATIENCE: Duration = Duration::from_millis(4);

/// What the writer of frames and those who write beside it know of each other.
#[derive(Debug, Default)]
pub(crate) struct WriteThrottle {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// A frame is being written.
    is_writing: bool,
    /// When the last one ended, and what was written beside it since.
    ended_at: Option<Instant>,
    bytes: u64,
    is_space_exhausted: bool,
}

impl State {
    /// How long a piece should wait at most before this is asked again.
    fn wait(&self, bytes: u64, now: Instant, waited: Duration) -> Duration {
        if self.is_space_exhausted {
            return Duration::ZERO;
        }
        let patience = PATIENCE.saturating_sub(waited);
        if self.is_writing {
            return patience;
        }
        let fits = self.bytes == 0 || self.bytes.saturating_add(bytes) <= CHUNK_BYTES;
        match self.ended_at {
            Some(ended_at) if !fits => {
                let idle = IDLE.saturating_sub(now.saturating_duration_since(ended_at));
                idle.min(patience)
            }
            _ => Duration::ZERO,
        }
    }
}

/// A frame is being written as long as this is there.
#[derive(Debug)]
pub(crate) struct Writing<'p>(&'p WriteThrottle);

impl WriteThrottle {
    pub(crate) fn write_frame(&self) -> Writing<'_> {
        self.lock().is_writing = true;
        Writing(self)
    }

    /// Whether the journal is so full that a fold should be done with soon.
    pub(crate) fn set_bypass(&self, is_space_exhausted: bool) {
        let mut state = self.lock();
        if std::mem::replace(&mut state.is_space_exhausted, is_space_exhausted)
            != is_space_exhausted
        {
            self.changed.notify_all();
        }
    }

    /// Called before so many bytes are given to the disk: waits until there is a place for them.
    pub(crate) fn before(&self, bytes: u64) {
        let begun = Instant::now();
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let wait = state.wait(bytes, now, now.saturating_duration_since(begun));
            if wait.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(state, wait);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.bytes = state.bytes.saturating_add(bytes);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whole whatever panicked meanwhile: each field is set by itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_writing = false;
        state.ended_at = Some(Instant::now());
        state.bytes = 0;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_chunks_goes_behind_a_frame_and_the_next_waits_for_another_or_for_idleness() {
        let now = Instant::now();
        let wait = |state: &State, bytes| state.wait(bytes, now, Duration::ZERO);
        let mut state = State::default();
        assert_eq!(
            wait(&state, u64::MAX),
            Duration::ZERO,
            "nobody ever committed"
        );
        state.is_writing = true;
        assert_eq!(wait(&state, 1), PATIENCE, "the frame goes first");
        state.is_writing = false;
        state.ended_at = Some(now);
        assert_eq!(
            wait(&state, u64::MAX),
            Duration::ZERO,
            "a piece that is large goes alone"
        );
        state.bytes = SYNC_BYTES;
        assert_eq!(wait(&state, CHUNK_BYTES - SYNC_BYTES), Duration::ZERO);
        assert_eq!(wait(&state, CHUNK_BYTES), IDLE, "the place is taken");
        assert_eq!(state.wait(CHUNK_BYTES, now + IDLE, IDLE), Duration::ZERO);
    }

    #[test]
    fn nobody_waits_for_ever_nor_at_all_when_the_journal_fills() {
        let now = Instant::now();
        let mut state = State {
            is_writing: true,
            ended_at: Some(now),
            bytes: CHUNK_BYTES,
            is_space_exhausted: false,
        };
        let wait = |state: &State, waited| state.wait(CHUNK_BYTES, now, waited);
        assert_eq!(wait(&state, PATIENCE - IDLE), IDLE);
        assert_eq!(wait(&state, PATIENCE), Duration::ZERO);
        state.is_writing = false;
        assert_eq!(wait(&state, PATIENCE), Duration::ZERO);
        (state.is_writing, state.is_space_exhausted) = (true, true);
        assert_eq!(wait(&state, Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn the_end_of_a_frame_frees_its_place_for_whoever_waits() {
        let throttle = WriteThrottle::default();
        drop(throttle.write_frame());
        throttle.before(CHUNK_BYTES);
        let writing = throttle.write_frame();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| throttle.before(CHUNK_BYTES));
            drop(writing);
            waiting.join().unwrap();
        });
        assert_eq!(
            throttle.lock().bytes,
            CHUNK_BYTES,
            "the first one's are forgotten"
        );
    }
}
