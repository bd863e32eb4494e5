//! Which members of an object its callers reach: the rule for calls from outside, for `E` and `!`,
//! and for messages between vats.
//!
//! A *method* is a function that the author wrote: a data property of the object itself, or of what
//! it inherits from below the first prototype of the realm. `constructor` is never one. So a root
//! of `class Store extends Map` can be asked for what `Store` defines and for nothing of `Map`.
//! Data that is copied when it is passed (primitives, arrays, Maps, Dates, plain objects without
//! methods) is never in a stranger's hands: a local send to it finds the realm's methods as well.
//!
//! Within the vat an author's own accessor may give the method; from outside no getter is run to
//! find one.
//!
//! The realm's objects are told by `harden`'s mark, which everything that genesis hardens carries.
//! Promises: of a proxy a search runs traps, of anything else nothing but such an accessor. What
//! `names` lists `of_author` finds, and what `local_names` lists `of_local`.

use std::collections::BTreeSet;

use rquickjs::qjs;

use super::harden;
use super::realm::Realm;
use super::registry::Slot;
use super::value::{Atom, JsResult, NAMES_ALL, Property, Value};

/// Prototypes looked at; a proxy could go on for ever.
const PROTOTYPES_MAX: usize = 1_000;
/// The one name that is never a method's.
const CONSTRUCTOR: &str = "constructor";

/// The method of this name that whoever is given the object may call.
pub fn of_author(realm: &Realm, target: &Value, key: &Atom) -> JsResult<Option<Value>> {
    if is_constructor(key) {
        return Ok(None);
    }
    // The object's own first: what is fetched besides may be one more page written.
    let own = target.own_property(key)?;
    let found = match own {
        None => member(target, key, mark(realm)?)?,
        own => own,
    };
    match found {
        Some(Property::Data(value)) if value.is_function() => Ok(Some(value)),
        _ => Ok(None),
    }
}

/// The method of this name that a send within the vat runs.
pub fn of_local(realm: &Realm, target: &Value, key: &Atom) -> JsResult<Option<Value>> {
    if is_constructor(key) {
        return Ok(None);
    }
    let found = if target.is_proxy() {
        of_proxy(realm, target, key)?
    } else if target.is_object() {
        let mark = mark(realm)?;
        match member(target, key, mark)? {
            Some(Property::Data(value)) => value,
            Some(Property::Accessor(_)) => target.get(key)?,
            None if is_data(realm, target, mark)? => target.get(key)?,
            None => return Ok(None),
        }
    } else {
        target.get(key)?
    };
    Ok(Some(found).filter(Value::is_function))
}

/// What a send within the vat that asks for a property is answered with.
pub fn property(realm: &Realm, target: &Value, key: &Atom) -> JsResult<Value> {
    if !target.is_object() {
        return target.get(key);
    }
    let found = if target.is_proxy() {
        of_proxy(realm, target, key)?
    } else {
        let mark = mark(realm)?;
        if member(target, key, mark)?.is_some() {
            target.get(key)?
        } else if is_data(realm, target, mark)? {
            return target.get(key);
        } else {
            realm.cx.undefined()
        }
    };
    Ok(match found.is_function() && is_constructor(key) {
        true => realm.cx.undefined(),
        false => found,
    })
}

/// Whether resolving a promise with the object would call something of it: it has a `then` of its
/// author's that is a function, or one that only asking shows.
pub fn is_thenable(realm: &Realm, target: &Value) -> JsResult<bool> {
    if !target.is_object() || target.is_promise() {
        return Ok(false);
    }
    let key = realm.cx.atom("then");
    if target.is_proxy() {
        return Ok(target.get(&key)?.is_function());
    }
    Ok(match member(target, &key, mark(realm)?)? {
        Some(Property::Data(value)) => value.is_function(),
        Some(Property::Accessor(_)) => true,
        None => false,
    })
}

/// Names of the methods that whoever is given the object may call.
pub fn names(target: &Value, mark: qjs::JSAtom) -> JsResult<Vec<String>> {
    let mut names = Vec::new();
    let mut seen = BTreeSet::new();
    each(target, mark, |object| {
        collect(object, &mut seen, &mut names)
    })?;
    Ok(names)
}

