//! Ken's promises as functions from what is durable and what was told to what is wrong with it.
//!
//! Each is named after its promise (`docs/rules.md`, "G. What is promised") and looks only at
//! states and answers, never at how they came about, so that the same functions judge any way of
//! breaking a host.

use std::collections::{BTreeMap, BTreeSet};

use kenvat_core::api::CallError;
use kenvat_core::rows::{self, CountersRow, SourcesRow, VatRow};
use kenvat_store::VatId;

use crate::client::{Answer, Clients};
use crate::model::State;
use crate::program::{Knowledge, Method, Said, Token};
use crate::reference::Reference;
use crate::worker::start;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub promise: &'static str,
    pub what: String,
}

pub type Held = Result<(), Violation>;

/// Says which promise is broken, and how.
pub fn broken<T>(promise: &'static str, what: impl Into<String>) -> Result<T, Violation> {
    Err(Violation {
        promise,
        what: what.into(),
    })
}

/// What people were told about vats.
#[derive(Clone, Debug, Default)]
pub struct ToldOfVats {
    /// Deployed and said so, with the name.
    pub made: BTreeMap<VatId, String>,
    /// Termination asked for by name; the vat may be gone.
    pub ending: BTreeSet<String>,
    /// Terminated and said so.
    pub ended: BTreeSet<VatId>,
}

/// Each request had its effect at most once, exactly once if it was answered, and each heap is what
/// its requests make, in their order.
pub fn invariant_exactly_once(state: &State, clients: &Clients) -> Held {
    const PROMISE: &str = "exactly once";
    let mut runs: BTreeMap<Token, u32> = BTreeMap::new();
    for vat in state.heaps.keys() {
        let known = knowledge(state, *vat)?;
        let reference = replay(&known, clients)?;
        if known != reference.knowledge {
            return broken(
                PROMISE,
                format!("vat {vat} is not what its requests make of it"),
            );
        }
        known
            .executed
            .iter()
            .for_each(|(_, token)| *runs.entry(*token).or_default() += 1);
    }
    for (_, token) in state.graveyard.values().flatten() {
        *runs.entry(*token).or_default() += 1;
    }
    if let Some((token, count)) = runs.iter().find(|(_, count)| **count > 1) {
        return broken(PROMISE, format!("{token} ran {count} times"));
    }
    for (token, request) in &clients.requests {
        let ran = runs.contains_key(token);
        let wrong = match &request.answer {
            Some(Ok(_) | Err(CallError::Thrown { .. })) => !ran,
            Some(Err(CallError::TurnKilled { .. } | CallError::UnknownVat { .. })) => ran,
            _ => false,
        };
        if wrong {
            let answer = &request.answer;
            return broken(
                PROMISE,
                format!("{token} ran: {ran}, and was answered {answer:?}"),
            );
        }
    }
    Ok(())
}

/// Whatever left the host is true of what a crash now would leave behind.
pub fn invariant_output_valid(state: &State, clients: &Clients, told: &ToldOfVats) -> Held {
    const PROMISE: &str = "output valid";
    let mut said: BTreeMap<Token, Said> = BTreeMap::new();
    for vat in state.heaps.keys() {
        said.extend(replay(&knowledge(state, *vat)?, clients)?.said);
    }
    let buried: BTreeSet<Token> = state
        .graveyard
        .values()
        .flatten()
        .map(|(_, token)| *token)
        .collect();
    for (token, request) in &clients.requests {
        let Some(answer) = &request.answer else {
            continue;
        };
        let heard = match answer {
            Ok(json) => Said::Value(json.clone()),
            Err(CallError::Thrown { message, .. }) => Said::Thrown(message.clone()),
            Err(_) => continue,
        };
        if said.get(token) != Some(&heard) && !buried.contains(token) {
            let truth = said.get(token);
            return broken(
                PROMISE,
                format!("{token} was told {heard:?}; durable is {truth:?}"),
            );
        }
    }
    for (vat, name) in &told.made {
        let gone = told.ending.contains(name) || told.ended.contains(vat);
        if !gone && !state.heaps.contains_key(vat) {
            return broken(
                PROMISE,
                format!("vat {vat}, `{name}`, was made and is not there"),
            );
        }
    }
    match told.ended.iter().find(|vat| state.heaps.contains_key(vat)) {
        Some(vat) => broken(PROMISE, format!("vat {vat} was terminated and is there")),
        None => Ok(()),
    }
}

