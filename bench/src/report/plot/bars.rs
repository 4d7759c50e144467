//! Bars, a group for each case and a bar for each side.

use crate::report::Table;
use crate::report::plot::scale::{Scale, label};
use crate::report::plot::svg::{Anchor, Svg};
use crate::report::plot::{WIDTH, colours, meaning};
use crate::report::text::figure;

const TOP: f64 = 74.0;
const LEFT: f64 = 250.0;
/// Room for the figures behind the bars.
const RIGHT: f64 = 190.0;
const BAR: f64 = 17.0;
const GROUP_HEAD: f64 = 26.0;
const BOTTOM: f64 = 66.0;

pub(super) fn draw(table: &Table, caption: &str) -> String {
    let sides = table.sides();
    let colours = colours(&sides);
    let cells = || table.rows.iter().flat_map(|row| &row.cells);
    let least = cells().map(|cell| cell.spread.min).fold(f64::INFINITY, f64::min);
    let most = cells().map(|cell| cell.spread.max).fold(0.0, f64::max);
    let scale = Scale::of_figures(least, most, LEFT, WIDTH - RIGHT);
    let bars: f64 = table.rows.iter().map(|row| GROUP_HEAD + BAR * row.cells.len() as f64).sum();
    let floor = TOP + bars + 8.0;

    let mut svg = Svg::new(WIDTH, floor + BOTTOM);
    svg.heading(24.0, 32.0, 18.0, &table.title);
    let scale_kind = if scale.is_logarithmic() { "; logarithmic" } else { "" };
    let compared = table.reference.as_ref();
    let compared = compared.map_or_else(String::new, |name| format!("; × how many times better {name} is"));
    let explained = format!("{}{scale_kind}{compared}", meaning(table));
    svg.text(24.0, 54.0, 12.0, Anchor::Start, "#555555", &explained);
    for tick in scale.ticks() {
        let x = scale.place(tick);
        svg.line((x, TOP), (x, floor), "#dddddd", 1.0);
        svg.text(x, floor + 16.0, 11.0, Anchor::Middle, "#333333", &label(tick));
    }
    svg.text(f64::midpoint(LEFT, WIDTH - RIGHT), floor + 34.0, 12.0, Anchor::Middle, "#222222", &table.unit);
    svg.text(24.0, floor + 54.0, 10.5, Anchor::Start, "#777777", caption);

    let mut y = TOP;
    for row in &table.rows {
        svg.heading(24.0, y + 18.0, 12.5, &row.case);
        y += GROUP_HEAD;
        for cell in &row.cells {
            let index = sides.iter().position(|side| *side == cell.side).unwrap_or_default();
            let middle = y + BAR / 2.0;
            svg.text(LEFT - 8.0, middle + 4.0, 11.5, Anchor::End, "#222222", &cell.side);
            let end = scale.place(cell.spread.median);
            svg.rectangle((LEFT, y + 2.0), ((end - LEFT).max(1.0), BAR - 4.0), colours[index]);
            let (from, to) = (scale.place(cell.spread.min), scale.place(cell.spread.max));
            svg.line((from, middle), (to, middle), "#000000", 1.2);
            for x in [from, to] {
                svg.line((x, middle - 4.0), (x, middle + 4.0), "#000000", 1.2);
            }
            let ratio =
                cell.ratio.map_or_else(String::new, |ratio| format!("  (× {})", figure(ratio.median)));
            let text = format!("{}{ratio}", figure(cell.spread.median));
            svg.text(to.max(end) + 8.0, middle + 4.0, 11.0, Anchor::Start, "#333333", &text);
            y += BAR;
        }
    }
    svg.finish()
}
