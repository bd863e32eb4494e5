//! Loading a vat's program and finding its root object.
//!
//! Shapes: a default export that is a function makes the root (it gets the powers, and may be
//! async); one that is an object is the root; without one the named function exports are the root's
//! methods, and likewise what a CommonJS file puts on `exports`. An exported `init(powers)` runs
//! once, and the deployment is answered when it settles.

use std::ffi::c_int;
use std::ptr::NonNull;

use rquickjs::qjs;

use super::door::{self, Inside, Parsed, Script};
use super::fault::{describe, thrown};
use super::realm::Realm;
use super::registry::Slot;
use super::sends::Whose;
use super::settle::{Pending, Stage, when_settled};
use super::value::{Cx, JsResult, Kind, NAMES_ALL, UNDEFINED, Value};
use super::{method, modules, output, powers};
use kenvat_syntax::near;
use kenvat_wire::protocol::{Outcome, Program, Thrown};

/// Loads the program; answered when its start function and `init` have settled.
pub fn deploy(realm: &Realm, request: u64, program: &Program) {
    modules::remember(program);
    if let Err(thrown) = begin(realm, request, program) {
        output::reply(request, Outcome::Thrown(thrown));
    }
}

/// The text of a program's entry, or why that cannot be run.
pub fn entry_text(entry: &str) -> Result<String, Thrown> {
    if let Some(objection) = modules::objection(entry) {
        let message = format!("cannot run {entry}: {objection}");
        return Err(thrown("TypeError", message));
    }
    let missing = || format!("{entry} is not among the program's files");
    modules::source(entry).ok_or_else(|| thrown("TypeError", missing()))
}

fn begin(realm: &Realm, request: u64, program: &Program) -> Result<(), Thrown> {
    let entry = &program.entry;
    let text = entry_text(entry)?;
    let powers = powers::powers(realm, program)?;
    let fail = |error: Value| located(describe(realm, &error));
    if let Some(function) = compile_common(realm, entry, &text).map_err(fail)? {
        let exports = run_common(realm, &function).map_err(fail)?;
        let kept = keep(realm, exports, powers).map_err(fail)?;
        loaded(realm, Pending { request, kept }, Ok(realm.cx.undefined()));
        return Ok(());
    }
    let load = || {
        let cx = realm.cx;
        let loader = realm.registry.get(Slot::LoadProgram)?;
        let loaded = loader.call(&cx.undefined(), &[cx.string(entry)?])?;
        let kept = keep(realm, loaded.get_str("namespace")?, powers)?;
        Ok((loaded.get_str("evaluated")?, kept))
    };
    let (evaluated, kept) = load().map_err(fail)?;
    let pending = Pending { request, kept };
    when_settled(realm, Stage::Loaded, pending, Ok(evaluated));
    Ok(())
}

/// The program's modules are evaluated, or one of them threw.
pub fn loaded(realm: &Realm, pending: Pending, settled: JsResult<Value>) {
    let Pending { request, kept } = pending;
    let go = || {
        settled?;
        let (exports, powers) = kept_parts(&kept)?;
        match default_export(&exports)? {
            Some(start) if start.is_function() => start.call(&realm.cx.undefined(), &[powers]),
            Some(root) => Ok(root),
            None => methods(realm, &exports),
        }
    };
    let root = go().and_then(|root| unthenable(realm, root));
    when_settled(realm, Stage::Started, Pending { request, kept }, root);
}

/// The start function's result, settled.
pub fn started(realm: &Realm, pending: Pending, settled: JsResult<Value>) {
    let Pending { request, kept } = pending;
    let go = || {
        let root = settled?;
        if !root.is_object() {
            let what = match root.kind() {
                Kind::Undefined => "nothing".to_owned(),
                _ => super::fault::format_value(realm, &root),
            };
            let message = format!("the program's default export gave {what}; it must be an object");
            return Err(realm.cx.type_error(&message));
        }
        let root = unthenable(realm, root)?;
        realm.registry.set(Slot::Root, root)?;
        let (exports, powers) = kept_parts(&kept)?;
        match own_function(&exports, "init")? {
            Some(init) => init.call(&realm.cx.undefined(), &[powers]),
            None => Ok(realm.cx.undefined()),
        }
    };
    let result = go();
    when_settled(realm, Stage::Initialised, Pending { request, kept }, result);
}

