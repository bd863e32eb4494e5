//! Dispatch: the only code that turns a command's question into a call of the engine.
//!
//! Promises: the engine has the call when `begin` returns, so questions that arrive in order are
//! asked in order; an answer has passed the output gate, since only the engine makes answers. Does
//! not know whether the question came over a socket.

use std::pin::Pin;
use std::time::Duration;

use kenvat_engine::api::{Call, CallError, Deploy, RequestKey, VatLimits};
use kenvat_engine::{Answer, Handle, Stopped};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::control::protocol::{Ask, AskCall};
use crate::control::report::{DeployedSheet, LimitLine, LogPiece, VatLine, VatSheet, VerifySheet};
use crate::user_error::UserError;

/// The client name under which the engine keeps the command line's requests.
pub const CLI_CLIENT: &str = "cli";

/// Bytes of log text in one answer, whatever was asked for: an answer is one message.
const LOG_BYTES_MAX: u32 = 4 << 20;

/// Resolves to the JSON text of an answer.
pub type AnswerFuture = Pin<Box<dyn Future<Output = Result<Box<RawValue>, UserError>> + Send>>;

/// Asks the engine. `base` is the gateway's address, if this process serves one.
pub fn begin(engine: &Handle, ask: Ask, base: Option<&str>) -> AnswerFuture {
    match ask {
        Ask::Call(ask) => {
            let answer = engine.call(call(ask));
            Box::pin(async move { value(answer.await??) })
        }
        Ask::Deploy {
            name,
            entry,
            files,
            give,
            deny,
            limits,
        } => {
            let limits = match own_limits(VatLimits::default(), &limits) {
                Ok(limits) => limits,
                Err(error) => return Box::pin(std::future::ready(Err(error))),
            };
            let deploy = Deploy {
                name,
                entry,
                files,
                give,
                deny,
            };
            let answer = engine.deploy_within(deploy, limits);
            let base = base.map(str::to_owned);
            Box::pin(async move {
                let deployed = answer.await.map_err(cut_off)??;
                shape(&DeployedSheet::new(deployed, base.as_deref()))
            })
        }
        Ask::List => {
            let answer = engine.list();
            Box::pin(async move {
                let lines: Vec<_> = answer.await?.into_iter().map(VatLine::from).collect();
                shape(&lines)
            })
        }
        Ask::Show { vat } => show(engine, &vat),
        Ask::Sleep { vat } => nothing(engine.sleep(&vat)),
        Ask::Wake { vat } => nothing(engine.wake(&vat)),
        Ask::Terminate { vat } => nothing(engine.terminate(&vat)),
        Ask::Logs {
            vat,
            from,
            bytes_max,
        } => {
            let answer = engine.logs(&vat, from, bytes_max.min(LOG_BYTES_MAX) as usize);
            Box::pin(async move { shape(&LogPiece::from(answer.await??)) })
        }
        Ask::Verify => {
            let answer = engine.verify();
            Box::pin(async move { shape(&VerifySheet::from(answer.await??)) })
        }
        Ask::LimitsOf { vat } => {
            let answer = engine.limits_of(&vat);
            Box::pin(async move {
                let lines = answer.await??.into_iter().map(LimitLine::from);
                shape(&lines.collect::<Vec<_>>())
            })
        }
        Ask::SetLimits { vat, set, unset } => set_limits(engine.clone(), vat, set, unset),
        Ask::Limits => {
            let answer = engine.limits();
            Box::pin(async move {
                let lines: Vec<_> = answer.await?.into_iter().map(LimitLine::from).collect();
                shape(&lines)
            })
        }
    }
}

/// Makes a call, and lets this thread carry it through if nothing else is under way; the thread
/// then waits for the vat for at most `patience`. `out` gets the answer before anything else is
/// done, and returns it if the answer is not there yet.
pub fn begin_inline(
    engine: &Handle,
    ask: AskCall,
    patience: Duration,
    out: impl FnOnce(AnswerFuture) -> Option<AnswerFuture>,
) -> Option<AnswerFuture> {
    let mut waiting = None;
    engine.call_inline(call(ask), patience, |answer| {
        waiting = out(Box::pin(async move { value(answer.await??) }));
    });
    waiting
}

fn call(ask: AskCall) -> Call {
    let AskCall {
        vat,
        method,
        args,
        id,
    } = ask;
    let key = Some(RequestKey {
        client: CLI_CLIENT.to_owned(),
        id,
    });
    Call {
        vat,
        method,
        args,
        key,
    }
}

/// The error of a deployment that the host's end cut off: the vat exists if its start had settled.
fn cut_off(stopped: Stopped) -> UserError {
    let hint = "the vat is there if its start had settled, and else nothing is: see kenvat ls";
    UserError::from(stopped).with_hint(hint.to_owned())
}

fn show(engine: &Handle, vat: &str) -> AnswerFuture {
    let sheet = engine.show(vat);
    let hash = engine.heap_sha256(vat);
    Box::pin(async move {
        let mut sheet = VatSheet::without_hash(sheet.await??);
        // `show` must also work for a vat whose heap is damaged.
        match hash.await? {
            Ok(hash) => sheet.heap_sha256 = Some(hash),
            Err(error) => {
                sheet.last_error.get_or_insert(error.to_string());
            }
        }
        shape(&sheet)
    })
}

/// Sets limits by name in the limits a vat has of its own.
fn own_limits(mut own: VatLimits, set: &[(String, u64)]) -> Result<VatLimits, UserError> {
    for (name, value) in set {
        own.set(name, *value)
            .map_err(|why| UserError::usage(why.to_string(), "kenvat limits shows every limit"))?;
    }
    Ok(own)
}

fn set_limits(
    engine: Handle,
    vat: String,
    set: Vec<(String, u64)>,
    unset: Vec<String>,
) -> AnswerFuture {
    Box::pin(async move {
        let mut own = engine.show(&vat).await??.own_limits;
        for name in &unset {
            // The last arm refuses unknown names; the value it tries does not matter.
            match name.as_str() {
                "heap" => own.heap = None,
                "gas" => own.gas = None,
                "turn" => own.turn_ms = None,
                _ => own
                    .set(name, 0)
                    .map_err(|why| UserError::usage(why.to_string(), ""))?,
            }
        }
        let own = own_limits(own, &set)?;
        engine.set_limits(&vat, own).await??;
        shape(&())
    })
}

fn nothing(answer: Answer<Result<(), CallError>>) -> AnswerFuture {
    Box::pin(async move {
        let done: Result<Result<(), CallError>, Stopped> = answer.await;
        done??;
        shape(&())
    })
}

/// A vat's answer. A worker made this text, so it is checked to be JSON before others rely on it.
fn value(text: String) -> Result<Box<RawValue>, UserError> {
    RawValue::from_string(text)
        .map_err(|error| UserError::host(format!("the vat's answer is not JSON: {error}"), ""))
}

fn shape<T: Serialize>(report: &T) -> Result<Box<RawValue>, UserError> {
    to_raw_value(report)
        .map_err(|error| UserError::host(format!("the answer could not be coded: {error}"), ""))
}
