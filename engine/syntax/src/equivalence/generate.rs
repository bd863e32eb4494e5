//! Texts: of a grammar, of tokens in any order inside a fitting frame, and both with mistakes.

use crate::Goal;

pub const GENERATORS: usize = 4;

/// Fast, small, the same everywhere (xorshift).
pub struct Random {
    state: u64,
}

impl Random {
    pub fn new(seed: u64) -> Random {
        Random { state: seed.max(1) }
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        ((self.state >> 11) % bound.max(1) as u64) as usize
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }
}

/// A text with its generator's number.
pub fn text(random: &mut Random) -> (usize, Goal, String) {
    let goal = match random.one_in(2) {
        true => Goal::Module,
        false => Goal::Script,
    };
    let generator = random.below(GENERATORS);
    let text = match generator {
        0 => Grammar::new(random, goal).program(),
        1 => soup(random, goal),
        2 => {
            let pieces = Grammar::new(random, goal).pieces();
            mistaken(random, pieces)
        }
        _ => dense(random),
    };
    (generator, goal, frame(goal, &text))
}

/// A script is compiled as the body of a function.
pub fn frame(goal: Goal, text: &str) -> String {
    match goal {
        Goal::Module => text.to_owned(),
        Goal::Script => format!("0, function () {{\n{text}\n}}"),
    }
}

const NAMES: &[&str] = &[
    "a", "b", "of", "async", "get", "set", "static", "from", "as", "using", "await", "let",
    "yield", "\\u0061", "é", "$", "target", "meta", "accessor", "f",
];

const SPACES: &[&str] = &[
    "",
    "",
    "",
    "",
    "",
    " ",
    " ",
    " ",
    "\n",
    "\n",
    "\t",
    "/**/",
    "/* ` */",
    "/*\n*/",
    "// '\n",
    "\u{2028}",
    "\u{a0}",
    "\n--> `\n",
    " <!-- '\n",
    "\r\n",
    "/*\u{2029}*/",
    "\u{feff}",
];

const LITERALS: &[&str] = &[
    "1", "'s'", "\"s\"", "`t`", "/r/", "/[/]/g", "/=/", "0x1f", "1.", ".5", "1n", "`\\``", "'\\''",
    "this", "null", "/`/", "/'/", "`'`", "'`'", "'/'", "'//'", "/\\//",
];

/// Programs by the grammar of the language, as far as tokens depend on it.
struct Grammar<'a> {
    random: &'a mut Random,
    goal: Goal,
    pieces: Vec<String>,
    /// How much may still be nested.
    fuel: u32,
    is_async: bool,
    is_generator: bool,
}

impl<'a> Grammar<'a> {
    fn new(random: &'a mut Random, goal: Goal) -> Self {
        Grammar {
            random,
            goal,
            pieces: Vec::new(),
            fuel: 14,
            is_async: goal == Goal::Module,
            is_generator: false,
        }
    }

    fn program(self) -> String {
        self.pieces().concat()
    }

    fn pieces(mut self) -> Vec<String> {
        for _ in 0..1 + self.random.below(3) {
            self.statement();
        }
        self.pieces
    }

    fn put(&mut self, piece: &str) {
        self.pieces.push(piece.to_owned());
        let space = self.random.of(SPACES);
        self.pieces.push(space.to_owned());
    }

    /// A word, with a space behind it that may be a line's end where the grammar does not care.
    fn word(&mut self, piece: &str) {
        self.pieces.push(piece.to_owned());
        let space = self
            .random
            .of(&[" ", " ", " ", "\n", "/**/ ", "\u{2028}", "\u{a0}"]);
        self.pieces.push(space.to_owned());
    }

    /// A word whose successor must stand on its line.
    fn joined(&mut self, piece: &str) {
        let space = self.random.of(&[" ", " ", " ", "/**/", "\u{a0}"]);
        self.pieces.push(format!("{piece}{space}"));
    }

