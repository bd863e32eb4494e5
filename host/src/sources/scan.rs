//! Finds relative import specifiers in JavaScript text, without parsing it.
//!
//! Promises: ends for every text, in time linear in its length but for regular expressions that
//! turn out to be divisions (bounded by the line). Knows comments, strings, templates and regular
//! expressions well enough not to be led astray by what stands in them. A wrong guess costs a file
//! read in vain: the worker parses for real, and names what is missing.
//!
//! Whether `/` divides or begins a regular expression depends on the token before it: after a
//! value it divides. After `)` it depends on what stood before the matching `(`. After `}` it is
//! taken for a regular expression if that ends on the same line: a statement's end is much the
//! likelier there.

/// Every `./…` and `../…` in `import … from`, `export … from`, `import '…'` and
/// `import('…')`.
pub fn relative_imports(text: &str) -> Vec<String> {
    let mut scanner = Scanner {
        bytes: text.as_bytes(),
        text,
        at: 0,
        ..Scanner::default()
    };
    if text.starts_with("#!") {
        scanner.skip_line();
    }
    while scanner.step() {}
    scanner.found
}

/// What the last token was, as far as it matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Token {
    #[default]
    Start,
    From,
    Import,
    /// `import(`.
    ImportCall,
    /// A keyword after which a value begins: `return`, `typeof`, …
    Keyword,
    /// A keyword whose parentheses hold a condition: `if`, `while`, `for`, `with`.
    Condition,
    /// A value: name, number, string, template, regular expression, `)` or `]`.
    Value,
    /// Anything after which a value begins.
    Operator,
}

/// What is open around the current place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    /// `(`; holds whether it belongs to a condition.
    Paren {
        condition: bool,
    },
    Brace,
    /// `${` of a template.
    Substitution,
}

#[derive(Default)]
struct Scanner<'a> {
    bytes: &'a [u8],
    text: &'a str,
    at: usize,
    last: Token,
    open: Vec<Open>,
    found: Vec<String>,
}

