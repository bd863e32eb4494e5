//! JavaScript values and the context they live in, so that the rest of the worker is safe code.
//!
//! Promises: a `Value` owns one reference and gives it back when dropped; every operation that can
//! throw returns the thrown value as `Err`, so no exception stays pending in the context. Values
//! must not outlive the turn they were made in, except those the heap itself holds.

use std::ffi::{CStr, CString, c_int};
use std::ptr::NonNull;

use rquickjs::qjs;

/// What JavaScript threw, or the value.
pub type JsResult<T> = Result<T, Value>;

/// A context: realm and heap. Copied freely, as it is a name for one thing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cx(NonNull<qjs::JSContext>);

/// One reference to a value.
pub struct Value {
    cx: Cx,
    raw: qjs::JSValue,
}

/// One reference to a property key.
pub struct Atom {
    cx: Cx,
    raw: qjs::JSAtom,
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

/// An own property.
pub enum Property {
    Data(Value),
    Accessor,
}

impl Cx {
    pub fn new(raw: NonNull<qjs::JSContext>) -> Cx {
        Cx(raw)
    }

    pub fn raw(self) -> *mut qjs::JSContext {
        self.0.as_ptr()
    }

    pub fn runtime(self) -> *mut qjs::JSRuntime {
        // SAFETY: the context is live as long as the heap is mapped.
        unsafe { qjs::JS_GetRuntime(self.raw()) }
    }

    /// Takes over a reference that C code gave us.
    pub fn own(self, raw: qjs::JSValue) -> Value {
        Value { cx: self, raw }
    }

    /// Makes a reference of our own to a value C code lent us.
    pub fn borrow(self, raw: qjs::JSValue) -> Value {
        // SAFETY: a value lent to us is live.
        self.own(unsafe { qjs::JS_DupValue(self.raw(), raw) })
    }

    /// The value, or what was thrown instead.
    pub fn result(self, raw: qjs::JSValue) -> JsResult<Value> {
        if raw.tag == i64::from(qjs::JS_TAG_EXCEPTION) {
            return Err(self.take_exception());
        }
        Ok(self.own(raw))
    }

    /// Whether a call that answers with a negative number for an exception went well.
    fn status(self, status: c_int) -> JsResult<bool> {
        if status < 0 {
            return Err(self.take_exception());
        }
        Ok(status != 0)
    }

    pub fn take_exception(self) -> Value {
        // SAFETY: reads and clears the pending exception; undefined when there is none.
        let raw = unsafe { qjs::JS_GetException(self.raw()) };
        if raw.tag == i64::from(qjs::JS_TAG_UNINITIALIZED) {
            self.undefined()
        } else {
            self.own(raw)
        }
    }

    /// Throws into the C code that called us.
    pub fn throw(self, error: Value) -> qjs::JSValue {
        // SAFETY: JS_Throw takes over the reference.
        unsafe { qjs::JS_Throw(self.raw(), error.into_raw()) }
    }

    pub fn undefined(self) -> Value {
        self.own(UNDEFINED)
    }

    pub fn null(self) -> Value {
        self.own(qjs::JS_MKVAL(qjs::JS_TAG_NULL, 0))
    }

    pub fn bool(self, value: bool) -> Value {
        self.own(qjs::JS_MKVAL(qjs::JS_TAG_BOOL, value.into()))
    }

    pub fn int(self, value: i32) -> Value {
        self.own(qjs::JS_MKVAL(qjs::JS_TAG_INT, value))
    }

    /// A number; integers in QuickJS's form for them, as its own arithmetic makes them.
    pub fn number(self, value: f64) -> Value {
        let int = value as i32;
        if f64::from(int).to_bits() == value.to_bits() {
            return self.int(int);
        }
        self.own(qjs::JS_NewFloat64(value))
    }

    pub fn string(self, text: &str) -> JsResult<Value> {
        // SAFETY: pointer and length are a str's.
        self.result(unsafe {
            qjs::JS_NewStringLen(self.raw(), text.as_ptr().cast(), text.len() as _)
        })
    }

