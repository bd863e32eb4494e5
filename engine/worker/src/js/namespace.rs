//! Namespaces of modules: an object whose properties are what a module exports, as it is now.
//!
//! Promises: every property is a data property, neither writable nor configurable, and the object
//! takes no others; nothing of the module's is reached through it but the values. Reading one calls
//! the module's own function for that name, which throws while its variable has no value yet.
//!
//! An object of a class of ours, which holds a table of those functions by name.

use std::cell::Cell;
use std::ffi::{c_int, c_void};

use rquickjs::qjs;

use super::realm::Realm;
use super::registry::Slot;
use super::value::{Cx, JsResult, Kind, UNDEFINED, Value, argument, host_function};

/// A table of static functions; QuickJS keeps its address.
struct Table(qjs::JSClassExoticMethods);

// SAFETY: it holds addresses of functions only, and is never written.
unsafe impl Sync for Table {}

static TRAPS: Table = Table(qjs::JSClassExoticMethods {
    get_own_property: Some(own_property),
    get_own_property_names: Some(own_names),
    delete_property: Some(delete),
    define_own_property: Some(define),
    has_property: None,
    get_property: None,
    set_property: None,
});

/// What every namespace has beside its module's exports.
const TAG: qjs::JSAtom = qjs::JS_ATOM_Symbol_toStringTag;

thread_local! {
    static CLASS: Cell<Option<qjs::JSClassID>> = const { Cell::new(None) };
}

/// Registers the class and puts on `host` what the library needs of it.
pub fn install(realm: &Realm, host: &Value) -> JsResult<()> {
    let cx = realm.cx;
    let mut id = 0;
    // SAFETY: a live runtime; `id` is written.
    unsafe { qjs::JS_NewClassID(cx.runtime(), &mut id) };
    let traps = &raw const TRAPS.0;
    let definition = qjs::JSClassDef {
        class_name: c"Module".as_ptr(),
        finalizer: Some(finalize),
        gc_mark: Some(mark),
        call: None,
        exotic: traps.cast_mut(),
    };
    // SAFETY: a live runtime; the definition is copied, what it names is static.
    if unsafe { qjs::JS_NewClass(cx.runtime(), id, &definition) } != 0 {
        return Err(cx.type_error("no room for a class"));
    }
    realm
        .registry
        .set(Slot::NamespaceClass, cx.int(id as i32))?;
    let make: qjs::JSCFunction = Some(make_namespace);
    host.define_str("makeNamespace", cx.function(c"makeNamespace", 1, make)?)?;
    let is: qjs::JSCFunction = Some(is_namespace);
    host.define_str("isNamespace", cx.function(c"isNamespace", 1, is)?)
}

fn class(realm: &Realm) -> JsResult<qjs::JSClassID> {
    if let Some(class) = CLASS.get() {
        return Ok(class);
    }
    match realm.registry.get(Slot::NamespaceClass)?.kind() {
        Kind::Int(class) => {
            CLASS.set(Some(class as qjs::JSClassID));
            Ok(class as qjs::JSClassID)
        }
        _ => Err(realm.cx.type_error("the heap has no namespaces")),
    }
}

/// `makeNamespace(table)`: of an object without prototype, from names to functions.
extern "C" fn make_namespace(
    cx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    host_function(cx, count, arguments, |cx, arguments| {
        let table = argument(cx, arguments, 0);
        let Some(realm) = Realm::current().filter(|_| table.is_object()) else {
            return Err(cx.type_error("makeNamespace: the table is missing"));
        };
        let null = cx.null();
        let class = class(&realm)?;
        // SAFETY: a class of this runtime, and no prototype.
        let made = unsafe { qjs::JS_NewObjectProtoClass(cx.raw(), null.raw(), class) };
        let made = cx.result(made)?;
        // SAFETY: an object has a pointer in this arm.
        let held = unsafe { table.into_raw().u.ptr };
        // SAFETY: the object is of a class whose finaliser gives the reference back.
        unsafe { qjs::JS_SetOpaque(made.raw(), held) };
        // SAFETY: a live object.
        unsafe { qjs::JS_PreventExtensions(cx.raw(), made.raw()) };
        Ok(made)
    })
}

