//! The modules that a text names: what a program's files are collected by.
//!
//! Promises: total and linear. A text that cannot be read to its end gives what stands before that
//! place; the engine says what is wrong there. Whether a text is a module or a script is not known
//! here, so what only one of the two readings finds is given as well: the cost is a file read in
//! vain. Does not resolve names.

use std::collections::BTreeSet;

use crate::lex::words::Word;
use crate::lex::{TokenKind, strings};
use crate::scan::{ScannedToken, read_tokens};
use crate::{Goal, SOURCE_BYTES_MAX};

/// Every specifier of `import … from`, `export … from`, `import '…'` and `import('…')`, in order,
/// each once.
pub fn specifiers(text: &str) -> Vec<String> {
    let mut found = Found::default();
    if text.len() > SOURCE_BYTES_MAX {
        return found.specifiers;
    }
    for goal in [Goal::Module, Goal::Script] {
        found.restart();
        if read_tokens(text.as_bytes(), goal, |token| found.take(text, token)).is_ok() {
            break;
        }
    }
    found.specifiers
}

#[derive(Default)]
struct Found {
    specifiers: Vec<String>,
    /// The same, so that a text of a million imports stays linear.
    known: BTreeSet<String>,
    /// Inside an `import` or `export` statement.
    declares: bool,
    last: Last,
}

/// What was read before the current token, as far as a specifier can come behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Last {
    #[default]
    Other,
    From,
    Import,
    /// `import(`
    ImportCall,
}

impl Found {
    fn restart(&mut self) {
        (self.declares, self.last) = (false, Last::Other);
    }

    fn take(&mut self, text: &str, token: ScannedToken) {
        if token.statement {
            let declares = [Word::Import, Word::Export].map(TokenKind::Name);
            self.declares = declares.contains(&token.kind);
        }
        let follows = match self.last {
            Last::ImportCall => true,
            Last::From | Last::Import => self.declares,
            Last::Other => false,
        };
        if token.kind == TokenKind::Str && follows {
            let literal = text.get(token.start..token.end).unwrap_or_default();
            if let Some(name) = strings::value(literal)
                && self.known.insert(name.clone())
            {
                self.specifiers.push(name);
            }
        }
        self.last = match token.kind {
            TokenKind::Name(Word::From) => Last::From,
            TokenKind::Name(Word::Import) if token.operand => Last::Import,
            TokenKind::LParen if self.last == Last::Import => Last::ImportCall,
            _ => Last::Other,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::specifiers;

    #[test]
    fn every_form_of_import_is_found() {
        let text = r#"#!/usr/bin/env './no.js'
            import a from './a.js';
            import * as b from "../b.js";
            import { c as d, default as e } from './c.js'
            import './side.js'
            export * from './f.js'; export { g } from'./g.js';
            export * as ns from /* why not */ './h.js' // and so on
            export * as "name" from './i.js'
            import from from './k.js'; import {} from './l.js'
            const later = import('./later.js');
            const more = await import( './more.js' , { with: {} });
            import j from './data.json' with { type: 'json' };
            import './\u0061\x62\u{63}.js';
        "#;
        let expected = [
            "./a.js",
            "../b.js",
            "./c.js",
            "./side.js",
            "./f.js",
            "./g.js",
            "./h.js",
            "./i.js",
            "./k.js",
            "./l.js",
            "./later.js",
            "./more.js",
            "./data.json",
            "./abc.js",
        ];
        assert_eq!(specifiers(text), expected);
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
            x.from; './statement.js'; const from = './value.js';
            import 'bare'; import n from 'node:fs'; import('./' + name);
        "#;
        // The last is a guess that costs nothing: `./` names a folder.
        assert_eq!(specifiers(text), ["bare", "node:fs", "./"]);
    }

    #[test]
    fn imports_are_found_behind_whatever_a_text_holds() {
        let before = [
            "a / b; c /= './no.js'",
            "x = y / 2 // '",
            "r = /['\"`]/g",
            "r = /[/'`]/.exec(s)",
            "f(x) / g(`${ { a: `}` }.a }`)",
            "while (x) /'/.test(x)",
            "s = 'it\\'s'",
            "const o = { a: 1 }\n/ 2 / d",
            "t = `a ${ b + `c ${d} '` } ' e`",
            "i++ / 2; '/'",
            "() => { return /'/ }",
            "é = 'ü' / 'ö'",
            "a ! m('x') / 2",
            "\u{feff}",
            "\u{a0}'s';\u{2028}",
            "await /'/.test(x)",
            "a = b <!--c;`\n`",
        ];
        for text in before {
            let text = format!("{text}\nimport './x.js'");
            assert_eq!(specifiers(&text), ["./x.js"], "{text}");
        }
    }

    #[test]
    fn scripts_are_read_too() {
        assert_eq!(specifiers("a <!-- `\nimport('./x.js')"), ["./x.js"]);
    }

    #[test]
    fn a_text_that_cannot_be_read_gives_what_stands_before() {
        assert_eq!(
            specifiers("import './x.js'\ns = 'open\nimport './y.js'"),
            ["./x.js"]
        );
        assert_eq!(specifiers(")]}}\nimport './y.js'"), [""; 0]);
    }
}
