//! Functions that every compartment, or every module, has its own of: `eval`, `Function` and
//! `Compartment`, and what rewritten text calls (`import(…)`, infix `!`, a module's exports).
//!
//! Promises: each is frozen from the start, keeps nothing, and is of one compartment or module
//! alone, so that a text which finds a way to name one has nothing it could pass on. What rewritten
//! text calls has no prototype and no properties either.
//!
//! They are objects of classes of ours, one class a function. An object holds what it is of (a
//! compartment, a module); what it does is a function of the library's, in the registry. So they
//! share their shapes, where closures that are frozen one by one would each get a copy of its own.

use std::cell::Cell;
use std::ffi::{CStr, c_int, c_void};

use rquickjs::qjs;

use super::realm::Realm;
use super::registry::Slot;
use super::value::{Cx, JsResult, Kind, UNDEFINED, Value, argument, host_function};

/// Name and length of those a program sees, by their numbers; `None` for what only rewritten text
/// calls. The numbers are those of `js/compartment.js`.
const KINDS: [Option<(&str, i32)>; 8] = [
    Some(("eval", 1)),
    Some(("Function", 1)),
    Some(("Compartment", 0)),
    None,
    None,
    None,
    None,
    None,
];
/// The first that can be called with `new`, and what follows the last.
const CONSTRUCTORS: std::ops::Range<usize> = 1..3;
/// From here on the library's function gets nothing but the call's arguments.
const BARE: usize = 5;

thread_local! {
    static FIRST_CLASS: Cell<Option<qjs::JSClassID>> = const { Cell::new(None) };
}

/// Registers the classes and puts on `host` what the library needs of them.
pub fn install(realm: &Realm, host: &Value) -> JsResult<()> {
    let cx = realm.cx;
    let mut first = None;
    for at in 0..KINDS.len() {
        let class = register(cx)?;
        let first = *first.get_or_insert(class);
        if class != first + at as u32 {
            return Err(cx.type_error("QuickJS does not number classes one by one"));
        }
    }
    let first = cx.int(first.unwrap_or_default() as i32);
    realm.registry.set(Slot::OwnClass, first)?;
    host.define_str("makeOwn", cx.function(c"makeOwn", 3, Some(make_own))?)?;
    host.define_str("setOwn", cx.function(c"setOwn", 1, Some(set_own))?)
}

fn register(cx: Cx) -> JsResult<qjs::JSClassID> {
    let mut id = 0;
    // SAFETY: a live runtime; `id` is written.
    unsafe { qjs::JS_NewClassID(cx.runtime(), &mut id) };
    let name: &'static CStr = c"Function";
    let definition = qjs::JSClassDef {
        class_name: name.as_ptr(),
        finalizer: Some(finalize),
        gc_mark: Some(mark),
        call: Some(call),
        exotic: std::ptr::null_mut(),
    };
    // SAFETY: a live runtime; the definition is copied, what it names is static.
    match unsafe { qjs::JS_NewClass(cx.runtime(), id, &definition) } {
        0 => Ok(id),
        _ => Err(cx.type_error("no room for a class")),
    }
}

fn first_class(realm: &Realm) -> JsResult<qjs::JSClassID> {
    if let Some(first) = FIRST_CLASS.get() {
        return Ok(first);
    }
    match realm.registry.get(Slot::OwnClass)?.kind() {
        Kind::Int(first) => {
            FIRST_CLASS.set(Some(first as qjs::JSClassID));
            Ok(first as qjs::JSClassID)
        }
        _ => Err(realm
            .cx
            .type_error("the heap has no functions of compartments")),
    }
}

/// `setOwn(functions)`: what each of them does, by number; once, at genesis.
extern "C" fn set_own(
    cx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    host_function(cx, count, arguments, |cx, arguments| {
        let realm = current(cx)?;
        realm
            .registry
            .set(Slot::OwnFunctions, argument(cx, arguments, 0))?;
        Ok(cx.undefined())
    })
}

/// `makeOwn(number, of, prototype)`: a new one, of this compartment or module; `prototype` is the
/// property of that name of a constructor.
extern "C" fn make_own(
    cx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    host_function(cx, count, arguments, |cx, arguments| {
        let part = |at| argument(cx, arguments, at);
        let Kind::Int(number) = part(0).kind() else {
            return Err(cx.type_error("makeOwn: a number is missing"));
        };
        make(&current(cx)?, number as usize, &part(1), part(2))
    })
}