    fn burn(&mut self) -> bool {
        self.fuel = self.fuel.saturating_sub(1);
        self.fuel > 0
    }

    fn name(&mut self) {
        let mut name = self.random.of(NAMES);
        let is_word = matches!(name, "let" | "yield" | "static")
            || name == "await" && (self.is_async || self.goal == Goal::Module);
        if is_word && !self.random.one_in(40) {
            name = "a";
        }
        self.put(name);
    }

    fn semicolon(&mut self) {
        let end = self
            .random
            .of(&[";", ";", ";", "\n", "\n", "\u{2028}", " ;\n", "/*\n*/"]);
        self.pieces.push(end.to_owned());
    }

    fn block(&mut self) {
        self.put("{");
        for _ in 0..self.random.below(3) {
            self.statement();
        }
        self.put("}");
    }

    fn statement(&mut self) {
        if !self.burn() {
            self.name();
            return self.semicolon();
        }
        match self.random.below(24) {
            0 => {
                self.put("if");
                self.paren();
                self.statement();
                if self.random.one_in(2) {
                    self.word("else");
                    self.statement();
                }
            }
            1 => {
                self.put("while");
                self.paren();
                self.statement();
            }
            2 => {
                self.word("do");
                self.statement();
                self.put("while");
                self.paren();
                let end = self.random.of(&["", ";", "\n"]);
                self.put(end);
            }
            3 | 4 => self.for_loop(),
            5 => self.block(),
            6 => {
                let keyword = self.random.of(&["let", "const", "var"]);
                self.word(keyword);
                self.binding();
                self.put("=");
                self.expression();
                self.semicolon();
            }
            7 | 8 => self.function(true),
            9 => self.class(true),
            10 => {
                let label = self.random.of(&["a", "b", "of", "async", "get", "await"]);
                self.put(label);
                self.put(":");
                self.statement();
            }
            11 => {
                self.put("switch");
                self.paren();
                self.put("{");
                self.word("case");
                self.expression();
                self.put(":");
                self.statement();
                self.put("default");
                self.put(":");
                self.put("}");
            }
            12 => {
                self.put("try");
                self.block();
                self.put("catch");
                if self.random.one_in(2) {
                    self.put("(");
                    self.binding();
                    self.put(")");
                }
                self.block();
            }
            13 if self.goal == Goal::Script => {
                self.joined("return");
                self.expression();
                self.semicolon();
            }
            14 => {
                self.joined("throw");
                self.expression();
                self.semicolon();
            }
            15 if self.is_async => {
                self.word("await");
                self.joined("using");
                self.put("a");
                self.put("=");
                self.expression();
                self.semicolon();
            }
            16 if self.goal == Goal::Module => self.export(),
            _ => {
                self.expression();
                self.semicolon();
            }
        }
    }

    fn export(&mut self) {
        match self.random.below(4) {
            0 => {
                self.word("export");
                self.word("default");
                self.expression();
                self.semicolon();
            }
            1 => {
                self.word("export");
                self.word("default");
                self.function(true);
            }
            2 => {
                self.word("export");
                self.word("const");
                self.pieces.push(format!("x{}", self.fuel));
                self.put("=");
                self.expression();
                self.semicolon();
            }
            _ => {
                self.word("export");
                self.put("{");
                self.put("}");
                self.semicolon();
            }
        }
    }

    fn paren(&mut self) {
        self.put("(");
        self.expression();
        self.put(")");
    }

