//! Property keys.

use rquickjs::qjs;

use super::{Cx, JsResult, Value};

/// One reference to a property key.
pub struct Atom {
    cx: Cx,
    raw: qjs::JSAtom,
}

impl Atom {
    /// Takes over a reference that C code gave us.
    pub(super) fn own(cx: Cx, raw: qjs::JSAtom) -> Atom {
        Atom { cx, raw }
    }

    /// The key itself, still owned by this.
    pub(super) fn raw(&self) -> qjs::JSAtom {
        self.raw
    }

    /// Whether it is this one of QuickJS's own keys, which are the same in every heap.
    pub fn is_builtin(&self, key: qjs::_bindgen_ty_4) -> bool {
        self.raw == key
    }

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
        let raw = unsafe { qjs::JS_ValueToAtom(value.cx().raw(), value.raw()) };
        Atom::own(value.cx(), raw)
    }
}

impl Drop for Atom {
    fn drop(&mut self) {
        // SAFETY: this atom owns exactly this reference.
        unsafe { qjs::JS_FreeAtom(self.cx.raw(), self.raw) }
    }
}
