//! The object a program starts with: what it was given, and the powers every vat has.

use std::ffi::c_int;

use rquickjs::qjs;

use super::fault::{describe, thrown};
use super::json;
use super::realm::Realm;
use super::registry::Slot;
use super::value::{Cx, JsResult, PROPERTY_HIDDEN, UNDEFINED, Value};
use crate::abort as turn_abort;
use kenvat_wire::protocol::{DEFAULT_POWERS, Program, Thrown};

/// The frozen object of what the vat was given, and of the powers it has by default.
pub fn powers(realm: &Realm, program: &Program) -> Result<Value, Thrown> {
    let fail = |error: Value| describe(realm, &error);
    let powers = realm.cx.object().map_err(fail)?;
    for name in DEFAULT_POWERS {
        let is_denied = program.deny.iter().any(|denied| denied == name);
        let power = match is_denied {
            true => withheld(realm, name),
            false => default(realm, name).map(Some),
        };
        if let Some(power) = power.map_err(fail)? {
            powers.define_str(name, power).map_err(fail)?;
        }
    }
    for (name, text) in &program.give {
        let value = json::decode(realm, text)
            .map_err(|refused| thrown("TypeError", refused.message(&format!("powers.{name}"))))?;
        powers.define_str(name, value).map_err(fail)?;
    }
    powers.freeze().map_err(fail)?;
    Ok(powers)
}

/// A power every vat has unless it is withheld.
fn default(realm: &Realm, name: &str) -> JsResult<Value> {
    match name {
        "clock" => realm.registry.get(Slot::Clock),
        "random" => realm.registry.get(Slot::Random),
        "timer" => realm.registry.get(Slot::Timer),
        "abort" => {
            let undo = realm.cx.function(c"abort", 1, Some(abort))?;
            undo.freeze()?;
            Ok(undo)
        }
        other => Err(realm.cx.type_error(&format!("no power `{other}` is known"))),
    }
}

/// Whoever has no timer has none by another name either: `Q.delay` and `Q.timeout` go with it.
fn withheld(realm: &Realm, name: &str) -> JsResult<Option<Value>> {
    if name == "timer" {
        let globals = realm.registry.get(Slot::Globals)?;
        let timeless = realm.registry.get(Slot::TimelessQ)?;
        globals.define(&realm.cx.atom("Q"), timeless, PROPERTY_HIDDEN)?;
    }
    Ok(None)
}

/// `abort(reason)`: undoes this turn on purpose. Nothing of the program runs after it.
extern "C" fn abort(
    cx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    let Some(cx) = std::ptr::NonNull::new(cx).map(Cx::new) else {
        return UNDEFINED;
    };
    let reason = if count > 0 {
        // SAFETY: QuickJS passes `count` live values.
        let raw = unsafe { *arguments };
        cx.borrow(raw).display().ok()
    } else {
        None
    };
    turn_abort::request(reason.as_deref().unwrap_or("the vat gave no reason"));
    let error = cx.type_error("this turn is undone");
    // SAFETY: a live error object; catch blocks and `finally` are passed over from here on.
    unsafe { qjs::JS_SetUncatchableError(cx.raw(), error.raw()) };
    cx.throw(error)
}
