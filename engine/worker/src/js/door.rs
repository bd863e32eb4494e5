//! The one door through which text becomes code.
//!
//! QuickJS compiles for `eval` and `Function` wherever it is asked, in the real global, and names
//! nothing but `<input>`. Here its compiler is reached through a function of ours instead: direct
//! evaluation happens only when `evaluate` announced it, with the text, file and line that were
//! announced; indirect evaluation, which is what the intrinsic `eval` and `Function` do, never.
//! Whoever gets hold of those intrinsics, by whatever trick, holds nothing.
//!
//! The compiler's address is one word of QuickJS's context, found at genesis as the one word that
//! changes when evaluation is switched on, and kept as the context's opaque pointer: both are
//! right for this executable, as every address in a heap is.

use std::cell::{Cell, RefCell};
use std::ffi::{CString, c_char, c_int};
use std::ptr::NonNull;

use rquickjs::qjs;

use super::realm::Realm;
use super::registry::Slot;
use super::sends::{self, Whose};
use super::value::{Cx, JsResult, PROPERTY_PLAIN, Value};
use super::{fault, repairs};
use crate::parsing::{self, Purpose, Stop};
use kenvat_syntax::{Columns, Hidden, Names};

/// Words of the context that are looked at; it has fewer than twice as many.
const CONTEXT_WORDS: usize = 112;

/// QuickJS's compiler, as its context names it.
type Compiler = unsafe extern "C" fn(
    *mut qjs::JSContext,
    qjs::JSValue,
    *const c_char,
    qjs::size_t,
    *const c_char,
    c_int,
    c_int,
    c_int,
) -> qjs::JSValue;

/// What the next direct evaluation compiles.
struct Announced {
    /// Ends with a zero, which is not part of the text.
    text: Vec<u8>,
    file: CString,
    line: c_int,
    /// The object that lends the name `eval` to the scope until the text is compiled.
    lender: Value,
}

thread_local! {
    static ANNOUNCED: RefCell<Option<Announced>> = const { RefCell::new(None) };
    /// Where reading what was announced stopped, if it did.
    static STOP: Cell<Option<Stop>> = const { Cell::new(None) };
}

/// Switches evaluation on, behind the door. False when QuickJS's context is not as it was known.
pub fn install(cx: Cx) -> bool {
    let before = words(cx);
    // SAFETY: a live context.
    if unsafe { qjs::JS_AddIntrinsicEval(cx.raw()) } != 0 {
        return false;
    }
    let after = words(cx);
    let mut changed = (0..CONTEXT_WORDS).filter(|at| before[*at] != after[*at]);
    let (Some(at), None) = (changed.next(), changed.next()) else {
        return false;
    };
    if before[at] != 0 {
        return false;
    }
    let compiler = std::ptr::with_exposed_provenance_mut(after[at] as usize);
    // SAFETY: a live context; nothing else uses the pointer.
    unsafe { qjs::JS_SetContextOpaque(cx.raw(), compiler) };
    let ours: Compiler = on_compile;
    let slot = cx.raw().cast::<u64>().wrapping_add(at);
    // SAFETY: the word is the context's compiler, a function pointer of this form.
    unsafe { slot.write(ours as usize as u64) };
    true
}

fn words(cx: Cx) -> [u64; CONTEXT_WORDS] {
    // SAFETY: the context lies in the heap, whose pages behind it are mapped.
    unsafe { cx.raw().cast::<[u64; CONTEXT_WORDS]>().read() }
}

/// What makes the scopes of texts with the usual names: compiled once, at genesis.
pub fn keep_scope_makers(realm: &Realm) -> JsResult<()> {
    let names = Names::default();
    for (slot, text) in [
        (Slot::MakeScope, scope_text(names)),
        (Slot::MakeModuleScope, module_scope_text(names)),
    ] {
        realm.registry.set(slot, compile_scope(realm.cx, &text)?)?;
    }
    Ok(())
}

fn compile_scope(cx: Cx, text: &str) -> JsResult<Value> {
    cx.eval(text, "kenvat:scope", 1, qjs::JS_EVAL_TYPE_GLOBAL)
}

