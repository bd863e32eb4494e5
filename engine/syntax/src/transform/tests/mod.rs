//! What the rewriting promises, clause by clause.

mod cases;
mod files;
mod noise;

/// A text of a table, in which backslashes spell what has no place in a line.
fn from_table(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escaped) = rest.split_at(at);
        plain.push_str(before);
        let (character, length) = match escaped.as_bytes().get(1) {
            Some(b'n') => ('\n', 2),
            Some(b'r') => ('\r', 2),
            Some(b't') => ('\t', 2),
            Some(b'\\') => ('\\', 2),
            Some(b'u') if wide(escaped).is_some() => (wide(escaped).expect("is one"), 6),
            _ => ('\\', 1),
        };
        plain.push(character);
        rest = &escaped[length..];
    }
    plain + rest
}

/// An escape of a character beyond ASCII; those of ASCII are the author's own.
fn wide(escaped: &str) -> Option<char> {
    let number = u32::from_str_radix(escaped.get(2..6)?, 16).ok()?;
    char::from_u32(number).filter(|_| number > 0x7F)
}