    fn for_loop(&mut self) {
        self.word("for");
        if self.is_async && self.random.one_in(3) {
            self.word("await");
        }
        self.put("(");
        if self.random.one_in(3) {
            self.expression();
            self.put(";");
            self.expression();
            self.put(";");
            self.expression();
        } else {
            match self.random.below(5) {
                0 => self.put("a"),
                1 => {
                    self.joined("using");
                    self.word("b");
                }
                2 if self.is_async => {
                    self.word("await");
                    self.joined("using");
                    let name = self.random.of(&["of", "a"]);
                    self.word(name);
                }
                _ => {
                    let keyword = self.random.of(&["let", "const", "var"]);
                    self.word(keyword);
                    let name = self
                        .random
                        .of(&["of", "a", "async", "[a]", "{b}", "using", "of"]);
                    self.word(name);
                }
            }
            self.pieces.push(" ".to_owned());
            let keyword = self.random.of(&["of", "of", "in"]);
            self.word(keyword);
            self.assignment();
        }
        self.put(")");
        self.statement();
    }

    fn binding(&mut self) {
        if !self.burn() {
            return self.put("a");
        }
        match self.random.below(6) {
            0 => {
                self.put("[");
                self.put("a");
                self.put("=");
                self.assignment();
                self.put("]");
            }
            1 => {
                self.put("{");
                self.put("b");
                self.put(":");
                self.put("c");
                self.put("=");
                self.assignment();
                self.put("}");
            }
            _ => {
                let name = self
                    .random
                    .of(&["a", "of", "async", "get", "using", "from"]);
                self.put(name);
            }
        }
    }

    /// With other rules for `await` and `yield` inside.
    fn within(&mut self, is_async: bool, is_generator: bool, work: impl FnOnce(&mut Self)) {
        let outer = (self.is_async, self.is_generator);
        (self.is_async, self.is_generator) = (is_async, is_generator);
        work(self);
        (self.is_async, self.is_generator) = outer;
    }

    fn parameters(&mut self) {
        self.put("(");
        if self.random.one_in(2) {
            self.binding();
            if self.random.one_in(3) {
                self.put("=");
                self.within(false, false, Self::assignment);
            }
        }
        self.put(")");
    }

    fn function(&mut self, named: bool) {
        let is_async = self.random.one_in(2);
        let is_generator = self.random.one_in(3);
        if is_async {
            self.joined("async");
        }
        self.word("function");
        if is_generator {
            self.put("*");
        }
        if named {
            self.pieces.push(format!("f{}", self.random.below(1000)));
        }
        self.parameters();
        self.within(is_async, is_generator, Self::block);
    }

    fn class(&mut self, named: bool) {
        self.word("class");
        if named {
            self.pieces.push(format!("C{} ", self.random.below(1000)));
        }
        if self.random.one_in(3) {
            self.word("extends");
            self.primary();
        }
        self.put("{");
        for _ in 0..self.random.below(4) {
            self.member();
        }
        self.put("}");
    }

    fn key(&mut self) {
        match self.random.below(6) {
            0 => {
                self.put("[");
                self.assignment();
                self.put("]");
            }
            1 => {
                let key = self.random.of(&["'s'", "1", "'`'"]);
                self.put(key);
            }
            _ => {
                let key = self
                    .random
                    .of(&["a", "get", "set", "async", "await", "of", "if", "yield"]);
                self.put(key);
            }
        }
    }

    fn member(&mut self) {
        if !self.burn() {
            return self.put(";");
        }
        let place = self.random.of(&["", "", "static"]);
        if !place.is_empty() {
            self.word(place);
        }
        match self.random.below(7) {
            0 | 1 => {
                self.key();
                self.put("=");
                let is_async = self.goal == Goal::Module;
                self.within(is_async, false, Self::assignment);
                self.semicolon();
            }
            2 => {
                self.key();
                self.semicolon();
            }
            3 if !place.is_empty() => {
                self.within(false, false, Self::block);
            }
            _ => self.method(),
        }
    }

    fn method(&mut self) {
        let mut is_async = false;
        let mut is_generator = false;
        let mut parameter = "";
        match self.random.below(6) {
            0 => self.word("get"),
            1 => {
                self.word("set");
                parameter = "a";
            }
            2 => {
                self.joined("async");
                is_async = true;
            }
            3 => {
                self.joined("async");
                self.put("*");
                (is_async, is_generator) = (true, true);
            }
            4 => {
                self.put("*");
                is_generator = true;
            }
            _ => {}
        }
        self.key();
        self.put("(");
        self.put(parameter);
        self.put(")");
        self.within(is_async, is_generator, Self::block);
    }

