//! The byte budget: one bound on the bytes that all connections of the gateway and of the control
//! socket hold together.
//!
//! Promises: requests being read and answers being written never hold more than the budget; each
//! connection has an allowance of its own, so that small messages pass while others use up the
//! rest; memory that large messages used is given back to the system once they are gone. Does not
//! know what the bytes are.
//!
//! Half of the budget is divided into the allowances. The other half is a pool for what is larger.
//! A message reserves its whole length before it is read, because messages that reserved piece by
//! piece could use up the pool together and then all wait for each other. Every holder is bounded
//! in time, so waiting for the pool ends.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::shutdown::ShutdownSignal;

/// Bytes of a connection's own allowance, if the budget suffices for as many.
const ALLOWANCE_MAX: usize = 64 << 10;

/// Bytes taken from the pool at a time from which it is worth while to give memory back afterwards.
const RELEASE_MIN: usize = 8 << 20;

/// Pause between the end of the last large message and giving memory back: what the engine copied
/// of the message is mostly freed by then, and messages in a row cause one release.
const RELEASE_PAUSE: Duration = Duration::from_secs(1);

/// The budget. Clones share it.
#[derive(Clone, Debug)]
pub struct ByteBudget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    allowance: usize,
    pool_bytes: usize,
    pool: Arc<Semaphore>,
    /// The most bytes taken from the pool at a time since memory was given back.
    peak: AtomicUsize,
    is_drained: Notify,
}

/// The budget of one connection. Clones share its allowance.
#[derive(Clone, Debug)]
pub struct ConnectionBudget {
    budget: ByteBudget,
    used: Arc<AtomicUsize>,
}

/// Bytes that a connection holds; dropping it gives them back.
#[derive(Debug)]
pub struct Held {
    connection: ConnectionBudget,
    /// Bytes of the connection's allowance.
    own: usize,
    pool: Option<OwnedSemaphorePermit>,
}

impl ByteBudget {
    /// Divides `bytes` among at most `connections`.
    pub fn new(bytes: usize, connections: usize) -> ByteBudget {
        let connections = connections.max(1);
        let allowance = (bytes / 2 / connections).min(ALLOWANCE_MAX);
        let pool_bytes = bytes - allowance * connections;
        ByteBudget(Arc::new(Inner {
            allowance,
            pool_bytes,
            pool: Arc::new(Semaphore::new(pool_bytes.min(Semaphore::MAX_PERMITS))),
            peak: AtomicUsize::new(0),
            is_drained: Notify::new(),
        }))
    }

    /// The budget of a new connection.
    pub fn connection(&self) -> ConnectionBudget {
        ConnectionBudget {
            budget: self.clone(),
            used: Arc::default(),
        }
    }

    /// Gives memory back to the system whenever large messages are gone, until `stop` is signalled.
    pub async fn release_memory(self, mut stop: ShutdownSignal) {
        loop {
            tokio::select! {
                () = self.0.is_drained.notified() => {}
                () = stop.wait() => break,
            }
            tokio::time::sleep(RELEASE_PAUSE).await;
            self.0.peak.store(0, Relaxed);
            // The allocator is locked meanwhile, for milliseconds.
            let _ = tokio::task::spawn_blocking(kenvat_engine::release_free_memory).await;
        }
    }

    fn took(&self) {
        let taken = self.0.pool_bytes - self.0.pool.available_permits().min(self.0.pool_bytes);
        self.0.peak.fetch_max(taken, Relaxed);
    }
}

impl ConnectionBudget {
    /// Holds so many bytes if they are free now.
    pub fn try_hold(&self, bytes: usize) -> Option<Held> {
        self.hold_own(bytes).or_else(|| {
            let permits = self.permits(bytes);
            let taken = self.budget.0.pool.clone().try_acquire_many_owned(permits);
            taken.ok().map(|permit| self.held_of(permit))
        })
    }

    /// Holds so many bytes, after waiting for other messages to go if need be.
    pub async fn hold(&self, bytes: usize) -> Held {
        if let Some(held) = self.hold_own(bytes) {
            return held;
        }
        let pool = self.budget.0.pool.clone();
        let taken = pool.acquire_many_owned(self.permits(bytes)).await;
        self.held_of(taken.expect("the pool is never closed"))
    }

    fn hold_own(&self, bytes: usize) -> Option<Held> {
        let allowance = self.budget.0.allowance;
        let add = |used: usize| Some(used + bytes).filter(|sum| *sum <= allowance);
        self.used.fetch_update(Relaxed, Relaxed, add).ok()?;
        Some(Held {
            connection: self.clone(),
            own: bytes,
            pool: None,
        })
    }

    fn held_of(&self, permit: OwnedSemaphorePermit) -> Held {
        self.budget.took();
        Held {
            connection: self.clone(),
            own: 0,
            pool: Some(permit),
        }
    }

    /// No message is longer than the smallest pool; one that were would wait for all of it.
    fn permits(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.min(self.budget.0.pool_bytes)).unwrap_or(u32::MAX)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.connection.used.fetch_sub(self.own, Relaxed);
        let Some(permit) = self.pool.take() else {
            return;
        };
        drop(permit);
        let inner = &self.connection.budget.0;
        let is_free = inner.pool.available_permits() >= inner.pool_bytes;
        if is_free && inner.peak.load(Relaxed) >= RELEASE_MIN {
            inner.is_drained.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn small_messages_pass_when_the_pool_is_used_up() {
        let budget = ByteBudget::new(64 * MIB, 1_000);
        let greedy = budget.connection();
        let held: Vec<_> = std::iter::from_fn(|| greedy.try_hold(MIB)).collect();
        assert!(held.len() >= 32, "{}", held.len());
        let other = budget.connection();
        assert!(other.try_hold(MIB).is_none());
        let small = other.try_hold(16 << 10).expect("its own allowance");
        assert!(
            other.try_hold(60 << 10).is_none(),
            "the allowance is bounded"
        );
        drop(held);
        assert!(other.try_hold(MIB).is_some());
        drop(small);
    }

    #[test]
    fn all_that_is_held_stays_within_the_budget() {
        let (bytes, connections) = (64 * MIB, 700);
        let budget = ByteBudget::new(bytes, connections);
        let all: Vec<_> = (0..connections).map(|_| budget.connection()).collect();
        let mut held = Vec::new();
        for size in [MIB, 64 << 10, 1 << 10] {
            for connection in &all {
                held.extend(
                    std::iter::from_fn(|| connection.try_hold(size)).map(|held| (size, held)),
                );
            }
        }
        let sum: usize = held.iter().map(|(size, _)| size).sum();
        assert!(sum <= bytes && sum > bytes / 10 * 9, "{sum}");
    }

    #[test]
    fn whoever_waits_for_the_pool_gets_it_in_turn() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let budget = ByteBudget::new(64 * MIB, 1);
            let first = budget.connection().hold(63 * MIB).await;
            let waiting = budget.connection();
            let waiting = tokio::spawn(async move { waiting.hold(32 * MIB).await });
            tokio::task::yield_now().await;
            assert!(!waiting.is_finished());
            drop(first);
            let held = waiting.await.expect("gets it");
            assert!(held.pool.is_some());
        });
    }
}