/// Names of the methods that a send within the vat finds; of data without those every object has.
pub fn local_names(realm: &Realm, target: &Value) -> JsResult<Vec<String>> {
    let mark = mark(realm)?;
    if !target.is_object() || target.is_proxy() || !is_data(realm, target, mark)? {
        return match target.is_object() {
            true => names(target, mark),
            false => Ok(Vec::new()),
        };
    }
    let mut names = Vec::new();
    let mut seen = BTreeSet::new();
    let end = realm.registry.get(Slot::ObjectPrototype)?;
    let mut object = target.clone();
    while object.is_object() && !object.is_same_object(&end) {
        collect(&object, &mut seen, &mut names)?;
        object = object.prototype()?;
    }
    Ok(names)
}

/// The private name that marks the realm's objects.
pub fn mark(realm: &Realm) -> JsResult<qjs::JSAtom> {
    harden::mark(realm)
}

/// A property of the object or of what its author made it inherit from.
fn member(target: &Value, key: &Atom, mark: qjs::JSAtom) -> JsResult<Option<Property>> {
    let mut found = None;
    each(target, mark, |object| {
        found = object.own_property(key)?;
        Ok(found.is_none())
    })?;
    Ok(found)
}

/// Visits the object and its prototypes up to the realm's, while `visit` says so.
fn each(
    target: &Value,
    mark: qjs::JSAtom,
    mut visit: impl FnMut(&Value) -> JsResult<bool>,
) -> JsResult<()> {
    if !visit(target)? {
        return Ok(());
    }
    let mut object = target.prototype()?;
    for _ in 0..PROTOTYPES_MAX {
        let ended = !object.is_object() || harden::is_of_realm(&object, mark);
        if ended || !visit(&object)? {
            break;
        }
        object = object.prototype()?;
    }
    Ok(())
}

/// Adds the names of one object's methods that nothing nearer hides.
fn collect(object: &Value, seen: &mut BTreeSet<String>, names: &mut Vec<String>) -> JsResult<bool> {
    for key in object.own_names(NAMES_ALL)? {
        let name = key.text();
        let Some(found) = object.own_property(&key)? else {
            continue;
        };
        let method = matches!(&found, Property::Data(value) if value.is_function());
        if seen.insert(name.clone()) && method && name != CONSTRUCTOR {
            names.push(name);
        }
    }
    Ok(true)
}

/// What a proxy's traps answer, but for what the object behind it has of the realm: such a method
/// would do to the proxy what nobody wrote.
fn of_proxy(realm: &Realm, target: &Value, key: &Atom) -> JsResult<Value> {
    let found = target.get(key)?;
    if !found.is_function() {
        return Ok(found);
    }
    let mark = mark(realm)?;
    let mut object = target.prototype()?;
    for _ in 0..PROTOTYPES_MAX {
        if !object.is_object() {
            break;
        }
        if harden::is_of_realm(&object, mark) {
            let inherited = object.get(key)?;
            return Ok(match inherited.is_same_object(&found) {
                true => realm.cx.undefined(),
                false => found,
            });
        }
        object = object.prototype()?;
    }
    Ok(found)
}

/// Whether the object is copied when it is passed, so that no stranger can be given it. It is no
/// proxy.
fn is_data(realm: &Realm, target: &Value, mark: qjs::JSAtom) -> JsResult<bool> {
    if target.is_function() {
        return Ok(false);
    }
    let prototype = target.prototype()?;
    if prototype.is_object() && !harden::is_of_realm(&prototype, mark) {
        return Ok(false);
    }
    // SAFETY: any value may be asked.
    let typed = unsafe { qjs::JS_GetTypedArrayType(target.raw()) } >= 0;
    if target.is_array() || typed {
        return Ok(true);
    }
    let tag = Atom::of(&realm.registry.get(Slot::ToStringTag)?);
    if target.own_property(&tag)?.is_some() {
        return Ok(false);
    }
    for key in target.own_names(NAMES_ALL)? {
        if let Some(Property::Data(value)) = target.own_property(&key)?
            && value.is_function()
        {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_constructor(key: &Atom) -> bool {
    key.is_builtin(qjs::JS_ATOM_constructor)
}
