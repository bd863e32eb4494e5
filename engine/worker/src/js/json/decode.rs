//! JSON text as a value.
//!
//! A reader of our own, straight into QuickJS's values: the mapping's escapes are seen while
//! reading, and no property of any prototype is ever consulted.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::keys::Keys;
use super::{BIGINT_DIGITS_MAX, DEPTH_MAX, Refused};
use crate::js::realm::Realm;
use crate::js::registry::Slot;
use crate::js::value::{JsResult, PROPERTY_PLAIN, Value};

/// Decodes one JSON text.
pub fn decode(realm: &Realm, text: &str) -> Result<Value, Refused> {
    let mut decoder = Decoder::new(realm, text);
    let value = decoder.value(0)?;
    decoder.end()?;
    Ok(value)
}

/// Decodes an array's elements, without making the array.
pub fn decode_list(realm: &Realm, text: &str) -> Result<Vec<Value>, Refused> {
    let mut decoder = Decoder::new(realm, text);
    decoder.skip_space();
    if decoder.peek() != Some(b'[') {
        return Err(Refused::new("is not a JSON array"));
    }
    let values = decoder.elements(0)?;
    decoder.end()?;
    Ok(values)
}

struct Decoder<'a> {
    realm: &'a Realm,
    text: &'a str,
    at: usize,
    keys: Keys,
}

impl<'a> Decoder<'a> {
    fn new(realm: &'a Realm, text: &'a str) -> Decoder<'a> {
        Decoder {
            realm,
            text,
            at: 0,
            keys: Keys::default(),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, Refused> {
        self.skip_space();
        let cx = self.realm.cx;
        match self.peek() {
            Some(b'{' | b'[') if depth >= DEPTH_MAX => Err(Refused::new(format!(
                "is nested deeper than {DEPTH_MAX} levels"
            ))),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => {
                let text = self.string()?;
                no_throw(cx.string(&text))
            }
            Some(b't') => self.word("true").map(|()| cx.bool(true)),
            Some(b'f') => self.word("false").map(|()| cx.bool(false)),
            Some(b'n') => self.word("null").map(|()| cx.null()),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.refused("a value is missing")),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, Refused> {
        let values = self.elements(depth)?;
        no_throw(self.realm.cx.array(values))
    }

    fn elements(&mut self, depth: usize) -> Result<Vec<Value>, Refused> {
        self.at += 1;
        let mut values = Vec::new();
        self.skip_space();
        if !self.take(b']') {
            loop {
                let index = values.len();
                values.push(self.value(depth + 1).map_err(|r| r.under_index(index))?);
                self.skip_space();
                if self.take(b']') {
                    break;
                }
                self.expect(b',')?;
            }
        }
        Ok(values)
    }

    fn end(&mut self) -> Result<(), Refused> {
        self.skip_space();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.refused("something follows the value")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, Refused> {
        self.at += 1;
        self.skip_space();
        let cx = self.realm.cx;
        let object = no_throw(cx.object())?;
        if self.take(b'}') {
            return Ok(object);
        }
        let mut first = true;
        loop {
            self.skip_space();
            let key = self.key()?;
            let name = match key.strip_prefix('$') {
                None => &*key,
                Some(rest) if rest.starts_with('$') => rest,
                Some(_) if first => return self.escape(&key),
                Some(_) => {
                    let what = format!("has the key `{key}`: write `${key}` for data");
                    return Err(Refused::new(what));
                }
            };
            if !self.keys.add(name) {
                return Err(Refused::new(
                    "has keys that collide in the engine's table of names, many more than by \
                    chance",
                ));
            }
            let value = self
                .value(depth + 1)
                .map_err(|refused| refused.under_key(name))?;
            no_throw(object.define(&cx.atom(name), value, PROPERTY_PLAIN))?;
            self.skip_space();
            if self.take(b'}') {
                return Ok(object);
            }
            self.expect(b',')?;
            first = false;
        }
    }

    fn key(&mut self) -> Result<String, Refused> {
        if self.peek() != Some(b'"') {
            return Err(self.refused("a key is missing"));
        }
        let key = self.string()?;
        self.skip_space();
        self.expect(b':')?;
        Ok(key)
    }

    /// The rest of `{"$…": …}` after its key and colon.
    fn escape(&mut self, key: &str) -> Result<Value, Refused> {
        self.skip_space();
        let cx = self.realm.cx;
        let value = match key {
            "$undefined" => self.word("true").map(|()| cx.undefined())?,
            "$bigint" => self.string().and_then(|digits| self.bigint(&digits))?,
            "$bytes" => {
                let text = self.string()?;
                let bytes = STANDARD.decode(&text);
                let bytes = bytes.map_err(|why| Refused::new(format!("is not base64: {why}")))?;
                no_throw(cx.bytes(&bytes))?
            }
            "$number" => match self.string()?.as_str() {
                "NaN" => cx.number(f64::NAN),
                "Infinity" => cx.number(f64::INFINITY),
                "-Infinity" => cx.number(f64::NEG_INFINITY),
                "-0" => cx.number(-0.0),
                other => {
                    let what = format!("has `$number` {other:?}: NaN, Infinity, -Infinity or -0");
                    return Err(Refused::new(what));
                }
            },
            "$ref" => return Err(Refused::new("is a `$ref`, which cannot be passed yet")),
            _ => {
                let what = format!("has the key `{key}`: write `${key}` for data");
                return Err(Refused::new(what));
            }
        };
        self.skip_space();
        match self.take(b'}') {
            true => Ok(value),
            false => Err(Refused::new(format!("has more than the key `{key}`"))),
        }
    }

    fn bigint(&self, text: &str) -> Result<Value, Refused> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Refused::new(
                "has a `$bigint` that is not a decimal integer",
            ));
        }
        if digits.len() > BIGINT_DIGITS_MAX {
            let what = format!("has a `$bigint` of over {BIGINT_DIGITS_MAX} digits");
            return Err(Refused::new(what));
        }
        let cx = self.realm.cx;
        if let Ok(small) = text.parse::<i64>() {
            return no_throw(cx.bigint(small));
        }
        let convert = || {
            let function = self.realm.registry.get(Slot::BigInt)?;
            function.call(&cx.undefined(), &[cx.string(text)?])
        };
        no_throw(convert())
    }