/// Makes a scope for evaluations in which names are looked up in one object and nowhere else.
///
/// The scope's own names are hidden behind parameters nobody fills, and no text that is evaluated
/// in it mentions them. Inside are arrow functions alone, so that `this` is what the outermost
/// function was called with, and `arguments` is a constant of that function's that is never made:
/// a ReferenceError. An evaluation with direct `eval` sees these scopes as its own; calls of what
/// they lend get no `this`, unlike those of code in `with`.
fn scope_text(names: Names) -> String {
    let globals = names.name(Hidden::Globals);
    let within = scope_within(names);
    format!("(function ({globals}) {{ with ({globals}) {{ return {within} }} let arguments; }})")
}

/// The same with a second object of names, a module's imports, before the globals.
fn module_scope_text(names: Names) -> String {
    let [globals, bindings] = [Hidden::Globals, Hidden::Bindings].map(|name| names.name(name));
    let within = scope_within(names);
    format!(
        "(function ({globals}) {{ with ({globals}) {{
           return ({bindings}) => {{ with ({bindings}) {{ return {within} }} }} }}
           let arguments; }})"
    )
}

/// The innermost of a scope: what takes the announced text.
fn scope_within(names: Names) -> String {
    let lender = names.name(Hidden::Lender);
    let parameters = [
        Hidden::Globals,
        Hidden::Bindings,
        Hidden::Lender,
        Hidden::Import,
        Hidden::Send,
        Hidden::Call,
        Hidden::Get,
    ];
    let parameters = parameters.map(|name| names.name(name)).join(", ");
    format!(
        "({lender}) => {{
           with ({lender}) {{
             return ({parameters}) => {{
               'use strict';
               return eval('the door takes the text that was announced');
             }};
           }}
         }}"
    )
}

/// A scope for texts with these names, in which names are looked up in `globals` and nowhere else.
pub fn scope(realm: &Realm, globals: &Value, names: Names) -> JsResult<Value> {
    let maker = match names.is_usual() {
        true => realm.registry.get(Slot::MakeScope)?,
        false => compile_scope(realm.cx, &scope_text(names))?,
    };
    maker.call(globals, std::slice::from_ref(globals))
}

/// The same with what a module imports before it, as properties of `bindings`.
pub fn module_scope(
    realm: &Realm,
    globals: &Value,
    bindings: &Value,
    names: Names,
) -> JsResult<Value> {
    let maker = match names.is_usual() {
        true => realm.registry.get(Slot::MakeModuleScope)?,
        false => compile_scope(realm.cx, &module_scope_text(names))?,
    };
    let within = maker.call(globals, std::slice::from_ref(globals))?;
    within.call(globals, std::slice::from_ref(bindings))
}

/// What an evaluation happens in.
pub struct Inside<'a> {
    pub scope: &'a Value,
    pub globals: &'a Value,
    /// An array of what rewritten text calls: for `import(…)`, and for the three forms of `!`.
    pub inserted: &'a Value,
}

/// A text on its way to the engine, with `import(…)` and infix `!` made calls: UTF-8, with lone
/// surrogates in the three-byte form.
pub struct Script {
    pub text: Vec<u8>,
    /// Where its columns come from.
    pub columns: Columns,
    /// What its scope must bind.
    pub names: Names,
    /// Something was put in.
    pub is_changed: bool,
}

impl Script {
    /// What the text is kept under, see `sends::keep`.
    pub fn keep(&self, realm: &Realm, whose: Whose) -> JsResult<String> {
        let names = self.is_changed.then_some(self.names);
        sends::keep(realm, whose, &self.columns, names)
    }
}

/// Evaluates a script that may have other names than the usual ones, which `inside`'s scope binds.
pub fn evaluate_script(
    realm: &Realm,
    inside: &Inside,
    script: &Script,
    name: &str,
    line: i32,
) -> JsResult<Value> {
    if script.names.is_usual() {
        return evaluate(realm, inside, &script.text, name, line);
    }
    let scope = scope(realm, inside.globals, script.names)?;
    let inside = Inside {
        scope: &scope,
        ..*inside
    };
    evaluate(realm, &inside, &script.text, name, line)
}

