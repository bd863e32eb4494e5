//! Whose fault an error is, which decides what happens next.

/// Every error of this crate belongs to one of these; each error type says which by `fault()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A peer sent what no correct peer sends: end the session with it, touch no vat.
    PeerMisbehaved,
    /// Whoever called gave something unfit: tell that caller, end nothing.
    ApiMisuse,
}
