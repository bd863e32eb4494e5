//! For tests of the sandbox alone: a global function that makes any system call.
//!
//! It stands for a program that has taken over its worker. Compiled with feature `misbehave`, which
//! no released worker has; a heap born with it is that worker's own and no other's (E2).

use std::ffi::{CString, c_int};
use std::ptr::NonNull;

use rquickjs::qjs;

use super::value::{Cx, JsResult, Kind, PROPERTY_HIDDEN, UNDEFINED, Value};

/// The call's number and six arguments.
const WORDS: usize = 7;

/// Makes `syscall` a global.
pub fn install(cx: Cx, global: &Value) -> JsResult<()> {
    let function = cx.function(c"syscall", WORDS as i32, Some(syscall))?;
    global.define(&cx.atom("syscall"), function, PROPERTY_HIDDEN)
}

/// `syscall(number, ...arguments)`: what the call gives, or its error number below zero. Strings
/// become pointers to C strings.
extern "C" fn syscall(
    cx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    let Some(cx) = NonNull::new(cx).map(Cx::new) else {
        return UNDEFINED;
    };
    let mut words = [0_i64; WORDS];
    for (at, word) in words.iter_mut().enumerate().take(count.max(0) as usize) {
        // SAFETY: QuickJS passes `count` live values.
        let raw = unsafe { *arguments.wrapping_add(at) };
        let Some(found) = argument(&cx.borrow(raw)) else {
            return cx.throw(cx.type_error("syscall takes numbers and strings"));
        };
        *word = found;
    }
    let [number, a, b, c, d, e, f] = words;
    // SAFETY: none: it is for tests that want to see what becomes of a process that does this.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    let result = match result {
        -1 => -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap_or(0)),
        result => result,
    };
    cx.number(result as f64).into_raw()
}

fn argument(value: &Value) -> Option<i64> {
    match value.kind() {
        Kind::Int(number) => Some(number.into()),
        Kind::Float(number) => Some(number as i64),
        Kind::String => {
            let text = CString::new(value.display().ok()?).ok()?;
            // Leaked: the kernel may look at it for as long as it likes.
            Some(text.into_raw().expose_provenance() as i64)
        }
        _ => None,
    }
}
