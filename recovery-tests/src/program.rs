//! The program every simulated vat runs: its methods, and how its heap is laid out.
//!
//! It is written twice, on words in pages (`words`) and on plain maps (`reference`).
//!
//! ```text
//! page 0       magic, executed, counter, pending, lines
//! page 1       scratch: words that every turn flips, so that some go and come back (H1)
//! page 2       values: one word a key, 0 for none
//! page 3       (turn, token) of requests that wait for `release`
//! page 4..     (turn, token) of every request ever executed, in order
//! last page    magic, from genesis on; no turn touches it
//! ```

use std::collections::BTreeMap;
use std::fmt;

use kenvat_store::PAGE_BYTES;

/// Words of one page.
pub const PAGE_WORDS: usize = PAGE_BYTES / 8;
/// Pages a simulated heap may grow to.
pub const PAGE_LIMIT: u32 = 20;
/// Pages a worker says that it uses.
pub const USED_PAGES: u32 = 19;
/// Keys `set` knows.
pub const KEYS: u64 = 40;
/// Requests that can wait at a time; past it `later` answers at once.
pub const PENDING_MAX: u64 = PAGE_WORDS as u64 / 2;

const MAGIC: u64 = 0x6b65_6e76_6174_0001;
pub(crate) const EXECUTED_PAGE: u32 = 4;
pub(crate) const PENDING_PAGE: u32 = 3;
pub(crate) const VALUES_PAGE: u32 = 2;
pub(crate) const SCRATCH_PAGE: u32 = 1;

/// Scratch words that turns flip, far enough from each other to be runs of their own.
pub(crate) const SCRATCH_WORDS: u64 = 64;

/// Words of the first page.
pub(crate) mod header {
    pub const EXECUTED: usize = 1;
    pub const COUNTER: usize = 2;
    pub const PENDING: usize = 3;
    pub const LINES: usize = 4;
}

pub type Page = [u64; PAGE_WORDS];

/// Which request of which client: what a turn leaves in the heap to be known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token {
    pub client: u32,
    pub number: u32,
}

/// Added to a client's number in the token of what a timer of it ran.
const FIRED: u32 = 1 << 31;

impl Token {
    /// What the timer runs as that this request set.
    pub fn fired(self) -> Token {
        Token {
            client: self.client | FIRED,
            ..self
        }
    }

    /// The request that set the timer this ran for; `None` for a request itself.
    pub fn setter(self) -> Option<Token> {
        let client = self.client & !FIRED;
        (client != self.client).then_some(Token { client, ..self })
    }

    /// The number of the timer this request sets, with the time it is due at.
    pub fn timer(self, due_ms: i64) -> u64 {
        let due_ms = u64::try_from(due_ms).expect("the world's time is positive");
        assert!(
            self.client < 1 << 8 && self.number < 1 << 16,
            "{self} has no room"
        );
        due_ms << 24 | u64::from(self.client) << 16 | u64::from(self.number)
    }

    /// The request and the time behind a timer's number.
    pub fn of_timer(timer: u64) -> (Token, i64) {
        let client = (timer >> 16 & 0xff) as u32;
        let number = (timer & 0xffff) as u32;
        (Token { client, number }, (timer >> 24) as i64)
    }

    pub fn word(self) -> u64 {
        u64::from(self.client) << 32 | u64::from(self.number)
    }

    pub fn of_word(word: u64) -> Token {
        Token {
            client: (word >> 32) as u32,
            number: word as u32,
        }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}#{}", self.client, self.number)
    }
}

