//! Functions of the host: what C hands over, as values.

use std::ffi::c_int;
use std::ptr::NonNull;

use rquickjs::qjs;

use super::{Cx, JsResult, UNDEFINED, Value};

/// Runs the body of a host function on its arguments; what it throws is thrown into the caller.
///
/// `arguments` must be what QuickJS passed to the function that calls this.
pub fn host_function(
    cx: *mut qjs::JSContext,
    count: c_int,
    arguments: *mut qjs::JSValue,
    body: impl FnOnce(Cx, &[Value]) -> JsResult<Value>,
) -> qjs::JSValue {
    let Some(cx) = NonNull::new(cx).map(Cx::new) else {
        return UNDEFINED;
    };
    let count = usize::try_from(count).unwrap_or(0);
    let values: Vec<Value> = (0..count)
        .map(|at| {
            // SAFETY: QuickJS passes `count` live values.
            let raw = unsafe { *arguments.wrapping_add(at) };
            cx.borrow(raw)
        })
        .collect();
    match body(cx, &values) {
        Ok(value) => value.into_raw(),
        Err(error) => cx.throw(error),
    }
}

/// The argument at this place, undefined beyond the last.
pub fn argument(cx: Cx, arguments: &[Value], at: usize) -> Value {
    arguments.get(at).cloned().unwrap_or_else(|| cx.undefined())
}
