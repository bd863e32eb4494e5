//! The host functions the library's eventual send is built of. They are on no global.

use std::ffi::c_int;

use rquickjs::qjs;

use super::job::{self, Op, Settler, Want, arguments_of};
use super::names::{self, Names};
use super::proxy;
use crate::js::method;
use crate::js::realm::Realm;
use crate::js::value::{Atom, Cx, JsResult, Kind, UNDEFINED, Value};

/// Names of methods that a message lists.
const NAMES_SHOWN: usize = 8;

/// Puts the functions on the object the library's files get.
pub fn install(cx: Cx, host: &Value) -> JsResult<()> {
    let functions: [(&std::ffi::CStr, i32, qjs::JSCFunction); 13] = [
        (c"brand", 6, Some(brand)),
        (c"sender", 2, Some(sender)),
        (c"send", 5, Some(send)),
        (c"sendLocal", 5, Some(send_local)),
        (c"settler", 1, Some(settler)),
        (c"react", 3, Some(react)),
        (c"promiseState", 1, Some(promise_state)),
        (c"promiseResult", 1, Some(promise_result)),
        (c"later", 2, Some(later)),
        (c"unhandled", 1, Some(unhandled)),
        (c"methodOf", 2, Some(method_of)),
        (c"propertyOf", 2, Some(property_of)),
        (c"methodNames", 1, Some(method_names)),
    ];
    for (name, length, function) in functions {
        let text = name.to_str().expect("the names above are ASCII");
        host.define_str(text, cx.function(name, length, function)?)?;
    }
    Ok(())
}

/// A host function's body: the realm and the arguments, as many as the function takes.
fn body<const N: usize>(
    count: c_int,
    arguments: *mut qjs::JSValue,
    work: impl FnOnce(&Realm, [Value; N]) -> JsResult<Value>,
) -> qjs::JSValue {
    let (Some(realm), Some(mut list)) = (Realm::current(), arguments_of(count, arguments)) else {
        return UNDEFINED;
    };
    let cx = realm.cx;
    list.resize_with(N, || cx.undefined());
    match <[Value; N]>::try_from(list) {
        Ok(values) => proxy::out(cx, work(&realm, values)),
        Err(_) => UNDEFINED,
    }
}

/// `brand(mailSample, handlerSample, route, adopt, assimilate, missing)`: once, at genesis.
extern "C" fn brand(
    _: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    body(count, arguments, |realm, values: [Value; 6]| {
        let [mail, handler, hooks @ ..] = values;
        let [proxy_class, method_class] = proxy::register(realm.cx)?;
        let names = Names {
            mail: names::private_name(&mail)?,
            handler: names::private_name(&handler)?,
            then: names::then_name(realm.cx),
            proxy_class,
            method_class,
        };
        names.keep(realm, hooks)?;
        Ok(realm.cx.undefined())
    })
}

/// `sender(mode, target)`
extern "C" fn sender(
    _: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    body(count, arguments, |realm, [mode, target]: [Value; 2]| {
        proxy::sender(realm, proxy::mode_of(&mode), &target)
    })
}

/// `send(op, target, key, args, only)`: to whatever the target is.
extern "C" fn send(
    _: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    body(count, arguments, |realm, values: [Value; 5]| {
        let [op, target, key, args, only] = values;
        let (op, list) = (op_of(realm, &op)?, list_of(&args)?);
        job::send(realm, (op, want(&only)), &target, key, &list)
    })
}

/// `sendLocal(op, target, key, args, only)`: to an object that is no presence.
extern "C" fn send_local(
    _: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    body(count, arguments, |realm, values: [Value; 5]| {
        let [op, target, key, args, only] = values;
        let (op, list) = (op_of(realm, &op)?, list_of(&args)?);
        let names = Names::get(realm)?;
        job::send_local(realm, &names, (op, want(&only)), &target, key, &list)
    })
}

fn want(only: &Value) -> Want {
    match only.kind() {
        Kind::Bool(true) => Want::Nothing,
        _ => Want::Answer,
    }
}

fn op_of(realm: &Realm, op: &Value) -> JsResult<Op> {
    Op::of(op).ok_or_else(|| realm.cx.type_error("not an operation"))
}

