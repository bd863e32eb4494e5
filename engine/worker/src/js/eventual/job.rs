//! A send to a local object: the promise it gives, and the job that runs it.
//!
//! A job is a C function and its arguments in the heap; they are, in this order: what is done, the
//! target, the key, the promise with the functions that settle it (undefined for a send without an
//! answer), and the arguments of the call.

use std::ffi::c_int;
use std::ptr::NonNull;

use rquickjs::qjs;

use super::names::{Hook, Names, has_own_private, hook};
use crate::abort;
use crate::js::method;
use crate::js::realm::Realm;
use crate::js::value::{Atom, Cx, JsResult, Kind, UNDEFINED, Value};

/// What is sent. The numbers stand in jobs and in the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Get = 0,
    Method = 1,
    Function = 2,
}

impl Op {
    pub fn of(number: &Value) -> Option<Op> {
        match number.kind() {
            Kind::Int(0) => Some(Op::Get),
            Kind::Int(1) => Some(Op::Method),
            Kind::Int(2) => Some(Op::Function),
            _ => None,
        }
    }
}

/// Whether the sender wants an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    Answer,
    Nothing,
}

/// Where a job's own arguments end and the call's begin.
const HEAD: usize = 6;

/// A promise of the library's, with what settles it.
pub struct Settler {
    pub promise: Value,
    pub resolve: Value,
    pub reject: Value,
}

impl Settler {
    /// A pending promise, with the prototype given or that of all promises.
    pub fn new(cx: Cx, names: &Names, prototype: Option<&Value>) -> JsResult<Settler> {
        let (promise, resolve, reject) = cx.promise()?;
        let settler = Settler {
            promise,
            resolve,
            reject,
        };
        let raw = settler.promise.raw();
        let flags = qjs::JS_PROP_C_W_E as c_int;
        // SAFETY: a live object and a live name; the value is no reference.
        let status =
            unsafe { qjs::JS_DefinePropertyValue(cx.raw(), raw, names.mail, UNDEFINED, flags) };
        if status < 0 {
            return Err(cx.take_exception());
        }
        if let Some(prototype) = prototype {
            // SAFETY: both are live.
            let status = unsafe { qjs::JS_SetPrototype(cx.raw(), raw, prototype.raw()) };
            if status < 0 {
                return Err(cx.take_exception());
            }
        }
        // It has no properties but the private one, so this is all that freezing would do.
        // SAFETY: a live object.
        unsafe { qjs::JS_PreventExtensions(cx.raw(), raw) };
        Ok(settler)
    }
}

/// Sends to whatever the target is; the promise, or undefined where no answer is wanted.
pub fn send(
    realm: &Realm,
    (op, want): (Op, Want),
    target: &Value,
    key: Value,
    arguments: &[Value],
) -> JsResult<Value> {
    let names = Names::get(realm)?;
    if is_local(target, &names) {
        return send_local(realm, &names, (op, want), target, key, arguments);
    }
    let cx = realm.cx;
    let list = cx.array(arguments.to_vec())?;
    let only = cx.bool(want == Want::Nothing);
    let op = cx.int(op as i32);
    hook(realm, Hook::Route, &[op, target.clone(), key, list, only])
}

/// Whether a send needs nothing but this file. Runs nothing of the target's.
fn is_local(target: &Value, names: &Names) -> bool {
    if !target.is_object() {
        return true;
    }
    !target.is_promise() && !target.is_proxy() && !has_own_private(target, names.handler)
}

/// Queues the job of a send to a local object.
pub fn send_local(
    realm: &Realm,
    names: &Names,
    (op, want): (Op, Want),
    target: &Value,
    key: Value,
    arguments: &[Value],
) -> JsResult<Value> {
    let cx = realm.cx;
    let (promise, resolve, reject) = match want {
        Want::Answer => {
            let Settler {
                promise,
                resolve,
                reject,
            } = Settler::new(cx, names, None)?;
            (promise, resolve, reject)
        }
        Want::Nothing => (cx.undefined(), cx.undefined(), cx.undefined()),
    };
    let op = cx.int(op as i32);
    let head = [&op, target, &key, &promise, &resolve, &reject];
    let mut raw: Vec<qjs::JSValue> = Vec::with_capacity(HEAD + arguments.len());
    raw.extend(head.map(Value::raw));
    raw.extend(arguments.iter().map(Value::raw));
    enqueue(cx, Some(run), &mut raw)?;
    Ok(promise)
}

/// Queues a job; the values get references of their own.
pub fn enqueue(cx: Cx, job: qjs::JSJobFunc, arguments: &mut [qjs::JSValue]) -> JsResult<()> {
    let count = arguments.len() as c_int;
    // SAFETY: `job` is a static function of the form asked for; the values are live.
    let status = unsafe { qjs::JS_EnqueueJob(cx.raw(), job, count, arguments.as_mut_ptr()) };
    if status < 0 {
        return Err(cx.take_exception());
    }
    Ok(())
}

