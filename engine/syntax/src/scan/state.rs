//! What the scanner knows of the place it is at.

use crate::lex::{Place, Token};

/// What is open around the current place, by how it is read inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Statements: the whole text, a block, a function's body.
    Statements,
    /// `(…)` of any use but a `for`'s.
    Paren,
    For,
    /// An array literal, or the pattern that looks like one.
    Array,
    /// `[…]` after an object, or around a computed name.
    Index,
    /// An object literal, or the pattern that looks like one.
    Object,
    /// From `class` to the body's `{`.
    ClassHead,
    ClassBody,
    /// `${…}`.
    Template,
    /// The braces of an import or export.
    List,
}

/// How it goes on when what is open is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// An operand has ended.
    Operand,
    /// One that ends with `}`.
    Brace,
    /// An array or object literal; the second ends with `}`.
    Array,
    Object,
    /// The arguments of a send.
    Send,
    /// The computed name of a send.
    Key,
    Statement,
    ArrowDone,
    Member,
    PropName,
    /// Parameters: the body follows.
    FnBody,
    ImportDecl,
    ExportTail,
}

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Statement,
    Operand,
    /// After an operand.
    Operator,
    /// A property's name after `.`, and after `?.` where more is possible.
    Dot,
    OptionalDot,
    /// After `if`, `while`, `with`, `switch`, `catch`.
    Head,
    ForHead,
    FnHead,
    FnBody,
    /// After `=>`, of a function of another kind and of an arrow function.
    FnArrow,
    ArrowBody,
    /// After an arrow function's block: its expression has ended.
    ArrowDone,
    /// After `break`, `continue`.
    Jump,
    /// After `return`, `throw`, `yield`: an operand, on the same line.
    Restricted,
    ClassName,
    /// A member's name in a class, or a property's in an object.
    Member,
    PropName,
    Export,
    DefaultExport,
    ExportTail,
    ImportDecl,
    ImportTail,
    Attributes,
    List,
    AfterBang,
    /// After `x ! p` and after `x ! [k]`: arguments make it a send.
    AfterName,
    AfterKey,
}

/// What the operand read so far ends with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Last {
    #[default]
    Plain,
    Super,
    Import,
    /// `#p`, as in `#p in x`.
    Private,
    Brace,
    /// `x ! m(a)`.
    Send,
    /// `x ! p`.
    Get,
}

/// The operand that is being read: what `!` would take as its left side.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chain {
    /// False when nothing was read of it.
    pub open: bool,
    pub start: Place,
    /// How many `new` still wait for arguments.
    pub news: u32,
    pub optional: bool,
    /// Ends with `++` or `--`.
    pub postfix: bool,
    /// `delete`, `++` or `--` stands right before it.
    pub prefix: Prefix,
    /// Begins an element of a literal, or a `for`'s head.
    pub element: bool,
    pub last: Last,
    /// Its last `!`.
    pub bang: Place,
    /// It is a literal with this send as an element, which makes it no pattern.
    pub carried: Option<Place>,
    pub async_head: AsyncHead,
}

/// How much of the head of an async arrow function was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AsyncHead {
    #[default]
    None,
    /// `async`, which may be a name: parameters may follow.
    Word,
    /// `async x` or `async (…)`: only `=>` is missing.
    Whole,
}

/// What was read of a member of a class or an object literal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Member {
    #[default]
    Start,
    Static,
    /// `get`, `set`, `async` or `*`: a name follows.
    Prefix,
    Name,
}

impl Chain {
    pub fn sends(&self) -> bool {
        matches!(self.last, Last::Send | Last::Get)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prefix {
    #[default]
    None,
    Delete,
    Update,
}

/// One open bracket's state.
#[derive(Clone, Debug)]
pub struct Context {
    pub kind: Kind,
    pub after: After,
    pub expect: Expect,
    pub chain: Chain,
    /// How many `?` wait for their `:`.
    pub ternaries: u32,
    pub prefix: Prefix,
    /// The next operand begins an element of a literal, or a `for`'s head.
    pub element: bool,
    /// A `for`'s first `;` was passed.
    pub clause: bool,
    /// A literal's first element that is a send and nothing else.
    pub target: Option<Place>,
    /// How it goes on after a function whose head is being read.
    pub fn_after: After,
    /// The name or closing bracket of the send that is being read.
    pub sent: Option<Token>,
    pub member: Member,
    /// The function whose body this is, or whose parameters these are, is async.
    pub is_async: bool,
    /// Likewise the function whose head is being read.
    pub fn_async: bool,
    /// `async` was read before `function`.
    pub async_function: bool,
    /// `async` was read before an arrow function's only parameter.
    pub async_arrow: bool,
    /// Arrow functions whose body is an expression that is being read, the innermost last: how many
    /// `?` waited for their `:` where each began, and whether it is async.
    pub arrows: Vec<(u32, bool)>,
}

impl Context {
    pub fn new(kind: Kind, after: After, expect: Expect) -> Context {
        Context {
            kind,
            after,
            expect,
            chain: Chain::default(),
            ternaries: 0,
            prefix: Prefix::None,
            element: matches!(kind, Kind::Array | Kind::For),
            clause: false,
            target: None,
            fn_after: After::Statement,
            sent: None,
            member: Member::Start,
            is_async: false,
            fn_async: false,
            async_function: false,
            async_arrow: false,
            arrows: Vec::new(),
        }
    }
}
