//! A program's files, during the turn that deploys it.
//!
//! The sources lie outside the heap; modules are found in them while that turn lasts, and by
//! nothing after it: a dynamic import in a later turn is rejected. What cannot be imported is
//! refused with what to do instead.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_void};
use std::ptr::NonNull;

use rquickjs::qjs;

use super::value::{Cx, JsResult, Value};
use crate::protocol::Program;

thread_local! {
    static FILES: RefCell<Option<BTreeMap<String, String>>> = const { RefCell::new(None) };
}

/// Makes a program's files importable until `forget`.
pub fn remember(program: &Program) {
    FILES.set(Some(program.files.iter().cloned().collect()));
}

pub fn forget() {
    FILES.set(None);
}

/// The text of a file.
pub fn source(file: &str) -> Option<String> {
    FILES.with_borrow(|files| files.as_ref()?.get(file).cloned())
}

/// One line of a file, counted from 1.
pub fn line(file: &str, number: usize) -> Option<String> {
    let text = source(file)?;
    text.lines().nth(number.checked_sub(1)?).map(str::to_owned)
}

/// What is wrong with a file's name as a program's entry or import, with advice.
pub fn objection(name: &str) -> Option<String> {
    if name.starts_with("node:") {
        return Some("a vat has no Node modules: what it may do comes as powers".to_owned());
    }
    let ending = name.rsplit('.').next().unwrap_or_default();
    match ending {
        "ts" | "mts" | "cts" | "tsx" => Some(
            "TypeScript is not run here: compile it to JavaScript first (for example with esbuild)"
                .to_owned(),
        ),
        "json" => Some(
            "JSON cannot be imported: make it a module (`export default {…}`) or pass it with \
             --give NAME=json:…"
                .to_owned(),
        ),
        _ => None,
    }
}

/// Sets the module functions of a runtime; their addresses stay in the heap.
pub fn install(cx: Cx) {
    let none = std::ptr::null_mut();
    // SAFETY: both are static functions of the forms asked for.
    unsafe { qjs::JS_SetModuleLoaderFunc(cx.runtime(), Some(normalize), Some(load), none) }
}

/// Compiles a file as a module.
pub fn compile(cx: Cx, file: &str, text: &str) -> JsResult<Value> {
    let flags = qjs::JS_EVAL_TYPE_MODULE | qjs::JS_EVAL_FLAG_COMPILE_ONLY;
    cx.eval(text, file, 1, flags)
}

/// The namespace of a module that is linked.
pub fn namespace(cx: Cx, module: NonNull<qjs::JSModuleDef>) -> JsResult<Value> {
    // SAFETY: the module is one the context holds.
    cx.result(unsafe { qjs::JS_GetModuleNamespace(cx.raw(), module.as_ptr()) })
}

/// The module a compiled value stands for.
pub fn definition(compiled: &Value) -> Option<NonNull<qjs::JSModuleDef>> {
    let raw = compiled.raw();
    if raw.tag != i64::from(qjs::JS_TAG_MODULE) {
        return None;
    }
    // SAFETY: a value with this tag has a pointer in this arm.
    NonNull::new(unsafe { raw.u.ptr }.cast())
}

/// From a name as written to a path among the program's files.
unsafe extern "C" fn normalize(
    cx: *mut qjs::JSContext,
    base: *const c_char,
    name: *const c_char,
    _: *mut c_void,
) -> *mut c_char {
    let Some(cx) = NonNull::new(cx).map(Cx::new) else {
        return std::ptr::null_mut();
    };
    // SAFETY: QuickJS passes strings that end with a zero.
    let base = unsafe { CStr::from_ptr(base) }.to_string_lossy();
    // SAFETY: as above.
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
    match resolve(&base, &name) {
        // SAFETY: pointer and length are a str's; the copy is QuickJS's.
        Ok(path) => unsafe { qjs::js_strndup(cx.raw(), path.as_ptr().cast(), path.len() as _) },
        Err(message) => {
            cx.throw(cx.type_error(&message));
            std::ptr::null_mut()
        }
    }
}

