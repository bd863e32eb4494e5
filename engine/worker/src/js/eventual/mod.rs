//! Eventual send, where it is hot: `E(x)`, and the send to a local object.
//!
//! Promises: a send never runs anything of the target in the job that sends, not even a getter or a
//! trap; it answers with a promise at once, and every error goes through that promise; sends to one
//! object run in the order sent, each in a job of its own. What is not a local object (a promise, a
//! presence, a proxy) is for the library, `eventual-send.js`, which knows handlers and mailboxes.
//!
//! Promises made here are the library's: they carry its private field, so that it can tell them
//! from others, and cannot be extended, so that nobody can put a `then` on one.
//!
//! All state is in the heap: two classes with static functions, and the numbers of names and
//! classes in the registry. `names` finds those, `proxy` is what `E` gives, `job` the send and its
//! job, `host` the functions the library gets.

mod host;
mod job;
mod names;
mod proxy;

pub use host::install;