    fn expression(&mut self) {
        self.assignment();
        if self.random.one_in(8) {
            self.put(",");
            self.assignment();
        }
    }

    fn assignment(&mut self) {
        if !self.burn() {
            return self.primary();
        }
        match self.random.below(14) {
            0 => {
                let is_async = self.random.one_in(2);
                if is_async {
                    self.joined("async");
                }
                match self.random.one_in(2) {
                    true => {
                        let name = self.random.of(&["a", "of", "async", "get"]);
                        self.joined(name);
                    }
                    false => self.parameters(),
                }
                self.put("=>");
                let inside = is_async || self.goal == Goal::Module && self.random.one_in(2);
                match self.random.one_in(2) {
                    true => self.within(inside, false, Self::block),
                    false => self.within(inside, false, Self::assignment),
                }
            }
            1 => {
                self.unary();
                self.put("?");
                self.assignment();
                self.put(":");
                self.assignment();
            }
            2 if self.is_generator => {
                let word = self
                    .random
                    .of(&["yield", "yield ", "yield\n", "yield*", "yield/**/"]);
                self.pieces.push(word.to_owned());
                if !self.random.one_in(4) {
                    self.pieces.push(" ".to_owned());
                    self.assignment();
                }
            }
            3 => {
                self.put("a");
                let sign = self.random.of(&["=", "/=", "??=", "**="]);
                self.put(sign);
                self.assignment();
            }
            _ => self.binary(),
        }
    }

    fn binary(&mut self) {
        self.unary();
        while self.random.one_in(2) && self.burn() {
            let sign = self.random.of(&[
                "/",
                "/",
                "/",
                "<",
                ">",
                "+",
                "-",
                "*",
                "&&",
                " in ",
                " instanceof ",
                "==",
                "%",
                "<!--",
                "/",
                ">>>",
            ]);
            self.put(sign);
            self.unary();
        }
    }

    fn unary(&mut self) {
        match self.random.below(12) {
            0 => {
                let sign = self.random.of(&["!", "-", "+", "~"]);
                self.pieces.push(sign.to_owned());
                self.pieces.push(" ".to_owned());
                self.unary();
            }
            1 => {
                let word = self.random.of(&["typeof", "void", "delete"]);
                self.word(word);
                self.postfix();
            }
            2 | 3 if self.is_async => {
                self.word("await");
                self.unary();
            }
            2 if self.goal == Goal::Script => {
                self.put("await");
            }
            4 => {
                self.put("a");
                let sign = self.random.of(&["++", "--"]);
                self.pieces.push(sign.to_owned());
            }
            _ => self.postfix(),
        }
    }

    fn postfix(&mut self) {
        self.primary();
        while self.random.one_in(3) && self.burn() {
            match self.random.below(6) {
                0 => {
                    self.put(".");
                    let name = self
                        .random
                        .of(&["a", "of", "await", "let", "if", "class", "yield"]);
                    self.put(name);
                }
                1 => {
                    self.put("[");
                    self.expression();
                    self.put("]");
                }
                2 => self.template(),
                3 => {
                    self.put("?.");
                    self.put("a");
                }
                _ => {
                    self.put("(");
                    if self.random.one_in(2) {
                        self.assignment();
                    }
                    self.put(")");
                }
            }
        }
    }

    fn template(&mut self) {
        self.pieces.push("`x".to_owned());
        for _ in 0..self.random.below(3) {
            self.put("${");
            self.expression();
            let part = self.random.of(&["}", "}/", "}'", "}{", "}\\`"]);
            self.pieces.push(part.to_owned());
        }
        self.put("`");
    }

