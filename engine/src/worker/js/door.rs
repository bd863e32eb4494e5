//! The one door through which text becomes code.
//!
//! QuickJS compiles for `eval` and `Function` wherever it is asked, in the real global, and names
//! nothing but `<input>`. Here its compiler is reached through a function of ours instead: direct
//! evaluation happens only when `evaluate` announced it, with the text, file and line that were
//! announced; indirect evaluation, which is what the intrinsic `eval` and `Function` do, never.
//! Whoever gets hold of those intrinsics, by whatever trick, holds nothing.
//!
//! The compiler's address is one word of QuickJS's context, found at genesis as the one word that
//! changes when evaluation is switched on, and kept as the context's opaque pointer: both are
//! right for this executable, as every address in a heap is.

use std::cell::RefCell;
use std::ffi::{CString, c_char, c_int};
use std::ptr::NonNull;

use rquickjs::qjs;

use super::realm::Realm;
use super::registry::Slot;
use super::repairs;
use super::value::{Cx, JsResult, PROPERTY_PLAIN, Value};

/// Words of the context that are looked at; it has fewer than twice as many.
const CONTEXT_WORDS: usize = 112;

/// QuickJS's compiler, as its context names it.
type Compiler = unsafe extern "C" fn(
    *mut qjs::JSContext,
    qjs::JSValue,
    *const c_char,
    qjs::size_t,
    *const c_char,
    c_int,
    c_int,
    c_int,
) -> qjs::JSValue;

/// What the next direct evaluation compiles.
struct Announced {
    /// Ends with a zero, which is not part of the text.
    text: Vec<u8>,
    file: CString,
    line: c_int,
    /// The object that lends the name `eval` to the scope until the text is compiled.
    lender: Value,
}

thread_local! {
    static ANNOUNCED: RefCell<Option<Announced>> = const { RefCell::new(None) };
}

/// Switches evaluation on, behind the door. False when QuickJS's context is not as it was known.
pub fn install(cx: Cx) -> bool {
    let before = words(cx);
    // SAFETY: a live context.
    if unsafe { qjs::JS_AddIntrinsicEval(cx.raw()) } != 0 {
        return false;
    }
    let after = words(cx);
    let mut changed = (0..CONTEXT_WORDS).filter(|at| before[*at] != after[*at]);
    let (Some(at), None) = (changed.next(), changed.next()) else {
        return false;
    };
    if before[at] != 0 {
        return false;
    }
    let compiler = std::ptr::with_exposed_provenance_mut(after[at] as usize);
    // SAFETY: a live context; nothing else uses the pointer.
    unsafe { qjs::JS_SetContextOpaque(cx.raw(), compiler) };
    let ours: Compiler = on_compile;
    let slot = cx.raw().cast::<u64>().wrapping_add(at);
    // SAFETY: the word is the context's compiler, a function pointer of this form.
    unsafe { slot.write(ours as usize as u64) };
    true
}

fn words(cx: Cx) -> [u64; CONTEXT_WORDS] {
    // SAFETY: the context lies in the heap, whose pages behind it are mapped.
    unsafe { cx.raw().cast::<[u64; CONTEXT_WORDS]>().read() }
}

/// A scope for evaluations in which names are looked up in `globals` and nowhere else.
pub fn scope(realm: &Realm, globals: &Value) -> JsResult<Value> {
    let maker = realm.registry.get(Slot::MakeScope)?;
    maker.call(globals, std::slice::from_ref(globals))
}

/// The same with what a module imports before it, as properties of `bindings`.
pub fn module_scope(realm: &Realm, globals: &Value, bindings: &Value) -> JsResult<Value> {
    let maker = realm.registry.get(Slot::MakeModuleScope)?;
    let within = maker.call(globals, std::slice::from_ref(globals))?;
    within.call(globals, std::slice::from_ref(bindings))
}

/// What an evaluation happens in.
pub struct Inside<'a> {
    pub scope: &'a Value,
    pub globals: &'a Value,
    /// What `import(…)` calls.
    pub importer: &'a Value,
}