/// `isNamespace(x)`
extern "C" fn is_namespace(
    cx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    host_function(cx, count, arguments, |cx, arguments| {
        let Some(realm) = Realm::current() else {
            return Ok(cx.bool(false));
        };
        Ok(cx.bool(argument(cx, arguments, 0).class() == class(&realm)?))
    })
}

/// The table behind a namespace, lent; `None` while it is being made.
fn table(object: qjs::JSValue) -> Option<qjs::JSValue> {
    // SAFETY: only called with namespaces, whose opaque is an object's address or null.
    let at: *mut c_void = unsafe { qjs::JS_GetAnyOpaque(object, &mut 0) };
    (!at.is_null()).then(|| qjs::JS_MKPTR(qjs::JS_TAG_OBJECT, at))
}

unsafe extern "C" fn finalize(runtime: *mut qjs::JSRuntime, object: qjs::JSValue) {
    if let Some(table) = table(object) {
        // SAFETY: the namespace owned this reference, and is going.
        unsafe { qjs::JS_FreeValueRT(runtime, table) };
    }
}

unsafe extern "C" fn mark(
    runtime: *mut qjs::JSRuntime,
    object: qjs::JSValue,
    visit: qjs::JS_MarkFunc,
) {
    if let Some(table) = table(object) {
        // SAFETY: a live value of this runtime.
        unsafe { qjs::JS_MarkValue(runtime, table, visit) };
    }
}

/// The function that reads an export; `None` where there is no such export.
fn reader(cx: Cx, object: qjs::JSValue, name: qjs::JSAtom) -> Option<Value> {
    let table = table(object)?;
    let mut found = qjs::JSPropertyDescriptor {
        flags: 0,
        value: UNDEFINED,
        getter: UNDEFINED,
        setter: UNDEFINED,
    };
    // SAFETY: the table is a plain object of the library's; `found` is filled when the answer is 1.
    let status = unsafe { qjs::JS_GetOwnProperty(cx.raw(), &mut found, table, name) };
    (status == 1).then(|| cx.own(found.value))
}

unsafe extern "C" fn own_property(
    _: *mut qjs::JSContext,
    descriptor: *mut qjs::JSPropertyDescriptor,
    object: qjs::JSValue,
    name: qjs::JSAtom,
) -> c_int {
    let Some(realm) = Realm::current() else {
        return 0;
    };
    let cx = realm.cx;
    let (value, flags) = if name == TAG {
        (cx.string("Module"), 0)
    } else {
        let Some(reader) = reader(cx, object, name) else {
            return 0;
        };
        // Whoever only asks whether it is there need not have its value.
        if descriptor.is_null() {
            return 1;
        }
        (
            reader.call(&cx.undefined(), &[]),
            qjs::JS_PROP_ENUMERABLE as c_int,
        )
    };
    match value {
        Ok(_) if descriptor.is_null() => 1,
        Ok(value) => {
            let found = qjs::JSPropertyDescriptor {
                flags,
                value: value.into_raw(),
                getter: UNDEFINED,
                setter: UNDEFINED,
            };
            // SAFETY: QuickJS passes room for one descriptor, whose references it takes over.
            unsafe { descriptor.write(found) };
            1
        }
        Err(error) => {
            // What throw gives back is the mark of an exception, no reference.
            let _ = cx.throw(error);
            -1
        }
    }
}