    fn primary(&mut self) {
        if !self.burn() {
            return self.put("a");
        }
        match self.random.below(16) {
            0..=3 => {
                let literal = self.random.of(LITERALS);
                self.put(literal);
            }
            4 => self.paren(),
            5 => {
                self.put("[");
                self.assignment();
                self.put("]");
            }
            6 | 7 => self.object(),
            8 => self.function(false),
            9 => self.class(false),
            10 => self.template(),
            11 => {
                self.word("new");
                self.primary();
            }
            12 => {
                self.put("import");
                self.paren();
            }
            _ => self.name(),
        }
    }

    fn object(&mut self) {
        self.put("{");
        for _ in 0..self.random.below(3) {
            match self.random.below(3) {
                0 => {
                    let name = self.random.of(&["a", "get", "set", "async", "of"]);
                    self.put(name);
                }
                1 => {
                    self.key();
                    self.put(":");
                    self.assignment();
                }
                _ => self.method(),
            }
            self.put(",");
        }
        self.put("}");
    }
}

/// The pieces with a mistake or two.
fn mistaken(random: &mut Random, mut pieces: Vec<String>) -> String {
    for _ in 0..1 + random.below(2) {
        let (at, other) = (random.below(pieces.len()), random.below(pieces.len()));
        match random.below(5) {
            0 => drop(pieces.remove(at)),
            1 => pieces.swap(at, other),
            2 => {
                let piece = pieces[other].clone();
                pieces.insert(at, piece);
            }
            3 => pieces.insert(at, random.of(TOKENS).to_owned()),
            _ => pieces[at] = random.of(TOKENS).to_owned(),
        }
        if pieces.is_empty() {
            break;
        }
    }
    pieces.concat()
}

const TOKENS: &[&str] = &[
    "await",
    " await ",
    "async",
    " async ",
    "yield ",
    "let ",
    "of",
    " of ",
    "get ",
    "set ",
    "static ",
    "using ",
    "/",
    "/a/",
    "`",
    "`${",
    "}",
    "{",
    "(",
    ")",
    "[",
    "]",
    "=>",
    "=",
    ",",
    ";",
    ":",
    "?",
    ".",
    "?.",
    "...",
    "\n",
    " ",
    "<!--",
    "\n-->",
    "!",
    "++",
    "--",
    "*",
    "a",
    "b",
    "'",
    "'s'",
    "1",
    "//",
    "/*",
    "*/",
    "function ",
    "class ",
    "extends ",
    "new ",
    "in ",
    "return ",
    "if",
    "else ",
    "for",
    "while",
    "do ",
    "case ",
    "default",
    "import",
    "export ",
    "this",
    "super",
    "#p",
    "\u{2028}",
    "\\",
    "typeof ",
    "const ",
    "var ",
    "a\n",
    "=> {",
    "() =>",
    "async () =>",
    "})",
    "({",
    "/=",
    "</",
    "$",
];

/// Places for a few tokens: each way the language reads what stands there.
const FRAMES: &[(&str, &str)] = &[
    ("", ""),
    ("a = ", ""),
    ("(", ")"),
    ("{", "}"),
    ("({", "})"),
    ("`${", "}`"),
    ("[", "]"),
    ("async function f() {", "}"),
    ("function* f() {", "}"),
    ("async () => {", "}"),
    ("(async () => ", ")"),
    ("(() => ", ")"),
    ("(async a => ", ", a)"),
    ("a ? async b => c / ", " : a"),
    ("class A {", "}"),
    ("async function f() { class A {", "} }"),
    ("async function f() { class A extends ", " {} }"),
    ("async function f() { class A { a = ", "} }"),
    ("async function f() { class A { [", "] = 1 } }"),
    ("async function f() { () => ", "}"),
    ("async function f() { function g(a = ", ") {} }"),
    ("class A { static {", "} }"),
    ("({ async a() {", "} })"),
    ("({ get a() {", "} })"),
    ("class A { async\na() {", "} }"),
    ("class A { static async *a() {", "} }"),
    ("for (", ") ;"),
    ("for (let ", ") ;"),
    ("for (const a of ", ") ;"),
    ("if (a) ", ""),
    ("if (a) b; else ", ""),
    ("do ", " while (a)"),
    ("switch (a) { case ", ": b }"),
    ("a: ", ""),
    ("async ", ""),
    ("await ", ""),
    ("await\n", ""),
    ("let ", " = 1"),
    ("class {", "}"),
    ("(class {", "})"),
    ("a\n", ""),
    ("a = function () {}\n", ""),
    ("function f() {}\n", ""),
    ("a = {}\n", ""),
    ("try {} catch {} ", ""),
    ("a = async\n", ""),
    ("async function* f() { yield ", "}"),
    ("return ", ""),
    ("export default ", ""),
    ("import(", ")"),
];

