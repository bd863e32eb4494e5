//! Which tokens of a module matter to its imports and exports: few, so that a text of megabytes
//! does not become a list many times as large.

use crate::lex::TokenKind;
use crate::lex::words::Word;
use crate::scan::ScannedToken;

/// Kept are the tokens outside all brackets of each import and export statement, those inside of
/// its braces and patterns, the brackets that close, and one token behind it; and `import` and
/// `arguments` where they are operands, the first with two tokens behind it.
#[derive(Default)]
pub struct Relevant {
    /// Inside an import or export statement, with so many tokens of it read.
    inside: Option<u32>,
    /// In the part of it that binds names.
    binds: bool,
    /// So many tokens are kept whatever they are.
    ahead: u8,
}

impl Relevant {
    pub fn keeps(&mut self, token: &ScannedToken, text: &[u8]) -> bool {
        let mut keeps = self.ahead > 0;
        self.ahead = self.ahead.saturating_sub(1);
        let is_top = token.depth == 0;
        // Behind `export` a declaration begins like a statement of its own.
        if token.statement && is_top && self.inside != Some(1) {
            keeps |= self.inside.is_some();
            let declares = [Word::Import, Word::Export].map(TokenKind::Name);
            self.inside = declares.contains(&token.kind).then_some(0);
            self.binds = true;
        }
        if token.operand && token.kind == TokenKind::Name(Word::Import) {
            keeps = true;
            self.ahead = 2;
        }
        keeps |= token.operand && !token.in_function && text == b"arguments";
        keeps | self.keeps_inside(token, is_top)
    }

    fn keeps_inside(&mut self, token: &ScannedToken, is_top: bool) -> bool {
        let Some(read) = self.inside.as_mut() else {
            return false;
        };
        let second = *read == 1;
        *read += 1;
        if is_top && token.kind == TokenKind::Name(Word::Class) {
            // Its name counts as inside of it.
            self.ahead = 2;
        }
        match token.kind {
            // `function` follows, as the second.
            TokenKind::Name(Word::Async) if second => *read = 1,
            TokenKind::Name(Word::Default | Word::Function | Word::Class) if second => {
                self.binds = false;
            }
            TokenKind::Assign if is_top => self.binds = false,
            TokenKind::Comma if is_top => self.binds = true,
            _ => {}
        }
        let closes = matches!(
            token.kind,
            TokenKind::RParen | TokenKind::RBracket | TokenKind::RBrace
        );
        is_top || self.binds || closes && token.depth == 1
    }
}
