//! Calls of the root object's methods.

use super::fault::{describe, thrown};
use super::json;
use super::output;
use super::realm::Realm;
use super::registry::Slot;
use super::settle::{Pending, Stage, when_settled};
use super::value::{JsResult, NAMES_ALL, Property, Value};
use kenvat_wire::protocol::{Outcome, Thrown};

/// Names a caller is told when there is no such method.
const NEAREST_MAX: usize = 8;
/// Prototypes looked at; a proxy could go on for ever.
const PROTOTYPES_MAX: usize = 1_000;
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
    let Some(function) = find(realm, &root, method).map_err(|error| describe(realm, &error))?
    else {
        return Err(no_such_method(realm, &root, method));
    };
    let args = json::decode_list(realm, args)
        .map_err(|refused| thrown("TypeError", refused.message("the argument list")))?;
    Ok((root, function, args))
}

/// The method: a function-valued property of the root or what it inherits from, but for what every
/// object has. No getter is run to find it.
fn find(realm: &Realm, root: &Value, method: &str) -> JsResult<Option<Value>> {
    let key = realm.cx.atom(method);
    let mut found = None;
    each_object(realm, root, |object| {
        match object.own_property(&key)? {
            None => return Ok(true),
            Some(Property::Data(value)) if value.is_function() => found = Some(value),
            Some(_) => {}
        }
        Ok(false)
    })?;
    Ok(found)
}

/// Visits the root and its prototypes up to the intrinsic ones, while `visit` says so. The
/// intrinsic ones are fetched only when the root's own properties were not enough: each value
/// fetched is a page written, for its reference count.
fn each_object(
    realm: &Realm,
    root: &Value,
    mut visit: impl FnMut(&Value) -> JsResult<bool>,
) -> JsResult<()> {
    if !visit(root)? {
        return Ok(());
    }
    let ends = [
        realm.registry.get(Slot::ObjectPrototype)?,
        realm.registry.get(Slot::FunctionPrototype)?,
    ];
    let mut object = root.prototype()?;
    for _ in 0..PROTOTYPES_MAX {
        let ended = !object.is_object() || ends.iter().any(|end| object.is_same_object(end));
        if ended || !visit(&object)? {
            break;
        }
        object = object.prototype()?;
    }
    Ok(())
}

fn no_such_method(realm: &Realm, root: &Value, method: &str) -> Thrown {
    let mut names = Vec::new();
    // What throws here can only be a proxy's trap; the names found so far will do.
    let _ = each_object(realm, root, |object| {
        for key in object.own_names(NAMES_ALL)? {
            let name = key.text();
            if let Some(Property::Data(value)) = object.own_property(&key)?
                && value.is_function()
                && name != "constructor"
                && !names.contains(&name)
            {
                names.push(name);
            }
        }
        Ok(true)
    });
    let (message, nearest) = (
        format!("there is no method `{method}`"),
        nearest(method, names),
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