/// The elements of a list the library made.
fn list_of(args: &Value) -> JsResult<Vec<Value>> {
    let length = args.length()?;
    (0..length).map(|at| args.get_index(at as u32)).collect()
}

/// `settler(prototype)`: `[promise, resolve, reject]` of a promise of ours.
extern "C" fn settler(
    _: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    body(count, arguments, |realm, [prototype]: [Value; 1]| {
        let names = Names::get(realm)?;
        let prototype = prototype.is_object().then_some(&prototype);
        let Settler {
            promise,
            resolve,
            reject,
        } = Settler::new(realm.cx, &names, prototype)?;
        realm.cx.array(vec![promise, resolve, reject])
    })
}

/// `react(promise, fulfilled, rejected)`: `then` of a real promise, whatever stands on it. False
/// when it is none.
extern "C" fn react(
    _: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    body(count, arguments, |realm, values: [Value; 3]| {
        let [promise, fulfilled, rejected] = values;
        if !promise.is_promise() {
            return Ok(realm.cx.bool(false));
        }
        promise.then(&fulfilled, &rejected)?;
        Ok(realm.cx.bool(true))
    })
}

/// `promiseState(x)`: 0 pending, 1 fulfilled, 2 rejected, -1 for what is no promise.
extern "C" fn promise_state(
    _: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    body(count, arguments, |realm, [promise]: [Value; 1]| {
        // SAFETY: any value may be asked.
        let state = unsafe { qjs::JS_PromiseState(realm.cx.raw(), promise.raw()) };
        Ok(realm.cx.int(match state {
            qjs::JSPromiseStateEnum_JS_PROMISE_PENDING => 0,
            qjs::JSPromiseStateEnum_JS_PROMISE_FULFILLED => 1,
            qjs::JSPromiseStateEnum_JS_PROMISE_REJECTED => 2,
            _ => -1,
        }))
    })
}

/// `promiseResult(promise)`: value or reason of a settled one.
extern "C" fn promise_result(
    _: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    body(count, arguments, |realm, [promise]: [Value; 1]| {
        let cx = realm.cx;
        // SAFETY: any value may be asked.
        cx.result(unsafe { qjs::JS_PromiseResult(cx.raw(), promise.raw()) })
    })
}

/// `later(function, argument)`: calls it in a job of its own. It must not throw.
extern "C" fn later(
    _: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    body(count, arguments, |realm, values: [Value; 2]| {
        let mut raw = values.each_ref().map(Value::raw);
        job::enqueue(realm.cx, Some(call_later), &mut raw)?;
        Ok(realm.cx.undefined())
    })
}

extern "C" fn call_later(
    _: *mut qjs::JSContext,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    body(count, arguments, |realm, [function, value]: [Value; 2]| {
        function.call(&realm.cx.undefined(), &[value])
    })
}

/// `unhandled(reason)`: a rejection that is nobody's, for the log.
extern "C" fn unhandled(
    _: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    body(count, arguments, |realm, [reason]: [Value; 1]| {
        job::rejected(realm.cx, &reason)?;
        Ok(realm.cx.undefined())
    })
}

/// `methodOf(x, key)`: the method a send runs, undefined where there is none. `x` is not null or
/// undefined.
extern "C" fn method_of(
    _: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    body(count, arguments, |realm, [target, key]: [Value; 2]| {
        let found = method::of_local(realm, &target, &Atom::of(&key))?;
        Ok(found.unwrap_or_else(|| realm.cx.undefined()))
    })
}

/// `propertyOf(x, key)`: what a send that asks for a property is answered with.
extern "C" fn property_of(
    _: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    body(count, arguments, |realm, [target, key]: [Value; 2]| {
        method::property(realm, &target, &Atom::of(&key))
    })
}

/// `methodNames(x)`: the names of what `methodOf` finds, as far as people want to read.
extern "C" fn method_names(
    _: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
) -> qjs::JSValue {
    body(count, arguments, |realm, [target]: [Value; 1]| {
        // What throws here can only be a proxy's trap, and the message goes without its names.
        let mut names = method::local_names(realm, &target).unwrap_or_default();
        names.truncate(NAMES_SHOWN);
        realm.cx.string(&names.join(", "))
    })
}
