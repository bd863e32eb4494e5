//! A function's text as its author wrote it, from the rewritten one.
//!
//! Whatever was put into a text holds the text's tag, which occurs nowhere in what the author wrote.
//! So each piece is found by itself, without reading the text's structure, and a function can be
//! restored from its own part of the text. `~` stands for the tag:
//!
//! | rewritten | author's |
//! | --- | --- |
//! | `~s(`, `~c(`, `~g(`; with a space before each of both | nothing |
//! | `,/*~*/` | `!` |
//! | behind it: `"m"` and `,` | `m` and `(` |
//! | behind it: `"m")` | `m` |
//! | behind it: `0,` | `(` |
//! | behind it: `(` | `[` |
//! | `)/*~]*/` and `,`; `)/*~]*/)` | `]` and `(`; `]` |
//! | `/*~<*/`, ` ~d` | nothing |
//! | `~i`, `~m` | `import` |

use crate::Goal;
use crate::lex::Lexer;
use crate::names::Names;

/// The author's text of a function, class or method of a text that was rewritten with these names,
/// given its rewritten text; `None` where both are the same.
pub fn restore(text: &[u8], names: Names) -> Option<Vec<u8>> {
    let tag = names.tag().as_bytes();
    let mut restored = Restored {
        text,
        out: Vec::new(),
        done: 0,
    };
    let mut from = 0;
    while let Some(at) = find(text, tag, from) {
        restored.piece(at, tag.len())?;
        from = restored.done.max(at + tag.len());
    }
    if restored.done == 0 {
        return None;
    }
    restored.copy_to(text.len());
    Some(restored.out)
}

fn find(text: &[u8], tag: &[u8], from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    let at = rest.windows(tag.len()).position(|window| window == tag)?;
    Some(from + at)
}

struct Restored<'a> {
    text: &'a [u8],
    out: Vec<u8>,
    /// Up to here the text was taken.
    done: usize,
}

impl Restored<'_> {
    /// The piece whose tag stands here; `None` where it is none that was put in.
    fn piece(&mut self, at: usize, tag: usize) -> Option<()> {
        let behind = at + tag;
        match self.rest(behind) {
            [b's' | b'c' | b'g', b'(', ..] => self.put(at, behind + 2, b""),
            [b's' | b'c' | b'g', b' ', b'(', ..] => self.put(at.checked_sub(1)?, behind + 3, b""),
            [b'i' | b'm', ..] => self.put(at, behind + 1, b"import"),
            [b'd', ..] => self.put(at.checked_sub(1)?, behind + 1, b""),
            [b'<', b'*', b'/', ..] => self.put(at.checked_sub(2)?, behind + 3, b""),
            [b']', b'*', b'/', ..] => self.key_end(at.checked_sub(3)?, behind + 3),
            [b'*', b'/', ..] => self.bang(at.checked_sub(3)?, behind + 2),
            _ => None,
        }
    }

    fn rest(&self, from: usize) -> &[u8] {
        self.text.get(from..).unwrap_or_default()
    }

    fn copy_to(&mut self, end: usize) {
        let part = self.text.get(self.done..end).unwrap_or_default();
        self.out.extend_from_slice(part);
        self.done = end;
    }

    /// What stands from `start` to `end` becomes `author`.
    fn put(&mut self, start: usize, end: usize, author: &[u8]) -> Option<()> {
        if start < self.done {
            return None;
        }
        self.copy_to(start);
        self.out.extend_from_slice(author);
        self.done = end;
        Some(())
    }

    /// A `!` and what is sent.
    fn bang(&mut self, start: usize, end: usize) -> Option<()> {
        self.put(start, end, b"!")?;
        let key = self.behind_trivia(end);
        match self.rest(key) {
            [b'0', b',', ..] => self.put(key, key + 2, b"("),
            [b'(', ..] => self.put(key, key + 1, b"["),
            [b'"', name @ ..] => {
                let quote = key + 1 + name.iter().position(|byte| *byte == b'"')?;
                self.put(key, key + 1, b"")?;
                self.put(quote, quote + 1, b"")?;
                self.arguments(quote + 1)
            }
            _ => None,
        }
    }

    /// The `]` of a computed key.
    fn key_end(&mut self, start: usize, end: usize) -> Option<()> {
        self.put(start, end, b"]")?;
        self.arguments(end)
    }

    /// Behind what is sent: the `)` of a call without arguments, or the comma that was `(`.
    fn arguments(&mut self, at: usize) -> Option<()> {
        if self.rest(at).starts_with(b")") {
            return self.put(at, at + 1, b"");
        }
        let comma = self.behind_trivia(at);
        let is_comma = self.rest(comma).starts_with(b",");
        is_comma.then(|| self.put(comma, comma + 1, b"("))?
    }

    fn behind_trivia(&self, at: usize) -> usize {
        // Spaces and comments are a script's: in a module's text no operator begins with `<!--`.
        let rest = self.rest(at);
        rest.len().min(Lexer::new(rest, Goal::Script).trivia()) + at
    }
}