    fn number(&mut self) -> Result<Value, Refused> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        let mut integer = true;
        if self.take(b'.') {
            integer = false;
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            integer = false;
            let _sign = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        let text = &self.text[start..self.at];
        let cx = self.realm.cx;
        match text.parse::<i32>() {
            Ok(int) if integer && (int != 0 || !text.starts_with('-')) => Ok(cx.int(int)),
            // Rust's conversion rounds correctly, as JavaScript's must.
            _ => match text.parse::<f64>() {
                Ok(number) => Ok(cx.number(number)),
                Err(_) => Err(self.refused("a number is malformed")),
            },
        }
    }

    fn digits(&mut self) -> Result<(), Refused> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        match self.at > start {
            true => Ok(()),
            false => Err(self.refused("a digit is missing")),
        }
    }

    fn string(&mut self) -> Result<String, Refused> {
        self.expect(b'"')?;
        let mut out = String::new();
        loop {
            let start = self.at;
            while self
                .peek()
                .is_some_and(|byte| byte != b'"' && byte != b'\\' && byte >= 0x20)
            {
                self.at += 1;
            }
            out.push_str(&self.text[start..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.at += 1;
                    let letter = self.escaped()?;
                    out.push(letter);
                }
                _ => return Err(self.refused("a string does not end")),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, Refused> {
        let Some(byte) = self.peek() else {
            return Err(self.refused("a string does not end"));
        };
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return Err(self.refused("a string has an unknown escape")),
        })
    }

    fn unicode(&mut self) -> Result<char, Refused> {
        let first = self.hex()?;
        let code = match first {
            0xd800..0xdc00 if self.text[self.at..].starts_with("\\u") => {
                self.at += 2;
                let second = self.hex()?;
                match second {
                    0xdc00..0xe000 => 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00),
                    _ => first,
                }
            }
            _ => first,
        };
        char::from_u32(code).ok_or_else(|| self.refused("a string has a lone surrogate"))
    }

    fn hex(&mut self) -> Result<u32, Refused> {
        let digits = self.text.get(self.at..self.at + 4);
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        self.at += 4;
        code.ok_or_else(|| Refused::new("has an escape that is not four hexadecimal digits"))
    }

    fn word(&mut self, word: &str) -> Result<(), Refused> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.refused("a value is malformed"));
        }
        self.at += word.len();
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), Refused> {
        match self.take(byte) {
            true => Ok(()),
            false => Err(self.refused(&format!("`{}` is missing", char::from(byte)))),
        }
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn refused(&self, what: &str) -> Refused {
        Refused::new(format!("is not JSON: {what} at byte {}", self.at))
    }
}

/// Making values throws only when memory is out.
fn no_throw<T>(result: JsResult<T>) -> Result<T, Refused> {
    result.map_err(|_| Refused::new("could not be made: out of memory"))
}