unsafe extern "C" fn load(
    cx: *mut qjs::JSContext,
    name: *const c_char,
    _: *mut c_void,
) -> *mut qjs::JSModuleDef {
    let Some(cx) = NonNull::new(cx).map(Cx::new) else {
        return std::ptr::null_mut();
    };
    // SAFETY: QuickJS passes a string that ends with a zero.
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
    let compiled = match source(&name) {
        Some(text) => compile(cx, &name, &text),
        None => Err(cx.type_error(&format!("cannot find {name}"))),
    };
    match compiled.map(|value| definition(&value)) {
        Ok(Some(module)) => module.as_ptr(),
        Ok(None) => std::ptr::null_mut(),
        Err(error) => {
            cx.throw(error);
            std::ptr::null_mut()
        }
    }
}

fn resolve(base: &str, name: &str) -> Result<String, String> {
    let loading = FILES.with_borrow(|files| files.is_some());
    if !loading {
        return Err(format!(
            "cannot import '{name}': modules are loaded while a vat is deployed, and not after"
        ));
    }
    let importer = importer(base, name);
    if let Some(objection) = objection(name) {
        return Err(format!("cannot import '{name}' ({importer}): {objection}"));
    }
    if !name.starts_with("./") && !name.starts_with("../") {
        return Err(format!(
            "cannot import '{name}' ({importer}): only relative imports are followed; bundle \
             packages into the program first (for example with esbuild --bundle --format=esm)"
        ));
    }
    let Some(path) = join(base, name) else {
        return Err(format!(
            "cannot import '{name}' ({importer}): it lies outside the program's folder"
        ));
    };
    if source(&path).is_some() {
        return Ok(path);
    }
    let hint = match [".js", ".mjs", "/index.js"]
        .iter()
        .find(|end| source(&format!("{path}{end}")).is_some())
    {
        Some(end) => format!("; write '{name}{end}'"),
        None => String::new(),
    };
    Err(format!("cannot find '{name}' ({importer}){hint}"))
}

/// `imported by FILE:LINE`, as far as the line can be told from the text.
fn importer(base: &str, name: &str) -> String {
    let text = source(base).unwrap_or_default();
    let quoted = [format!("'{name}'"), format!("\"{name}\"")];
    let names_it = |line: &&str| quoted.iter().any(|quoted| line.contains(quoted.as_str()));
    let imports = |line: &&str| line.contains("import") || line.contains("from");
    let at = text
        .lines()
        .position(|line| names_it(&line) && imports(&line))
        .or_else(|| text.lines().position(|line| names_it(&line)));
    match at {
        Some(at) => format!("imported by {base}:{}", at + 1),
        None => format!("imported by {base}"),
    }
}

/// `name` relative to the folder of `base`; `None` when it leads outside.
fn join(base: &str, name: &str) -> Option<String> {
    let mut parts: Vec<&str> = base.split('/').collect();
    parts.pop();
    for part in name.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program() -> Program {
        let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
        Program {
            entry: "main.js".into(),
            files: vec![
                file(
                    "main.js",
                    "// './lib/b.js' in a comment\nimport b from './lib/b.js';\n",
                ),
                file("lib/b.js", "import '../c.js'"),
                file("c.js", ""),
            ],
            give: vec![],
        }
    }

    #[test]
    fn relative_names_are_found_and_others_refused_with_advice() {
        remember(&program());
        assert_eq!(resolve("main.js", "./lib/b.js").unwrap(), "lib/b.js");
        assert_eq!(resolve("lib/b.js", "../c.js").unwrap(), "c.js");
        let refused = |base: &str, name: &str| resolve(base, name).unwrap_err();
        assert!(refused("main.js", "left-pad").contains("bundle"));
        assert!(refused("main.js", "node:fs").contains("powers"));
        assert!(refused("main.js", "./x.ts").contains("compile"));
        assert!(refused("main.js", "./x.json").contains("--give"));
        assert!(refused("main.js", "../x.js").contains("outside"));
        assert!(refused("main.js", "./c").contains("write './c.js'"));
        assert_eq!(importer("main.js", "./lib/b.js"), "imported by main.js:2");
        forget();
        assert!(refused("main.js", "./c.js").contains("deployed"));
    }
}
