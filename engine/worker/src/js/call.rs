//! Calls of the root object's methods.

use super::fault::{describe, thrown};
use super::json;
use super::method;
use super::output;
use super::realm::Realm;
use super::registry::Slot;
use super::settle::{Pending, Stage, when_settled};
use super::value::{JsResult, Value};
use kenvat_wire::protocol::{Outcome, Thrown};

/// Names a caller is told when there is no such method.
const NEAREST_MAX: usize = 8;
/// Bytes of a name worth comparing with another.
const COMPARED_BYTES_MAX: usize = 200;

/// Calls `root[method](...args)` and answers when the result has settled.
pub fn call(realm: &Realm, request: u64, method: &str, args: &str) {
    match prepare(realm, method, args) {
        Ok((root, function, args)) => {
            let result = function.call(&root, &args);
            let pending = Pending {
                request,
                kept: realm.cx.undefined(),
            };
            when_settled(realm, Stage::Called, pending, result);
        }
        Err(thrown) => output::reply(request, Outcome::Thrown(thrown)),
    }
}

/// Answers a call with what its result settled to.
pub fn answer(realm: &Realm, request: u64, settled: JsResult<Value>) {
    let outcome = match settled {
        Ok(value) => match json::encode(realm, &value) {
            Ok(json) => Outcome::Value(json),
            Err(refused) => output::thrown("TypeError", refused.message("the result")),
        },
        Err(error) => Outcome::Thrown(describe(realm, &error)),
    };
    output::reply(request, outcome);
}

fn prepare(realm: &Realm, method: &str, args: &str) -> Result<(Value, Value, Vec<Value>), Thrown> {
    let root = realm
        .registry
        .get(Slot::Root)
        .map_err(|error| describe(realm, &error))?;
    if !root.is_object() {
        let message = "the vat's program has not finished starting".to_owned();
        return Err(thrown("NotStarted", message));
    }
    let find = || method::of_author(realm, &root, &realm.cx.atom(method));
    let Some(function) = find().map_err(|error| describe(realm, &error))? else {
        return Err(no_such_method(realm, &root, method));
    };
    let args = json::decode_list(realm, args)
        .map_err(|refused| thrown("TypeError", refused.message("the argument list")))?;
    Ok((root, function, args))
}

fn no_such_method(realm: &Realm, root: &Value, method: &str) -> Thrown {
    // What throws here can only be a proxy's trap.
    let names = method::mark(realm).and_then(|mark| method::names(root, mark));
    let (message, nearest) = (
        format!("there is no method `{method}`"),
        nearest(method, names.unwrap_or_default()),
    );
    Thrown {
        nearest,
        ..thrown("NoSuchMethod", message)
    }
}

fn nearest(wanted: &str, names: Vec<String>) -> Vec<String> {
    let distance = |name: &String| {
        if name.len() > COMPARED_BYTES_MAX || wanted.len() > COMPARED_BYTES_MAX {
            return usize::MAX;
        }
        strsim::levenshtein(wanted, name)
    };
    let mut names: Vec<(usize, String)> = names
        .into_iter()
        .map(|name| (distance(&name), name))
        .collect();
    names.sort();
    names
        .into_iter()
        .take(NEAREST_MAX)
        .map(|(_, name)| name)
        .collect()
}
