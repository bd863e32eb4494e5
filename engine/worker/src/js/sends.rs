//! What people and programs see of text that was rewritten for `x ! m(a)`: what its author wrote.
//!
//! Promises: columns of errors are led back to the author's; `Function.prototype.toString` shows
//! the author's text. The map of a program's file is in the registry under its name. That of any
//! other text (`eval`, `Function`, a compartment's modules) is there under a number which the
//! engine is told as part of the text's name and nobody is shown; they are bounded, and the oldest
//! go first: columns behind a `!` are then those of the rewritten line. The tag of the text's names
//! stands in that name too, or before a file's map: a function's text is restored by it. A text that
//! nothing was put into has neither. Does not rewrite: `modules` does, on the text's way to the engine.

use std::ffi::c_int;

use rquickjs::qjs;

use super::realm::Realm;
use super::registry::Slot;
use super::value::{Cx, JsResult, Kind, PROPERTY_HIDDEN, Value, argument, host_function};
use kenvat_syntax::{Columns, Names};

/// Texts other than a program's files whose maps are kept.
const TEXTS_MAX: u64 = 512;
/// Bytes of those maps together.
const TEXTS_BYTES_MAX: u64 = 256 << 10;
/// Stands between the name of a text and its number; no character of Unicode's.
const NUMBERED: char = '\u{fdd0}';
/// Bytes of the tag of a text's names, which stands before its columns.
const TAG_BYTES: usize = 5;

/// Whose a text is, with the name its errors are to show.
#[derive(Clone, Copy, Debug)]
pub enum Whose<'a> {
    /// A file of the vat's program.
    Program(&'a str),
    /// What a program makes code of.
    Text(&'a str),
}

impl<'a> Whose<'a> {
    pub fn file(self) -> &'a str {
        let (Whose::Program(file) | Whose::Text(file)) = self;
        file
    }
}

/// Puts on `host` what the library's files need.
pub fn install(cx: Cx, host: &Value) -> JsResult<()> {
    let restore: qjs::JSCFunction = Some(restore_text);
    host.define_str("restoreText", cx.function(c"restoreText", 2, restore)?)?;
    let stack: qjs::JSCFunction = Some(authors_stack_text);
    host.define_str("authorsStack", cx.function(c"authorsStack", 1, stack)?)
}

/// Keeps the columns of a text and the tag of its names; gives the name the engine is to know it
/// by.
pub fn keep(
    realm: &Realm,
    whose: Whose,
    columns: &Columns,
    names: Option<Names>,
) -> JsResult<String> {
    let file = whose.file().to_owned();
    let Some(names) = names else {
        return Ok(file);
    };
    let map = [names.tag().as_bytes(), &columns.to_bytes()].concat();
    match whose {
        Whose::Program(_) => {
            let map = realm.cx.array_buffer(&map)?;
            maps(realm, Slot::Columns)?.define(&realm.cx.atom(&file), map, PROPERTY_HIDDEN)?;
            Ok(file)
        }
        Whose::Text(_) => {
            let is_kept = !columns.is_identity() && map.len() as u64 <= TEXTS_BYTES_MAX;
            let number = match is_kept {
                true => keep_text(realm, &map)?.to_string(),
                false => String::new(),
            };
            Ok(format!("{file}{NUMBERED}{}{number}", names.tag()))
        }
    }
}

/// Puts a text's map behind the others, which make room for it; gives its number.
fn keep_text(realm: &Realm, map: &[u8]) -> JsResult<u64> {
    let texts = maps(realm, Slot::TextColumns)?;
    let cx = realm.cx;
    let number = |name: &str| texts.get_str(name).map(|value| whole(&value));
    let set = |name: &str, value: u64| {
        let key = cx.atom(name);
        texts.define(&key, cx.number(value as f64), PROPERTY_HIDDEN)
    };
    let (mut first, next, mut bytes) = (number(FIRST)?, number(NEXT)?, number(BYTES)?);
    let length = map.len() as u64;
    while first < next && (next - first >= TEXTS_MAX || bytes + length > TEXTS_BYTES_MAX) {
        let oldest = first.to_string();
        let gone = texts.get_str(&oldest)?.bytes().unwrap_or_default();
        bytes = bytes.saturating_sub(gone.len() as u64);
        texts.delete(&oldest)?;
        first += 1;
    }
    texts.define(
        &cx.atom(&next.to_string()),
        cx.array_buffer(map)?,
        PROPERTY_HIDDEN,
    )?;
    set(FIRST, first)?;
    set(NEXT, next + 1)?;
    set(BYTES, bytes + length)?;
    Ok(next)
}

