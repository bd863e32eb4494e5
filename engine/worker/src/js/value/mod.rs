//! JavaScript values and the context they live in, so that the rest of the worker is safe code.
//!
//! Promises: a `Value` owns one reference and gives it back when dropped; every operation that can
//! throw returns the thrown value as `Err`, so no exception stays pending in the context. Values
//! must not outlive the turn they were made in, except those the heap itself holds.

mod atom;
mod cx;
mod host;

use std::ffi::c_int;

use rquickjs::qjs;

pub use atom::Atom;
pub use cx::Cx;
pub use host::{argument, host_function};

/// What JavaScript threw, or the value.
pub type JsResult<T> = Result<T, Value>;

/// One reference to a value.
pub struct Value {
    cx: Cx,
    raw: qjs::JSValue,
}

/// What a value is, with the value where it is small.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Undefined,
    Null,
    Bool(bool),
    Int(i32),
    Float(f64),
    BigInt,
    String,
    Symbol,
    Object,
    /// Something a program cannot hold.
    Internal,
}

impl Kind {
    /// Its value, where it is a number.
    pub fn number(self) -> Option<f64> {
        match self {
            Kind::Int(number) => Some(f64::from(number)),
            Kind::Float(number) => Some(number),
            _ => None,
        }
    }
}

/// An own property.
pub enum Property {
    Data(Value),
    /// Its getter, undefined where there is none.
    Accessor(Value),
}

impl Value {
    pub fn cx(&self) -> Cx {
        self.cx
    }

    /// The value itself, still owned by this.
    pub fn raw(&self) -> qjs::JSValue {
        self.raw
    }

    /// Gives the reference away.
    pub fn into_raw(self) -> qjs::JSValue {
        let raw = self.raw;
        std::mem::forget(self);
        raw
    }

    pub fn kind(&self) -> Kind {
        // SAFETY: an int, bool or null has its number in this arm of the union, and other tags read
        // it without using it.
        let int = unsafe { self.raw.u.int32 };
        match self.raw.tag as i32 {
            qjs::JS_TAG_UNDEFINED => Kind::Undefined,
            qjs::JS_TAG_NULL => Kind::Null,
            qjs::JS_TAG_BOOL => Kind::Bool(int != 0),
            qjs::JS_TAG_INT => Kind::Int(int),
            // SAFETY: a float64 has its number in this arm.
            qjs::JS_TAG_FLOAT64 => Kind::Float(unsafe { self.raw.u.float64 }),
            qjs::JS_TAG_BIG_INT | qjs::JS_TAG_SHORT_BIG_INT => Kind::BigInt,
            qjs::JS_TAG_STRING | qjs::JS_TAG_STRING_ROPE => Kind::String,
            qjs::JS_TAG_SYMBOL => Kind::Symbol,
            qjs::JS_TAG_OBJECT => Kind::Object,
            _ => Kind::Internal,
        }
    }

    pub fn is_object(&self) -> bool {
        self.kind() == Kind::Object
    }

    /// An object's address in the heap: its identity.
    pub fn address(&self) -> usize {
        // SAFETY: objects have a pointer in this arm; of other values any bits will do.
        let pointer = unsafe { self.raw.u.ptr };
        if self.is_object() { pointer.addr() } else { 0 }
    }

    pub fn is_function(&self) -> bool {
        // SAFETY: any value may be asked.
        unsafe { qjs::JS_IsFunction(self.cx.raw(), self.raw) }
    }

    pub fn is_array(&self) -> bool {
        // SAFETY: any value may be asked.
        unsafe { qjs::JS_IsArray(self.raw) }
    }

    pub fn is_proxy(&self) -> bool {
        // SAFETY: any value may be asked.
        unsafe { qjs::JS_IsProxy(self.raw) }
    }

    pub fn is_promise(&self) -> bool {
        // SAFETY: any value may be asked.
        unsafe { qjs::JS_IsPromise(self.raw) }
    }

    pub fn is_error(&self) -> bool {
        // SAFETY: any value may be asked.
        unsafe { qjs::JS_IsError(self.raw) }
    }

