//! Lexical equivalence: texts are read by the scanner and by the engine's own parser, and compared
//! token by token.
//!
//! QuickJS shows no tokens, so it is probed: a character that no token contains (U+0001) is put
//! into an accepted text. Inside of strings, templates, regular expressions and comments the engine
//! takes it; anywhere else it must refuse the text. One probe puts it into everything the scanner
//! takes for such a literal, which the engine must accept; and one each behind what would begin a
//! literal, had the scanner read it otherwise (`/`, `<!--`, `-->`, `}`), and at some other tokens,
//! which it must refuse. Plain JavaScript must come out of the scanner without edits, and a text
//! with an infix `!` as JavaScript that the engine accepts.
//!
//! The verdict depends on the seed alone. `KENVAT_LEXICAL_TEXTS` sets how many texts are tried, and
//! `KENVAT_LEXICAL_SEED` where they begin.

mod engine;
mod generate;

use crate::lex::{Place, TokenKind};
use crate::scan::{ScannedToken, Stop, read_tokens};
use crate::{Goal, Names, rewrite};
use engine::Engine;
use generate::Random;

const TEXTS: u64 = 45_000;
const SEED: u64 = 0x5EED_1E81;

/// Fewer of a hundred texts accepted mean that the generators have lost the language.
const ACCEPTED_PERCENT_MIN: u64 = 10;

/// Tokens of a text that are probed besides those that might have begun a literal.
const OTHERS: usize = 2;

const PROBE: &str = "\u{1}";

#[derive(Default)]
struct Count {
    texts: u64,
    accepted: u64,
    probes: u64,
    sends: u64,
}

#[test]
fn the_scanner_and_the_engine_cut_the_same_tokens() {
    let asked = |name: &str, otherwise: u64| {
        let asked = std::env::var(name).ok();
        asked.map_or(otherwise, |asked| asked.parse().expect("a number"))
    };
    let (texts, seed) = (
        asked("KENVAT_LEXICAL_TEXTS", TEXTS),
        asked("KENVAT_LEXICAL_SEED", SEED),
    );
    let mut random = Random::new(seed);
    let mut engine = Engine::new();
    let mut counts: [Count; generate::GENERATORS] = Default::default();
    let mut differences = Vec::new();
    for number in 0..texts {
        let (generator, goal, text) = generate::text(&mut random);
        let count = &mut counts[generator];
        count.texts += 1;
        if let Err(difference) = compare(&mut engine, &mut random, goal, &text, count) {
            differences.push(format!(
                "text {number}, {goal:?}: {difference}\n---\n{text}\n---"
            ));
            if differences.len() == 20 {
                break;
            }
        }
    }
    for (generator, count) in counts.iter().enumerate() {
        println!(
            "generator {generator}: {} texts, {} accepted, {} probes, {} with a send",
            count.texts, count.accepted, count.probes, count.sends
        );
    }
    println!("seed {seed}");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    let accepted: u64 = counts.iter().map(|count| count.accepted).sum();
    assert!(
        accepted * 100 >= texts * ACCEPTED_PERCENT_MIN,
        "{accepted} accepted"
    );
}

