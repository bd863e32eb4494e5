//! Names of vats.
//!
//! Promises: a name that passes here stands unquoted in a shell, a path and a URL. Does not know
//! which names are taken.

use std::path::Path;

use crate::user_error::UserError;

/// Characters of a vat's name.
pub const NAME_CHARS_MAX: usize = 63;

const RULE: &str = "a name has 1 to 63 of a-z 0-9 . _ - and begins with a letter or digit";

/// Whether a vat may be called that.
pub fn is_name(name: &str) -> bool {
    let first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= NAME_CHARS_MAX
        && name.starts_with(first)
        && name
            .chars()
            .all(|c| first(c) || matches!(c, '.' | '_' | '-'))
}

/// The name given, if it is one.
pub fn checked(name: &str) -> Result<String, UserError> {
    if is_name(name) {
        return Ok(name.to_owned());
    }
    Err(UserError::usage(
        format!("\"{name}\" cannot be a vat's name"),
        RULE,
    ))
}

/// The name a file's vat gets unless told otherwise: its stem.
pub fn from_file(file: &Path) -> Result<String, UserError> {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    if is_name(&stem) {
        return Ok(stem.into_owned());
    }
    Err(UserError::usage(
        format!(
            "\"{stem}\", the stem of {}, cannot be a vat's name",
            file.display()
        ),
        &format!("say --name N; {RULE}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_the_contract_says() {
        for good in ["a", "0", "counter", "a.b_c-d", &"x".repeat(63)] {
            assert!(is_name(good), "{good}");
        }
        for bad in [
            "",
            "A",
            ".a",
            "-a",
            "_a",
            "a b",
            "a/b",
            "é",
            "a\n",
            &"x".repeat(64),
        ] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_stem_that_is_no_name_is_told_what_to_do() {
        assert_eq!(
            from_file(Path::new("x/counter.js")).expect("a name"),
            "counter"
        );
        let said = from_file(Path::new("My Vat.js")).expect_err("refused");
        assert!(said.hint.starts_with("say --name"), "{said:?}");
    }
}