/// The job. What it throws is told through the promise, so it never fails itself.
extern "C" fn run(
    _: *mut qjs::JSContext,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    if let (Some(realm), Some(values)) = (Realm::current(), arguments_of(count, arguments))
        && let Some((head, rest)) = values.split_first_chunk::<HEAD>()
    {
        perform(&realm, head, rest);
    }
    UNDEFINED
}

fn perform(realm: &Realm, head: &[Value; HEAD], rest: &[Value]) {
    let [op, target, key, promise, resolve, reject] = head;
    let cx = realm.cx;
    let Some(kind) = Op::of(op) else { return };
    let outcome = match has_then(realm, target) {
        Ok(true) => {
            let list = match cx.array(rest.to_vec()) {
                Ok(list) => list,
                Err(error) => return settle(realm, head, Err(error)),
            };
            let settlers = [resolve.clone(), reject.clone(), promise.clone()];
            let [resolve, reject, promise] = settlers;
            let all = [
                op.clone(),
                target.clone(),
                key.clone(),
                list,
                resolve,
                reject,
                promise,
            ];
            if let Err(error) = hook(realm, Hook::Assimilate, &all) {
                settle(realm, head, Err(error));
            }
            return;
        }
        Ok(false) => apply(realm, kind, target, key, rest),
        Err(error) => Err(error),
    };
    settle(realm, head, outcome);
}

/// A thenable is waited for, as `Promise.resolve` would; its `then` may be a getter, so this is
/// asked in the job only.
fn has_then(realm: &Realm, target: &Value) -> JsResult<bool> {
    if !target.is_object() {
        return Ok(false);
    }
    let then = get(target, Names::get(realm)?.then)?;
    Ok(then.is_function())
}

fn get(target: &Value, name: qjs::JSAtom) -> JsResult<Value> {
    let cx = target.cx();
    // SAFETY: target and name are live.
    cx.result(unsafe { qjs::JS_GetProperty(cx.raw(), target.raw(), name) })
}

fn apply(realm: &Realm, op: Op, target: &Value, key: &Value, rest: &[Value]) -> JsResult<Value> {
    if op == Op::Function {
        return match target.is_function() {
            true => target.call(&realm.cx.undefined(), rest),
            false => missing(realm, op, target, key),
        };
    }
    if matches!(target.kind(), Kind::Undefined | Kind::Null) {
        return missing(realm, op, target, key);
    }
    let name = Atom::of(key);
    if op == Op::Get {
        return method::property(realm, target, &name);
    }
    match method::of_local(realm, target, &name)? {
        Some(function) => function.call(target, rest),
        None => missing(realm, op, target, key),
    }
}

fn missing(realm: &Realm, op: Op, target: &Value, key: &Value) -> JsResult<Value> {
    let op = realm.cx.int(op as i32);
    hook(realm, Hook::Missing, &[op, target.clone(), key.clone()])
}

/// Settles the send's promise.
fn settle(realm: &Realm, head: &[Value; HEAD], outcome: JsResult<Value>) {
    let [_, _, _, promise, resolve, reject] = head;
    // The turn is undone: nothing that still happens counts.
    if abort::is_wanted() {
        return;
    }
    let undefined = realm.cx.undefined();
    let told = match outcome {
        Err(error) if promise.is_object() => reject.call(&undefined, &[error]),
        Err(error) => rejected(realm.cx, &error),
        Ok(_) if !promise.is_object() => return,
        Ok(value) => {
            let adopted = match value.is_promise() {
                true => hook(realm, Hook::Adopt, &[promise.clone(), value.clone()]),
                false => Ok(undefined.clone()),
            };
            match adopted {
                Ok(_) => resolve.call(&undefined, &[value]),
                Err(error) => reject.call(&undefined, &[error]),
            }
        }
    };
    // The functions of a promise throw only when memory is out, and then the turn is undone.
    drop(told);
}

/// A promise rejected from birth, which nobody holds: the log shows it as unhandled.
pub fn rejected(cx: Cx, error: &Value) -> JsResult<Value> {
    // SAFETY: the value is live; the promise has a reference of its own.
    cx.result(unsafe { qjs::JS_NewSettledPromise(cx.raw(), true, error.raw()) })
}

/// The arguments of a C callback, each with a reference of its own.
pub fn arguments_of(count: c_int, arguments: *mut qjs::JSValue) -> Option<Vec<Value>> {
    let cx = Realm::current()?.cx;
    let count = usize::try_from(count).ok()?;
    let Some(first) = NonNull::new(arguments).filter(|_| count > 0) else {
        return Some(Vec::new());
    };
    // SAFETY: QuickJS passes `count` live values.
    let lent = unsafe { std::slice::from_raw_parts(first.as_ptr(), count) };
    Some(lent.iter().map(|raw| cx.borrow(*raw)).collect())
}
