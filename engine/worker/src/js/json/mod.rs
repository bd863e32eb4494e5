//! Values as JSON text and back, in the mapping of the gateway.
//!
//! What JSON cannot say is an object with one key that begins with `$`: `{"$bigint":"12"}`,
//! `{"$undefined":true}`, `{"$bytes":"base64"}`, `{"$number":"NaN"}`. Data is never mistaken for
//! these: an own key that begins with `$` gets one more `$` on the way out and loses one on the way
//! in.
//!
//! Promises: neither way runs a program's code (no getter, no `toJSON`, no trap, no patched method)
//! or looks at a prototype's properties; `__proto__` is an ordinary own key; every refusal names
//! the place.

mod decode;
mod encode;
mod keys;

pub use decode::{decode, decode_list};
pub use encode::encode;

/// Levels of arrays and objects a value may have. The host checks answers with a JSON reader that
/// stops at 128.
pub const DEPTH_MAX: usize = 120;

/// Bytes of one encoded value.
pub const VALUE_BYTES_MAX: usize = 16 << 20;

/// Digits of a bigint on the way in: QuickJS's conversion takes time in their square.
pub const BIGINT_DIGITS_MAX: usize = 20_000;

/// Why a value or text was refused, and where in it.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// What is wrong, to follow the name of the place.
    pub what: String,
    /// From the innermost step outwards.
    steps: Vec<String>,
}

impl Refused {
    pub fn new(what: impl Into<String>) -> Refused {
        Refused {
            what: what.into(),
            steps: Vec::new(),
        }
    }

    fn under(mut self, step: String) -> Refused {
        self.steps.push(step);
        self
    }

    fn under_key(self, key: &str) -> Refused {
        let mut letters = key.chars();
        let start = |c: char| c.is_alphabetic() || c == '_' || c == '$';
        let plain = letters.next().is_some_and(start)
            && letters.all(|c| c.is_alphanumeric() || c == '_' || c == '$');
        self.under(if plain {
            format!(".{key}")
        } else {
            format!("[{key:?}]")
        })
    }

    fn under_index(self, index: usize) -> Refused {
        self.under(format!("[{index}]"))
    }

    /// The whole sentence; `whole` names the outermost value.
    pub fn message(&self, whole: &str) -> String {
        let place: String = self.steps.iter().rev().map(String::as_str).collect();
        format!("{whole}{} {}", shortened(&place), self.what)
    }
}

/// A path of a hundred steps helps nobody.
fn shortened(place: &str) -> String {
    let letters: Vec<char> = place.chars().collect();
    if letters.len() <= 200 {
        return place.to_owned();
    }
    let head: String = letters[..100].iter().collect();
    let tail: String = letters[letters.len() - 60..].iter().collect();
    format!("{head} … {tail}")
}