unsafe extern "C" fn own_names(
    raw: *mut qjs::JSContext,
    names: *mut *mut qjs::JSPropertyEnum,
    count: *mut u32,
    object: qjs::JSValue,
) -> c_int {
    let (mut list, mut length) = (std::ptr::null_mut(), 0);
    if let Some(table) = table(object) {
        let flags = qjs::JS_GPN_STRING_MASK as c_int;
        // SAFETY: list and length are written when the call goes well.
        let status =
            unsafe { qjs::JS_GetOwnPropertyNames(raw, &mut list, &mut length, table, flags) };
        if status < 0 {
            return -1;
        }
    }
    let bytes = (length as usize + 1) * size_of::<qjs::JSPropertyEnum>();
    // SAFETY: asks for a block of the heap; the old one is moved, or was none.
    let list: *mut qjs::JSPropertyEnum =
        unsafe { qjs::js_realloc(raw, list.cast(), bytes as qjs::size_t) }.cast();
    if list.is_null() {
        // The turn is undone, as memory is out; what the old block holds goes with it.
        return -1;
    }
    let tag = qjs::JSPropertyEnum {
        is_enumerable: false,
        atom: TAG,
    };
    // SAFETY: the block has room for one more than the table has names.
    unsafe { list.wrapping_add(length as usize).write(tag) };
    // SAFETY: QuickJS passes room for the pointer.
    unsafe { names.write(list) };
    // SAFETY: and for the number.
    unsafe { count.write(length + 1) };
    0
}

unsafe extern "C" fn delete(
    _: *mut qjs::JSContext,
    object: qjs::JSValue,
    name: qjs::JSAtom,
) -> c_int {
    c_int::from(!has(object, name))
}

fn has(object: qjs::JSValue, name: qjs::JSAtom) -> bool {
    name == TAG || Realm::current().is_some_and(|realm| reader(realm.cx, object, name).is_some())
}

/// Says whether what is to be defined is there already: `Object.freeze` asks for that.
unsafe extern "C" fn define(
    raw: *mut qjs::JSContext,
    object: qjs::JSValue,
    name: qjs::JSAtom,
    value: qjs::JSValue,
    _getter: qjs::JSValue,
    _setter: qjs::JSValue,
    flags: c_int,
) -> c_int {
    let flags = flags as u32;
    let asks = |bit: u32| flags & bit != 0;
    let accessor = asks(qjs::JS_PROP_HAS_GET | qjs::JS_PROP_HAS_SET);
    let opens = asks(qjs::JS_PROP_HAS_CONFIGURABLE) && asks(qjs::JS_PROP_CONFIGURABLE)
        || asks(qjs::JS_PROP_HAS_WRITABLE) && asks(qjs::JS_PROP_WRITABLE);
    let enumerable = name != TAG;
    let hides = asks(qjs::JS_PROP_HAS_ENUMERABLE) && asks(qjs::JS_PROP_ENUMERABLE) != enumerable;
    let same = || {
        if !asks(qjs::JS_PROP_HAS_VALUE) {
            return Ok(true);
        }
        let Some(realm) = Realm::current() else {
            return Ok(false);
        };
        let cx = realm.cx;
        let now = match reader(cx, object, name) {
            Some(reader) => reader.call(&cx.undefined(), &[])?,
            None => cx.string("Module")?,
        };
        // SAFETY: both are live.
        Ok(unsafe { qjs::JS_IsSameValue(raw, now.raw(), value) })
    };
    let fits = has(object, name) && !accessor && !opens && !hides;
    let Some(realm) = Realm::current() else {
        return -1;
    };
    let refused: JsResult<bool> = if fits {
        same().map(|same| !same)
    } else {
        Ok(true)
    };
    match refused {
        Ok(false) => 1,
        Ok(true) if !asks(qjs::JS_PROP_THROW) => 0,
        Ok(true) => {
            let error = realm
                .cx
                .type_error("what a module exports is not to be changed");
            let _ = realm.cx.throw(error);
            -1
        }
        Err(error) => {
            let _ = realm.cx.throw(error);
            -1
        }
    }
}