/// A few tokens in any order, in a frame or two.
fn soup(random: &mut Random, goal: Goal) -> String {
    let mut text = String::new();
    for _ in 0..1 + random.below(6) {
        text.push_str(random.of(TOKENS));
    }
    for _ in 0..random.below(3) {
        let (before, after) = FRAMES[random.below(FRAMES.len())];
        text = format!("{before}{text}{after}");
    }
    if random.one_in(3) {
        let follows = Grammar::new(random, goal).program();
        text = format!("{text}{follows}");
    }
    text
}

/// What is likely to be read in two ways: a slash or a backquote behind anything, closed later.
fn dense(random: &mut Random) -> String {
    let mut text = String::new();
    for _ in 0..random.below(3) {
        text.push_str(random.of(SAFE));
    }
    text.push_str(random.of(&[
        "await",
        "async",
        "yield",
        "of",
        "}",
        ")",
        "]",
        "a",
        "++",
        "--",
        "let",
        "get",
        "static",
        "using",
        "1",
        "'s'",
        "`t`",
        "/r/",
        "this",
        "else",
        "do",
        "return",
        "in",
        "=>",
        ":",
        ";",
        "async a => a",
        "() => {}",
        "class {}",
        "function () {}",
        "a\n",
        "await\n",
        "async\n",
        "yield\n",
        "super",
        "import",
        "new",
        "default",
        "case a:",
        "{}",
        "({})",
        "if (a)",
        "for (;;)",
        "while (a)",
        "do a; while (a)",
        "f()",
        "a?.b",
        "a.if",
        "a.of",
        "#p in a",
    ]));
    let space = random.of(&["", " ", "\n", "/**/", "/*\n*/", "\u{2028}", "\u{a0}"]);
    text.push_str(space);
    text.push_str(random.of(&[
        "/ b /",
        "/ b / c",
        "/ b /g",
        "/=/",
        "/ 1 / 2",
        "/[/]/",
        "/a/.b",
        "`b`",
        "`${a}`",
        "{ a }",
        "{ a: b }",
        "<!-- /",
        "\n--> /",
        "(a)",
        "(a) => b",
        "[a]",
        "! a",
        "a => a",
        "function f() {}",
        "/ await / a",
        "{}\n/ a /",
        "{} / a / b",
    ]));
    for _ in 0..random.below(3) {
        text.push_str(random.of(SAFE));
    }
    for _ in 0..random.below(3) {
        let (before, after) = FRAMES[random.below(FRAMES.len())];
        text = format!("{before}{text}{after}");
    }
    text
}

const SAFE: &[&str] = &[
    ";",
    "\n",
    " ",
    "a\n",
    "a;",
    "b = 1;",
    "/* ` */",
    "// /\n",
    "f(a)\n",
    "{}",
    "a = {}\n",
    "'`';",
    "a = `${1}`\n",
    "a = /`/\n",
    "if (a) b\n",
    "async function g() {}\n",
    "class B { a = 1 }\n",
];
