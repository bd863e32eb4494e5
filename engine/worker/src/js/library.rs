//! Host functions of the library: what its files get, and nothing else does.
//!
//! None is ever a global or a property of one: they are in the closures of the library's functions,
//! which give their callers what `js/` says and no more.

use std::ffi::{CStr, c_int};

use rquickjs::qjs;

use super::door::{self, Inside, Parsed};
use super::harden;
use super::modules;
use super::output;
use super::realm::Realm;
use super::registry::Slot;
use super::repairs;
use super::sends::Whose;
use super::value::{Cx, JsResult, Kind, Value, argument, host_function};
use kenvat_syntax::Names;

/// What an evaluation without a name of its own is said to come from.
const EVALUATED: Whose = Whose::Text("eval");

/// The object the library's files get.
///
/// `library` collects the globals of every compartment, `start` those of a vat's first one alone,
/// `universal` the descriptors compartments are made with.
pub fn host_object(cx: Cx) -> JsResult<Value> {
    let host = cx.object()?;
    for place in ["library", "start", "universal"] {
        host.define_str(place, cx.object()?)?;
    }
    host.define_str("primordials", cx.object_without_prototype()?)?;
    let put = |name: &CStr, length: i32, call: qjs::JSCFunction| {
        let key = name.to_str().unwrap_or_default();
        host.define_str(key, cx.function(name, length, call)?)
    };
    put(c"log", 2, Some(log))?;
    put(c"wanted", 1, Some(wanted))?;
    put(c"makeScope", 1, Some(make_scope))?;
    put(c"makeModuleScope", 2, Some(make_module_scope))?;
    put(c"evaluate", 4, Some(evaluate))?;
    put(c"evaluateModule", 5, Some(evaluate_module))?;
    put(c"readModule", 3, Some(read_module))?;
    put(c"resolveFile", 2, Some(resolve_file))?;
    put(c"placeOfImport", 2, Some(place_of_import))?;
    put(c"fileText", 1, Some(file_text))?;
    put(c"functionText", 2, Some(function_text))?;
    put(c"utf8Encode", 1, Some(utf8_encode))?;
    put(c"utf8Decode", 4, Some(utf8_decode))?;
    put(c"bytesCopy", 1, Some(bytes_copy))?;
    let construct = [
        (
            c"Date",
            c"tamedDate",
            7,
            Some(construct_date as Constructor),
        ),
        (c"Map", c"tamedMap", 0, Some(construct_map)),
        (c"WeakMap", c"tamedWeakMap", 0, Some(construct_weak_map)),
    ];
    for (name, key, length, call) in construct {
        let key = key.to_str().unwrap_or_default();
        host.define_str(key, cx.constructor(name, length, call)?)?;
    }
    host.define_str("harden", harden::function(cx)?)?;
    Ok(host)
}

type Constructor = unsafe extern "C" fn(
    *mut qjs::JSContext,
    qjs::JSValue,
    c_int,
    *mut qjs::JSValue,
) -> qjs::JSValue;

fn realm(cx: Cx) -> JsResult<Realm> {
    Realm::current().ok_or_else(|| cx.type_error("no realm is open"))
}

/// `log(level, text)`
extern "C" fn log(
    cx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    host_function(cx, count, arguments, |cx, arguments| {
        let level = argument(cx, arguments, 0).display()?;
        let text = argument(cx, arguments, 1).display()?;
        output::log(&level, &text);
        Ok(cx.undefined())
    })
}

/// `wanted(name)`: whether a repair is to be made.
extern "C" fn wanted(
    cx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    host_function(cx, count, arguments, |cx, arguments| {
        let name = argument(cx, arguments, 0).display()?;
        Ok(cx.bool(repairs::wanted(&name)))
    })
}

/// `makeScope(globals)`
extern "C" fn make_scope(
    cx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    host_function(cx, count, arguments, |cx, arguments| {
        door::scope(&realm(cx)?, &argument(cx, arguments, 0), Names::default())
    })
}

/// `makeModuleScope(globals, bindings, tag)`, the tag as `readModule` gives it
extern "C" fn make_module_scope(
    cx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    host_function(cx, count, arguments, |cx, arguments| {
        let part = |at| argument(cx, arguments, at);
        let names = Names::with_tag(&part(2).display()?).unwrap_or_default();
        door::module_scope(&realm(cx)?, &part(0), &part(1), names)
    })
}

