//! Making a heap: runtime, realm, library, registry.
//!
//! Promises: the result is the same bytes wherever and whenever it is made (E4): the time is fixed,
//! nothing reads the environment, and addresses are the heap's own and this executable's.

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;

use rquickjs::qjs;

use super::fault::{LIBRARY_PREFIX, describe};
use super::realm::Realm;
use super::registry::{Registry, Slot};
use super::value::{CLASS_DATE, CLASS_OBJECT, Cx, JsResult, PROPERTY_HIDDEN, Value};
use super::{console, eventual, fault, memory, modules, output};
use crate::worker::abort;
use crate::worker::heap::layout::STACK_LIMIT_BYTES;
use crate::worker::heap::mapping;

/// Bytes of live heap at which garbage is first collected. A collection writes to every object's
/// header, so it should not come while a small vat is still being set up.
const FIRST_COLLECTION_BYTES: usize = 1 << 20;

/// The library in evaluation order: each file is a function of the host object and gives an object
/// of globals.
const LIBRARY: [(&str, &str); 5] = [
    ("harden.js", include_str!("../../../js/harden.js")),
    ("far.js", include_str!("../../../js/far.js")),
    ("format.js", include_str!("../../../js/format.js")),
    ("console.js", include_str!("../../../js/console.js")),
    (
        "eventual-send.js",
        include_str!("../../../js/eventual-send.js"),
    ),
];

/// Why no heap was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenesisError {
    #[error("the page limit leaves no room for an empty heap")]
    NoRoom,
    #[error("the library failed: {0}")]
    Library(String),
}

/// Makes runtime, realm and library in a heap of zeros. Runs on JavaScript's stack.
pub fn create() -> Result<Realm, GenesisError> {
    if !memory::format() {
        return Err(GenesisError::NoRoom);
    }
    let runtime = runtime().ok_or(GenesisError::NoRoom)?;
    let cx = context(runtime).ok_or(GenesisError::NoRoom)?;
    modules::install(cx);
    let registry = Registry::create(cx).map_err(|_| GenesisError::NoRoom)?;
    let realm = Realm { cx, registry }.enter();
    fill(&realm)
        .map_err(|error| GenesisError::Library(fault::summary(&describe(&realm, &error))))?;
    // SAFETY: the runtime is live and no value is in use outside the heap.
    unsafe { qjs::JS_RunGC(runtime.as_ptr()) };
    if mapping::exhausted() {
        return Err(GenesisError::NoRoom);
    }
    Ok(realm)
}

fn runtime() -> Option<NonNull<qjs::JSRuntime>> {
    let none = std::ptr::null_mut();
    // SAFETY: the functions are static and copied into the runtime.
    let runtime = NonNull::new(unsafe { qjs::JS_NewRuntime2(&memory::FUNCTIONS, none) })?;
    let raw = runtime.as_ptr();
    // SAFETY: a live runtime.
    unsafe { qjs::JS_SetMaxStackSize(raw, STACK_LIMIT_BYTES as qjs::size_t) };
    // SAFETY: a live runtime.
    unsafe { qjs::JS_SetGCThreshold(raw, FIRST_COLLECTION_BYTES as qjs::size_t) };
    // SAFETY: a static function of the form asked for.
    unsafe { qjs::JS_SetInterruptHandler(raw, Some(on_interrupt), none) };
    // SAFETY: a static function of the form asked for.
    unsafe { qjs::JS_SetHostPromiseRejectionTracker(raw, Some(on_rejection), none) };
    Some(runtime)
}

/// The realm's intrinsics: the one place that chooses them.
fn context(runtime: NonNull<qjs::JSRuntime>) -> Option<Cx> {
    // SAFETY: a live runtime.
    NonNull::new(unsafe { qjs::JS_NewContext(runtime.as_ptr()) }).map(Cx::new)
}

fn fill(realm: &Realm) -> JsResult<()> {
    let (cx, registry) = (realm.cx, &realm.registry);
    let global = cx.global();
    let to_string_tag = global.get_str("Symbol")?.get_str("toStringTag")?;
    check_classes(cx, &global)?;
    registry.set(Slot::BigInt, global.get_str("BigInt")?)?;
    registry.set(Slot::ToStringTag, to_string_tag)?;
    registry.set(Slot::ObjectPrototype, cx.class_prototype(CLASS_OBJECT))?;
    registry.set(
        Slot::FunctionPrototype,
        global.get_str("Function")?.get_str("prototype")?,
    )?;
    #[cfg(feature = "misbehave")]
    super::misbehave::install(cx, &global)?;
    let host = console::host_object(cx)?;
    eventual::install(cx, &host)?;
    for (file, source) in LIBRARY {
        let name = format!("{LIBRARY_PREFIX}{file}");
        let function = cx.eval(source, &name, 1, qjs::JS_EVAL_TYPE_GLOBAL)?;
        let exports = function.call(&cx.undefined(), std::slice::from_ref(&host))?;
        install(&exports, &global, &host)?;
    }
    registry.set(Slot::Format, host.get_str("format")?)
}

/// Makes globals of a file's exports; later files find them, and what it put aside, on `host`.
fn install(exports: &Value, global: &Value, host: &Value) -> JsResult<()> {
    for key in exports.own_names(super::value::NAMES_ALL)? {
        let value = exports.get(&key)?;
        host.define(&key, value.clone(), PROPERTY_HIDDEN)?;
        global.define(&key, value, PROPERTY_HIDDEN)?;
    }
    Ok(())
}

/// The class numbers `value` has from quickjs.c are this build's.
fn check_classes(cx: Cx, global: &Value) -> JsResult<()> {
    // SAFETY: no precondition beyond a live context.
    let date = cx.result(unsafe { qjs::JS_NewDate(cx.raw(), 0.0) })?;
    let object = cx.object()?;
    let same = date.class() == CLASS_DATE
        && object.class() == CLASS_OBJECT
        && object
            .prototype()?
            .is_same_object(&global.get_str("Object")?.get_str("prototype")?);
    match same {
        true => Ok(()),
        false => Err(cx.type_error("QuickJS numbers its classes differently")),
    }
}

/// Polled by QuickJS: once a limit is passed, nothing the program does may matter any more.
extern "C" fn on_interrupt(_: *mut qjs::JSRuntime, _: *mut c_void) -> c_int {
    c_int::from(abort::poll())
}

extern "C" fn on_rejection(
    cx: *mut qjs::JSContext,
    promise: qjs::JSValue,
    reason: qjs::JSValue,
    is_handled: bool,
    _: *mut c_void,
) {
    let Some(cx) = NonNull::new(cx).map(Cx::new) else {
        return;
    };
    let promise = cx.borrow(promise);
    if is_handled {
        output::handled(&promise);
    } else {
        output::rejected(promise, cx.borrow(reason));
    }
}