/// What a request asks of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Incr,
    Set {
        key: u64,
        value: u64,
    },
    Later,
    Release,
    Throw,
    Log,
    /// Sets a timer.
    Wake {
        ms: u64,
    },
    /// What a timer runs. No client asks for it.
    Fired,
    /// Kills the worker, each time.
    Poison,
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Method::Incr => "incr",
            Method::Set { .. } => "set",
            Method::Later => "later",
            Method::Release => "release",
            Method::Throw => "throw",
            Method::Log => "log",
            Method::Wake { .. } => "wake",
            Method::Fired => "fired",
            Method::Poison => "poison",
        }
    }

    /// The arguments, with the token among them.
    pub fn args(self, token: Token) -> String {
        let word = token.word();
        match self {
            Method::Set { key, value } => format!("[{word},{key},{value}]"),
            Method::Wake { ms } => format!("[{word},{ms}]"),
            _ => format!("[{word}]"),
        }
    }

    /// What a call says; `None` if no client of ours made it.
    pub fn parse(name: &str, args: &str) -> Option<(Token, Method)> {
        let words = args
            .strip_prefix('[')?
            .strip_suffix(']')?
            .split(',')
            .map(str::parse);
        let words: Vec<u64> = words.collect::<Result<_, _>>().ok()?;
        let method = match (name, words.as_slice()) {
            ("incr", [_]) => Method::Incr,
            ("set", [_, key, value]) => Method::Set {
                key: *key,
                value: *value,
            },
            ("later", [_]) => Method::Later,
            ("release", [_]) => Method::Release,
            ("throw", [_]) => Method::Throw,
            ("log", [_]) => Method::Log,
            ("wake", [_, ms]) => Method::Wake { ms: *ms },
            ("poison", [_]) => Method::Poison,
            _ => return None,
        };
        Some((Token::of_word(*words.first()?), method))
    }
}

/// How a request was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Value(String),
    Thrown(String),
}

/// The heap of a vat that has run nothing.
pub fn genesis_page(page: u32) -> Page {
    let mut words = [0; PAGE_WORDS];
    if page == 0 || page == PAGE_LIMIT - 1 {
        words[0] = MAGIC;
    }
    words
}

/// Some lines are long, so that frames have many sectors to tear.
pub(crate) fn line_of(token: Token) -> String {
    format!(
        "line of {token}{}",
        "x".repeat(token.number as usize % 8 * 300)
    )
}

/// The last scratch word the nth turn flips: the first is flipped by each turn, the last by few.
pub(crate) fn flips(executed: u64) -> u64 {
    executed * 7 % SCRATCH_WORDS
}

pub(crate) fn place_of_scratch(at: u64) -> usize {
    100 + at as usize * 3
}

pub(crate) fn place_of_pair(first: u32, at: u64) -> (u32, usize) {
    let pairs = PAGE_WORDS as u64 / 2;
    let page = first + (at / pairs) as u32;
    assert!(
        page < PAGE_LIMIT - 1,
        "the run is too long for the simulated heap"
    );
    (page, (at % pairs) as usize * 2)
}

pub(crate) fn place_of_value(key: u64) -> (u32, usize) {
    (VALUES_PAGE, (key * 11) as usize % PAGE_WORDS)
}

/// What a vat knows, read from its pages or kept in maps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Knowledge {
    pub counter: u64,
    pub lines: u64,
    pub values: BTreeMap<u64, u64>,
    pub pending: Vec<(u64, Token)>,
    /// The words that every turn flips.
    pub scratch: Vec<u64>,
    /// Every request executed, with its turn, in order.
    pub executed: Vec<(u64, Token)>,
}

impl Knowledge {
    /// Reads a heap; says what is wrong where it cannot be one.
    pub fn read(page: impl Fn(u32) -> Page) -> Result<Knowledge, String> {
        let head = page(0);
        if head[0] != MAGIC || page(PAGE_LIMIT - 1) != genesis_page(PAGE_LIMIT - 1) {
            return Err("what genesis wrote is not there".to_owned());
        }
        let pairs = |first: u32, count: u64| -> Vec<(u64, Token)> {
            let place = |at| place_of_pair(first, at);
            let read = |(at, word): (u32, usize)| {
                let words = page(at);
                (words[word], Token::of_word(words[word + 1]))
            };
            (0..count).map(place).map(read).collect()
        };
        let capacity = u64::from(PAGE_LIMIT - 1 - EXECUTED_PAGE) * PAGE_WORDS as u64 / 2;
        if head[header::EXECUTED] > capacity || head[header::PENDING] > PENDING_MAX {
            return Err("it counts more than it can hold".to_owned());
        }
        let value = |key| {
            let (at, word) = place_of_value(key);
            (key, page(at)[word])
        };
        Ok(Knowledge {
            counter: head[header::COUNTER],
            lines: head[header::LINES],
            values: (0..KEYS)
                .map(value)
                .filter(|(_, value)| *value != 0)
                .collect(),
            pending: pairs(PENDING_PAGE, head[header::PENDING]),
            scratch: (0..SCRATCH_WORDS)
                .map(|at| page(SCRATCH_PAGE)[place_of_scratch(at)])
                .collect(),
            executed: pairs(EXECUTED_PAGE, head[header::EXECUTED]),
        })
    }
}
