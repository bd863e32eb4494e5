//! The guard around redb, which translates its errors and panics.
//!
//! redb asserts properties of a sound file, so over a damaged one it may panic, and panic again
//! when its objects are dropped. Promises: no such panic leaves the catalog. After one, objects of
//! redb are forgotten instead of dropped (memory and a descriptor remain until the process ends;
//! the store is latched, so nothing more is asked of it).

use super::CATALOG_FILE;
use super::storage::SectorDamage;
use crate::error::{Damage, StoreError};
use crate::latch::Latch;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One for each open catalog.
#[derive(Debug)]
pub(crate) struct Guard {
    latch: Arc<Latch>,
    has_panicked: AtomicBool,
}

impl Guard {
    pub(crate) fn new(latch: Arc<Latch>) -> Arc<Guard> {
        Arc::new(Guard {
            latch,
            has_panicked: AtomicBool::new(false),
        })
    }

    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.latch.check()
    }

    /// Runs redb.
    pub(crate) fn run<T>(
        &self,
        run: impl FnOnce() -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.told(error)),
            Err(_) => {
                self.has_panicked.store(true, Ordering::Relaxed);
                self.latch.trip("redb panicked over the catalog");
                Err(Damage::new(CATALOG_FILE, 0, "redb could not make sense of it").into())
            }
        }
    }

    /// Translates an error of redb. Damage latches like an error of the disk, because redb refuses
    /// everything after either.
    pub(crate) fn told(&self, error: impl Into<redb::Error>) -> StoreError {
        let damage = match error.into() {
            redb::Error::Io(source) => {
                let inner = source.get_ref().and_then(|inner| inner.downcast_ref());
                match inner {
                    Some(damage @ SectorDamage { offset }) => {
                        Damage::new(CATALOG_FILE, *offset, damage.to_string())
                    }
                    None => return self.latch.io("use", CATALOG_FILE, source),
                }
            }
            error => Damage::new(CATALOG_FILE, 0, error.to_string()),
        };
        self.latch.trip(damage.to_string());
        damage.into()
    }

    /// Latches for what went wrong in the middle of a transaction.
    pub(crate) fn latch(&self, error: &StoreError) {
        self.latch.trip(error.to_string());
    }

    /// Whether redb must not be called any more.
    pub(crate) fn has_panicked(&self) -> bool {
        self.has_panicked.load(Ordering::Relaxed)
    }

    /// Takes charge of something of redb's.
    pub(crate) fn hold<T>(self: &Arc<Guard>, value: T) -> Held<T> {
        Held {
            value: Some(value),
            guard: self.clone(),
        }
    }
}

/// Something of redb's whose end is guarded.
pub(crate) struct Held<T> {
    /// Always there, until it is taken or dropped.
    value: Option<T>,
    guard: Arc<Guard>,
}

impl<T> Held<T> {
    /// Gives it up, to be ended by a call of redb's inside `Guard::run`.
    pub(crate) fn take(mut self) -> T {
        self.value.take().expect("taken once, by value")
    }
}

impl<T> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value
            .as_ref()
            .expect("there until it is taken, by value")
    }
}

impl<T> DerefMut for Held<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value
            .as_mut()
            .expect("there until it is taken, by value")
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        let value = self.value.take();
        if self.guard.has_panicked() {
            std::mem::forget(value);
        } else if catch_unwind(AssertUnwindSafe(|| drop(value))).is_err() {
            self.guard.has_panicked.store(true, Ordering::Relaxed);
            self.guard.latch.trip("redb panicked when it was closed");
        }
    }
}

impl<T> std::fmt::Debug for Held<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Held")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct PanicsAtItsEnd;

    impl Drop for PanicsAtItsEnd {
        fn drop(&mut self) {
            panic!("at the end");
        }
    }

    #[test]
    fn a_panic_is_told_as_damage_and_latches_and_what_is_held_is_forgotten() {
        let latch = Arc::new(Latch::default());
        let guard = Guard::new(latch.clone());
        let held = guard.hold(PanicsAtItsEnd);
        let error = guard
            .run(|| -> Result<(), _> { panic!("in the middle") })
            .unwrap_err();
        assert!(matches!(error, StoreError::Damaged(_)) && latch.check().is_err());
        drop(held);
    }

    #[test]
    fn a_panic_at_the_end_latches_and_goes_no_further() {
        let latch = Arc::new(Latch::default());
        drop(Guard::new(latch.clone()).hold(PanicsAtItsEnd));
        assert!(latch.check().is_err());
    }
}
