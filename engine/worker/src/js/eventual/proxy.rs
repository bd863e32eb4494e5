//! What `E(x)`, `E.get(x)` and `E.sendOnly(x)` give: an object whose properties are sends.
//!
//! Two classes. A *sender* stands for its target: asking it for a property gives a *method* (for
//! `E.get`, the promise at once), calling it is a call of the target. A method sends when it is
//! called on the sender it came from, and refuses otherwise, so that it cannot be detached by
//! mistake. Neither has properties or a prototype, and nothing can be put on them.
//!
//! Behind an object is one block of the heap, which holds references; finaliser and mark function
//! give them back and show them to the garbage collector.

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;

use rquickjs::qjs;

use super::job::{Op, Want, arguments_of, rejected, send};
use super::names::Names;
use crate::js::realm::Realm;
use crate::js::value::{Atom, Cx, JsResult, Kind, UNDEFINED, Value};

/// What a sender does with the properties it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Mode {
    Call = 0,
    Get = 1,
    Only = 2,
}

/// Behind a sender: its target. Behind a method: its sender and the key.
#[repr(C)]
struct Block {
    first: qjs::JSValue,
    second: qjs::JSValue,
    mode: Mode,
}

/// A table of static functions; QuickJS keeps its address.
struct Table(qjs::JSClassExoticMethods);

// SAFETY: it holds addresses of functions only, and is never written.
unsafe impl Sync for Table {}

static SENDER_TRAPS: Table = Table(qjs::JSClassExoticMethods {
    get_own_property: Some(no_own_property),
    get_own_property_names: None,
    delete_property: None,
    define_own_property: Some(no_define),
    has_property: Some(always_has),
    get_property: Some(get_property),
    set_property: Some(no_set),
});

/// Registers the two classes of a new runtime.
pub fn register(cx: Cx) -> JsResult<[qjs::JSClassID; 2]> {
    let traps = &raw const SENDER_TRAPS.0;
    let sender = class(cx, c"Sender", Some(call_sender), traps.cast_mut())?;
    let method = class(cx, c"Method", Some(call_method), std::ptr::null_mut())?;
    Ok([sender, method])
}

fn class(
    cx: Cx,
    name: &'static std::ffi::CStr,
    call: qjs::JSClassCall,
    exotic: *mut qjs::JSClassExoticMethods,
) -> JsResult<qjs::JSClassID> {
    let mut id = 0;
    // SAFETY: a live runtime; `id` is written.
    unsafe { qjs::JS_NewClassID(cx.runtime(), &mut id) };
    let definition = qjs::JSClassDef {
        class_name: name.as_ptr(),
        finalizer: Some(finalize),
        gc_mark: Some(mark),
        call,
        exotic,
    };
    // SAFETY: a live runtime; the definition is copied, what it names is static.
    let status = unsafe { qjs::JS_NewClass(cx.runtime(), id, &definition) };
    match status {
        0 => Ok(id),
        _ => Err(cx.type_error("no room for a class")),
    }
}

/// A sender for a target.
pub fn sender(realm: &Realm, mode: Mode, target: &Value) -> JsResult<Value> {
    let class = Names::get(realm)?.proxy_class;
    make(
        realm.cx,
        class,
        [target.clone(), realm.cx.undefined()],
        mode,
    )
}

fn make(cx: Cx, class: qjs::JSClassID, parts: [Value; 2], mode: Mode) -> JsResult<Value> {
    let null = qjs::JS_MKVAL(qjs::JS_TAG_NULL, 0);
    // SAFETY: a class of this runtime, and no prototype.
    let object = cx.result(unsafe { qjs::JS_NewObjectProtoClass(cx.raw(), null, class) })?;
    // SAFETY: asks for a block of the heap.
    let block = unsafe { qjs::js_malloc(cx.raw(), size_of::<Block>() as _) };
    let Some(block) = NonNull::new(block.cast::<Block>()) else {
        return Err(cx.take_exception());
    };
    let [first, second] = parts.map(Value::into_raw);
    // SAFETY: the block is fresh and large enough, and aligned as malloc's blocks are.
    unsafe {
        block.write(Block {
            first,
            second,
            mode,
        })
    };
    // SAFETY: the object is of a class with a finaliser that knows the block.
    unsafe { qjs::JS_SetOpaque(object.raw(), block.as_ptr().cast::<c_void>()) };
    // SAFETY: a live object.
    unsafe { qjs::JS_PreventExtensions(cx.raw(), object.raw()) };
    Ok(object)
}

/// The block behind an object of ours; `None` while it is being made.
fn block_of(object: qjs::JSValue) -> Option<NonNull<Block>> {
    // SAFETY: only called with objects of the two classes, whose opaque is a block or null.
    let opaque = unsafe { qjs::JS_GetAnyOpaque(object, &mut 0) };
    NonNull::new(opaque.cast())
}

/// The parts of a block, with references of their own.
fn parts(cx: Cx, object: qjs::JSValue) -> Option<(Value, Value, Mode)> {
    let block = block_of(object)?;
    // SAFETY: a block lives as long as its object, which the caller holds.
    let Block {
        first,
        second,
        mode,
    } = unsafe { block.read() };
    Some((cx.borrow(first), cx.borrow(second), mode))
}

unsafe extern "C" fn finalize(runtime: *mut qjs::JSRuntime, object: qjs::JSValue) {
    let Some(block) = block_of(object) else {
        return;
    };
    // SAFETY: the object is going; nothing else has the block.
    let Block { first, second, .. } = unsafe { block.read() };
    for part in [first, second] {
        // SAFETY: the block owned this reference.
        unsafe { qjs::JS_FreeValueRT(runtime, part) };
    }
    // SAFETY: the block came from js_malloc of this runtime.
    unsafe { qjs::js_free_rt(runtime, block.as_ptr().cast()) };
}

