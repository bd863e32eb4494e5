//! A program's files, during the turn that deploys it; and modules taken apart.
//!
//! The sources lie outside the heap; modules are found in them while that turn lasts, and by
//! nothing after it: a dynamic import in a later turn is rejected. What cannot be imported is
//! refused with what to do instead.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::{c_char, c_int, c_void};
use std::ptr::NonNull;

use rquickjs::qjs;

use super::door::{self, Parsed, Script};
use super::realm::Realm;
use super::sends::{self, Whose};
use super::value::{Cx, JsResult, Value};
use crate::c_symbols;
use crate::parsing::Stop;
use kenvat_syntax::module::{self, Binding, Export, Module, ModuleError};
use kenvat_syntax::{Columns, Goal, Hidden, Names, Rewritten};
use kenvat_wire::protocol::Program;

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
    let line = kenvat_syntax::line(text.as_bytes(), u32::try_from(number).ok()?)?;
    Some(String::from_utf8_lossy(line).into_owned())
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

/// A module taken apart for the library's `modules.js`: its text as an expression that makes a
/// function, the name the engine is to know it by, and what it imports and exports. Throws what is
/// wrong with it.
pub fn read(realm: &Realm, text: &[u8], whose: Whose) -> JsResult<Value> {
    let (cx, file) = (realm.cx, whose.file());
    let text = &without_hashbang(text);
    let whole = kenvat_syntax::rewrite(text, Goal::Module);
    let whole = whole.map_err(|error| refusal(cx, file, error.into()))?;
    // Whether the engine takes it for a module.
    door::parse(realm, &whole.into(), whose, 1, Parsed::Module)?;
    let module = module::take_apart(text).map_err(|error| refusal(cx, file, error))?;
    let out = cx.object()?;
    let name = sends::keep(realm, whose, &module.columns, Some(module.names))?;
    out.define_str("name", cx.string(&name)?)?;
    out.define_str("tag", cx.string(module.names.tag())?)?;
    let default = module.names.name(Hidden::Default);
    out.define_str("unnamed", cx.string(&default)?)?;
    out.define_str("text", cx.string_of_bytes(&wrapped(&module))?)?;
    let list = |names: &[String]| cx.array(strings(cx, names)?);
    out.define_str("requests", list(&module.requests)?)?;
    out.define_str("dynamic", list(&module.dynamic)?)?;
    out.define_str("stars", list(&module.stars)?)?;
    out.define_str("bindings", bindings(cx, &module)?)?;
    out.define_str("exports", exports(cx, &module)?)?;
    Ok(out)
}

/// `[local, specifier, name]` for each name an import binds.
fn bindings(cx: Cx, module: &Module) -> JsResult<Value> {
    let mut bindings = Vec::new();
    for Binding {
        local,
        specifier,
        name,
    } in &module.bindings
    {
        let mut parts = strings(cx, &[local.clone(), specifier.clone()])?;
        parts.push(match name {
            Some(name) => cx.string(name)?,
            None => cx.undefined(),
        });
        bindings.push(cx.array(parts)?);
    }
    cx.array(bindings)
}

/// `[exported, specifier, name]` for each export; those of the module's own variables end after the
/// first, those of a whole namespace after the second.
fn exports(cx: Cx, module: &Module) -> JsResult<Value> {
    let mut exports = Vec::new();
    for (exported, export) in &module.exports {
        let mut parts = vec![cx.string(exported)?];
        match export {
            Export::Local(_) => {}
            Export::From { specifier, name } => {
                parts.extend(strings(cx, &[specifier.clone(), name.clone()])?);
            }
            Export::Namespace { specifier } => parts.push(cx.string(specifier)?),
        }
        exports.push(cx.array(parts)?);
    }
    cx.array(exports)
}

/// Lines before a module's own in what is evaluated for it.
pub const HEAD_LINES: i32 = 2;

