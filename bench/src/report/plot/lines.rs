//! Lines over an axis, one for each side.

use crate::report::Table;
use crate::report::plot::scale::{Scale, label};
use crate::report::plot::svg::{Anchor, Svg};
use crate::report::plot::{WIDTH, colours, meaning};

const HEIGHT: f64 = 560.0;
const TOP: f64 = 78.0;
const LEFT: f64 = 86.0;
/// Room for the legend.
const RIGHT: f64 = 264.0;
const FLOOR: f64 = HEIGHT - 92.0;
/// Two labels of the axis stand at least this far apart.
const LABEL_APART: f64 = 40.0;

pub(super) fn draw(table: &Table, caption: &str) -> String {
    let cells = || table.rows.iter().flat_map(|row| &row.cells);
    let least = cells().map(|cell| cell.spread.min).fold(f64::INFINITY, f64::min);
    let most = cells().map(|cell| cell.spread.max).fold(0.0, f64::max);
    let figures = Scale::of_figures(least, most, FLOOR, TOP);
    let numbers = || table.rows.iter().filter_map(|row| row.at);
    let (first, last) =
        (numbers().fold(f64::INFINITY, f64::min), numbers().fold(f64::NEG_INFINITY, f64::max));
    let cases = Scale::of_cases(first, last, LEFT + 14.0, WIDTH - RIGHT);

    let mut svg = Svg::new(WIDTH, HEIGHT);
    svg.heading(24.0, 32.0, 18.0, &table.title);
    let kinds = match (cases.is_logarithmic(), figures.is_logarithmic()) {
        (true, true) => "; both axes logarithmic",
        (false, true) => "; upright axis logarithmic",
        (true, false) => "; level axis logarithmic",
        (false, false) => "",
    };
    svg.text(24.0, 54.0, 12.0, Anchor::Start, "#555555", &format!("{}{kinds}", meaning(table)));
    for tick in figures.ticks() {
        let y = figures.place(tick);
        svg.line((LEFT, y), (WIDTH - RIGHT + 10.0, y), "#dddddd", 1.0);
        svg.text(LEFT - 6.0, y + 4.0, 11.0, Anchor::End, "#333333", &label(tick));
    }
    let mut written_at = f64::NEG_INFINITY;
    for row in &table.rows {
        let x = cases.place(row.at.unwrap_or(first));
        svg.line((x, TOP), (x, FLOOR + 4.0), "#eeeeee", 1.0);
        if x - written_at >= LABEL_APART {
            svg.text(x, FLOOR + 18.0, 11.0, Anchor::Middle, "#333333", &row.case);
            written_at = x;
        }
    }
    svg.line((LEFT, FLOOR), (WIDTH - RIGHT + 10.0, FLOOR), "#333333", 1.2);
    svg.line((LEFT, TOP), (LEFT, FLOOR), "#333333", 1.2);
    svg.upward(28.0, f64::midpoint(TOP, FLOOR), 12.5, &table.unit);
    let axis = table.axis.as_deref().unwrap_or_default();
    svg.text(f64::midpoint(LEFT, WIDTH - RIGHT), FLOOR + 42.0, 12.5, Anchor::Middle, "#222222", axis);
    svg.text(24.0, HEIGHT - 16.0, 10.5, Anchor::Start, "#777777", caption);

    let sides = table.sides();
    for (index, (side, colour)) in sides.iter().zip(colours(&sides)).enumerate() {
        let dashed = side.starts_with("floor");
        let points: Vec<(f64, f64)> = table
            .rows
            .iter()
            .filter_map(|row| {
                let cell = row.cells.iter().find(|cell| cell.side == *side)?;
                let x = cases.place(row.at?);
                let (low, high) = (figures.place(cell.spread.min), figures.place(cell.spread.max));
                svg.line((x, low), (x, high), colour, 1.0);
                Some((x, figures.place(cell.spread.median)))
            })
            .collect();
        svg.path(&points, colour, dashed);
        for point in &points {
            svg.dot(*point, colour);
        }
        let y = TOP + 12.0 + 20.0 * index as f64;
        let x = WIDTH - RIGHT + 24.0;
        svg.path(&[(x, y), (x + 22.0, y)], colour, dashed);
        svg.dot((x + 11.0, y), colour);
        svg.text(x + 30.0, y + 4.0, 11.5, Anchor::Start, "#222222", side);
    }
    svg.finish()
}
