//! `kenvat call`.
//!
//! Promises: the call has its effect once, whatever dies meanwhile, because every attempt carries
//! the same id; giving up waiting never takes the call back, and says the id. Does not know what a
//! vat answers beyond its being JSON.

use std::path::Path;
use std::time::Duration;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::cli::args::CallArgs;
use crate::cli::ask;
use crate::cli::voice::{Voice, program};
use crate::control::client::AskError;
use crate::control::place::{self, Place, WAIT_MAX};
use crate::control::protocol::{Ask, AskCall};
use crate::control::way;
use crate::people::Trouble;

/// Bytes of chance in an id: enough that two calls never get the same.
const ID_BYTES: usize = 16;

/// Hosts that may die under one call before it is a matter for a person.
const LOSSES_MAX: u32 = 100;

/// After a loss, before looking for the next host.
const NEXT_HOST_PAUSE: Duration = Duration::from_millis(50);

/// How long our own engine may take to close after the person stopped waiting.
const LEAVE_MAX: Duration = Duration::from_secs(5);

/// The longest `--timeout`: about three years, which tokio's clock can still hold.
const TIMEOUT_S_MAX: f64 = 1e8;

/// What JSON prints for `undefined`.
const UNDEFINED: &str = "{\"$undefined\":true}";

/// Calls, waits, prints.
pub async fn call(dir: &Path, args: CallArgs, voice: &Voice) -> Result<(), Trouble> {
    let (method, words) = split(&args)?;
    let deadline = deadline(args.timeout)?;
    let id = match &args.id {
        Some(id) => id.clone(),
        None => random_id()?,
    };
    let question = Ask::Call(AskCall {
        vat: args.vat.clone(),
        method: method.to_owned(),
        args: array(words)?,
        id: id.clone(),
    });
    voice.detail(&format!("the call's id is {id}"));
    let mut place = Some(ask::reach(dir, voice).await?);
    let gave_up = tokio::select! {
        answer = persist(dir, &mut place, &question, &id, voice) => {
            let closed = match place.take() {
                Some(place) => place.close().await,
                None => Ok(()),
            };
            print(&answer?, voice);
            return closed;
        }
        why = give_up(deadline) => why?,
    };
    // Behind a host the call goes on; in an engine of our own it goes on with the next one.
    if let Some(place) = place.take() {
        let _ = timeout(LEAVE_MAX, place.close()).await;
    }
    Err(Trouble::waiting(
        format!("{gave_up}; the call goes on, its id is {id}"),
        &format!(
            "ask for its answer: {} call --id {id} {} {method} …",
            program(dir),
            args.vat
        ),
    ))
}

/// Asks until there is an answer, of one host after the other.
async fn persist(
    dir: &Path,
    place: &mut Option<Place>,
    question: &Ask,
    id: &str,
    voice: &Voice,
) -> Result<Box<RawValue>, Trouble> {
    let mut losses = 0;
    loop {
        let Some(current) = place.as_mut() else {
            let deadline = Instant::now() + WAIT_MAX;
            let next = place::reach(dir, deadline)
                .await
                .map_err(|trouble| unknown(trouble, id))?;
            *place = Some(next);
            continue;
        };
        let own = matches!(current, Place::Own(_));
        let answer = tokio::select! {
            answer = current.ask(question) => answer,
            () = way::wanted(dir), if own => Err(AskError::Lost("a host wants the store".into())),
        };
        let why = match answer {
            Ok(answer) => return Ok(answer),
            Err(AskError::Trouble(trouble)) if trouble.is_stopped() => trouble.message,
            Err(AskError::Trouble(trouble)) => return Err(trouble),
            Err(AskError::Lost(why)) => why,
        };
        losses += 1;
        if losses == LOSSES_MAX {
            let message = format!("{losses} hosts ended before they answered, the last: {why}");
            return Err(unknown(Trouble::host(message, ""), id));
        }
        voice.detail(&format!("{why}; asking the next host with the same id"));
        if let Some(lost) = place.take() {
            let _ = lost.close().await;
        }
        sleep(NEXT_HOST_PAUSE).await;
    }
}

fn unknown(trouble: Trouble, id: &str) -> Trouble {
    trouble.with_hint(format!(
        "whether the call ran is not known: ask again with --id {id}"
    ))
}