/// Evaluates a script in a scope that `scope` made of its globals, for the text's names; lines
/// count from `line`. `name` is its file's as `sends::keep` gave it.
pub fn evaluate(
    realm: &Realm,
    inside: &Inside,
    text: &[u8],
    name: &str,
    line: i32,
) -> JsResult<Value> {
    let cx = realm.cx;
    let lender = cx.object_without_prototype()?;
    let key = cx.atom("eval");
    lender.define(&key, realm.registry.get(Slot::Eval)?, PROPERTY_PLAIN)?;
    let evaluator = inside
        .scope
        .call(inside.globals, std::slice::from_ref(&lender))?;
    let Ok(file) = CString::new(name) else {
        return Err(cx.type_error("a file name with a NUL"));
    };
    let mut terminated = Vec::with_capacity(text.len() + 1);
    terminated.extend_from_slice(text);
    terminated.push(0);
    let none = || cx.undefined();
    let mut bound = vec![none(), none(), none()];
    for at in 0..inside.inserted.length()? {
        bound.push(inside.inserted.get_index(at as u32)?);
    }
    ANNOUNCED.set(Some(Announced {
        text: terminated,
        file,
        line,
        lender,
    }));
    let result = evaluator.call(&cx.undefined(), &bound);
    drop(ANNOUNCED.take());
    let stop = STOP.take();
    result.map_err(|error| {
        let place = Place { text, name, line };
        match stop.filter(|_| is_of_reading(cx, &error)) {
            Some(stop) => placed(realm, place, stop, error),
            None => once_more(realm, place, error),
        }
    })
}

/// Whether it can be what reading ended with when the stack ran out: the parser may have gone on to
/// complain of something else.
fn is_of_reading(cx: Cx, error: &Value) -> bool {
    let kinds = [cx.range_error(""), cx.syntax_error("")];
    kinds.iter().any(|kind| fault::is_like(error, kind))
}

/// What is read, or was.
struct Place<'a> {
    text: &'a [u8],
    name: &'a str,
    line: i32,
}

/// An error of a script that was to run. Where it may be one of reading, the text is read once
/// more, to see where: of a regular expression the engine names another column than its own.
fn once_more(realm: &Realm, place: Place, error: Value) -> Value {
    let Place { text, name, line } = place;
    let is_syntax_error = fault::is_like(&error, &realm.cx.syntax_error(""));
    if !is_syntax_error {
        return error;
    }
    match realm.cx.compile(text, name, line, SCRIPT) {
        Err((again, Some(stop))) if !has_place(realm, &again, name) => {
            placed(realm, place, stop, error)
        }
        _ => error,
    }
}

/// How the engine is told that a text is a script.
const SCRIPT: u32 = qjs::JS_EVAL_TYPE_GLOBAL | qjs::JS_EVAL_FLAG_STRICT;

/// What a text is parsed as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    Script,
    /// In a context of its own, so that it stays in no table.
    Module,
}

/// Whether this text is what it is taken for, without running it; `Err` is the SyntaxError, with
/// its place in the author's text.
pub fn parse(
    realm: &Realm,
    script: &Script,
    whose: Whose,
    line: i32,
    parsed: Parsed,
) -> JsResult<()> {
    let text = &script.text[..];
    let compile = |name: &str| match parsed {
        Parsed::Script => realm.cx.compile(text, name, line, SCRIPT),
        Parsed::Module => super::modules::compile(realm.cx, text, name, line),
    };
    let Err(mut failed) = compile(whose.file()) else {
        return Ok(());
    };
    let name = script.keep(realm, whose)?;
    if name != whose.file() {
        // The same again, under the name its columns are kept by.
        match compile(&name) {
            Ok(()) => return Ok(()),
            Err(again) => failed = again,
        }
    }
    let (error, stop) = failed;
    let name = name.as_str();
    Err(match stop {
        Some(Stop::Message(_)) if has_place(realm, &error, name) => error,
        Some(stop) => placed(realm, Place { text, name, line }, stop, error),
        None => error,
    })
}

