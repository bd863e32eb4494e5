//! `kenvat call`.
//!
//! Promises: the call has its effect once, whichever process dies meanwhile, because every attempt
//! carries the same id; a command that stops waiting does not cancel the call, and prints its id.
//! Knows of a vat's answer only that it is JSON.

use std::path::Path;
use std::time::Duration;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::cli::args::CallArgs;
use crate::cli::ask;
use crate::cli::reporter::{Reporter, program};
use crate::control::client::AskError;
use crate::control::endpoint::{self, Endpoint, WAIT_MAX};
use crate::control::lock_handoff;
use crate::control::protocol::{Ask, AskCall};
use crate::user_error::UserError;

/// Random bytes of an id: enough that two calls never get the same one.
const ID_BYTES: usize = 16;

/// Hosts that may end during one call before the command gives up.
const LOSSES_MAX: u32 = 100;

/// Pause after the loss of a host, before looking for the next one.
const NEXT_HOST_PAUSE: Duration = Duration::from_millis(50);

/// How long the command's own engine may take to close once the command stopped waiting.
const LEAVE_MAX: Duration = Duration::from_secs(5);

/// The longest `--timeout`: about three years, which tokio's clock can still hold.
const TIMEOUT_S_MAX: f64 = 1e8;

/// The JSON form of `undefined`.
const UNDEFINED: &str = "{\"$undefined\":true}";

/// Calls, waits, prints.
pub async fn call(dir: &Path, args: CallArgs, reporter: &Reporter) -> Result<(), UserError> {
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
    reporter.detail(&format!("the call's id is {id}"));
    let mut endpoint = Some(ask::reach(dir, reporter).await?);
    let gave_up = tokio::select! {
        answer = persist(dir, &mut endpoint, &question, &id, reporter) => {
            let closed = match endpoint.take() {
                Some(endpoint) => endpoint.close().await,
                None => Ok(()),
            };
            print(&answer?, reporter);
            return closed;
        }
        why = give_up(deadline) => why?,
    };
    // A host goes on with the call; the call of an own engine goes on in the next engine.
    if let Some(endpoint) = endpoint.take() {
        let _ = timeout(LEAVE_MAX, endpoint.close()).await;
    }
    Err(UserError::waiting(
        format!("{gave_up}; the call goes on, its id is {id}"),
        &format!(
            "ask for its answer: {} call --id {id} {} {method} …",
            program(dir),
            args.vat
        ),
    ))
}

/// Asks one host after the other until there is an answer.
async fn persist(
    dir: &Path,
    endpoint: &mut Option<Endpoint>,
    question: &Ask,
    id: &str,
    reporter: &Reporter,
) -> Result<Box<RawValue>, UserError> {
    let mut losses = 0;
    loop {
        let Some(current) = endpoint.as_mut() else {
            let deadline = Instant::now() + WAIT_MAX;
            let next = endpoint::reach(dir, deadline)
                .await
                .map_err(|error| unknown(error, id))?;
            *endpoint = Some(next);
            continue;
        };
        let own = matches!(current, Endpoint::Own(_));
        let answer = tokio::select! {
            answer = current.ask(question) => answer,
            () = lock_handoff::requested(dir), if own => {
            Err(AskError::Lost("a host wants the store".into()))
        }
        };
        let why = match answer {
            Ok(answer) => return Ok(answer),
            Err(AskError::Failed(error)) if error.is_stopped() => error.message,
            Err(AskError::Failed(error)) => return Err(error),
            Err(AskError::Lost(why)) => why,
        };
        losses += 1;
        if losses == LOSSES_MAX {
            let message = format!("{losses} hosts ended before they answered, the last: {why}");
            return Err(unknown(UserError::host(message, ""), id));
        }
        reporter.detail(&format!("{why}; asking the next host with the same id"));
        if let Some(lost) = endpoint.take() {
            let _ = lost.close().await;
        }
        sleep(NEXT_HOST_PAUSE).await;
    }
}

fn unknown(error: UserError, id: &str) -> UserError {
    error.with_hint(format!(
        "whether the call ran is not known: ask again with --id {id}"
    ))
}

/// Waits for the deadline or Ctrl-C, and returns which of them it was.
async fn give_up(deadline: Option<(Instant, f64)>) -> Result<String, UserError> {
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
            .map_err(|error| UserError::host(format!("signals cannot be received: {error}"), "")),
    }
}

fn print(answer: &RawValue, reporter: &Reporter) {
    if reporter.is_json() || answer.get() != UNDEFINED {
        reporter.line(answer.get());
    }
}

fn split(args: &CallArgs) -> Result<(&str, &[String]), UserError> {
    match args.method_and_args.as_slice() {
        [method, words @ ..] if !method.starts_with('-') => Ok((method, words)),
        [option, ..] => Err(UserError::usage(
            format!("{option} is no option of call, nor a method"),
            "kenvat call --help shows the options; they stand before METHOD",
        )),
        [] => Err(UserError::usage(
            "call wants a method",
            "kenvat call --help",
        )),
    }
}

fn deadline(seconds: Option<f64>) -> Result<Option<(Instant, f64)>, UserError> {
    let Some(seconds) = seconds else {
        return Ok(None);
    };
    if !(seconds > 0.0 && seconds <= TIMEOUT_S_MAX) {
        let message = format!("--timeout {seconds} is no number of seconds to wait");
        return Err(UserError::usage(message, "as in --timeout 2.5"));
    }
    Ok(Some((
        Instant::now() + Duration::from_secs_f64(seconds),
        seconds,
    )))
}

fn random_id() -> Result<String, UserError> {
    let mut bytes = [0; ID_BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| UserError::host(format!("no random numbers: {error}"), ""))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The text of the array of arguments; JSON is passed on unchanged.
fn array(words: &[String]) -> Result<String, UserError> {
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

fn argument(word: &str, index: usize) -> Result<String, UserError> {
    let error = match serde_json::from_str::<IgnoredAny>(word) {
        Ok(_) => return Ok(word.to_owned()),
        Err(error) => error,
    };
    if word.trim_start().starts_with(['{', '[', '"']) {
        return Err(UserError::arguments(
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

    fn args(words: &[&str]) -> Result<String, UserError> {
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