    pub fn bigint(self, value: i64) -> JsResult<Value> {
        // SAFETY: no precondition beyond a live context.
        self.result(unsafe { qjs::JS_NewBigInt64(self.raw(), value) })
    }

    pub fn bytes(self, bytes: &[u8]) -> JsResult<Value> {
        // SAFETY: pointer and length are a slice's; the bytes are copied.
        self.result(unsafe {
            qjs::JS_NewUint8ArrayCopy(self.raw(), bytes.as_ptr(), bytes.len() as _)
        })
    }

    pub fn object(self) -> JsResult<Value> {
        // SAFETY: no precondition beyond a live context.
        self.result(unsafe { qjs::JS_NewObject(self.raw()) })
    }

    pub fn array(self, values: Vec<Value>) -> JsResult<Value> {
        let count = c_int::try_from(values.len()).unwrap_or(c_int::MAX);
        let raw: Vec<qjs::JSValue> = values.into_iter().map(Value::into_raw).collect();
        // SAFETY: JS_NewArrayFrom takes over `count` references, which the vector holds.
        self.result(unsafe { qjs::JS_NewArrayFrom(self.raw(), count, raw.as_ptr()) })
    }

    pub fn global(self) -> Value {
        // SAFETY: no precondition beyond a live context.
        self.own(unsafe { qjs::JS_GetGlobalObject(self.raw()) })
    }

    /// The prototype of instances of a built-in class.
    pub fn class_prototype(self, class: u32) -> Value {
        // SAFETY: `class` is one of QuickJS's own, which exist in every runtime.
        self.own(unsafe { qjs::JS_GetClassProto(self.raw(), class) })
    }

    /// A TypeError; built in two steps as QuickJS cuts formatted messages at 256 bytes.
    pub fn type_error(self, message: &str) -> Value {
        // SAFETY: the format has no directives.
        let error = unsafe { qjs::JS_NewTypeError(self.raw(), c"%s".as_ptr(), c"".as_ptr()) };
        let error = self.own(error);
        let text = self.string(message);
        if let Ok(text) = text {
            // An error without its message is all there is to give when memory is out.
            let _ = error.define(&self.atom("message"), text, PROPERTY_HIDDEN);
        }
        error
    }

    pub fn atom(self, name: &str) -> Atom {
        // SAFETY: pointer and length are a str's.
        let raw = unsafe { qjs::JS_NewAtomLen(self.raw(), name.as_ptr().cast(), name.len() as _) };
        Atom { cx: self, raw }
    }

    pub fn atom_index(self, index: u32) -> Atom {
        // SAFETY: no precondition beyond a live context.
        Atom {
            cx: self,
            raw: unsafe { qjs::JS_NewAtomUInt32(self.raw(), index) },
        }
    }

    /// A promise and the functions that resolve and reject it.
    pub fn promise(self) -> JsResult<(Value, Value, Value)> {
        let mut functions = [UNDEFINED; 2];
        // SAFETY: the array has room for the two functions that are written.
        let raw = unsafe { qjs::JS_NewPromiseCapability(self.raw(), functions.as_mut_ptr()) };
        let promise = self.result(raw)?;
        let [resolve, reject] = functions;
        Ok((promise, self.own(resolve), self.own(reject)))
    }

    /// Evaluates or compiles source text; lines count from `line`.
    pub fn eval(self, source: &str, file: &str, line: i32, flags: u32) -> JsResult<Value> {
        let file = CString::new(file).map_err(|_| self.type_error("a file name with a NUL"))?;
        // QuickJS wants a zero behind the text.
        let mut text = Vec::with_capacity(source.len() + 1);
        text.extend_from_slice(source.as_bytes());
        text.push(0);
        let mut options = qjs::JSEvalOptions {
            version: qjs::JS_EVAL_OPTIONS_VERSION as c_int,
            eval_flags: flags as c_int,
            filename: file.as_ptr(),
            line_num: line,
        };
        // SAFETY: text and options live through the call; the text is followed by a zero.
        let raw = unsafe {
            qjs::JS_Eval2(
                self.raw(),
                text.as_ptr().cast(),
                source.len() as _,
                &mut options,
            )
        };
        self.result(raw)
    }

