//! A value as JSON text.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{DEPTH_MAX, Refused, VALUE_BYTES_MAX};
use crate::abort;
use crate::js::realm::Realm;
use crate::js::registry::Slot;
use crate::js::value::{
    Atom, CLASS_DATE, CLASS_OBJECT, JsResult, Kind, NAMES_ENUMERABLE, Property, Value,
};
use crate::js::{harden, method};

/// Encodes a value, or says why it cannot be passed.
pub fn encode(realm: &Realm, value: &Value) -> Result<String, Refused> {
    let mut encoder = Encoder {
        realm,
        out: String::new(),
        ancestors: Vec::new(),
    };
    encoder.value(value)?;
    Ok(encoder.out)
}

struct Encoder<'a> {
    realm: &'a Realm,
    out: String,
    /// Addresses of the objects the current one is in.
    ancestors: Vec<usize>,
}

impl Encoder<'_> {
    fn value(&mut self, value: &Value) -> Result<(), Refused> {
        match value.kind() {
            Kind::Undefined => self.out.push_str(r#"{"$undefined":true}"#),
            Kind::Null => self.out.push_str("null"),
            Kind::Bool(true) => self.out.push_str("true"),
            Kind::Bool(false) => self.out.push_str("false"),
            Kind::Int(int) => self.write(format_args!("{int}")),
            Kind::Float(number) => self.number(number),
            Kind::BigInt => {
                let digits = no_throw(value.display())?;
                self.write(format_args!(r#"{{"$bigint":"{digits}"}}"#));
            }
            Kind::String => self.string(value)?,
            Kind::Symbol => return Err(Refused::new("is a symbol, which cannot be passed")),
            Kind::Object => self.object(value)?,
            Kind::Internal => return Err(Refused::new("is nothing that can be passed")),
        }
        if self.out.len() > VALUE_BYTES_MAX {
            abort::sent_too_much(format!(
                "an answer has more than {VALUE_BYTES_MAX} bytes, the most a message may have"
            ));
            return Err(Refused::new(format!(
                "brings the value to over {VALUE_BYTES_MAX} bytes, the most that can be passed"
            )));
        }
        Ok(())
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.out
            .write_fmt(text)
            .expect("writing to a String cannot fail");
    }

    fn number(&mut self, number: f64) {
        if number.is_nan() {
            self.out.push_str(r#"{"$number":"NaN"}"#);
        } else if number.is_infinite() {
            let sign = if number < 0.0 { "-" } else { "" };
            self.write(format_args!(r#"{{"$number":"{sign}Infinity"}}"#));
        } else if number == 0.0 {
            // A zero that is not an int is the negative one, unless arithmetic left a float.
            let text = if number.is_sign_negative() {
                r#"{"$number":"-0"}"#
            } else {
                "0"
            };
            self.out.push_str(text);
        } else if (1e-6..1e21).contains(&number.abs()) {
            self.write(format_args!("{number}"));
        } else {
            self.write(format_args!("{number:e}"));
        }
    }

    fn string(&mut self, value: &Value) -> Result<(), Refused> {
        let out = &mut self.out;
        let whole = no_throw(value.with_bytes(|bytes| match std::str::from_utf8(bytes) {
            Ok(text) => {
                append_quoted(out, text);
                true
            }
            Err(_) => false,
        }))?;
        match whole {
            true => Ok(()),
            false => Err(Refused::new(
                "is not well-formed Unicode (a lone surrogate)",
            )),
        }
    }

    fn object(&mut self, value: &Value) -> Result<(), Refused> {
        if value.is_function() {
            return Err(Refused::new("is a function, which cannot be passed yet"));
        }
        if value.is_proxy() {
            return Err(Refused::new("is a Proxy, which cannot be passed"));
        }
        let address = value.address();
        if self.ancestors.contains(&address) {
            return Err(Refused::new("leads back to an object it is in (a cycle)"));
        }
        if self.ancestors.len() >= DEPTH_MAX {
            return Err(Refused::new(format!(
                "is nested deeper than {DEPTH_MAX} levels"
            )));
        }
        self.ancestors.push(address);
        let done = if value.is_array() {
            self.array(value)
        } else {
            self.not_array(value)
        };
        self.ancestors.pop();
        done
    }

    fn array(&mut self, value: &Value) -> Result<(), Refused> {
        let length = no_throw(value.length())?;
        self.out.push('[');
        for index in 0..usize::try_from(length).unwrap_or(0) {
            if index > 0 {
                self.out.push(',');
            }
            // Indices of arrays are below 2^32.
            let key = value.cx().atom_index(index as u32);
            let element = match no_throw(value.own_property(&key))? {
                None => value.cx().undefined(),
                Some(Property::Data(element)) => element,
                Some(Property::Accessor(_)) => {
                    let refused = Refused::new("is an accessor: pass a value");
                    return Err(refused.under_index(index));
                }
            };
            self.value(&element)
                .map_err(|refused| refused.under_index(index))?;
        }
        self.out.push(']');
        Ok(())
    }

    fn not_array(&mut self, value: &Value) -> Result<(), Refused> {
        if let Some(bytes) = value.bytes() {
            self.out.push_str(r#"{"$bytes":""#);
            STANDARD.encode_string(bytes, &mut self.out);
            self.out.push_str(r#""}"#);
            return Ok(());
        }
        self.check_plain(value)?;
        let names = no_throw(value.own_names(NAMES_ENUMERABLE))?;
        if names.is_empty() {
            self.check_untagged(value)?;
        }
        self.out.push('{');
        for (at, key) in names.iter().enumerate() {
            if at > 0 {
                self.out.push(',');
            }
            self.property(value, key)?;
        }
        self.out.push('}');
        Ok(())
    }

    fn property(&mut self, value: &Value, key: &Atom) -> Result<(), Refused> {
        let Some(name) = no_throw(key.exact_text())? else {
            return Err(Refused::new("has a key that is not well-formed Unicode"));
        };
        let property = match no_throw(value.own_property(key))? {
            Some(Property::Data(property)) => property,
            Some(Property::Accessor(_)) => {
                return Err(Refused::new("is an accessor: pass a value").under_key(&name));
            }
            // Nothing runs between listing the keys and reading them.
            None => value.cx().undefined(),
        };
        if property.is_function() {
            let what = format!(
                "is an object with methods (`{name}` is a function), which cannot be passed yet"
            );
            return Err(Refused::new(what));
        }
        if name.starts_with('$') {
            append_quoted(&mut self.out, &format!("${name}"));
        } else {
            append_quoted(&mut self.out, &name);
        }
        self.out.push(':');
        self.value(&property)
            .map_err(|refused| refused.under_key(&name))
    }

    /// Only objects that are nothing but their properties are data.
    fn check_plain(&self, value: &Value) -> Result<(), Refused> {
        if value.is_promise() {
            return Err(Refused::new("is a promise: await it first"));
        }
        if value.class() == CLASS_DATE {
            let advice = "is a Date: convert it, for example with getTime() or toISOString()";
            return Err(Refused::new(advice));
        }
        if value.is_error() {
            return Err(Refused::new("is an Error: throw it, or pass its message"));
        }
        let prototype = no_throw(value.prototype())?;
        let object = no_throw(self.realm.registry.get(Slot::ObjectPrototype))?;
        let plain = prototype.kind() == Kind::Null || prototype.is_same_object(&object);
        if plain && value.class() == CLASS_OBJECT {
            return Ok(());
        }
        // `Far` gives a plain object a prototype of its own, with tags.
        let mark = no_throw(method::mark(self.realm))?;
        let own = prototype.is_object() && !prototype.is_proxy();
        if own && !harden::is_of_realm(&prototype, mark) {
            self.check_untagged(&prototype)?;
        }
        let name = class_name(self.realm, value).unwrap_or_else(|| "class".to_owned());
        Err(Refused::new(format!(
            "is a {name} instance: convert it to a plain object or an array"
        )))
    }

    /// An empty object made with `Far` is a reference, not data.
    fn check_untagged(&self, value: &Value) -> Result<(), Refused> {
        let tag = Atom::of(&no_throw(self.realm.registry.get(Slot::ToStringTag))?);
        match no_throw(value.own_property(&tag))? {
            None => Ok(()),
            Some(_) => Err(Refused::new("is a Far object, which cannot be passed yet")),
        }
    }
}

/// The name of the constructor, as far as it is plain data or a primordial's.
fn class_name(realm: &Realm, value: &Value) -> Option<String> {
    let prototype = value.prototype().ok().filter(Value::is_object)?;
    if prototype.is_proxy() {
        return None;
    }
    let data = |of: &Value, key: &str| match of.own_property(&of.cx().atom(key)).ok()? {
        Some(Property::Data(value)) => Some(value),
        Some(Property::Accessor(getter)) => {
            let plain = realm.registry.get(Slot::PlainValue).ok()?;
            plain.call(&of.cx().undefined(), &[getter]).ok()
        }
        None => None,
    };
    let constructor = data(&prototype, "constructor").filter(|c| c.is_object() && !c.is_proxy())?;
    let name = data(&constructor, "name")?.text().ok().flatten()?;
    (!name.is_empty() && name.len() <= 100).then_some(name)
}

/// Reading own properties of what is no proxy throws only when memory is out.
fn no_throw<T>(result: JsResult<T>) -> Result<T, Refused> {
    result.map_err(|_| Refused::new("could not be read: out of memory"))
}

fn append_quoted(out: &mut String, text: &str) {
    out.push('"');
    let mut plain_from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[plain_from..at]);
        match escape {
            "" => write!(out, "\\u{byte:04x}").expect("writing to a String cannot fail"),
            escape => out.push_str(escape),
        }
        plain_from = at + 1;
    }
    out.push_str(&text[plain_from..]);
    out.push('"');
}