unsafe extern "C" fn mark(
    runtime: *mut qjs::JSRuntime,
    object: qjs::JSValue,
    visit: qjs::JS_MarkFunc,
) {
    let Some(block) = block_of(object) else {
        return;
    };
    // SAFETY: a block lives as long as its object.
    let Block { first, second, .. } = unsafe { block.read() };
    for part in [first, second] {
        // SAFETY: a live value of this runtime.
        unsafe { qjs::JS_MarkValue(runtime, part, visit) };
    }
}

unsafe extern "C" fn get_property(
    _: *mut qjs::JSContext,
    object: qjs::JSValue,
    name: qjs::JSAtom,
    _receiver: qjs::JSValue,
) -> qjs::JSValue {
    let Some(realm) = Realm::current() else {
        return UNDEFINED;
    };
    let cx = realm.cx;
    let give = || {
        let names = Names::get(&realm)?;
        // So that a sender returned by mistake from an async function is not taken for a promise.
        if name == names.then {
            return Ok(cx.undefined());
        }
        // SAFETY: the name is live.
        let key = cx.result(unsafe { qjs::JS_AtomToValue(cx.raw(), name) })?;
        let Some((target, _, mode)) = parts(cx, object) else {
            return Ok(cx.undefined());
        };
        match mode {
            Mode::Get => send(&realm, (Op::Get, Want::Answer), &target, key, &[]),
            mode => make(cx, names.method_class, [cx.borrow(object), key], mode),
        }
    };
    out(cx, give())
}

/// Calling a sender calls its target.
unsafe extern "C" fn call_sender(
    _: *mut qjs::JSContext,
    function: qjs::JSValue,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
    _flags: c_int,
) -> qjs::JSValue {
    let Some(realm) = Realm::current() else {
        return UNDEFINED;
    };
    let cx = realm.cx;
    let call = || {
        let (Some((target, _, mode)), Some(list)) =
            (parts(cx, function), arguments_of(count, arguments))
        else {
            return Ok(cx.undefined());
        };
        let key = cx.undefined();
        match want(mode) {
            Some(want) => send(&realm, (Op::Function, want), &target, key, &list),
            None => rejected(
                cx,
                &cx.type_error("E.get(x) has properties to ask for, no call"),
            ),
        }
    };
    out(cx, call())
}

unsafe extern "C" fn call_method(
    _: *mut qjs::JSContext,
    function: qjs::JSValue,
    this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
    _flags: c_int,
) -> qjs::JSValue {
    let Some(realm) = Realm::current() else {
        return UNDEFINED;
    };
    let cx = realm.cx;
    let call = || {
        let (Some((from, key, mode)), Some(list)) =
            (parts(cx, function), arguments_of(count, arguments))
        else {
            return Ok(cx.undefined());
        };
        if !cx.borrow(this).is_same_object(&from) {
            let name = Atom::of(&key).text();
            let message = format!("the method `{name}` of E(x) was called on something else");
            return rejected(cx, &cx.type_error(&message));
        }
        let Some((target, ..)) = parts(cx, from.raw()) else {
            return Ok(cx.undefined());
        };
        let want = want(mode).unwrap_or(Want::Answer);
        send(&realm, (Op::Method, want), &target, key, &list)
    };
    out(cx, call())
}

fn want(mode: Mode) -> Option<Want> {
    match mode {
        Mode::Call => Some(Want::Answer),
        Mode::Only => Some(Want::Nothing),
        Mode::Get => None,
    }
}

/// The mode a number of the library's stands for.
pub fn mode_of(number: &Value) -> Mode {
    match number.kind() {
        Kind::Int(1) => Mode::Get,
        Kind::Int(2) => Mode::Only,
        _ => Mode::Call,
    }
}

/// Gives C code a value, or throws.
pub fn out(cx: Cx, result: JsResult<Value>) -> qjs::JSValue {
    match result {
        Ok(value) => value.into_raw(),
        Err(error) => cx.throw(error),
    }
}

unsafe extern "C" fn no_own_property(
    _: *mut qjs::JSContext,
    _: *mut qjs::JSPropertyDescriptor,
    _: qjs::JSValue,
    _: qjs::JSAtom,
) -> c_int {
    0
}

unsafe extern "C" fn always_has(_: *mut qjs::JSContext, _: qjs::JSValue, _: qjs::JSAtom) -> c_int {
    1
}

unsafe extern "C" fn no_define(
    _: *mut qjs::JSContext,
    _this: qjs::JSValue,
    _: qjs::JSAtom,
    _: qjs::JSValue,
    _: qjs::JSValue,
    _: qjs::JSValue,
    _: c_int,
) -> c_int {
    refuse()
}

unsafe extern "C" fn no_set(
    _: *mut qjs::JSContext,
    _: qjs::JSValue,
    _: qjs::JSAtom,
    _: qjs::JSValue,
    _: qjs::JSValue,
    _: c_int,
) -> c_int {
    refuse()
}

fn refuse() -> c_int {
    let Some(realm) = Realm::current() else {
        return -1;
    };
    let cx = realm.cx;
    let error = cx.type_error("E(x) has no properties of its own, and takes none");
    // What throw gives back is the mark of an exception, no reference.
    let _ = cx.throw(error);
    -1
}