impl Scanner<'_> {
    /// Takes one token; false at the end.
    fn step(&mut self) -> bool {
        let Some(byte) = self.peek(0) else {
            return false;
        };
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
            b'/' => self.slash(),
            b'\'' | b'"' => self.string(byte),
            b'`' => {
                self.at += 1;
                self.template();
            }
            b'(' => self.open_paren(),
            b')' => self.close_paren(),
            b'{' => self.push(Open::Brace),
            b'}' => self.close_brace(),
            b']' => self.punctuation(Token::Value),
            byte if byte >= 0x80 && self.space() > 0 => self.at += self.space(),
            byte if is_word(byte) => self.word(),
            _ => self.punctuation(Token::Operator),
        }
        true
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    /// Bytes of a space beyond ASCII that stands here; a mark of the byte order is one.
    fn space(&self) -> usize {
        let here = self
            .text
            .get(self.at..)
            .and_then(|rest| rest.chars().next());
        here.filter(|here| here.is_whitespace() || *here == '\u{feff}')
            .map_or(0, char::len_utf8)
    }

    fn punctuation(&mut self, token: Token) {
        self.at += 1;
        self.last = token;
    }

    fn push(&mut self, open: Open) {
        self.open.push(open);
        self.punctuation(Token::Operator);
    }

    fn open_paren(&mut self) {
        let before = self.last;
        self.push(Open::Paren {
            condition: before == Token::Condition,
        });
        if before == Token::Import {
            self.last = Token::ImportCall;
        }
    }

    fn close_paren(&mut self) {
        let condition = self.open.pop_if(|open| matches!(open, Open::Paren { .. }))
            == Some(Open::Paren { condition: true });
        self.punctuation(if condition {
            Token::Operator
        } else {
            Token::Value
        });
    }

    fn close_brace(&mut self) {
        self.punctuation(Token::Operator);
        // Unbalanced parentheses inside are the author's error; the brace still closes its own.
        while let Some(open) = self.open.pop() {
            match open {
                Open::Paren { .. } => {}
                Open::Brace => return,
                Open::Substitution => return self.template(),
            }
        }
    }

    fn word(&mut self) {
        let start = self.at;
        let member = start > 0 && self.bytes.get(start - 1) == Some(&b'.');
        while self.peek(0).is_some_and(is_word) && self.space() == 0 {
            self.at += 1;
        }
        let word = self.text.get(start..self.at).unwrap_or_default();
        self.last = if member { Token::Value } else { classify(word) };
    }

    fn slash(&mut self) {
        match self.peek(1) {
            Some(b'/') => self.skip_line(),
            Some(b'*') => self.skip_block_comment(),
            _ => match self.last {
                Token::Value | Token::From | Token::Import => self.punctuation(Token::Operator),
                _ => self.regular_expression(),
            },
        }
    }

    fn skip_line(&mut self) {
        while self.peek(0).is_some_and(|byte| byte != b'\n') {
            self.at += 1;
        }
    }

    fn skip_block_comment(&mut self) {
        let rest = self.bytes.get(self.at + 2..).unwrap_or_default();
        let end = rest.windows(2).position(|pair| pair == b"*/");
        self.at = end.map_or(self.bytes.len(), |end| self.at + 2 + end + 2);
    }

    /// Skips a regular expression, or one `/` where none ends on this line.
    fn regular_expression(&mut self) {
        let mut end = self.at + 1;
        let mut class = false;
        loop {
            match self.bytes.get(end) {
                None | Some(b'\n') => return self.punctuation(Token::Operator),
                Some(b'\\') => end += 1,
                Some(b'[') => class = true,
                Some(b']') => class = false,
                Some(b'/') if !class => break,
                Some(_) => {}
            }
            end += 1;
        }
        self.at = end + 1;
        self.last = Token::Value;
        while self.peek(0).is_some_and(is_word) {
            self.at += 1;
        }
    }

    /// Skips a string and keeps it if it is a relative specifier; skips one quote where none ends
    /// on this line.
    fn string(&mut self, quote: u8) {
        let start = self.at + 1;
        let mut end = start;
        loop {
            match self.bytes.get(end) {
                None | Some(b'\n') => return self.punctuation(Token::Operator),
                // A backslash and a newline continue the string, which then is no specifier.
                Some(b'\\') => end += 1,
                Some(byte) if *byte == quote => break,
                Some(_) => {}
            }
            end += 1;
        }
        let specifier = matches!(self.last, Token::From | Token::Import | Token::ImportCall);
        let content = self.text.get(start..end).unwrap_or_default();
        if specifier && (content.starts_with("./") || content.starts_with("../")) {
            self.found.extend(unescape(content));
        }
        self.at = end + 1;
        self.last = Token::Value;
    }

    /// Skips a template from behind its backquote, or from behind a substitution's brace, up to its
    /// end or the next substitution.
    fn template(&mut self) {
        loop {
            match (self.peek(0), self.peek(1)) {
                (None, _) => return,
                (Some(b'\\'), _) => self.at += 1,
                (Some(b'$'), Some(b'{')) => {
                    self.at += 1;
                    return self.push(Open::Substitution);
                }
                (Some(b'`'), _) => return self.punctuation(Token::Value),
                _ => {}
            }
            self.at += 1;
        }
    }
}

/// Bytes of names and numbers; every byte of a character beyond ASCII counts as one.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'#') || byte >= 0x80
}

fn classify(word: &str) -> Token {
    match word {
        "from" => Token::From,
        "import" => Token::Import,
        "if" | "while" | "for" | "with" => Token::Condition,
        "return" | "typeof" | "instanceof" | "in" | "of" | "new" | "delete" | "void" | "throw"
        | "case" | "do" | "else" | "yield" | "await" | "default" | "export" | "extends" => {
            Token::Keyword
        }
        _ => Token::Value,
    }
}

/// A string's value; `None` for escapes nobody writes in a path.
fn unescape(content: &str) -> Option<String> {
    let mut value = String::with_capacity(content.len());
    let mut rest = content.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            value.push(c);
            continue;
        }
        match rest.next()? {
            'x' => value.push(hex(&take(&mut rest, 2)?)?),
            'u' => {
                let tail = rest.as_str();
                let digits = match tail.strip_prefix('{').and_then(|tail| tail.split_once('}')) {
                    Some((digits, after)) => {
                        rest = after.chars();
                        digits.to_owned()
                    }
                    None => take(&mut rest, 4)?,
                };
                value.push(hex(&digits)?);
            }
            'n' | 'r' | 't' | 'b' | 'f' | 'v' | '0'..='9' | '\n' => return None,
            plain => value.push(plain),
        }
    }
    Some(value)
}

