//! Timers, the worker's half: the library's functions to set and clear one, and a due one's turn.
//!
//! What a timer is for is in the heap, with the library (`timer.js`); here is only which are set
//! and cleared since the last hand-over (in `output`).

use std::ffi::c_int;

use rquickjs::qjs;

use super::fault::{describe, summary};
use super::output;
use super::realm::Realm;
use super::registry::Slot;
use super::value::{Cx, JsResult, Kind, UNDEFINED, Value};
use crate::c_symbols;
use kenvat_wire::protocol::TIMERS_MAX;

/// Puts the functions on the object the library's files get.
pub fn install(cx: Cx, host: &Value) -> JsResult<()> {
    host.define_str("timersMax", cx.number(TIMERS_MAX as f64))?;
    host.define_str("turnTime", cx.function(c"turnTime", 0, Some(turn_time))?)?;
    host.define_str("setTimer", cx.function(c"setTimer", 2, Some(set))?)
}

/// Tells the library that a timer is due.
pub fn fire(realm: &Realm, timer: u64) {
    output::fired(timer);
    let cx = realm.cx;
    let tell = || {
        let function = realm.registry.get(Slot::TimerDue)?;
        function.call(&cx.undefined(), &[cx.number(timer as f64)])
    };
    if let Err(error) = tell() {
        let thrown = describe(realm, &error);
        output::log("error", &format!("a timer failed: {}", summary(&thrown)));
    }
}

/// `turnTime()`: the turn's time.
extern "C" fn turn_time(
    _: *mut qjs::JSContext,
    _this: qjs::JSValue,
    _count: c_int,
    _arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    match Realm::current() {
        Some(realm) => realm.cx.number(c_symbols::time_ms() as f64).into_raw(),
        None => UNDEFINED,
    }
}

/// `setTimer(number, due)`: `due` undefined clears it. The library checks what it gives.
extern "C" fn set(
    _: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    let Some(realm) = Realm::current() else {
        return UNDEFINED;
    };
    let argument = |at: c_int| {
        if at >= count {
            return Kind::Undefined;
        }
        // SAFETY: QuickJS passes `count` live values.
        let raw = unsafe { *arguments.wrapping_add(at as usize) };
        realm.cx.borrow(raw).kind()
    };
    if let Some(timer) = argument(0).number() {
        let due_ms = argument(1).number();
        output::timer(timer as u64, due_ms.map(|due| due as i64));
    }
    UNDEFINED
}