/// Per client and vat, requests ran in the order in which the client made them; and per vat, turns
/// have no number twice and no log line that is not a turn's.
pub fn invariant_fifo_per_pair(state: &State, clients: &Clients) -> Held {
    const PROMISE: &str = "FIFO per pair";
    for vat in state.heaps.keys() {
        let known = knowledge(state, *vat)?;
        let mut last: BTreeMap<u32, Token> = BTreeMap::new();
        let mut last_turn = turns_of_start(state, *vat)?;
        for (turn, token) in &known.executed {
            if *turn <= last_turn {
                return broken(PROMISE, format!("vat {vat}: turn {turn} after {last_turn}"));
            }
            last_turn = *turn;
            // Timers fire by their times, whoever set them.
            if token.setter().is_some() {
                continue;
            }
            match last.insert(token.client, *token) {
                Some(before) if before >= *token => {
                    return broken(PROMISE, format!("vat {vat}: {token} ran after {before}"));
                }
                _ => {}
            }
        }
        let counters: CountersRow = state
            .row(rows::COUNTERS, &rows::vat_key(*vat))
            .map_or_else(|| broken(PROMISE, format!("vat {vat} has no counters")), Ok)?;
        let killed = clients.requests.values().filter(|request| {
            matches!(
                request.answer,
                None | Some(Err(CallError::TurnKilled { .. }))
            )
        });
        let log = state.logs.get(vat).map(Vec::as_slice).unwrap_or_default();
        let (own, undone) = without_undone_timers(log);
        let (turns, most) = (counters.turns, last_turn + killed.count() as u64 + undone);
        if turns < last_turn || turns > most {
            let what = format!("vat {vat} counts {turns} turns, {last_turn} to {most} were run");
            return broken(PROMISE, what);
        }
        if own != replay(&known, clients)?.log {
            return broken(PROMISE, format!("the log of vat {vat} is not its turns'"));
        }
    }
    Ok(())
}

/// The turns a vat's start took: whole, or there would be no vat.
fn turns_of_start(state: &State, vat: VatId) -> Result<u64, Violation> {
    let sources: Option<SourcesRow> = state.row(rows::SOURCES, &rows::vat_key(vat));
    let program = sources.and_then(|row| row.files.into_iter().next());
    match program.as_ref().map(|(_, text)| start::parse(text)) {
        Some((start::WELL, waits)) => Ok(1 + waits),
        other => broken(
            "a vat that did not start is none",
            format!("vat {vat}: {other:?}"),
        ),
    }
}

/// In the end each timer that was set fired, except those whose turn was undone, and those of vats
/// that are broken until the next host.
pub fn invariant_timers_fire(state: &State, clients: &Clients, broken_vats: &[VatId]) -> Held {
    const PROMISE: &str = "timers fire";
    for (vat, log) in &state.logs {
        if broken_vats.contains(vat) {
            continue;
        }
        let known = knowledge(state, *vat)?;
        let ran: BTreeSet<Token> = known.executed.iter().map(|(_, token)| *token).collect();
        let fired = ran.iter().filter(|token| token.setter().is_some()).count() as u64;
        let (_, undone) = without_undone_timers(log);
        let sets = |token: &&Token| {
            let request = clients.requests.get(token);
            request.is_some_and(|request| matches!(request.method, Method::Wake { .. }))
        };
        let set = ran.iter().filter(sets).count() as u64;
        if fired + undone != set {
            let what = format!("vat {vat} set {set} timers; {fired} fired, {undone} undone");
            return broken(PROMISE, what);
        }
        let of_vat = |key: &[u8]| rows::parse_timer_key(key).is_some_and(|(of, _)| of == *vat);
        let mut keys = state.rows.keys();
        if let Some((_, key)) = keys.find(|(table, key)| *table == rows::TIMERS && of_vat(key)) {
            return broken(PROMISE, format!("the timer {key:?} waits for ever"));
        }
    }
    Ok(())
}

