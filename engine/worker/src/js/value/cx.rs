//! The context: making values, evaluating source text, exceptions.

use std::ffi::{CStr, CString, c_int};
use std::ptr::NonNull;

use rquickjs::qjs;

use super::{Atom, JsResult, PROPERTY_HIDDEN, UNDEFINED, Value, immediate};
use crate::heap::layout::STACK_LIMIT_BYTES;
use crate::heap::stack;
use crate::parsing::{self, Purpose, Stop};

/// Bytes of stack that callers may have used where a text is compiled without running it.
const FRAMES_BYTES: usize = 64 << 10;

/// A context: realm and heap. Copied freely, as it is a name for one thing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cx(NonNull<qjs::JSContext>);

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
    pub fn status(self, status: c_int) -> JsResult<bool> {
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
        self.own(immediate(qjs::JS_TAG_NULL, 0))
    }

    pub fn bool(self, value: bool) -> Value {
        self.own(immediate(qjs::JS_TAG_BOOL, value.into()))
    }

    pub fn int(self, value: i32) -> Value {
        self.own(immediate(qjs::JS_TAG_INT, value))
    }

    /// A number; integers in QuickJS's form for them, as its own arithmetic makes them.
    pub fn number(self, value: f64) -> Value {
        let int = value as i32;
        if f64::from(int).to_bits() == value.to_bits() {
            return self.int(int);
        }
        // One NaN, as QuickJS is built to make (one_nan.h).
        self.own(qjs::JS_NewFloat64(if value.is_nan() {
            f64::NAN
        } else {
            value
        }))
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

    pub fn object_without_prototype(self) -> JsResult<Value> {
        let null = immediate(qjs::JS_TAG_NULL, 0);
        // SAFETY: no precondition beyond a live context.
        self.result(unsafe { qjs::JS_NewObjectProto(self.raw(), null) })
    }

    pub fn array_buffer(self, bytes: &[u8]) -> JsResult<Value> {
        // SAFETY: pointer and length are a slice's; the bytes are copied.
        self.result(unsafe {
            qjs::JS_NewArrayBufferCopy(self.raw(), bytes.as_ptr(), bytes.len() as _)
        })
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

    pub fn type_error(self, message: &str) -> Value {
        // SAFETY: the format has no directives but one for a string.
        self.error_saying(message, unsafe {
            qjs::JS_NewTypeError(self.raw(), c"%s".as_ptr(), c"".as_ptr())
        })
    }

    pub fn syntax_error(self, message: &str) -> Value {
        // SAFETY: as above.
        self.error_saying(message, unsafe {
            qjs::JS_NewSyntaxError(self.raw(), c"%s".as_ptr(), c"".as_ptr())
        })
    }

    pub fn range_error(self, message: &str) -> Value {
        // SAFETY: as above.
        self.error_saying(message, unsafe {
            qjs::JS_NewRangeError(self.raw(), c"%s".as_ptr(), c"".as_ptr())
        })
    }

    /// An error with its message, which is put in by itself: QuickJS cuts formatted ones at 256
    /// bytes.
    fn error_saying(self, message: &str, error: qjs::JSValue) -> Value {
        let error = self.own(error);
        if let Ok(text) = self.string(message) {
            // An error without its message is all there is to give when memory is out.
            let _ = error.define(&self.atom("message"), text, PROPERTY_HIDDEN);
        }
        error
    }

    /// A string of UTF-8 in which lone surrogates stand as three bytes.
    pub fn string_of_bytes(self, bytes: &[u8]) -> JsResult<Value> {
        // SAFETY: pointer and length are a slice's.
        self.result(unsafe {
            qjs::JS_NewStringLen(self.raw(), bytes.as_ptr().cast(), bytes.len() as _)
        })
    }

    pub fn atom(self, name: &str) -> Atom {
        // SAFETY: pointer and length are a str's.
        let raw = unsafe { qjs::JS_NewAtomLen(self.raw(), name.as_ptr().cast(), name.len() as _) };
        Atom::own(self, raw)
    }

    pub fn atom_index(self, index: u32) -> Atom {
        // SAFETY: no precondition beyond a live context.
        let raw = unsafe { qjs::JS_NewAtomUInt32(self.raw(), index) };
        Atom::own(self, raw)
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

    /// Evaluates source text; lines count from `line`.
    pub fn eval(self, source: &str, file: &str, line: i32, flags: u32) -> JsResult<Value> {
        self.evaluated(source.as_bytes(), file, line, flags).0
    }

    /// Compiles source text without running it: UTF-8, in which lone surrogates stand as three
    /// bytes. Where it cannot, also where that showed.
    pub fn compile(
        self,
        source: &[u8],
        file: &str,
        line: i32,
        flags: u32,
    ) -> Result<(), (Value, Option<Stop>)> {
        let flags = flags | qjs::JS_EVAL_FLAG_COMPILE_ONLY;
        // Whoever asks from near the stack's top gets as much of it: how deep a text may nest does
        // not depend on who has it read.
        let used = stack::used(stack::pointer());
        let most = (STACK_LIMIT_BYTES - FRAMES_BYTES + used).min(STACK_LIMIT_BYTES);
        // SAFETY: a live runtime, as below.
        unsafe { qjs::JS_SetMaxStackSize(self.runtime(), most as qjs::size_t) };
        let (compiled, stop) = self.evaluated(source, file, line, flags);
        let most = STACK_LIMIT_BYTES as qjs::size_t;
        // SAFETY: as genesis set it.
        unsafe { qjs::JS_SetMaxStackSize(self.runtime(), most) };
        compiled.map(drop).map_err(|error| (error, stop))
    }

    fn evaluated(
        self,
        source: &[u8],
        file: &str,
        line: i32,
        flags: u32,
    ) -> (JsResult<Value>, Option<Stop>) {
        let Ok(file) = CString::new(file) else {
            return (Err(self.type_error("a file name with a NUL")), None);
        };
        // QuickJS wants a zero behind the text.
        let mut text = Vec::with_capacity(source.len() + 1);
        text.extend_from_slice(source);
        text.push(0);
        let mut options = qjs::JSEvalOptions {
            version: qjs::JS_EVAL_OPTIONS_VERSION as c_int,
            eval_flags: flags as c_int,
            filename: file.as_ptr(),
            line_num: line,
        };
        let (at, length) = (text.as_ptr().cast(), source.len() as qjs::size_t);
        let purpose = match flags & qjs::JS_EVAL_FLAG_COMPILE_ONLY {
            0 => Purpose::Run,
            _ => Purpose::Parse,
        };
        let (raw, stop) = parsing::read(&text[..source.len()], purpose, || {
            // SAFETY: text and options live through the call; the text is followed by a zero.
            unsafe { qjs::JS_Eval2(self.raw(), at, length, &mut options) }
        });
        (self.result(raw), stop)
    }

    /// A host function.
    pub fn function(self, name: &CStr, length: i32, call: qjs::JSCFunction) -> JsResult<Value> {
        let kind = qjs::JSCFunctionEnum_JS_CFUNC_generic;
        // SAFETY: `call` is a static function of the generic C form; the name is copied.
        let raw =
            unsafe { qjs::JS_NewCFunction2(self.raw(), call, name.as_ptr(), length, kind, 0) };
        self.result(raw)
    }

    /// A host function that can be called with and without `new`; `this` is what `new` is for, or
    /// undefined.
    pub fn constructor(self, name: &CStr, length: i32, call: qjs::JSCFunction) -> JsResult<Value> {
        let kind = qjs::JSCFunctionEnum_JS_CFUNC_constructor_or_func;
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
        let mut raw: Vec<qjs::JSValue> = data.iter().map(Value::raw).collect();
        // SAFETY: `call` is a static function; the values are copied with references of their own.
        let raw = unsafe {
            let (at, name) = (raw.as_mut_ptr(), name.as_ptr());
            qjs::JS_NewCFunctionData2(self.raw(), call, name, 1, magic, count, at)
        };
        self.result(raw)
    }
}