/// The root, if it is not one whose `then` would be called in its place.
fn unthenable(realm: &Realm, root: Value) -> JsResult<Value> {
    match method::is_thenable(realm, &root)? {
        false => Ok(root),
        true => Err(realm.cx.type_error(ROOT_THEN)),
    }
}

/// `init` has settled, or there was none.
pub fn initialised(realm: &Realm, request: u64, settled: JsResult<Value>) {
    match settled {
        Ok(_) => output::reply(request, Outcome::Value(r#"{"$undefined":true}"#.to_owned())),
        Err(error) => fail(realm, request, &error),
    }
}

fn fail(realm: &Realm, request: u64, error: &Value) {
    output::reply(request, Outcome::Thrown(located(describe(realm, error))));
}

/// What the stages after loading need, as one value.
fn keep(realm: &Realm, exports: Value, powers: Value) -> JsResult<Value> {
    realm.cx.array(vec![exports, powers])
}

fn kept_parts(kept: &Value) -> JsResult<(Value, Value)> {
    Ok((kept.get_index(0)?, kept.get_index(1)?))
}

fn default_export(exports: &Value) -> JsResult<Option<Value>> {
    if exports.is_function() {
        // `module.exports = function …`
        return Ok(Some(exports.clone()));
    }
    let key = exports.cx().atom("default");
    match exports.own_property(&key)? {
        Some(_) => exports.get(&key).map(Some),
        None => Ok(None),
    }
}

fn own_function(exports: &Value, name: &str) -> JsResult<Option<Value>> {
    let key = exports.cx().atom(name);
    if !exports.is_object() || exports.own_property(&key)?.is_none() {
        return Ok(None);
    }
    Ok(Some(exports.get(&key)?).filter(Value::is_function))
}

const ROOT_THEN: &str = "the program's root object has a method `then`, so that whoever waits for \
                         it would call that in its place: give the method another name";

pub const NO_EXPORTS: &str = "the program exports nothing to call: give it a default export (a \
                              function of the powers that returns an object), or export functions \
                              by name";

/// A root object of the exported functions.
fn methods(realm: &Realm, exports: &Value) -> JsResult<Value> {
    let root = realm.cx.object()?;
    let mut empty = true;
    let names = if exports.is_object() {
        exports.own_names(NAMES_ALL)?
    } else {
        Vec::new()
    };
    for key in names {
        let value = exports.get(&key)?;
        let name = key.text();
        if value.is_function() {
            empty = false;
            if name != "init" {
                root.define_str(&name, value)?;
            }
        }
    }
    if empty {
        return Err(realm.cx.type_error(NO_EXPORTS));
    }
    root.freeze()?;
    Ok(root)
}

/// Lines count from here in what a CommonJS file becomes: the wrapper's head takes lines -1 and 0,
/// so that positions are the author's. (QuickJS takes a first line of 0 for 1.)
const COMMON_LINE: i32 = 1 - modules::HEAD_LINES;

/// Reads a file as CommonJS when it looks like it: it mentions `exports` and parses as the body of
/// a function, which nothing with an import or export statement does.
pub fn read_common(realm: &Realm, file: &str, text: &str) -> Option<Script> {
    if !text.contains("exports") {
        return None;
    }
    let text = modules::without_hashbang(text.as_bytes());
    let head = b"(function (exports, require, module) {\n'use strict';\n";
    let wrapped = [&head[..], &text, b"\n})"].concat();
    let whose = Whose::Program(file);
    let mut script = modules::script(realm, &wrapped, whose).ok()?;
    script.columns.move_up(modules::HEAD_LINES as u32);
    let parsed = door::parse(realm, &script, whose, COMMON_LINE, Parsed::Script);
    parsed.is_ok().then_some(script)
}

fn compile_common(realm: &Realm, file: &str, text: &str) -> JsResult<Option<Value>> {
    let Some(script) = read_common(realm, file, text) else {
        return Ok(None);
    };
    let name = script.keep(realm, Whose::Program(file))?;
    let inside = Inside {
        scope: &realm.registry.get(Slot::Scope)?,
        globals: &realm.registry.get(Slot::Globals)?,
        inserted: &realm.registry.get(Slot::Hidden)?,
    };
    door::evaluate_script(realm, &inside, &script, &name, COMMON_LINE).map(Some)
}

/// Runs a CommonJS file; gives its `module.exports`.
fn run_common(realm: &Realm, function: &Value) -> JsResult<Value> {
    let cx = realm.cx;
    let (module, exports) = (cx.object()?, cx.object()?);
    module.define_str("exports", exports.clone())?;
    let require = cx.function(c"require", 1, Some(require))?;
    function.call(&exports, &[exports.clone(), require, module.clone()])?;
    module.get_str("exports")
}

extern "C" fn require(
    cx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    let Some(cx) = NonNull::new(cx).map(Cx::new) else {
        return UNDEFINED;
    };
    let name = match NonNull::new(arguments) {
        // SAFETY: QuickJS passes `count` live values.
        Some(first) if count > 0 => cx.borrow(unsafe { first.read() }).text().ok().flatten(),
        _ => None,
    };
    let name = name.unwrap_or_default();
    cx.throw(cx.type_error(&format!(
        "cannot require '{name}': a vat has no require; use import with a relative path, or \
         bundle the program into one file (for example with esbuild --bundle --format=esm)"
    )))
}

/// A syntax error with its place in the message and the line itself below the stack.
pub fn located(mut thrown: Thrown) -> Thrown {
    if thrown.name != "SyntaxError" {
        return thrown;
    }
    // An error of the engine's has its place in the stack, one of the rewriter's in its message.
    let of_message = place_of(&thrown.message);
    let place = of_message.clone().or_else(|| first_place(&thrown.stack));
    let Some((file, line, mut column)) = place else {
        return thrown;
    };
    let Some(text) = modules::line(&file, line) else {
        return thrown;
    };
    if of_message.is_none() {
        // The engine counts bytes.
        let before = text.bytes().take(column.saturating_sub(1));
        column = before.filter(|byte| byte & 0xC0 != 0x80).count() + 1;
        thrown.message = format!("{file}:{line}:{column}: {}", thrown.message);
    }
    let number = line.to_string();
    let indent = " ".repeat(number.len());
    let (shown, before) = near(&text, column);
    // A tab in the line moves the mark as far as it moves the text.
    let before = shown.chars().take(before);
    let mark: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let first = format!("    at {file}:{line}:{column}");
    thrown.stack = format!("{first}\n  {number} | {shown}\n  {indent} | {mark}^");
    thrown
}

/// File, line and column that a message begins with.
fn place_of(message: &str) -> Option<(String, usize, usize)> {
    let (place, _) = message.split_once(": ")?;
    let mut parts = place.rsplitn(3, ':');
    let column = parts.next()?.parse().ok()?;
    let line = parts.next()?.parse().ok()?;
    Some((parts.next()?.to_owned(), line, column))
}

/// File, line and column of a stack's first frame, which for a syntax error has no function.
fn first_place(stack: &str) -> Option<(String, usize, usize)> {
    let place = stack.lines().next()?.trim().strip_prefix("at ")?;
    let mut parts = place.rsplitn(3, ':');
    let column = parts.next()?.parse().ok()?;
    let line = parts.next()?.parse().ok()?;
    Some((parts.next()?.to_owned(), line, column))
}
