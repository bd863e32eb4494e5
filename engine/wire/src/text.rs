//! Text that is kept within a number of bytes, and text that stays on one line.

/// The longest beginning of `text` that has at most so many bytes and ends at a whole character.
pub fn beginning(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Appends `text` as it stands in a log: one line, and nothing in it that moves a terminal.
pub fn push_escaped(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\\' => out.push_str("\\\\"),
            // Other control characters would reach a terminal through `kenvat logs`.
            c if c.is_control() && c != '\t' => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
}

/// Bytes `push_escaped` appends.
pub fn escaped_bytes(text: &str) -> usize {
    let bytes = text.chars().map(|character| match character {
        '\n' | '\r' | '\\' => 2,
        c if c.is_control() && c != '\t' => c.escape_unicode().len(),
        c => c.len_utf8(),
    });
    bytes.sum()
}

#[cfg(test)]
mod tests {
    use super::{beginning, escaped_bytes, push_escaped};

    #[test]
    fn escaped_text_is_as_long_as_was_counted() {
        let mut all: String = (0..=0xffu8).map(char::from).collect();
        all.push_str("aé\u{202e}𐍈");
        let mut out = String::new();
        push_escaped(&mut out, &all);
        assert_eq!(escaped_bytes(&all), out.len());
        assert!(
            out.contains("\\n\\u{b}\\u{c}\\r") && !out.contains('\u{1b}'),
            "{out}"
        );
    }

    #[test]
    fn a_character_is_kept_whole_or_not_at_all() {
        assert_eq!(beginning("aé", 2), "a");
        assert_eq!(beginning("aé", 3), "aé");
        assert_eq!(beginning("é", 0), "");
    }
}