/// Whether an error's stack begins with a place in this file.
fn has_place(realm: &Realm, error: &Value, name: &str) -> bool {
    let stack = fault::raw_stack(realm, error).unwrap_or_default();
    let first = stack.lines().next().unwrap_or_default();
    first
        .trim_start()
        .strip_prefix("at ")
        .and_then(|place| place.strip_prefix(name))
        .is_some_and(|rest| rest.starts_with(':'))
}

/// The error of a text that cannot be read, with the author's place in its message.
fn placed(realm: &Realm, place: Place, stop: Stop, error: Value) -> Value {
    let (Stop::TooDeep(offset) | Stop::Message(offset)) = stop;
    let Place { text, name, line } = place;
    let columns = sends::columns(realm, name).unwrap_or_default();
    let read = text.get(..offset).unwrap_or_default();
    // What is said of a token is shown where it begins.
    let rest = &text[read.len()..];
    let blanks = rest.len() - rest.trim_ascii_start().len();
    let read = &text[..read.len() + blanks];
    let (number, start) = kenvat_syntax::line_of(text, read.len());
    let number = (i64::from(line) + i64::from(number) - 1).max(1) as u32;
    let bytes = (read.len() - start) as u32 + 1;
    // What was put in is ASCII: columns in bytes and in characters differ by the same.
    let put_in = i64::from(bytes) - i64::from(columns.author(number, bytes));
    let characters = read[start..].iter().filter(|byte| *byte & 0xC0 != 0x80);
    let column = (characters.count() as i64 + 1 - put_in).max(1);
    let what = match stop {
        Stop::TooDeep(_) => TOO_DEEP.to_owned(),
        Stop::Message(_) => fault::text_of(&error, "message").unwrap_or_default(),
    };
    let file = sends::shown(name);
    realm
        .cx
        .syntax_error(&format!("{file}:{number}:{column}: {what}"))
}

const TOO_DEEP: &str = "the text nests deeper here than can be read (brackets, operators, \
                        functions, or a chain of x ! m()): put a part of it into a variable or a \
                        function of its own";

/// Stands before QuickJS's compiler.
#[allow(
    clippy::too_many_arguments,
    reason = "the form is QuickJS's; it has eight"
)]
unsafe extern "C" fn on_compile(
    raw: *mut qjs::JSContext,
    this: qjs::JSValue,
    input: *const c_char,
    length: qjs::size_t,
    file: *const c_char,
    line: c_int,
    flags: c_int,
    scope: c_int,
) -> qjs::JSValue {
    let Some(cx) = NonNull::new(raw).map(Cx::new) else {
        return super::value::UNDEFINED;
    };
    // SAFETY: a live context; `install` put the compiler there.
    let compiler = unsafe { qjs::JS_GetContextOpaque(raw) };
    // SAFETY: the pointer is QuickJS's compiler, of this form, in this very executable.
    let compiler: Compiler = unsafe { std::mem::transmute(compiler) };
    let kind = flags as u32 & qjs::JS_EVAL_TYPE_MASK;
    let announced = match kind {
        qjs::JS_EVAL_TYPE_DIRECT => ANNOUNCED.take(),
        _ => None,
    };
    let ours = matches!(kind, qjs::JS_EVAL_TYPE_GLOBAL | qjs::JS_EVAL_TYPE_MODULE);
    let Some(announced) = announced else {
        if !ours && repairs::wanted("door") {
            return cx.throw(cx.type_error("text is evaluated by a compartment's eval only"));
        }
        // SAFETY: the arguments are the caller's, unchanged.
        return unsafe { compiler(raw, this, input, length, file, line, flags, scope) };
    };
    if repairs::wanted("lender") && announced.lender.delete("eval").is_err() {
        return cx.throw(cx.type_error("the scope cannot be made"));
    }
    let (text, file) = (announced.text, announced.file);
    let (at, length) = (text.as_ptr().cast(), text.len() - 1);
    let (result, stop) = parsing::read(&text[..length], Purpose::Run, || {
        let (length, line) = (length as qjs::size_t, announced.line);
        // SAFETY: text and file end with a zero and outlive the call; the rest is the caller's.
        unsafe { compiler(raw, this, at, length, file.as_ptr(), line, flags, scope) }
    });
    STOP.set(stop);
    result
}