fn take(rest: &mut std::str::Chars<'_>, count: usize) -> Option<String> {
    let digits: String = rest.take(count).collect();
    (digits.len() == count).then_some(digits)
}

fn hex(digits: &str) -> Option<char> {
    let digits = digits
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit())
        .then_some(digits)?;
    u32::from_str_radix(digits, 16)
        .ok()
        .and_then(char::from_u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_import_is_found() {
        let text = r#"#!/usr/bin/env './no.js'
            import a from './a.js';
            import * as b from "../b.js";
            import { c as d, default as e } from './c.js'
            import './side.js'
            export * from './f.js'; export { g } from'./g.js';
            export * as ns from /* why not */ './h.js' // and so on
            const later = import('./later.js');
            const more = await import( './more.js' , { with: {} });
            import j from './data.json' with { type: 'json' };
        "#;
        let found = relative_imports(text);
        let expected = [
            "./a.js",
            "../b.js",
            "./c.js",
            "./side.js",
            "./f.js",
            "./g.js",
            "./h.js",
            "./later.js",
            "./more.js",
            "./data.json",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_only_looks_like_an_import_is_left_alone() {
        let text = r#"
            // import './comment.js'
            /* import './block.js' */
            const s = "import './string.js'";
            const t = `import './template.js' ${ f(`import './inner.js'`) } import './x.js'`;
            const r = /import '.\/regexp.js'/;
            if (x) /import '.\/cond.js'/.test(y);
            x.from('./call.js'); obj.import('./member.js'); require('./cjs.js');
            import 'bare'; import n from 'node:fs'; import('./' + name);
        "#;
        // The last is a guess worth nothing: `./` names a folder.
        assert_eq!(relative_imports(text), ["./"]);
    }

    #[test]
    fn scanning_finds_its_way_back() {
        // Division, quotes in regular expressions, nested templates: then an import.
        let before = [
            "a / b; c /= './no.js'",
            "x = y / 2 // '",
            "r = /['\"`]/g",
            "r = /[/'`]/.exec(s)",
            "f(x) / g(`${ { a: `}` }.a }`)",
            "while (x) /'/.test(x)",
            "s = 'it\\'s'",
            "const o = { a: 1 }\n/ 2 / '",
            "s = 'unterminated",
            "t = `a ${ b + `c ${d} '` } ' e`",
            "i++ / 2; '/'",
            "return /'/",
            "é = 'ü' / 'ö'",
            "a ! m('x') / 2",
            "\u{feff}",
            "\u{a0}'s';\u{2028}",
            ")]}}",
        ];
        for text in before {
            let text = format!("{text}\nimport './x.js'");
            assert_eq!(relative_imports(&text), ["./x.js"], "{text}");
        }
    }

    #[test]
    fn spaces_beyond_ascii_end_words() {
        for space in ["\u{feff}", "\u{a0}", "\u{2028}", "\u{3000}"] {
            let text = format!("{space}import{space}'./x.js'{space}");
            assert_eq!(relative_imports(&text), ["./x.js"], "{text:?}");
        }
    }

    #[test]
    fn escapes_are_read_or_passed_over() {
        let found = relative_imports(r"import './\u0061\x62\u{63}.js'; import './n\n.js'");
        assert_eq!(found, ["./abc.js"]);
        for odd in [
            r"import './\u{110000}'",
            r"import './\x'",
            r"import './\u12'",
            "import './\\",
        ] {
            assert!(relative_imports(odd).is_empty(), "{odd}");
        }
    }

    #[test]
    fn any_bytes_of_a_text_end_the_scan() {
        let pieces = [
            "'", "\"", "`", "${", "}", "/", "\\", "*", "import", "(", ")", "é", "\n", "[",
        ];
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..2000 {
            let mut text = String::new();
            for _ in 0..40 {
                seed = seed
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                text.push_str(pieces[(seed >> 33) as usize % pieces.len()]);
            }
            relative_imports(&text);
        }
    }
}
