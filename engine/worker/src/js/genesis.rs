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
use super::value::{
    CLASS_DATE, CLASS_LAST, CLASS_OBJECT, Cx, JsResult, NAMES_ALL, PROPERTY_HIDDEN, Property, Value,
};
use super::{
    chance, collector, door, eventual, fault, harden, library, memory, modules, namespace, output,
    own, repairs, sends, timers,
};
use crate::abort;
use crate::heap::layout::STACK_LIMIT_BYTES;
use crate::heap::mapping;

/// The library in evaluation order: each file is a function of the host object and gives an object
/// of globals for every compartment. `tame.js` is first, so that nothing else sees what it takes
/// out; `freeze.js` is last, and hardens whatever the others gave.
const LIBRARY: [(&str, &str); 17] = [
    ("tame.js", include_str!("../../js/tame.js")),
    (
        "function-text.js",
        include_str!("../../js/function-text.js"),
    ),
    ("override.js", include_str!("../../js/override.js")),
    ("format.js", include_str!("../../js/format.js")),
    ("far.js", include_str!("../../js/far.js")),
    ("console.js", include_str!("../../js/console.js")),
    (
        "eventual-send.js",
        include_str!("../../js/eventual-send.js"),
    ),
    ("timer.js", include_str!("../../js/timer.js")),
    ("powers.js", include_str!("../../js/powers.js")),
    ("q.js", include_str!("../../js/q.js")),
    ("flow.js", include_str!("../../js/flow.js")),
    ("text.js", include_str!("../../js/text.js")),
    ("clone.js", include_str!("../../js/clone.js")),
    ("assert.js", include_str!("../../js/assert.js")),
    ("sends.js", include_str!("../../js/sends.js")),
    ("modules.js", include_str!("../../js/modules.js")),
    ("compartment.js", include_str!("../../js/compartment.js")),
];
const FREEZE: (&str, &str) = ("freeze.js", include_str!("../../js/freeze.js"));

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
    // Every turn writes to the runtime and to the context: they share a page.
    let seat = memory::take_seat().ok_or(GenesisError::NoRoom)?;
    let runtime = runtime().ok_or(GenesisError::NoRoom)?;
    memory::offer(seat);
    let cx = context(runtime).ok_or(GenesisError::NoRoom)?;
    modules::install(cx);
    let registry = Registry::create(cx).map_err(|_| GenesisError::NoRoom)?;
    let realm = Realm { cx, registry }.enter();
    harden::set_at_genesis(true);
    let filled = fill(&realm);
    harden::set_at_genesis(false);
    filled.map_err(|error| GenesisError::Library(fault::summary(&describe(&realm, &error))))?;
    // SAFETY: the runtime is live and no value is in use outside the heap.
    unsafe { qjs::JS_RunGC(runtime.as_ptr()) };
    if !collector::prepare(cx) {
        return Err(GenesisError::Library(
            "QuickJS counts its memory elsewhere".to_owned(),
        ));
    }
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
    // A genesis heap is collected once, when it is made; then `collector` decides.
    // SAFETY: a live runtime.
    unsafe { qjs::JS_SetGCThreshold(raw, qjs::size_t::MAX) };
    // SAFETY: a static function of the form asked for.
    unsafe { qjs::JS_SetInterruptHandler(raw, Some(on_interrupt), none) };
    // SAFETY: a static function of the form asked for.
    unsafe { qjs::JS_SetHostPromiseRejectionTracker(raw, Some(on_rejection), none) };
    Some(runtime)
}

/// The realm's intrinsics: the one place that chooses them. There are no weak references (when they
/// clear would depend on the collector), no clock of performance, no browser's functions.
fn context(runtime: NonNull<qjs::JSRuntime>) -> Option<Cx> {
    // SAFETY: a live runtime.
    let cx = NonNull::new(unsafe { qjs::JS_NewContextRaw(runtime.as_ptr()) }).map(Cx::new)?;
    let wanted: [unsafe extern "C" fn(*mut qjs::JSContext) -> c_int; 8] = [
        qjs::JS_AddIntrinsicBaseObjects,
        qjs::JS_AddIntrinsicDate,
        qjs::JS_AddIntrinsicRegExp,
        qjs::JS_AddIntrinsicJSON,
        qjs::JS_AddIntrinsicProxy,
        qjs::JS_AddIntrinsicMapSet,
        qjs::JS_AddIntrinsicTypedArrays,
        qjs::JS_AddIntrinsicPromise,
    ];
    for add in wanted {
        // SAFETY: a live context, to which each is added once, in the order QuickJS adds them.
        if unsafe { add(cx.raw()) } != 0 {
            return None;
        }
    }
    if !repairs::wanted("weak-references") {
        // SAFETY: as above.
        unsafe { qjs::JS_AddIntrinsicWeakRef(cx.raw()) };
    }
    if !repairs::wanted("performance") {
        // SAFETY: as above.
        unsafe { qjs::JS_AddPerformance(cx.raw()) };
    }
    door::install(cx).then_some(cx)
}