/// The module's body as a function. Called, it makes its variables, says how to read what it
/// exports, and waits; what it told its exports to tells it when to go on.
fn wrapped(module: &Module) -> Vec<u8> {
    let [register, importer, meta] =
        [Hidden::Register, Hidden::Import, Hidden::Meta].map(|name| module.names.name(name));
    let mut head =
        format!("(({register}, {importer}, {meta}) => async function () {{ await {register}({{");
    for (exported, export) in &module.exports {
        if let Export::Local(local) = export {
            // Computed, so that `__proto__` is a name like any other.
            head.push_str(&format!("[{}]: () => {local}, ", quoted(exported)));
        }
    }
    head.push_str("__proto__: null });\n\n");
    // Behind what ends the body, so that using it is a ReferenceError.
    let arguments = module.names.name(Hidden::Arguments);
    let tail = format!("\n;return; let {arguments};\n}})");
    [head.as_bytes(), &module.text, tail.as_bytes()].concat()
}

/// A string literal of one line.
fn quoted(text: &str) -> String {
    let mut literal = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' | '\0'..=' ' | '\u{7f}'.. => {
                literal.push_str(&format!("\\u{{{:x}}}", u32::from(character)));
            }
            _ => literal.push(character),
        }
    }
    literal + "\""
}

/// A script as the engine is to be given it: `import(…)` and infix `!` made calls.
pub fn script(realm: &Realm, text: &[u8], whose: Whose) -> JsResult<Script> {
    let (cx, file) = (realm.cx, whose.file());
    let module::Script {
        rewritten,
        has_early_errors,
    } = match module::script(text) {
        Ok(script) => script,
        Err(ModuleError::Unread) => {
            // The engine's own words for what is wrong.
            parse_as_script(realm, text, whose)?;
            return Err(cx.syntax_error(&format!("{file}: the text cannot be read")));
        }
        Err(error) => return Err(refusal(cx, file, error)),
    };
    if has_early_errors {
        parse_as_script(realm, text, whose)?;
    }
    Ok(rewritten.into())
}

/// Throws what the engine says is wrong with a script whose `import(…)` is its own.
fn parse_as_script(realm: &Realm, text: &[u8], whose: Whose) -> JsResult<()> {
    let script = match kenvat_syntax::rewrite(text, Goal::Script) {
        Ok(rewritten) => rewritten.into(),
        Err(_) => Script {
            text: text.to_vec(),
            columns: Columns::default(),
            names: Names::default(),
            is_changed: false,
        },
    };
    door::parse(realm, &script, whose, 1, Parsed::Script)
}

impl From<Rewritten<'_>> for Script {
    fn from(rewritten: Rewritten) -> Script {
        Script {
            is_changed: rewritten.is_changed(),
            text: rewritten.text.into_owned(),
            columns: rewritten.columns,
            names: rewritten.names,
        }
    }
}

/// A file's text with a first line such as `#!/usr/bin/env kenvat` made a comment: what the engine
/// is given begins with a line of ours.
pub fn without_hashbang(text: &[u8]) -> Cow<'_, [u8]> {
    match text.strip_prefix(b"#!") {
        Some(rest) => Cow::Owned([b"//", rest].concat()),
        None => Cow::Borrowed(text),
    }
}

fn refusal(cx: Cx, file: &str, error: ModuleError) -> Value {
    match error {
        ModuleError::Refused(error) => {
            let (line, column) = (error.line, error.column);
            cx.syntax_error(&format!("{file}:{line}:{column}: {error}"))
        }
        _ => cx.syntax_error(&format!("{file}: the module cannot be read")),
    }
}

fn strings(cx: Cx, names: &[String]) -> JsResult<Vec<Value>> {
    names.iter().map(|name| cx.string(name)).collect()
}

thread_local! {
    /// A module is being looked at, and what it imports does not matter.
    static CHECKING: Cell<bool> = const { Cell::new(false) };
}

