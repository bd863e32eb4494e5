//! What `powers.js` draws the turn's chance with.

use std::ffi::c_int;

use rquickjs::qjs;

use super::value::{Cx, JsResult, Value, argument, host_function};
use crate::chance;

/// Bytes one call gives.
const BYTES_MAX: usize = 65_536;

/// Puts the functions on the object the library's files get.
pub fn install(cx: Cx, host: &Value) -> JsResult<()> {
    host.define_str("chanceBytesMax", cx.number(BYTES_MAX as f64))?;
    host.define_str("chanceBytes", cx.function(c"chanceBytes", 1, Some(bytes))?)?;
    host.define_str("chanceBelow", cx.function(c"chanceBelow", 1, Some(below))?)
}

fn none(cx: Cx) -> Value {
    cx.type_error("no turn runs that chance could be drawn in")
}

/// An argument that the library has checked to be a number.
fn number(argument: &Value) -> f64 {
    argument.kind().number().unwrap_or_default()
}

/// `chanceBytes(count)`: so many bytes. The library checks what it gives.
extern "C" fn bytes(
    cx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    host_function(cx, count, arguments, |cx, arguments| {
        let count = number(&argument(cx, arguments, 0)) as usize;
        let mut bytes = vec![0; count.min(BYTES_MAX)];
        match chance::draw(&mut bytes) {
            true => cx.bytes(&bytes),
            false => Err(none(cx)),
        }
    })
}

/// `chanceBelow(limit)`: a whole number from 0 up to and without it.
extern "C" fn below(
    cx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    host_function(cx, count, arguments, |cx, arguments| {
        let limit = number(&argument(cx, arguments, 0)) as u64;
        let found = chance::below(limit).ok_or_else(|| none(cx))?;
        Ok(cx.number(found as f64))
    })
}
