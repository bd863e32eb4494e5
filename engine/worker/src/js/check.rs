//! Reading a program as for deploying it, without running any of it.
//!
//! Promises: every file is read by what reads it when the program is deployed, and refused with the
//! same error; all errors that reading finds are told, up to a number. What only shows when the
//! program runs is not found: that is what a deployment is for. The answer is a value with `shape`
//! (`default`, `named` or `commonjs`), `exports` and `errors`.

use super::deploy::{NO_EXPORTS, entry_text, located, read_common};
use super::fault::{describe, thrown};
use super::realm::Realm;
use super::registry::Slot;
use super::value::{JsResult, Value};
use super::{json, modules, output};
use kenvat_wire::protocol::{Outcome, Program, Thrown};

/// Errors that are told.
const ERRORS_MAX: i32 = 50;

/// What reading found.
#[derive(Default)]
struct Found {
    shape: &'static str,
    exports: Vec<Value>,
    errors: Vec<Thrown>,
}

/// Reads the program; always answered.
pub fn check(realm: &Realm, request: u64, program: &Program) {
    modules::remember(program);
    let found = look(realm, program).unwrap_or_else(|error| Found {
        errors: vec![error],
        ..Found::default()
    });
    let answer = said(realm, found).map_err(|error| describe(realm, &error));
    let outcome = match answer.map(|value| json::encode(realm, &value)) {
        Ok(Ok(json)) => Outcome::Value(json),
        Ok(Err(refused)) => output::thrown("TypeError", refused.message("what was found")),
        Err(error) => Outcome::Thrown(error),
    };
    output::reply(request, outcome);
}

fn look(realm: &Realm, program: &Program) -> Result<Found, Thrown> {
    let entry = &program.entry;
    let text = entry_text(entry)?;
    let fail = |error: Value| located(describe(realm, &error));
    if read_common(realm, entry, &text).is_some() {
        return Ok(Found {
            shape: "commonjs",
            ..Found::default()
        });
    }
    let (exports, errors) = link(realm, program).map_err(fail)?;
    let mut found = Found {
        shape: "named",
        exports,
        errors: errors.into_iter().map(fail).collect(),
    };
    let is_default = |name: &Value| name.text().ok().flatten().as_deref() == Some("default");
    if found.exports.iter().any(is_default) {
        found.shape = "default";
    } else if found.exports.is_empty() && found.errors.is_empty() {
        found
            .errors
            .push(thrown("TypeError", NO_EXPORTS.to_owned()));
    }
    Ok(found)
}

/// What the entry exports, and everything that keeps its files from being linked.
fn link(realm: &Realm, program: &Program) -> JsResult<(Vec<Value>, Vec<Value>)> {
    let cx = realm.cx;
    let checker = realm.registry.get(Slot::CheckProgram)?;
    let arguments = [cx.string(&program.entry)?, cx.int(ERRORS_MAX)];
    let found = checker.call(&cx.undefined(), &arguments)?;
    let list = |name: &str| -> JsResult<Vec<Value>> {
        let list = found.get_str(name)?;
        let length = u32::try_from(list.length()?).unwrap_or(0);
        (0..length).map(|at| list.get_index(at)).collect()
    };
    Ok((list("exports")?, list("errors")?))
}

fn said(realm: &Realm, found: Found) -> JsResult<Value> {
    let cx = realm.cx;
    let error = |thrown: &Thrown| {
        let error = cx.object()?;
        for (key, text) in [
            ("name", &thrown.name),
            ("message", &thrown.message),
            ("stack", &thrown.stack),
        ] {
            error.define_str(key, cx.string(output::cut_error(text).as_str())?)?;
        }
        Ok(error)
    };
    let errors = found.errors.iter().map(error).collect::<JsResult<_>>()?;
    let out = cx.object()?;
    out.define_str("shape", cx.string(found.shape)?)?;
    out.define_str("exports", cx.array(found.exports)?)?;
    out.define_str("errors", cx.array(errors)?)?;
    Ok(out)
}