    /// Runs what `eval` compiled.
    pub fn run(self, compiled: Value) -> JsResult<Value> {
        // SAFETY: JS_EvalFunction takes over the reference to a compiled script or module.
        self.result(unsafe { qjs::JS_EvalFunction(self.raw(), compiled.into_raw()) })
    }

    /// A host function.
    pub fn function(self, name: &CStr, length: i32, call: qjs::JSCFunction) -> JsResult<Value> {
        let kind = qjs::JSCFunctionEnum_JS_CFUNC_generic;
        // SAFETY: `call` is a static function of the generic C form; the name is copied.
        let raw =
            unsafe { qjs::JS_NewCFunction2(self.raw(), call, name.as_ptr(), length, kind, 0) };
        self.result(raw)
    }

    /// A host function with values of its own, kept in the heap.
    pub fn function_with(
        self,
        name: &CStr,
        magic: i32,
        data: &[Value],
        call: qjs::JSCFunctionData,
    ) -> JsResult<Value> {
        let count = data.len() as c_int;
        let mut raw: Vec<qjs::JSValue> = data.iter().map(|value| value.raw).collect();
        // SAFETY: `call` is a static function; the values are copied with references of their own.
        let raw = unsafe {
            let (at, name) = (raw.as_mut_ptr(), name.as_ptr());
            qjs::JS_NewCFunctionData2(self.raw(), call, name, 1, magic, count, at)
        };
        self.result(raw)
    }
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

    /// Lends the bytes of the value as a string: UTF-8, with lone surrogates in the three-byte form.
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
            .result(unsafe { qjs::JS_GetProperty(self.cx.raw(), self.raw, key.raw) })
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
        let status =
            unsafe { qjs::JS_DefinePropertyValue(cx, self.raw, key.raw, value.into_raw(), flags) };
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
        let status = unsafe { qjs::JS_GetOwnProperty(cx, &mut found, self.raw, key.raw) };
        if !self.cx.status(status)? {
            return Ok(None);
        }
        let value = self.cx.own(found.value);
        let getter = self.cx.own(found.getter);
        let setter = self.cx.own(found.setter);
        let accessor = found.flags & GETSET != 0;
        drop((getter, setter));
        Ok(Some(if accessor {
            Property::Accessor
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
            .map(|entry| Atom {
                cx: self.cx,
                raw: entry.atom,
            })
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

impl Atom {
    /// The key as a string value, or the symbol.
    pub fn text(&self) -> String {
        // SAFETY: the atom is live.
        let raw = unsafe { qjs::JS_AtomToString(self.cx.raw(), self.raw) };
        self.cx
            .result(raw)
            .and_then(|value| value.display())
            .unwrap_or_default()
    }

    /// The key's text, `None` if it is not well-formed Unicode.
    pub fn exact_text(&self) -> JsResult<Option<String>> {
        // SAFETY: the atom is live.
        let raw = unsafe { qjs::JS_AtomToString(self.cx.raw(), self.raw) };
        self.cx.result(raw)?.text()
    }

    /// The key a value stands for: a symbol's own.
    pub fn of(value: &Value) -> Atom {
        // SAFETY: the value is live.
        let raw = unsafe { qjs::JS_ValueToAtom(value.cx.raw(), value.raw) };
        Atom { cx: value.cx, raw }
    }
}

impl Drop for Atom {
    fn drop(&mut self) {
        // SAFETY: this atom owns exactly this reference.
        unsafe { qjs::JS_FreeAtom(self.cx.raw(), self.raw) }
    }
}

pub const UNDEFINED: qjs::JSValue = qjs::JS_MKVAL(qjs::JS_TAG_UNDEFINED, 0);

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