/// Number of the oldest text with a map, of the next, and bytes of all maps.
const FIRST: &str = "first";
const NEXT: &str = "next";
const BYTES: &str = "bytes";

fn whole(value: &Value) -> u64 {
    match value.kind() {
        Kind::Int(number) => u64::try_from(number).unwrap_or(0),
        Kind::Float(number) => number as u64,
        _ => 0,
    }
}

/// The maps of a slot, from name or number.
fn maps(realm: &Realm, slot: Slot) -> JsResult<Value> {
    let maps = realm.registry.get(slot)?;
    if maps.is_object() {
        return Ok(maps);
    }
    let maps = realm.cx.object_without_prototype()?;
    realm.registry.set(slot, maps.clone())?;
    Ok(maps)
}

/// The columns of a text by its name.
pub fn columns(realm: &Realm, name: &str) -> Option<Columns> {
    let map = match numbered(name) {
        Some((_, _, number)) => map(realm, Slot::TextColumns, number)?,
        None => map(realm, Slot::Columns, name)?,
    };
    Some(Columns::from_bytes(map.get(TAG_BYTES..)?))
}

/// The names of what was put into a text, by the text's name; `None` where nothing was.
fn names_of(realm: &Realm, name: &str) -> Option<Names> {
    if let Some((_, names, _)) = numbered(name) {
        return Some(names);
    }
    let map = map(realm, Slot::Columns, name)?;
    Names::with_tag(std::str::from_utf8(map.get(..TAG_BYTES)?).ok()?)
}

fn map(realm: &Realm, slot: Slot, key: &str) -> Option<Vec<u8>> {
    let maps = realm.registry.get(slot).ok().filter(Value::is_object)?;
    maps.get_str(key).ok()?.bytes()
}

/// The parts of the name of a text that something was put into: as it is shown, its names, and the
/// number of its map, which may be none.
fn numbered(name: &str) -> Option<(&str, Names, &str)> {
    let (file, rest) = name.rsplit_once(NUMBERED)?;
    let (tag, number) = rest.split_at_checked(TAG_BYTES)?;
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    let names = Names::with_tag(tag).filter(|_| is_number)?;
    Some((file, names, number))
}

/// A text's name as it is shown.
pub fn shown(name: &str) -> &str {
    numbered(name).map_or(name, |(file, _, _)| file)
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
    let named = before.rsplit_once('(').map_or(before, |(_, name)| name);
    let name = named.trim_start().strip_prefix("at ").unwrap_or(named);
    let column = match columns(realm, name) {
        Some(columns) => columns.author(number, column),
        None => column,
    };
    let before = shown(before);
    Some(format!("{before}:{number}:{column}{end}"))
}

/// `authorsStack(stack)`: a stack as its authors may see it.
extern "C" fn authors_stack_text(
    cx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    host_function(cx, count, arguments, |cx, arguments| {
        let stack = argument(cx, arguments, 0);
        match (stack.text()?, Realm::current()) {
            (Some(text), Some(realm)) => cx.string(&authors_stack(&realm, &text)),
            _ => Ok(stack),
        }
    })
}

/// `restoreText(text, file)`: the text of a function of this file as its author wrote it.
extern "C" fn restore_text(
    cx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    host_function(cx, count, arguments, |cx, arguments| {
        let text = argument(cx, arguments, 0);
        let file = argument(cx, arguments, 1).text()?;
        let names = file.zip(Realm::current());
        let Some(names) = names.and_then(|(file, realm)| names_of(&realm, &file)) else {
            return Ok(text);
        };
        match text.with_bytes(|text| kenvat_syntax::restore(text, names))? {
            Some(restored) => cx.string_of_bytes(&restored),
            None => Ok(text),
        }
    })
}