fn fill(realm: &Realm) -> JsResult<()> {
    let (cx, registry) = (realm.cx, &realm.registry);
    let global = cx.global();
    check_classes(cx, &global)?;
    make_methods(&global)?;
    remember_intrinsics(realm, &global)?;
    harden::prepare(realm)?;
    door::keep_scope_makers(realm)?;
    let host = library::host_object(cx)?;
    #[cfg(feature = "misbehave")]
    super::misbehave::install(cx, &host.get_str("start")?)?;
    own::install(realm, &host)?;
    namespace::install(realm, &host)?;
    eventual::install(cx, &host)?;
    timers::install(cx, &host)?;
    chance::install(cx, &host)?;
    sends::install(cx, &host)?;
    for (file, source) in LIBRARY {
        let exports = load(cx, &host, file, source)?;
        install(&exports, &host)?;
    }
    load(cx, &host, FREEZE.0, FREEZE.1)?;
    freeze_hidden(realm)?;
    registry.set(Slot::TimerDue, host.get_str("timerDue")?)?;
    registry.set(Slot::Timer, host.get_str("timer")?)?;
    registry.set(Slot::Clock, host.get_str("clock")?)?;
    registry.set(Slot::Random, host.get_str("random")?)?;
    registry.set(Slot::TimelessQ, host.get_str("Q")?)?;
    registry.set(Slot::Format, host.get_str("format")?)?;
    registry.set(Slot::Hidden, host.get_str("startInserted")?)?;
    registry.set(Slot::LoadProgram, host.get_str("loadProgram")?)?;
    registry.set(Slot::CheckProgram, host.get_str("checkProgram")?)?;
    registry.set(Slot::PlainValue, host.get_str("plainValue")?)?;
    registry.set(Slot::ErrorStack, host.get_str("errorStack")?)?;
    start(realm, &host, &global)
}

/// Makes the methods of every constructor and prototype, which QuickJS makes when each is first
/// asked for. So those of one prototype lie side by side in the heap, and a turn that calls several
/// writes one page for their reference counts.
fn make_methods(global: &Value) -> JsResult<()> {
    let make = |object: &Value| -> JsResult<()> {
        for key in object.own_names(NAMES_ALL)? {
            object.own_property(&key)?;
        }
        Ok(())
    };
    let prototype = global.cx().atom("prototype");
    for key in global.own_names(NAMES_ALL)? {
        let Some(Property::Data(value)) = global.own_property(&key)? else {
            continue;
        };
        if !value.is_object() {
            continue;
        }
        make(&value)?;
        if let Some(Property::Data(heirs)) = value.own_property(&prototype)? {
            make(&heirs)?;
        }
    }
    Ok(())
}

/// Runs a file of the library. The primordials its functions name are found in the real global
/// while that is being made, and in an object of the library's own once that is emptied.
fn load(cx: Cx, host: &Value, file: &str, source: &str) -> JsResult<Value> {
    let name = format!("{LIBRARY_PREFIX}{file}");
    let within =
        format!("(function (kenvat$own) {{ with (kenvat$own) {{ return (\n{source}\n); }} }})");
    let within = cx.eval(&within, &name, 0, qjs::JS_EVAL_TYPE_GLOBAL)?;
    let function = within.call(&cx.undefined(), &[host.get_str("primordials")?])?;
    function.call(&cx.undefined(), std::slice::from_ref(host))
}

/// Puts aside what the worker needs of the realm, before the library changes it.
fn remember_intrinsics(realm: &Realm, global: &Value) -> JsResult<()> {
    let (cx, registry) = (realm.cx, &realm.registry);
    let to_string_tag = global.get_str("Symbol")?.get_str("toStringTag")?;
    let function_prototype = global.get_str("Function")?.get_str("prototype")?;
    registry.set(Slot::BigInt, global.get_str("BigInt")?)?;
    registry.set(Slot::ToStringTag, to_string_tag)?;
    registry.set(Slot::ObjectPrototype, cx.class_prototype(CLASS_OBJECT))?;
    registry.set(Slot::FunctionPrototype, function_prototype)?;
    registry.set(Slot::Eval, global.get_str("eval")?)?;
    registry.set(Slot::RealDate, global.get_str("Date")?)?;
    registry.set(Slot::RealMap, global.get_str("Map")?)?;
    registry.set(Slot::RealWeakMap, global.get_str("WeakMap")?)
}

/// Freezes the prototypes of every class QuickJS has, also those nothing is known to reach.
fn freeze_hidden(realm: &Realm) -> JsResult<()> {
    if !repairs::wanted("freeze") {
        return Ok(());
    }
    for class in CLASS_OBJECT..=CLASS_LAST {
        harden::harden(realm, &realm.cx.class_prototype(class))?;
    }
    Ok(())
}

/// Remembers the start compartment, and empties the real global: a name that a compartment's own
/// global object does not have is then found nowhere.
fn start(realm: &Realm, host: &Value, global: &Value) -> JsResult<()> {
    let primordials = host.get_str("primordials")?;
    for key in global.own_names(NAMES_ALL)? {
        primordials.define(&key, global.get(&key)?, PROPERTY_HIDDEN)?;
        if repairs::wanted("empty-global") {
            // NaN, Infinity and undefined stay: they cannot be taken out, and give nothing.
            global.delete(&key.text())?;
        }
    }
    primordials.delete("globalThis")?;
    primordials.freeze()?;
    if repairs::wanted("freeze") {
        harden::harden(realm, global)?;
    }
    let registry = &realm.registry;
    registry.set(Slot::Globals, host.get_str("startGlobals")?)?;
    registry.set(Slot::Scope, host.get_str("startScope")?)
}

/// Makes a file's exports globals of every compartment; later files find them on `host`.
fn install(exports: &Value, host: &Value) -> JsResult<()> {
    let library = host.get_str("library")?;
    for key in exports.own_names(NAMES_ALL)? {
        let value = exports.get(&key)?;
        host.define(&key, value.clone(), PROPERTY_HIDDEN)?;
        library.define(&key, value, PROPERTY_HIDDEN)?;
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
        let reason = cx.borrow(reason);
        // An error knows where it was made; of anything else this is the last that can be known.
        let place = match (reason.is_error(), Realm::current()) {
            (false, Some(realm)) => fault::place(&realm),
            _ => None,
        };
        output::rejected(promise, reason, place);
    }
}
