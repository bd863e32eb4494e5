//! From a place in the rewritten text to the author's column.
//!
//! Columns count bytes from 1, as the engine's do; lines are the same in both texts. Kept in a
//! compact form of bytes with what was compiled, for errors in later turns. Bytes that are no such
//! form map every column to itself.

/// A stretch of a line, up to the next segment of that line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub line: u32,
    /// Where it begins in the rewritten text.
    pub now: u32,
    /// The author's column there.
    pub author: u32,
    /// All of it is what the rewriting put there, and stands for one place of the author's.
    pub fixed: bool,
}

/// The columns of one text. Sorted by line, then by column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    segments: Vec<Segment>,
}

impl Columns {
    pub(crate) fn new(segments: Vec<Segment>) -> Columns {
        Columns { segments }
    }

    /// Nothing was rewritten.
    pub fn is_identity(&self) -> bool {
        self.segments.is_empty()
    }

    /// The same where so many lines before the author's own are not counted.
    pub fn move_up(&mut self, lines: u32) {
        for segment in &mut self.segments {
            segment.line = segment.line.saturating_sub(lines);
        }
    }

    /// The author's column for a place in the rewritten text.
    pub fn author(&self, line: u32, column: u32) -> u32 {
        let after = self
            .segments
            .partition_point(|segment| (segment.line, segment.now) <= (line, column));
        match after.checked_sub(1).and_then(|at| self.segments.get(at)) {
            Some(segment) if segment.line == line && segment.fixed => segment.author,
            Some(segment) if segment.line == line => {
                segment.author.saturating_add(column - segment.now)
            }
            _ => column,
        }
    }

    /// The compact form: for each segment its line as a difference, its two columns as differences
    /// within the line, and whether it is fixed.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut last = START;
        for segment in &self.segments {
            if segment.line != last.line {
                last = Segment {
                    line: last.line,
                    ..START
                };
            }
            let lines = u64::from(segment.line.saturating_sub(last.line));
            number(lines << 1 | u64::from(segment.fixed), &mut bytes);
            number(u64::from(segment.now.saturating_sub(last.now)), &mut bytes);
            number(
                u64::from(segment.author.saturating_sub(last.author)),
                &mut bytes,
            );
            last = *segment;
        }
        bytes
    }

    /// Reads the compact form; what is none gives no segments.
    pub fn from_bytes(bytes: &[u8]) -> Columns {
        Columns {
            segments: read(bytes).unwrap_or_default(),
        }
    }
}

const START: Segment = Segment {
    line: 0,
    now: 0,
    author: 0,
    fixed: false,
};

fn read(mut bytes: &[u8]) -> Option<Vec<Segment>> {
    let mut segments = Vec::new();
    let mut last = START;
    while !bytes.is_empty() {
        let head = take(&mut bytes)?;
        let lines = u32::try_from(head >> 1).ok()?;
        if lines > 0 {
            last = Segment {
                line: last.line,
                ..START
            };
        }
        let mut add = |to: u32| to.checked_add(u32::try_from(take(&mut bytes)?).ok()?);
        let (now, author) = (add(last.now)?, add(last.author)?);
        last = Segment {
            line: last.line.checked_add(lines)?,
            now,
            author,
            fixed: head & 1 == 1,
        };
        segments.push(last);
    }
    Some(segments)
}

/// Seven bits a byte, the lowest first; the top bit says that more follow.
fn number(mut value: u64, bytes: &mut Vec<u8>) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7F) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
