//! One line of results: what was measured, beside what, and which figures it reaches.
//!
//! Promises: a line read back is the line written; fields may be added, none renamed. Times are in
//! microseconds. A figure that is stated for a disk of 0.12 ms a sync is scaled by the raw disk of
//! the same run, and says so by its limit.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::raw::Raw;
use crate::room;
use crate::spread::Spread;
use crate::{Bench, BenchError, Settings, io_at};

/// What one case of one bench came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    pub bench: String,
    pub case: String,
    /// Of the values in `spread`: `us`, `bytes`, `pages`, `turns/s`.
    pub unit: String,
    #[serde(flatten)]
    pub spread: Spread,
    /// The raw disk in the same run, where the bench writes.
    pub raw: Option<Raw>,
    /// `p50` in raw syncs of the same size, for times.
    pub ratio: Option<f64>,
    /// What was counted besides.
    pub counts: BTreeMap<String, f64>,
    pub figures: Vec<Figure>,
    /// Seconds since 1970.
    pub at: u64,
    pub version: String,
    pub machine: String,
    /// A quick run, or a build without optimisation: its times mean nothing.
    pub quick: bool,
}

/// A figure that is to be reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    pub what: String,
    pub value: f64,
    pub limit: f64,
    pub unit: String,
    pub reach: Reach,
    pub reached: bool,
}

/// On which side of its limit a figure should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reach {
    #[serde(rename = "at most")]
    AtMost,
    #[serde(rename = "at least")]
    AtLeast,
    #[serde(rename = "exactly")]
    Exactly,
}

impl Reach {
    pub fn as_str(self) -> &'static str {
        match self {
            Reach::AtMost => "at most",
            Reach::AtLeast => "at least",
            Reach::Exactly => "exactly",
        }
    }
}

impl Figure {
    pub fn at_most(what: &str, value: f64, limit: f64, unit: &str) -> Figure {
        Figure::new(what, value, limit, unit, Reach::AtMost)
    }

    pub fn at_least(what: &str, value: f64, limit: f64, unit: &str) -> Figure {
        Figure::new(what, value, limit, unit, Reach::AtLeast)
    }

    pub fn exactly(what: &str, value: f64, limit: f64, unit: &str) -> Figure {
        Figure::new(what, value, limit, unit, Reach::Exactly)
    }

    fn new(what: &str, value: f64, limit: f64, unit: &str, reach: Reach) -> Figure {
        let reached = match reach {
            Reach::AtMost => value <= limit,
            Reach::AtLeast => value >= limit,
            // Exact figures are counts, which are whole.
            Reach::Exactly => value.total_cmp(&limit).is_eq(),
        };
        let (what, unit) = (what.to_owned(), unit.to_owned());
        Figure {
            what,
            value,
            limit,
            unit,
            reach,
            reached,
        }
    }
}

impl Line {
    /// A line without a raw disk beside it; `run` signs it.
    pub fn new(case: impl Into<String>, unit: &str, spread: Spread) -> Line {
        Line {
            bench: String::new(),
            case: case.into(),
            unit: unit.to_owned(),
            spread,
            raw: None,
            ratio: None,
            counts: BTreeMap::new(),
            figures: Vec::new(),
            at: 0,
            version: String::new(),
            machine: String::new(),
            quick: false,
        }
    }

    /// Times, beside the raw disk.
    pub fn times(case: impl Into<String>, spread: Spread, raw: Raw) -> Line {
        let mut line = Line::new(case, "us", spread);
        line.ratio = Some(spread.p50 / raw.p50());
        line.raw = Some(raw);
        line
    }

    /// The same line with something that was counted.
    pub fn counting(mut self, what: &str, value: f64) -> Line {
        self.counts.insert(what.to_owned(), value);
        self
    }

    /// The same line with a figure to reach.
    pub fn reaching(mut self, figure: Figure) -> Line {
        self.figures.push(figure);
        self
    }

    pub(crate) fn sign(&mut self, bench: Bench, settings: &Settings) {
        bench.name().clone_into(&mut self.bench);
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        self.at = since.unwrap_or_default().as_secs();
        env!("CARGO_PKG_VERSION").clone_into(&mut self.version);
        self.machine = room::machine(&settings.dir);
        self.quick = settings.quick || cfg!(debug_assertions);
    }
}

/// Appends lines to a file, one JSON object a line; the file is made, its folder is not.
pub fn append(path: &Path, lines: &[Line]) -> Result<(), BenchError> {
    let mut text = String::new();
    for line in lines {
        text += &serde_json::to_string(line).expect("lines hold only what JSON can say");
        text.push('\n');
    }
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(io_at("append to", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_back_as_it_went() {
        let spread = Spread::of(vec![3.0, 1.0, 2.0]);
        let raw = Raw {
            bytes: 512,
            before: spread,
            after: spread,
        };
        let line = Line::times("a case", spread, raw)
            .counting("syncs", 1.0)
            .reaching(Figure::at_most("p50", 2.0, 3.0, "us"));
        let text = serde_json::to_string(&line).expect("is JSON");
        assert_eq!(serde_json::from_str::<Line>(&text).expect("reads"), line);
        assert!(text.contains(r#""p50":2.0"#) && text.contains(r#""reach":"at most""#));
    }

    #[test]
    fn a_figure_says_which_side_of_its_limit_is_meant() {
        assert!(Figure::at_most("a", 1.0, 1.0, "").reached);
        assert!(!Figure::at_most("a", 1.1, 1.0, "").reached);
        assert!(!Figure::at_least("a", 0.9, 1.0, "").reached);
        assert!(Figure::at_least("a", 1.1, 1.0, "").reached);
        assert!(!Figure::exactly("a", 1.1, 1.0, "").reached);
    }
}
