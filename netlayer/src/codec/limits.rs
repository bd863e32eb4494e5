//! How much one value may ask of the process that decodes it.
//!
//! Promises: every size that a peer can choose has a field here. OCapN names no limits, so these
//! are ours; both directions keep to them, so that nothing is sent that would not be accepted.

/// Limits on one value with everything in it. A field is the greatest allowed amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole value, coded.
    pub bytes: usize,
    /// Bytes of one string, symbol or byte array, without its length prefix.
    pub length: usize,
    /// Containers open at once. Values nest no deeper, so recursion over them is bounded.
    pub depth: usize,
    /// Atoms and containers together, labels and struct keys among the atoms. An item takes up to
    /// about 130 bytes of memory and may be one coded byte, so `bytes` alone bounds no memory.
    pub items: usize,
    /// Decimal digits of one integer, leading zeros included. Converting takes time that grows
    /// with the square of this.
    pub integer_digits: usize,
}

impl Limits {
    /// What a message between vats may be: the 16 MiB of `kenvat limits`.
    pub const MESSAGE: Limits = Limits {
        bytes: 16 << 20,
        length: 16 << 20,
        depth: 128,
        items: 1 << 20,
        integer_digits: 8192,
    };

    /// For what a peer may send before it has proved who it is: hellos, locators, keys.
    pub const HELLO: Limits = Limits {
        bytes: 16 << 10,
        length: 4 << 10,
        depth: 16,
        items: 512,
        integer_digits: 64,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Limits::MESSAGE
    }
}
