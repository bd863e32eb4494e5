//! Tells the worker whether it is the executable that hosts embed, or a build like any other.
//!
//! Only `engine/build.rs` links it static and at a fixed address; a worker built any other way must
//! know that its heaps could not be resumed, and refuses to run.

use std::env;

/// Set by `engine/build.rs` for the build that it embeds.
const INNER: &str = "KENVAT_INNER_BUILD";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed={INNER}");
    println!("cargo:rustc-check-cfg=cfg(kenvat_static_worker)");
    if env::var_os(INNER).is_some() {
        println!("cargo:rustc-cfg=kenvat_static_worker");
    }
}
