//! Places in a text: lines as the engine counts them, the author's columns of a rewritten text, and
//! the part of a line that an error shows.

pub mod columns;
pub mod excerpt;
pub mod lines;
