//! The repairs of the realm, by name.
//!
//! QuickJS's realm as it comes lets programs reach what they should not; genesis and the library
//! repair it step by step, and each step asks here whether it is wanted. In every worker that is
//! given to anybody the answer is yes. A worker with feature `misbehave` leaves out what its
//! command line names (`--without=NAME,NAME`), so that the hostile suite can show that each of its
//! programs is held by the repair it names and by nothing else.

/// Whether this repair is to be made.
#[cfg(not(feature = "misbehave"))]
pub const fn wanted(_name: &str) -> bool {
    true
}

/// Whether this repair is to be made.
#[cfg(feature = "misbehave")]
pub fn wanted(name: &str) -> bool {
    use std::sync::OnceLock;
    static LEFT_OUT: OnceLock<Vec<String>> = OnceLock::new();
    let left_out = LEFT_OUT.get_or_init(|| {
        let names = std::env::args().filter_map(|arg| {
            let names = arg.strip_prefix("--without=")?;
            Some(names.split(',').map(str::to_owned).collect::<Vec<_>>())
        });
        names.flatten().collect()
    });
    !left_out.iter().any(|left_out| left_out == name)
}