/// Waits for the deadline or Ctrl-C, and says which it was.
async fn give_up(deadline: Option<(Instant, f64)>) -> Result<String, Trouble> {
    let expired = async {
        match deadline {
            Some((at, seconds)) => {
                sleep_until(at).await;
                format!("no answer after {seconds} s")
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        why = expired => Ok(why),
        signal = tokio::signal::ctrl_c() => signal
            .map(|()| "stopped waiting".to_owned())
            .map_err(|error| Trouble::host(format!("signals cannot be received: {error}"), "")),
    }
}

fn print(answer: &RawValue, voice: &Voice) {
    if voice.is_json() || answer.get() != UNDEFINED {
        voice.line(answer.get());
    }
}

fn split(args: &CallArgs) -> Result<(&str, &[String]), Trouble> {
    match args.method_and_args.as_slice() {
        [method, words @ ..] if !method.starts_with('-') => Ok((method, words)),
        [option, ..] => Err(Trouble::usage(
            format!("{option} is no option of call, nor a method"),
            "kenvat call --help shows the options; they stand before METHOD",
        )),
        [] => Err(Trouble::usage("call wants a method", "kenvat call --help")),
    }
}

fn deadline(seconds: Option<f64>) -> Result<Option<(Instant, f64)>, Trouble> {
    let Some(seconds) = seconds else {
        return Ok(None);
    };
    if !(seconds > 0.0 && seconds <= TIMEOUT_S_MAX) {
        let message = format!("--timeout {seconds} is no number of seconds to wait");
        return Err(Trouble::usage(message, "as in --timeout 2.5"));
    }
    Ok(Some((
        Instant::now() + Duration::from_secs_f64(seconds),
        seconds,
    )))
}

fn random_id() -> Result<String, Trouble> {
    let mut bytes = [0; ID_BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| Trouble::host(format!("no random numbers: {error}"), ""))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The text of the array of arguments; JSON is passed on as it was typed.
fn array(words: &[String]) -> Result<String, Trouble> {
    let mut array = String::from("[");
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            array.push(',');
        }
        array.push_str(&argument(word, index)?);
    }
    array.push(']');
    Ok(array)
}

fn argument(word: &str, index: usize) -> Result<String, Trouble> {
    let error = match serde_json::from_str::<IgnoredAny>(word) {
        Ok(_) => return Ok(word.to_owned()),
        Err(error) => error,
    };
    if word.trim_start().starts_with(['{', '[', '"']) {
        return Err(Trouble::arguments(
            format!(
                "argument {} looks like JSON but is not: {error}: {word}",
                index + 1
            ),
            "quote it for the shell, as in '{\"a\":1}'; a text that begins so is '\"{…\"'",
        ));
    }
    Ok(serde_json::Value::from(word).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &[&str]) -> Result<String, Trouble> {
        array(
            &words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn arguments_are_json_or_bare_words() {
        for (words, expected) in [
            (&[][..], "[]"),
            (&["-5", "tea", "true"], r#"[-5,"tea",true]"#),
            (&["12345678901234567890123"], "[12345678901234567890123]"),
            (&["{\"a\": [1]}", "\"x\"", ""], r#"[{"a": [1]},"x",""]"#),
            (
                &["12ab", "-x", "a\"b", "nul"],
                r#"["12ab","-x","a\"b","nul"]"#,
            ),
        ] {
            assert_eq!(args(words).expect("fine"), expected);
        }
    }

    #[test]
    fn what_looks_like_json_and_is_not_is_refused_with_its_place() {
        for word in ["{\"a\":", "[1,", "\"open", " {a:1}", "[1] 2"] {
            let said = args(&["1", word]).expect_err("refused");
            assert!(said.message.contains("argument 2"), "{said:?}");
            assert!(said.message.contains("line 1 column"), "{said:?}");
        }
    }

    #[test]
    fn ids_differ_and_timeouts_are_checked() {
        let (one, two) = (random_id().expect("chance"), random_id().expect("chance"));
        assert_ne!(one, two);
        assert_eq!(one.len(), 32);
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
            assert!(deadline(Some(bad)).is_err(), "{bad}");
        }
    }
}
