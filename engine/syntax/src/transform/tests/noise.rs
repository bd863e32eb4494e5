//! Noise: no bytes and no tokens in any order may do more than be refused.
//!
//! `KENVAT_BANG_NOISE` sets how many texts are tried, `KENVAT_BANG_SEED` where they begin.

use crate::*;

const TEXTS: u64 = 20_000;
const SEED: u64 = 0x0DD_BA11;

const TOKENS: &[&str] = &[
    "!",
    "! ",
    " ! ",
    "x",
    "y.z",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ";",
    ":",
    "?",
    "?.",
    "=>",
    "=",
    "/",
    "/r/",
    "`",
    "`${",
    "'s'",
    "\"",
    "5",
    "\n",
    "/*\n*/",
    "//",
    "<!--",
    "-->",
    "#p",
    "++",
    "...",
    "new ",
    "class ",
    "function ",
    "async ",
    "await ",
    "yield ",
    "return ",
    "if (",
    "for (",
    " of ",
    " in ",
    "let ",
    "super",
    "delete ",
    "import ",
    "export ",
    "default ",
    "case ",
    "é",
    "\u{2028}",
    "\\u0061",
    "__kv_g",
    "__kv_s(",
    "\0",
    ".",
    "static ",
    "get ",
];

fn asked(name: &str, otherwise: u64) -> u64 {
    let asked = std::env::var(name).ok();
    asked.map_or(otherwise, |asked| asked.parse().expect("a number"))
}

#[test]
fn noise_is_rewritten_and_restored_or_refused() {
    let mut state = asked("KENVAT_BANG_SEED", SEED);
    println!("seed {state}");
    let mut below = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 11) % bound as u64) as usize
    };
    let mut rewritten = 0;
    for round in 0..asked("KENVAT_BANG_NOISE", TEXTS) {
        let mut text = Vec::new();
        for _ in 0..below(24) {
            match round % 4 {
                0 => text.push(below(256) as u8),
                _ => text.extend_from_slice(TOKENS[below(TOKENS.len())].as_bytes()),
            }
        }
        let _ = restore(&text, Names::default());
        for goal in [Goal::Script, Goal::Module] {
            let Ok(made) = rewrite(&text, goal) else {
                continue;
            };
            if made.names.is_none() {
                assert_eq!(made.text, text, "{:?}", String::from_utf8_lossy(&text));
            } else {
                rewritten += 1;
                let names = made.names.expect("something was put in");
                let restored = restore(&made.text, names);
                assert_eq!(restored.as_deref(), Some(&text[..]), "{:?}", made.text);
            }
            assert_eq!(Columns::from_bytes(&made.columns.to_bytes()), made.columns);
        }
    }
    assert!(rewritten > 20, "{rewritten} texts with a send");
}