    /// Number of the built-in class of an object; 0 for what is no object.
    pub fn class(&self) -> u32 {
        // SAFETY: any value may be asked.
        unsafe { qjs::JS_GetClassID(self.raw) }
    }

    /// The text of a string, `None` if it is not one, or not well-formed Unicode.
    pub fn text(&self) -> JsResult<Option<String>> {
        if self.kind() != Kind::String {
            return Ok(None);
        }
        self.with_bytes(|bytes| std::str::from_utf8(bytes).ok().map(str::to_owned))
    }

    /// What `String(value)` shows, with replacement characters where it is not well formed. Runs no
    /// code for primitives; for objects it may.
    pub fn display(&self) -> JsResult<String> {
        if self.kind() == Kind::Symbol {
            return Ok("Symbol()".to_owned());
        }
        self.with_bytes(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// Lends the bytes of the value as a string: UTF-8, with lone surrogates in the three-byte
    /// form.
    pub fn with_bytes<T>(&self, look: impl FnOnce(&[u8]) -> T) -> JsResult<T> {
        let mut length = 0;
        let cx = self.cx.raw();
        // SAFETY: `length` is written before the call returns.
        let text = unsafe { qjs::JS_ToCStringLen2(cx, &mut length, self.raw, false) };
        if text.is_null() {
            return Err(self.cx.take_exception());
        }
        // SAFETY: `length` bytes are there until JS_FreeCString, and nothing runs in between that
        // could change them.
        let bytes = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), length as usize) };
        let out = look(bytes);
        // SAFETY: `text` came from JS_ToCStringLen2 and is not used again.
        unsafe { qjs::JS_FreeCString(cx, text) };
        Ok(out)
    }

    /// The text of `String(value)`, each lone surrogate replaced by one U+FFFD.
    pub fn well_formed(&self) -> JsResult<String> {
        self.with_bytes(|bytes| {
            let mut out = bytes.to_vec();
            // A surrogate is `ED A0..BF xx`, where a character of three bytes has `ED 80..9F xx`.
            for at in 0..out.len().saturating_sub(2) {
                if out[at] == 0xed && out[at + 1] >= 0xa0 {
                    out[at..at + 3].copy_from_slice("\u{fffd}".as_bytes());
                }
            }
            String::from_utf8_lossy(&out).into_owned()
        })
    }

    pub fn is_array_buffer(&self) -> bool {
        // SAFETY: any value may be asked.
        unsafe { qjs::JS_IsArrayBuffer(self.raw) }
    }

    /// Copies the bytes of a Uint8Array, `None` if it is not one.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        // SAFETY: any value may be asked.
        let array = unsafe { qjs::JS_GetTypedArrayType(self.raw) };
        if array == qjs::JSTypedArrayEnum_JS_TYPED_ARRAY_UINT8 as c_int {
            return self.lend_bytes(qjs::JS_GetUint8Array);
        }
        // SAFETY: any value may be asked.
        if unsafe { qjs::JS_IsArrayBuffer(self.raw) } {
            return self.lend_bytes(qjs::JS_GetArrayBuffer);
        }
        None
    }

    fn lend_bytes(
        &self,
        lend: unsafe extern "C" fn(*mut qjs::JSContext, *mut qjs::size_t, qjs::JSValue) -> *mut u8,
    ) -> Option<Vec<u8>> {
        let mut length: qjs::size_t = 0;
        // SAFETY: `length` is written before the call returns.
        let at = unsafe { lend(self.cx.raw(), &mut length, self.raw) };
        if at.is_null() {
            // Detached, or empty without memory of its own; only the former leaves an exception.
            // SAFETY: asks the context only.
            let threw = unsafe { qjs::JS_HasException(self.cx.raw()) };
            drop(self.cx.take_exception());
            return (!threw).then(Vec::new);
        }
        // SAFETY: the array's bytes, and nothing runs until they are copied.
        Some(unsafe { std::slice::from_raw_parts(at, length as usize) }.to_vec())
    }

    pub fn get(&self, key: &Atom) -> JsResult<Value> {
        // SAFETY: value and key are live.
        self.cx
            .result(unsafe { qjs::JS_GetProperty(self.cx.raw(), self.raw, key.raw()) })
    }

    pub fn get_str(&self, key: &str) -> JsResult<Value> {
        self.get(&self.cx.atom(key))
    }

    pub fn get_index(&self, index: u32) -> JsResult<Value> {
        // SAFETY: the value is live.
        self.cx
            .result(unsafe { qjs::JS_GetPropertyUint32(self.cx.raw(), self.raw, index) })
    }

    /// Defines an own property, whatever prototypes say.
    pub fn define(&self, key: &Atom, value: Value, flags: u32) -> JsResult<()> {
        let (cx, flags) = (self.cx.raw(), flags as c_int);
        // SAFETY: JS_DefinePropertyValue takes over the value's reference.
        let status = unsafe {
            qjs::JS_DefinePropertyValue(cx, self.raw, key.raw(), value.into_raw(), flags)
        };
        self.cx.status(status).map(drop)
    }

    pub fn define_str(&self, key: &str, value: Value) -> JsResult<()> {
        self.define(&self.cx.atom(key), value, PROPERTY_PLAIN)
    }

    pub fn define_index(&self, index: u32, value: Value) -> JsResult<()> {
        let (cx, flags) = (self.cx.raw(), PROPERTY_PLAIN as c_int);
        let value = value.into_raw();
        // SAFETY: takes over the value's reference.
        let status =
            unsafe { qjs::JS_DefinePropertyValueUint32(cx, self.raw, index, value, flags) };
        self.cx.status(status).map(drop)
    }

    pub fn freeze(&self) -> JsResult<()> {
        // SAFETY: the value is live.
        let status = unsafe { qjs::JS_FreezeObject(self.cx.raw(), self.raw) };
        self.cx.status(status).map(drop)
    }

    pub fn prototype(&self) -> JsResult<Value> {
        // SAFETY: the value is live.
        self.cx
            .result(unsafe { qjs::JS_GetPrototype(self.cx.raw(), self.raw) })
    }

    pub fn length(&self) -> JsResult<i64> {
        let mut length = 0;
        // SAFETY: `length` is written when the call went well.
        let status = unsafe { qjs::JS_GetLength(self.cx.raw(), self.raw, &mut length) };
        self.cx.status(status).map(|_| length)
    }

    /// An own property, without running a getter (a proxy's traps would run).
    pub fn own_property(&self, key: &Atom) -> JsResult<Option<Property>> {
        let mut found = qjs::JSPropertyDescriptor {
            flags: 0,
            value: UNDEFINED,
            getter: UNDEFINED,
            setter: UNDEFINED,
        };
        let cx = self.cx.raw();
        // SAFETY: `found` is filled when the answer is 1.
        let status = unsafe { qjs::JS_GetOwnProperty(cx, &mut found, self.raw, key.raw()) };
        if !self.cx.status(status)? {
            return Ok(None);
        }
        let value = self.cx.own(found.value);
        let getter = self.cx.own(found.getter);
        let setter = self.cx.own(found.setter);
        let accessor = found.flags & GETSET != 0;
        drop(setter);
        Ok(Some(if accessor {
            Property::Accessor(getter)
        } else {
            Property::Data(value)
        }))
    }

    /// Own string keys in their order, all or the enumerable ones.
    pub fn own_names(&self, flags: u32) -> JsResult<Vec<Atom>> {
        let (mut table, mut count) = (std::ptr::null_mut(), 0);
        let (cx, flags) = (self.cx.raw(), (flags | qjs::JS_GPN_STRING_MASK) as c_int);
        // SAFETY: table and count are written when the call went well.
        let status =
            unsafe { qjs::JS_GetOwnPropertyNames(cx, &mut table, &mut count, self.raw, flags) };
        self.cx.status(status)?;
        if table.is_null() {
            return Ok(Vec::new());
        }
        // SAFETY: the table has `count` entries.
        let entries = unsafe { std::slice::from_raw_parts(table, count as usize) };
        let names = entries
            .iter()
            .map(|entry| Atom::own(self.cx, entry.atom))
            .collect();
        // The atoms' references are ours now: only the table itself is given back.
        // SAFETY: the table came from js_malloc.
        unsafe { qjs::js_free(cx, table.cast()) };
        Ok(names)
    }

    pub fn call(&self, this: &Value, arguments: &[Value]) -> JsResult<Value> {
        let mut raw: Vec<qjs::JSValue> = arguments.iter().map(|value| value.raw).collect();
        let (cx, count) = (self.cx.raw(), raw.len() as c_int);
        // SAFETY: function, this and arguments are live through the call.
        self.cx
            .result(unsafe { qjs::JS_Call(cx, self.raw, this.raw, count, raw.as_mut_ptr()) })
    }

    /// `new` with this as the constructor and another as what is made.
    pub fn construct(&self, new_target: &Value, arguments: &[Value]) -> JsResult<Value> {
        let mut raw: Vec<qjs::JSValue> = arguments.iter().map(|value| value.raw).collect();
        let (cx, count, at) = (self.cx.raw(), raw.len() as c_int, raw.as_mut_ptr());
        // SAFETY: constructor, target and arguments are live through the call.
        let made = unsafe { qjs::JS_CallConstructor2(cx, self.raw, new_target.raw, count, at) };
        self.cx.result(made)
    }

    /// Deletes an own property.
    pub fn delete(&self, key: &str) -> JsResult<bool> {
        let key = self.cx.atom(key);
        // SAFETY: value and key are live.
        let status = unsafe { qjs::JS_DeleteProperty(self.cx.raw(), self.raw, key.raw(), 0) };
        self.cx.status(status)
    }

    /// `then` of a real promise, whatever a program made of `Promise.prototype`.
    pub fn then(&self, fulfilled: &Value, rejected: &Value) -> JsResult<()> {
        let (cx, fulfilled, rejected) = (self.cx.raw(), fulfilled.raw, rejected.raw);
        // SAFETY: all three are live.
        let raw = unsafe { qjs::JS_PromiseThen(cx, self.raw, fulfilled, rejected) };
        self.cx.result(raw).map(drop)
    }

    /// Whether both are the same object.
    pub fn is_same_object(&self, other: &Value) -> bool {
        self.is_object() && self.address() == other.address()
    }
}

