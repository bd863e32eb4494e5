//! Whether two requests are the same: their content, without the blanks of their JSON text.
//!
//! Promises: texts that differ only in blanks between tokens have the same content; texts that
//! differ in anything else do not. Does not know what the text means: 1.0 and 1 are different.

use std::borrow::Cow;

/// A JSON text without the blanks between its tokens. The text is known to be JSON.
pub(crate) fn without_blanks(json: &str) -> Cow<'_, str> {
    // A blank inside of a string only costs the copy.
    if !json.bytes().any(is_blank) {
        return Cow::Borrowed(json);
    }
    let (mut in_string, mut is_escaped) = (false, false);
    let kept = json.chars().filter(|c| {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if in_string => is_escaped = true,
            '"' => in_string = !in_string,
            _ => {}
        }
        in_string || !u8::try_from(*c).is_ok_and(is_blank)
    });
    Cow::Owned(kept.collect())
}

/// The four blanks of JSON.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_between_tokens_go_and_those_in_strings_stay() {
        for (json, content) in [
            ("[1,\"a b\"]", "[1,\"a b\"]"),
            (" [ 1 ,\r\n\t\"a b\" ] ", "[1,\"a b\"]"),
            (
                r#"[ "\" ", {"a" : " \\" , "b\\" : [ ] } ]"#,
                r#"["\" ",{"a":" \\","b\\":[]}]"#,
            ),
            (
                "[ \"é \u{a0}\", \"\u{2003}\" ]",
                "[\"é \u{a0}\",\"\u{2003}\"]",
            ),
        ] {
            assert_eq!(without_blanks(json), content, "{json}");
            assert_eq!(without_blanks(content), content, "{json}");
        }
    }
}
