//! `harden(x)`: freezes x, everything its own properties hold, and its prototypes, transitively.
//!
//! Runs no getter; what private fields hold stays writable, which is how hardened objects keep
//! state. It either succeeds for everything or counts for nothing: an object is remembered as
//! hardened only when all that can be reached from it is frozen, also when a proxy's trap calls
//! `harden` in the middle or throws.
//!
//! An object is remembered by a private property of its own that no program can name: 1 for
//! hardened, 0 for begun, 2 for hardened at genesis, which tells the realm's objects from a
//! program's. What cannot take it (proxies, objects that were closed before) is kept in
//! a WeakSet instead. So hardening what is hardened costs one look.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ffi::c_int;

use rquickjs::qjs;

use super::realm::Realm;
use super::registry::Slot;
use super::repairs;
use super::value::{Cx, JsResult, Kind, UNDEFINED, Value, host_function};

/// Below this many objects their addresses are compared one by one.
const SEARCHED_MAX: usize = 24;
/// Values of the private property.
const BEGUN: i32 = 0;
const HARDENED: i32 = 1;
const OF_REALM: i32 = 2;

thread_local! {
    /// What is hardened now is the realm's own.
    static AT_GENESIS: Cell<bool> = const { Cell::new(false) };
}

/// A class that leaves a private property in whatever object it is given.
const MARKER: &str = "(class { constructor(o) { return o; } static make() {
    class Mark extends this { #hardened = 0; } return new Mark({}); } }).make()";

/// Makes what `harden` needs to remember objects, in the registry.
pub fn prepare(realm: &Realm) -> JsResult<()> {
    let (cx, registry) = (realm.cx, &realm.registry);
    let flags = qjs::JS_EVAL_TYPE_GLOBAL | qjs::JS_EVAL_FLAG_STRICT;
    let marked = cx.eval(MARKER, "kenvat:mark", 1, flags)?;
    let (mut table, mut count) = (std::ptr::null_mut(), 0);
    let (raw, flags) = (marked.raw(), qjs::JS_GPN_PRIVATE_MASK as c_int);
    // SAFETY: table and count are written when the call goes well.
    let status =
        unsafe { qjs::JS_GetOwnPropertyNames(cx.raw(), &mut table, &mut count, raw, flags) };
    if status < 0 || count != 1 {
        return Err(cx.type_error("QuickJS keeps private fields differently"));
    }
    // SAFETY: the table has one entry. Its reference is kept for the life of the heap.
    let mark = unsafe { (*table).atom };
    registry.set(Slot::HardenMark, cx.int(mark as i32))?;
    let weak_set = cx.global().get_str("WeakSet")?;
    let prototype = weak_set.get_str("prototype")?;
    registry.set(Slot::HardenedHas, prototype.get_str("has")?)?;
    registry.set(Slot::HardenedAdd, prototype.get_str("add")?)?;
    let flags = qjs::JS_EVAL_TYPE_GLOBAL;
    let set = cx.eval("new WeakSet()", "kenvat:mark", 1, flags)?;
    registry.set(Slot::Hardened, set)
}

/// The function programs call.
pub fn function(cx: Cx) -> JsResult<Value> {
    cx.function(c"harden", 1, Some(call))
}

extern "C" fn call(
    cx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    host_function(cx, count, arguments, |cx, arguments| {
        let Some(root) = arguments.first() else {
            return Ok(cx.undefined());
        };
        if let Some(realm) = Realm::current().filter(|_| root.is_object()) {
            harden(&realm, root)?;
        }
        Ok(root.clone())
    })
}

/// Whether what is hardened from now on is the realm's own.
pub fn set_at_genesis(at_genesis: bool) {
    AT_GENESIS.set(at_genesis);
}

/// The private name of the marks.
pub fn mark(realm: &Realm) -> JsResult<qjs::JSAtom> {
    match realm.registry.get(Slot::HardenMark)?.kind() {
        Kind::Int(mark) => Ok(mark as qjs::JSAtom),
        _ => Err(realm.cx.type_error("harden is not ready")),
    }
}

/// Whether an object is one of the realm's, by its mark. False of proxies; runs nothing.
pub fn is_of_realm(object: &Value, mark: qjs::JSAtom) -> bool {
    !object.is_proxy() && marked(object, mark) == Some(OF_REALM)
}

/// The mark of an object that is no proxy.
fn marked(object: &Value, mark: qjs::JSAtom) -> Option<i32> {
    let mut found = empty_descriptor();
    let cx = object.cx();
    // SAFETY: `found` is filled when the answer is 1; the mark's value is an int.
    let status = unsafe { qjs::JS_GetOwnProperty(cx.raw(), &mut found, object.raw(), mark) };
    if status != 1 {
        return None;
    }
    match cx.own(found.value).kind() {
        Kind::Int(mark) => Some(mark),
        _ => None,
    }
}

/// Hardens a value.
pub fn harden(realm: &Realm, root: &Value) -> JsResult<()> {
    if !repairs::wanted("freeze") {
        // The library hardens what it makes, and with it the primordials that inherits from.
        return Ok(());
    }
    let mut walk = Walk {
        realm,
        mark: mark(realm)?,
        found: Vec::new(),
        seen: BTreeSet::new(),
    };
    walk.visit(root.clone())?;
    let mut next = 0;
    while let Some(object) = walk.found.get(next).cloned() {
        walk.freeze(&object)?;
        next += 1;
    }
    walk.remember()
}

struct Walk<'a> {
    realm: &'a Realm,
    mark: qjs::JSAtom,
    /// What is to be frozen, in the order found.
    found: Vec<Value>,
    /// Addresses of `found`, once they are many.
    seen: BTreeSet<usize>,
}

