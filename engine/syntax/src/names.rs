//! The names that a rewritten text uses for what is put into it: chosen for each text, so that its
//! author cannot have written them.
//!
//! Promises: a text's names, and the tag they begin with, occur nowhere in it: not in names, not in
//! strings or comments, and not with escapes. The same text always gets the same names. All names
//! have the length of `import`, so that the word can be replaced without moving a column. Linear.

use crate::lex::words;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hidden {
    /// `x ! m(a)`, `x ! [k](a)`.
    Send,
    /// `x ! (a)`.
    Call,
    /// `x ! p`, `x ! [k]`.
    Get,
    /// What `import(…)` calls.
    Import,
    /// The object whose property `meta` is `import.meta`.
    Meta,
    /// What a module tells its exports to.
    Register,
    /// The local name of a default export that has none.
    Default,
    /// The parameters of the scopes that a text is evaluated in.
    Globals,
    Bindings,
    Lender,
}

/// Bytes of a tag.
const TAG_BYTES: usize = 5;

/// The tag of nearly every text.
const USUAL: [u8; TAG_BYTES] = *b"__kv_";

/// The other tags are `$` and four of these, so that no two of them overlap in a text.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The names of one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Names {
    tag: [u8; TAG_BYTES],
}

impl Default for Names {
    fn default() -> Names {
        Names { tag: USUAL }
    }
}

impl Names {
    /// The names of a text.
    pub fn of(text: &[u8]) -> Names {
        let plain = words::decoded(text);
        let mentioned = plain.windows(TAG_BYTES).any(|window| window == USUAL);
        if !mentioned {
            return Names::default();
        }
        let mut taken: Vec<u32> = plain.windows(TAG_BYTES).filter_map(number_of).collect();
        taken.sort_unstable();
        // The first that is missing. A text of 16 MiB has room for fewer than a quarter of the tags.
        let mut free = 0;
        for number in taken {
            if number > free {
                break;
            }
            free = number + 1;
        }
        Names { tag: tag_of(free) }
    }

    /// The tag that every name of the text begins with.
    pub fn tag(&self) -> &str {
        std::str::from_utf8(&self.tag).unwrap_or_default()
    }

    /// The names with this tag, if it is one.
    pub fn with_tag(tag: &str) -> Option<Names> {
        let tag: [u8; TAG_BYTES] = tag.as_bytes().try_into().ok()?;
        let is_tag = tag == USUAL || number_of(&tag).is_some();
        is_tag.then_some(Names { tag })
    }

    pub fn name(&self, hidden: Hidden) -> String {
        format!("{}{}", self.tag(), hidden.letter())
    }

    /// These are the names of texts that do not mention `__kv_`.
    pub fn is_usual(&self) -> bool {
        self.tag == USUAL
    }
}

impl Hidden {
    fn letter(self) -> char {
        match self {
            Hidden::Send => 's',
            Hidden::Call => 'c',
            Hidden::Get => 'g',
            Hidden::Import => 'i',
            Hidden::Meta => 'm',
            Hidden::Register => 'x',
            Hidden::Default => 'd',
            Hidden::Globals => 'G',
            Hidden::Bindings => 'B',
            Hidden::Lender => 'L',
        }
    }
}

fn tag_of(number: u32) -> [u8; TAG_BYTES] {
    let mut tag = *b"$0000";
    let mut rest = number as usize;
    for byte in tag.iter_mut().skip(1).rev() {
        *byte = DIGITS[rest % DIGITS.len()];
        rest /= DIGITS.len();
    }
    tag
}

/// Which of the other tags this is.
fn number_of(tag: &[u8]) -> Option<u32> {
    let digits = tag.strip_prefix(b"$")?;
    digits.iter().try_fold(0, |number, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'A'..=b'Z' => byte - b'A' + 10,
            b'a'..=b'z' => byte - b'a' + 36,
            _ => return None,
        };
        Some(number * DIGITS.len() as u32 + u32::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_gets_names_it_does_not_mention() {
        let tag = |text: &str| Names::of(text.as_bytes()).tag().to_owned();
        assert_eq!(tag("x ! m()"), "__kv_");
        for text in [
            "__kv_s",
            "'a __kv_ b'",
            "// __kv_",
            r"__k\u0076_x",
            r"\u{5f}_kv_",
            r"'\x5f\x5fkv_'",
            "a__kv_b",
        ] {
            assert_eq!(tag(text), "$0000", "{text}");
        }
        assert_eq!(tag("__kv_ $0000 $0001"), "$0002");
        assert_eq!(
            tag(r"__kv_ \u00240000 '$0001' $0003 /* \x240002 */"),
            "$0004"
        );
        assert_eq!(tag("$0000"), "__kv_");
    }

    #[test]
    fn a_tag_is_read_back() {
        for number in [0, 1, 61, 62, 62 * 62 * 62 * 62 - 1] {
            let tag = tag_of(number);
            assert_eq!(number_of(&tag), Some(number));
            let names = Names::with_tag(std::str::from_utf8(&tag).unwrap()).unwrap();
            assert_eq!(names.name(Hidden::Send).len(), "import".len());
        }
        assert_eq!(Names::with_tag("__kv_"), Some(Names::default()));
        for none in ["", "__kv", "__kv_s", "$00_0", "a0000"] {
            assert_eq!(Names::with_tag(none), None, "{none}");
        }
    }

    #[test]
    fn a_text_full_of_tags_is_read_in_linear_time() {
        let mut text = b"__kv_".to_vec();
        for number in 0..3_000_000 {
            text.extend_from_slice(&tag_of(number));
        }
        assert_eq!(Names::of(&text).tag.to_vec(), tag_of(3_000_000).to_vec());
    }
}