/// `evaluate(scope, globals, inserted, text)`, `inserted` being what rewritten text calls.
extern "C" fn evaluate(
    cx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    host_function(cx, count, arguments, |cx, arguments| {
        let part = |at| argument(cx, arguments, at);
        let realm = realm(cx)?;
        let text = part(3).with_bytes(<[u8]>::to_vec)?;
        let script = modules::script(&realm, &text, EVALUATED)?;
        let name = script.keep(&realm, EVALUATED)?;
        let inside = Inside {
            scope: &part(0),
            globals: &part(1),
            inserted: &part(2),
        };
        door::evaluate_script(&realm, &inside, &script, &name, 1)
    })
}

/// `evaluateModule(scope, globals, inserted, text, name)`, text and name as `readModule` gives
/// them.
extern "C" fn evaluate_module(
    cx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    host_function(cx, count, arguments, |cx, arguments| {
        let part = |at| argument(cx, arguments, at);
        let text = part(3).with_bytes(<[u8]>::to_vec)?;
        let inside = Inside {
            scope: &part(0),
            globals: &part(1),
            inserted: &part(2),
        };
        let line = 1 - modules::HEAD_LINES;
        door::evaluate(&realm(cx)?, &inside, &text, &part(4).display()?, line)
    })
}

/// `readModule(text, file, isOfProgram)`
extern "C" fn read_module(
    cx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    host_function(cx, count, arguments, |cx, arguments| {
        let part = |at| argument(cx, arguments, at);
        let (text, file) = (part(0).with_bytes(<[u8]>::to_vec)?, part(1).display()?);
        let whose = match part(2).kind() {
            Kind::Bool(true) => Whose::Program(&file),
            _ => Whose::Text(&file),
        };
        modules::read(&realm(cx)?, &text, whose)
    })
}

/// `resolveFile(base, name)`: the path of a file of the program that is being deployed.
extern "C" fn resolve_file(
    cx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    host_function(cx, count, arguments, |cx, arguments| {
        let part = |at| argument(cx, arguments, at).display();
        match modules::resolve(&part(0)?, &part(1)?) {
            Ok(path) => cx.string(&path),
            Err(message) => Err(cx.type_error(&message)),
        }
    })
}

/// `placeOfImport(base, name)`: `FILE:LINE` as far as it can be told.
extern "C" fn place_of_import(
    cx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    host_function(cx, count, arguments, |cx, arguments| {
        let part = |at| argument(cx, arguments, at).display();
        cx.string(&modules::place_of_import(&part(0)?, &part(1)?))
    })
}

/// `fileText(path)`: undefined where there is no such file.
extern "C" fn file_text(
    cx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    host_function(cx, count, arguments, |cx, arguments| match modules::source(
        &argument(cx, arguments, 0).display()?,
    ) {
        Some(text) => cx.string(&text),
        None => Ok(cx.undefined()),
    })
}

/// `functionText(parameters, body)`: the text of a function expression, or a SyntaxError.
///
/// Each part must be what it claims to be in two contexts. A part that ends the function early must
/// go on with a comma or a brace in the one and with neither in the other, so nothing passes both.
extern "C" fn function_text(
    cx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    host_function(cx, count, arguments, |cx, arguments| {
        let part = |at| argument(cx, arguments, at).with_bytes(<[u8]>::to_vec);
        let (parameters, body) = (&part(0)?[..], &part(1)?[..]);
        let joined = |parts: [&[u8]; 3]| parts.concat();
        if repairs::wanted("function-text") {
            let realm = realm(cx)?;
            // The parts stand where they stand in the function's text, so that errors show that.
            for text in [
                joined([b"({m(\n){\n", body, b"\n}})"]),
                joined([b"function f(\n){\n", body, b"\n}"]),
                joined([b"({m                (", parameters, b"\n){}})"]),
                joined([b"function f         (", parameters, b"\n){}"]),
            ] {
                let script = modules::script(&realm, &text, EVALUATED)?;
                door::parse(&realm, &script, EVALUATED, 1, Parsed::Script)?;
            }
        }
        let head = joined([b"(function anonymous(", parameters, b"\n) {\n"]);
        cx.string_of_bytes(&joined([&head, body, b"\n})"]))
    })
}