impl Walk<'_> {
    fn visit(&mut self, value: Value) -> JsResult<()> {
        if !value.is_object() || self.is_found(value.address()) || self.is_hardened(&value)? {
            return Ok(());
        }
        if self.found.len() >= SEARCHED_MAX {
            if self.seen.is_empty() {
                self.seen = self.found.iter().map(Value::address).collect();
            }
            self.seen.insert(value.address());
        }
        self.found.push(value);
        Ok(())
    }

    fn is_found(&self, address: usize) -> bool {
        match self.seen.is_empty() {
            true => self.found.iter().any(|found| found.address() == address),
            false => self.seen.contains(&address),
        }
    }

    fn is_hardened(&self, object: &Value) -> JsResult<bool> {
        let cx = self.realm.cx;
        if !object.is_proxy() {
            match self.marked(object) {
                Some(mark) => {
                    return Ok(mark != BEGUN || !repairs::wanted("harden-whole"));
                }
                // SAFETY: the value is live.
                None if unsafe { qjs::JS_IsExtensible(cx.raw(), object.raw()) } == 1 => {
                    return Ok(false);
                }
                None => {}
            }
        }
        let set = self.realm.registry.get(Slot::Hardened)?;
        let has = self.realm.registry.get(Slot::HardenedHas)?;
        let found = has.call(&set, std::slice::from_ref(object))?;
        Ok(found.kind() == Kind::Bool(true))
    }

    fn marked(&self, object: &Value) -> Option<i32> {
        marked(object, self.mark)
    }

    fn set_mark(&self, object: &Value, mark: i32) -> bool {
        let cx = self.realm.cx;
        let (value, flags) = (cx.int(mark).into_raw(), qjs::JS_PROP_WRITABLE as c_int);
        // SAFETY: takes over the value's reference; ints have none.
        let status =
            unsafe { qjs::JS_DefinePropertyValue(cx.raw(), object.raw(), self.mark, value, flags) };
        if status < 0 {
            drop(cx.take_exception());
        }
        status == 1
    }

    /// Freezes one object, and visits what it holds.
    fn freeze(&mut self, object: &Value) -> JsResult<()> {
        let cx = self.realm.cx;
        // SAFETY: the value is live.
        let open = unsafe { qjs::JS_IsExtensible(cx.raw(), object.raw()) };
        if cx.status(open)? && !object.is_proxy() && self.marked(object).is_none() {
            self.set_mark(object, BEGUN);
        }
        // SAFETY: the value is live.
        let closed = unsafe { qjs::JS_PreventExtensions(cx.raw(), object.raw()) };
        if !cx.status(closed)? {
            return Err(cx.type_error("harden: an object refuses to be closed to new properties"));
        }
        // SAFETY: any value may be asked.
        let typed = unsafe { qjs::JS_GetTypedArrayType(object.raw()) } >= 0;
        for key in Keys::of(cx, object)?.entries() {
            // The elements of a typed array cannot be frozen.
            if !(typed && is_index(key.atom)) {
                self.freeze_property(object, key.atom)?;
            }
        }
        if repairs::wanted("harden-prototype") {
            self.visit(object.prototype()?)?;
        }
        Ok(())
    }

    fn freeze_property(&mut self, object: &Value, key: qjs::JSAtom) -> JsResult<()> {
        let cx = self.realm.cx;
        let mut found = empty_descriptor();
        // SAFETY: `found` is filled when the answer is 1.
        let status = unsafe { qjs::JS_GetOwnProperty(cx.raw(), &mut found, object.raw(), key) };
        if !cx.status(status)? {
            return Ok(());
        }
        let held = [found.value, found.getter, found.setter].map(|raw| cx.own(raw));
        let accessor = found.flags & (1 << 4) != 0;
        let mut change = qjs::JS_PROP_HAS_CONFIGURABLE;
        let mut open = qjs::JS_PROP_CONFIGURABLE;
        if !accessor {
            change |= qjs::JS_PROP_HAS_WRITABLE;
            open |= qjs::JS_PROP_WRITABLE;
        }
        if found.flags as u32 & open != 0 {
            let (cx, flags) = (cx.raw(), (change | qjs::JS_PROP_THROW) as c_int);
            let (raw, none) = (object.raw(), UNDEFINED);
            // SAFETY: all values are live; nothing is taken over.
            let status = unsafe { qjs::JS_DefineProperty(cx, raw, key, none, none, none, flags) };
            self.realm.cx.status(status)?;
        }
        let [value, getter, setter] = held;
        self.visit(value)?;
        if accessor && repairs::wanted("harden-accessors") {
            self.visit(getter)?;
            self.visit(setter)?;
        }
        Ok(())
    }

    /// Everything found is frozen: says so of each.
    fn remember(self) -> JsResult<()> {
        let registry = &self.realm.registry;
        let mut kept = None;
        let done = if AT_GENESIS.get() { OF_REALM } else { HARDENED };
        for object in &self.found {
            if !object.is_proxy() && self.marked(object).is_some() {
                self.set_mark(object, done);
                continue;
            }
            if kept.is_none() {
                let (set, add) = (
                    registry.get(Slot::Hardened)?,
                    registry.get(Slot::HardenedAdd)?,
                );
                kept = Some((set, add));
            }
            if let Some((set, add)) = &kept {
                add.call(set, std::slice::from_ref(object))?;
            }
        }
        Ok(())
    }
}

