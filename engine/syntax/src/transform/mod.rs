//! The edits that make a text what the engine is given.

pub mod edits;

#[cfg(test)]
mod tests;
