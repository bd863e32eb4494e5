//! Results as a person reads them.
//!
//! Promises: columns line up; a figure that is not reached says so. Does not print.

use crate::record::{Figure, Line};

/// The lines of one bench.
pub fn lines(lines: &[Line]) -> String {
    let mut rows = vec![row(&["", "n", "p50", "p90", "p99", "max", "x raw", ""])];
    for line in lines {
        let spread = line.spread;
        let value = |value| number(value, &line.unit);
        let ratio = line.ratio.map(|ratio| format!("{ratio:.2}"));
        rows.push(vec![
            line.case.clone(),
            spread.count.to_string(),
            value(spread.p50),
            value(spread.p90),
            value(spread.p99),
            value(spread.max),
            ratio.unwrap_or_default(),
            counts(line),
        ]);
    }
    let mut text = align(&rows);
    if let Some(raw) = lines.iter().find_map(|line| line.raw) {
        text += &format!(
            "raw pwrite + fdatasync of {} bytes: p50 {:.0} / {:.0} us, p99 {:.0} / {:.0} us, \
             before / after\n",
            raw.bytes, raw.before.p50, raw.after.p50, raw.before.p99, raw.after.p99
        );
        if !raw.is_steady() {
            text +=
                "the disk itself was not steady: other work is going on, and times mean little\n";
        }
    }
    text
}

/// The figures of a run, each reached or not.
pub fn figures(lines: &[Line]) -> String {
    let mut rows = vec![row(&["figure", "measured", "reach", ""])];
    for figure in lines.iter().flat_map(|line| &line.figures) {
        let said = if figure.reached {
            "reached"
        } else {
            "NOT REACHED"
        };
        let measured = number(figure.value, &figure.unit);
        rows.push(row(&[&figure.what, &measured, &limit(figure), said]));
    }
    align(&rows)
}

fn limit(figure: &Figure) -> String {
    let limit = number(figure.limit, &figure.unit);
    format!("{} {limit}", figure.reach.as_str())
}

fn counts(line: &Line) -> String {
    let told = line.counts.iter();
    let told: Vec<String> = told
        .map(|(what, value)| format!("{what} {}", plain(*value)))
        .collect();
    told.join(", ")
}

/// A value with its unit, as short as it can be said.
pub fn number(value: f64, unit: &str) -> String {
    match unit {
        "us" if value >= 1e6 => format!("{:.2} s", value / 1e6),
        "us" if value >= 1e4 => format!("{:.1} ms", value / 1e3),
        "us" => format!("{value:.0} us"),
        "bytes" if value >= 1024.0 * 1024.0 => format!("{:.1} MiB", value / 1024.0 / 1024.0),
        "bytes" if value >= 10.0 * 1024.0 => format!("{:.1} KiB", value / 1024.0),
        "bytes" => format!("{} B", plain(value)),
        "x raw" => format!("{value:.2} x raw"),
        "" => plain(value),
        unit => format!("{} {unit}", plain(value)),
    }
}

fn plain(value: f64) -> String {
    if value.fract().abs() < 1e-9 || value >= 1000.0 {
        let whole = format!("{value:.0}");
        return thousands(&whole);
    }
    format!("{value:.2}")
}

fn thousands(digits: &str) -> String {
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

/// Names (the first and the last column) to the left, numbers to the right.
fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let gap = width - cell.chars().count();
            if at == 0 || at == columns - 1 {
                line += &format!("{cell}{:gap$}  ", "");
            } else {
                line += &format!("{:gap$}{cell}  ", "");
            }
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_said_shortly() {
        assert_eq!(number(150.4, "us"), "150 us");
        assert_eq!(number(15_040.0, "us"), "15.0 ms");
        assert_eq!(number(2_500_000.0, "us"), "2.50 s");
        assert_eq!(number(48.0, "bytes"), "48 B");
        assert_eq!(number(3.0 * 1024.0 * 1024.0, "bytes"), "3.0 MiB");
        assert_eq!(number(119_234.4, "turns/s"), "119,234 turns/s");
        assert_eq!(number(1.0, ""), "1");
    }
}