fn empty_descriptor() -> qjs::JSPropertyDescriptor {
    qjs::JSPropertyDescriptor {
        flags: 0,
        value: UNDEFINED,
        getter: UNDEFINED,
        setter: UNDEFINED,
    }
}

/// Whether QuickJS keeps this key as a number.
fn is_index(atom: qjs::JSAtom) -> bool {
    atom & (1 << 31) != 0
}

/// An object's own keys, strings and symbols.
struct Keys {
    cx: Cx,
    table: *mut qjs::JSPropertyEnum,
    count: u32,
}

impl Keys {
    fn of(cx: Cx, object: &Value) -> JsResult<Keys> {
        let (mut table, mut count) = (std::ptr::null_mut(), 0);
        let flags = (qjs::JS_GPN_STRING_MASK | qjs::JS_GPN_SYMBOL_MASK) as c_int;
        let raw = object.raw();
        // SAFETY: table and count are written when the call goes well.
        let status =
            unsafe { qjs::JS_GetOwnPropertyNames(cx.raw(), &mut table, &mut count, raw, flags) };
        cx.status(status)?;
        Ok(Keys { cx, table, count })
    }

    fn entries(&self) -> &[qjs::JSPropertyEnum] {
        if self.table.is_null() {
            return &[];
        }
        // SAFETY: the table has `count` entries until it is freed.
        unsafe { std::slice::from_raw_parts(self.table, self.count as usize) }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // SAFETY: the table came from QuickJS and is freed once, with its atoms.
        unsafe { qjs::JS_FreePropertyEnum(self.cx.raw(), self.table, self.count) }
    }
}
