//! Host functions of the library: writing a line to the vat's log.

use std::ffi::c_int;

use rquickjs::qjs;

use super::output;
use super::value::{Cx, JsResult, UNDEFINED, Value};

/// The object the library's files get: host functions, which are on no global.
pub fn host_object(cx: Cx) -> JsResult<Value> {
    let host = cx.object()?;
    host.define_str("log", cx.function(c"log", 2, Some(log))?)?;
    Ok(host)
}

/// `log(level, text)`
extern "C" fn log(
    cx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    let Some(cx) = std::ptr::NonNull::new(cx).map(Cx::new) else {
        return UNDEFINED;
    };
    let argument = |at: c_int| {
        if at >= count {
            return None;
        }
        // SAFETY: QuickJS passes `count` live values.
        let raw = unsafe { *arguments.wrapping_add(at as usize) };
        cx.borrow(raw).display().ok()
    };
    if let (Some(level), Some(text)) = (argument(0), argument(1)) {
        output::log(&level, &text);
    }
    UNDEFINED
}