/// Parses a module in a context of its own, which is dropped with it, so that it stays in no table.
pub fn compile(cx: Cx, text: &[u8], name: &str, line: i32) -> Result<(), (Value, Option<Stop>)> {
    let flags = qjs::JS_EVAL_TYPE_MODULE;
    // A context begins with numbers drawn from the time, and what it was made of stays in the heap
    // as free memory: two vats that read the same module at two times would differ.
    // SAFETY: a live runtime.
    let make = || unsafe { qjs::JS_NewContextRaw(cx.runtime()) };
    let scratch = c_symbols::at_genesis_time(make);
    let Some(scratch) = NonNull::new(scratch).map(Cx::new) else {
        return Err((cx.type_error("no memory to read a module"), None));
    };
    // SAFETY: a live context.
    unsafe { qjs::JS_AddIntrinsicEval(scratch.raw()) };
    // SAFETY: as above.
    unsafe { qjs::JS_AddIntrinsicRegExpCompiler(scratch.raw()) };
    CHECKING.set(true);
    let fine = scratch.compile(text, name, line, flags).is_ok();
    // SAFETY: nothing of the context is in use.
    unsafe { qjs::JS_FreeContext(scratch.raw()) };
    // What it says is wanted as an error of this realm: a text that does not parse leaves nothing.
    let said = match fine {
        true => Ok(()),
        false => cx.compile(text, name, line, flags),
    };
    CHECKING.set(false);
    match (fine, said) {
        (false, Ok(())) => {
            let shown = sends::shown(name);
            Err((
                cx.syntax_error(&format!("{shown}: this is no module")),
                None,
            ))
        }
        (_, said) => said,
    }
}

/// Sets the module functions of a runtime; their addresses stay in the heap.
pub fn install(cx: Cx) {
    let none = std::ptr::null_mut();
    // SAFETY: both are static functions of the forms asked for.
    unsafe { qjs::JS_SetModuleLoaderFunc(cx.runtime(), Some(normalize), Some(load), none) }
}

/// QuickJS asks for a module's imports while it is looked at, and for nothing else: `import(…)` in
/// programs is a call of the library's.
unsafe extern "C" fn normalize(
    cx: *mut qjs::JSContext,
    _base: *const c_char,
    _name: *const c_char,
    _: *mut c_void,
) -> *mut c_char {
    let Some(cx) = NonNull::new(cx).map(Cx::new) else {
        return std::ptr::null_mut();
    };
    if !CHECKING.get() {
        cx.throw(cx.type_error("the engine's own modules are not used"));
        return std::ptr::null_mut();
    }
    // SAFETY: a static text; the copy is QuickJS's.
    unsafe { qjs::js_strndup(cx.raw(), c"imported".as_ptr(), 8) }
}

unsafe extern "C" fn load(
    cx: *mut qjs::JSContext,
    name: *const c_char,
    _: *mut c_void,
) -> *mut qjs::JSModuleDef {
    if !CHECKING.get() {
        return std::ptr::null_mut();
    }
    // SAFETY: QuickJS passes a live context and a string.
    unsafe { qjs::JS_NewCModule(cx, name, Some(nothing)) }
}

extern "C" fn nothing(_: *mut qjs::JSContext, _: *mut qjs::JSModuleDef) -> c_int {
    0
}

/// The path of a file that another imports, or what to do instead.
pub(super) fn resolve(base: &str, name: &str) -> Result<String, String> {
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

/// `imported by FILE:LINE`.
fn importer(base: &str, name: &str) -> String {
    format!("imported by {}", place_of_import(base, name))
}

/// `FILE:LINE` of an import, as far as the line can be told from the text.
pub fn place_of_import(base: &str, name: &str) -> String {
    let text = source(base).unwrap_or_default();
    let quoted = [format!("'{name}'"), format!("\"{name}\"")];
    let names_it = |line: &&str| quoted.iter().any(|quoted| line.contains(quoted.as_str()));
    let imports = |line: &&str| line.contains("import") || line.contains("from");
    let at = text
        .lines()
        .position(|line| names_it(&line) && imports(&line))
        .or_else(|| text.lines().position(|line| names_it(&line)));
    match at {
        Some(at) => format!("{base}:{}", at + 1),
        None => base.to_owned(),
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
            deny: vec![],
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
