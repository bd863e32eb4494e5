//! The numbers of what eventual send needs: two private names, `then`, two classes, and the
//! library's functions.
//!
//! They are made once, at genesis, and stand in the registry; a process reads them when it first
//! needs them. The private names are those of the library's own fields `#mail` and `#handler`: no
//! program can write or list them, and no trap ever sees them.

use std::cell::Cell;
use std::ffi::c_int;

use rquickjs::qjs;

use crate::js::realm::Realm;
use crate::js::registry::Slot;
use crate::js::value::{Cx, JsResult, Kind, Value};

/// Property keys and class numbers, valid as long as the heap.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// `#mail`: every promise of the library's has it.
    pub mail: qjs::JSAtom,
    /// `#handler`: every presence has it.
    pub handler: qjs::JSAtom,
    pub then: qjs::JSAtom,
    pub proxy_class: qjs::JSClassID,
    pub method_class: qjs::JSClassID,
}

/// The library's functions that C code calls, by their place in the registry's array.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum Hook {
    /// `route(op, target, key, args, only)`: a send to what is no plain local object.
    Route = COUNT,
    /// `adopt(promise, value)`: a promise of ours is about to be resolved with a promise.
    Adopt,
    /// `assimilate(op, target, key, args, resolve, reject, promise)`: the target has a `then`.
    Assimilate,
    /// `missing(op, target, key)`: throws what is to be said when there is nothing to call.
    Missing,
}

/// How many numbers stand before the hooks.
const COUNT: u32 = 5;

thread_local! {
    static NAMES: Cell<Option<Names>> = const { Cell::new(None) };
}

impl Names {
    /// Notes names and hooks in the registry, at genesis.
    pub fn keep(self, realm: &Realm, hooks: [Value; 4]) -> JsResult<()> {
        let numbers = [
            self.mail,
            self.handler,
            self.then,
            self.proxy_class,
            self.method_class,
        ];
        let cx = realm.cx;
        let values = numbers.map(|number| cx.int(number as i32));
        let all = values.into_iter().chain(hooks).collect();
        realm.registry.set(Slot::Eventual, cx.array(all)?)?;
        NAMES.set(Some(self));
        Ok(())
    }

    /// The names of the heap this process has.
    pub fn get(realm: &Realm) -> JsResult<Names> {
        if let Some(names) = NAMES.get() {
            return Ok(names);
        }
        let kept = realm.registry.get(Slot::Eventual)?;
        let number = |at: u32| match kept.get_index(at)?.kind() {
            Kind::Int(number) => Ok(number as u32),
            _ => Err(realm.cx.type_error("the heap has no eventual send")),
        };
        let names = Names {
            mail: number(0)?,
            handler: number(1)?,
            then: number(2)?,
            proxy_class: number(3)?,
            method_class: number(4)?,
        };
        NAMES.set(Some(names));
        Ok(names)
    }
}

/// Calls a function of the library.
pub fn hook(realm: &Realm, which: Hook, arguments: &[Value]) -> JsResult<Value> {
    let hooks = realm.registry.get(Slot::Eventual)?;
    hooks
        .get_index(which as u32)?
        .call(&realm.cx.undefined(), arguments)
}

/// Whether the object itself, not what it inherits from, has this private name. Runs nothing.
pub fn has_own_private(object: &Value, name: qjs::JSAtom) -> bool {
    // A proxy's trap would be shown the name.
    if !object.is_object() || object.is_proxy() {
        return false;
    }
    // SAFETY: a live object that is no proxy; without a descriptor nothing is written.
    let found = unsafe {
        qjs::JS_GetOwnProperty(object.cx().raw(), std::ptr::null_mut(), object.raw(), name)
    };
    found > 0
}

/// The private name that an object's only private field has.
pub fn private_name(object: &Value) -> JsResult<qjs::JSAtom> {
    let cx = object.cx();
    let (mut table, mut count) = (std::ptr::null_mut(), 0);
    let flags = qjs::JS_GPN_PRIVATE_MASK as c_int;
    // SAFETY: table and count are written when the call went well.
    let status = unsafe {
        qjs::JS_GetOwnPropertyNames(cx.raw(), &mut table, &mut count, object.raw(), flags)
    };
    if status < 0 {
        return Err(cx.take_exception());
    }
    if count != 1 {
        return Err(cx.type_error("a sample must have one private field"));
    }
    // SAFETY: the table has one entry; its reference is kept for as long as the heap lives.
    let name = unsafe { (*table).atom };
    // SAFETY: the table came from js_malloc.
    unsafe { qjs::js_free(cx.raw(), table.cast()) };
    Ok(name)
}

/// `then`, kept for as long as the heap lives.
pub fn then_name(cx: Cx) -> qjs::JSAtom {
    let name = c"then";
    // SAFETY: a C string of four bytes.
    unsafe { qjs::JS_NewAtomLen(cx.raw(), name.as_ptr(), 4) }
}
