//! The realm a vat's code runs in: its context and the registry of values to find again.

use std::cell::Cell;

use super::registry::Registry;
use super::value::Cx;

/// Context and registry of the one heap of this process.
#[derive(Clone, Copy)]
pub struct Realm {
    pub cx: Cx,
    pub registry: Registry,
}

thread_local! {
    static CURRENT: Cell<Option<Realm>> = const { Cell::new(None) };
}

impl Realm {
    /// The realm callbacks from C run in; `None` before a heap is open.
    pub fn current() -> Option<Realm> {
        CURRENT.get()
    }

    /// Makes this the process's realm.
    pub fn enter(self) -> Realm {
        CURRENT.set(Some(self));
        self
    }
}
