//! The value of a string literal.

use super::words;

/// What a literal with its quotes stands for; `None` where its escapes are malformed or give a lone
/// surrogate, which no name of a module or an export contains.
pub fn value(literal: &str) -> Option<String> {
    let content = literal.get(1..literal.len().checked_sub(1)?)?;
    let mut value = String::with_capacity(content.len());
    let mut rest = content;
    while let Some(at) = rest.find('\\') {
        let (before, escaped) = rest.split_at(at);
        value.push_str(before);
        let (character, length) = escape(escaped)?;
        value.extend(character);
        rest = escaped.get(length..)?;
    }
    value.push_str(rest);
    Some(value)
}

/// The character of the escape that a text begins with, none for a continued line, and the escape's
/// length in bytes.
fn escape(text: &str) -> Option<(Option<char>, usize)> {
    let second = text.get(1..)?.chars().next()?;
    let one = |character| Some((Some(character), 2));
    match second {
        'n' => one('\n'),
        'r' => one('\r'),
        't' => one('\t'),
        'b' => one('\u{8}'),
        'f' => one('\u{c}'),
        'v' => one('\u{b}'),
        '0' if !text[2..].starts_with(|next: char| next.is_ascii_digit()) => one('\0'),
        // Strict code has no octal escapes.
        '0'..='9' => None,
        '\r' if text[2..].starts_with('\n') => Some((None, 3)),
        '\n' | '\r' => Some((None, 2)),
        '\u{2028}' | '\u{2029}' => Some((None, 4)),
        'x' => {
            let digits = text.get(2..4)?;
            let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            let number = u32::from_str_radix(digits, 16)
                .ok()
                .filter(|_| hexadecimal)?;
            Some((char::from_u32(number), 4))
        }
        'u' => unicode(text),
        other => Some((Some(other), 1 + other.len_utf8())),
    }
}

/// `\u0041`, `\u{41}`, or two of the first form that are the halves of one character.
fn unicode(text: &str) -> Option<(Option<char>, usize)> {
    let (number, length) = words::escape(text.as_bytes())?;
    if let Some(character) = char::from_u32(number) {
        return Some((Some(character), length));
    }
    let (low, low_length) = words::escape(text.get(length..)?.as_bytes())?;
    let halves = (0xD800..0xDC00).contains(&number) && (0xDC00..0xE000).contains(&low);
    if !halves {
        return None;
    }
    let character = char::from_u32(0x10000 + ((number - 0xD800) << 10) + (low - 0xDC00))?;
    Some((Some(character), length + low_length))
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn escapes_stand_for_what_the_language_says() {
        for (literal, expected) in [
            (r"'./\u0061\x62\u{63}.js'", "./abc.js"),
            (r#""\"\'\\ \q\0""#, "\"'\\ q\0"),
            ("'a\\\r\nb\\\u{2028}c'", "abc"),
            (r"'\ud83d\ude00'", "\u{1f600}"),
            ("'é'", "é"),
        ] {
            assert_eq!(value(literal).as_deref(), Some(expected), "{literal}");
        }
        for literal in [
            r"'\x4'",
            r"'\x+1'",
            r"'\u{110000}'",
            r"'\ud800'",
            r"'\08'",
            r"'\1'",
            "'",
        ] {
            assert_eq!(value(literal), None, "{literal}");
        }
    }
}