fn make(realm: &Realm, number: usize, of: &Value, heirs: Value) -> JsResult<Value> {
    let cx = realm.cx;
    let Some(named) = KINDS.get(number) else {
        return Err(cx.type_error("makeOwn: no such function"));
    };
    let class = first_class(realm)? + number as qjs::JSClassID;
    let prototype = match named {
        Some(_) => realm.registry.get(Slot::FunctionPrototype)?,
        None => cx.null(),
    };
    // SAFETY: a class of this runtime and a live prototype.
    let made = unsafe { qjs::JS_NewObjectProtoClass(cx.raw(), prototype.raw(), class) };
    let made = cx.result(made)?;
    if of.is_object() {
        // SAFETY: an object has a pointer in this arm.
        let held = unsafe { of.clone().into_raw().u.ptr };
        // SAFETY: the object is of a class whose finaliser gives the reference back.
        unsafe { qjs::JS_SetOpaque(made.raw(), held) };
    }
    if let Some((name, length)) = named {
        made.define(&cx.atom("length"), cx.int(*length), FROZEN)?;
        made.define(&cx.atom("name"), cx.string(name)?, FROZEN)?;
        if CONSTRUCTORS.contains(&number) {
            made.define(&cx.atom("prototype"), heirs, FROZEN)?;
            // SAFETY: a live object that can be called.
            unsafe { qjs::JS_SetConstructorBit(cx.raw(), made.raw(), true) };
        }
    }
    // SAFETY: a live object.
    unsafe { qjs::JS_PreventExtensions(cx.raw(), made.raw()) };
    Ok(made)
}

/// Neither writable nor configurable.
const FROZEN: u32 = 0;

/// What an object of these classes is of, lent; and its class.
fn held(object: qjs::JSValue) -> (Option<qjs::JSValue>, qjs::JSClassID) {
    let mut class = 0;
    // SAFETY: only called with objects of our classes, whose opaque is an object's address or null.
    let at: *mut c_void = unsafe { qjs::JS_GetAnyOpaque(object, &mut class) };
    let value = (!at.is_null()).then(|| qjs::JS_MKPTR(qjs::JS_TAG_OBJECT, at));
    (value, class)
}

unsafe extern "C" fn finalize(runtime: *mut qjs::JSRuntime, object: qjs::JSValue) {
    if let (Some(of), _) = held(object) {
        // SAFETY: the object owned this reference, and is going.
        unsafe { qjs::JS_FreeValueRT(runtime, of) };
    }
}

unsafe extern "C" fn mark(
    runtime: *mut qjs::JSRuntime,
    object: qjs::JSValue,
    visit: qjs::JS_MarkFunc,
) {
    if let (Some(of), _) = held(object) {
        // SAFETY: a live value of this runtime.
        unsafe { qjs::JS_MarkValue(runtime, of, visit) };
    }
}

unsafe extern "C" fn call(
    cx: *mut qjs::JSContext,
    function: qjs::JSValue,
    this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
    flags: c_int,
) -> qjs::JSValue {
    host_function(cx, count, arguments, |cx, arguments| {
        let realm = current(cx)?;
        let (of, class) = held(function);
        let number = class.wrapping_sub(first_class(&realm)?);
        let functions = realm.registry.get(Slot::OwnFunctions)?;
        let work = functions.get_index(number)?;
        if number as usize >= BARE {
            return work.call(&cx.undefined(), arguments);
        }
        // With `new`, QuickJS hands over what is to be made in place of `this`.
        let constructs = flags as u32 & qjs::JS_CALL_FLAG_CONSTRUCTOR != 0;
        let target = if constructs { this } else { UNDEFINED };
        let mut all = Vec::with_capacity(arguments.len() + 2);
        all.push(of.map_or_else(|| cx.undefined(), |of| cx.borrow(of)));
        all.push(cx.borrow(target));
        all.extend_from_slice(arguments);
        work.call(&cx.undefined(), &all)
    })
}

fn current(cx: Cx) -> JsResult<Realm> {
    Realm::current().ok_or_else(|| cx.type_error("no realm is open"))
}
