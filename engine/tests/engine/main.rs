//! Whole engines, in one program: what callers see of vats that loop, grow, wait, die and say much,
//! and of engines that are opened, stopped and misused.
//!
//! `places` is a program of its own beside this folder, since it lowers this process's limit of
//! descriptors.

mod busy_verify;
mod embed;
mod embedding;
mod inline_call;
mod large;
mod large_deltas;
mod large_sets;
mod limits;
mod starts;