impl Clone for Value {
    fn clone(&self) -> Value {
        self.cx.borrow(self.raw)
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        // SAFETY: this value owns exactly this reference.
        unsafe { qjs::JS_FreeValue(self.cx.raw(), self.raw) }
    }
}

pub const UNDEFINED: qjs::JSValue = immediate(qjs::JS_TAG_UNDEFINED, 0);

/// A value without memory of its own. All eight bytes of it are written: QuickJS's own constructor
/// leaves four as they were, and values are copied into the heap whole.
pub const fn immediate(tag: i32, int: i32) -> qjs::JSValue {
    let float64 = f64::from_bits(int as u32 as u64);
    let u = qjs::JSValueUnion { float64 };
    qjs::JSValue { u, tag: tag as i64 }
}

/// An ordinary property: writable, enumerable, configurable.
pub const PROPERTY_PLAIN: u32 = qjs::JS_PROP_C_W_E;
/// As built-in methods are: writable and configurable.
pub const PROPERTY_HIDDEN: u32 = qjs::JS_PROP_CONFIGURABLE | qjs::JS_PROP_WRITABLE;
/// Enumerable names only.
pub const NAMES_ENUMERABLE: u32 = qjs::JS_GPN_ENUM_ONLY;
/// Every string name.
pub const NAMES_ALL: u32 = 0;

/// `JS_PROP_GETSET` of a descriptor's flags.
const GETSET: c_int = 1 << 4;

/// Numbers of built-in classes, from the enum at the head of quickjs.c; `genesis` checks them.
pub const CLASS_OBJECT: u32 = 1;
pub const CLASS_DATE: u32 = 10;
/// The last of them.
pub const CLASS_LAST: u32 = 66;
