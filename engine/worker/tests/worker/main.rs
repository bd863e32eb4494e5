//! The worker's tests, in one program: each file plays the host for workers of its own
//! (`kenvat_testing::worker`), and none needs the test process to itself.
//!
//! Those that do are programs of their own beside this folder: `sandbox` and `landlock` look at
//! descriptors and threads of the whole process, and `pin` builds another worker.

mod aplus;
mod bad_text;
mod bang;
mod columns;
mod declarations;
mod determinism;
mod docs;
mod endo;
mod examples;
mod heap;
mod hostile;
mod json;
mod plain_text;
mod powers;
mod process;
mod programs;
mod realm;
mod realm_walk;
mod send;
mod send_q;
mod timers;
mod turns;
mod worth_nothing;
