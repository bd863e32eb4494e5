//! What a rewriting changes, put together: the new text, and where its columns come from.
//!
//! Promises: no edit moves a token to another line; the new text is made in one pass. Does not
//! know why anything is edited.

use crate::lex::Place;
use crate::names::{Hidden, Names};
use crate::text::columns::{Columns, Segment};

/// What stands in an edit's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// `NAME(`, or `NAME (` after a letter or digit, with a space before: `return(x) ! m()`.
    Open { name: Hidden, glued: bool },
    /// `~` stands for the text's tag.
    Text(&'static str),
    /// As many spaces as bytes are cut: no column changes.
    Spaces,
}

/// `cut` bytes at a place are replaced.
#[derive(Clone, Copy, Debug)]
struct Edit {
    place: Place,
    cut: u32,
    put: Put,
    /// Orders edits at one place.
    order: u32,
}

#[derive(Debug, Default)]
pub struct Edits {
    edits: Vec<Edit>,
}

impl Edits {
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    pub fn replace(&mut self, place: Place, cut: u32, text: &'static str) {
        self.push(place, cut, Put::Text(text));
    }

    /// Puts spaces over a part of a line.
    pub fn blank(&mut self, place: Place, cut: u32) {
        self.push(place, cut, Put::Spaces);
    }

    /// Begins a call at a place; the later of two at one place is the outer.
    pub fn open(&mut self, place: Place, name: Hidden, glued: bool) {
        self.push(place, 0, Put::Open { name, glued });
    }

    fn push(&mut self, place: Place, cut: u32, put: Put) {
        let made = self.edits.len() as u32;
        // Calls that begin at one place do so alone: their operand's first token is kept.
        let order = match put {
            Put::Open { .. } => u32::MAX - made,
            Put::Text(_) | Put::Spaces => made,
        };
        self.edits.push(Edit {
            place,
            cut,
            put,
            order,
        });
    }

    /// The edited text.
    pub fn apply(mut self, source: &[u8], names: Names) -> (Vec<u8>, Columns) {
        self.edits
            .sort_unstable_by_key(|edit| (edit.place.offset, edit.order));
        let mut text = Vec::with_capacity(source.len() + self.edits.len() * 8);
        let mut segments = Vec::new();
        let mut from = 0;
        // Where the current line begins, in the author's text, and by how much it has grown.
        let (mut line_start, mut growth) = (0, 0);
        for edit in &self.edits {
            let at = edit.place.offset as usize;
            text.extend_from_slice(source.get(from..at).unwrap_or_default());
            if edit.place.line_start != line_start {
                (line_start, growth) = (edit.place.line_start, 0);
            }
            let author = edit.place.offset - line_start + 1;
            let before = text.len();
            put(edit, names, &mut text);
            let length = (text.len() - before) as i64;
            from = at + edit.cut as usize;
            if length == i64::from(edit.cut) {
                continue;
            }
            let line = edit.place.line;
            let now = (i64::from(author) + growth) as u32;
            if length > 0 {
                segments.push(Segment {
                    line,
                    now,
                    author,
                    fixed: true,
                });
            }
            growth += length - i64::from(edit.cut);
            let author = author + edit.cut;
            let now = (i64::from(author) + growth) as u32;
            segments.push(Segment {
                line,
                now,
                author,
                fixed: false,
            });
        }
        text.extend_from_slice(source.get(from..).unwrap_or_default());
        (text, Columns::new(segments))
    }
}

fn put(edit: &Edit, names: Names, text: &mut Vec<u8>) {
    match edit.put {
        Put::Text(piece) => {
            for part in piece.split_inclusive('~') {
                let (plain, tag) = match part.strip_suffix('~') {
                    Some(plain) => (plain, names.tag()),
                    None => (part, ""),
                };
                text.extend_from_slice(plain.as_bytes());
                text.extend_from_slice(tag.as_bytes());
            }
        }
        Put::Open { name, glued } => {
            if glued {
                text.push(b' ');
            }
            text.extend_from_slice(names.name(name).as_bytes());
            text.extend_from_slice(if glued { b" (" } else { b"(" });
        }
        Put::Spaces => text.resize(text.len() + edit.cut as usize, b' '),
    }
}
