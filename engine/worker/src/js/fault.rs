//! Exceptions as their authors may see them.
//!
//! Reading an error's properties may run a program's getters; that is code of the turn like any
//! other, and what it throws is ignored.

use super::realm::Realm;
use super::registry::Slot;
use super::sends;
use super::value::{Kind, Value};
use kenvat_wire::protocol::Thrown;

/// Files of the library in the genesis image are named so, and host functions that can stand in a
/// stack; they are nobody's own code.
pub const LIBRARY_PREFIX: &str = "kenvat:";

/// What a caller is told of a thrown value.
pub fn describe(realm: &Realm, error: &Value) -> Thrown {
    let text = |key: &str| text_of(error, key);
    if !error.is_object() {
        let message = format_value(realm, error);
        return thrown("Error", message);
    }
    let name = text("name").filter(|name| !name.is_empty());
    let message = text("message").unwrap_or_else(|| match error.is_error() {
        true => String::new(),
        false => format_value(realm, error),
    });
    let stack = stack(realm, error)
        .map(|stack| without_library(&stack))
        .unwrap_or_default();
    Thrown {
        stack,
        ..thrown(name.as_deref().unwrap_or("Error"), message)
    }
}

/// The line of a program that runs now, where one does: `at f (FILE:LINE:COLUMN)`.
pub fn place(realm: &Realm) -> Option<String> {
    let stack = stack(realm, &realm.cx.type_error(""))?;
    let own = without_library(&stack);
    let line = own.lines().map(str::trim).find(|line| line.contains(':'))?;
    Some(line.to_owned())
}

/// Where an error was made, which programs cannot read.
fn stack(realm: &Realm, error: &Value) -> Option<String> {
    let stack = raw_stack(realm, error)?;
    Some(sends::authors_stack(realm, &stack))
}

/// The same as the engine has it.
pub fn raw_stack(realm: &Realm, error: &Value) -> Option<String> {
    let getter = realm.registry.get(Slot::ErrorStack).ok()?;
    if !getter.is_function() {
        return None;
    }
    getter.call(error, &[]).ok()?.text().ok()?
}

/// Whether an error is of the same kind as another. Runs nothing of a program.
pub fn is_like(error: &Value, other: &Value) -> bool {
    let same = || {
        Some(
            error
                .prototype()
                .ok()?
                .is_same_object(&other.prototype().ok()?),
        )
    };
    error.is_error() && same() == Some(true)
}

/// A text property of an error.
pub fn text_of(error: &Value, key: &str) -> Option<String> {
    error.get_str(key).ok()?.text().ok()?
}

/// A value as `console.log` shows it.
pub fn format_value(realm: &Realm, value: &Value) -> String {
    let format = || {
        let function = realm.registry.get(Slot::Format)?;
        if !function.is_function() {
            return value.display();
        }
        function
            .call(&realm.cx.undefined(), std::slice::from_ref(value))?
            .display()
    };
    format().unwrap_or_else(|_| match value.kind() {
        Kind::Object => "[unprintable object]".to_owned(),
        _ => "[unprintable]".to_owned(),
    })
}

/// One line, for the log.
pub fn summary(thrown: &Thrown) -> String {
    let Thrown {
        name,
        message,
        stack,
        ..
    } = thrown;
    match stack.trim_end() {
        "" => format!("{name}: {message}"),
        stack => format!("{name}: {message}\n{stack}"),
    }
}

pub fn thrown(name: &str, message: String) -> Thrown {
    Thrown {
        name: name.to_owned(),
        message,
        stack: String::new(),
        nearest: Vec::new(),
    }
}

fn without_library(stack: &str) -> String {
    let (file, function) = (format!("({LIBRARY_PREFIX}"), format!("at {LIBRARY_PREFIX}"));
    let own = |line: &&str| !line.contains(&file) && !line.contains(&function);
    let lines: Vec<&str> = stack.lines().filter(own).collect();
    // Built-in functions alone tell nothing.
    match lines.iter().all(|line| line.ends_with(" (native)")) {
        true => String::new(),
        false => lines.join("\n"),
    }
}
