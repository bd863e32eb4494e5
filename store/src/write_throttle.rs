//! The write throttle: when a fold's writes go to the disk while commits go on. They go in chunks,
//! each right after a frame.
//!
//! Why: the sync of a frame waits for everything the disk was given before, and also flushes what
//! the disk has not made durable yet. If all other writes go in chunks, and each chunk goes when
//! the sync of a frame has just returned, then the next frame finds the disk idle, or one chunk
//! ahead of it.
//!
//! Promises: after each frame one chunk may go, whoever writes it. On a disk without commits a
//! writer waits at most `IDLE`. A chunk never waits longer than `PATIENCE`, and not at all once the
//! journal is half full (J7), so frames cannot starve a fold, however large and frequent they are.
//! Does not know what is written.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that go to the disk at once: about what it writes in the time of one sync.
pub(crate) const CHUNK_BYTES: u64 = 128 << 10;
/// What a sync counts as besides its data: it writes metadata and makes the disk flush its cache.
pub(crate) const SYNC_BYTES: u64 = CHUNK_BYTES / 2;
/// If no frame ended for this long, nobody commits; under load frames end more often.
const IDLE: Duration = Duration::from_millis(1);
/// The longest wait for one chunk.
const PATIENCE: Duration = Duration::from_millis(4);

/// State shared by the writer of frames and the other writers.
#[derive(Debug, Default)]
pub(crate) struct WriteThrottle {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// A frame is being written.
    is_writing: bool,
    /// When the last frame ended, and how much other writers wrote since.
    ended_at: Option<Instant>,
    bytes: u64,
    is_space_exhausted: bool,
}

impl State {
    /// How long a chunk should wait before it asks again.
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

/// While this exists, a frame is being written.
#[derive(Debug)]
pub(crate) struct Writing<'p>(&'p WriteThrottle);

impl WriteThrottle {
    pub(crate) fn write_frame(&self) -> Writing<'_> {
        self.lock().is_writing = true;
        Writing(self)
    }

    /// Sets whether the journal is so full that a fold should not wait any more.
    pub(crate) fn set_bypass(&self, is_space_exhausted: bool) {
        let mut state = self.lock();
        if std::mem::replace(&mut state.is_space_exhausted, is_space_exhausted)
            != is_space_exhausted
        {
            self.changed.notify_all();
        }
    }

    /// Waits until `bytes` bytes may be given to the disk.
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
        // Each field is set on its own, so a panic elsewhere leaves the state consistent.
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
    fn one_chunk_goes_after_a_frame_and_the_next_waits_for_another_or_for_idleness() {
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