/// Texts of differences once found, or feared.
#[test]
fn known_texts_are_cut_as_the_engine_cuts_them() {
    let mut engine = Engine::new();
    let mut random = Random::new(SEED);
    let mut failures = Vec::new();
    for (at, line) in include_str!("texts.txt").lines().enumerate() {
        let Some((goal, text)) = line.split_once(' ').filter(|(goal, _)| *goal != "#") else {
            continue;
        };
        let goal = match goal {
            "script" => Goal::Script,
            "module" => Goal::Module,
            other => panic!("line {}: {other}", at + 1),
        };
        let text = generate::frame(goal, &text.replace("\\n", "\n").replace("\\L", "\u{2028}"));
        let mut count = Count::default();
        if let Err(difference) = compare(&mut engine, &mut random, goal, &text, &mut count) {
            failures.push(format!("line {}: {difference}", at + 1));
        }
        if count.accepted != 1 {
            let said = engine.said();
            failures.push(format!("line {}: the engine refuses it: {said}", at + 1));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn compare(
    engine: &mut Engine,
    random: &mut Random,
    goal: Goal,
    text: &str,
    count: &mut Count,
) -> Result<(), String> {
    if !engine.accepts(text, goal) {
        return Ok(());
    }
    count.accepted += 1;
    let mut tokens = Vec::new();
    let scanned = read_tokens(text.as_bytes(), goal, |token| tokens.push(token));
    if let Err(Stop::Malformed(_, place)) = scanned
        && text[place.offset as usize..].starts_with("=>")
    {
        // The engine takes `=> a` for the body of any function, which is no JavaScript; with an
        // infix `!` in it the text is refused.
        return Ok(());
    }
    let edits = scanned.map_err(|stop| format!("plain JavaScript stops at {stop:?}"))?;
    if goal == Goal::Script && !edits.is_empty() {
        return Err("plain JavaScript is rewritten".to_owned());
    }
    if goal == Goal::Module {
        let (made, _) = edits.apply(text.as_bytes(), Names::default());
        if without_guards(&made) != text {
            return Err("a module is rewritten".to_owned());
        }
    }
    let Probes { taken, refused } = probes(text, &tokens, random);
    count.probes += (taken.len() + refused.len()) as u64;
    let all = with_probes(text, &taken);
    if !taken.is_empty() && !engine.accepts(&all, goal) {
        let one = |at: &&usize| !engine.accepts(&with_probes(text, &[**at]), goal);
        let at = taken.iter().find(one);
        return Err(format!(
            "the engine sees code where a literal should be, at {at:?}"
        ));
    }
    for at in refused {
        let one = with_probes(text, &[at]);
        if engine.accepts(&one, goal) {
            return Err(format!("the engine sees a literal at byte {at}: {one:?}"));
        }
    }
    sends(engine, random, goal, text, &tokens, count)
}

/// Where a probe must be taken, and where it must be refused.
#[derive(Default)]
struct Probes {
    taken: Vec<usize>,
    refused: Vec<usize>,
}

fn probes(text: &str, tokens: &[ScannedToken], random: &mut Random) -> Probes {
    let mut probes = Probes::default();
    let mut from = 0;
    for (at, token) in tokens.iter().enumerate() {
        probes.trivia(text, from, token.start);
        from = token.after.offset as usize;
        let content = text.get(token.start..token.end).unwrap_or_default();
        match token.kind {
            TokenKind::Str | TokenKind::Template | TokenKind::TemplateHead | TokenKind::Regex => {
                probes.taken.push(token.start + 1);
            }
            // A part of a template follows.
            TokenKind::RBrace if from > token.end => probes.taken.push(token.end),
            TokenKind::RBrace => probes.refused.push(token.end),
            TokenKind::Binary | TokenKind::Assign if content.starts_with('/') => {
                probes.refused.push(token.end);
            }
            TokenKind::Binary if text[token.start..].starts_with("<!--") => {
                probes.refused.push(token.start + 4);
            }
            TokenKind::Update if text[token.start..].starts_with("-->") => {
                probes.refused.push(token.start + 3);
            }
            _ => {}
        }
        if random.below(tokens.len() - at) < OTHERS {
            probes.refused.push(token.start);
        }
    }
    probes.trivia(text, from, text.len());
    probes
}

impl Probes {
    /// The comments between two tokens.
    fn trivia(&mut self, text: &str, from: usize, to: usize) {
        let mut at = from;
        while let Some(rest) = text.get(at..to).filter(|rest| !rest.is_empty()) {
            let begins = ["//", "/*", "<!--", "-->"]
                .into_iter()
                .find(|begin| rest.starts_with(begin));
            let Some(begin) = begins else {
                at += rest.chars().next().map_or(1, char::len_utf8);
                continue;
            };
            self.taken.push(at + begin.len());
            let length = match begin {
                "/*" => rest[2..].find("*/").map(|end| end + 4),
                _ => rest.find(['\n', '\r', '\u{2028}', '\u{2029}']),
            };
            at += length.unwrap_or(rest.len());
        }
    }
}

fn with_probes(text: &str, places: &[usize]) -> String {
    let mut probed = String::with_capacity(text.len() + places.len());
    let mut from = 0;
    for at in places {
        probed.push_str(&text[from..*at]);
        probed.push_str(PROBE);
        from = *at;
    }
    probed.push_str(&text[from..]);
    probed
}

/// Puts an infix `!` behind some token. Where the engine takes the same text with a property, it
/// must take what is made of the send, unless that is refused by name; and where it takes the text
/// as it stands, nothing may be made of it.
fn sends(
    engine: &mut Engine,
    random: &mut Random,
    goal: Goal,
    text: &str,
    tokens: &[ScannedToken],
    count: &mut Count,
) -> Result<(), String> {
    if tokens.is_empty() {
        return Ok(());
    }
    let Place { offset, .. } = tokens[random.below(tokens.len())].after;
    let form = [" ! q ", " ! q(1) ", " ! [q] ", " ! [q](1) ", " ! (1) "][random.below(5)];
    let (before, after) = text.split_at(offset as usize);
    let sent = format!("{before}{form}{after}");
    let made = rewrite(sent.as_bytes(), goal);
    // Behind an operand it is a send, even where the engine would take two expressions without a
    // comma or a semicolon between them (`[, a b]`, `export const a = b c`).
    let is_operand = engine.accepts(&format!("{before} .q(1) {after}"), goal);
    if !is_operand && engine.accepts(&sent, goal) {
        return match made {
            Ok(made) if without_guards(&made.text) == sent => Ok(()),
            _ => Err(format!(
                "plain JavaScript is rewritten or refused: {sent:?}"
            )),
        };
    }
    let Ok(made) = made else {
        return Ok(());
    };
    if without_guards(&made.text) == sent {
        return Ok(());
    }
    // A send is a call, which nothing can be assigned to.
    let call = match form {
        " ! q " | " ! q(1) " => " .q(1) ",
        " ! (1) " => " (1) ",
        _ => " [q](1) ",
    };
    if !engine.accepts(&format!("{before}{call}{after}"), goal) {
        return Ok(());
    }
    count.sends += 1;
    let made = String::from_utf8_lossy(&made.text);
    match engine.accepts(&made, goal) {
        true => Ok(()),
        false => Err(format!(
            "the engine refuses what becomes of a send: {made:?}"
        )),
    }
}

/// A text without what keeps `<!--` from becoming a comment.
fn without_guards(text: &[u8]) -> String {
    String::from_utf8_lossy(text).replace("/*__kv_<*/", "")
}