/// Evaluates a script in a scope that `scope` made of its globals; lines count from `line`. The
/// text is UTF-8, with lone surrogates in the three-byte form, as `modules::script` leaves it.
pub fn evaluate(
    realm: &Realm,
    inside: &Inside,
    text: &[u8],
    file: &str,
    line: i32,
) -> JsResult<Value> {
    let cx = realm.cx;
    let hidden = realm.registry.get(Slot::Hidden)?;
    let lender = cx.object_without_prototype()?;
    let key = cx.atom("eval");
    lender.define(&key, realm.registry.get(Slot::Eval)?, PROPERTY_PLAIN)?;
    let evaluator = inside
        .scope
        .call(inside.globals, &[lender.clone(), cx.undefined()])?;
    let Ok(file) = CString::new(file) else {
        return Err(cx.type_error("a file name with a NUL"));
    };
    let mut terminated = Vec::with_capacity(text.len() + 1);
    terminated.extend_from_slice(text);
    terminated.push(0);
    let none = || cx.undefined();
    let mut bound = vec![none(), none(), none(), inside.importer.clone()];
    for at in 0..hidden.length()? {
        bound.push(hidden.get_index(at as u32)?);
    }
    ANNOUNCED.set(Some(Announced {
        text: terminated,
        file,
        line,
        lender,
    }));
    let result = evaluator.call(&cx.undefined(), &bound);
    drop(ANNOUNCED.take());
    result
}

/// Whether this text is a script, without running it; `Err` is the SyntaxError.
pub fn parse(cx: Cx, text: &str, file: &str, line: i32) -> JsResult<()> {
    let flags = qjs::JS_EVAL_TYPE_GLOBAL | qjs::JS_EVAL_FLAG_STRICT;
    let only = flags | qjs::JS_EVAL_FLAG_COMPILE_ONLY;
    cx.eval(text, file, line, only).map(drop)
}

/// Stands before QuickJS's compiler.
#[allow(
    clippy::too_many_arguments,
    reason = "the form is QuickJS's; it has eight"
)]
unsafe extern "C" fn on_compile(
    raw: *mut qjs::JSContext,
    this: qjs::JSValue,
    input: *const c_char,
    length: qjs::size_t,
    file: *const c_char,
    line: c_int,
    flags: c_int,
    scope: c_int,
) -> qjs::JSValue {
    let Some(cx) = NonNull::new(raw).map(Cx::new) else {
        return super::value::UNDEFINED;
    };
    // SAFETY: a live context; `install` put the compiler there.
    let compiler = unsafe { qjs::JS_GetContextOpaque(raw) };
    // SAFETY: the pointer is QuickJS's compiler, of this form, in this very executable.
    let compiler: Compiler = unsafe { std::mem::transmute(compiler) };
    let kind = flags as u32 & qjs::JS_EVAL_TYPE_MASK;
    let announced = match kind {
        qjs::JS_EVAL_TYPE_DIRECT => ANNOUNCED.take(),
        _ => None,
    };
    let ours = matches!(kind, qjs::JS_EVAL_TYPE_GLOBAL | qjs::JS_EVAL_TYPE_MODULE);
    let Some(announced) = announced else {
        if !ours && repairs::wanted("door") {
            return cx.throw(cx.type_error("text is evaluated by a compartment's eval only"));
        }
        // SAFETY: the arguments are the caller's, unchanged.
        return unsafe { compiler(raw, this, input, length, file, line, flags, scope) };
    };
    if repairs::wanted("lender") && announced.lender.delete("eval").is_err() {
        return cx.throw(cx.type_error("the scope cannot be made"));
    }
    let (text, file) = (announced.text, announced.file);
    let (at, length) = (text.as_ptr().cast(), text.len() - 1);
    // SAFETY: text and file end with a zero and live through the call; the rest is the caller's.
    unsafe {
        compiler(
            raw,
            this,
            at,
            length as qjs::size_t,
            file.as_ptr(),
            announced.line,
            flags,
            scope,
        )
    }
}