/// `utf8Encode(text)`: its bytes, lone surrogates replaced.
extern "C" fn utf8_encode(
    cx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    host_function(cx, count, arguments, |cx, arguments| {
        let text = argument(cx, arguments, 0).well_formed()?;
        cx.bytes(text.as_bytes())
    })
}

/// `utf8Decode(bytes, fatal, stream, keepsMark)`: `{ text, used }`.
extern "C" fn utf8_decode(
    cx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    host_function(cx, count, arguments, |cx, arguments| {
        let Some(bytes) = argument(cx, arguments, 0).bytes() else {
            return Err(cx.type_error("TextDecoder: decode takes a buffer or a view"));
        };
        let is = |at| argument(cx, arguments, at).kind() == Kind::Bool(true);
        let (fatal, stream, keeps_mark) = (is(1), is(2), is(3));
        let used = if stream { whole(&bytes) } else { bytes.len() };
        let mut rest = &bytes[..used];
        if !keeps_mark {
            rest = rest.strip_prefix(b"\xef\xbb\xbf").unwrap_or(rest);
        }
        let text = String::from_utf8_lossy(rest);
        if fatal && std::str::from_utf8(rest).is_err() {
            return Err(cx.type_error("TextDecoder: the bytes are not UTF-8"));
        }
        let out = cx.object()?;
        out.define_str("text", cx.string(&text)?)?;
        out.define_str("used", cx.number(used as f64))?;
        Ok(out)
    })
}

/// How many of these bytes do not begin a character that could still be completed.
fn whole(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Ok(_) => bytes.len(),
        Err(error) => {
            let mut at = error.valid_up_to();
            // Skip what is wrong for good, and stop at what merely ends too early.
            let mut error = Some(error);
            while let Some(length) = error.and_then(|error| error.error_len()) {
                at += length;
                error = std::str::from_utf8(&bytes[at..]).err();
                at += error.map_or(bytes.len() - at, |error| error.valid_up_to());
            }
            at
        }
    }
}

/// `bytesCopy(value)`: a copy of a Uint8Array or ArrayBuffer, undefined for anything else.
extern "C" fn bytes_copy(
    cx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    host_function(cx, count, arguments, |cx, arguments| {
        let value = argument(cx, arguments, 0);
        let Some(bytes) = value.bytes() else {
            return Ok(cx.undefined());
        };
        match value.is_array_buffer() {
            true => cx.array_buffer(&bytes),
            false => cx.bytes(&bytes),
        }
    })
}

/// `Date`, which a program must give a time.
unsafe extern "C" fn construct_date(
    cx: *mut qjs::JSContext,
    new_target: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    host_function(cx, count, arguments, |cx, arguments| {
        let new_target = cx.borrow(new_target);
        if !new_target.is_object() {
            let advice = "Date(): a vat has no clock of its own; use powers.clock";
            return Err(cx.type_error(advice));
        }
        if arguments.is_empty() {
            let advice = "new Date() without a time: a vat has no clock of its own; use \
                          powers.clock, and new Date(time)";
            return Err(cx.type_error(advice));
        }
        let real = realm(cx)?.registry.get(Slot::RealDate)?;
        real.construct(&new_target, arguments)
    })
}

/// `Map`, which may be called without `new`.
unsafe extern "C" fn construct_map(
    cx: *mut qjs::JSContext,
    new_target: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    construct_either_way(cx, new_target, count, arguments, Slot::RealMap)
}

/// `WeakMap`, likewise.
unsafe extern "C" fn construct_weak_map(
    cx: *mut qjs::JSContext,
    new_target: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    construct_either_way(cx, new_target, count, arguments, Slot::RealWeakMap)
}

fn construct_either_way(
    cx: *mut qjs::JSContext,
    new_target: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
    real: Slot,
) -> qjs::JSValue {
    host_function(cx, count, arguments, |cx, arguments| {
        let real = realm(cx)?.registry.get(real)?;
        let new_target = cx.borrow(new_target);
        match new_target.is_object() {
            true => real.construct(&new_target, arguments),
            false => real.construct(&real, arguments),
        }
    })
}
