//! `--give K=V` and `--deny K`: what a new vat gets as `powers.K`, and which powers it does not
//! get.
//!
//! Promises: K is a name that JavaScript accepts after a dot; data is checked to be JSON; what is
//! denied is one of the default powers. Does not know which vats exist.

use kenvat_engine::api::check_deny;
use serde::de::IgnoredAny;

use crate::user_error::UserError;

/// Characters of a power's name.
const NAME_CHARS_MAX: usize = 64;

/// What a new vat gets besides the default powers, and which of those it does not get.
#[derive(Clone, Debug, Default)]
pub struct Powers {
    /// Names and JSON texts.
    pub give: Vec<(String, String)>,
    pub deny: Vec<String>,
}

/// Parses both options.
pub fn powers(gifts: &[String], denied: &[String]) -> Result<Powers, UserError> {
    for power in denied {
        check_deny(power).map_err(|why| {
            UserError::usage(format!("--deny {power}: {why}"), "as in --deny random")
        })?;
    }
    Ok(Powers {
        give: parse(gifts)?,
        deny: denied.to_vec(),
    })
}

/// The gifts as the engine takes them: names and JSON texts.
fn parse(gifts: &[String]) -> Result<Vec<(String, String)>, UserError> {
    let mut parsed: Vec<(String, String)> = Vec::with_capacity(gifts.len());
    for gift in gifts {
        let (name, json) = parse_one(gift)?;
        if parsed.iter().any(|(known, _)| known == name) {
            return Err(UserError::usage(
                format!("--give {name} is said twice"),
                "give each once",
            ));
        }
        parsed.push((name.to_owned(), json.to_owned()));
    }
    Ok(parsed)
}

fn parse_one(gift: &str) -> Result<(&str, &str), UserError> {
    const FORM: &str = "as in --give 'limit=json:100'";
    let (name, value) = gift
        .split_once('=')
        .ok_or_else(|| UserError::usage(format!("--give {gift} has no ="), FORM))?;
    if !is_power(name) {
        let message = format!("\"{name}\" in --give {gift} cannot be a power's name");
        return Err(UserError::usage(
            message,
            "letters, digits, _ and $, no digit first",
        ));
    }
    let Some(json) = value.strip_prefix("json:") else {
        return Err(UserError::usage(
            format!("--give {gift}: references to vats (a vat's name, ocapn://…) come later"),
            "give data for now, as in --give 'limit=json:100'",
        ));
    };
    match serde_json::from_str::<IgnoredAny>(json) {
        Ok(_) => Ok((name, json)),
        Err(error) => Err(UserError::usage(
            format!("--give {name}: not JSON: {error}"),
            FORM,
        )),
    }
}

fn is_power(name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$');
    (1..=NAME_CHARS_MAX).contains(&name.len())
        && name.chars().all(word)
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn give(gifts: &[&str]) -> Result<Vec<(String, String)>, UserError> {
        parse(
            &gifts
                .iter()
                .map(|gift| (*gift).to_owned())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn data_is_given_as_its_text() {
        let gifts = give(&["limit=json:100", "$o=json:{\"a\":[1e400]}"]).expect("fine");
        assert_eq!(gifts[0], ("limit".into(), "100".into()));
        assert_eq!(gifts[1], ("$o".into(), "{\"a\":[1e400]}".into()));
    }

    #[test]
    fn what_cannot_be_given_is_said() {
        for (gift, part) in [
            ("limit", "has no ="),
            ("a-b=json:1", "cannot be a power's name"),
            ("1a=json:1", "cannot be a power's name"),
            ("=json:1", "cannot be a power's name"),
            ("bank=bank", "come later"),
            ("bank=ocapn://x/s/y", "come later"),
            ("a=json:{", "not JSON"),
            ("a=json:", "not JSON"),
        ] {
            let said = give(&[gift]).expect_err("refused");
            assert!(said.message.contains(part), "{gift}: {said:?}");
        }
        assert!(
            give(&["a=json:1", "a=json:2"])
                .expect_err("refused")
                .message
                .contains("twice")
        );
    }

    #[test]
    fn only_what_there_is_can_be_denied_and_the_rest_is_listed() {
        let denied = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            powers(&[], &names)
        };
        let fine = denied(&["random", "abort"]).expect("fine");
        assert_eq!(fine.deny, ["random", "abort"]);
        let said = denied(&["clok"]).expect_err("refused").message;
        assert!(said.contains("--deny clok"), "{said}");
        assert!(said.contains("abort, clock, random, timer"), "{said}");
    }
}
