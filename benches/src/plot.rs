//! Results as a picture.
//!
//! Promises: one panel a bench, every case a row: p50, p90, p99 and the slowest on a logarithmic
//! scale, with the raw disk's p50 where the bench writes. Needs no fonts: text is the viewer's.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::BenchError;
use crate::record::Line;
use crate::table::number;

const WIDTH: u32 = 1_000;
const ROW_HEIGHT: u32 = 26;
const PANEL_HEIGHT: u32 = 90;
const LABELS_WIDTH: u32 = 300;
const NUMBERS_WIDTH: u32 = 90;

/// Draws the times of all lines.
pub fn draw(path: &Path, lines: &[Line]) -> Result<(), BenchError> {
    let panels = panels(lines);
    let rows: usize = panels.iter().map(|(_, lines)| lines.len()).sum();
    let height = PANEL_HEIGHT * panels.len() as u32 + ROW_HEIGHT * rows as u32;
    let root = SVGBackend::new(path, (WIDTH, height.max(PANEL_HEIGHT))).into_drawing_area();
    root.fill(&WHITE).map_err(told)?;
    let mut rest = root.clone();
    for (bench, lines) in panels {
        let height = PANEL_HEIGHT + ROW_HEIGHT * lines.len() as u32;
        let (area, below) = rest.split_vertically(height);
        panel(&area, bench, &lines)?;
        rest = below;
    }
    root.present().map_err(told)
}

/// Lines of one bench that are times, in order.
fn panels(lines: &[Line]) -> Vec<(&str, Vec<&Line>)> {
    let mut panels: Vec<(&str, Vec<&Line>)> = Vec::new();
    for line in lines.iter().filter(|line| line.unit == "us") {
        match panels.last_mut() {
            Some((bench, lines)) if *bench == line.bench => lines.push(line),
            _ => panels.push((&line.bench, vec![line])),
        }
    }
    panels
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn panel(area: &Area<'_>, bench: &str, lines: &[&Line]) -> Result<(), BenchError> {
    let values = lines.iter().flat_map(|line| {
        let raw = line.raw.map(|raw| raw.p50());
        [Some(line.spread.p50), Some(line.spread.max), raw]
    });
    let values: Vec<f64> = values.flatten().filter(|value| *value > 0.0).collect();
    let low = values.iter().copied().fold(f64::MAX, f64::min).min(1e9) / 1.3;
    let high = values.iter().copied().fold(low, f64::max) * 1.3;
    let rows = lines.len() as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(bench, ("sans-serif", 18))
        .margin(10)
        .margin_left(LABELS_WIDTH)
        .margin_right(NUMBERS_WIDTH)
        .x_label_area_size(24)
        .build_cartesian_2d((low..high).log_scale(), rows..0.0)
        .map_err(told)?;
    chart
        .configure_mesh()
        .disable_y_axis()
        .disable_y_mesh()
        .x_labels(8)
        .x_label_formatter(&|value| number(*value, "us"))
        .label_style(("sans-serif", 11))
        .light_line_style(WHITE)
        .draw()
        .map_err(told)?;
    for (at, line) in lines.iter().enumerate() {
        let (row, spread) = (at as f64 + 0.5, line.spread);
        let span = |from: f64, to: f64, style: ShapeStyle| {
            PathElement::new(vec![(from.max(low), row), (to.max(low), row)], style)
        };
        let bar = [
            span(spread.p99, spread.max, BLUE.mix(0.3).stroke_width(1)),
            span(spread.p90, spread.p99, BLUE.mix(0.5).stroke_width(3)),
            span(spread.p50, spread.p90, BLUE.stroke_width(6)),
        ];
        chart.draw_series(bar).map_err(told)?;
        let dot = Circle::new((spread.p50.max(low), row), 4, BLUE.filled());
        chart.draw_series([dot]).map_err(told)?;
        if let Some(raw) = line.raw {
            let x = raw.p50();
            let tick = PathElement::new(vec![(x, row - 0.35), (x, row + 0.35)], RED);
            chart.draw_series([tick]).map_err(told)?;
        }
        let (_, y) = chart.backend_coord(&(low, row));
        let (_, top) = area.get_base_pixel();
        let text = |words: &str, x: i32| {
            let style = ("sans-serif", 12).into_text_style(area);
            area.draw_text(words, &style, (x, y - top - 6))
                .map_err(told)
        };
        text(line.case.trim_end(), 12)?;
        text(
            &number(spread.p50, "us"),
            (WIDTH - NUMBERS_WIDTH + 8) as i32,
        )?;
    }
    Ok(())
}

fn told(error: impl std::fmt::Display) -> BenchError {
    BenchError::Plot(error.to_string())
}
