//! What people and programs see of text that was rewritten for `x ! m(a)`: what its author wrote.
//!
//! Promises: columns of errors in a program's files are led back to the author's;
//! `Function.prototype.toString` shows the author's text. Each file's map of columns stands in the
//! registry. Does not rewrite: `modules` does, on the text's way to the engine. Evaluated texts and
//! CommonJS files have no map: their columns behind a `!` are those of the rewritten line.

use std::ffi::c_int;

use rquickjs::qjs;

use super::realm::Realm;
use super::registry::Slot;
use super::value::{Cx, JsResult, PROPERTY_HIDDEN, Value, argument, host_function};
use crate::bang::{self, Columns};

/// Puts on `host` what the library's files need.
pub fn install(cx: Cx, host: &Value) -> JsResult<()> {
    let restore: qjs::JSCFunction = Some(restore_text);
    host.define_str("restoreText", cx.function(c"restoreText", 1, restore)?)
}

/// Keeps the columns of a program's file.
pub fn remember(file: &str, columns: &Columns) -> JsResult<()> {
    let Some(realm) = Realm::current().filter(|_| !columns.is_identity()) else {
        return Ok(());
    };
    let mut maps = realm.registry.get(Slot::Columns)?;
    if !maps.is_object() {
        maps = realm.cx.object_without_prototype()?;
        realm.registry.set(Slot::Columns, maps.clone())?;
    }
    let map = realm.cx.array_buffer(&columns.to_bytes())?;
    maps.define(&realm.cx.atom(file), map, PROPERTY_HIDDEN)
}

/// A stack with the author's columns.
pub fn authors_stack(realm: &Realm, stack: &str) -> String {
    let own = |line| led_back(realm, line).unwrap_or_else(|| String::from(line));
    stack.lines().map(own).collect::<Vec<_>>().join("\n")
}

/// `    at f (FILE:LINE:COLUMN)`, or `    at FILE:LINE:COLUMN`.
fn led_back(realm: &Realm, line: &str) -> Option<String> {
    let (whole, end) = match line.strip_suffix(')') {
        Some(whole) => (whole, ")"),
        None => (line, ""),
    };
    let mut parts = whole.rsplitn(3, ':');
    let column: u32 = parts.next()?.parse().ok()?;
    let number: u32 = parts.next()?.parse().ok()?;
    let before = parts.next()?;
    let column = file_columns(realm, before)?.author(number, column);
    Some(format!("{before}:{number}:{column}{end}"))
}

/// The columns of the file that a line of a stack names at its end.
fn file_columns(realm: &Realm, before: &str) -> Option<Columns> {
    let file = before.rsplit_once('(').map_or(before, |(_, file)| file);
    let file = file.trim_start().strip_prefix("at ").unwrap_or(file);
    let maps = realm.registry.get(Slot::Columns).ok()?;
    if !maps.is_object() {
        return None;
    }
    let map = maps.get_str(file).ok()?;
    map.bytes().map(|bytes| Columns::from_bytes(&bytes))
}

/// `restoreText(text)`: a function's text as its author wrote it.
extern "C" fn restore_text(
    cx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    host_function(cx, count, arguments, |cx, arguments| {
        let text = argument(cx, arguments, 0);
        match text.with_bytes(bang::restore)? {
            Some(restored) => cx.string_of_bytes(&restored),
            None => Ok(text),
        }
    })
}
