//! Requests whose answer is a promise: answered when it settles, this turn or years later.
//!
//! What waits is a C function with the request's number in the heap; it is reachable from the
//! promise alone, so no program can call it, and a promise settles once.

use std::ffi::{CStr, c_int};
use std::ptr::NonNull;

use rquickjs::qjs;

use super::realm::Realm;
use super::value::{Cx, JsResult, Kind, UNDEFINED, Value};
use super::{call, deploy};

/// How the waiting function is called in stacks, where it is left out.
const NAME: &CStr = c"kenvat:settled";

/// What to go on with. The numbers are in heaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A method's result: the answer.
    Called = 0,
    /// The modules are evaluated: find what the program exports.
    Loaded = 1,
    /// The start function's result: the root object.
    Started = 2,
    /// `init`'s result: the deployment is done.
    Initialised = 3,
}

/// A request and what is kept for its next stage.
pub struct Pending {
    pub request: u64,
    /// Whatever the stage needs; undefined for `Called`.
    pub kept: Value,
}

/// Goes on with `stage` when the value has settled: at once for what can be no promise.
pub fn when_settled(realm: &Realm, stage: Stage, pending: Pending, result: JsResult<Value>) {
    let value = match result {
        Ok(value) if value.is_object() => value,
        settled => return go_on(realm, stage, pending, settled),
    };
    let request = pending.request;
    if let Err(error) = wait(realm, stage, &pending, value) {
        let undefined = Pending {
            request,
            kept: realm.cx.undefined(),
        };
        go_on(realm, stage, undefined, Err(error));
    }
}

fn wait(realm: &Realm, stage: Stage, pending: &Pending, value: Value) -> JsResult<()> {
    let cx = realm.cx;
    let promise = if value.is_promise() {
        value
    } else {
        // The intrinsic resolve function: it alone decides what a thenable is.
        let (promise, resolve, _) = cx.promise()?;
        resolve.call(&cx.undefined(), &[value])?;
        promise
    };
    let [high, low] = halves(pending.request);
    let data = [cx.int(high), cx.int(low), pending.kept.clone()];
    let fulfilled = cx.function_with(NAME, magic(stage, true), &data, Some(on_settled))?;
    let rejected = cx.function_with(NAME, magic(stage, false), &data, Some(on_settled))?;
    promise.then(&fulfilled, &rejected)
}

fn go_on(realm: &Realm, stage: Stage, pending: Pending, settled: JsResult<Value>) {
    match stage {
        Stage::Called => call::answer(realm, pending.request, settled),
        Stage::Loaded => deploy::loaded(realm, pending, settled),
        Stage::Started => deploy::started(realm, pending, settled),
        Stage::Initialised => deploy::initialised(realm, pending.request, settled),
    }
}

extern "C" fn on_settled(
    _cx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
    magic: c_int,
    data: *mut qjs::JSValue,
) -> qjs::JSValue {
    let Some(realm) = Realm::current() else {
        return UNDEFINED;
    };
    let value = match NonNull::new(arguments) {
        // SAFETY: QuickJS passes `count` live values.
        Some(first) if count > 0 => realm.cx.borrow(unsafe { first.read() }),
        _ => realm.cx.undefined(),
    };
    let part = |at: usize| lent(realm.cx, data, at);
    let (Kind::Int(high), Kind::Int(low)) = (part(0).kind(), part(1).kind()) else {
        return UNDEFINED;
    };
    let pending = Pending {
        request: whole([high, low]),
        kept: part(2),
    };
    let Some((stage, fulfilled)) = of_magic(magic) else {
        return UNDEFINED;
    };
    go_on(
        &realm,
        stage,
        pending,
        if fulfilled { Ok(value) } else { Err(value) },
    );
    UNDEFINED
}

fn lent(cx: Cx, data: *mut qjs::JSValue, at: usize) -> Value {
    // SAFETY: `wait` made the function with three values.
    cx.borrow(unsafe { *data.wrapping_add(at) })
}

fn magic(stage: Stage, fulfilled: bool) -> c_int {
    stage as c_int * 2 + c_int::from(fulfilled)
}

fn of_magic(magic: c_int) -> Option<(Stage, bool)> {
    let stage = match magic / 2 {
        0 => Stage::Called,
        1 => Stage::Loaded,
        2 => Stage::Started,
        3 => Stage::Initialised,
        _ => return None,
    };
    Some((stage, magic % 2 == 1))
}

/// A request's number as two ints, which cost no memory in the heap.
fn halves(request: u64) -> [i32; 2] {
    [(request >> 32) as i32, request as i32]
}

fn whole([high, low]: [i32; 2]) -> u64 {
    u64::from(high as u32) << 32 | u64::from(low as u32)
}