/// A log without the host's lines about timers whose turn was undone, and how many those are.
fn without_undone_timers(log: &[u8]) -> (String, u64) {
    let text = String::from_utf8_lossy(log);
    let (undone, own): (Vec<&str>, Vec<&str>) = text
        .split_inclusive('\n')
        .partition(|line| line.contains(" error a timer's turn was undone"));
    (own.concat(), undone.len() as u64)
}

/// One vat's worker died, and nobody else noticed: every other worker runs on.
pub fn invariant_local_recovery(
    died: VatId,
    before: &BTreeMap<VatId, u64>,
    after: &BTreeMap<VatId, u64>,
) -> Held {
    for (vat, generation) in before.iter().filter(|(vat, _)| **vat != died) {
        if after.get(vat) != Some(generation) {
            let what = format!("vat {vat} lost its worker because one of vat {died} died");
            return broken("local recovery", what);
        }
    }
    Ok(())
}

/// What the store holds is the fold of its durable frames: of all that were acknowledged, and of
/// the one that was being written either everything or nothing. Which of the candidates it is.
pub fn invariant_image_is_fold_of_frames(
    found: &State,
    candidates: &[State],
) -> Result<usize, Violation> {
    let mut differences = Vec::new();
    for (at, candidate) in candidates.iter().enumerate() {
        match found.difference(candidate) {
            None => return Ok(at),
            Some(difference) => differences.push(difference),
        }
    }
    broken(
        "image is fold of frames",
        format!("found state differs: {}", differences.join("; or ")),
    )
}

/// Every vat the store holds is one the catalog names, and the other way round.
pub fn invariant_catalog_names_heaps(state: &State) -> Held {
    for vat in state.heaps.keys() {
        let row: Option<VatRow> = state.row(rows::VATS, &rows::vat_key(*vat));
        if row.is_none() {
            return broken("atomic", format!("vat {vat} has a heap and no row"));
        }
    }
    let named = state
        .rows
        .keys()
        .filter(|(table, _)| *table == rows::VATS)
        .count();
    if named != state.heaps.len() {
        return broken(
            "atomic",
            format!("{named} vats named, {} heaps", state.heaps.len()),
        );
    }
    Ok(())
}

/// In the end everybody who could be answered was.
pub fn invariant_nothing_is_lost(clients: &Clients) -> Held {
    match clients.which(|request| request.is_open()).first() {
        Some(token) => {
            let request = &clients.requests[token];
            broken(
                "nothing is lost",
                format!("{token} was never answered: {request:?}"),
            )
        }
        None => Ok(()),
    }
}

/// A request that is asked again gets the first answer.
pub fn invariant_same_answer(token: Token, first: &Answer, again: &Answer) -> Held {
    if first == again {
        return Ok(());
    }
    broken(
        "exactly once",
        format!("{token} was answered {first:?}, and asked again {again:?}"),
    )
}

fn knowledge(state: &State, vat: VatId) -> Result<Knowledge, Violation> {
    let known = state.knowledge(vat);
    known.or_else(|why| broken("atomic", format!("the heap of vat {vat}: {why}")))
}

/// What the executed requests of a vat make, by the reference program.
fn replay(known: &Knowledge, clients: &Clients) -> Result<Reference, Violation> {
    let mut reference = Reference::default();
    for (turn, token) in &known.executed {
        if let Some(setter) = token.setter() {
            let mut before = known.executed.iter().take_while(|(at, _)| at < turn);
            if !before.any(|(_, token)| *token == setter) {
                return broken(
                    "exactly once",
                    format!("a timer of {setter}, which was not set"),
                );
            }
            reference.run(*turn, *token, Method::Fired);
            continue;
        }
        match clients.requests.get(token) {
            Some(request) => reference.run(*turn, *token, request.method),
            None => return broken("exactly once", format!("{token} ran, which nobody asked")),
        }
    }
    Ok(reference)
}
